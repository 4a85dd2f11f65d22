"""The command line: one walk from data to pictures, on the embedded digits."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import reparam as rp
from reparam.cli.main import verbs
from reparam.cli.output import command
from reparam.variants import names
from tests.support import reparam

ISSUE_KEYS = {
    *(f"{name}{end}" for end in ("", "_stderr") for name in ("elbo", "log_likelihood")),
    *(f"{name}{end}" for end in ("", "_stderr") for name in ("reconstruction", "kl", "mse")),
    *("bits_per_dim", "active_units", "n_samples", "split", "n_examples", "is_likelihood"),
}


def complaint_of(code: str) -> str:
    """Run a program that must end well in a Python of its own, and return its standard error."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two latents, trained for two epochs on binarized digits."""
    path = tmp_path_factory.mktemp("runs") / "first"
    line = "train vae --data digits --binarize dynamic --latent-dim 2 --hidden 16"
    reparam(f"{line} --epochs 2 --batch-size 256 --out {path}")
    return path


class TestWalk:
    def test_run_folder_has_the_layout_of_the_design(self, run: Path) -> None:
        measured = {"evaluation.json", "evaluation.safetensors"}
        assert {path.name for path in run.iterdir()} - measured == {
            "config.yaml",
            "lock",
            "metrics.jsonl",
            "events",
            "checkpoints",
            "pictures",
            "model.safetensors",
            "model.json",
        }
        assert sorted(path.name for path in (run / "pictures").glob("*-epoch-*")) == [
            "reconstructions-epoch-001.png",
            "reconstructions-epoch-002.png",
            "samples-epoch-001.png",
            "samples-epoch-002.png",
        ]
        (events,) = (run / "events").iterdir()
        assert events.name.startswith("events.out.tfevents.")
        assert events.stat().st_size > 1000

    def test_config_is_flat_and_complete(self, run: Path) -> None:
        config = yaml.safe_load((run / "config.yaml").read_text())
        assert config["variant"] == "vae"
        assert config["data"] == "digits"
        assert config["binarize"] == "dynamic"
        assert config["hidden"] == [16]
        assert config["latent_dim"] == 2
        assert (config["epochs"], config["batch_size"], config["seed"]) == (2, 256, 0)
        assert config["precision"] in ("float32", "bfloat16")
        assert config["recorded"]["reparam"] == rp.__version__
        assert config["recorded"]["n_train"] == 1366

    def test_tensorboard_reads_the_events(self, run: Path) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(run / "events"))
        events.Reload()
        assert {"loss/train", "elbo/validation", "kl/train"} <= set(events.Tags()["scalars"])
        assert set(events.Tags()["images"]) == {"samples", "reconstructions"}
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        expected = {row["step"]: row["elbo"] for row in rows if row["split"] == "validation"}
        found = {event.step: event.value for event in events.Scalars("elbo/validation")}
        assert found == pytest.approx(expected, rel=1e-6)

    def test_the_bound_of_a_cross_entropy_is_named_so(self, tmp_path: Path) -> None:
        words = "vae --binarize none --likelihood cross-entropy --hidden 4 --epochs 1"
        said = reparam(f"train {words} --pictures-every 0 --out {tmp_path / 'run'}")
        assert "validation cross-entropy ELBO" in said.err

    def test_train_says_what_to_type_next(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["reparam"])
        words = "vae --hidden 4 --epochs 1 --batch-size 2000 --pictures-every 0"
        for number in (1, 2):
            out, err = reparam(f"train {words}")
            assert "validation ELBO" in err
            folder = f"runs/digits-vae-{number}"
            assert f"The run is in {folder}. Next:" in out
        typed = [line.strip() for line in out.splitlines() if line.startswith("  reparam ")]
        assert [line.split()[1] for line in typed] == [
            *("evaluate", "doctor", "sample", "plot", "report")
        ]
        for line in typed:
            reparam(line.removeprefix("reparam "))
        # The picture lies in the run's folder, and nowhere else.
        assert list(tmp_path.rglob("samples.png")) == [tmp_path / folder / "samples.png"]

    def test_what_is_made_lies_in_the_runs_folder(
        self, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        shutil.copytree(run, tmp_path / "copy")
        before = {path.name for path in (tmp_path / "copy").iterdir()}
        made = {
            "sample": "samples.png",
            "reconstruct": "reconstructions.png",
            "interpolate": "interpolation.png",
            "encode": "codes.npy",
        }
        for verb, name in made.items():
            assert reparam(f"{verb} copy").out.split()[0] == f"copy/{name}"
        assert {path.name for path in (tmp_path / "copy").iterdir()} - before == {*made.values()}
        assert [path.name for path in tmp_path.iterdir()] == ["copy"]

    def test_evaluate(self, run: Path) -> None:
        said = json.loads(reparam(f"evaluate {run} --n-samples 20 --json").out)
        assert said.keys() >= ISSUE_KEYS
        stored = json.loads((run / "evaluation.json").read_text())
        assert stored == {**stored, **said}
        assert (stored["data"], stored["binarize"], stored["seed"]) == ("digits", "dynamic", 0)
        assert (said["split"], said["n_examples"], said["n_samples"]) == ("test", 360, 20)
        assert said["is_likelihood"] is True
        assert said["elbo"] == pytest.approx(said["reconstruction"] - said["kl"], abs=0.2)
        assert said["log_likelihood"] > said["elbo"]
        assert said["bits_per_dim"] == pytest.approx(
            -said["log_likelihood"] / 64 / np.log(2), rel=0.05
        )
        assert "log_likelihood" in reparam(f"evaluate {run} --n-samples 20").out

    def test_advice_is_in_the_words_of_the_command_line(self, run: Path, tmp_path: Path) -> None:
        findings = json.loads(reparam(f"doctor {run} --json").out)["findings"]
        fixes = [one["fix"] for one in findings if "--" in one["fix"]]
        assert fixes
        assert not any("=" in fix for fix in fixes)
        reparam(f"report {run} --n-samples 2 --out {tmp_path / 'page.html'}")
        page = (tmp_path / "page.html").read_text()
        for fix in fixes:
            assert f"On the command line: <code>{fix}</code>" in page
        # In Python there are arguments alone.
        assert "On the command line" not in rp.load(run).report(n_samples=2).html

    def test_evaluate_says_what_it_overwrites(self, run: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(run, copy)
        long = "--annealed 2 --annealed-temperatures 2 --proposal tuned"
        said = reparam(f"evaluate {copy} --n-samples 2 {long}").err
        assert "annealing 2 examples" in said
        assert "tuning a proposal on each of 360 examples" in said
        assert "no longer holds" not in said
        (said,) = [
            line
            for line in reparam(f"evaluate {copy} --n-samples 2").err.splitlines()
            if "no longer" in line
        ]
        for name in ("log_likelihood from a tuned proposal", "annealed_log_likelihood"):
            assert name in said
        assert reparam(f"evaluate {copy} --n-samples 2").err == ""

    def test_evaluate_draws_by_its_seed(self, run: Path) -> None:
        line = f"evaluate {run} --n-samples 2 --split validation --json --seed"
        found = [json.loads(reparam(line, seed).out) for seed in (0, 0, 1)]
        assert found[0] == found[1]
        assert found[0]["elbo"] != found[2]["elbo"]
        assert (found[0]["split"], found[0]["n_examples"]) == ("validation", 71)

    def test_cross_entropy_is_called_no_likelihood(self, tmp_path: Path) -> None:
        line = "train vae --likelihood cross-entropy --hidden 4 --epochs 1 --batch-size 2000"
        reparam(f"{line} --out {tmp_path / 'run'}")
        said = json.loads(reparam(f"evaluate {tmp_path / 'run'} --n-samples 2 --json").out)
        assert said["is_likelihood"] is False
        assert said["bits_per_dim"] is None
        assert "no likelihood" in said["note"]

    @pytest.mark.parametrize(
        ("line", "side"),
        [("sample {run} -n 9", 9), ("reconstruct {run} -n 6", 6), ("interpolate {run} -n 3", 3)],
    )
    def test_pictures(self, run: Path, tmp_path: Path, line: str, side: int) -> None:
        for name in ("a.png", "b.png"):
            reparam(f"{line.format(run=run)} --out {tmp_path / name}")
        with Image.open(tmp_path / "a.png") as image:
            image.verify()
        with Image.open(tmp_path / "a.png") as image:
            assert image.format == "PNG"
            assert max(image.size) >= 480  # 8 × 8 digits are enlarged
            pixels = np.asarray(image)
        assert pixels.std() > 1
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        reparam(f"{line.format(run=run)} --out {tmp_path / 'c.npy'}")
        values = np.load(tmp_path / "c.npy", allow_pickle=False)
        assert values.shape == ((30 if line.startswith("inter") else side), 1, 8, 8)
        assert values.min() >= 0
        assert values.max() <= 1

    def test_sample_draws_by_its_seed(self, run: Path, tmp_path: Path) -> None:
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            reparam(f"sample {run} -n 4 --seed {seed} --out {tmp_path / name}.npy")
        a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
        assert (a == b).all()
        assert (a != c).any()

    def test_encode(self, run: Path, tmp_path: Path) -> None:
        reparam(f"encode {run} --split train --out {tmp_path / 'codes.npy'}")
        codes = np.load(tmp_path / "codes.npy", allow_pickle=False)
        assert codes.shape == (1366, 2)
        loaded = rp.load(run)
        x = loaded.examples(split="train").x
        assert np.allclose(codes, loaded.latent_model.posterior(x).mean.detach().numpy(), atol=1e-6)

    def test_interpolation_of_an_odd_number_of_examples(self, run: Path, tmp_path: Path) -> None:
        line = f"interpolate {run} --split validation -n 100 --steps 3"
        reparam(f"{line} --out {tmp_path / 'a.npy'}")
        assert len(np.load(tmp_path / "a.npy")) == 35 * 3  # 71 examples make 35 pairs

    def test_interpolation_ends_at_the_reconstructions(self, run: Path, tmp_path: Path) -> None:
        reparam(f"interpolate {run} -n 2 --steps 4 --out {tmp_path / 'i.npy'}")
        reparam(f"reconstruct {run} -n 4 --out {tmp_path / 'r.npy'}")
        walks, ends = (np.load(tmp_path / f"{name}.npy") for name in "ir")
        assert np.allclose(walks.reshape(2, 4, -1)[:, [0, -1]].reshape(4, -1), ends.reshape(4, -1))

    def test_plot(self, run: Path, tmp_path: Path) -> None:
        out = reparam(f"plot {run} --out {tmp_path}").out
        made = sorted(path.name for path in tmp_path.iterdir())
        assert made == ["curves.png", "kl-per-dimension.png", "latent.png", "quantile-grid.png"]
        for name in made:
            with Image.open(tmp_path / name) as image:
                assert min(image.size) > 200
        assert sorted(out.split()) == [str(tmp_path / name) for name in made]

    def test_a_fitted_prior_has_a_grid_of_its_own_quantiles(
        self, run: Path, tmp_path: Path
    ) -> None:
        reparam(f"refit-prior {run} --prior mixture --steps 0 --out {tmp_path / 'new'}")
        made = reparam(f"plot {tmp_path / 'new'} --out {tmp_path / 'plots'}").out
        assert "quantile-grid.png" in made
        assert "kl-per-dimension.png" in made

    def test_models_and_data_list_the_registries(self) -> None:
        listed = {line.split()[0] for line in reparam("models").out.splitlines() if line.strip()}
        assert set(names()) <= listed
        listed = {line.split()[0] for line in reparam("data").out.splitlines() if line.strip()}
        assert set(rp.data.SOURCES) <= listed

    @pytest.mark.parametrize("name", names())
    def test_models_tells_of_each(self, name: str) -> None:
        said = reparam(f"models {name}").out
        assert said.startswith(f"{name}: ")
        assert "Limits:" in said
        assert "Arguments:" not in said

    def test_denoise(self, run: Path, tmp_path: Path) -> None:
        reparam(f"denoise {run} -n 2")  # Gaussian noise leaves [0, 1]
        line = f"denoise {run} --corruption masking --level 0.25"
        said = reparam(f"{line} --out {tmp_path / 'd.png'}").out
        assert said.count(" dB") == 2
        assert "masking noise of level 0.25" in said
        reparam(f"{line} --out {tmp_path / 'd.npy'}")
        assert np.load(tmp_path / "d.npy").shape == (360, 1, 8, 8)
        assert "--level -1" in reparam(f"denoise {run} --level -1", code=2).err


class TestCommand:
    """What to type: ``reparam`` only where the shell would find this very program."""

    @pytest.fixture
    def program(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        path = tmp_path / "venv" / "bin" / "reparam"
        path.parent.mkdir(parents=True)
        path.touch(mode=0o755)
        monkeypatch.setattr(sys, "argv", [str(path)])
        monkeypatch.chdir(tmp_path)
        return path

    def test_is_the_name_on_the_path(self, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(program.parent))
        assert command() == "reparam"

    @pytest.mark.parametrize("path", ["", "other"])
    def test_is_the_place_off_the_path(
        self, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "reparam").touch(mode=0o755)  # the shell would find another program
        monkeypatch.setenv("PATH", path and str(tmp_path / path))
        assert command() == "venv/bin/reparam"
        monkeypatch.chdir(tmp_path / "other")
        assert command() == str(program)

    def test_is_that_of_the_module(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "argv", ["/somewhere/reparam/__main__.py"])
        assert command() == "python -m reparam"

    def test_is_what_train_says_to_type(
        self, program: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "")
        words = "--hidden 4 --epochs 1 --batch-size 2000 --pictures-every 0 --out run"
        said = reparam(f"train vae {words}").out.splitlines()
        for line in ("evaluate run", "sample run", "plot run"):
            assert f"  venv/bin/reparam {line}" in said


class TestConfig:
    def test_file_gives_options_and_words_come_first(self, tmp_path: Path) -> None:
        config = tmp_path / "a.yaml"
        config.write_text(
            "variant: vae\nhidden: [4, 8]\nlatent-dim: 3\nlr: 1e-3\nepochs: 5\nvalidation: 100\n"
            "pictures_every: 0\nbatch_size: 2000\n"
        )
        out = tmp_path / "run"
        reparam(f"train --config {config} --epochs 1 --out {out}")
        found = yaml.safe_load((out / "config.yaml").read_text())
        expected = {"hidden": [4, 8], "latent_dim": 3, "lr": 0.001, "epochs": 1, "validation": 100}
        assert expected.items() <= found.items()

    def test_of_a_run_makes_the_same_run(self, run: Path, tmp_path: Path) -> None:
        out = tmp_path / "again"
        reparam(f"train --config {run / 'config.yaml'} --out {out}")
        assert (out / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()

    def test_another_seed_makes_another_run(self, run: Path, tmp_path: Path) -> None:
        out = tmp_path / "other"
        reparam(f"train --config {run / 'config.yaml'} --out {out} --seed 1")
        assert (out / "model.safetensors").read_bytes() != (run / "model.safetensors").read_bytes()


class TestHelp:
    @pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
    def test_names_every_verb(self, words: list[str]) -> None:
        out = reparam(*words).out
        assert out.startswith("usage: reparam VERB [OPTIONS]")
        for verb in verbs():
            assert f"\n  {verb} " in out

    def test_version(self) -> None:
        assert reparam("--version").out == f"reparam {rp.__version__}\n"

    def test_does_not_import_torch(self) -> None:
        code = (
            "import sys; from reparam.cli.main import main; main(['--help']); main(['--version']);"
            "main(['trian']); sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
        )
        assert "did you mean 'train'" in complaint_of(code)

    @pytest.mark.slow
    def test_the_collector_leaves_alone_what_imports_made(self) -> None:
        code = (
            "import gc, sys; from reparam.cli.main import main; main(['models', 'vae']);"
            "sys.exit(not gc.isenabled() or gc.get_freeze_count() < 10_000)"
        )
        complaint_of(code)

    @pytest.mark.parametrize(
        ("verb", "options"),
        [
            (
                "train vae",
                "--data --data-dir --latent-dim --hidden --epochs --batch-size --lr --likelihood "
                "--binarize --beta --kl-warmup --device --precision --seed --config --out --resume",
            ),
            ("evaluate", "--data --data-dir --split --device --n-samples --json --seed"),
            ("sample", "-n --out --seed"),
            ("reconstruct", "--data --data-dir --split --device --out --seed"),
            ("interpolate", "--out --seed"),
            ("encode", "--data --data-dir --split --device --out --seed"),
            ("plot", "RUN"),
        ],
    )
    def test_tells_the_options_of_the_issue(self, verb: str, options: str) -> None:
        out = reparam(f"{verb} --help").out
        for option in options.split():
            assert option in out

    @pytest.mark.slow
    def test_demo_walks_through_the_verbs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["reparam"])
        out = reparam(f"demo --out {tmp_path / 'demo'}").out
        typed = [line.split()[2] for line in out.splitlines() if line.startswith("$ reparam ")]
        assert typed == [
            *("train", "evaluate", "sample", "reconstruct", "interpolate", "plot", "report")
        ]
        pictures = (
            "samples.png",
            "reconstructions.png",
            "interpolation.png",
            "pictures/latent.png",
        )
        for name in pictures:
            assert f"{tmp_path / 'demo' / name}" in out
            assert (tmp_path / "demo" / name).is_file()

    @pytest.mark.slow
    def test_mnist(self, tmp_path: Path) -> None:
        folder = os.environ.get("REPARAM_DATA_DIR")
        if not folder or not (Path(folder) / "mnist").is_dir():
            pytest.skip("no MNIST: set REPARAM_DATA_DIR to the folder that holds mnist/")
        line = f"--data mnist --epochs 1 --pictures-every 0 --out {tmp_path / 'run'}"
        reparam(f"train vae {line}")
        said = json.loads(reparam(f"evaluate {tmp_path / 'run'} --n-samples 5 --json").out)
        # The best published VAEs of two layers are near -80; the tutorial's net ends at -104.
        assert -140 < said["elbo"] < -95
        assert said["n_examples"] == 10_000

    @pytest.mark.slow
    def test_module_is_the_command(self, tmp_path: Path) -> None:
        line = f"train vae --hidden 4 --epochs 1 --out {tmp_path / 'run'}"
        for words, code in ((line, 0), (line, 1), ("train vea", 2)):
            done = subprocess.run(
                [sys.executable, "-m", "reparam", *words.split()], capture_output=True, text=True
            )
            assert done.returncode == code, done.stderr
            assert "Traceback" not in done.stderr
            assert "Warning" not in done.stderr

"""Bad input on the command line: one clear sentence, a non-zero exit code, nothing lost."""

import gzip
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reparam as rp
from reparam.training.step import Step
from tests.support import TRAIN, Bomb, contents, idx, refused, reparam, write_mnist


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs, ``vae`` and ``classifier``, and one file."""
    folder = tmp_path_factory.mktemp("runs")
    reparam(f"{TRAIN} --out", folder / "vae")
    words = "train classifier --hidden 4 --epochs 1 --batch-size 2000 --pictures-every 0"
    reparam(f"{words} --out", folder / "classifier")
    (folder / "file").write_text("mine")
    return folder


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("trian", "unknown verb 'trian': did you mean 'train'"),
        ("vae", "'vae' is a variant: train it with reparam train vae"),
        ("Beta_VAE --epochs 3", "'Beta_VAE' is a variant: train it with reparam train beta-vae"),
        ("train", "which variant?"),
        ("train --latent-dim 3", "which variant?"),
        ("train --data digits vae", "name the variant first"),
        ("train beta-vea", "unknown variant 'beta-vea': did you mean 'beta-vae'"),
        (f"{TRAIN} --data mnits", "unknown data set 'mnits': did you mean 'mnist'"),
        (f"{TRAIN} --epoch 3", "did you mean '--epochs'"),
        (f"{TRAIN} --latnet-dim=3", "did you mean '--latent-dim'"),
        (f"{TRAIN} --epochs abc", "--epochs: 'abc' is no whole number"),
        (f"{TRAIN} --epochs 2.5", "--epochs: '2.5' is no whole number"),
        (f"{TRAIN} --lr fast", "--lr: 'fast' is no number"),
        (f"{TRAIN} --hidden 4 x", "--hidden"),
        (f"{TRAIN} extra", "extra"),
        (f"{TRAIN} --out", "--out"),
        (f"{TRAIN} --epochs -1", "--epochs -1: must be at least 1"),
        (f"{TRAIN} --epochs 0", "--epochs 0: must be at least 1"),
        (f"{TRAIN} --batch-size 0", "--batch-size 0: must be at least 1"),
        (f"{TRAIN} --lr 0", "--lr 0.0"),
        (f"{TRAIN} --lr nan", "--lr nan"),
        (f"{TRAIN} --lr inf", "--lr inf"),
        (f"{TRAIN} --seed -1", "--seed -1"),
        (f"{TRAIN} --seed 99999999999999999999", "must be below 2^63"),
        (f"{TRAIN} --latent-dim 0", "--latent-dim 0: must be at least 1"),
        (f"{TRAIN} --hidden 0", "must be at least 1"),
        (f"{TRAIN} --beta -1", "--beta -1.0"),
        (f"{TRAIN} --beta nan", "--beta nan"),
        (f"{TRAIN} --kl-warmup -1", "--kl-warmup -1.0"),
        (f"{TRAIN} --kl-warmup inf", "--kl-warmup inf"),
        (
            f"{TRAIN} --kl-warmup 2",
            "--kl-warmup 2.0: longer than the run of --epochs 1, so the",
        ),
        (f"{TRAIN} --ema 1", "--ema 1.0"),
        (f"{TRAIN} --validation 9999", "--validation 9999"),
        (f"{TRAIN} --validation nan", "--validation nan"),
        (f"{TRAIN} --early-stopping 1 --validation 0", "needs a validation split"),
        (f"{TRAIN} --device tpu", "unknown device 'tpu'"),
        (f"{TRAIN} --device cpx", "did you mean 'cpu'"),
        (f"{TRAIN} --precision float23", "'float23'"),
        (f"{TRAIN} --binarize dynamc", "'dynamc'"),
        (f"{TRAIN} --likelihood bernuli", "did you mean 'bernoulli'"),
        (
            f"{TRAIN} --likelihood bernoulli",
            "is for binary (0 or 1) data, but 'digits' is grey (in [0, 1]): binarize it",
        ),
        (
            f"{TRAIN} --binarize dynamic --likelihood cross-entropy",
            "is for grey (in [0, 1]) data, but 'digits' is binary (0 or 1): ",
        ),
        (f"{TRAIN} --binarize dynamic --dequantize True", "set one of the two only"),
        (f"{TRAIN} --activation rely", "did you mean 'relu'"),
        (f"{TRAIN} --resume", "--resume needs the folder of a run"),
        (f"{TRAIN} --config missing.yaml", "cannot read the configuration missing.yaml"),
        ("train classifier --kl-warmup 1", "no KL to weigh"),
        ("train classifier --beta 1", "no KL to weigh"),
        ("train directed --n-parts 0", "--n-parts 0"),
        ("train --resume missing", "missing holds no run: name a variant to begin one there"),
        ("evaluate missing", "missing holds no run"),
        ("evaluate", "RUN"),
        ("models extra", "extra"),
        ("data --nothing", "unknown option of 'reparam data' '--nothing'"),
    ],
)
def test_words_that_make_no_sense(tmp_path: Path, line: str, said: str) -> None:
    refused(line, said)
    # Nothing that would stand in the way of the corrected command.
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.accelerator.is_available(), reason="this machine has an accelerator")
def test_device_that_is_not_there() -> None:
    refused(f"{TRAIN} --device cuda", "not on this machine", "--device cpu", code=2)


class TestUse:
    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("evaluate {vae} --n-samples 0", "--n-samples 0: "),
            (
                "evaluate {vae} --split tets",
                "'digits' has no split 'tets', only train, validation, test: name one of them "
                "as --split ..., or give other data",
            ),
            ("evaluate {vae} --data digit", "did you mean 'digits'"),
            (
                "evaluate {vae} --seed 99999999999999999999",
                "--seed 99999999999999999999: must be below 2^63",
            ),
            ("evaluate {vae} --seed -1", "--seed -1: "),
            ("evaluate {vae} --n-sample 3", "did you mean '--n-samples'"),
            ("evaluate {file}", "holds no run"),
            ("sample {classifier}", "'classifier' does not generate examples"),
            ("sample {vae} -n 0", "n_samples=0"),
            ("sample {vae} -n -3", "n_samples=-3"),
            ("sample {vae} -n two", "'two' is no whole number"),
            ("sample {vae} --out a.pdf", "must be one of .png"),
            ("sample {vae} --out a", "must be one of .png"),
            ("sample {vae} --out {file}/a.png", "cannot write"),
            ("sample {vae} --out {file}/a.npy", "a file stands where a folder is needed"),
            ("sample {vae} --out /proc/none/a.npy", "cannot write /proc/none/a.npy"),
            ("sample {vae} --device tpu", "unknown device"),
            ("encode {vae} --out a.png", "end the name in .npy"),
            ("encode {classifier}", "'classifier' has no latent variables"),
            ("reconstruct {classifier}", "'classifier' has no latent variables"),
            ("reconstruct {vae} -n 0", "limit=0: must be at least 1"),
            ("interpolate {vae} -n 0", "at least 1 pair"),
            ("interpolate {vae} --steps 1", "2 steps"),
            ("plot {vae} --out {file}", "cannot write"),
            (
                "plot {vae} --split nope",
                "'digits' has no split 'nope', only train, validation, test",
            ),
            (TRAIN + " --out {vae}", "holds another run: choose another --out"),
            (TRAIN + " --out {file}", "is a file, not a folder"),
            (TRAIN + " --out {file}/a", "a file stands where a folder is needed"),
            (TRAIN + " --out /proc/none/a", "cannot write /proc/none/a"),
            ("train --resume {vae} --config {file}", "drop one"),
        ],
    )
    def test_of_a_run(self, runs: Path, tmp_path: Path, line: str, said: str) -> None:
        before = contents(runs)
        names = {name: runs / name for name in ("vae", "classifier", "file")}
        refused(line.format(**names), said)
        assert contents(runs) == before
        assert list(tmp_path.iterdir()) == []

    def test_of_a_folder_with_other_files(self, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "notes.txt").write_text("mine")
        refused(f"{TRAIN} --out other", "is not empty (it holds notes.txt)", code=1)
        assert contents(tmp_path) == {"other/notes.txt": b"mine"}

    def test_on_data_of_another_shape(self, runs: Path, tmp_path: Path) -> None:
        write_mnist(tmp_path / "mnist")
        refused(
            f"evaluate {runs / 'vae'} --data mnist --data-dir {tmp_path}",
            "trained on unit data of shape (1, 8, 8) with 17 levels, but 'mnist' is",
            code=2,
        )


class TestConfig:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("epocs: 3", "unknown key of a.yaml 'epocs': did you mean 'epochs'"),
            ("channels: [3]", "'channels'"),  # an option of another variant
            ("variant: vea", "did you mean 'vae'"),
            ("variant: 3", "unknown variant '3'"),
            ("epochs: [", "a.yaml is no YAML"),
            ("- 1", "holds no options"),
            ("", "holds no options"),
            ("epochs: abc", "a.yaml: epochs='abc': must be a whole number"),
            ("epochs: 2.5", "epochs=2.5"),
            ("seed: true", "seed=True"),
            ("lr: fast", "a.yaml: lr='fast': must be a number"),
            ("hidden: many", "a.yaml: hidden='many': must be a whole number"),
            ("hidden: [a]", "hidden=['a']"),
            ("latent_dim: null", "latent_dim=None"),
            ("likelihood: 3", "a.yaml: likelihood=3: must be text"),
            ("data: 7", "data=7"),
            ("validation: x", "validation='x'"),
            ("dequantize: 2", "a.yaml: dequantize=2: must be True or False"),
            ("precision: half", "a.yaml: precision='half': must be one of auto, "),
            ("binarize: maybe", "a.yaml: binarize='maybe': must be one of "),
            ("1: 2", "'1'"),
            ("x: !!python/object/apply:os.mkdir [executed]", "a.yaml is no YAML"),
            ("\x00", "a.yaml"),
        ],
    )
    def test_file_that_makes_no_sense(self, tmp_path: Path, text: str, said: str) -> None:
        (tmp_path / "a.yaml").write_text(text + "\n")
        named = "" if text.startswith("variant") else "vae"
        refused(f"train {named} --config a.yaml --out run", said)
        assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]

    def test_of_a_run_that_was_edited(self, runs: Path, tmp_path: Path) -> None:
        shutil.copytree(runs / "vae", tmp_path / "run")
        config = tmp_path / "run" / "config.yaml"
        text = config.read_text()
        config.write_text(text.replace("epochs: 1\n", "epochs: many\n"))
        refused("train --resume run", "epochs='many'")
        config.write_text(text.replace("variant: vae\n", "variant: vea\n"))
        refused("train --resume run", "did you mean 'vae'")
        refused("sample run", "did you mean 'vae'")


class TestDataFiles:
    def test_whole_ones_do(self, tmp_path: Path) -> None:
        write_mnist(tmp_path / "mnist")
        reparam(f"{TRAIN} --data mnist --data-dir {tmp_path} --out run")

    def test_missing(self, tmp_path: Path) -> None:
        refused(f"{TRAIN} --data mnist --data-dir {tmp_path}", "mnist", str(tmp_path))
        write_mnist(tmp_path / "mnist")
        (tmp_path / "mnist" / "train-labels-idx1-ubyte.gz").unlink()
        refused(f"{TRAIN} --data mnist --data-dir {tmp_path}", "train-labels-idx1-ubyte")

    @pytest.mark.parametrize("damage", ["short", "flipped", "text", "empty", "labels", "shape"])
    def test_damaged(self, tmp_path: Path, damage: str) -> None:
        write_mnist(tmp_path / "mnist")
        path = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
        content = path.read_bytes()
        if damage == "short":
            path.write_bytes(content[: len(content) // 2])
        elif damage == "flipped":
            path.write_bytes(content[:5000] + bytes([content[5000] ^ 255]) + content[5001:])
        elif damage == "text":
            path.write_text("<html>not found</html>")
        elif damage == "empty":
            path.write_bytes(b"")
        elif damage == "labels":
            labels = path.with_name("train-labels-idx1-ubyte.gz")
            labels.write_bytes(gzip.compress(idx(np.zeros(39))))
        else:
            path.write_bytes(gzip.compress(idx(np.zeros((40, 20, 20)))))
        said = refused(f"{TRAIN} --data mnist --data-dir {tmp_path} --out run", "train-")
        assert str(tmp_path / "mnist") in said
        assert not (tmp_path / "run").exists()


class TestFullDisk:
    def full(self, *arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    def test_while_a_checkpoint_is_written(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        line = (
            "train vae --hidden 4 --latent-dim 2 --epochs 2 --batch-size 512 --log-every 1 "
            "--checkpoint-every 0 --pictures-every 0 --out run"
        )
        reparam(line.replace("--out run", "--out whole"))
        real, count = os.fsync, [0]

        def fsync(handle: int) -> None:
            count[0] += 1
            if count[0] == 9:  # within the checkpoint of step 3
                self.full()
            real(handle)

        with monkeypatch.context() as patch:
            patch.setattr("reparam.utils.files.os.fsync", fsync)
            refused(line, "no space left on the disk for ", "then resume the run", code=1)
        kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
        assert kept == [
            f"step-00000000{step}.{kind}" for step in (1, 2) for kind in ("json", "safetensors")
        ]
        # With space again it goes on to the same end.
        reparam("train --resume run")
        assert (tmp_path / "run" / "model.safetensors").read_bytes() == (
            tmp_path / "whole" / "model.safetensors"
        ).read_bytes()

    def test_while_metrics_are_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = Path.open

        def opened(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            if path.name == "metrics.jsonl" and mode == "a":
                self.full()
            return real(path, mode, *arguments, **options)

        monkeypatch.setattr(Path, "open", opened)
        refused(f"{TRAIN} --out run", "no space left on the disk for run/metrics.jsonl", code=1)

    def test_while_the_folder_is_begun(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("reparam.utils.files.os.fsync", self.full)
        refused(f"{TRAIN} --out run", "no space left on the disk for run/config.yaml", code=1)
        assert contents(tmp_path) == {}

    def test_while_events_are_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from torch.utils.tensorboard import SummaryWriter

        monkeypatch.setattr(SummaryWriter, "add_scalar", self.full)
        refused(f"{TRAIN} --out run", "no space left on the disk for run/events", code=1)

    @pytest.mark.slow
    def test_for_real(self, tmp_path: Path) -> None:
        """The system itself refuses to let files grow: no function of ours is replaced."""
        for limit in (0, 100, 1500, 6000):
            out = tmp_path / str(limit)
            code = (
                "import resource, signal, sys; from reparam.cli.main import main;"
                "import reparam.cli.train, torch._dynamo;"
                "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
                f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
                f"sys.exit(main('{TRAIN} --out {out}'.split()))"
            )
            words = [sys.executable, "-B", "-c", code]
            done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
            assert done.returncode == 1, done.stderr
            assert done.stderr.splitlines()[-1].startswith("reparam: cannot write ")
            assert "Traceback" not in done.stderr


class TestLoss:
    def test_that_diverges_names_step_and_cause(self) -> None:
        line = TRAIN.replace("--epochs 1", "--epochs 20").replace("2000", "256")
        said = reparam(f"{line} --lr 1e30 --clip-norm 0 --out run", code=1).err.splitlines()[-1]
        assert said.startswith("reparam: the ")
        assert "not finite" in said
        assert "step " in said
        assert "--lr 1e+29" in said

    def test_that_is_poisoned_keeps_the_last_good_checkpoint(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        real = Step.__call__

        def step(self: Step, batch: rp.Batch) -> dict[str, torch.Tensor]:
            if self.n_taken == 2:
                batch = rp.Batch(batch.x * float("nan"), batch.y)
            return real(self, batch)

        line = f"{TRAIN} --binarize dynamic --log-every 1 --checkpoint-every 0 --out run"
        line = line.replace("2000", "400")
        with monkeypatch.context() as patch:
            patch.setattr(Step, "__call__", step)
            said = refused(line, "not finite at step 2 (epoch 1): loss nan", code=1)
        assert "the last good checkpoint is in run/checkpoints" in said
        assert (tmp_path / "run" / "checkpoints" / "step-000000002.json").exists()
        reparam("train --resume run")


class TestRunsOfOthers:
    def test_a_pickle_is_refused(self, runs: Path, tmp_path: Path) -> None:
        shutil.copytree(runs / "vae", tmp_path / "run")
        shutil.rmtree(tmp_path / "run" / "checkpoints")
        (tmp_path / "run" / "model.safetensors").write_bytes(
            pickle.dumps(Bomb(tmp_path / "executed"))
        )
        reparam("sample run", code=1)
        assert not (tmp_path / "executed").exists()

    def test_a_tag_of_python_is_refused(self, runs: Path, tmp_path: Path) -> None:
        shutil.copytree(runs / "vae", tmp_path / "run")
        with (tmp_path / "run" / "config.yaml").open("a") as stream:
            stream.write("x: !!python/object/apply:os.mkdir [executed]\n")
        for line in ("sample run", "evaluate run", "train --resume run"):
            refused(line, "config.yaml cannot be read", code=1)
        assert not (tmp_path / "executed").exists()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_place_without_permission(self, tmp_path: Path) -> None:
        (tmp_path / "closed").mkdir(mode=0o500)
        refused(f"{TRAIN} --out closed/run", "Permission denied", code=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "seed=3"], "seed=3 holds no run"),
        (["train", "vae", "--config", "seed=3.yaml"], "seed=3.yaml"),
        (["train", "vae", "--data", "text", "--path=size=3.txt"], "size=3.txt"),
        (["train", "vae", "--epochs=0"], "--epochs 0: must be at least 1"),
    ],
)
def test_a_path_with_an_equals_sign_is_shown_as_it_was_typed(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in reparam(*words, code=None).err

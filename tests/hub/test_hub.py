"""Model folders and their cards, sent to and fetched from a stand-in of the hub."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from huggingface_hub import constants
from PIL import Image

import reparam as rp
from reparam.errors import CheckpointError, MissingPackageError, OptionError, RunError
from reparam.hub.folder import FILES
from reparam.report.card import card
from tests.hub.stand_in import TOKEN, Repository, StandIn, commit_id, serving
from tests.support import quick_fit, refused, reparam, same, sentence

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on digits, with stored figures."""
    place = tmp_path_factory.mktemp("runs") / "digits-vae-1"
    data = rp.data.load("digits")
    quick_fit(lambda spec: rp.variants.vae(spec, latent_dim=2, hidden=[8]), data, out=place)
    rp.load(place).evaluate(n_samples=3)
    return place


@pytest.fixture
def run(folder: Path) -> rp.Run:
    return rp.load(folder)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A stand-in of the hub, which huggingface_hub takes for the hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with serving() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            server.address + "/{repo_id}/resolve/{revision}/{filename}",
        )
        yield server


def head_of(text: str) -> dict[str, Any]:
    """Return the metadata of a card."""
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


class TestFolder:
    def test_loads_by_itself_as_the_run_that_it_came_from(
        self, run: rp.Run, tmp_path: Path
    ) -> None:
        place = rp.hub.save(run, tmp_path / "shared", license="mit")
        again = rp.load(place)
        assert same(again, run)
        assert torch.equal(again.sample(3), run.sample(3))
        assert again.kept_evaluation() == run.kept_evaluation()
        assert again.rows == run.rows
        x = run.examples(limit=5).x
        assert torch.equal(again.encode(x), run.encode(x))
        assert rp.compare([run, again]) is not None

    def test_holds_nothing_else(self, run: rp.Run, tmp_path: Path) -> None:
        place = rp.hub.save(run, tmp_path / "shared", license="mit")
        names = {path.name for path in place.iterdir()}
        assert names == set(FILES) - {"report.html"}
        with Image.open(place / "samples.png") as picture:
            assert picture.size[0] > 400

    @pytest.mark.slow
    def test_has_a_report_on_request(self, run: rp.Run, tmp_path: Path) -> None:
        place = rp.hub.save(run, tmp_path / "shared", license="mit", report=True)
        assert "<html" in (place / "report.html").read_text()

    def test_has_no_place_of_this_machine(self, tmp_path: Path) -> None:
        home = tmp_path / "home" / "of-alice"
        home.mkdir(parents=True)
        rows = pd.DataFrame({"age": RNG.integers(20, 60, 300), "pay": RNG.gamma(2, 9, 300)})
        rows.to_csv(home / "people.csv", index=False)
        (home / "kinds.yaml").write_text("age: real\n")
        options = "--steps 5 --hidden 4 --latent-dim 2 --lr 0.001 --early-stopping 0"
        words = [home / "people.csv", "--schema", home / "kinds.yaml", "--out", home / "a"]
        reparam(f"train vae {options} --data", *words)
        reparam(
            "refit-prior",
            home / "a",
            "--prior mixture --n-components 2 --steps 5 --out",
            home / "b",
        )
        for name in ("a", "b"):
            place = rp.hub.save(rp.load(home / name), tmp_path / f"shared-{name}", license="mit")
            for path in place.iterdir():
                assert b"of-alice" not in path.read_bytes(), path.name
            config = yaml.safe_load((place / "config.yaml").read_text())
            assert (config["path"], config["schema"]) == ("people.csv", "kinds.yaml")
            assert same(rp.load(place), rp.load(home / name))

    def test_of_a_run_in_memory_takes_its_figures_by_hand(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        data = rp.data.load("digits")
        run = quick_fit(rp.variants.vae(data.spec, latent_dim=2, hidden=[4]), data)
        found = run.evaluate(n_samples=2)
        again = rp.load(rp.hub.save(run, tmp_path / "a", license="mit", evaluation=found))
        kept = again.kept_evaluation()
        assert kept is not None
        assert kept.to_dict() == found.to_dict()
        assert same(again, run)
        assert capsys.readouterr().err == ""

    def test_of_a_run_that_is_not_finished_is_refused(self, folder: Path, tmp_path: Path) -> None:
        place = Path(shutil.copytree(folder, tmp_path / "run"))
        (place / "model.json").unlink()
        with pytest.raises(RunError, match="is not finished: go on with") as caught:
            rp.hub.save(rp.load(place), tmp_path / "shared", license="mit")
        sentence(caught)
        assert not (tmp_path / "shared").exists()

    def test_overwrites_nothing(self, run: rp.Run, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("mine")
        with pytest.raises(RunError, match="is not empty"):
            rp.hub.save(run, tmp_path, license="mit")

    @pytest.mark.parametrize("license", ["", "MIT License", "a\nb: c", 3])
    def test_needs_a_license(self, run: rp.Run, tmp_path: Path, license: Any) -> None:
        with pytest.raises(OptionError, match="identifier of the model's license") as caught:
            rp.hub.save(run, tmp_path / "shared", license=license)
        sentence(caught)
        assert not (tmp_path / "shared").exists()


class TestCard:
    def test_has_the_metadata_of_the_hub(self, run: rp.Run, tmp_path: Path) -> None:
        run.save_card(tmp_path, license="cc-by-4.0", repository="me/digits")
        loaded = huggingface_hub.ModelCard.load(tmp_path / "README.md").data
        assert loaded.license == "cc-by-4.0"
        assert loaded.library_name == "reparam"
        assert loaded.datasets == ["digits"]
        assert {"vae", "variational-autoencoder"} <= set(loaded.tags or ())
        assert loaded.model_name == "digits"
        found = run.kept_evaluation()
        assert found is not None
        values = {each.metric_type: each.metric_value for each in loaded.eval_results or ()}
        assert values["elbo"] == found.elbo
        assert values["log_likelihood"] == found.log_likelihood
        assert set(values) == set(loaded.metrics or ())
        assert {each.dataset_split for each in loaded.eval_results or ()} == {"test"}

    def test_says_which_figures_are_likelihoods(self, run: rp.Run) -> None:
        text = card(run, license="mit").text
        found = run.kept_evaluation()
        assert found is not None
        rows = re.findall(r"^\| (\S+) \| (.+?) \| .* \| (yes|no) \|$", text, re.MULTILINE)
        said = {
            name.replace("\\", ""): (value.replace("\xa0", " "), yes) for name, value, yes in rows
        }
        assert said["elbo"] == (str(found["elbo"]), "yes")
        assert said["kl"] == (str(found["kl"]), "no")
        assert "±" in said["log_likelihood"][0]

    def test_of_a_cross_entropy_has_no_likelihood(self, tmp_path: Path) -> None:
        data = rp.data.load("digits", binarize="none")
        recipe = rp.variants.vae(data.spec, latent_dim=2, hidden=[4], likelihood="cross-entropy")
        run = quick_fit(recipe, data, out=tmp_path / "run")
        run.evaluate(n_samples=2)
        text = card(run, license="mit").text
        assert "| no |" in text
        assert "| yes |" not in text
        assert "no likelihood of x" in text

    def test_without_figures_says_so(self, folder: Path, tmp_path: Path) -> None:
        place = Path(shutil.copytree(folder, tmp_path / "run"))
        (place / "evaluation.json").unlink()
        text = card(rp.load(place), license="mit").text
        assert "model-index" not in head_of(text)
        assert "None were stored with the run" in text

    @pytest.mark.parametrize(
        "kind", ["images", "label", "table", "array", "autoencoder", "covariates", "by hand"]
    )
    def test_has_lines_that_load_and_use_the_model(
        self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        digits, x = rp.data.load("digits"), RNG.normal(size=(60, 3)).astype("float32")
        options: dict[str, Any] = {"out": tmp_path / "run", "steps": 2, "epochs": None, "lr": 1e-3}
        small: dict[str, Any] = {"latent_dim": 2, "hidden": [4]}
        names: dict[str, Any] = {}
        match kind:
            case "images":
                quick_fit(rp.variants.vae(digits.spec, **small), digits, **options)
            case "label":
                data = digits.conditioned("label")
                quick_fit(rp.variants.cvae(data.spec, **small), data, **options)
            case "table":
                rows = pd.DataFrame({"a": x[:, 0], "b": np.where(x[:, 1] > 0, "F", "M")})
                quick_fit(rp.variants.vae, rows, **options)
            case "array":
                quick_fit(rp.variants.vae, x, **options)
            case "autoencoder":
                quick_fit(rp.variants.ae(digits.spec, **small), digits, **options)
            case "covariates":
                data = rp.data.from_arrays(x, covariates={"age": x[:, 0]})
                quick_fit(rp.variants.cvae, data, **options)
            case "by hand":
                model = rp.variants.vae(rp.DataSpec((3,), "real"), **small).model
                recipe = rp.Recipe(model, rp.objectives.ELBO())
                quick_fit(recipe, x, **options)
                names["made"] = model
        given = names.get("made")
        run = rp.load(tmp_path / "run", model=given)
        place = rp.hub.save(run, tmp_path / "shared", license="mit")
        (code,) = re.findall(r"```python\n(.*?)```", (place / "README.md").read_text(), re.DOTALL)
        assert len([line for line in code.splitlines() if line]) <= 6
        monkeypatch.chdir(tmp_path)
        exec(code.replace("model = ...", "model = made"), names)  # noqa: S102
        assert isinstance(names["run"], rp.Run)
        assert (place / "samples.png").exists() == (kind in ("images", "label"))
        is_table = kind in ("table", "array", "covariates", "by hand")
        assert ("not private by themselves" in (place / "README.md").read_text()) == is_table

    def test_names_cannot_become_markup(self, run: rp.Run) -> None:
        text = card(run, license="mit", name="a|b <script>\n---\n*c*").text
        title = next(line for line in text.splitlines() if line.startswith("# "))
        assert title == "# a\\|b &lt;script&gt; --- \\*c\\*"
        assert head_of(text)["license"] == "mit"

    def test_has_the_command_that_repeats_the_run(self, run: rp.Run, tmp_path: Path) -> None:
        place = rp.hub.save(run, tmp_path / "shared", license="mit")
        (command,) = re.findall(r"^reparam (train .*)$", (place / "README.md").read_text(), re.M)
        told = command.replace("config.yaml", str(place / "config.yaml"))
        reparam(told.replace("--out again", f"--out {tmp_path / 'again'}"))
        assert same(rp.load(tmp_path / "again"), run)


class TestRepository:
    def test_gives_back_what_was_sent(self, hub: StandIn, run: rp.Run, tmp_path: Path) -> None:
        url = rp.hub.push(run, "me/digits", license="mit", message="first")
        assert url == f"{hub.address}/me/digits"
        sent = hub.repositories["me/digits"]
        assert (sent.private, sent.messages) == (False, ["first"])
        assert set(sent.files) == set(FILES) - {"report.html"}
        place = rp.hub.pull("me/digits", tmp_path / "a")
        assert {p.name: p.read_bytes() for p in place.iterdir()} == sent.files
        again = rp.load(place)
        assert same(again, run)
        assert again.kept_evaluation() == run.kept_evaluation()
        assert "rp.hub.pull('me/digits')" in (place / "README.md").read_text()

    def test_by_the_command_line(self, hub: StandIn, folder: Path, tmp_path: Path) -> None:
        said = reparam("push", folder, "me/digits --license mit --private").out
        assert said == f"{hub.address}/me/digits\n"
        assert hub.repositories["me/digits"].private
        for number in (1, 2):
            said = reparam("pull me/digits").out
            assert f"The model is in {Path('runs') / f'digits-{number}'}" in said
        reparam("sample runs/digits-1 --out a.npy")
        assert np.load("a.npy").shape == (64, 1, 8, 8)

    def test_dry_run_sends_nothing(self, hub: StandIn, folder: Path, tmp_path: Path) -> None:
        said = reparam("push", folder, "--license mit --dry-run", tmp_path / "dry").out
        assert "nothing was sent" in said
        assert hub.repositories == {}
        assert same(rp.load(tmp_path / "dry"), rp.load(folder))

    def test_a_second_push_replaces_the_model_and_leaves_other_files(
        self, hub: StandIn, run: rp.Run, tmp_path: Path
    ) -> None:
        rp.hub.push(run, "me/digits", license="mit")
        sent = hub.repositories["me/digits"]
        sent.files.update({"notes.txt": b"mine", "report.html": b"of before"})
        rp.hub.push(run, "me/digits", license="mit")
        assert "report.html" not in sent.files
        assert sent.files["notes.txt"] == b"mine"
        place = rp.hub.pull("me/digits", tmp_path / "first", revision=commit_id(1))
        assert (place / "report.html").exists()
        assert not (place / "notes.txt").exists()

    def test_fetches_only_files_of_a_model_folder(
        self, hub: StandIn, run: rp.Run, tmp_path: Path
    ) -> None:
        rp.hub.push(run, "me/digits", license="mit")
        files = hub.repositories["me/digits"].files
        for name in (
            "run.py",
            "checkpoints/a.pt",
            "sub/config.yaml",
            "../config.yaml",
            ".gitignore",
        ):
            files[name] = b"import os"
        place = rp.hub.pull("me/digits", tmp_path / "inner" / "a")
        assert {p.name for p in place.iterdir()} == set(FILES) - {"report.html"}
        assert sorted(p.name for p in tmp_path.iterdir()) == ["inner"]


class TestRefusals:
    def test_there_is_no_such_repository(self, hub: StandIn, tmp_path: Path) -> None:
        said = refused("pull me/missing", "there is no repository me/missing, or it is private")
        assert "HF_TOKEN" in said
        assert list(tmp_path.iterdir()) == []

    def test_a_private_repository_without_a_token(
        self, hub: StandIn, run: rp.Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rp.hub.push(run, "me/digits", license="mit", private=True)
        monkeypatch.delenv("HF_TOKEN")
        refused("pull me/digits", "or it is private")

    def test_there_is_no_such_revision(self, hub: StandIn, run: rp.Run) -> None:
        rp.hub.push(run, "me/digits", license="mit")
        refused("pull me/digits --revision v9", "me/digits has no revision 'v9'")

    def test_a_push_without_a_token(
        self, hub: StandIn, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("HF_TOKEN")
        refused(f"push {folder} me/digits --license mit", "the hub needs a token for me/digits")

    def test_a_namespace_of_another(self, hub: StandIn, folder: Path) -> None:
        refused(f"push {folder} other/digits --license mit", "does not let this token use other/")

    def test_a_private_model_for_a_public_repository(self, hub: StandIn, folder: Path) -> None:
        hub.repositories["me/digits"] = Repository()
        refused(f"push {folder} me/digits --license mit --private", "me/digits is public already")
        assert hub.repositories["me/digits"].files == {}

    @pytest.mark.parametrize("words", ["pull me/digits", "push {} me/digits --license mit"])
    def test_a_hub_that_is_out_of_order(self, hub: StandIn, folder: Path, words: str) -> None:
        hub.fails_with = 404
        refused(words.format(folder), "me/digits")

    @pytest.mark.parametrize("words", ["pull me/digits", "push {} me/digits --license mit"])
    def test_no_network(
        self, hub: StandIn, folder: Path, words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        refused(words.format(folder), "the hub cannot be reached at http://127.0.0.1:9")

    @pytest.mark.parametrize("name", ["", "a/b/c", "../a", "a b", "me/..", "-a"])
    def test_a_name_that_is_none(self, run: rp.Run, name: str) -> None:
        for action in (
            lambda: rp.hub.pull(name),
            lambda: rp.hub.push(run, name, license="mit"),
        ):
            with pytest.raises(OptionError, match="is no name of a repository") as caught:
                action()
            sentence(caught)

    def test_a_repository_of_something_else(self, hub: StandIn, tmp_path: Path) -> None:
        hub.repositories["me/llm"] = Repository(commits=[{"pytorch_model.bin": b"x"}])
        refused("pull me/llm", "me/llm holds no model folder of reparam (no config.yaml)")
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_holds_a_run(self, hub: StandIn, folder: Path) -> None:
        refused(f"pull me/digits --out {folder}", "holds another run")

    def test_damaged_weights_and_a_newer_format(self, hub: StandIn, run: rp.Run) -> None:
        rp.hub.push(run, "me/digits", license="mit")
        files = hub.repositories["me/digits"].files
        sound = dict(files)
        files["model.safetensors"] = sound["model.safetensors"][:-1] + b"\xff"
        with pytest.raises(CheckpointError, match="checksum does not match") as caught:
            rp.hub.pull("me/digits")
        sentence(caught)
        files["config.yaml"] = sound["config.yaml"].replace(b"format: 1", b"format: 9")
        with pytest.raises(CheckpointError, match=r"has format 9.*upgrade reparam") as caught:
            rp.hub.pull("me/digits")
        sentence(caught)
        assert not Path("runs").exists()

    def test_without_huggingface_hub_the_command_that_installs_it_is_told(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "huggingface_hub.utils", None)
        with pytest.raises(MissingPackageError, match=r"pip install 'reparam\[hub\]'") as caught:
            rp.hub.pull("me/digits")
        sentence(caught)


def test_evaluation_json_has_no_place_of_features(run: rp.Run, tmp_path: Path) -> None:
    found = run.kept_evaluation()
    assert found is not None
    facts = found.to_dict() | {"features": str(tmp_path / "secret" / "run")}
    place = rp.hub.save(
        run, tmp_path / "a", license="mit", evaluation=type(found).from_dict(facts, {})
    )
    assert json.loads((place / "evaluation.json").read_text())["features"] == "run"

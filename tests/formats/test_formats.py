"""Runs that were stored in each format are read, and have the figures that they had.

``make.py`` beside this file has made them. A format that is released keeps its folder here.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import reparam as rp
from reparam.errors import CheckpointError, ReparamError
from reparam.training.checkpoint import FORMAT, load_tensors
from tests.formats.make import HERE, N_SAMPLES
from tests.support import same, sentence

FORMATS = sorted(path.name for path in HERE.iterdir() if path.name.isdigit())
RUNS = [(number, name) for number in FORMATS for name in ("digits-vae", "people-vae")]

EXACT = ("n_examples", "is_likelihood", "data", "data_sha256", "latent_dim", "kl_method")
"""The facts of an evaluation that no other version of torch changes."""


@pytest.fixture
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a stored run, which a test may write to."""
    number, name = request.param
    place = Path(shutil.copytree(HERE / number, tmp_path / number))
    return place / name


every_run = pytest.mark.parametrize("stored", RUNS, indirect=True, ids="/".join)


def data_of(run: rp.Run, folder: Path) -> rp.data.Dataset:
    is_table = run.config["data"] == "table"
    return run.dataset(path=folder.parent / "people.csv") if is_table else run.dataset()


def test_the_format_of_today_is_stored() -> None:
    assert str(FORMAT) in FORMATS, "run tests/formats/make.py"
    size = sum(path.stat().st_size for path in HERE.rglob("*") if path.is_file())
    assert size < 200_000 * len(FORMATS)


@every_run
def test_figures_are_those_of_then(stored: Path) -> None:
    run = rp.load(stored)
    kept = run.kept_evaluation()
    assert kept is not None
    data = data_of(run, stored)
    found = run.evaluate(data, n_samples=N_SAMPLES, keep=False, device="cpu")
    assert {name: vars(found.facts)[name] for name in EXACT} == {
        name: vars(kept.facts)[name] for name in EXACT
    }
    assert set(found) == set(kept)
    for name in ("elbo", "reconstruction", "kl", "log_likelihood"):
        # Draws may differ where torch draws in another way; their means then hardly do.
        error = kept[name].stderr or 0.0
        assert found[name].value == pytest.approx(kept[name].value, abs=0.2 * error), name


@every_run
def test_a_run_is_used_and_shared(stored: Path, tmp_path: Path) -> None:
    run = rp.load(stored)
    assert run.sample(3).shape == (3, *run.spec.shape)
    assert len(run.rows) > 10
    assert {"train", "validation"} >= {row["split"] for row in run.rows}
    again = rp.load(rp.hub.save(run, tmp_path / "shared", license="mit"))
    assert same(again, run)
    assert again.kept_evaluation() == run.kept_evaluation()


@every_run
def test_weights_are_those_of_the_plain_file(stored: Path) -> None:
    tensors = load_tensors(stored / "model.safetensors").tensors
    loaded = rp.load(stored).model.state_dict()
    assert same({name: loaded[name] for name in tensors}, tensors)
    assert loaded.keys() == tensors.keys()


@every_run
def test_the_checkpoint_is_read(stored: Path) -> None:
    final = rp.load(stored)
    for path in stored.glob("model.*"):
        path.unlink()
    unfinished = rp.load(stored)
    x = final.sample(4)
    assert torch.equal(unfinished.encode(x), final.encode(x))


@every_run
def test_a_newer_format_is_one_sentence(stored: Path) -> None:
    sound = (stored / "config.yaml").read_text()
    config: dict[str, Any] = yaml.safe_load(sound)
    config["recorded"] = {"format": FORMAT + 1, "invented": 3}  # nothing else need be the same
    (stored / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(CheckpointError, match="upgrade reparam to use the run") as caught:
        rp.load(stored)
    assert f"has format {FORMAT + 1}" in sentence(caught)
    (stored / "config.yaml").write_text(sound)
    shutil.rmtree(stored / "checkpoints")
    record = json.loads((stored / "model.json").read_bytes())
    (stored / "model.json").write_text(json.dumps({**record, "format": FORMAT + 1}))
    with pytest.raises(CheckpointError, match="upgrade reparam to use the run") as caught:
        rp.load(stored)
    sentence(caught)


@every_run
def test_a_variant_of_a_newer_version_is_one_sentence(stored: Path) -> None:
    place = stored / "config.yaml"
    text = place.read_text().replace("variant: vae", "variant: invented-vae")
    place.write_text(text.replace("reparam: 0.1.0", "reparam: 99.1"))
    with pytest.raises(ReparamError, match="unknown variant 'invented-vae'") as caught:
        rp.load(stored)
    assert "was written by reparam 99.1" in sentence(caught)

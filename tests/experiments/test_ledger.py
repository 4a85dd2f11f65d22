"""The experiments and their ledger: what they list, run, write and refuse, and their measures."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Normal

import reparam as rp
from experiments.common import seeds
from experiments.common.divergences import gaussian, interval, monte_carlo, numeric, refusal
from experiments.kl_three_ways import naive_penalty
from experiments.ledger import provenance
from experiments.ledger.command import print_result
from experiments.ledger.options import Options
from experiments.ledger.page import write_page
from experiments.ledger.protocol import Protocol, digest
from experiments.ledger.registry import experiments, get, names
from experiments.ledger.rows import Findings, Result, Row, measured
from experiments.ledger.run import reproduce
from experiments.swapped_gradient import (
    PLACES,
    Detached,
    exact_elbo,
    finite_differences,
    gradients,
)
from experiments.table_4_1 import PUBLISHED
from experiments.without_kl import nearest_distance
from reparam.cli import reproduce as verb
from reparam.errors import DataError, Interrupted, OptionError
from reparam.runs.folder import RunFolder
from reparam.training.checkpoint import save_tensors
from tests.support import ROOT, quick_fit, reparam, write_mnist

REPRODUCED = ROOT / "docs" / "reproduced"
QUICK = {"epochs": 1, "n_samples": 20}
LIGHT = [found.name for found in experiments() if found.data is None]


def quick(name: str, **options: object) -> Options:
    found = get(name)
    asked = {key: value for key, value in QUICK.items() if getattr(found, key)}
    return Options(**{**asked, "progress": False, "device": "cpu", **options})  # type: ignore[arg-type]


def test_list_has_every_experiment() -> None:
    said = reparam("reproduce --list").out
    for found in experiments():
        assert found.name in said
        assert found.summary.endswith(".")
        assert found.protocol


@pytest.mark.parametrize("name", names())
def test_source_is_a_citation(name: str) -> None:
    """Every source has a title, and a year where it is a paper; none is "a tutorial" or so."""
    source = get(name).source
    vague = r"^(a|an|the|two) (public |)(document|tutorial|library)|\bet al\., [A-Z]+ \d{4}"
    assert re.search(vague, source) is None
    assert re.search(r"\b(19|20)\d\d\b|README|[Tt]utorial|not recorded|sections", source)


def test_only_the_verb_imports_the_experiments() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "src").rglob("*.py")
        if re.search(
            r"(from|import) experiments\b|\bimport_module\(\"experiments", path.read_text("utf-8")
        )
    }
    assert found == {"src/reparam/cli/reproduce.py"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["src/reparam"]


def test_experiments_use_no_private_names() -> None:
    for path in (ROOT / "experiments").rglob("*.py"):
        text = path.read_text("utf-8")
        assert not re.search(r"^(from|import) reparam[\w.]*\._", text, re.MULTILINE), path
        assert not re.search(r"^from reparam[\w.]* import .*\b_", text, re.MULTILINE), path


def test_elsewhere_the_verb_names_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "ROOT", tmp_path)
    told = reparam("reproduce table-4-1", code=2).err
    assert told.count("\n") == 1
    assert "in a clone of the repository" in told


def test_the_package_finds_the_experiments_of_its_clone(tmp_path: Path) -> None:
    """From another folder, and as a module in the root; without a name it lists the names."""
    for module, folder in ((["reparam", "reproduce"], tmp_path), (["experiments"], ROOT)):
        command = [sys.executable, "-m", *module]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 2
        assert ", ".join(names()) in done.stderr


def test_unknown_experiment_names_the_nearest() -> None:
    assert "did you mean 'table-4-1'?" in reparam("reproduce tabel-4-1", code=2).err
    assert get("Without_KL").name == "without-kl"


def test_an_experiment_must_be_named() -> None:
    assert "table-4-1" in reparam("reproduce", code=2).err


@pytest.mark.parametrize("name", LIGHT)
def test_light_experiment_runs_small(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeds, "N_SEEDS", 2)
    before = torch.random.get_rng_state()
    out = tmp_path / "result.json"
    result = reproduce(name, quick(name), out=out, command="reparam reproduce")
    assert torch.equal(torch.random.get_rng_state(), before)
    stored = json.loads(out.read_text())
    assert stored == result.to_dict()
    keys = "name source protocol met rows notes details figures format command version commit date"
    for key in [*keys.split(), "seed", "options", "seconds", "machine"]:
        assert key in stored
    assert {"what", "unit", "ours", "stderr", "published", "target", "met"} <= set(
        stored["rows"][0]
    )
    assert {"cores", "cpu", "torch", "threads"} <= set(stored["machine"])
    for figure in stored["figures"]:
        assert (tmp_path / figure).stat().st_size > 1000
    # What a quick look leaves out is said.
    assert stored["notes"][0].startswith("Not the protocol: ")


@pytest.mark.parametrize("name", ["table-4-1", "tutorial-mnist"])
def test_mnist_experiment_runs_small(name: str, tmp_path: Path) -> None:
    data_dir = write_mnist(tmp_path / "data" / "mnist", 96, 96, zipped=False).parent
    out = tmp_path / "out" / "result.json"
    words = ["--epochs", "1", "--n-samples", "2", "--data-dir", str(data_dir), "--out", str(out)]
    said = reparam("reproduce", name, *words).out
    stored = json.loads(out.read_text())
    assert all((out.parent / figure).is_file() for figure in stored["figures"])
    assert stored["command"].startswith(f"reparam reproduce {name} --epochs 1")
    if name == "table-4-1":
        assert len(stored["rows"]) == 9
        assert len(stored["figures"]) == 3
        for figure in ("-104.675", "-98.331", "0.0163", "-118.023", "0.0224", "0.0207"):
            assert figure in said
        assert "bound no likelihood" in " ".join(said.split())
        assert not any(found["is_likelihood"] for found in stored["details"].values())


MNIST = [e.name for e in experiments() if e.data == "mnist" and e.name != "zoo"]


@pytest.mark.slow
@pytest.mark.parametrize("name", MNIST)
def test_every_experiment_on_mnist_has_the_rows_of_its_stored_result(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a few images of noise; numbers within a row's text, such as the epochs, differ."""
    few = {
        "labels_asked_for.N_GENERATED": 5,
        "vq_vae.N_GENERATED": 50,
        "autoencoders.N_JACOBIANS": 20,
        "vampprior_mlp.HELD_OUT": 16,
        "jaanli.HELD_OUT": 16,
        "common.few_labels.LABELS_PER_CLASS": 2,
    }
    for place, size in few.items():
        monkeypatch.setattr(f"experiments.{place}", size)
    data_dir = write_mnist(tmp_path / "data" / "mnist", 500, 500, zipped=False).parent
    out = tmp_path / f"{name}.json"
    reproduce(name, quick(name, data_dir=str(data_dir)), out=out)
    found, stored = (json.loads(file.read_text("utf-8")) for file in (out, REPRODUCED / out.name))
    assert found["figures"] == stored["figures"]
    for key in ("what", "unit", "rule", "published"):
        texts = [[re.sub(r"\d+", "", str(row[key])) for row in r["rows"]] for r in (found, stored)]
        assert texts[0] == texts[1]


def test_the_zoo_collects_results_and_leaves_out_finished_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.zoo.MEMBERS", ("swapped-gradient",))
    reproduce("swapped-gradient", out=tmp_path / "swapped-gradient.json")
    result = reproduce("zoo", Options(progress=False), out=tmp_path / "zoo.json")
    assert result.rows[0].what == "swapped-gradient: reparameterized, mean of the draws"
    assert all(row.target is not None for row in result.rows)
    assert result.facts["seconds"] < 5


def test_the_published_table_is_the_documents() -> None:
    assert PUBLISHED[200, 20] == (-118.023, -106.975, 0.0224)
    assert PUBLISHED[400, 10] == (-113.538, -104.684, 0.0207)


@pytest.mark.parametrize("name", ["table-4-1", "tutorial-mnist"])
def test_missing_data_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mnist"):
        reproduce(name, Options(data_dir=str(tmp_path), progress=False))
    assert "Traceback" not in reparam("reproduce", name, "--data-dir", tmp_path, code=1).err


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("swapped-gradient", {"epochs": 3}, "trains nothing"),
        ("swapped-gradient", {"data_dir": "somewhere"}, "needs no data"),
        ("without-kl", {"epochs": 0}, "at least 1"),
        ("without-kl", {"n_samples": 1}, "at least 2"),
        ("without-kl", {"seed": -1}, "at least 0"),
    ],
)
def test_senseless_options_are_refused(name: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        reproduce(name, Options(**options))  # type: ignore[arg-type]


def test_a_file_with_something_else_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "package.json"
    out.write_text('{"name": "mine"}')
    with pytest.raises(OptionError, match="something else"):
        reproduce("swapped-gradient", quick("swapped-gradient"), out=out)
    assert out.read_text() == '{"name": "mine"}'
    with pytest.raises(OptionError, match=r"must end in \.json"):
        reproduce("swapped-gradient", quick("swapped-gradient"), out=tmp_path / "result.txt")
    again = tmp_path / "again.json"
    for seed in (0, 1):
        options = quick("swapped-gradient", seed=seed)
        reproduce("swapped-gradient", options, out=again)
        assert json.loads(again.read_text())["seed"] == seed


def test_kept_runs_are_taken_up_again(tmp_path: Path) -> None:
    data = rp.data.load("digits")
    protocol = Protocol(Options(runs=tmp_path, progress=False, device="cpu"), 1, 10)
    options = {"latent_dim": 2, "hidden": (8,)}
    objective = rp.objectives.ELBO(beta=0.5)
    first = protocol.train_variant("small", "vae", data, objective=objective, **options)
    written = (tmp_path / "small" / "model.safetensors").stat().st_mtime_ns
    second = protocol.train_variant("small", "vae", data, objective=objective, **options)
    assert (tmp_path / "small" / "model.safetensors").stat().st_mtime_ns == written
    weights = [run.model.state_dict() for run in (first, second)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    x = data.examples("test").x
    measured_first = protocol.scores(first, x)
    (kept,) = (tmp_path / "small").glob("scores-*.safetensors")
    written = kept.stat().st_mtime_ns
    measured_again = protocol.scores(second, x)
    assert kept.stat().st_mtime_ns == written
    assert torch.equal(measured_first.elbo, measured_again.elbo)


def test_kept_scores_follow_the_weights(tmp_path: Path) -> None:
    x = torch.rand(40, 6).round()
    data = rp.data.from_arrays(x, test=x)
    protocol = Protocol(Options(progress=False, device="cpu", runs=tmp_path), 1, 3)
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        recipe = rp.variants.vae(data.spec, latent_dim=1, hidden=[4])
        run = quick_fit(recipe, data, seed=seed)
        run.folder = RunFolder(tmp_path / "run")
        run.folder.path.mkdir(exist_ok=True)
        save_tensors(run.folder.model_file, run.model.state_dict(), {})
        found += [protocol.scores(run, x), protocol.scores(run, x)]
        fresh = protocol.scores(replace(run, folder=None), x)
        assert torch.equal(found[-1].elbo, fresh.elbo)
    assert torch.equal(found[0].elbo, found[1].elbo)
    assert not torch.equal(found[1].elbo, found[2].elbo)
    assert len(list((tmp_path / "run").glob("scores-3-0-*.safetensors"))) == 2


def test_digest_is_that_of_an_evaluation() -> None:
    data = rp.data.load("digits")
    run = quick_fit(rp.variants.vae(data.spec, latent_dim=1), data)
    batch = data.examples("test", limit=5)
    assert run.evaluate(batch, n_samples=2).to_dict()["data_sha256"] == digest(batch.x)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--runs", "kept"], "stopped; the same command continues with the runs in kept"),
        ([], "the same command continues where it stopped"),
    ],
)
def test_a_stopped_experiment_says_how_to_continue(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message of training tells how to resume that run, not the experiment."""

    def stop(*_: object, **__: object) -> None:
        raise Interrupted("go on with: reparam train --resume", signal.SIGTERM)

    monkeypatch.setattr("experiments.ledger.run.reproduce", stop)
    told = reparam("reproduce table-4-1", *words, code=143).err
    assert said in told
    assert "--resume" not in told


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row("a", -101.0, target=-102.5), True),
        (Row("a", -103.0, target=-102.5), False),
        (Row("a", 0.01, target=0.0163, rule="at most"), True),
        (Row("a", 1.0, 0.1, target=1.39, rule="within"), True),
        (Row("a", 1.0, 0.1, target=1.41, rule="within"), False),
        (Row("a", 1.0, 0.1, target=1.41, rule="apart"), True),
        (Row("a", 1.0, target=1.1, rule="within", tolerance=0.2), True),
        (Row("a", float("nan"), target=1.0), False),
        (Row("a", None, target=1.0), False),
        (Row("a", 1.0), None),
        (Row("a", 2.0, target=1.0, valid=False), False),
    ],
)
def test_a_row_is_held_to_its_target(row: Row, met: bool | None) -> None:
    assert row.met is met
    assert row.to_dict()["met"] is met


def test_a_row_without_a_scale_of_nearness_is_refused() -> None:
    with pytest.raises(OptionError, match="tolerance"):
        Row("a", 1.0, target=1.0, rule="within")
    with pytest.raises(OptionError, match="rule"):
        Row("a", 1.0, target=1.0, rule="near")  # type: ignore[arg-type]


def test_figures_have_the_digits_that_stand() -> None:
    assert measured(-99.54123, 0.2713) == "-99.54 ± 0.27"
    assert measured(0.010658, 0.000068) == "0.010658 ± 0.000068"
    assert measured(1234.5, 120.0) == "1,234 ± 120"
    assert measured(2.0, float("nan")) == "2"
    assert Row("a", float("nan")).to_dict()["ours"] is None


def test_table_has_only_the_columns_that_say_something(capsys: pytest.CaptureFixture[str]) -> None:
    rows = (Row("one", 1.0, target=0.5), Row("two", 2.0, target=3.0))
    facts = {"seconds": 1.5}
    print_result(Result("x", "a source", "a protocol", Findings(rows, ("Mind.",)), facts), None)
    said = capsys.readouterr().out
    assert "published" not in said
    assert "note: Mind." in said
    assert "1 of 2 targets met" in said
    assert "--out FILE.json" in said


def test_commit_is_that_of_the_source() -> None:
    found = provenance.commit()
    assert found is None or len(found.removesuffix("-dirty")) == 40


def test_gradients_of_the_ledger() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        through = gradients(Normal, 4000)
        corrected = gradients(Detached, 4000, score=True)
        swapped = gradients(Detached, 4000)
    exact = finite_differences()
    phi = PLACES.clone().requires_grad_()
    (derivative,) = torch.autograd.grad(exact_elbo(phi).sum(), phi)
    torch.testing.assert_close(exact, derivative)
    for found in (through, corrected):
        assert ((found.mean - exact).abs() < 5 * found.stderr).all()
    assert (swapped.mean.abs() < 5 * swapped.stderr).all()
    assert (swapped.mean - exact).abs().max() > 5


def test_divergences_of_the_ledger() -> None:
    q, p = gaussian(1.0, 0.5), gaussian(0.0, 1.0)
    exact = 0.5 * (1.0 + 0.25 - 1.0) + np.log(2.0)
    assert numeric(q, p) == pytest.approx(exact, abs=1e-9)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        value, stderr = monte_carlo(q, p, 4000)
    assert abs(value - exact) < 4 * stderr
    assert numeric(interval(0.0, 1.0), interval(0.0, 2.0)) == pytest.approx(np.log(2.0), abs=1e-9)
    assert refusal(interval(0.0, 1.0), interval(0.0, 2.0)) is None
    assert "infinite" in str(refusal(gaussian(0.0, 1.0), interval(0.0, 2.0)))
    scale = torch.tensor([1.0, 2.0])
    assert naive_penalty(torch.zeros(2), scale)[0] == 0
    assert naive_penalty(torch.zeros(2), scale)[1] == pytest.approx(np.log(4.0) ** 2)
    with pytest.raises(OptionError, match="Normal or Uniform"):
        numeric(torch.distributions.Laplace(0.0, 1.0), p)


def test_nearest_distance_is_zero_for_what_is_there() -> None:
    images = torch.rand(5, 1, 4, 4)
    assert (nearest_distance(images[:2], images) < 1e-6).all()
    assert nearest_distance(images[:1], images[1:])[0] > 0


@pytest.mark.slow
def test_tutorial_on_mnist_meets_its_target(tmp_path: Path) -> None:
    place = os.environ.get("REPARAM_DATA_DIR")
    if not place or not (Path(place) / "mnist").is_dir():
        pytest.skip("needs the real MNIST: set REPARAM_DATA_DIR to the folder that holds mnist/")
    result = reproduce("tutorial-mnist", Options(progress=False), out=tmp_path / "tutorial.json")
    assert result.rows[0].what == "test ELBO"
    assert result.met, result.rows[0]


STORED = sorted(REPRODUCED.glob("*.json"))


@pytest.mark.parametrize("file", STORED, ids=lambda file: file.stem)
def test_stored_results_are_those_of_the_ledger(file: Path) -> None:
    result = json.loads(file.read_text(encoding="utf-8"))
    assert result["name"] == file.stem
    found = get(file.stem)
    assert (result["protocol"], result["source"]) == (found.protocol, found.source)
    assert result["seed"] == 0
    assert not result["commit"].endswith("-dirty")
    assert all((file.parent / name).is_file() for name in result["figures"])


def test_page_is_made_of_the_stored_results(tmp_path: Path) -> None:
    stored = STORED[0].parent
    folder = tmp_path / stored.name
    folder.mkdir()
    for file in STORED:
        (folder / file.name).write_bytes(file.read_bytes())
    assert write_page(folder).read_text() == stored.with_suffix(".md").read_text()


def test_a_page_of_somebody_elses_stays(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / STORED[0].name).write_bytes(STORED[0].read_bytes())
    own = tmp_path / "results.md"
    own.write_text("# My results\n")
    with pytest.raises(DataError, match="not a page of results"):
        write_page(folder)
    assert own.read_text() == "# My results\n"


def test_page_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no results"):
        write_page(tmp_path)

"""The ledger: what it lists, runs, writes and refuses, and the measures it adds to the package."""

import json
import os
import signal
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from reparam import reproduce as ledger
from reparam.cli.main import main
from reparam.cli.reproduce import print_result
from reparam.errors import DataError, Interrupted, OptionError
from reparam.objectives import ELBO
from reparam.reproduce import Findings, Options, Result, Row, entries, get, registry, reproduce
from reparam.reproduce.divergences import gaussian, monte_carlo, naive_penalty, numeric
from reparam.reproduce.gradients import PLACES, exact_elbo, finite_differences, gradients
from reparam.reproduce.index import write_page
from reparam.reproduce.mnist import MODELS, PUBLISHED
from reparam.reproduce.noise import nearest_distance
from reparam.reproduce.posteriors import interval, refusal
from reparam.reproduce.registry import Protocol
from reparam.reproduce.result import measured
from reparam.reproduce.training import trained

QUICK = {"epochs": 1, "n_samples": 20}
LIGHT = [entry.name for entry in entries() if entry.data is None]


def quick(name: str, **options: object) -> Options:
    found = get(name)
    asked = {key: value for key, value in QUICK.items() if getattr(found, key)}
    return Options(**{**asked, "progress": False, "device": "cpu", **options})  # type: ignore[arg-type]


def write_mnist(folder: Path, n: int = 96) -> Path:
    """Write the four files of MNIST, with few images of noise; return the folder of the folder."""
    place = folder / "mnist"
    place.mkdir(parents=True)
    random = np.random.default_rng(0)
    for part in ("train", "t10k"):
        images = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        header = struct.pack(">IIII", 0x803, n, 28, 28)
        (place / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        labels = random.integers(0, 10, n, dtype=np.uint8)
        header = struct.pack(">II", 0x801, n)
        (place / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
    return folder


def test_list_tells_every_entry(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--list"]) == 0
    said = capsys.readouterr().out
    for entry in entries():
        assert entry.name in said
        assert entry.summary.endswith(".")
        assert entry.source
        assert entry.protocol


def test_unknown_entry_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "tabel-4-1"]) == 2
    assert "did you mean 'table-4-1'?" in capsys.readouterr().err
    assert get("Without_KL").name == "without-kl"


def test_no_entry_is_asked_for_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce"]) == 2
    assert "table-4-1" in capsys.readouterr().err


def test_a_name_is_registered_once() -> None:
    with pytest.raises(OptionError, match="registered already"):
        registry.entry("table-4-1", source="x", protocol="y")(lambda protocol: Findings(()))


@pytest.mark.parametrize("name", LIGHT)
def test_light_entry_runs_small(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger.posteriors, "N_SEEDS", 2)
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
def test_mnist_entry_runs_small(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = write_mnist(tmp_path / "data")
    out = tmp_path / "out" / "result.json"
    words = ["--epochs", "1", "--n-samples", "2", "--data-dir", str(data_dir), "--out", str(out)]
    assert main(["reproduce", name, *words]) == 0
    said = capsys.readouterr().out
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


def test_the_published_table_is_the_documents() -> None:
    assert set(PUBLISHED) == set(MODELS)
    assert PUBLISHED["hidden 200, latent 20"] == (-118.023, -106.975, 0.0224)
    assert PUBLISHED["hidden 400, latent 10"] == (-113.538, -104.684, 0.0207)


@pytest.mark.parametrize("name", ["table-4-1", "tutorial-mnist"])
def test_missing_data_are_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match="mnist"):
        reproduce(name, Options(data_dir=str(tmp_path), progress=False))
    assert main(["reproduce", name, "--data-dir", str(tmp_path)]) == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("swapped-gradient", {"epochs": 3}, "trains nothing"),
        ("swapped-gradient", {"data_dir": "somewhere"}, "needs no data"),
        ("without-kl", {"epochs": 0}, "at least 1"),
        ("without-kl", {"n_samples": 1}, "at least 2"),
        ("without-kl", {"seed": -1}, "0 or more"),
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
    with pytest.raises(OptionError, match=r"end the name in \.json"):
        reproduce("swapped-gradient", quick("swapped-gradient"), out=tmp_path / "result.txt")
    again = tmp_path / "again.json"
    for seed in (0, 1):
        options = quick("swapped-gradient", seed=seed)
        reproduce("swapped-gradient", options, out=again)
        assert json.loads(again.read_text())["seed"] == seed


def test_kept_runs_are_taken_up_again(tmp_path: Path) -> None:
    data = ledger.divergences.data_sets.load("digits")
    protocol = Protocol(Options(runs=tmp_path, progress=False, device="cpu"), 1, 10)
    options = {"latent_dim": 2, "hidden": (8,)}
    first = trained(protocol, "small", "vae", data, objective=ELBO(beta=0.5), **options)
    written = (tmp_path / "small" / "model.safetensors").stat().st_mtime_ns
    second = trained(protocol, "small", "vae", data, objective=ELBO(beta=0.5), **options)
    assert (tmp_path / "small" / "model.safetensors").stat().st_mtime_ns == written
    weights = [run.model.state_dict() for run in (first, second)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--runs", "kept"], "stopped; the same command goes on with the runs in kept"),
        ([], "with --runs FOLDER the same command goes on where it stopped"),
    ],
)
def test_a_stopped_entry_says_how_it_goes_on(
    words: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Training by itself would say to resume its own run, which is no way on with an entry."""

    def stop(*_: object, **__: object) -> None:
        raise Interrupted("go on with: reparam train --resume", signal.SIGTERM)

    monkeypatch.setattr("reparam.cli.reproduce.reproduce", stop)
    assert main(["reproduce", "table-4-1", *words]) == 143
    told = capsys.readouterr().err
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
    found = registry.commit()
    assert found is None or len(found.removesuffix("-dirty")) == 40


def test_gradients_of_the_ledger() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        through = gradients(Normal, 4000)
        corrected = gradients(ledger.gradients._Severed, 4000, score=True)
        swapped = gradients(ledger.gradients._Severed, 4000)
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
    with pytest.raises(OptionError, match="Normal and Uniform"):
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


STORED = sorted((Path(__file__).parents[1] / "docs" / "reproduced").glob("*.json"))


@pytest.mark.parametrize("file", STORED, ids=lambda file: file.stem)
def test_stored_results_are_those_of_the_ledger(file: Path) -> None:
    result = json.loads(file.read_text(encoding="utf-8"))
    (found,) = [entry for entry in entries() if entry.name == result["name"] == file.stem]
    assert result["protocol"] == found.protocol
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
    with pytest.raises(DataError, match="no page of results"):
        write_page(folder)
    assert own.read_text() == "# My results\n"


def test_page_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no results"):
        write_page(tmp_path)

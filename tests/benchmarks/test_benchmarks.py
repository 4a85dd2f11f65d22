"""The benchmarks: the contenders run, the arithmetic is right, and all measure the same network.

Nothing here is a timing.
"""

import doctest
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import reparam as rp
from benchmarks import measure, process, report, settings
from benchmarks.jobs import (
    explorer,
    frontier,
    likelihood,
    memory,
    scaling,
    serving,
    throughput,
    to_elbo,
)
from experiments.ledger.provenance import provenance
from experiments.ledger.records import Records
from reparam.errors import DataError
from tests.support import ROOT, quick_fit, write_mnist

HERE = ROOT / "benchmarks"
LAYERS = ("encoder", "posterior", "decoder", "pixels")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Contenders are scripts that import each other; their modules are removed afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(HERE / "contenders")
    yield
    for name in set(sys.modules) - before:
        if str(HERE / "contenders") in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Make a tiny MNIST and a tiny CIFAR-10 in their official formats."""
    random = np.random.default_rng(0)
    write_mnist(tmp_path / "mnist", 300, 20)
    folder = tmp_path / "cifar10" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for number in range(1, 6):
        rows = random.integers(0, 10, (30, 3073), np.uint8)
        (folder / f"data_batch_{number}.bin").write_bytes(rows.tobytes())
    return tmp_path


def told(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> dict[str, Any]:
    """Run a contender in this process, and return the line of JSON that it ends with."""
    module = load(name)
    monkeypatch.setattr(sys, "argv", [name, "--threads=1", *words])
    threads = torch.get_num_threads()
    try:
        module.main()
    finally:
        torch.set_num_threads(threads)
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("name", ["tutorial", "by_hand", "reparam_throughput", "cifar"])
def test_contender_trains(
    name: str,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = told(name, monkeypatch, capsys, f"--data-dir={data_dir}", "--epochs=2")
    assert len(found["seconds"]) == 2
    assert found["n_images"] == (150 if name == "cifar" else 300)
    assert np.isfinite(found["loss"])


def test_the_loader_makes_the_pictures_that_are_in_memory(data_dir: Path) -> None:
    images = load("tutorial").Images(str(data_dir), 0)
    stored = rp.data.load("mnist", data_dir=data_dir, binarize="none", validation=0)
    torch.testing.assert_close(images[7][0], stored.examples("train").x[7], rtol=0, atol=1e-7)
    colors = load("cifar")
    pixels = colors.read_images(str(data_dir))
    torch.testing.assert_close(
        colors.Images(pixels)[7][0], torch.tensor(pixels[7]) / 255, rtol=0, atol=1e-7
    )


def test_the_tutorial_and_reparam_have_the_same_loss() -> None:
    """With the same weights and a posterior of no width, both objectives are equal."""
    mnist = load("mnist")
    model = mnist.VAE()
    with torch.no_grad():
        model.fc22.weight.zero_()
        model.fc22.bias.fill_(-40.0)
    spec = rp.DataSpec((1, 28, 28), "unit")
    ours = rp.variants.vae(spec, latent_dim=20, likelihood="cross-entropy").model
    weights = mnist.of_tutorial(model)
    names = {new: old for old, new in mnist.OF_REPARAM.items()}
    ours.load_state_dict(
        {
            f"{names[k.partition('.')[0]]}.{k.partition('.')[2]}": torch.tensor(v)
            for k, v in weights.items()
        },
        strict=False,
    )
    x = torch.rand(5, 784)
    pixels, mean, log_variance = model(x)
    theirs = mnist.loss(pixels, x, mean, log_variance) / 5
    found = rp.objectives.ELBO()(ours, rp.Batch(x.reshape(5, 1, 28, 28))).loss
    torch.testing.assert_close(found, theirs, rtol=1e-5, atol=0)


def test_evaluator_agrees_with_an_integral(tmp_path: Path) -> None:
    """With one latent dimension the ELBO is an integral over a line, which quadrature computes."""
    random = np.random.default_rng(0)
    sizes = {"encoder": (5, 784), "posterior": (2, 5), "decoder": (6, 1), "pixels": (784, 6)}
    weights = {}
    for layer, shape in sizes.items():
        weights[f"{layer}.weight"] = random.normal(size=shape).astype(np.float32) / 20
        weights[f"{layer}.bias"] = random.normal(size=shape[0]).astype(np.float32) / 20
    load("mnist").save_weights(tmp_path / "weights.npz", weights)
    w = load("mnist").load_weights(tmp_path / "weights.npz")
    x = torch.rand(2, 784)
    draws = 4000
    found = load("elbo").elbo(w, x, draws=draws)

    mean, log_variance = F.linear(
        F.relu(F.linear(x, w["encoder.weight"], w["encoder.bias"])),
        w["posterior.weight"],
        w["posterior.bias"],
    ).chunk(2, -1)
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    z = torch.linspace(-8, 8, 2001)[:, None, None]
    hidden = F.relu(F.linear(z, w["decoder.weight"], w["decoder.bias"]))
    p = torch.sigmoid(F.linear(hidden, w["pixels.weight"], w["pixels.bias"]))
    score = (x * p.log() + (1 - x) * (1 - p).log()).sum(-1)
    prior = torch.distributions.Normal(0.0, 1.0)
    log_q = q.log_prob(z).squeeze(-1)
    inside = score - log_q + prior.log_prob(z).squeeze(-1)
    exact = torch.trapezoid(log_q.exp() * inside, dx=16 / 2000, dim=0)
    spread = torch.trapezoid(log_q.exp() * (score - score.mean(0)) ** 2, dx=16 / 2000, dim=0)
    assert ((found - exact).abs() < 4 * (spread / draws).sqrt() + 1e-3).all()
    exact = (score + prior.log_prob(z).squeeze(-1)).logsumexp(0) + np.log(16 / 2000)
    found = load("elbo").log_likelihood(w, x, samples=draws)
    torch.testing.assert_close(found, exact.double(), rtol=0, atol=0.02)


def test_evaluator_reads_what_reparam_writes(data_dir: Path, tmp_path: Path) -> None:
    data = rp.data.load("mnist", data_dir=data_dir, binarize="none", validation=0)
    recipe = rp.variants.vae(data.spec, latent_dim=20, likelihood="cross-entropy")
    out = tmp_path / "run"
    run = quick_fit(recipe, data, out=out, pictures_every=0)
    weights = load("mnist").load_weights(out / "model.safetensors")
    elbo = load("elbo")
    found = elbo.elbo(weights, elbo.images(str(data_dir), 0), draws=200)
    other = run.evaluate(n_samples=200)
    # The draws differ: four standard errors of the mean over images and draws, far below a nat.
    assert float(found.mean()) == pytest.approx(other.elbo, abs=0.5)


def test_both_convolutional_networks_have_the_same_layers() -> None:
    plain = load("cifar").ConvVAE()
    recipe = load("reparam_throughput").make_recipe(rp.DataSpec((3, 32, 32), "unit"))
    ours = sorted(p.shape for p in recipe.model.parameters())
    assert sorted(p.shape for p in plain.parameters()) == ours


def test_multiply_adds_of_the_training_step_add_up() -> None:
    """784-400-20 and back: each layer forward and for its weights, all but the first for inputs."""
    limit = load("limit")
    layers = (784 * 400, 400 * 40, 20 * 400, 400 * 784)
    wanted = 128 * (2 * sum(layers) + sum(layers[1:]))
    assert sum(p.multiply_adds for p in limit.training_products(128)) == wanted
    decoder = sum(p.multiply_adds for p in limit.likelihood_products(1000))
    assert decoder == 1000 * (20 * 400 + 400 * 784)


@pytest.mark.parametrize("what", ["forward", "weight gradient", "input gradient"])
def test_operands_have_the_shape_of_their_product(what: str) -> None:
    limit = load("limit")
    a, b = limit.operands(limit.Product(what, 3, 4, 5), torch.bfloat16)
    assert (a.shape, b.shape) == ((3, 4), (4, 5))


def record(contender: str, repetition: int, **more: Any) -> dict[str, Any]:
    return {"contender": contender, "repetition": repetition, **more}


def test_throughput_is_compared_repetition_by_repetition() -> None:
    """Twice as fast in one repetition and four times in the other, whatever disturbed both."""
    rows = throughput.rows(
        [
            record("tutorial", 0, result={"seconds": [9, 4], "n_images": 8}),
            record("reparam", 0, result={"seconds": [9, 2], "n_images": 8, "precision": "float32"}),
            record("tutorial", 1, result={"seconds": [9, 40], "n_images": 8}),
            record(
                "reparam", 1, result={"seconds": [9, 10], "n_images": 8, "precision": "float32"}
            ),
            record("limit", 0, result={"float32": {"per_second": 8.0, "gigaflops": 1.0}}),
            record("limit", 1, result={"float32": {"per_second": 8.0, "gigaflops": 1.0}}),
        ]
    )
    first, share = rows
    assert (first.spread, first.ours, first.met) == ((2.0, 4.0), 3.0, False)
    assert share.spread == (0.1, 0.5)


def elbo_records(ours: float) -> list[dict[str, Any]]:
    return [
        record("tutorial", 0, wall_s=150.0, peak_mb=400.0, result={}, checked={"elbo": -104.0}),
        record("reparam", 0, wall_s=10.0, peak_mb=480.0, result=None, checked={"elbo": ours}),
        record(
            "pythae",
            0,
            wall_s=70.0,
            peak_mb=600.0,
            result={"searching": 10.0},
            checked={"elbo": -104.0},
        ),
    ]


def test_time_to_the_elbo_counts_where_it_was_reached() -> None:
    rows = to_elbo.rows
    tutorial, pythae, memory = rows(elbo_records(-103.9))
    assert (tutorial.ours, tutorial.met) == (15.0, True)
    # The search for the number of pythae's epochs is taken off.
    assert (pythae.ours, pythae.met) == (6.0, True)
    assert (memory.ours, memory.met) == (1.2, True)
    worse = rows(elbo_records(-104.1))[0]
    assert worse.ours == 15.0
    assert worse.met is False


def test_a_budget_is_compared_with_what_took_no_longer() -> None:
    def found(contender: str, elbo: float, wall_s: float = 0.0, **later: float) -> dict[str, Any]:
        def values(elbo: float) -> dict[str, float]:
            return {"elbo": elbo, "log_likelihood": elbo + 5}

        checked = {at[1:]: values(value) for at, value in later.items()} or values(elbo)
        return record(contender, 0, wall_s=wall_s, checked=checked)

    records = [
        found("budget 5", -104.0, 6.5),
        found("budget 15", -102.0, 16.0),
        found("15 epochs", -101.5, 20.0),  # later than both
        found("the recipe of to-elbo", -104.2, 5.0),
        found("tutorial", 0.0, _5=-115.0, _15=-101.9),
    ]
    five, _, fifteen, likelihood = frontier.rows(records)
    assert (five.ours, five.met) == (pytest.approx(0.2), True)
    assert (fifteen.ours, fifteen.met) == (pytest.approx(-0.1), False)
    assert likelihood.ours == pytest.approx(-0.1)
    assert "-101.90 by tutorial in 15.0 s" in fifteen.note
    assert len(frontier.picture(records).axes) == 2


def test_weights_are_those_of_the_last_epoch_within_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every epoch ends a second after the one before."""
    clock = count()
    monkeypatch.setattr(load("mnist").time, "perf_counter", lambda: float(next(clock)))
    snapshots = load("mnist").Snapshots("2,4", str(tmp_path))
    done = [snapshots.save({"epoch": np.array(epoch)}) for epoch in range(1, 6)]
    assert done == [False] * 4 + [True]
    kept = {place.stem: int(np.load(place)["epoch"]) for place in tmp_path.iterdir()}
    assert kept == {"2": 2, "4": 4}


def test_likelihood_is_compared_per_image_and_draw() -> None:
    limit = {"per_second": 50_000.0}
    ours = {"seconds": 2.4, "n_images": 20, "samples": 5000, "log_likelihood_of_first": -100.0}
    theirs = {"seconds": 3.0, "seconds_by_default": 6.0, "n_images": 5, "samples": 5000}
    records = [
        record("limit", 0, result={"float32": limit, "bfloat16": limit}),
        record("reparam", 0, result=ours, peak_mb=300.0),
        record("pythae", 0, result={**theirs, "log_likelihood": -100.2}),
    ]
    found = likelihood.rows(records)
    # The limit takes 0.1 s an image, we 0.12, pythae 1.2 and at its best 0.6.
    assert [row.ours for row in found] == pytest.approx([1.2, 1.2, 10.0, 5.0])
    assert [row.met for row in found] == [True, None, True, None]
    # Estimates that differ by nats are not of the same likelihood.
    records[-1] = record("pythae", 0, result={**theirs, "log_likelihood": -103.0})
    assert [row.met for row in likelihood.rows(records)] == [True, None, False, None]


def test_page_names_what_was_missed() -> None:
    records = [{"job": "to-elbo", "load_before": 0.5, **r} for r in elbo_records(-104.1)]
    facts = provenance("python benchmarks/run.py", threads=2)
    text = report.page({"cpu": {**facts, "seed": 0, "repeats": 1, "records": records}})
    assert "1 of 3 targets met." in text
    assert "15.00, target 10; the comparison does not hold" in text
    line = (
        "| peak memory of the same | (a) the tutorial's loop | 1.20 (1.20 to 1.20) | ≤ 1.3 | yes |"
    )
    assert line in text


def test_page_is_made_of_the_stored_records() -> None:
    page = report.page({name: measure.stored(name) for name in measure.STORED})
    assert page == (ROOT / "docs" / "benchmarks.md").read_text("utf-8")


def test_records_are_resumed_on_the_same_machine_only(tmp_path: Path) -> None:
    facts = {**provenance("measure", threads=1), "quick": False}
    fixed = ("machine", "quick")
    path = tmp_path / "records.json"
    first = Records(path, facts, resume=False, fixed=fixed)
    first.add({"job": "a", "repetition": 0, "value": 1.0})
    again = Records(path, facts, resume=True, fixed=fixed)
    assert again.has(job="a", repetition=0)
    assert not again.has(job="a", repetition=1)
    with pytest.raises(DataError, match="quick=False, now it is True"):
        Records(path, {**facts, "quick": True}, resume=True, fixed=fixed)
    assert not Records(path, facts, resume=False, fixed=fixed).has(job="a")


def test_the_measuring_process_stays_without_torch() -> None:
    """The peak memory of a process begins with that of its parent."""
    code = "import sys, benchmarks.measure; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "False\n"
    words = [sys.executable, "benchmarks/run.py", "--help"]
    assert "--resume" in subprocess.check_output(words, cwd=ROOT, text=True)


def test_process_is_measured_and_its_failure_told() -> None:
    found = process.run([sys.executable, "-c", "print('{\"a\": 1}')"], {})
    assert found["result"] == {"a": 1}
    with pytest.raises(process.ContenderError, match="no such thing"):
        process.run([sys.executable, "-c", "raise SystemExit('no such thing')"], {})
    with pytest.raises(process.ContenderError, match="took too long"):
        process.run([sys.executable, "-c", "import time; time.sleep(60)"], {}, limit_s=0.2)


def test_peak_memory_is_that_of_the_process() -> None:
    """Seen from a small process, as run.py is: on Linux a child begins with its parent's peak."""
    big = [sys.executable, "-c", "x = bytearray(100 * 2**20)"]
    code = f"from benchmarks import process; print(process.run({big!r}, {{}})['peak_mb'])"
    found = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    assert 100 < float(found) < 160


@pytest.mark.parametrize("module", [process, settings, measure])
def test_examples_in_docstrings(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def test_commands_are_told_without_the_places_of_this_machine() -> None:
    some = settings.Settings(data_dir="/there", threads=1, work=Path("/here"))
    words = some.script("elbo", weights=Path("/here/run"))
    told = measure.public(words, some)
    assert told == (
        "python benchmarks/contenders/elbo.py --data-dir=DATA --threads=1 --weights=WORK/run"
    )


def grown(contender: str, repetition: int, per_second: float, limit: float) -> dict[str, Any]:
    result = {"per_second": per_second, "limit_per_second": limit}
    return record(contender, repetition, result=result, peak_mb=300.0)


def test_growth_is_a_table_of_each_axis_with_its_knee() -> None:
    """Batches of 64 to 256 take the same time, 0.01 s; one of 1,024 takes four times as long."""
    records = [
        {"job": "scaling", "load_before": 0.5, **each}
        for each in (
            grown("default", 0, 12_800.0, 51_200.0),
            grown("batch 64", 0, 6_400.0, 12_800.0),
            grown("batch 256", 0, 25_600.0, 51_200.0),
            grown("batch 1024", 0, 25_600.0, 51_200.0),
            grown("2 processes, batch 128", 0, 19_200.0, 51_200.0),
            grown("2 processes, batch 1024", 0, 12_800.0, 51_200.0),
        )
    ]
    text = scaling.section(records)
    assert "| 64 | 6,400 | 0.50 | 300 |\n| 128 | 12,800 | 0.25 | 300 |" in text
    assert "From 64 to 1,024 batch a step takes 4 times as long; the knee is at 256." in text
    assert "| rows |" not in text
    small, large = scaling.rows(records)
    # One process of two threads has the default batch, or the one of the axis.
    assert (small.ours, large.ours) == (1.5, 0.5)
    facts = provenance("python benchmarks/run.py scaling", threads=2)
    results = {**facts, "seed": 0, "repeats": 1, "records": records}
    page = report.page({"cpu": results, "scaling": results})
    assert "## How cost grows" in page
    assert "the knee is at 256" in page
    assert "## How cost grows" not in report.page({"cpu": results, "scaling": None})


def test_every_size_of_the_growth_is_a_piece() -> None:
    some = settings.Settings(data_dir="/there", threads=2, work=Path("/here"))
    pieces = {piece.contender: piece.command([]) for piece in scaling.pieces(some, 0)}
    assert len(pieces) == 1 + sum(map(len, scaling.AXES.values())) + len(scaling.BATCHES)
    for axis, value in scaling.DEFAULT.items():
        assert value not in scaling.AXES[axis]
        assert f"--{axis}={value}" in pieces["default"]
    assert "--batch=4096" in pieces["batch 4096"]
    assert "--processes=2" in pieces["2 processes, batch 1024"]


def test_the_size_of_a_point_is_measured_beside_its_limit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ("--rows=100", "--width=8", "--batch=20", "--latents=2")
    words = (*size, "--duration=0.05", "--budget=0.002")
    found = told("scaling", monkeypatch, capsys, *words)
    assert 0 < found["per_second"] < found["limit_per_second"]


def test_a_mapped_file_is_compared_with_memory_and_its_order_with_a_permutation() -> None:
    rates = {"memory": [100.0, 200.0, 400.0], "mapped": [90.0, 200.0, 300.0]}
    disk = {"bytes": 2 * 10**9, "read_mb_s": 500.0, "write_mb_s": 300.0}
    records = [record("(file)", 0, result=disk, peak_mb=100.0)]
    for name, found in rates.items():
        result = {"per_second": found, "loading_s": 4.0, "n_train": 1000}
        records.append(record(name, 0, result=result, peak_mb=700.0))
    base, order, *_ = memory.ORDERS
    for repetition, (known, other) in enumerate([(-100.0, -101.0), (-102.0, -105.0)]):
        for name, elbo in ((base, known), (order, other)):
            records.append(record(name, repetition, result={"elbo": elbo, "stderr": 0.1}))
    speed, peak, elbo = memory.rows(records)
    assert (speed.ours, speed.spread) == (0.9, (0.75, 1.0))
    assert "500 MB/s" in speed.note  # 2 GB in 4 seconds, too
    assert (peak.ours, peak.unit) == (700.0, "MiB")
    # Differences of -1 and -3: their mean is -2, with a standard error of 1.
    assert (elbo.ours, elbo.stderr) == (-2.0, pytest.approx(1.0))
    assert f"| {base} | all | 1 | -101.00 ± 1.00 |" in memory.section(records)


def test_the_file_is_written_once_and_removed(tmp_path: Path) -> None:
    some = settings.Settings(data_dir="/there", threads=2, work=tmp_path)
    first, second = (memory.pieces(some, repetition) for repetition in (0, 1))
    names = [piece.contender for piece in first]
    assert names[:4] == ["(file)", "memory", "mapped", "(removal)"]
    assert [piece.contender for piece in second] == names[4:] == list(memory.ORDERS)


def test_a_file_is_written_trained_on_and_removed(
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("BUFFER_BYTES", "BLOCK_BYTES"):
        monkeypatch.setattr(f"reparam.data.blocks.{name}", 2**16)  # restored afterwards
    common = (f"--data-dir={data_dir}", f"--file={tmp_path / 'x.npy'}")
    written = told("memory", monkeypatch, capsys, *common, "--job=write", "--gigabytes=0.0004")
    assert 0.0004e9 - 784 < written["bytes"] - 128 <= 0.0004e9
    assert np.load(tmp_path / "x.npy").max() == 1
    for job in ("memory", "mapped"):
        words = (f"--job={job}", "--steps=150", "--repeats=1", "--rows=300")
        found = told("memory", monkeypatch, capsys, *common, *words)
        assert found["per_second"][0] > 0
    told("memory", monkeypatch, capsys, *common, "--job=remove")
    words = ("--job=order", "--steps=2", "--buffer=40", "--block=10", "--by-class=1")
    assert told("memory", monkeypatch, capsys, *common, *words)["elbo"] < 0
    assert not list(tmp_path.glob("*.npy"))


def test_a_load_is_held_to_its_targets() -> None:
    def result(rate: float, p99: float, memory: list[int]) -> dict[str, Any]:
        found = {"per_second": rate, "p50_ms": 10.0, "p99_ms": p99, "largest_ms": 90.0}
        more = {"processor_ms": 1.0, "n_requests": 1000, "n_errors": 0, "seconds": 600.0}
        return {**found, **more, "memory_kib": memory}

    rates, latencies = (700.0, 800.0, 400.0), (40.0, 120.0, 50.0)
    records = [
        record("json", repetition, result=result(rate, p99, [1]))
        for repetition, (rate, p99) in enumerate(zip(rates, latencies, strict=True))
    ]
    # The memory of the first fifth, in which caches are filled, does not count.
    grown = [0, 0, 2048, 2048, 3000, 3000, 3000, 3000, 12288, 12288]
    records.append(record("sustained", 0, result=result(350.0, 30.0, grown)))
    rate, latency, errors, growth = serving.rows(records)
    assert (rate.ours, rate.spread, rate.met) == (700.0, (400.0, 800.0), True)
    assert (latency.ours, latency.unit, latency.met) == (50.0, "ms", True)
    assert (errors.ours, errors.met) == (0, True)
    assert (growth.ours, growth.met) == (10.0, False)
    assert "growth of the server's memory in 10 minutes" in report.missed([growth])


def test_the_long_load_is_half_of_the_measured_rate(tmp_path: Path) -> None:
    some = settings.Settings(data_dir="/there", threads=2, work=tmp_path, minutes=2)
    first, second = (serving.pieces(some, repetition) for repetition in (0, 1))
    assert [piece.contender for piece in first] == ["json", "npy", "sustained"]
    assert [piece.contender for piece in second] == ["json", "npy"]
    words = first[-1].command([record("json", 0, result={"per_second": 812.34})])
    assert {"--seconds=120", "--rate=812.3", "--share=0.5"} <= set(words)


@pytest.mark.slow
def test_a_server_is_asked(
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    common = (f"--data-dir={data_dir}", f"--folder={tmp_path / 'served'}", "--seconds=0.5")
    for words in (["--form=json"], ["--form=npy"], ["--rate=100", "--share=0.5"]):
        found = told("serving", monkeypatch, capsys, *common, "--connections=2", *words)
        assert found["n_errors"] == 0
        assert found["n_requests"] > 0
        assert min(found["memory_kib"]) > 1000


def test_the_times_of_the_explorer_are_held_to_their_target() -> None:
    result = {"p50_ms": 20.0, "n_images": 300, "seconds": 10.0}
    records = [
        {
            "job": "explorer",
            "contender": "images of MNIST",
            "repetition": number,
            "result": {**result, "p95_ms": time},
        }
        for number, time in enumerate((30.0, 60.0, 40.0))
    ]
    (row,) = explorer.rows(records)
    assert (row.ours, row.spread, row.met) == (40.0, (30.0, 60.0), True)
    assert "| images of MNIST | 20 ms | 40 ms | 30 |" in explorer.section(records)

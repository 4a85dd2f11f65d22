"""Published figures on MNIST with real-valued pixels: a table of three models, and a tutorial."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from reparam import data as data_sets
from reparam.data import Dataset
from reparam.evaluation import Evaluation
from reparam.plots import COLORS, latent_scatter, new_axes, new_figure
from reparam.reproduce.figures import seen
from reparam.reproduce.registry import Protocol, entry
from reparam.reproduce.result import Findings, Row
from reparam.reproduce.training import evaluated, trained
from reparam.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Ours: the source gives neither. Chosen on 5,000 images held out of the training images, where
# the largest model reached an ELBO of -101.0; 1e-3 to 4e-3 were looked at.
TABLE_RECIPE: dict[str, Any] = {"batch_size": 64, "lr": 2e-3, "lr_warmup": 0.2}

MODELS = {
    "hidden 400, latent 20": (400, 20),
    "hidden 200, latent 20": (200, 20),
    "hidden 400, latent 10": (400, 10),
}
PUBLISHED = {
    "hidden 400, latent 20": (-104.675, -98.331, 0.0163),
    "hidden 200, latent 20": (-118.023, -106.975, 0.0224),
    "hidden 400, latent 10": (-113.538, -104.684, 0.0207),
}
"""ELBO, importance-sampled figure and squared error, as the source's table has them."""

BEST_TARGET = -102.5
"""What the largest model is held to: a better recipe for the same nets and epochs."""

NO_LIKELIHOOD = (
    "Real-valued pixels under a cross-entropy have no normalized likelihood: the ELBO and the "
    "importance-sampled figure compare with the published ones, and bound no likelihood."
)


@entry(
    "table-4-1",
    source="a document on VAEs (table 4-1), whose figures are in the column 'published'",
    protocol=(
        "MNIST, 60,000 training images, real-valued pixels in [0, 1], summed cross-entropy; two "
        "hidden layers on each side; 10 epochs of Adam, batch 64, learning rate with warm-up to "
        "2e-3 and cosine decay; measured on the 10,000 test images with 500 draws of z each"
    ),
    data="mnist",
    epochs=10,
    n_samples=500,
    minutes=6,
)
def table_4_1(protocol: Protocol) -> Findings:
    """Three models of MNIST: how width and latent size change ELBO, likelihood and error."""
    data = _grey_mnist(protocol)
    runs: dict[str, Run] = {}
    rows: list[Row] = []
    details: dict[str, Any] = {}
    results: dict[str, Evaluation] = {}
    for name, (hidden, latent_dim) in MODELS.items():
        folder = f"table-4-1-{hidden}-{latent_dim}"
        runs[name] = trained(
            protocol,
            folder,
            "vae",
            data,
            latent_dim=latent_dim,
            hidden=(hidden, hidden),
            likelihood="cross-entropy",
            training=TABLE_RECIPE,
        )
        protocol.say(f"evaluating {folder}, {protocol.n_samples} draws for each test image")
        results[name] = evaluated(protocol, runs[name], data)
        elbo, likelihood, mse = PUBLISHED[name]
        best = BEST_TARGET if name == next(iter(MODELS)) else elbo
        rows += _figures(name, results[name], (elbo, likelihood, mse), elbo_target=best)
        details[name] = results[name].to_dict()
    first = next(iter(MODELS))
    test = data.examples("test")
    figures = {
        "loss": _losses(runs, results),
        "latents": latent_scatter(runs[first].encode(test), test.y, data.class_names),
        "samples": seen(runs[first], data.examples("test", limit=64), protocol.seed),
    }
    notes = (
        NO_LIKELIHOOD,
        "The document calls its MNIST binarized, but trains on grey pixels, and so do we.",
        "Its equation of the ELBO adds the KL; the KL is subtracted, here and in its figures.",
        "It says that ELBO and likelihood rise for the smaller models; both fall, so they get "
        "worse, in its table as in ours.",
        "Batch size and learning rate are not in the document; ours were chosen on 5,000 images "
        "held out of the training images, never on the test images.",
        "The standard errors are over test images, for one training run each.",
    )
    return Findings(tuple(rows), notes, figures, details)


@entry(
    "tutorial-mnist",
    source=(
        "a tutorial's VAE; 'published' is the test ELBO of its own training loop, run once as it "
        "is written"
    ),
    protocol=(
        "MNIST, 60,000 training images, real-valued pixels, summed cross-entropy; 784-400-20 and "
        "20-400-784; 15 epochs at batch 128 with the default recipe of this package; measured on "
        "the 10,000 test images"
    ),
    data="mnist",
    epochs=15,
    n_samples=100,
    minutes=1,
)
def tutorial_mnist(protocol: Protocol) -> Findings:
    """The tutorials' VAE of MNIST, with the default recipe."""
    data = _grey_mnist(protocol)
    run = trained(
        protocol,
        "tutorial-mnist",
        "vae",
        data,
        latent_dim=20,
        hidden=(400,),
        likelihood="cross-entropy",
    )
    result = evaluated(protocol, run, data)
    rows = (
        Row(
            "test ELBO",
            result.elbo,
            result.elbo_stderr,
            published=-104.2,
            target=BEST_TARGET,
        ),
        Row("reconstruction", result.reconstruction, result.reconstruction_stderr),
        Row("KL of posterior and prior", result.kl, result.kl_stderr),
        Row("squared error per pixel", result.mse, result.mse_stderr, unit=""),
        Row("active latent dimensions of 20", _float(result.active_units), unit=""),
    )
    test = data.examples("test", limit=64)
    figures = {
        "loss": _losses({"784-400-20": run}, {"784-400-20": result}),
        "samples": seen(run, test, protocol.seed),
    }
    notes = (
        NO_LIKELIHOOD,
        "A public log of the same network has -105.6 after 10 epochs.",
        "The standard error is over test images, for one training run.",
    )
    return Findings(rows, notes, figures, {"evaluation": result.to_dict()})


def _grey_mnist(protocol: Protocol) -> Dataset:
    return data_sets.load(
        "mnist", data_dir=protocol.options.data_dir, binarize="none", validation=0
    )


def _figures(
    name: str,
    result: Evaluation,
    published: tuple[float, float, float],
    elbo_target: float,
) -> list[Row]:
    """Return the rows of one model: ELBO, importance-sampled figure, squared error."""
    elbo, likelihood, mse = published
    sampled = f"importance-sampled figure, {result.n_samples} draws"
    return [
        Row(
            f"{name}: ELBO",
            result.elbo,
            result.elbo_stderr,
            published=elbo,
            target=elbo_target,
        ),
        Row(
            f"{name}: {sampled}",
            result.log_likelihood,
            result.log_likelihood_stderr,
            published=likelihood,
            target=likelihood,
            note="bounds no likelihood",
        ),
        Row(
            f"{name}: squared error per pixel",
            result.mse,
            result.mse_stderr,
            unit="",
            published=mse,
            target=mse,
            rule="at most",
        ),
    ]


def _losses(runs: dict[str, Run], results: dict[str, Evaluation]) -> "Figure":
    """Plot the training loss of some runs over epochs, and what each has on the test images."""
    figure = new_figure(7.2, 4.6)
    axes = new_axes(figure)
    tops = []
    for (name, run), color in zip(runs.items(), COLORS, strict=False):
        points = _points(run.rows)
        if not points:
            continue
        steps_per_epoch = max(row["step"] / (row["epoch"] + 1) for row in run.rows)
        epochs = [step / steps_per_epoch for step, _ in points]
        losses = [loss for _, loss in points]
        axes.plot(epochs, losses, color=color, linewidth=1.3, label=f"{name}: training")
        test = results[name].elbo
        if test is not None:
            label = f"{name}: test, {-test:.1f}"
            axes.plot([epochs[-1]], [-test], "D", color=color, markersize=7, label=label)
            tops.append(-test)
        # The first steps fall from hundreds of nats, and would flatten all that follows.
        late = [loss for epoch, loss in zip(epochs, losses, strict=True) if epoch > 0.5]
        tops += late
    if tops:
        axes.set_ylim(min(tops) - 3, max(tops) + 5)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss = -ELBO, nats per image (lower is better)")
    axes.set_title("Loss while training, and on the test images at the end")
    axes.legend(loc="upper right")
    return figure


def _points(rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """Return (step, loss) of every full window of training steps.

    >>> row = {"split": "train", "epoch": 0, "elbo": -100.0}
    >>> _points([row | {"step": 50}, row | {"step": 100}, row | {"step": 104}])
    [(50, 100.0), (100, 100.0)]
    """
    mine = [row for row in rows if row.get("split") == "train" and "elbo" in row]
    starts = [0, *(row["step"] for row in mine)]
    lengths = [row["step"] - before for row, before in zip(mine, starts, strict=False)]
    # An epoch ends with whatever steps are left, and a mean of four batches is mostly noise.
    return [
        (row["step"], -row["elbo"])
        for row, length in zip(mine, lengths, strict=True)
        if isfinite(row["elbo"]) and 2 * length > max(lengths)
    ]


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)

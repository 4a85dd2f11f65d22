"""``reparam refit-prior``: fit a prior to the codes of a run, as a new run with better samples."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from reparam.cli.options import ExampleOptions, RunOptions
from reparam.cli.output import command
from reparam.cli.parse import verb
from reparam.cli.table import print_table
from reparam.runs.folder import next_free
from reparam.utils.terminal import note
from reparam.variants.fitted_prior import FittedKind

ROWS = {"elbo": "ELBO", "reconstruction": "reconstruction", "kl": "KL"}
"""The figures that are compared, with their titles."""


@dataclass(frozen=True)
class Options:
    """Fit a prior to the codes of a run's training data; encoder and decoder stay as they are.

    The new run evaluates, samples and compares like any other. Its ELBO is that of the new prior.
    The split is used to measure it before and after.

    Arguments:
        prior: The prior: a masked autoregressive flow; a mixture of Gaussians; vamp, a mixture of
            posteriors of learned inputs; or a diffusion.
        steps: The largest number of optimizer steps; fewer where held-out codes stop to gain.
        budget: The largest wall-clock time, such as 30s, in place of the number of steps.
        n_components: The number of components of mixture or vamp.
        n_samples: The number of draws of z for each example that is measured.
        out: The folder of the new run; RUN-PRIOR-N beside the run by default.
    """

    run: RunOptions
    examples: ExampleOptions
    prior: FittedKind = "flow"
    steps: int | None = None
    budget: str | None = None
    n_components: int | None = None
    n_samples: int = 10
    out: Path | None = None


@verb
def main(options: Options) -> None:
    """Fit the prior, and print what it changed."""
    place, seed = options.run.folder, options.run.seed
    run = options.examples.given_to(options.run.load())
    note(f"fitting a prior ({options.prior}) to the codes of {place} ...")
    new = run.with_prior(
        options.prior,
        steps=options.steps,
        budget=options.budget,
        n_components=options.n_components,
        out=options.out or partial(next_free, place.parent, f"{place.name}-{options.prior}"),
        seed=seed,
    )
    before, after = (
        each.evaluate(
            split=options.examples.split,
            n_samples=options.n_samples,
            seed=seed,
            device=options.run.device,
            train=False,
            keep=False,
        )
        for each in (run, new)
    )
    rows = [
        (
            title,
            str(before[name]),
            str(after[name]),
            str(after[name].paired_difference(before[name])),
        )
        for name, title in ROWS.items()
        if name in before and name in after
    ]
    print_table(
        (f"nats, {after.n_examples:,} examples of {after.split}", "before", "after", "change"), rows
    )
    if new.folder is not None:
        path = new.folder.path
        print(f"\nThe new run is in {path}. Next:")
        for word in ("sample", "evaluate"):
            print(f"  {command()} {word} {path}")

"""``reparam evaluate``: what a run is worth, in nats with standard errors."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

from reparam.cli.options import DataOptions
from reparam.cli.parse import parse


@dataclass(frozen=True)
class Options(DataOptions):
    """Measure a run: ELBO, log-likelihood, reconstruction and KL in nats, with standard errors."""

    n_samples: int = 500
    """Importance samples for each example."""
    json: bool = False
    """Print JSON, as it is also written to the run's evaluation.json."""


def main(arguments: Sequence[str]) -> None:
    """Evaluate a run and print the figures."""
    options = parse(Options, "evaluate", arguments)
    run = options.load()
    result = run.evaluate(
        options.dataset(run),
        split=options.split,
        n_samples=options.n_samples,
        seed=options.seed,
        device=options.device,
        progress=_counter(),
    )
    print(json.dumps(result.to_dict(), indent=2) if options.json else result)
    if run.vocabulary is not None and result.code_bits is not None and not options.json:
        unit = run.vocabulary.unit.removesuffix("s")
        print(
            f"\nText: an entry of x is a {unit}. By the elbo it takes "
            f"{result.code_bits / run.spec.dim:.4f} bits, by importance sampling "
            f"{result.bits_per_dim or nan:.4f}."
        )


def _counter() -> object:
    """Return what counts examples on a terminal; nothing where standard error is no terminal."""
    if not sys.stderr.isatty():
        return None

    def count(done: int, total: int) -> None:
        end = "\n" if done >= total else ""
        print(f"\r{done:,} of {total:,} examples", end=end, file=sys.stderr, flush=True)

    return count

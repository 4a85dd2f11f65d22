"""``reparam evaluate``: what a run is worth, in nats with standard errors."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from math import nan
from typing import Literal

import torch

from reparam.cli.options import DataOptions
from reparam.cli.parse import parse
from reparam.errors import OptionError
from reparam.evaluation.likelihood.importance import N_SAMPLES
from reparam.evaluation.likelihood.proposal import TUNED
from reparam.evaluation.result import Evaluation
from reparam.evaluation.samples import NamedFeatures, features_of
from reparam.runs.run import Run, load
from reparam.spec import DataSpec
from reparam.utils.files import as_path
from reparam.utils.terminal import stderr

_SLOW = ("annealed_", "sample_mmd", "fid", "kid")


@dataclass(frozen=True)
class Options(DataOptions):
    """Measure a run: ELBO, log-likelihood, reconstruction and KL in nats, with standard errors."""

    n_samples: int = N_SAMPLES
    """Importance samples for each example."""
    proposal: Literal["posterior", "defensive", "tuned"] = "posterior"
    """Where they come from: q(z|x), that mixed with the prior, or tuned on each example, which
    takes 3 to 4 times as long."""
    annealed: int = 0
    """Estimate log p(x) of so many examples by annealing too, and how far off that is; slow: one to
    two seconds for each example of a small net."""
    annealed_temperatures: int = 100
    """The number of steps that annealing takes."""
    probe: bool = False
    """Also probe codes of more than 256 dimensions; smaller ones are probed anyway."""
    sample_quality: int = 0
    """Compare so many samples of the model with as many examples; 0 for none."""
    features: str | None = None
    """What FID and KID compare: a run's folder, for what its encoder or classifier makes of x; or
    MODULE:FUNCTION, a function of your own from x, with shape (B, *shape), to (B, F)."""
    sample_means: bool = False
    """Compare means of p(x | z), as pictures show them, and not draws."""
    json: bool = False
    """Print JSON, as it is also written to the run's evaluation.json."""


def main(arguments: Sequence[str]) -> None:
    """Evaluate a run and print the figures."""
    options = parse(Options, "evaluate", arguments)
    run = options.load()
    if options.features is not None and options.sample_quality == 0:
        raise OptionError(
            f"features={options.features}: they are for samples, so say how many to compare, such "
            "as --sample-quality 5000"
        )
    before = run.kept_evaluation()
    result = run.evaluate(
        options.dataset(run),
        split=options.split,
        n_samples=options.n_samples,
        seed=options.seed,
        device=options.device,
        progress=_counter(),
        say=lambda words: print(words, file=stderr(), flush=True),
        proposal=options.proposal,
        annealed=options.annealed,
        annealed_temperatures=options.annealed_temperatures,
        probe=options.probe,
        sample_quality=options.sample_quality,
        features=_features(options.features, run, options.device),
        sample_means=options.sample_means,
    )
    lost = _lost(before, run.kept_evaluation())
    if lost:
        print(
            "note: evaluation.json no longer holds these figures of an earlier evaluation: "
            f"{', '.join(lost)}",
            file=stderr(),
        )
    print(json.dumps(result.to_dict(), indent=2) if options.json else result)
    if run.vocabulary is not None and result.code_bits is not None and not options.json:
        unit = run.vocabulary.unit.removesuffix("s")
        print(
            f"\nText: an entry of x is a {unit}. By the elbo it takes "
            f"{result.code_bits / run.spec.dim:.4f} bits, by importance sampling "
            f"{result.bits_per_dim or nan:.4f}."
        )


def _lost(before: Evaluation | None, after: Evaluation | None) -> list[str]:
    """Return what took its time to measure and is no longer in the run's folder."""
    if before is None or after is None:
        return []
    old, new = before.to_dict(), after.to_dict()
    other = before.data_sha256 != after.data_sha256
    # What every evaluation measures is soon measured again.
    slow = [name for name in old if name.startswith(_SLOW) and f"{name}_stderr" in old]
    lost = [name for name in slow if old[name] is not None and (other or new[name] is None)]
    if before.proposal == TUNED and (other or after.proposal != TUNED):
        lost.insert(0, f"log_likelihood from a {TUNED} proposal")
    return [f"{name} of the split {before.split!r}" for name in lost] if other else lost


def _features(named: str | None, run: Run, device: str) -> NamedFeatures | None:
    """Return the features that another run offers, or a function of the user's own."""
    if named is None:
        return None
    path = as_path(named, "features")
    if ":" in named and not path.exists():
        return _tried(_function(named), run.spec)
    other = load(path, device=device)
    kinds = {run.spec.support, other.spec.support}
    # A network of grey values takes black and white ones too.
    alike = len(kinds) == 1 or kinds == {"binary", "unit"}
    if run.spec.shape != other.spec.shape or not alike or other.spec.condition is not None:
        condition = f", given its {other.spec.condition}" if other.spec.condition else ""
        raise OptionError(
            f"features={path}: it was trained on {other.spec.support} data of shape "
            f"{other.spec.shape}{condition}, and this run on {run.spec.support} data of shape "
            f"{run.spec.shape}: give a run on data of the same kind without a condition"
        )
    weights = None if other.folder is None else other.folder.weights_sha256
    return replace(features_of(other.model), name=str(path), weights_sha256=weights)


def _function(named: str) -> NamedFeatures:
    """Return the function that MODULE:FUNCTION names; the current folder is looked at too."""
    module, _, name = named.partition(":")
    sys.path.insert(0, "")
    try:
        function = getattr(import_module(module), name)
    except Exception as error:
        # The module is the user's own, and may fail in any way.
        said = " ".join(str(error).split())
        raise OptionError(
            f"features={named}: {said}; give MODULE:FUNCTION, such as mine:f for "
            "a function f in mine.py, or the folder of a run"
        ) from error
    finally:
        sys.path.remove("")
    if not callable(function):
        raise OptionError(f"features={named}: a {type(function).__name__} is no function of x")
    return NamedFeatures(function, named)


def _tried(features: NamedFeatures, spec: DataSpec) -> NamedFeatures:
    """Return features of the user's own, once they are seen to be features of two blank examples.

    Raises:
        OptionError: The function fails, or returns something else.
    """
    said = f"features={features.name}"
    try:
        found = features(torch.zeros(2, *spec.shape))
    except (Exception, SystemExit) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise OptionError(
            f"{said}: it fails on two blank examples of shape {(2, *spec.shape)}: {why}"
        ) from error
    if not isinstance(found, torch.Tensor) or found.ndim != 2 or len(found) != 2:
        shape = f" of shape {tuple(found.shape)}" if isinstance(found, torch.Tensor) else ""
        raise OptionError(
            f"{said}: it returns a {type(found).__name__}{shape} for two examples: return a tensor "
            "of shape (2, F), the F features of each"
        )
    return features


def _counter() -> object:
    """Return what counts examples on a terminal; nothing where standard error is no terminal."""
    if not stderr().isatty():
        return None

    def count(done: int, total: int) -> None:
        end = "\n" if done >= total else ""
        print(f"\r{done:,} of {total:,} examples", end=end, file=stderr(), flush=True)

    return count

"""``reparam evaluate``: measure a run: likelihood, ELBO, KL, with standard errors."""

import sys
from dataclasses import dataclass, replace
from importlib import import_module
from math import nan

import torch

from reparam.cli.flags import in_flags, types_of
from reparam.cli.options import ExampleOptions, ProcessOptions, RunOptions
from reparam.cli.output import show
from reparam.cli.parse import verb
from reparam.errors import OptionError
from reparam.evaluation.likelihood.proposal import TUNED
from reparam.evaluation.result import Evaluation
from reparam.evaluation.samples import NamedFeatures, features_of
from reparam.isolation import Progress
from reparam.runs.load import load
from reparam.runs.options import EvaluationOptions
from reparam.runs.run import Run
from reparam.spec import DataSpec
from reparam.utils.files import as_path
from reparam.utils.terminal import stderr

_SLOW = ("annealed_", "sample_mmd", "fid", "kid")


@dataclass(frozen=True)
class Options:
    """Measure a run: ELBO, log-likelihood, reconstruction and KL in nats, with standard errors.

    Arguments:
        features: The features for FID and KID: a run's folder, for those of its encoder or
            classifier; or MODULE:FUNCTION, your own function, which maps
            x with shape (B, *shape) to features with shape (B, F).
        json: Print the JSON that is also written to the run's evaluation.json.
    """

    run: RunOptions
    examples: ExampleOptions
    processes: ProcessOptions
    evaluation: EvaluationOptions
    features: str | None = None
    json: bool = False


@verb
def main(options: Options) -> None:
    """Evaluate a run and print the figures."""
    run = options.run.load()
    if options.features is not None and options.evaluation.sample_quality == 0:
        raise OptionError(
            f"features={options.features!r}: give a number of samples too, as sample_quality=5000"
        )
    before = run.kept_evaluation()
    result = run.evaluate(
        options.examples.dataset(run),
        split=options.examples.split,
        features=_features(options.features, run, options.run.device),
        seed=options.run.seed,
        device=options.run.device,
        progress=_counter() if run.is_main else None,
        say=_say if run.is_main else None,
        **vars(options.processes),
        **vars(options.evaluation),
    )
    if not run.is_main:
        return
    if lost := ", ".join(_lost(before, run.kept_evaluation())):
        text = "evaluation.json no longer holds these figures of an earlier evaluation"
        _say(f"note: {text}: {lost}")
    show(result.to_dict() if options.json else result, Options)
    if run.vocabulary is not None and result.code_bits is not None and not options.json:
        unit = run.vocabulary.unit.removesuffix("s")
        print(
            f"\nText: an entry of x is a {unit}. By the elbo it takes "
            f"{result.code_bits / run.spec.dim:.4f} bits, by importance sampling "
            f"{result.bits_per_dim or nan:.4f}."
        )


def _say(words: str) -> None:
    print(in_flags(words, lambda: types_of(Options)), file=stderr(), flush=True)


def _lost(before: Evaluation | None, after: Evaluation | None) -> list[str]:
    """Return the figures that took long to measure and are no longer in the run's folder."""
    if before is None or after is None:
        return []
    old, new = before.to_dict(), after.to_dict()
    other = before.data_sha256 != after.data_sha256
    # Figures of every evaluation are soon measured again.
    slow = [name for name in old if name.startswith(_SLOW) and f"{name}_stderr" in old]
    lost = [name for name in slow if old[name] is not None and (other or new[name] is None)]
    if before.proposal == TUNED and (other or after.proposal != TUNED):
        lost.insert(0, f"log_likelihood from a {TUNED} proposal")
    return [f"{name} of the split {before.split!r}" for name in lost] if other else lost


def _features(named: str | None, run: Run, device: str) -> NamedFeatures | None:
    """Return the features of another run, or a function of the user's own."""
    if named is None:
        return None
    path = as_path(named, "features")
    if ":" in named and not path.exists():
        return _function(named, run.spec)
    other = load(path, device=device)
    spec, mine = other.spec, run.spec
    # A network for grey values takes black and white too.
    alike = spec.support == mine.support or {spec.support, mine.support} == {"binary", "unit"}
    if spec.shape != mine.shape or not alike or spec.condition is not None:
        condition = f" under condition {spec.condition!r}" if spec.condition else ""
        raise OptionError(
            f"features={str(path)!r}: it was trained on {spec.support} data of shape {spec.shape}"
            f"{condition}, and this run on {mine.support} data of shape {mine.shape}: give a run "
            "on data of the same kind without a condition"
        )
    weights = None if other.folder is None else other.folder.weights_sha256
    return replace(features_of(other.model), name=str(path), weights_sha256=weights)


def _function(named: str, spec: DataSpec) -> NamedFeatures:
    """Return the function of MODULE:FUNCTION, after a test on two blank examples.

    Arguments:
        named: The name; the module may be in the current folder.
        spec: The shape of the examples.

    Raises:
        OptionError: There is no such function, or it fails or returns something else.
    """
    module, _, name = named.partition(":")
    sys.path.insert(0, "")
    try:
        function = vars(import_module(module))[name]
    except Exception as error:
        # The module is the user's own, and may fail in any way.
        reason = " ".join(str(error).split())
        raise OptionError(
            f"features={named!r}: {reason}; give MODULE:FUNCTION, such as mine:f for "
            "a function f in mine.py, or the folder of a run"
        ) from error
    finally:
        sys.path.remove("")
    if not callable(function):
        raise OptionError(f"features={named!r}: a {type(function).__name__} is no function of x")
    shape = (2, *spec.shape)
    try:
        found = function(torch.zeros(shape))
    except (Exception, SystemExit) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise OptionError(
            f"features={named!r}: it fails on two blank examples of shape {shape}: {why}"
        ) from error
    is_tensor = isinstance(found, torch.Tensor)
    if not is_tensor or found.ndim != 2 or len(found) != 2:
        kind = type(found).__name__ + (f" of shape {tuple(found.shape)}" if is_tensor else "")
        raise OptionError(
            f"features={named!r}: it returns a {kind} for two examples: return a tensor of shape "
            "(2, F), the F features of each"
        )
    return NamedFeatures(function, named)


def _counter() -> Progress | None:
    """Return a function that shows a count of examples; None if standard error is no terminal."""
    if not stderr().isatty():
        return None

    def count(done: int, total: int) -> None:
        end = "\n" if done >= total else ""
        print(f"\r{done:,} of {total:,} examples", end=end, file=stderr(), flush=True)

    return count

"""Compare runs: evaluate those without an evaluation, and refuse figures of different things."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from reparam.comparison.names import group_names, reference_of, run_names
from reparam.comparison.result import Comparison, Entry, Group
from reparam.data import Dataset
from reparam.errors import OptionError
from reparam.evaluation.likelihood.importance import N_SAMPLES, NO_DENSITY
from reparam.evaluation.likelihood.proposal import POSTERIOR, Proposal
from reparam.evaluation.per_example import data_sha256
from reparam.evaluation.result import Evaluation
from reparam.evaluation.trained import TrainedRun
from reparam.isolation import default_modes
from reparam.models.directed import DirectedModel
from reparam.utils.arguments import numbers
from reparam.utils.files import as_path

# Log-probabilities of x, which differ in the condition: stated in a note, not refused.
_OF_X = ("p(x)", "p(x | c)", "p(x | y)")
# Options in which two runs of one configuration may differ: the seed, and places.
_NO_CONFIGURATION = ("seed", "data_dir", "path", "device", "recorded")


@default_modes()
@numbers(n_samples=1)
def compare(
    runs: Sequence[TrainedRun],
    *,
    to: str | None = None,
    n_samples: int | None = None,
    proposal: Proposal | None = None,
    split: str = "test",
    seed: int = 0,
    device: str = "auto",
    tell: Callable[[str], None] | None = None,
) -> Comparison:
    r"""Compare runs on the same examples, pair by pair.

    .. math:: \bar d = \frac1N \sum_n \big( \log p_b(x_n) - \log p_a(x_n) \big), \qquad
              e = \frac{\operatorname{sd}_n(d_n)}{\sqrt N}

    The evaluation in the folder of a run is used where it is of the same split, draws and weights;
    else the run is evaluated, and its folder keeps the result unless it holds another sound
    evaluation. Runs of one configuration that differ in their seed only are averaged. Where the
    data of a run are in memory or in a user's file, the evaluation in its folder counts only if it
    is of exactly these examples.

    Arguments:
        runs: Two runs or more, as ``fit`` and ``load`` return them.
        to: The name of the run or group that the others are compared with; the first by default.
        n_samples: Importance samples of each example; None for those of the folders, else 500.
        proposal: Their distribution, as for ``evaluate``; None for that of the folders, else the
            posterior.
        split: The split of their data.
        seed: The seed of every draw.
        device: The device that computes.
        tell: Called with a line of text before a run is evaluated.

    Returns:
        Figures and differences in nats per example, with standard errors.

    Raises:
        OptionError: Fewer than two runs, a name that is none of theirs, or runs whose data, split,
            binarization, number of draws or kind of likelihood differ.
        RunError: The data of a run are needed, and were in memory only.

    References:
        Student, Biometrika 1908 (the error of a mean of paired differences, and its quantiles).

    Example:
        >>> from reparam import data, fit, variants
        >>> digits = data.load("digits")
        >>> recipes = [variants.vae(digits.spec, latent_dim=d, hidden=[8]) for d in (1, 2)]
        >>> runs = [fit(one, digits, epochs=1, progress=False) for one in recipes]
        >>> compared = compare(runs, n_samples=5)
        >>> [one.name for one in compared.differences]
        ['vae-2']
    """
    for run in runs:
        if not isinstance(run, TrainedRun):
            raise OptionError(
                f"a {type(run).__name__} is no run: give those that fit and load(path) return"
            )
    if len(runs) < 2:
        raise OptionError(f"{len(runs)} run to compare: give two or more")
    names = run_names(runs)
    for run, name in zip(runs[1:], names[1:], strict=True):
        _require_same_data(runs[0], run, names[0], name)
    kept = [_kept(run, split, seed) for run in runs]
    n, of = _draws(names, kept, n_samples, proposal)
    entries = []
    for run, name, found in zip(runs, names, kept, strict=True):
        if found is None:
            # Two examples show the kind of a likelihood, so that a refusal comes before the hours.
            few = run.examples(split=split, seed=seed, limit=2)
            found = run.evaluate(few, n_samples=1, seed=seed, device=device)
        entries.append(_entry(run, name, found))
    _require(entries, _differences_in_kind)
    groups = _grouped(entries)
    labels = group_names(groups)
    wanted = reference_of(to, groups, labels, names[0])
    for i, (run, found) in enumerate(zip(runs, kept, strict=True)):
        has_draws = found is not None and (
            found.n_samples in (None, n) and found.proposal in (None, of)
        )
        if found is None or not has_draws:
            # A directed model has its likelihood exactly, without a proposal.
            by = POSTERIOR if isinstance(run.model, DirectedModel) else of
            if tell is not None:
                how = "" if by == POSTERIOR else f" proposal={by!r}"
                tell(f"evaluating {names[i]} on {split!r} (n_samples={n}{how})")
            # A sound evaluation with other draws may have taken hours: it stays in the folder.
            is_new = run.kept_evaluation() is None
            found = run.evaluate(
                split=split,
                n_samples=n,
                proposal=by,
                seed=seed,
                device=device,
                keep=is_new,
                train=is_new,
            )
            found = _without_free_draws(found)
        entries[i] = replace(entries[i], evaluation=found)
    return _comparison(entries, wanted)


def compare_evaluations(
    runs: Sequence[TrainedRun], evaluations: Sequence[Evaluation], *, to: str | None = None
) -> Comparison:
    """Compare runs by evaluations that have been made, pair by pair: see ``compare``.

    Arguments:
        runs: Two runs or more.
        evaluations: Their evaluations on the same examples.
        to: The name of the run or group that the others are compared with; the first by default.

    Raises:
        OptionError: Runs or evaluations that are not comparable.
    """
    names = run_names(runs)
    for run, name in zip(runs[1:], names[1:], strict=True):
        _require_same_data(runs[0], run, names[0], name)
    found = map(_without_free_draws, evaluations)
    entries = [_entry(*each) for each in zip(runs, names, found, strict=True)]
    groups = _grouped(entries)
    return _comparison(entries, reference_of(to, groups, group_names(groups), names[0]))


def _comparison(entries: Sequence[Entry], reference: str) -> Comparison:
    """Return the comparison of runs with the group of the reference, if they are comparable."""
    _require(entries, _differences_in_measure)
    _require(entries, _differences_in_kind)
    groups = _grouped(entries)
    made = tuple(map(Group, map(tuple, groups), group_names(groups)))
    chosen = next(g for g in made if reference in [entry.name for entry in g.entries])
    return Comparison(made, chosen)


def _kept(run: TrainedRun, split: str, seed: int) -> Evaluation | None:
    """Return the evaluation of a split of the run's own data under a seed in its folder."""
    found = run.kept_evaluation()
    data = run.spec.name if run.data is None else run.data.name
    wanted = (split, seed, data, run.spec.condition)
    if found is None or (found.split, found.seed, found.data, found.condition) != wanted:
        return None
    # A data set with a name is determined by it, and may have to be downloaded first.
    path = (run.config.get("recorded", {}).get("data") or {}).get("path")
    if isinstance(run.data, Dataset) or (path is not None and as_path(path).exists()):
        batch = run.examples(split=split, seed=seed)
        c_sha256 = None if batch.c is None else data_sha256(batch.c)
        if (found.data_sha256, found.condition_sha256) != (data_sha256(batch.x), c_sha256):
            return None
    return _without_free_draws(found)


def _without_free_draws(evaluation: Evaluation) -> Evaluation:
    """Return an evaluation without draws where these are all the same: sequences of codes."""
    if evaluation.codes_in_use is None:
        return evaluation
    return evaluation.with_facts(n_samples=None, proposal=None)


def _draws(
    names: Sequence[str],
    kept: Sequence[Evaluation | None],
    n_samples: int | None,
    proposal: Proposal | None,
) -> tuple[int, Proposal]:
    """Return the number of draws and the proposal: those given, or those of all evaluations.

    Raises:
        OptionError: The evaluations differ in one that is not given.
    """
    used: dict[str, Any] = {"n_samples": n_samples, "proposal": proposal}
    apart = {}
    for option in [name for name, value in used.items() if value is None]:
        pairs = [
            (vars(one.facts)[option], name) for name, one in zip(names, kept, strict=True) if one
        ]
        first = {value: name for value, name in reversed(pairs) if value is not None}
        values = sorted(first)
        if len(values) > 1:
            apart[f"{option}="] = (
                f"{first[values[0]]} was evaluated with {option}={values[0]} and "
                f"{first[values[1]]} with {option}={values[1]}"
            )
        used[option] = values[0] if values else None
    if apart:
        raise OptionError(
            f"{', '.join(apart.values())}, which leaves other gaps below log p(x): give "
            f"{' and '.join(apart)} to evaluate all with the same"
        )
    return used["n_samples"] or N_SAMPLES, used["proposal"] or POSTERIOR


def _entry(run: TrainedRun, name: str, evaluation: Evaluation) -> Entry:
    config = {k: v for k, v in run.config.items() if k not in _NO_CONFIGURATION}
    config["objective"] = run.config.get("recorded", {}).get("objective")
    fitted = run.config.get("fitted_prior") or {}
    # Priors of one kind, fitted to runs of one configuration, are one configuration.
    config["fitted_prior"] = fitted.get("prior"), fitted.get("options")
    if run.config.get("variant") is None:
        config["model"] = repr(run.model)
    seconds = run.rows[-1].get("seconds") if run.rows else None
    return Entry(
        name=name,
        variant=run.config.get("variant"),
        seed=run.config.get("seed"),
        seconds=None if seconds is None else float(seconds),
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        scored=_scored(run),
        configuration=json.dumps(config, sort_keys=True, default=str),
        evaluation=evaluation,
    )


def _scored(run: TrainedRun) -> str:
    """Return the argument of the log-likelihood of a run, such as ``p(x | c)``."""
    if not isinstance(run.model, DirectedModel):
        return "p(x | c)" if run.spec.context else "p(x)"
    parents, columns = run.model.parents, run.model.columns
    modelled = set(parents)
    given = {parent for names in parents.values() for parent in names} - modelled
    covered = {index for name in modelled for index in columns.get(name, [])}
    if covered == set(range(run.spec.dim)):
        modelled = {"x"} | (modelled & {"y"})
    left = ", ".join(sorted(modelled))
    return f"p({left} | {', '.join(sorted(given))})" if given else f"p({left})"


def _grouped(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Return the runs by configuration; a repeated seed of one starts a separate group."""
    groups: dict[tuple[str, int], list[Entry]] = {}
    copies: Counter[tuple[str, int | None]] = Counter()
    for entry in entries:
        run = (entry.configuration, entry.seed)
        groups.setdefault((entry.configuration, copies[run]), []).append(entry)
        copies[run] += 1
    return list(groups.values())


def _require_same_data(run: TrainedRun, other: TrainedRun, name: str, other_name: str) -> None:
    """Refuse, before anything is measured, data that the configurations show to be different.

    Raises:
        OptionError: Data of another shape or support, or binarized in another way.
    """
    a, b = run.spec, other.spec
    if (a.shape, a.support) != (b.shape, b.support):
        first, second = (f"{spec.name} ({spec.support} of shape {spec.shape})" for spec in (a, b))
        raise OptionError(
            f"{name} was trained on {first}, and {other_name} on {second}: compare runs on the "
            "same data, prepared in the same way (data=, binarize=)"
        )
    ways = run.config.get("binarize"), other.config.get("binarize")
    if a.name == b.name and ways[0] != ways[1]:
        raise OptionError(
            f"{name} was trained with binarize={ways[0]!r} and {other_name} with "
            f"binarize={ways[1]!r}, on other pixels: train both with the same binarize="
        )


def _require(
    entries: Sequence[Entry], obstacles: Callable[[Entry, Entry], Iterator[tuple[str, str]]]
) -> None:
    """Refuse runs whose numbers do not measure the same as those of the first.

    Raises:
        OptionError: There is an obstacle.
    """
    first = entries[0]
    for other in entries[1:]:
        for difference, fix in obstacles(first, other):
            raise OptionError(
                f"{first.name} cannot be compared with {other.name}: {difference}; {fix}"
            )


def _differences_in_measure(first: Entry, other: Entry) -> Iterator[tuple[str, str]]:
    """Yield differences of examples and draws that make runs incomparable, each with its fix."""
    a, b = vars(first.evaluation.facts), vars(other.evaluation.facts)
    if a["data_sha256"] != b["data_sha256"]:
        for name in ("data", "binarize", "split", "n_examples", "seed"):
            if a[name] != b[name]:
                text = f"they were scored on other examples ({name} {a[name]!r} and {b[name]!r})"
                yield text, "evaluate both on the same"
        yield (
            "they were scored on other examples, though of the same name (SHA-256 "
            f"{str(a['data_sha256'])[:12]} and {str(b['data_sha256'])[:12]})",
            "evaluate both on the same files, in the same order",
        )
    conditions = [(one["condition"], one["condition_sha256"]) for one in (a, b)]
    if conditions[0] != conditions[1] and None not in (conditions[0][1], conditions[1][1]):
        was, now = (f"{name} (SHA-256 {digest[:12]})" for name, digest in conditions)
        yield (
            f"they were given other conditions c with the same x: {was} and {now}",
            "evaluate both under the same",
        )
    for name in ("n_samples", "proposal"):
        if None not in (a[name], b[name]) and a[name] != b[name]:
            fix = f"give {name}= to evaluate both with the same"
            yield f"they were scored with {name} {a[name]!r} and {b[name]!r}", fix


def _differences_in_kind(first: Entry, other: Entry) -> Iterator[tuple[str, str]]:
    """Yield differences of likelihood that make runs incomparable, each with its fix."""
    a, b = first.evaluation, other.evaluation
    if a.is_likelihood != b.is_likelihood:
        without, having = (first, other) if b.is_likelihood else (other, first)
        why, fix = "its log p(x | z) is not normalized", "a normalized one (likelihood=)"
        if without.evaluation.kl_method == NO_DENSITY:
            why, fix = "its code has no density", "a variant whose code has one"
        yield (
            f"{without.name} has no likelihood ({why}) and {having.name} has one",
            f"instead of {without.name}, train {fix}",
        )
    if first.scored != other.scored and not {first.scored, other.scored} <= set(_OF_X):
        yield (
            f"the one has log {first.scored}, the other log {other.scored}",
            "compare runs that score the same variables",
        )
    if None in (a.log_likelihood, b.log_likelihood) or not a.is_likelihood:
        return
    if (a.bits_per_dim is None) != (b.bits_per_dim is None):
        dense, discrete = (first, other) if a.bits_per_dim is None else (other, first)
        yield (
            f"{dense.name} gives x a density, and {discrete.name} gives its values probabilities",
            "train both with the same kind of likelihood (likelihood=)",
        )

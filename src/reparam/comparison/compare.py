"""Compare runs: evaluate what is missing, refuse what cannot be subtracted."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from reparam.comparison.result import Comparison, Entry, Group
from reparam.data import Dataset
from reparam.errors import OptionError, unknown
from reparam.evaluation.likelihood.importance import N_SAMPLES, NO_DENSITY
from reparam.evaluation.likelihood.proposal import POSTERIOR
from reparam.evaluation.per_example import data_sha256
from reparam.evaluation.result import Evaluation
from reparam.isolation import default_modes
from reparam.models.directed import DirectedModel
from reparam.runs.run import Run
from reparam.utils.arguments import numbers
from reparam.utils.files import as_path

# Both are of x, and differ in what is given: to be said, not to be refused.
_OF_X = ("p(x)", "p(x | c)", "p(x | y)")
# What two runs of one configuration may differ in: the seed, and where they ran and wrote.
_NO_CONFIGURATION = ("seed", "data_dir", "path", "device", "recorded")
# Between the name of a group and how many seeds it has.
_SEEDS = " × "


@default_modes()
@numbers()
def compare(
    runs: Sequence[Run],
    *,
    to: str | None = None,
    n_samples: int | None = None,
    proposal: str | None = None,
    split: str = "test",
    seed: int = 0,
    device: str = "auto",
    tell: Callable[[str], None] | None = None,
) -> Comparison:
    r"""Compare runs on the same examples, pair by pair.

    .. math:: \bar d = \frac1N \sum_n \big( \log p_b(x_n) - \log p_a(x_n) \big), \qquad
              e = \frac{\operatorname{sd}_n(d_n)}{\sqrt N}

    What the folder of a run keeps is used where it is of the same split, draws and weights; else
    the run is evaluated now, and the folder keeps it unless it holds another sound evaluation.
    Runs of one configuration that differ in their seed only are averaged. Where the data of a run
    are at hand, what the folder keeps counts only if it is of exactly these examples.

    Arguments:
        runs: Two runs or more, as ``fit`` and ``load`` return them.
        to: The name of the run or group that the others are compared with; the first by default.
        n_samples: Importance samples of each example; what the folders keep, else 500.
        proposal: Where they come from, as for ``evaluate``; what the folders keep, else the
            posterior.
        split: The split of their data.
        seed: Of every draw.
        device: Where to compute.
        tell: Told in a sentence when a run is evaluated.

    Returns:
        Figures and differences in nats per example, with standard errors.

    Raises:
        OptionError: Fewer than two runs, a name that is none of theirs, or runs whose data, split,
            binarization, number of draws or kind of likelihood differ.
        RunError: The data of a run are needed and not there any more.

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
        if not isinstance(run, Run):
            raise OptionError(
                f"a {type(run).__name__} is no run: give those that fit and load(path) return"
            )
    if len(runs) < 2:
        raise OptionError(f"{len(runs)} run to compare: give two or more")
    names = _names(runs)
    for run, name in zip(runs[1:], names[1:], strict=True):
        _require_same_kind(runs[0], run, names[0], name)
    kept = [
        None if (one := _kept(run, split, seed)) is None else _with_free_draws(one) for run in runs
    ]
    if n_samples is not None and n_samples < 1:
        raise OptionError(f"n_samples={n_samples}: evaluation needs at least 1")
    n, of = _agreed(names, kept, n_samples, proposal)
    # What a first look shows is refused before hours are spent.
    entries = [
        _entry(run, name, _first_look(run, split, seed, device) if found is None else found)
        for run, name, found in zip(runs, names, kept, strict=True)
    ]
    for entry in entries[1:]:
        _require(entries[0], entry, _differences_in_kind)
    alike = _grouped(entries)
    labels = _labels(alike)
    wanted = _chosen(to, names, alike, labels)
    for i, (run, name, found) in enumerate(zip(runs, names, kept, strict=True)):
        if found is None or not _is_drawn(found, n, of):
            # A directed model has its likelihood exactly, without a proposal.
            usual = of == POSTERIOR or isinstance(run.model, DirectedModel)
            if tell is not None:
                how = "" if usual else f" --proposal {of}"
                tell(f"evaluating {name} on {split!r} (--n-samples {n}{how})")
            # What was measured otherwise may have taken hours: it stays.
            keep = run.kept_evaluation() is None
            options: dict[str, Any] = {} if usual else {"proposal": of}
            if not keep:
                # Without a file to fill, what the training examples say is not needed.
                options["train"] = False
            found = run.evaluate(
                split=split, n_samples=n, seed=seed, device=device, keep=keep, **options
            )
        entries[i] = replace(entries[i], evaluation=_with_free_draws(found))
    for entry in entries[1:]:
        _require(entries[0], entry, _differences_in_measure)
        _require(entries[0], entry, _differences_in_kind)
    groups = tuple(
        Group(tuple(group), label) for group, label in zip(_grouped(entries), labels, strict=True)
    )
    reference = next(g for g in groups if wanted in [entry.name for entry in g.entries])
    return Comparison(groups, reference)


def _names(runs: Sequence[Run]) -> list[str]:
    """Return a name for every run, the shortest that tells it from the others."""
    folders = [None if run.folder is None else run.folder.path.absolute() for run in runs]
    known = [folder for folder in folders if folder is not None]
    if len(set(known)) < len(known):
        twice = next(folder for folder in known if known.count(folder) > 1)
        raise OptionError(f"run {twice} is given twice: give each run once")
    names: list[str] = []
    for run, folder in zip(runs, folders, strict=True):
        if folder is not None:
            alike = [other for other in known if other.name == folder.name]
            # Folders of one name are told apart by those that they lie in.
            depth = next(
                d
                for d in range(1, len(folder.parts) + 1)
                if [other.parts[-d:] for other in alike].count(folder.parts[-d:]) == 1
            )
            names.append(str(Path(*folder.parts[-depth:])))
            continue
        stem = str(run.config.get("variant") or type(run.model).__name__)
        free = (f"{stem}-{i}" for i in range(1, len(runs) + 1))
        names.append(next(name for name in free if name not in names))
    return names


def _chosen(
    to: str | None, names: Sequence[str], groups: Sequence[Sequence[Entry]], labels: Sequence[str]
) -> str:
    """Return the name of the reference, or of one run of it where it is a group."""
    if to is None:
        return names[0]
    for name in (to, Path(to).name):
        if name in names:
            return name
        for group, label in zip(groups, labels, strict=True):
            if name in (label, label.rpartition(_SEEDS)[0]):
                return group[0].name
    raise unknown("run to compare with", to, dict.fromkeys([*names, *labels]))


def _labels(groups: Sequence[Sequence[Entry]]) -> list[str]:
    """Return a name for every group: that of its run, or what only its runs share."""
    stems = [_stem(group) for group in groups]
    labels = []
    for group, stem in zip(groups, stems, strict=True):
        others = [entry.name for other in groups if other is not group for entry in other]
        if len(group) == 1:
            labels.append(group[0].name)
        elif stem and stems.count(stem) == 1 and stem not in others:
            labels.append(f"{stem}{_SEEDS}{len(group)} seeds")
        else:
            labels.append(", ".join(entry.name for entry in group))
    return labels


def _stem(group: Sequence[Entry]) -> str:
    """Return what the names of runs begin with, in whole words and numbers; else their variant."""
    words = [re.findall(r"\d+|[^\W\d_]+|[\W_]", entry.name) for entry in group]
    common = takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False))
    return "".join(column[0] for column in common).rstrip("-_./ =") or group[0].variant or ""


def _kept(run: Run, split: str, seed: int) -> Evaluation | None:
    """Return what the folder of a run keeps of a split of its own data under a seed."""
    found = run.kept_evaluation()
    data = getattr(run.data, "name", run.spec.name)
    asked = (split, seed, data, run.spec.condition)
    if found is None or (found.split, found.seed, found.data, found.condition) != asked:
        return None
    if _has_data(run):
        batch = run.examples(split=split, seed=seed)
        c_sha256 = None if batch.c is None else data_sha256(batch.c)
        if (found.data_sha256, found.condition_sha256) != (data_sha256(batch.x), c_sha256):
            return None
    return found


def _has_data(run: Run) -> bool:
    """Return whether the data of a run are at hand: in memory, or in files of the user's own.

    A named set is what its name says, and may have to be downloaded first.
    """
    path = (run.config.get("recorded", {}).get("data") or {}).get("path")
    return isinstance(run.data, Dataset) or (path is not None and as_path(path).exists())


def _agreed(
    names: Sequence[str],
    kept: Sequence[Evaluation | None],
    n_samples: int | None,
    proposal: str | None,
) -> tuple[int, str]:
    """Return the draws that were asked for, or that all evaluations have in common.

    Raises:
        OptionError: The evaluations differ in what was not asked for.
    """
    asked: dict[str, Any] = {"n_samples": n_samples, "proposal": proposal}
    apart = {}
    for option in [name for name, value in asked.items() if value is None]:
        known = {
            name: value
            for name, one in zip(names, kept, strict=True)
            if one is not None and (value := getattr(one, option)) is not None
        }
        values = sorted(set(known.values()))
        if len(values) > 1:
            first, other = (next(k for k, v in known.items() if v == value) for value in values[:2])
            apart[f"--{option.replace('_', '-')}"] = (
                f"{first} was evaluated with {option}={values[0]} and {other} with "
                f"{option}={values[1]}"
            )
        asked[option] = values[0] if values else None
    if apart:
        raise OptionError(
            f"{', '.join(apart.values())}, which leaves other gaps below log p(x): give "
            f"{' and '.join(apart)} to evaluate all with the same"
        )
    return asked["n_samples"] or N_SAMPLES, asked["proposal"] or POSTERIOR


def _first_look(run: Run, split: str, seed: int, device: str) -> Evaluation:
    """Return the figures of two examples, which show of what kind the likelihood of a run is."""
    few = run.examples(split=split, seed=seed, limit=2)
    return run.evaluate(few, n_samples=1, seed=seed, device=device)


def _with_free_draws(evaluation: Evaluation) -> Evaluation:
    """Return an evaluation without draws where these are all the same: sequences of codes."""
    if evaluation.codes_in_use is None:
        return evaluation
    return replace(evaluation, n_samples=None, proposal=None)


def _is_drawn(evaluation: Evaluation, n_samples: int, proposal: str) -> bool:
    """Return whether an evaluation has these draws, or needs none."""
    same_n = evaluation.n_samples in (None, n_samples)
    return same_n and evaluation.proposal in (None, proposal)


def _entry(run: Run, name: str, evaluation: Evaluation) -> Entry:
    config = {k: v for k, v in run.config.items() if k not in _NO_CONFIGURATION}
    config["objective"] = run.config.get("recorded", {}).get("objective")
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


def _scored(run: Run) -> str:
    """Return what the log-likelihood of a run is that of."""
    if not isinstance(run.model, DirectedModel):
        return "p(x | c)" if run.spec.context else "p(x)"
    parents, columns = run.model.parents, run.model.columns
    modelled = set(parents)
    given = {parent for names in parents.values() for parent in names} - modelled
    covered = {index for name in modelled for index in columns.get(name, [])}
    if covered == set(range(run.spec.dim)):
        modelled = {"x"} | (modelled & {"y"})
    said = ", ".join(sorted(modelled))
    return f"p({said} | {', '.join(sorted(given))})" if given else f"p({said})"


def _grouped(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Return the runs by configuration; the same run with the same seed is no second seed."""
    groups: list[list[Entry]] = []
    for entry in entries:
        for group in groups:
            alike = group[0].configuration == entry.configuration
            if alike and entry.seed not in [other.seed for other in group]:
                group.append(entry)
                break
        else:
            groups.append([entry])
    return groups


def _require_same_kind(run: Run, other: Run, name: str, other_name: str) -> None:
    """Refuse, before anything is measured, what the configurations show to be different.

    Raises:
        OptionError: Data of another shape or support, or binarized in another way.
    """
    kinds = [(one.spec.shape, one.spec.support) for one in (run, other)]
    if kinds[0] != kinds[1]:
        first, second = (
            f"{one.spec.name} ({one.spec.support} of shape {one.spec.shape})"
            for one in (run, other)
        )
        raise OptionError(
            f"{name} was trained on {first}, and {other_name} on {second}: compare runs on the "
            "same data, prepared in the same way (--data, --binarize)"
        )
    ways = [one.config.get("binarize") for one in (run, other)]
    if run.spec.name == other.spec.name and ways[0] != ways[1]:
        raise OptionError(
            f"{name} was trained with binarize={ways[0]!r} and {other_name} with "
            f"binarize={ways[1]!r}, so that they are scored on other pixels: train both with the "
            "same --binarize"
        )


def _require(
    first: Entry, other: Entry, obstacles: Callable[[Entry, Entry], Iterator[tuple[str, str]]]
) -> None:
    """Refuse to subtract numbers that do not measure the same.

    Raises:
        OptionError: There is an obstacle.
    """
    for difference, fix in obstacles(first, other):
        raise OptionError(f"{first.name} cannot be compared with {other.name}: {difference}; {fix}")


def _differences_in_measure(first: Entry, other: Entry) -> Iterator[tuple[str, str]]:
    """Yield what examples and draws differ in that forbids to compare runs, and the fix."""
    a, b = first.evaluation, other.evaluation
    if a.data_sha256 != b.data_sha256:
        for name in ("data", "binarize", "split", "n_examples", "seed"):
            was, now = getattr(a, name), getattr(b, name)
            if was != now:
                said = f"they were scored on other examples ({name} {was!r} and {now!r})"
                yield said, "evaluate both on the same"
        yield (
            "they were scored on other examples, though of the same name (SHA-256 "
            f"{str(a.data_sha256)[:12]} and {str(b.data_sha256)[:12]})",
            "evaluate both on the same files, in the same order",
        )
    if None not in (a.condition_sha256, b.condition_sha256):
        conditions = [(one.condition, one.condition_sha256) for one in (a, b)]
        if conditions[0] != conditions[1]:
            was, now = (f"{name} (SHA-256 {str(digest)[:12]})" for name, digest in conditions)
            yield (
                f"they were given other conditions c with the same x: {was} and {now}",
                "evaluate both under the same",
            )
    for name in ("n_samples", "proposal"):
        was, now = getattr(a, name), getattr(b, name)
        if None not in (was, now) and was != now:
            fix = f"give --{name.replace('_', '-')} to evaluate both with the same"
            yield f"they were scored with {name} {was!r} and {now!r}", fix


def _differences_in_kind(first: Entry, other: Entry) -> Iterator[tuple[str, str]]:
    """Yield what likelihoods differ in that forbids to compare runs, and the fix."""
    a, b = first.evaluation, other.evaluation
    if a.is_likelihood != b.is_likelihood:
        without, having = (first, other) if b.is_likelihood else (other, first)
        no_density = without.evaluation.kl_method == NO_DENSITY
        why = "its code has no density" if no_density else "its log p(x | z) is not normalized"
        fix = "a variant whose code has one" if no_density else "a normalized one (--likelihood)"
        yield (
            f"{without.name} has no likelihood ({why}) and {having.name} has one",
            f"instead of {without.name}, train {fix}",
        )
    if first.scored != other.scored and not {first.scored, other.scored} <= set(_OF_X):
        yield (
            f"the one has log {first.scored}, the other log {other.scored}",
            "compare each with others of its kind",
        )
    if None in (a.log_likelihood, b.log_likelihood) or not a.is_likelihood:
        return
    if (a.bits_per_dim is None) != (b.bits_per_dim is None):
        dense, discrete = (first, other) if a.bits_per_dim is None else (other, first)
        yield (
            f"{dense.name} gives x a density, and {discrete.name} gives its values probabilities",
            "train both with the same kind of likelihood (--likelihood)",
        )

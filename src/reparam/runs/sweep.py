"""Searches over variants, parts and options by held-out log-likelihood, with Optuna.

Every trial is a run in a folder of its own. Trials that fall behind are pruned. Optuna's storage,
SQLite in the folder of the sweep or the URL of a server, holds the trials, so that several
processes and machines share a sweep, and a sweep that was killed goes on.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.data import Dataset
from reparam.data.in_memory import as_dataset
from reparam.data.preparation import fingerprint
from reparam.errors import DataError, NonFiniteError, OptionError, RunError, unknown
from reparam.runs.config import option_types, recipe_of, typed
from reparam.runs.fit import fit
from reparam.runs.folder import RunFolder
from reparam.runs.options import DataOptions
from reparam.spec import DataSpec
from reparam.training.events import Event
from reparam.training.options import MachineOptions, TrainingOptions
from reparam.utils.extras import imported
from reparam.utils.files import as_path
from reparam.variants import get

if TYPE_CHECKING:
    import optuna

STUDY, DATABASE = "sweep", "sweep.db"
"""The name of the study in its storage, and the file of the storage in the folder of the sweep."""

N_DRAWS = 20
"""The number of importance samples behind the score of a trial."""

WARMUP, STARTUP = 10, 5
"""The number of validations, and of trials, before any trial is pruned."""

RANGE_KEYS = ("low", "high", "log", "step")
"""The keys of a range of numbers in a space."""


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Arguments:
        number: Its number, from 0.
        values: The options that the sweep chose.
        score: The mean log p(x) of held-out examples in nats; None for a trial without one.
        state: ``complete``, ``pruned``, ``fail`` or ``running``.
        folder: The folder of the run.
    """

    number: int
    values: Mapping[str, Any]
    score: float | None
    state: str
    folder: Path


def sweep(
    data: object,
    space: Mapping[str, object],
    *,
    out: str | Path,
    n_trials: int = 20,
    variant: str = "vae",
    options: Mapping[str, object] | None = None,
    storage: str | None = None,
    prune: bool = True,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> list[Trial]:
    """Search options by the held-out log-likelihood, and return all trials, the best first.

    A sweep that exists in ``out`` or in ``storage`` goes on until it has ``n_trials`` trials, with
    those that failed.

    Arguments:
        data: Any data that ``fit`` takes; a tenth is held out where there is no validation split.
        space: The options to search, by name: a list of values, or a mapping with ``low`` and
            ``high``, and optionally ``log`` and ``step``. ``variant`` is an option too.
        out: The folder of the sweep; its runs are ``out/trial-0`` and so on.
        n_trials: The number of trials in all.
        variant: The variant, where it is not searched.
        options: Options of the model and of training with the same value in all trials.
        storage: The URL of a database, for several machines; SQLite in ``out`` when None.
        prune: Whether trials whose validation is below the median are stopped.
        seed: The seed of the search, and of the runs where it is not searched.
        say: A function that is called with a sentence after every trial.

    Raises:
        OptionError: An option or variant that does not exist, or a value of another type.
        RunError: Optuna is not installed, or the storage holds a search of another space, or with
            other data or options.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from reparam import data
        >>> with TemporaryDirectory() as folder:
        ...     space = {"latent_dim": [2, 4]}
        ...     found = sweep(data.load("digits"), space, out=folder, n_trials=2,
        ...                   options={"steps": 20, "hidden": [16]})
        >>> [trial.state for trial in found], found[0].score >= found[1].score
        (['complete', 'complete'], True)
    """
    optuna = imported("optuna", "sweep", "a sweep")
    if n_trials < 1:
        raise OptionError(f"n_trials={n_trials}: give at least 1")
    choices = checked_space(space, variant)
    fixed = checked_options(options or {}, choices, variant)
    source = _with_held_out(as_dataset(data), seed)
    place = as_path(out, "out")
    place.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.MedianPruner(STARTUP, WARMUP) if prune else optuna.pruners.NopPruner()
    study = optuna.create_study(
        study_name=STUDY,
        storage=storage or f"sqlite:///{place.absolute() / DATABASE}",
        pruner=pruner,
        direction="maximize",
        load_if_exists=True,
    )
    about = {
        "space": {name: choice.described for name, choice in choices.items()},
        "variant": variant,
        "options": {name: _plain(value) for name, value in fixed.items()},
        "data": fingerprint(source.split("train")),
    }
    for what, value in about.items():
        before = study.user_attrs.get(what)
        if before not in (None, value):
            shown = "" if what == "data" else f" ({before})"
            raise RunError(
                f"{storage or place} holds a sweep with another {what}{shown}: give the same, or "
                "another folder"
            )
        study.set_user_attr(what, value)
    # Another process, or this one when it goes on, draws other values.
    n_before = len(study.get_trials(deepcopy=False))
    own = [seed, n_before, *([os.getpid()] if storage else [])]
    study.sampler = optuna.samplers.TPESampler(
        seed=int(np.random.SeedSequence(own).generate_state(1)[0])
    )
    _release(study)

    def objective(trial: Any) -> float:
        values = {name: choice.choose(trial, name) for name, choice in choices.items()}
        folder = Path(trial.user_attrs.get("folder", place.absolute() / f"trial-{trial.number}"))
        trial.set_user_attr("folder", str(folder))
        trial.set_user_attr("values", values)
        score = _trained(
            {"variant": variant, "seed": seed, **fixed, **values}, source, folder, trial
        )
        if say is not None:
            shown = ", ".join(f"{k} {v}" for k, v in values.items())
            say(f"trial {trial.number}: {shown}; held-out log p(x) {score:.2f} nats")
        return score

    def stop_after(study: Any, trial: Any) -> None:
        if _n_done(study) >= n_trials:
            study.stop()

    if _n_done(study) < n_trials:
        study.optimize(objective, callbacks=[stop_after], catch=(NonFiniteError,))
    return trials_of(study)


def _n_done(study: "optuna.Study") -> int:
    """Return the number of trials that are over, without those that were queued again."""
    trials = study.get_trials(deepcopy=False)
    n_queued_again = sum("queued_again" in trial.user_attrs for trial in trials)
    return sum(trial.state.is_finished() for trial in trials) - n_queued_again


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def trials_of(study: "optuna.Study") -> list[Trial]:
    """Return the trials of a study, the best first, and those without a score last."""
    found = []
    for trial in study.get_trials(deepcopy=False):
        state = trial.state.name.lower()
        score = trial.value if state == "complete" else None
        values = trial.user_attrs.get("values", trial.params)
        folder = Path(trial.user_attrs.get("folder", ""))
        found.append(Trial(trial.number, values, score, state, folder))
    return sorted(found, key=lambda t: (t.score is None, -(t.score or 0.0), t.number))


@dataclass(frozen=True)
class OneOf:
    """One of several values of an option.

    Arguments:
        values: The values.
    """

    values: tuple[Any, ...]

    def choose(self, trial: "optuna.Trial", name: str) -> Any:
        """Return the value of a trial."""
        # Optuna stores numbers and text only: a value such as (64, 64) is chosen by its place.
        return self.values[trial.suggest_categorical(name, list(range(len(self.values))))]

    @property
    def described(self) -> list[Any]:
        """The values as JSON holds them."""
        return [list(v) if isinstance(v, tuple) else v for v in self.values]


@dataclass(frozen=True)
class Range:
    """A range of numbers of an option.

    Arguments:
        low: The least number.
        high: The largest.
        log: Whether the logarithm is uniform.
        step: The distance of two numbers; None for any, and for 1 for whole numbers.
        is_whole: Whether the numbers are whole.
    """

    low: float
    high: float
    log: bool
    step: float | None
    is_whole: bool

    def choose(self, trial: "optuna.Trial", name: str) -> Any:
        """Return the value of a trial."""
        if self.is_whole:
            step = 1 if self.step is None else int(self.step)
            return trial.suggest_int(name, int(self.low), int(self.high), step=step, log=self.log)
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    @property
    def described(self) -> dict[str, Any]:
        """The range as JSON holds it."""
        return asdict(self)


Choice = OneOf | Range


def checked_space(space: Mapping[str, object], variant: str = "vae") -> dict[str, Choice]:
    """Return the choice of each option of a space.

    Arguments:
        space: The options to search: see ``sweep``.
        variant: The variant, where it is not searched.

    Raises:
        OptionError: An option that does not exist, or values that it cannot have.

    Example:
        >>> checked_space({"latnt_dim": [2, 4]})
        Traceback (most recent call last):
        reparam.errors.OptionError: unknown option of the space 'latnt_dim': did you mean ...
    """
    if not space:
        raise OptionError("space={}: name one option or more, such as {'latent_dim': [2, 8, 32]}")
    searched = space.get("variant", [variant])
    variants = searched if isinstance(searched, list | tuple) else [searched]
    types: dict[str, Any] = {}
    for name in variants:
        types |= searchable(get(str(name)).name)
    found: dict[str, Choice] = {}
    for name, given in space.items():
        if name != "variant" and name not in types:
            raise unknown("option of the space", name, ["variant", *types])
        if isinstance(given, Mapping):
            found[name] = _range(name, given, types.get(name))
            continue
        if not isinstance(given, list | tuple) or not given:
            raise OptionError(
                f"space[{name!r}]={given!r}: give a list of values, or a mapping with low and high"
            )
        values = given if name == "variant" else [typed({name: v}, types)[name] for v in given]
        found[name] = OneOf(tuple(values))
    return found


def checked_options(
    options: Mapping[str, object], choices: Mapping[str, Choice], variant: str
) -> dict[str, Any]:
    """Return options that all trials share, each as its type.

    Raises:
        OptionError: An option that does not exist, or that the space has too.
    """
    types = searchable(get(variant).name)
    for name in options:
        if name not in types:
            raise unknown("option of a sweep", name, types)
        if name in choices:
            raise OptionError(f"options[{name!r}]: the space has it too; drop one of them")
    return typed(options, types)


def searchable(variant: str) -> dict[str, Any]:
    """Return the types of the options of a variant and of its training, by name."""
    own = {"data", *DataOptions.__dataclass_fields__, *MachineOptions.__dataclass_fields__}
    return {name: kind for name, kind in option_types(variant).items() if name not in own}


def _range(name: str, given: Mapping[str, Any], kind: Any) -> "Range":
    """Return a range of numbers of a space.

    Raises:
        OptionError: A range without both ends, or an unknown key.
    """
    for key in given:
        if key not in RANGE_KEYS:
            raise unknown(f"key of space[{name!r}]", str(key), RANGE_KEYS)
    low, high, step = (_number(given.get(key)) for key in ("low", "high", "step"))
    log = bool(given.get("log", False))
    if not (isinstance(low, int | float) and isinstance(high, int | float) and low < high):
        raise OptionError(
            f"space[{name!r}]={dict(given)}: a range needs numbers low and high, low below high"
        )
    if step is not None and not (isinstance(step, int | float) and step > 0):
        raise OptionError(f"space[{name!r}]: step={given['step']!r} must be a number above 0")
    if log and low <= 0:
        raise OptionError(f"space[{name!r}]: low={low!r} must be above 0 for log")
    is_whole = "int" in str(kind) and "float" not in str(kind)
    if is_whole and not all(float(v).is_integer() for v in (low, high, step or 1)):
        raise OptionError(f"space[{name!r}]: the option is a whole number, and so are low and high")
    return Range(low, high, log, step, is_whole)


def _number(value: object) -> Any:
    """Return a number that YAML read as text, such as 1e-4; anything else unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _trained(
    config: Mapping[str, Any], source: Dataset, folder: Path, trial: "optuna.Trial"
) -> float:
    """Train the run of a trial, and return its score."""
    import optuna

    stopped, n_validations = [False], count(1)

    def report(event: Event) -> None:
        score = event.row.get("elbo") if event.kind == "epoch" else None
        if isinstance(score, float):
            trial.report(score, next(n_validations))
            stopped[0] = trial.should_prune()
            if stopped[0]:
                event.stop()

    def made(spec: DataSpec) -> Any:
        return recipe_of(config, spec)

    training = {k: v for k, v in config.items() if k in TrainingOptions.__dataclass_fields__}
    run = fit(made, source, out=folder, resume=True, progress=False, callbacks=[report], **training)
    if stopped[0]:
        raise optuna.TrialPruned
    return float(run.log_likelihood(split="validation", n_samples=N_DRAWS).mean())


def _release(study: "optuna.Study") -> None:
    """Queue the trials of killed processes again; their runs go on in their folders."""
    import optuna

    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        folder = trial.user_attrs.get("folder")
        if folder is None or not Path(folder).exists():
            continue
        try:
            with RunFolder(Path(folder)).locked():
                pass
        except RunError:
            continue  # another process trains it
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        again = {"folder": folder, "queued_again": trial.number}
        study.enqueue_trial(trial.params, user_attrs=again)


def _with_held_out(data: Any, seed: int) -> Dataset:
    """Return data in memory with a validation split."""
    if not isinstance(data, Dataset):
        raise DataError("a sweep holds out examples, which a stream cannot: give a data set")
    return data if "validation" in data.splits else data.with_validation(0.1, seed)

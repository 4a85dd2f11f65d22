"""Abstract: a scikit-learn estimator around a trained latent-variable model.

A subclass declares its parameters in its own constructor, as scikit-learn needs. ``fit`` trains by
``reparam.fit``, whose options are found by it unless they are given.
"""

import warnings
from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_type_hints

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from reparam.data import Dataset, Table, from_arrays, from_table
from reparam.data.checks import violations
from reparam.data.frames import FrameType, read_frame
from reparam.data.infer import NO_VALUE, as_quantities, schema_of
from reparam.data.mixed import numbered, rows_of, without_unseen
from reparam.data.registry import Frame
from reparam.data.relations import with_relations
from reparam.data.tables import table_of_numbers
from reparam.data.transforms import Pixels
from reparam.errors import OptionError, RunError, named
from reparam.estimators.scores import SCORES, scored, shared_noise
from reparam.models.latent import LatentModel
from reparam.objectives.recipe import Recipe
from reparam.runs.config import plain_type
from reparam.runs.fit import fit
from reparam.runs.folder import RunFolder
from reparam.runs.load import load
from reparam.runs.run import Run
from reparam.runs.search import Auto
from reparam.schema import Schema
from reparam.spec import DataSpec, Support, listed_names
from reparam.training.length import seconds_of
from reparam.training.options import EarlyStopping
from reparam.utils.arguments import as_declared, as_int
from reparam.utils.files import as_path, has_type, read_json, reason, write_json
from reparam.utils.terminal import note
from reparam.variants import build
from reparam.variants.fitted_prior import FittedKind
from reparam.variants.specification import OptionValue

SMALL, STEPS_OF_SMALL = 500, 2000
"""With fewer rows training has this number of steps, and no rows are held out: a fit takes seconds.
``reparam.fit`` chooses the number by cross-fitting, which takes a minute."""

BYTE = 255
"""The largest value of a byte."""

N_DRAWS = 64
"""The number of draws of z behind a score of a row."""

_ARRAYS = ("feature_names_in_", "classes_", "labels_", "levels_", "medians_", "spreads_")
"""The fitted attributes that are arrays."""

_ATTRIBUTES: Mapping[str, Any] = {
    "n_features_in_": int,
    "offset_": float,
    "_columns": tuple[str, ...],
    "_is_mixed": bool,
    "_frame_type": str | None,
    "_seed": int,
    **dict.fromkeys(_ARRAYS, tuple[str | float | bool | None, ...]),
}
"""The fitted attributes beside the model, with their types in a file."""

PRIOR_SHARE = 0.2
"""The share of a budget in which a prior is fitted."""

SHARES: Mapping[FittedKind, float] = {"mixture": 0.05}
"""The shares of priors that are fitted faster."""

STATE = "estimator.json"
"""The file of an estimator's parameters in a folder."""

ScoreName = Literal["log_likelihood", "elbo", "reconstruction", "latent"]
"""The scores of a row: see ``scores``."""


def share_of_prior(prior: FittedKind | None) -> float:
    """Return the share of a budget in which a prior is fitted to the codes.

    >>> share_of_prior(None), share_of_prior("mixture"), share_of_prior("flow")
    (0.0, 0.05, 0.2)
    """
    return 0.0 if prior is None else SHARES.get(prior, PRIOR_SHARE)


class Estimator(BaseEstimator, ABC):
    """Abstract: trains a variant on X, and holds its model.

    Attributes:
        run_: The run that trained the model, with its options and its schema.
        model_: The model in double precision, so that a score does not depend on the other rows.
        n_features_in_: The number of columns of X.
        feature_names_in_: Their names, where X is a DataFrame with names.
    """

    leaves_out_dependent: ClassVar[bool] = True
    """Whether a column that is a function of a column of classes is no part of x."""

    # The parameters that every subclass has.
    steps: int | None
    budget: str | float | None
    batch_size: int | None
    lr: float | None
    schema: Schema | None
    random_state: int | np.random.RandomState | None
    device: str
    verbose: bool

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return "run_" in vars(self)

    @property
    def latent_model(self) -> LatentModel:
        """The model, in double precision."""
        check_is_fitted(self)
        model: LatentModel = self.model_
        return model

    def _fit_data(
        self,
        X: ArrayLike | Frame,
        support: Support | None = None,
        may_lack: bool = False,
        image_shape: Sequence[int] | None = None,
        as_table: bool = False,
    ) -> Dataset:
        """Return the training data of X, after scikit-learn's checks.

        Arguments:
            X: An array with shape (N, D), a sparse matrix or a DataFrame.
            support: The set that contains every entry; None to find it.
            may_lack: Whether later rows may lack values in any column.
            image_shape: (H, W) or (H, W, C) of the images that rows are; None for other rows.
            as_table: Whether a DataFrame of numbers alone has a schema too.

        Raises:
            ValueError: Rows that are no images of this shape.
        """
        self._seed = self._drawn_seed()
        frame, kept = read_frame(X, "X") or (None, None)
        self._frame_type = None if kept is None else kept.to_text()
        self._is_mixed = kept is not None and (
            as_table or self.schema is not None or not kept.is_numeric
        )
        if frame is not None and self._is_mixed:
            validate_data(self, X, skip_check_array=True)
            if len(frame) < 2:
                raise ValueError(f"X has {len(frame)} sample, and at least 2 are needed")
            self._columns = list(frame.columns)
            if image_shape is not None:
                raise ValueError(f"image_shape={image_shape}: X is a table of several kinds")
            schema = self.schema or schema_of(frame)
            if self.schema is None and self.leaves_out_dependent:
                schema = with_relations(schema, frame)
            return self._of_table(frame, schema, may_lack)
        x = self._checked(X, reset=True)
        if image_shape is not None and np.isnan(x).any():
            raise ValueError(f"X contains NaN: with image_shape={image_shape} give whole images")
        self._columns = list(getattr(self, "feature_names_in_", numbered(x.shape[1])))
        if may_lack or np.isnan(x).any():
            table = self._table(x)
            schema = self.schema or schema_of(table, as_quantities(table))
            return self._of_table(table, schema, may_lack)
        values = torch.from_numpy(x if x.dtype == np.uint8 else x.astype(np.float64))
        if image_shape is not None:
            # Pixels of other libraries are often bytes in another type.
            is_bytes = bool((values > 1).any() and (values == values.round()).all())
            if is_bytes and 0 <= float(values.min()) <= float(values.max()) <= BYTE:
                values = values.to(torch.uint8)
            values = images_of(values, image_shape)
        # The shape is declared, so that it is not taken for one with the channels last.
        return from_arrays(values, support=support, shape=tuple(values.shape[1:]), name="X")

    def _of_table(self, table: Table, schema: Schema, may_lack: bool) -> Dataset:
        """Return a table as data, in which any column may lack values if ``may_lack``."""
        if may_lack:
            schema = schema.with_columns(
                {c.name: replace(c, has_missing=True) for c in schema.features}
            )
        data = from_table(table, schema=schema)
        if self.verbose:
            data.print_notes()
        # A column with one value is not learned, and comes back with this value.
        ignored = [c for c in schema.columns if c.kind == "ignored" and not c.values]
        lost = [f"{c.name} ({c.reason})" for c in ignored if c.reason != NO_VALUE]
        lost += [f"{name} ({why})" for name, why in table.nested.items()]
        if lost:
            warnings.warn(f"columns of X are left out: {listed_names(lost)}", stacklevel=4)
        return data

    def _drawn_seed(self) -> int:
        """Return the seed of a fit, by ``random_state``."""
        state = self.random_state
        if isinstance(state, int | np.integer):
            return int(state)
        return int(check_random_state(state).randint(2**31 - 1))

    def _checked(self, X: ArrayLike, reset: bool) -> NDArray[Any]:
        """Return X as a dense array, after scikit-learn's checks."""
        x: Any = validate_data(
            self,
            X,
            reset=reset,
            dtype="numeric",
            accept_sparse="csr",
            ensure_all_finite="allow-nan",
            ensure_min_samples=2 if reset else 1,
        )
        dense: NDArray[Any] = x.toarray() if issparse(x) else x
        return dense if dense.dtype == np.uint8 else dense.astype(np.float64)

    def _table(self, x: NDArray[Any]) -> Table:
        return table_of_numbers(x, self._columns, "X")

    def _train(
        self,
        data: Dataset,
        recipe_of: Callable[[DataSpec], Recipe],
        *,
        steps: int | None = None,
        latent_dim: Auto | None = None,
        prior: FittedKind | None = None,
    ) -> Self:
        """Train a variant on data, and keep its model.

        Arguments:
            data: The training data.
            recipe_of: A function from a spec to a recipe.
            steps: The number of steps where neither ``steps`` nor ``budget`` is given; None for
                that of ``reparam.fit``, or of small data.
            latent_dim: ``auto`` to search the number of latent dimensions.
            prior: The prior that is fitted to the codes in the rest of the budget.
        """
        early: EarlyStopping | None = None
        steps = steps if self.steps is None else as_int("steps", self.steps, minimum=1)
        if self.budget is not None:
            steps = None
        elif len(data.split("train")) < SMALL:
            steps, early = steps or STEPS_OF_SMALL, 0
        self.run_ = fit(
            recipe_of,
            data,
            steps=steps,
            budget=self._share_of_budget(1 - share_of_prior(prior)),
            batch_size=self.batch_size,
            lr=self.lr,
            early_stopping=early,
            seed=self._seed,
            device=self.device,
            progress=self.verbose,
            latent_dim=latent_dim,
        )
        self.run_.data = None  # the estimator holds no copy of the training data
        return self._keep(self.run_)

    def _keep(self, run: Run) -> Self:
        """Hold the model of a run for inference."""
        self.run_ = run
        # On the CPU: not every device computes in float64, and rows come from there.
        self.model_ = deepcopy(run.latent_model).cpu().double().eval()
        return self

    def _refit(self, prior: FittedKind | None, data: Dataset) -> Self:
        """Fit a prior to the codes of the training data; None leaves that of the variant."""
        if prior is None:
            return self
        budget = self._share_of_budget(share_of_prior(prior))
        return self._keep(
            self.run_.with_prior(
                prior,
                data=data,
                steps=None if budget is not None else self.steps,
                budget=budget,
                seed=self._seed,
            )
        )

    def _share_of_budget(self, share: float) -> str | float | None:
        """Return a share of the wall-clock time; the time itself, as it is given, for all of it."""
        if self.budget is None or share == 1:
            return self.budget
        return share * seconds_of(self.budget)

    def _rows(self, X: ArrayLike | Frame) -> Tensor:
        """Return X as the x of the model, in double precision, with shape (N, *shape)."""
        return self._read(X)[0]

    def _read(self, X: ArrayLike | Frame) -> tuple[Tensor, NDArray[np.bool_]]:
        """Return X as the x of the model, and where it has values that no training row has.

        Returns:
            x in double precision, with shape (N, *shape), NaN for a class that no training row has;
            and whether each value of X is such a class, or differs from the only value that its
            column had, with shape (N, D) for the columns of the schema, and (N, 0) without one.
        """
        check_is_fitted(self)
        spec = self.run_.spec
        frame, _ = self._frame(X) or (None, None)
        if spec.schema is None:
            x = torch.from_numpy(self._checked(X, reset=False))
            if self._n_levels is not None:
                x = _bytes(x)
            if self._has_images:
                channels, height, width = spec.shape
                x = images_of(x, (height, width, channels))
            if x.dtype == torch.uint8:
                x = self.run_.preparation.dataset(x).examples().x
            elif bool(x.isnan().any()):
                raise ValueError(
                    "X contains NaN, and the rows that the estimator was fitted on did not: fit it "
                    "on rows that lack values too"
                )
            return x.double(), np.zeros((len(x), 0), bool)
        if frame is not None:
            validate_data(self, X, reset=False, skip_check_array=True)
        else:
            frame = self._table(self._checked(X, reset=False))
        frame, unseen = without_unseen(frame, spec.schema)
        counts = zip(spec.schema.columns, unseen.sum(0).tolist(), strict=True)
        listed = [f"{c.name} ({n:,})" for c, n in counts if n and c.is_class]
        if listed:
            warnings.warn(
                "X has classes that no row had in fit, which count as missing values, in the "
                f"columns {listed_names(listed)}",
                stacklevel=4,
            )
        return rows_of(frame, spec.schema).double(), unseen

    def _frame(self, X: ArrayLike | Frame) -> tuple[Table, FrameType] | None:
        """Return X as a table, and its type, where the estimator was fitted on one; else None."""
        schema = self.run_.spec.schema
        if not self._is_mixed or schema is None:
            return None
        return read_frame(X, "X", schema.text_columns)

    def _scores(self, names: Sequence[ScoreName], X: ArrayLike | Frame) -> NDArray[np.float64]:
        """Return scores of rows in nats, with shape (S, N).

        Arguments:
            names: The names of the S scores: see ``SCORES``.
            X: The rows.
        """
        rows, unseen = self._read(X)
        noise, of_unseen = self._noise(), self._log_prob_of_unseen * unseen.sum(1)
        is_impossible = violations(rows, self.run_.spec.support).flatten(1).any(1)
        found = []
        for name in names:
            scores = scored(SCORES[name], self.latent_model, rows, noise)
            scores = scores.masked_fill(is_impossible, -torch.inf)
            # The latent score is the density of the codes, and not one of values.
            found.append(scores.numpy() + (0.0 if name == "latent" else of_unseen))
        return np.stack(found)

    @property
    def _log_prob_of_unseen(self) -> float:
        r"""The log-probability of a class that no training row has, in nats.

        .. math:: \log \frac{1}{N + 1}

        with N training rows, by the rule of succession.
        """
        n_rows: int = self.run_.config["recorded"]["n_train"]
        return -float(np.log(n_rows + 1))

    def _noise(self, n_draws: int = N_DRAWS) -> Tensor:
        """Return the noise of posterior draws, the same for all rows, with shape (K, L)."""
        n_latents = self.latent_model.posterior(self._one_row()).event_shape[0]
        return shared_noise(n_draws, n_latents)

    @property
    def _n_levels(self) -> int | None:
        """The number of levels of the bytes that rows are; None for other rows."""
        transform = self.run_.preparation.transform
        return transform.levels if isinstance(transform, Pixels) else None

    @property
    def _has_images(self) -> bool:
        """Whether rows are images, of any number of channels."""
        return len(self.run_.spec.shape) == 3

    def _one_row(self) -> Tensor:
        return torch.zeros(1, *self.run_.spec.shape, dtype=torch.float64)

    def _as_given(self, x: Tensor) -> Any:
        """Return rows x, with shape (N, *shape), in the form of X: an array or a DataFrame."""
        schema = self.run_.spec.schema
        if schema is None:
            rows = x.movedim(1, -1) if self._has_images else x
            found: NDArray[np.float64] = rows.double().flatten(1).numpy()
            # The steps between levels are those of single precision.
            return found if self._n_levels is None else ((self._n_levels - 1) * found).round(4)
        columns = schema.decode(x.double().numpy())
        if self._frame_type is not None and self._is_mixed:
            return FrameType.from_text(self._frame_type).frame(columns, None, schema.written)
        missing = np.full(len(x), np.nan)
        return np.stack([columns.get(name, missing) for name in self._columns], 1).astype(float)

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Write the estimator to a folder: its parameters as JSON, its weights as safetensors.

        Arguments:
            folder: The folder.
            overwrite: Whether an earlier estimator in the folder is replaced.

        Raises:
            RunError: The folder holds another estimator, a run or other files, or cannot be written
                to.
            OptionError: A parameter that JSON cannot hold.
        """
        check_is_fitted(self)
        place = RunFolder(as_path(folder, "folder"))
        if not (place.path / STATE).is_file():
            place.require_free()
        elif not overwrite:
            raise RunError(
                f"{place.path} holds another estimator: choose another folder, or replace it by "
                "overwrite=True"
            )
        state = {
            "class": type(self).__name__,
            "parameters": {k: _plain(k, v) for k, v in self.get_params(deep=False).items()},
            "attributes": self._attributes(),
            "types": {name: str(vars(self)[name].dtype) for name in _ARRAYS if name in vars(self)},
        }
        with place.locked(note), place.replacing() as new:
            run = self.run_
            new.write_trained(run.config, run.rows, run.model.state_dict(), {"step": 0})
            write_json(new.path / STATE, state)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Return the estimator that ``save`` wrote. Nothing in the folder is executed.

        Arguments:
            folder: The folder.

        Raises:
            RunError: A folder without an estimator of this class.
        """
        place = as_path(folder, "folder")
        try:
            state = read_json(place / STATE)
        except OSError as error:
            raise RunError(f"{place} holds no estimator: give a folder that save wrote") from error
        except ValueError as error:
            raise RunError(f"{place / STATE} is damaged: {reason(error)}") from error
        stored = state.get("class") if isinstance(state, dict) else None
        if stored != cls.__name__:
            raise RunError(
                f"{place} holds {'no estimator' if stored is None else f'a {stored!r}'}, and not a "
                f"{cls.__name__}: load it with its own class"
            )
        try:
            found = cls(**_parameters(cls, state.get("parameters")))
            attributes, types = state.get("attributes"), state.get("types", {})
            if not isinstance(attributes, dict) or not has_type(types, dict[str, str]):
                raise OptionError(f"attributes={attributes!r}: must be keys and values")
            run = load(place, device="cpu")
            found._restore(attributes, types)
        except (OptionError, TypeError, ValueError, KeyError, OverflowError) as error:
            raise RunError(f"{place / STATE} is damaged: {reason(error)[:300]}") from error
        return found._keep(run)

    def _restore(self, attributes: Mapping[str, Any], types: Mapping[str, Any]) -> None:
        """Set the attributes that ``_attributes`` returned.

        Arguments:
            attributes: The attributes as plain values.
            types: The types of those that are arrays, by name.

        Raises:
            OptionError: Another attribute, or a value of another type.
        """
        for name, value in attributes.items():
            named("attribute", name, _ATTRIBUTES)
            if not has_type(tuple(value) if isinstance(value, list) else value, _ATTRIBUTES[name]):
                raise OptionError(f"{name}={value!r}: has another type than an estimator gives it")
            setattr(self, name, _array(value, types.get(name)) if name in _ARRAYS else value)

    def _attributes(self) -> dict[str, Any]:
        """Return the fitted attributes beside the model, as plain values."""
        found = {name: vars(self)[name] for name in _ATTRIBUTES if name in vars(self)}
        return {
            k: _plain(k, v) if isinstance(v, np.ndarray | np.generic) else v
            for k, v in found.items()
        }


def _array(values: Sequence[Any], kind: str | None) -> NDArray[Any]:
    """Return plain values of a file as an array.

    Arguments:
        values: The values, those of dates and times as the number of their units.
        kind: The type; None where the file does not say it.

    Raises:
        OptionError: Another type than those of plain values.
    """
    if kind is None:
        is_text = all(isinstance(value, str) for value in values)
        return np.array(values, object if is_text else None)
    if np.dtype(kind).kind == "U":
        return np.array(values, str)  # as wide as the values
    if np.dtype(kind).kind not in "biufmMO":
        raise OptionError(f"type {kind!r}: is none of numbers, booleans, dates, times and text")
    return np.array(values, kind)


def _bytes(x: Tensor) -> Tensor:
    """Return rows for a model of bytes as bytes, whatever their type.

    Raises:
        ValueError: Values that are no whole numbers from 0 to 255.
    """
    if not bool(((x >= 0) & (x <= BYTE) & (x == x.round())).all()):
        raise ValueError(
            "X has values that are no whole numbers from 0 to 255, and the estimator was fitted on "
            "such numbers: give X on the same scale"
        )
    return x.to(torch.uint8)


def images_of(x: Tensor, image_shape: Sequence[int]) -> Tensor:
    """Return rows of pixels as images, with shape (N, C, H, W).

    Arguments:
        x: The rows, with shape (N, D).
        image_shape: (H, W), or (H, W, C) where the channels of a pixel are next to each other.

    Raises:
        OptionError: A shape that is no sequence of whole numbers.
        ValueError: Rows of another length than H × W × C.

    Example:
        >>> images_of(torch.arange(12)[None], (2, 2, 3)).shape
        torch.Size([1, 3, 2, 2])
    """
    if not isinstance(image_shape, list | tuple | np.ndarray):
        raise OptionError(f"image_shape={image_shape!r}: give (height, width), such as (28, 28)")
    sizes = [as_int("image_shape", size, minimum=1) for size in image_shape]
    if len(sizes) not in (2, 3) or prod(sizes) != x.shape[1]:
        raise ValueError(
            f"image_shape={tuple(image_shape)}: a row of X has {x.shape[1]} values; give (height, "
            "width) or (height, width, channels) with this product"
        )
    height, width, *channels = sizes
    return x.reshape(-1, height, width, *(channels or [1])).movedim(-1, 1).contiguous()


def variant_of(name: str, options: Mapping[str, OptionValue]) -> Callable[..., Recipe]:
    """Return a function from a spec, and searched options, to the recipe of a variant.

    Arguments:
        name: The name of the variant.
        options: Its options; those that are None are left out.
    """
    given = {k: v for k, v in options.items() if v is not None and v != "auto"}

    def made(spec: DataSpec, **found: OptionValue) -> Recipe:
        return build(name, spec, **(given | {k: v for k, v in found.items() if v is not None}))

    return made


def _parameters(kind: type[Estimator], stored: object) -> dict[str, Any]:
    """Return the parameters of an estimator from a file, each of its declared type.

    Raises:
        OptionError: An unknown parameter, or a value of another type.
    """
    if not isinstance(stored, dict):
        raise OptionError(f"parameters={stored!r}: must be keys and values")
    types, found = get_type_hints(kind.__init__), {}
    for name, value in stored.items():
        declared = plain_type(named("parameter", name, types))
        if name == "schema" and value is not None:
            found[name] = Schema.from_list(value)
        else:
            found[name] = as_declared(name, value, declared)
    return found


def _plain(name: str, value: Any) -> Any:
    """Return a parameter as JSON holds it."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return (value.astype(np.int64) if value.dtype.kind in "mM" else value).tolist()
    if isinstance(value, list | tuple):
        return [_plain(name, each) for each in value]
    if isinstance(value, Schema):
        return value.to_list()
    raise OptionError(
        f"{name}={value!r}: cannot be written as JSON; give a number, a text or a list"
    )

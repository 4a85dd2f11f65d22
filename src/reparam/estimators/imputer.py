"""``VAEImputer``: values for missing cells."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, Self, cast, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OneToOneFeatureMixin, TransformerMixin

from reparam.data import Dataset, Split
from reparam.data.damaged import listed
from reparam.data.infer import NO_VALUE
from reparam.data.mixed import filled
from reparam.data.registry import Frame
from reparam.errors import unknown
from reparam.estimators.base import Estimator, variant_of
from reparam.evaluation.conditionals import Imputation, impute, ranks_of
from reparam.isolation import isolated
from reparam.models.missingness import Masks
from reparam.schema import Schema
from reparam.utils.arguments import as_int
from reparam.utils.terminal import note
from reparam.variants.specification import OptionValue

STEPS = 3000
"""The default number of steps: one of 20 draws costs as much as several of the ELBO."""

AT_RANDOM = "at-random"
"""The word for values that are missing whatever they are."""

HIDDEN, N_HIDDEN, FEWEST_LEVELS, FEWEST_VALUES = 0.05, 2000, 50, 20
"""The share and the largest number of observed cells that are hidden in training, their least
number to calibrate intervals, and the least number of values of a column that loses some."""


class VAEImputer(OneToOneFeatureMixin, TransformerMixin, Estimator):
    r"""Missing values filled in by a variational autoencoder.

    .. math:: \hat x_j = \mathbb E[x_j \mid x_{\mathrm{obs}}]

    for a quantity, by importance sampling, and the most probable class for another column. The
    model is trained on the observed values alone (missing at random). A twentieth of the observed
    quantities is hidden in training, and calibrates the intervals.

    Values that are missing because of what they are bias such a model. With ``missing`` other than
    ``at-random`` it also learns with which probability a quantity is missing, given its value, and
    the values are expected given that they are missing. No values are hidden then, so that the
    intervals are those of the model.

    Arguments:
        n_samples: The number of importance samples for each row.
        latent_dim: The number of dimensions of z; None for the default of the data.
        hidden: The sizes of the encoder's layers; None for the default of the data.
        n_importance: The number of draws of the importance-weighted bound; 1 for the ELBO.
        missing: ``at-random``; ``large`` or ``small``: such quantities tend to be missing; ``any``:
            large or small ones, which is learned.
        schema: The columns of a DataFrame; inferred when None.
        steps: The largest number of optimizer steps; 3,000 when None.
        budget: The wall-clock time of a fit, such as ``30s``; None for no limit.
        batch_size: The number of rows of each step; 128 when None.
        lr: The learning rate; found when None.
        random_state: The seed, or a source of one.
        device: The device that trains: ``auto``, ``cpu``, ``cuda`` ...
        verbose: Whether to print what was chosen, and progress.

    Attributes:
        n_features_in_: The number of columns of X.
        levels_: The levels of the intervals that would just contain each hidden quantity.

    References:
        Mattei & Frellsen, MIWAE, ICML 2019; Ipsen, Mattei & Frellsen, not-MIWAE, ICLR 2021.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(60, 1)) * np.ones((1, 3))
        >>> x[0, 1] = np.nan
        >>> bool(np.isnan(VAEImputer(steps=50, random_state=0).fit_transform(x)).any())
        False
    """

    def __init__(
        self,
        n_samples: int = 500,
        *,
        latent_dim: int | None = None,
        hidden: Sequence[int] | None = None,
        n_importance: int = 20,
        missing: Masks | Literal["at-random"] = "at-random",
        schema: Schema | None = None,
        steps: int | None = None,
        budget: str | float | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        verbose: bool = False,
    ) -> None:
        self.n_samples = n_samples
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.n_importance = n_importance
        self.missing = missing
        self.schema = schema
        self.steps = steps
        self.budget = budget
        self.batch_size = batch_size
        self.lr = lr
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: ArrayLike | Frame, y: object = None) -> Self:
        """Train the model on the observed values of X, and return the estimator.

        Arguments:
            X: The rows, with shape (N, D), NaN for missing values; or a DataFrame.
            y: Ignored.
        """
        data = self._fit_data(X, may_lack=True, as_table=True)
        columns = () if data.spec.schema is None else data.spec.schema.columns
        empty = [column.name for column in columns if column.reason == NO_VALUE]
        if empty:
            note(f"columns without any value stay empty: {listed(empty)}; drop them")
        options: dict[str, OptionValue] = {
            "n_importance": self.n_importance,
            "latent_dim": self.latent_dim,
            "hidden": self.hidden,
        }
        if self.missing not in (AT_RANDOM, *get_args(Masks)):
            raise unknown("missing", str(self.missing), (AT_RANDOM, *get_args(Masks)))
        at_random = self.missing == AT_RANDOM
        x = data.images
        # The mask of hidden values would be at random.
        hidden = self._hidden(data) if at_random else torch.zeros_like(x, dtype=torch.bool)
        seen = Split(x.masked_fill(hidden, torch.nan))
        variant = "iwae"
        if not at_random:
            variant, options = "not-miwae", options | {"masks": self.missing}
        self._train(
            replace(data, splits={"train": seen}), variant_of(variant, options), steps=STEPS
        )
        self.levels_ = self._levels(x.double(), hidden)
        return self

    def _hidden(self, data: Dataset) -> torch.Tensor:
        """Return the observed quantities that training does not see, as booleans of (N, D).

        Every row keeps a value.
        """
        x = data.images
        draw = torch.Generator().manual_seed(self._seed)
        is_quantity = torch.zeros(x.shape[1], dtype=torch.bool)
        is_quantity[data.spec.quantities] = True
        observed = ~x.isnan()
        share = min(HIDDEN, N_HIDDEN / max(1, int(observed.sum())))
        hidden = observed & is_quantity & (torch.rand(x.shape, generator=draw) < share)
        keeps_one = (observed & ~hidden).any(1, keepdim=True)
        # A column with few values needs all of them.
        return hidden & keeps_one & (observed.sum(0) >= FEWEST_VALUES)

    def _levels(self, x: torch.Tensor, hidden: torch.Tensor) -> NDArray[np.float64]:
        """Return the levels of the central intervals that just contain hidden quantities.

        Arguments:
            x: The training rows, with shape (N, D), NaN for missing values.
            hidden: The cells that were hidden, as booleans with the same shape.
        """
        rows = hidden.any(1)
        if not bool(rows.any()):
            return np.zeros(0)
        with isolated(self.latent_model, seed=self.run_.config["seed"]):
            ranks = ranks_of(self.latent_model, x[rows], hidden[rows])
        found: NDArray[np.float64] = (2 * ranks[~ranks.isnan()] - 1).abs().numpy()
        return found

    def transform(self, X: ArrayLike | Frame) -> Any:
        """Return the rows with a value in every cell, in the form of X.

        Cells that are known keep their values. A column without any value in training stays empty.
        """
        return self._completed(X, [self.impute(X).x])[0]

    def complete(self, X: ArrayLike | Frame, n_draws: int = 5, random_state: int = 0) -> list[Any]:
        """Return complete tables for multiple imputation, each in the form of X.

        Arguments:
            X: The rows.
            n_draws: The number of tables, in each of which the missing cells are drawn.
            random_state: The seed of the draws.

        References:
            Rubin, Multiple Imputation for Nonresponse in Surveys, 1987.

        Example:
            >>> x = np.array([[1.0, 2.1], [2.0, 3.9], [3.0, np.nan], [4.0, 8.2]] * 20)
            >>> imputer = VAEImputer(steps=20, random_state=0).fit(x)
            >>> [table.shape for table in imputer.complete(x, n_draws=2)]
            [(80, 2), (80, 2)]
        """
        found = self.impute(X, as_int("n_draws", n_draws, minimum=1), random_state=random_state)
        return self._completed(X, found.draws)

    def _completed(self, X: ArrayLike | Frame, several: Iterable[torch.Tensor]) -> list[Any]:
        """Return X with the values of each of several rows x in the cells that are missing."""
        found, schema = self._frame(X), self.run_.spec.schema
        if found is not None and schema is not None:
            table, kept = found
            tables = (filled(table, schema, rows) for rows in several)
            return [kept.frame(each, X, schema.written, table.nested) for each in tables]
        known: NDArray[np.float64] = self._checked(X, reset=False).astype(np.float64)
        return [np.where(np.isnan(known), self._as_given(rows), known) for rows in several]

    def impute(
        self,
        X: ArrayLike | Frame,
        n_draws: int = 0,
        interval: float = 0.9,
        random_state: int = 0,
    ) -> Imputation:
        """Return values, intervals and draws for the missing cells of X.

        Arguments:
            X: The rows.
            n_draws: The number of draws of each whole row, for multiple imputation.
            interval: The probability of the intervals.
            random_state: The seed of the draws.
        """
        x, level = self._rows(X), interval
        if len(self.levels_) >= FEWEST_LEVELS and 0 < interval < 1:
            # The rank of split conformal prediction, which counts the new cell too.
            n = len(self.levels_)
            rank = min(1.0, np.ceil((n + 1) * interval) / n)
            level = float(np.quantile(self.levels_, rank, method="higher").clip(1e-3, 1 - 1e-3))
        with isolated(self.latent_model, seed=random_state):
            found = impute(
                self.latent_model,
                x,
                n_samples=self.n_samples,
                n_draws=n_draws,
                interval=level,
            )
        schema = cast(Schema, self.run_.spec.schema)
        exact = {
            name: torch.from_numpy(schema.exact(vars(found)[name].double().numpy()))
            for name in ("x", "low", "high", "draws")
        }
        return replace(found, interval=interval, **exact)

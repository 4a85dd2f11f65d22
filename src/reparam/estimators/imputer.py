"""``VAEImputer``: values for missing cells."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OneToOneFeatureMixin, TransformerMixin

from reparam.estimators.base import Estimator, Frame, variant_of
from reparam.evaluation.conditionals import Imputation, impute
from reparam.isolation import isolated
from reparam.schema import Schema


class VAEImputer(OneToOneFeatureMixin, TransformerMixin, Estimator):
    r"""Missing values filled in by a variational autoencoder.

    .. math:: \hat x_j = \mathbb E[x_j \mid x_{\mathrm{obs}}]

    for a quantity, by importance sampling, and the most probable class for another column. The
    model is trained on the observed values alone (missing at random).

    Arguments:
        n_samples: The number of importance samples for each row.
        latent_dim: The number of dimensions of z; None for the default of the data.
        hidden: The sizes of the encoder's layers; None for the default of the data.
        objective: The bound: ``iwae``, or ``elbo``, which is faster.
        schema: The columns of a DataFrame; inferred when None.
        steps: The number of optimizer steps; found when None.
        budget: The wall-clock time of a fit, such as ``30s``; None for no limit.
        batch_size: The number of rows of each step; 128 when None.
        lr: The learning rate; found when None.
        random_state: The seed, or a source of one.
        device: The device that trains: ``auto``, ``cpu``, ``cuda`` ...
        verbose: Whether to print what was chosen, and progress.

    Attributes:
        n_features_in_: The number of columns of X.

    References:
        Mattei & Frellsen, MIWAE, ICML 2019.

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
        objective: str = "elbo",
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
        self.objective = objective
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
        data = self._fit_data(X)
        options = {"latent_dim": self.latent_dim, "hidden": self.hidden}
        return self._train(data, variant_of("vae", objective=self.objective, **options))

    def transform(self, X: ArrayLike | Frame) -> Any:
        """Return the rows with a value in every cell, in the form of X."""
        return self._filled(X, self.impute(X).x)

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
        x = self._rows(X)
        with isolated(self.latent_model, seed=random_state):
            return impute(
                self.latent_model,
                x,
                n_samples=self.n_samples,
                n_draws=n_draws,
                interval=interval,
            )

    def _filled(self, X: ArrayLike | Frame, rows: torch.Tensor) -> Any:
        found = self._as_given(rows, X)
        if not isinstance(found, np.ndarray):
            return found
        # Cells that are known keep their value to the last digit.
        known: NDArray[np.float64] = self._checked(X, reset=False).astype(np.float64)
        return np.where(np.isnan(known), found, known)

"""``VAESampler``: new rows of a table."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reparam.data.registry import Frame
from reparam.estimators.base import Estimator, variant_of
from reparam.schema import Schema
from reparam.variants.fitted_prior import FittedKind


class VAESampler(Estimator):
    r"""New rows of a table, or rows with given values in some columns.

    .. math:: x \sim \int p(x \mid z)\, p(z)\, dz, \qquad x \sim p(x \mid x_{\mathrm{given}})

    Rows have the columns, classes, ranges and decimals of X. After the VAE a prior is fitted to its
    codes, from which rows are drawn.

    Arguments:
        prior: The prior that is fitted to the codes: ``flow``, ``mixture``, ``vamp`` or
            ``diffusion``; None for the standard normal.
        latent_dim: The number of dimensions of z; None for the default of the data.
        hidden: The sizes of the encoder's layers; None for the default of the data.
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
        Zhang et al., Mixed-type tabular data synthesis with score-based diffusion in latent space
        (TabSyn), ICLR 2024.

    Example:
        >>> import pandas
        >>> rows = pandas.DataFrame({"age": range(20, 80), "sex": ["F", "M"] * 30})
        >>> rows["age"] = rows["age"] % 37
        >>> sampler = VAESampler(prior=None, steps=50, random_state=0).fit(rows)
        >>> sampler.sample(3, given={"sex": "F"})["sex"].tolist()
        ['F', 'F', 'F']
    """

    def __init__(
        self,
        prior: FittedKind | None = "flow",
        *,
        latent_dim: int | None = None,
        hidden: Sequence[int] | None = None,
        schema: Schema | None = None,
        steps: int | None = None,
        budget: str | float | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        verbose: bool = False,
    ) -> None:
        self.prior = prior
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.schema = schema
        self.steps = steps
        self.budget = budget
        self.batch_size = batch_size
        self.lr = lr
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: ArrayLike | Frame, y: object = None) -> Self:
        """Train the model on X, and return the estimator.

        Arguments:
            X: The rows: a DataFrame, or an array with shape (N, D).
            y: Ignored.
        """
        data = self._fit_data(X, as_table=True)
        options = {"latent_dim": self.latent_dim, "hidden": self.hidden}
        made = variant_of("vae", {**options, "prior": "standard-normal"})
        self._train(data, made, prior=self.prior)
        return self._refit(self.prior, data)

    def sample(
        self,
        n_samples: int = 1,
        given: Mapping[str, object] | None = None,
        random_state: int = 0,
    ) -> Any:
        """Return drawn rows, in the form of X.

        Arguments:
            n_samples: The number of rows.
            given: Values of some columns of a DataFrame; the others are drawn given these.
            random_state: The seed.

        Raises:
            OptionError: A column that does not exist.
            DataError: A class that the training rows do not have.
        """
        _ = self.latent_model
        if given is None:
            rows = self.run_.sample(n_samples, seed=random_state)
        else:
            rows = self.run_.sample_given(given, n_samples, seed=random_state)
        return self._as_given(rows)

    def score_samples(self, X: ArrayLike | Frame) -> NDArray[np.float64]:
        """Return log p(x) of rows in nats, estimated by importance sampling, with shape (N,)."""
        return self._scores(("log_likelihood",), X)[0]

    def score(self, X: ArrayLike | Frame, y: object = None) -> float:
        """Return the mean log p(x) of rows in nats."""
        return float(self.score_samples(X).mean())

"""``VAE``: codes, samples and log-likelihoods of rows."""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array

from reparam.data.registry import Frame
from reparam.estimators.base import Estimator, variant_of
from reparam.estimators.scores import codes_of
from reparam.runs.search import Auto
from reparam.schema import Schema
from reparam.spec import Support
from reparam.variants.fitted_prior import FittedKind


class VAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Estimator):
    r"""A variational autoencoder as a transformer and density estimator.

    .. math:: \mathrm{transform}(x) = \mathbb E_{q(z \mid x)}[z], \qquad
              \mathrm{score\_samples}(x) = \log p(x)

    Rows may lack values (NaN), and a DataFrame may have columns of text and dates. Standardization
    is a part of the model, so X needs no preparation, and scores are in the units of X.

    Arguments:
        variant: The variant, such as ``vae``, ``beta-vae`` or ``vamp-vae``.
        latent_dim: The number of dimensions of z; ``auto`` for the smallest with the best held-out
            likelihood, and None for the default of the data.
        hidden: The sizes of the encoder's layers; None for the default of the data.
        likelihood: p(x | z) by name; None for the one that fits the data.
        prior: A prior that is fitted to the codes after training: ``flow``, ``mixture``, ``vamp``
            or ``diffusion``; None for the prior of the variant.
        support: The set that contains every entry of X, such as ``counts``; found when None.
        image_shape: (height, width) of the images that the rows of X are, or (height, width,
            channels) with the channels last; None for other rows.
        schema: The columns of a DataFrame; inferred when None.
        steps: The number of optimizer steps; found when None.
        budget: The wall-clock time of a fit, such as ``30s`` or ``5m``; None for no limit.
        batch_size: The number of rows of each step; 128 when None.
        lr: The learning rate; found when None.
        random_state: The seed, or a source of one.
        device: The device that trains: ``auto``, ``cpu``, ``cuda`` ...
        verbose: Whether to print what was chosen, and progress.

    Attributes:
        run_: The run that trained the model.
        n_features_in_: The number of columns of X.
        feature_names_in_: Their names, where X is a DataFrame.

    References:
        Kingma & Welling, Auto-encoding variational Bayes, ICLR 2014.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> vae = VAE(latent_dim=2, steps=50, random_state=0).fit(load_iris().data)
        >>> vae.transform(load_iris().data[:3]).shape, vae.sample(5).shape
        ((3, 2), (5, 4))
    """

    def __init__(
        self,
        variant: str = "vae",
        *,
        latent_dim: int | Literal["auto"] | None = None,
        hidden: Sequence[int] | None = None,
        likelihood: str | None = None,
        prior: FittedKind | None = None,
        support: Support | None = None,
        image_shape: Sequence[int] | None = None,
        schema: Schema | None = None,
        steps: int | None = None,
        budget: str | float | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        verbose: bool = False,
    ) -> None:
        self.variant = variant
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.likelihood = likelihood
        self.prior = prior
        self.support = support
        self.image_shape = image_shape
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
            X: The rows: an array with shape (N, D), a sparse matrix of counts, or a DataFrame.
            y: Ignored.
        """
        data = self._fit_data(X, self.support, image_shape=self.image_shape)
        options = {
            "latent_dim": self.latent_dim,
            "hidden": self.hidden,
            "likelihood": self.likelihood,
        }
        searched: Auto | None = "auto" if self.latent_dim == "auto" else None
        self._train(data, variant_of(self.variant, options), latent_dim=searched, prior=self.prior)
        return self._refit(self.prior, data)

    def transform(self, X: ArrayLike | Frame) -> NDArray[np.float64]:
        """Return the posterior means of rows, with shape (N, L)."""
        codes: NDArray[np.float64] = codes_of(self.latent_model, self._rows(X)).numpy()
        return codes

    @torch.no_grad()
    def inverse_transform(self, Z: ArrayLike) -> Any:
        """Return the means of p(x | z) for codes Z, with shape (N, L), in the form of X."""
        z = check_array(Z)
        return self._as_given(self.latent_model.decode(torch.from_numpy(z.astype(np.float64))))

    def sample(self, n_samples: int = 1, random_state: int = 0) -> Any:
        """Return draws from the model, in the form of X.

        Arguments:
            n_samples: The number of rows.
            random_state: The seed.
        """
        _ = self.latent_model
        return self._as_given(self.run_.sample(n_samples, seed=random_state))

    def score_samples(self, X: ArrayLike | Frame) -> NDArray[np.float64]:
        """Return log p(x) of rows in nats, estimated by importance sampling, with shape (N,)."""
        return self._scores(("log_likelihood",), X)[0]

    def score(self, X: ArrayLike | Frame, y: object = None) -> float:
        """Return the mean log p(x) of rows in nats."""
        return float(self.score_samples(X).mean())

    @property
    def _n_features_out(self) -> int:
        return int(self.latent_model.posterior(self._one_row()).event_shape[0])

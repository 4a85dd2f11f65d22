"""``VAEOutlier``: outlier scores of rows, and of each value in a row."""

from collections.abc import Sequence
from typing import Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from scipy.stats import iqr
from sklearn.base import OutlierMixin

from reparam.data.checks import violations
from reparam.data.registry import Frame
from reparam.errors import OptionError, unknown
from reparam.estimators.base import Estimator, ScoreName, variant_of
from reparam.estimators.scores import robust_draws
from reparam.evaluation.conditionals import N_ENTRIES, entries_of, log_prob_of_entries
from reparam.schema import Schema
from reparam.spec import Support
from reparam.variants.specification import OptionValue

Scoring = Literal["combined", ScoreName]
"""What ``VAEOutlier`` scores rows by."""


class VAEOutlier(OutlierMixin, Estimator):
    r"""Outlier detection by a variational autoencoder.

    .. math:: \mathrm{score\_samples}(x) = \log p(x) \quad \text{or} \quad
              m_1 - s_1 \log \sum_{k=1}^3 \exp\Bigl(\frac{m_k - t_k(x)}{s_k}\Bigr), \qquad
              \mathrm{explain}(x)_j = -\log p(x_j \mid x_{-j})

    The second is ``combined``, a soft minimum of t₁ = log p(x), t₂ = log p(μ(x)), the log-density
    of the prior at the code, and t₃ = log p(x | z), the reconstruction. m and s are medians and
    interquartile ranges over the training rows. So a row is as unusual as the most unusual of the
    three: a model that has learned outliers too gives them a likelihood, and codes far from all
    others.

    Train it on all rows, outliers among them; or with ``novelty=True`` on normal rows alone. Rows
    may lack values (NaN), and a DataFrame may have columns of text and dates.

    Arguments:
        contamination: The share of outliers among the training rows, above 0 and up to 0.5, which
            the threshold of ``predict`` follows from; ``auto`` for 0.1.
        novelty: Whether all training rows are normal. The threshold is then the lowest score but
            for one row in a hundred, and new rows are compared with it.
        scoring: ``combined``; ``log_likelihood``; ``elbo``; ``reconstruction``, log p(x | z) alone;
            or ``latent``, log p(z) at the code. Their figures are in docs/own-data.md.
        variant: The variant.
        latent_dim: The number of dimensions of z; None for the default of the data.
        hidden: The sizes of the encoder's layers; None for the default of the data.
        likelihood: p(x | z) by name; None is ``gaussian-fixed`` for real numbers, with the standard
            deviations of the columns, since a learned one fits outliers too, and the default of the
            data for others.
        support: The set that contains every entry of X, such as ``counts``; found when None.
        schema: The columns of a DataFrame; inferred when None.
        steps: The number of optimizer steps; 1,000 when None.
        budget: The wall-clock time of a fit, such as ``30s``; None for no limit.
        batch_size: The number of rows of each step; 128 when None.
        lr: The learning rate; found when None.
        random_state: The seed, or a source of one.
        device: The device that trains: ``auto``, ``cpu``, ``cuda`` ...
        verbose: Whether to print what was chosen, and progress.

    Attributes:
        offset_: The threshold: ``decision_function`` is the score minus it.
        medians_: m of ``combined``, with shape (3,); empty for another score.
        spreads_: s of ``combined``, with shape (3,), 0 for a part that is constant and left out;
            empty for another score.
        n_features_in_: The number of columns of X.

    Raises:
        OptionError: A contamination out of range, or an unknown score.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 3))
        >>> x[0] = 12.0
        >>> found = VAEOutlier(contamination=0.01, steps=100, random_state=0).fit(x)
        >>> int(found.score_samples(x).argmin())
        0
    """

    leaves_out_dependent = False  # a row that breaks the rule is an outlier

    def __init__(
        self,
        contamination: float | str = "auto",
        *,
        novelty: bool = False,
        scoring: Scoring = "combined",
        variant: str = "vae",
        latent_dim: int | None = None,
        hidden: Sequence[int] | None = None,
        likelihood: str | None = None,
        support: Support | None = None,
        schema: Schema | None = None,
        steps: int | None = None,
        budget: str | float | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        verbose: bool = False,
    ) -> None:
        self.contamination = contamination
        self.novelty = novelty
        self.scoring = scoring
        self.variant = variant
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.likelihood = likelihood
        self.support = support
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
            X: The rows: an array with shape (N, D), a sparse matrix or a DataFrame.
            y: Ignored.
        """
        share = AUTO_SHARE if self.contamination == "auto" else self.contamination
        if isinstance(share, str) or not 0 < share <= 0.5:
            raise OptionError(
                f"contamination={self.contamination!r}: must be above 0 and at most 0.5, or 'auto'"
            )
        if self.scoring not in get_args(Scoring):
            raise unknown("scoring", str(self.scoring), get_args(Scoring))
        data = self._fit_data(X, self.support)
        usual = FIXED if data.spec.support == "real" else None
        options: dict[str, OptionValue] = {
            "latent_dim": self.latent_dim,
            "hidden": self.hidden,
            "likelihood": self.likelihood or usual,
        }
        self._train(data, variant_of(self.variant, options), steps=STEPS)
        parts = self._parts(X)
        is_combined = self.scoring == "combined"
        self.medians_ = np.median(parts, 1) if is_combined else np.zeros(0)
        self.spreads_ = np.array([_spread(part) for part in parts]) if is_combined else np.zeros(0)
        scores = self._joined(parts)
        share = NOVELTY_SHARE if self.novelty else share
        self.offset_ = float(np.quantile(scores, share))
        return self

    def score_samples(self, X: ArrayLike | Frame) -> NDArray[np.float64]:
        """Return the scores of rows in nats, lower for an outlier, with shape (N,).

        Those that are ``combined`` have the scale of the log-likelihood.
        """
        return self._joined(self._parts(X))

    def _parts(self, X: ArrayLike | Frame) -> NDArray[np.float64]:
        """Return the parts of the score, with shape (3, N) of ``combined`` and else (1, N)."""
        names = PARTS if self.scoring == "combined" else (self.scoring,)
        return self._scores(names, X)

    def _joined(self, parts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores with these parts, with shape (N,)."""
        if self.scoring != "combined":
            return parts[0]
        # A part that is constant over the training rows says nothing.
        kept = self.spreads_ > 0
        if not kept.any():
            return parts[0]
        usual = (parts - self.medians_[:, None])[kept] / self.spreads_[kept, None]
        unit = float(self.spreads_[0]) or 1.0
        found: NDArray[np.float64] = self.medians_[0] - unit * logsumexp(-usual, axis=0)
        return found

    def decision_function(self, X: ArrayLike | Frame) -> NDArray[np.float64]:
        """Return the scores minus the threshold, negative for an outlier, with shape (N,)."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike | Frame) -> NDArray[np.int64]:
        """Return -1 for an outlier and 1 for another row, with shape (N,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    @torch.no_grad()
    def explain(self, X: ArrayLike | Frame) -> NDArray[np.float64]:
        r"""Return how unusual each value is given the rest of its row, in nats, with shape (N, D).

        .. math:: -\log p(x_j \mid x_{-j}) \approx \log \sum_k \frac{w_k}{p(x_j \mid z_k)},
                  \qquad w_k \propto \frac{p(x, z_k)}{r(z_k)}

        with draws of z that also fit a row of which one value is wrong: see ``robust_draws``.

        A class that none of N training rows has, and another value in a column that had one alone,
        have log(N + 1). A column that is left out of the model, as identifiers are, and a value
        that is missing have NaN.

        Raises:
            SupportError: A likelihood whose entries are not independent given z.
        """
        model, noise = self.latent_model, self._noise()
        parts = []
        rows, unseen = self._read(X)
        size = max(1, N_ENTRIES // (3 * len(noise) * entries_of(model, rows)))
        for part in rows.split(size):
            z, log_ratio = robust_draws(model, part, noise)
            of_entries = log_prob_of_entries(model.likelihood(z), model.as_event(part))
            # An impossible value under all draws leaves the rest of its row as it is.
            outside = violations(part, self.run_.spec.support).flatten(1)
            of_entries = of_entries.clamp(min=IMPOSSIBLE).masked_fill(outside, 0.0)
            weight = of_entries.sum(-1) + log_ratio
            weight = weight - weight.logsumexp(0)
            of_part = (weight.unsqueeze(-1) - of_entries).logsumexp(0)
            parts.append(of_part.masked_fill(outside, torch.inf))
        unusual = torch.cat(parts)
        unusual = unusual.masked_fill(unusual.isnan(), torch.inf)
        missing = rows.flatten(1).isnan()
        found: NDArray[np.float64] = unusual.masked_fill(missing, torch.nan).numpy()
        schema = self.run_.spec.schema
        if schema is None:
            return found
        whole = np.full((len(found), len(self._columns)), np.nan)
        whole[:, [self._columns.index(column.name) for column in schema.features]] = found
        places = [self._columns.index(column.name) for column in schema.columns]
        whole[:, places] = np.where(unseen, -self._log_prob_of_unseen, whole[:, places])
        return whole


def _spread(values: NDArray[np.float64]) -> float:
    """Return the interquartile range; that of more values where the middle half is equal.

    >>> _spread(np.arange(5.0)), _spread(np.array([0.0] * 9 + [3.0])) > 0
    (2.0, True)
    """
    for low, high in ((25, 75), (5, 95), (0, 100)):
        width = float(iqr(values, rng=(low, high)))
        if width > 0:
            return width
    return 0.0


PARTS: tuple[ScoreName, ...] = ("log_likelihood", "latent", "reconstruction")
"""The parts of the combined score."""

STEPS, FIXED = 1000, "gaussian-fixed"
"""The default number of steps, and the default likelihood of real numbers."""

IMPOSSIBLE = -1e300
"""The least log p(x_j | z) in nats: a sum of several is finite in double precision."""

AUTO_SHARE = 0.1
"""The share of outliers of ``contamination='auto'``."""

NOVELTY_SHARE = 0.01
"""The share of normal training rows below the threshold."""

"""The importance-weighted bound of rows whose values are missing not at random."""

from dataclasses import dataclass
from math import inf, log
from typing import ClassVar

import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.distributions import MixedRow, rsample
from reparam.divergence import check_comparable
from reparam.errors import SupportError
from reparam.models.latent import Draws, LatentModel
from reparam.models.missingness import completed, missingness_of
from reparam.objectives.bounds import importance_terms
from reparam.objectives.terms import ModelObjective, Terms
from reparam.utils.arguments import numbers


@numbers(n_importance=2)
@dataclass(frozen=True)
class NotMIWAE(ModelObjective):
    r"""The importance-weighted bound of log p(x_obs, s), the observed values and the mask s.

    .. math:: \mathcal L_K = \mathbb E\Bigl[\log \frac1K \sum_k
              \frac{p(x_{\mathrm{obs}} \mid z_k)\, p(s \mid x_{\mathrm{obs}}, x_{\mathrm{mis}, k})\,
              p(z_k)}{q(z_k \mid x_{\mathrm{obs}})}\Bigr], \quad z_k \sim q,\;
              x_{\mathrm{mis}, k} \sim p(x_{\mathrm{mis}} \mid z_k)

    The draws of missing values are not reparameterized, since the likelihood of a quantity is a
    mixture with cells. The gradient through them is that of the score, with the bound of the other
    K - 1 draws as its baseline; it has the mean of the gradient of the bound.

    Arguments:
        n_importance: The number K of draws for each example, at least two.

    Raises:
        OptionError: Fewer than two draws.

    References:
        Ipsen, Mattei & Frellsen, not-MIWAE: Deep generative modelling with missing not at random
        data, ICLR 2021, eq. 5; Mnih & Rezende, VIMCO, ICML 2016 (the baseline).
    """

    options: ClassVar[tuple[str, ...]] = ("n_importance",)
    is_importance_weighted: ClassVar[bool] = True

    n_importance: int = 20

    @property
    def n_draws(self) -> int:
        """The number of draws of z for each example."""
        return self.n_importance

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch.

        Raises:
            SupportError: A model without a model of the mask.
        """
        x, c = model.as_event(batch.x), batch.c
        q, p = model.posterior(x, c), model.prior_distribution(c)
        check_comparable(q, p)
        z = rsample(q, self.n_importance, x.device)
        likelihood = model.likelihood(z, c)
        rows, log_mask = completed(model, likelihood, x)
        part = missingness_of(model)
        if part is None or not isinstance(likelihood, MixedRow):
            raise SupportError("the model has no model of the mask: build the variant 'not-miwae'")
        log_likelihood = likelihood.log_prob(x) + log_mask
        draws = Draws(z, log_likelihood, p.log_prob(z), q.log_prob(z))
        found = importance_terms(draws)
        is_drawn = x.isnan()[..., part.places]
        of_columns = likelihood.observed.log_prob_of_columns(rows)[..., part.places]
        score = torch.where(is_drawn, of_columns, 0.0).sum(-1)
        gain = (found.bound - of_the_others(draws.log_weight)).detach()
        surrogate = -(found.bound + (gain * score).sum(0)).mean()
        return importance_terms(draws, surrogate)


def of_the_others(log_weight: Tensor) -> Tensor:
    """Return for each draw the bound of the other draws, with shape (K, B).

    Arguments:
        log_weight: The logarithms of the weights, with shape (K, B).

    Example:
        >>> of_the_others(torch.tensor([[0.0], [2.0], [2.0]])).flatten()
        tensor([2.0000, 1.4338, 1.4338])
    """
    k = len(log_weight)
    own = torch.eye(k, dtype=torch.bool, device=log_weight.device).unsqueeze(-1)
    return log_weight.masked_fill(own, -inf).logsumexp(1) - log(k - 1)

"""Objectives of a prior that is trained alone, on codes: its likelihood, and flow matching."""

from dataclasses import dataclass
from typing import cast

import torch

from reparam.batch import Batch
from reparam.objectives.terms import ModelObjective, Terms
from reparam.priors import Diffusion, Prior, Standardized


@dataclass(frozen=True)
class PriorLikelihood(ModelObjective):
    r"""The log-density of codes under a prior, :math:`\mathbb E_{q(z)} \log p(z \mid c)`.

    The model is the prior, and x of a batch are codes.

    Example:
        >>> from reparam.priors import Mixture
        >>> PriorLikelihood()(Mixture(2), Batch(torch.zeros(5, 2))).bound.shape
        torch.Size([5])
    """

    has_latents = False
    needs_prior = False

    def terms(self, model: Prior, batch: Batch) -> Terms:
        """Return the terms of one batch; the reconstruction is log p(z | c)."""
        log_prob = model(batch.c).log_prob(batch.x)
        return Terms(bound=log_prob, reconstruction=log_prob)


@dataclass(frozen=True)
class FlowMatching(ModelObjective):
    r"""Flow matching: the squared distance of the velocity of a diffusion from straight paths.

    .. math:: \min_v \mathbb E\, \| v(z_t, t, c) - (z - \varepsilon) \|^2, \qquad
              z_t = (1 - t)\, \varepsilon + t z, \quad \varepsilon \sim \mathcal N(0, I), \quad
              t \sim \mathcal U(0, 1)

    The model is a ``Standardized`` prior of a ``Diffusion``, and x of a batch are codes. Outside
    training the terms are those of ``PriorLikelihood``.

    References:
        Lipman et al., Flow matching for generative modeling, ICLR 2023, eq. 9 and 20 to 23.

    Example:
        >>> prior = Standardized(Diffusion(2), 2)
        >>> FlowMatching()(prior, Batch(torch.zeros(5, 2))).bound.shape
        torch.Size([5])
    """

    has_latents = False
    needs_prior = False

    def terms(self, model: Standardized, batch: Batch) -> Terms:
        """Return the terms of one batch; in training minus the squared distance."""
        if not model.training:
            return PriorLikelihood().terms(model, batch)
        velocity = cast(Diffusion, model.prior).velocity
        z = model.standardized(batch.x)
        t = torch.rand(len(z), dtype=z.dtype, device=z.device)
        noise = torch.randn_like(z)
        found, _ = velocity(noise + t[:, None] * (z - noise), t, velocity.shift(batch.c))
        value = -(found - (z - noise)).square().sum(-1)
        return Terms(bound=value, reconstruction=value)

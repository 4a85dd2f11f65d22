"""Objectives of autoencoders with a deterministic code."""

from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.distributions import mean_or_mode
from reparam.models.conditional import Conditional
from reparam.models.latent import LatentModel
from reparam.nn import MLP
from reparam.objectives.corruption import Corruption
from reparam.objectives.terms import ModelObjective, Terms, as_objective
from reparam.utils.arguments import numbers


@as_objective("denoising", corruption=Corruption())
@as_objective("reconstruction")
@dataclass(frozen=True)
class Reconstruction(ModelObjective):
    r"""The log-likelihood of x given its code, or given the code of a corrupted x.

    .. math:: \mathcal L = \log p(x \mid z = f(\tilde x)), \qquad \tilde x \sim C(\tilde x \mid x)

    It has no KL and bounds no log p(x), because the code of an autoencoder has no density.

    Arguments:
        corruption: C, with new noise in every step; None to encode x itself.

    Raises:
        SupportError: A corruption of whole numbers, such as tokens.

    References:
        Vincent et al., Extracting and composing robust features with denoising autoencoders, ICML
        2008, eq. 5.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2)
        >>> Reconstruction()(recipe.model, Batch(torch.zeros(5, 1, 8, 8))).bound.shape
        torch.Size([5])
    """

    needs_prior = False

    corruption: Corruption | None = None

    @property
    def name(self) -> str:
        """The name in ``OBJECTIVES``, which depends on the corruption."""
        return "reconstruction" if self.corruption is None else "denoising"

    @property
    def needs_gradient_of_x(self) -> bool:
        """Whether x has to be real-valued, for the noise."""
        return self.corruption is not None

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        x = model.as_event(batch.x)
        encoded = x if self.corruption is None else self.corruption(x)
        z = mean_or_mode(model.posterior(encoded, batch.c))
        reconstruction = model.likelihood(z, batch.c).log_prob(x)
        return Terms(bound=reconstruction, reconstruction=reconstruction)


@as_objective("contractive")
@numbers(weight=0, n_probes=0)
@dataclass(frozen=True)
class Contractive(ModelObjective):
    r"""Reconstruction, and a penalty on the derivative of the code by x.

    .. math:: \mathcal L = \log p(x \mid f(x)) - \lambda \Bigl\| \frac{\partial f(x)}{\partial x}
              \Bigr\|_F^2

    Arguments:
        weight: λ, in nats.
        n_probes: The number of random directions :math:`v \sim \mathcal N(0, I)` in the estimate
            :math:`\mathbb E \|J^\top v\|^2` of the norm (Hutchinson). 0 for the exact norm, which
            takes one backward pass for each latent dimension. None for the exact norm where the
            encoder's network is an ``MLP``, and for one direction elsewhere.

    Raises:
        OptionError: A negative weight, or a negative number of probes.
        SupportError: Examples of whole numbers, such as tokens.

    References:
        Rifai et al., Contractive auto-encoders, ICML 2011, eq. 5; Hutchinson, Communications in
        Statistics 1989 (the estimate).

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> recipe = variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2)
        >>> terms = Contractive(0.1)(recipe.model, Batch(torch.zeros(5, 1, 8, 8)))
        >>> list(terms.penalties)
        ['contraction']
    """

    needs_prior = False

    weight: float = 0.1
    n_probes: int | None = None

    @property
    def needs_gradient_of_x(self) -> bool:
        """Whether x has to be real-valued: always."""
        return True

    def terms(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        x = model.as_event(batch.x)
        encoder, n_probes = model.encoder, self.n_probes
        if n_probes is None:
            is_mlp = isinstance(encoder, Conditional) and isinstance(encoder.network, MLP)
            n_probes = 0 if is_mlp else 1
        with torch.enable_grad():
            encoded = x.detach().requires_grad_()
            z = mean_or_mode(model.posterior(encoded, batch.c))
            norm = squared_jacobian(z, encoded, n_probes)
        reconstruction = model.likelihood(z, batch.c).log_prob(x)
        return Terms(
            bound=reconstruction,
            reconstruction=reconstruction,
            penalties={"contraction": self.weight * norm.mean()},
        )


def squared_jacobian(z: Tensor, x: Tensor, n_probes: int = 0) -> Tensor:
    r"""Return :math:`\|\partial z / \partial x\|_F^2` of each example, with shape (B,).

    Arguments:
        z: The codes, with shape (B, D), as a function of x, example by example.
        x: The examples, with shape (B, *event), which require a gradient.
        n_probes: The number of random directions of the estimate; 0 for the exact norm.

    Example:
        >>> x = torch.ones(3, 2, requires_grad=True)
        >>> squared_jacobian(x @ torch.tensor([[1.0], [2.0]]), x)
        tensor([5., 5., 5.])
    """
    if not n_probes:
        identity = torch.eye(z.shape[-1], device=z.device, dtype=z.dtype)
        probes = identity[:, None].expand(-1, *z.shape)
    else:
        probes = torch.randn(n_probes, *z.shape, device=z.device, dtype=z.dtype) / n_probes**0.5
    (rows,) = torch.autograd.grad(z, x, probes, create_graph=True, is_grads_batched=True)
    return rows.square().flatten(2).sum((0, 2))

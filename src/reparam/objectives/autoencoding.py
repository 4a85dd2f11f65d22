"""Objectives of deterministic autoencoders: there is a code, and nothing random about it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.distributions import mean_or_mode
from reparam.errors import OptionError, SupportError
from reparam.models.latent import LatentModel
from reparam.nn import MLP
from reparam.objectives.corruption import Corruption
from reparam.objectives.terms import Terms, check_weights, of_latents
from reparam.utils.arguments import numbers


@dataclass(frozen=True)
class Reconstruction:
    r"""How well x is described by its code, or by that of a corrupted x.

    .. math:: \mathcal L = \log p(x \mid z = f(\tilde x)), \qquad \tilde x \sim C(\tilde x \mid x)

    There is no KL and no bound of log p(x): the code of an autoencoder has no density.

    Arguments:
        corruption: C, drawn anew each time; None to encode x itself.

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

    corruption: Corruption | None = None

    @of_latents
    def __call__(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        x = model.as_event(batch.x)
        if self.corruption is not None:
            _require_shades(x)
        seen = x if self.corruption is None else self.corruption(x)
        z = mean_or_mode(model.posterior(seen, batch.c))
        reconstruction = model.likelihood(z, batch.c).log_prob(x)
        return Terms(bound=reconstruction, reconstruction=reconstruction)


@numbers()
@dataclass(frozen=True)
class Contractive:
    r"""Reconstruction, less a penalty on how fast the code moves with x.

    .. math:: \mathcal L = \log p(x \mid f(x)) - \lambda \Bigl\| \frac{\partial f(x)}{\partial x}
              \Bigr\|_F^2

    Arguments:
        weight: λ, in nats.
        n_probes: The norm is estimated from so many random directions
            :math:`v \sim \mathcal N(0, I)`, as :math:`\mathbb E \|J^\top v\|^2` (Hutchinson); 0 for
            the exact norm, which takes one backward pass for each latent dimension; None for the
            exact one where the encoder's network is an ``MLP``, and for one direction elsewhere.

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

    weight: float = 0.1
    n_probes: int | None = None

    def __post_init__(self) -> None:
        check_weights(weight=self.weight)
        if self.n_probes is not None and self.n_probes < 0:
            raise OptionError(f"n_probes={self.n_probes}: give 0 for the exact norm, or more")

    @of_latents
    def __call__(self, model: LatentModel, batch: Batch) -> Terms:
        """Return the terms of one batch."""
        x = model.as_event(batch.x)
        _require_shades(x)
        with torch.enable_grad():
            seen = x.detach().requires_grad_()
            z = mean_or_mode(model.posterior(seen, batch.c))
            n_probes = self.n_probes
            if n_probes is None:
                n_probes = 0 if isinstance(getattr(model.encoder, "network", None), MLP) else 1
            norm = squared_jacobian(z, seen, n_probes)
        reconstruction = model.likelihood(z, batch.c).log_prob(x)
        return Terms(
            bound=reconstruction,
            reconstruction=reconstruction,
            penalties={"contraction": self.weight * norm.mean()},
        )


def _require_shades(x: Tensor) -> None:
    if not x.is_floating_point():
        raise SupportError(
            "the numbers of tokens are no shades that noise changes, or that a code moves with: "
            "use --objective reconstruction"
        )


def squared_jacobian(z: Tensor, x: Tensor, n_probes: int = 0) -> Tensor:
    r"""Return :math:`\|\partial z / \partial x\|_F^2` of each example, with shape (B,).

    Arguments:
        z: The codes, with shape (B, D), a function of x in which no example depends on another.
        x: The examples, with shape (B, *event), which require a gradient.
        n_probes: The number of random directions of the estimate; 0 for the exact norm.

    Example:
        >>> x = torch.ones(3, 2, requires_grad=True)
        >>> squared_jacobian(x @ torch.tensor([[1.0], [2.0]]), x)
        tensor([5., 5., 5.])
    """
    if not n_probes:
        probes = torch.eye(z.shape[-1], device=z.device, dtype=z.dtype)[:, None].expand(
            -1, *z.shape
        )
    else:
        probes = torch.randn(n_probes, *z.shape, device=z.device, dtype=z.dtype) / n_probes**0.5
    (rows,) = torch.autograd.grad(z, x, probes, create_graph=True, is_grads_batched=True)
    return rows.square().flatten(2).sum((0, 2))

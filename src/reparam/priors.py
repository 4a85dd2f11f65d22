"""Priors: modules from a condition c to a distribution p(z | c)."""

import warnings
from collections.abc import Sequence
from functools import partial
from math import prod

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Distribution, Independent, MixtureSameFamily, Normal, Uniform

from reparam.batch import Batch
from reparam.distributions import (
    Autoregressive,
    CodeSequence,
    GaussianMixture,
    HypersphericalUniform,
    OneHotCodes,
    base_distribution,
)
from reparam.distributions import Flow as FlowDistribution
from reparam.errors import OptionError, SupportError
from reparam.nn.causal import CausalTransformer
from reparam.nn.codebook import Codebook
from reparam.nn.flows import masked_transforms
from reparam.utils.arguments import numbers

__all__ = [
    "Absent",
    "ClassConditional",
    "CodebookPrior",
    "Flow",
    "Mixture",
    "Sphere",
    "StandardNormal",
    "UniformCodes",
    "Vamp",
]

_STARTS = 30
"""The fits of a mixture, of which the likeliest is kept."""


@numbers()
class StandardNormal(nn.Module):
    r"""The standard normal prior, :math:`p(z) = \mathcal N(0, I)`.

    Arguments:
        latent_dim: The number of dimensions of z.

    Raises:
        OptionError: Fewer than one dimension.

    Example:
        >>> StandardNormal(20)().sample((5,)).shape
        torch.Size([5, 20])
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        check_sizes(latent_dim=latent_dim)
        self.latent_dim = latent_dim
        self.loc: Tensor
        self.scale: Tensor
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("scale", torch.ones(latent_dim), persistent=False)

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Return p(z); a condition is ignored."""
        return Independent(
            Normal(self.loc, self.scale, validate_args=False), 1, validate_args=False
        )


class Absent(nn.Module):
    """No prior: the codes of an autoencoder are held to nothing, and so cannot be drawn.

    Example:
        >>> Absent()()
        Traceback (most recent call last):
        reparam.errors.SupportError: an autoencoder has no prior, so that there is nothing to ...
    """

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Refuse.

        Raises:
            SupportError: Always.
        """
        raise SupportError(
            "an autoencoder has no prior, so that there is nothing to draw its codes from: train "
            "wae or vae instead"
        )


@numbers()
class ClassConditional(nn.Module):
    r"""One Gaussian for each class, whose mean is learned.

    .. math:: p(z \mid c) = \mathcal N(W c, I)

    Arguments:
        latent_dim: The number of dimensions of z.
        context: The size of c, which is the number of classes where c is a one-hot label.

    Raises:
        OptionError: A size below one.

    Example:
        >>> ClassConditional(2, context=10)(torch.eye(10)).mean.shape
        torch.Size([10, 2])
    """

    def __init__(self, latent_dim: int, context: int) -> None:
        super().__init__()
        check_sizes(latent_dim=latent_dim, context=context)
        self.latent_dim = latent_dim
        self.loc = nn.Linear(context, latent_dim, bias=False)

    def forward(self, c: Tensor) -> Distribution:
        """Return p(z | c) for c with shape (B, C)."""
        loc = self.loc(c)
        return Independent(
            Normal(loc, torch.ones_like(loc), validate_args=False), 1, validate_args=False
        )


@numbers()
class Mixture(nn.Module):
    r"""A mixture of Gaussians with learned weights, means and variances.

    .. math:: p(z) = \sum_k \pi_k\, \mathcal N(z; \mu_k, \mathrm{diag}(\sigma_k^2))

    Arguments:
        latent_dim: The number of dimensions of z.
        n_components: The number of Gaussians K.

    Raises:
        OptionError: A size below one.

    References:
        Dilokthanakul et al., Deep unsupervised clustering with Gaussian mixture VAEs, 2016.

    Example:
        >>> Mixture(20, n_components=10)().sample((5,)).shape
        torch.Size([5, 20])
    """

    def __init__(self, latent_dim: int, n_components: int = 100) -> None:
        super().__init__()
        check_sizes(latent_dim=latent_dim, n_components=n_components)
        self.latent_dim = latent_dim
        self.logits = nn.Parameter(torch.zeros(n_components))
        self.loc = nn.Parameter(torch.randn(n_components, latent_dim))
        self.log_scale = nn.Parameter(torch.zeros(n_components, latent_dim))

    def forward(self, c: Tensor | None = None) -> GaussianMixture:
        """Return p(z); a condition is ignored."""
        return GaussianMixture(self.logits, self.loc, self.log_scale.exp())

    def start(self, codes: Tensor) -> None:
        """Begin at the mixture of Gaussians that fits codes best, with shape (N, D).

        Of several fits the one with the best likelihood is kept. Their covariances are free,
        because the dimensions of an autoencoder's codes mean nothing by themselves, and the prior
        takes the variances of each component.

        Raises:
            OptionError: Fewer codes than components.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture as Fit

        z, k = codes.double().cpu().numpy(), len(self.logits)
        if len(z) < k:
            raise OptionError(
                f"n_components={k}: there are only {len(z)} training examples to start them at; "
                "ask for fewer components, or give more examples"
            )
        # A floor under the variances: a component of one example would have none.
        floor = float(1e-4 * z.var(0).mean() + 1e-6)
        kind = "full" if len(z) > 10 * k * z.shape[1] else "diag"
        fits = []
        for start in range(_STARTS):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                fit = Fit(k, covariance_type=kind, reg_covar=floor, random_state=start)
                fits.append(fit.fit(z))
        weights = max(fits, key=lambda fit: fit.lower_bound_).predict_proba(z)
        sizes = weights.sum(0)[:, None] + 1e-9
        loc = weights.T @ z / sizes
        variance = weights.T @ np.square(z) / sizes - np.square(loc) + floor
        for parameter, value in (
            (self.logits, np.log(sizes[:, 0])),
            (self.loc, loc),
            (self.log_scale, 0.5 * np.log(np.maximum(variance, floor))),
        ):
            parameter.data.copy_(torch.from_numpy(value))


@numbers(context=0, label_context=0)
class Vamp(nn.Module):
    r"""The mixture of the posteriors of learned pseudo-inputs.

    .. math:: p(z) = \frac1K \sum_k q(z \mid u_k)

    Under a condition each pseudo-input has a learned condition of its own, and p(z) has none.

    Arguments:
        encoder: q, the encoder of the model, which stays the model's and is only used here.
        shape: The shape of one x.
        n_components: The number of pseudo-inputs K.
        context: The size of a condition c; 0 without one.
        label_context: The number of first entries of c that are a one-hot label; all when None.

    Raises:
        OptionError: A size below one.

    References:
        Tomczak & Welling, VAE with a VampPrior, AISTATS 2018, eq. 9.

    Example:
        >>> from reparam.models.conditional import Conditional
        >>> from reparam.families import Gaussian
        >>> encoder = Conditional(nn.Linear(4, 8), Gaussian(2))
        >>> Vamp(encoder, (4,), n_components=3)().sample((5,)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        encoder: nn.Module,
        shape: Sequence[int],
        n_components: int = 500,
        context: int = 0,
        label_context: int | None = None,
    ) -> None:
        super().__init__()
        check_sizes(n_components=n_components, size=prod(shape))
        self.label_context = context if label_context is None else label_context
        # The weights of the encoder are the model's: a tuple keeps them out of this module's own.
        self._encoder = (encoder,)
        self.pseudo_inputs = nn.Parameter(torch.rand(n_components, *shape))
        if context:
            self.pseudo_logits = nn.Parameter(torch.randn(n_components, context))

    def start(self, examples: Batch) -> None:
        """Begin at training examples: a mixture of their posteriors is near the best there is."""
        n = min(len(examples), len(self.pseudo_inputs))
        self.pseudo_inputs.data[:n] = examples.x[:n].reshape(-1, *self.pseudo_inputs.shape[1:])
        if examples.c is not None:
            k = self.label_context
            self.pseudo_logits.data[:n, :k] = 4.0 * examples.c[:n, :k]
            self.pseudo_logits.data[:n, k:] = examples.c[:n, k:]

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Return p(z); a condition is ignored."""
        (encoder,) = self._encoder
        own: tuple[Tensor, ...] = ()
        if hasattr(self, "pseudo_logits"):
            label, covariates = self.pseudo_logits.tensor_split([self.label_context], -1)
            own = (torch.cat([label.softmax(-1), covariates], -1),)
        q = encoder(self.pseudo_inputs, *own)
        logits = self.pseudo_inputs.new_zeros(len(self.pseudo_inputs))
        normal = base_distribution(q)
        if isinstance(normal, Normal) and isinstance(q, Independent):
            return GaussianMixture(logits, normal.loc, normal.scale)
        if isinstance(normal, Uniform):
            raise SupportError(
                "a uniform posterior does not nest in a mixture of other boxes, so that its KL to "
                "the vamp prior is infinite: use --prior standard-normal, or --posterior gaussian"
            )
        weights = TorchCategorical(logits=logits, validate_args=False)
        return MixtureSameFamily(weights, q, validate_args=False)


@numbers(context=0)
class Flow(nn.Module):
    r"""A masked autoregressive flow: a learned density of any shape.

    .. math:: \log p(z \mid c) = \log \mathcal N(f_c(z); 0, I)
              + \log \Bigl|\det \frac{\partial f_c}{\partial z}\Bigr|

    Arguments:
        latent_dim: The number of dimensions of z.
        context: The size of a condition c; 0 without one.
        n_transforms: How many transforms are stacked.
        hidden: The sizes of the layers of each network.

    Raises:
        OptionError: A size below one.

    References:
        Papamakarios et al., NeurIPS 2017; Chen et al., Variational lossy autoencoder, ICLR 2017
        (as a prior).

    Example:
        >>> Flow(20)().sample((5,)).shape
        torch.Size([5, 20])
    """

    def __init__(
        self,
        latent_dim: int,
        context: int = 0,
        n_transforms: int = 2,
        hidden: Sequence[int] = (256,),
    ) -> None:
        super().__init__()
        check_sizes(latent_dim=latent_dim, n_transforms=n_transforms)
        self.noise = StandardNormal(latent_dim)
        self.latent_dim = latent_dim
        self.transforms = masked_transforms(latent_dim, context, n_transforms, hidden)

    def forward(self, c: Tensor | None = None) -> Distribution:
        """Return p(z | c) for c with shape (B, C)."""
        batch = (1,) if c is None else (len(c), 1)
        loc = self.noise.loc.repeat(batch)
        normal = Normal(loc, torch.ones_like(loc), validate_args=False)
        noise = Independent(normal, 1, validate_args=False)
        return FlowDistribution(noise, self.transforms(c), inverted=True)


@numbers()
class Sphere(nn.Module):
    r"""The uniform distribution on the unit sphere, :math:`p(z) = 1 / |S^{D-1}|`.

    Arguments:
        latent_dim: The number of coordinates D.

    Example:
        >>> Sphere(11)().sample((5,)).norm(dim=-1).allclose(torch.ones(5))
        True
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        check_sizes(latent_dim=latent_dim)
        self.latent_dim = latent_dim
        self.like: Tensor
        self.register_buffer("like", torch.zeros(()), persistent=False)

    def forward(self, c: Tensor | None = None) -> HypersphericalUniform:
        """Return p(z); a condition is ignored."""
        return HypersphericalUniform(
            self.latent_dim, dtype=self.like.dtype, device=self.like.device
        )


@numbers()
class UniformCodes(nn.Module):
    r"""N classes out of K, all equally likely, each as a one-hot vector.

    .. math:: \log p(z) = -N \log K

    Arguments:
        n_variables: N.
        n_classes: K.

    Raises:
        OptionError: A size below one.

    Example:
        >>> round(UniformCodes(32, 10)().log_prob(torch.eye(10)[0].repeat(32)).item(), 2)
        -73.68
    """

    def __init__(self, n_variables: int, n_classes: int) -> None:
        super().__init__()
        check_sizes(n_variables=n_variables, n_classes=n_classes)
        self.latent_dim = n_variables * n_classes
        self.logits: Tensor
        self.register_buffer("logits", torch.zeros(n_variables, n_classes), persistent=False)

    def forward(self, c: Tensor | None = None) -> OneHotCodes:
        """Return p(z); a condition is ignored."""
        return OneHotCodes(self.logits)


@numbers()
class CodebookPrior(nn.Module):
    r"""P codes, one after the other: the prior of a quantized latent.

    .. math:: \log p(z \mid c) = \sum_{i=1}^P \log p(k_i \mid k_1, \dots, k_{i-1}, c), \qquad
              z = (e_{k_1}, \dots, e_{k_P})

    Arguments:
        codebook: The codes e, which are the encoder's too.
        n_positions: P.
        network: From the numbers of codes, and c, to the logits of each given those before it.

    Raises:
        OptionError: A size below one.

    References:
        van den Oord et al., Neural discrete representation learning, NeurIPS 2017, section 3.3.

    Example:
        >>> prior = CodebookPrior(Codebook(8, 3), 4, CausalTransformer(8, 4))
        >>> prior().sample((5,)).shape
        torch.Size([5, 12])
    """

    def __init__(self, codebook: Codebook, n_positions: int, network: CausalTransformer) -> None:
        super().__init__()
        check_sizes(n_positions=n_positions)
        self.codebook = codebook
        self.n_positions = n_positions
        self.network = network

    def forward(self, c: Tensor | None = None) -> CodeSequence:
        """Return p(z | c) for c with shape (B, C)."""
        codes = self.codebook.codes
        sequence = Autoregressive(
            logits=partial(self.network, c=c),
            length=self.n_positions,
            batch_shape=() if c is None else c.shape[:-1],
            device=codes.device,
            step=partial(self.network.step, c=c),
        )
        return CodeSequence(sequence, codes)


def check_sizes(**sizes: int) -> None:
    """Refuse an empty part.

    Raises:
        OptionError: A size below one.
    """
    for name, size in sizes.items():
        if size < 1:
            what = "latent dimension" if name == "latent_dim" else name.removeprefix("n_")
            one = what.removesuffix("s")
            raise OptionError(f"{name}={size}: a model needs at least one {one}")

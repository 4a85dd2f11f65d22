"""Variants whose prior is learned, or that are given the label."""

from dataclasses import replace
from typing import Unpack

from reparam.priors import PRIORS
from reparam.spec import DataSpec
from reparam.utils.arguments import as_int
from reparam.variants.builder import variant
from reparam.variants.networks import Net, WithoutContext, perceptrons
from reparam.variants.specification import Specification


@variant("vamp-vae", year=2018, paper="Tomczak & Welling, AISTATS 2018")
def vamp_vae(
    spec: DataSpec, latent_dim: int = 20, n_components: int = 500, **net: Unpack[Net]
) -> Specification:
    r"""The VAE whose prior is a mixture of the posteriors of learned pseudo-inputs.

    .. math:: p(z) = \frac1K \sum_k q(z \mid u_k)

    Use it where the standard normal is too simple for the data: samples and likelihood improve, and
    fewer latent dimensions collapse. The pseudo-inputs start at training examples.

    Limits: every step encodes K more inputs; the KL is estimated from draws.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        n_components: The number of pseudo-inputs K.
        net: The other options of ``vae``.

    Example:
        >>> vamp_vae(DataSpec((1, 8, 8), "binary")).model.prior().sample((5,)).shape
        torch.Size([5, 20])
    """
    prior = PRIORS["vamp"].with_options(n_components=n_components)
    return Specification(spec, perceptrons(latent_dim, prior=prior, **net))


@variant("flow-prior-vae", year=2017, paper="Chen et al., ICLR 2017")
def flow_prior_vae(
    spec: DataSpec,
    latent_dim: int = 20,
    n_transforms: int = 2,
    flow_width: int = 256,
    flow_depth: int = 1,
    **net: Unpack[Net],
) -> Specification:
    r"""The VAE whose prior is a masked autoregressive flow.

    .. math:: \log p(z) = \log \mathcal N(f(z); 0, I)
              + \log \Bigl|\det \frac{\partial f}{\partial z}\Bigr|

    Use it for the best likelihood of a model with one latent layer: the prior learns the mixture of
    all posteriors.

    Limits: a draw from the prior takes one pass for each latent dimension.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        n_transforms: How many transforms are stacked.
        flow_width: The width of each transform's network.
        flow_depth: The number of its hidden layers.
        net: The other options of ``vae``.

    Example:
        >>> flow_prior_vae(DataSpec((1, 8, 8), "binary")).model.prior().sample((5,)).shape
        torch.Size([5, 20])
    """
    flow_depth = as_int("flow_depth", flow_depth, minimum=1)
    prior = PRIORS["flow"].with_options(
        n_transforms=n_transforms, hidden=(flow_width,) * flow_depth
    )
    return Specification(spec, perceptrons(latent_dim, prior=prior, **net))


@variant("class-prior-vae", year=2018, paper="Su, Scientific Spaces 5253, 2018")
def class_prior_vae(spec: DataSpec, latent_dim: int = 20, **net: Unpack[Net]) -> Specification:
    r"""The VAE whose prior is a Gaussian for each label; encoder and decoder do not get the label.

    .. math:: p(z \mid y) = \mathcal N(W \,\mathrm{onehot}(y), I), \qquad q(z \mid x), \quad
              p(x \mid z)

    Use it to place the classes in the latent space, and to draw from one of them:
    run.sample(label=2).

    Limits: in two dimensions ten Gaussians of unit variance overlap, so that classes are confused;
    samples of ``cvae`` match the label more often.

    Arguments:
        spec: The shape and support of the data, with labels.
        latent_dim: The number of dimensions of z.
        net: The other options of ``vae``.

    Example:
        >>> import torch
        >>> recipe = class_prior_vae(DataSpec((1, 8, 8), "binary", n_classes=10))
        >>> recipe.model.sample(10, torch.eye(10)).shape
        torch.Size([10, 1, 8, 8])
    """
    parts = perceptrons(latent_dim, prior=PRIORS["class-conditional"], **net)
    networks = WithoutContext(parts.networks)
    spec = spec.conditioned(spec.condition or "label")
    return Specification(spec, replace(parts, networks=networks))


@variant("cvae", year=2015, paper="Sohn, Lee & Yan, NeurIPS 2015")
def cvae(spec: DataSpec, latent_dim: int = 20, **net: Unpack[Net]) -> Specification:
    r"""The VAE whose encoder and decoder get the label (conditional VAE).

    .. math:: \log p(x \mid c) \ge \mathbb E_{q(z \mid x, c)}[\log p(x \mid z, c)]
              - \mathrm{KL}(q(z \mid x, c) \| p(z))

    The condition c is the one-hot label, unless the data are conditioned on covariates.

    Use it to generate examples of a class: run.sample(label=2). The code describes the rest, such
    as slant and stroke.

    Limits: every example needs a label; with many latent dimensions the decoder can read the class
    from z and ignore the label.

    Arguments:
        spec: The shape and support of the data, with labels, or with a condition of their own.
        latent_dim: The number of dimensions of z.
        net: The other options of ``vae``.

    Example:
        >>> import torch
        >>> recipe = cvae(DataSpec((1, 8, 8), "binary", n_classes=10))
        >>> recipe.model.sample(10, torch.eye(10)).shape
        torch.Size([10, 1, 8, 8])
    """
    spec = spec.conditioned(spec.condition or "label")
    return Specification(spec, perceptrons(latent_dim, **net))

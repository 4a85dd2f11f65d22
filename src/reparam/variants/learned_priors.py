"""Priors that are learned, or that know the label."""

from dataclasses import replace
from typing import Unpack

from reparam.priors import PRIORS, check_sizes
from reparam.spec import DataSpec
from reparam.variants.builder import variant
from reparam.variants.networks import Net, WithoutContext, perceptrons
from reparam.variants.specification import Specification


@variant("vamp-vae", year=2018, paper="Tomczak & Welling, AISTATS 2018")
def vamp_vae(
    spec: DataSpec, latent_dim: int = 20, n_components: int = 500, **net: Unpack[Net]
) -> Specification:
    r"""The VAE whose prior is a mixture of the posteriors of learned pseudo-inputs.

    .. math:: p(z) = \frac1K \sum_k q(z \mid u_k)

    Use it where the standard normal is too plain for the data: samples and likelihood gain, and
    fewer latent dimensions collapse. The pseudo-inputs begin at training examples.

    Limits: every step encodes K more inputs; its KL is estimated, not closed.

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

    Use it for the best likelihood of a model with one latent layer: the prior becomes what the
    posteriors add up to.

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
    check_sizes(flow_depth=flow_depth)
    prior = PRIORS["flow"].with_options(
        n_transforms=n_transforms, hidden=(flow_width,) * flow_depth
    )
    return Specification(spec, perceptrons(latent_dim, prior=prior, **net))


@variant("class-prior-vae", year=2018, paper="Su, Scientific Spaces 5253, 2018")
def class_prior_vae(spec: DataSpec, latent_dim: int = 20, **net: Unpack[Net]) -> Specification:
    r"""The VAE with a Gaussian of its own for each label, which encoder and decoder never see.

    .. math:: p(z \mid y) = \mathcal N(W \,\mathrm{onehot}(y), I), \qquad q(z \mid x), \quad
              p(x \mid z)

    Use it to see the classes as clouds in the latent space, and to draw from one of them:
    ``reparam sample RUN --label 2``.

    Limits: in two dimensions ten clouds of unit variance overlap, and so does what they generate;
    ``cvae`` obeys better.

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
    return Specification(spec.conditioned("label"), replace(parts, networks=networks))


@variant("cvae", year=2015, paper="Sohn, Lee & Yan, NeurIPS 2015")
def cvae(spec: DataSpec, latent_dim: int = 20, **net: Unpack[Net]) -> Specification:
    r"""The VAE whose encoder and decoder are given the label.

    .. math:: \log p(x \mid y) \ge \mathbb E_{q(z \mid x, y)}[\log p(x \mid z, y)]
              - \mathrm{KL}(q(z \mid x, y) \| p(z))

    Use it to generate what is asked for: ``reparam sample RUN --label 2``. The code is free for
    everything but the class, such as slant and stroke.

    Limits: it needs a label for every example; with many latent dimensions the decoder may read
    the class from z and mind the label less.

    Arguments:
        spec: The shape and support of the data, with labels.
        latent_dim: The number of dimensions of z.
        net: The other options of ``vae``.

    Example:
        >>> import torch
        >>> recipe = cvae(DataSpec((1, 8, 8), "binary", n_classes=10))
        >>> recipe.model.sample(10, torch.eye(10)).shape
        torch.Size([10, 1, 8, 8])
    """
    return Specification(spec.conditioned("label"), perceptrons(latent_dim, **net))

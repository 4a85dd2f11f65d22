"""VAEs whose latent variables have another posterior, another prior, or a condition."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Unpack

from reparam.families import POSTERIORS, Family
from reparam.priors import PRIORS
from reparam.spec import DataSpec
from reparam.utils.arguments import as_int
from reparam.variants.builder import variant
from reparam.variants.networks import Net, perceptrons, without_context
from reparam.variants.specification import Specification


@variant("full-covariance-vae", year=2019, paper="Kingma & Welling, FnT in ML 2019, section 2.5.1")
def full_covariance_vae(spec: DataSpec, latent_dim: int = 20, **net: Unpack[Net]) -> Specification:
    r"""The VAE whose posterior has a full covariance matrix.

    Use it for few latent dimensions that are dependent given x, as in a linear model.

    Limits: n(n + 1)/2 numbers for n latent dimensions; one mode.

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \qquad x \sim p(x \mid z)

    Posterior:
        .. math:: q(z \mid x) = \mathcal N(\mu, L L^\top), \qquad z = \mu + L \varepsilon

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
                  - \mathrm{KL}(q(z \mid x) \| p(z))

    Symbols:
        μ: The mean that the encoder gives for x.
        L: A lower triangular matrix that the encoder gives for x.
        ε: Standard normal noise.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        net: The other options of ``vae``.

    Example:
        >>> import torch
        >>> recipe = full_covariance_vae(DataSpec((1, 8, 8), "binary"), latent_dim=3)
        >>> recipe.model.posterior(torch.zeros(5, 1, 8, 8)).scale_tril.shape
        torch.Size([5, 3, 3])
    """
    posterior = POSTERIORS["full-covariance"]
    return Specification(spec, replace(perceptrons(latent_dim, **net), posterior=posterior))


@variant("iaf-vae", year=2016, paper="Kingma et al., NeurIPS 2016")
def iaf_vae(
    spec: DataSpec,
    latent_dim: int = 20,
    n_transforms: int = 2,
    flow_width: int = 128,
    passes: int | None = None,
    **net: Unpack[Net],
) -> Specification:
    r"""The VAE whose posterior is an inverse autoregressive flow of a Gaussian.

    Use it where a diagonal posterior is too simple: for dependent dimensions and several modes.

    Limits: the density of a z that was not drawn from this posterior takes D passes; ``passes=2``
    (coupling layers) reduces them to two.

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \qquad x \sim p(x \mid z)

    Posterior:
        .. math:: z = f_T \circ \dots \circ f_1(\mu + \sigma \varepsilon; h), \qquad
                  \log q(z \mid x) = \log \mathcal N(\varepsilon; 0, I) - \sum_j \log \sigma_j
                  - \sum_t \log \Bigl|\det \frac{\partial f_t}{\partial f_{t-1}}\Bigr|

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
                  - \mathrm{KL}(q(z \mid x) \| p(z))

    Symbols:
        T (n_transforms): The number of transforms.
        f_t (flow_width): An autoregressive transform, a network of this width.
        h: Features of x, which every transform gets.
        μ, σ: The mean and the standard deviation of the first Gaussian.
        ε: Standard normal noise.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        n_transforms: How many transforms are stacked.
        flow_width: The width of each transform's network.
        passes: The number of passes that the density of any z takes: 2 for coupling layers, None
            for D.
        net: The other options of ``vae``.

    Example:
        >>> import torch
        >>> recipe = iaf_vae(DataSpec((1, 8, 8), "binary"), latent_dim=3)
        >>> recipe.model.posterior(torch.zeros(5, 1, 8, 8)).rsample().shape
        torch.Size([5, 3])
    """
    posterior = POSTERIORS["iaf"].with_options(
        n_transforms=n_transforms, hidden=(flow_width,), passes=passes
    )
    return Specification(spec, replace(perceptrons(latent_dim, **net), posterior=posterior))


@variant("vmf-vae", year=2018, paper="Davidson et al., UAI 2018")
def vmf_vae(
    spec: DataSpec,
    latent_dim: int = 11,
    concentration: float | None = None,
    hidden: Sequence[int] = (256, 128),
    likelihood: str | Family | None = None,
    activation: str | None = None,
    skip: bool | None = None,
    dropout: float | None = None,
) -> Specification:
    r"""The VAE on the unit sphere: von Mises–Fisher posterior and uniform prior.

    Use it for few latent dimensions, where a Gaussian prior concentrates codes at the origin, and
    for data on a sphere. With a fixed κ the KL is a constant.

    Limits: one κ for all dimensions of a code; with about twenty or more coordinates a Gaussian is
    better.

    Generative process:
        .. math:: p(z) = 1 / |S^{D-1}|, \quad \|z\| = 1, \qquad x \sim p(x \mid z)

    Posterior:
        .. math:: q(z \mid x) \propto \exp(\kappa(x)\, \mu(x)^\top z)

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
                  - \mathrm{KL}(q(z \mid x) \| p(z))

    Symbols:
        D (latent_dim): The number of coordinates of z.
        κ (concentration): The concentration: the larger, the narrower is q.
        μ: The mean direction, a vector of length one.
        S: The unit sphere in D dimensions, and its area.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of coordinates D of z.
        concentration: κ, the same for all x; None to learn it for each x.
        hidden: The sizes of the encoder's layers; the decoder has them in reverse order.
        likelihood: p(x | z) by name or as a family; None for the one that fits the support.
        activation: The nonlinearity; see ``vae``.
        skip: Whether the features contain the input; see ``vae``.
        dropout: The share of features that are set to 0 in training; see ``vae``.

    Example:
        >>> import torch
        >>> recipe = vmf_vae(DataSpec((1, 8, 8), "binary"))
        >>> recipe.model.posterior(torch.zeros(2, 1, 8, 8)).sample().norm(dim=-1).round()
        tensor([1., 1.])
    """
    learned = "learned" if concentration is None else concentration
    posterior = POSTERIORS["von-mises-fisher"].with_options(concentration=learned)
    parts = perceptrons(
        latent_dim,
        hidden=hidden,
        likelihood=likelihood,
        activation=activation,
        skip=skip,
        dropout=dropout,
    )
    return Specification(spec, replace(parts, posterior=posterior, prior=PRIORS["sphere"]))


@variant("gumbel-vae", year=2017, paper="Jang, Gu & Poole, ICLR 2017")
def gumbel_vae(
    spec: DataSpec,
    n_variables: int = 32,
    n_classes: int = 10,
    first_temperature: float = 1.0,
    last_temperature: float = 0.3,
    **net: Unpack[Net],
) -> Specification:
    r"""The VAE with one-hot codes: N variables of K classes, relaxed in training.

    Use it for discrete codes, such as categories, or compression to N log₂ K bits. Outside training
    codes are exactly one-hot, also in an evaluation.

    Limits: the relaxation biases the gradient at high temperatures, and the gradient is noisy at
    low ones.

    Generative process:
        .. math:: z_n \sim \mathrm{Categorical}(1/K), \quad n = 1, \dots, N, \qquad
                  x \sim p(x \mid z)

    Posterior:
        .. math:: z_n = \mathrm{softmax}((\log \pi_n + g) / \tau)

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)] - \mathrm{KL}, \qquad
                  \mathrm{KL} = N \log K - \sum_n \mathrm H(\pi_n)

    Symbols:
        N (n_variables): The number of discrete latent variables.
        K (n_classes): The number of classes of each.
        π_n: The probabilities of the classes of variable n, which the encoder gives for x.
        g: Gumbel noise, which makes the softmax a draw.
        τ (first_temperature): The temperature, which falls to ``last_temperature``.
        H: The entropy.

    Arguments:
        spec: The shape and support of the data.
        n_variables: N.
        n_classes: K.
        first_temperature: τ at the start of training.
        last_temperature: τ at its end; it falls geometrically.
        net: The other options of ``vae``.

    Example:
        >>> gumbel_vae(DataSpec((1, 8, 8), "binary")).model.prior().sample().sum()
        tensor(32.)
    """
    temperature = (first_temperature, last_temperature)
    posterior = POSTERIORS["gumbel"].with_options(n_classes=n_classes, temperature=temperature)
    prior = PRIORS["uniform-codes"].with_options(n_classes=n_classes)
    parts = perceptrons(n_variables * n_classes, **net)
    return Specification(spec, replace(parts, posterior=posterior, prior=prior))


@variant("vamp-vae", year=2018, paper="Tomczak & Welling, AISTATS 2018")
def vamp_vae(
    spec: DataSpec, latent_dim: int = 20, n_components: int = 500, **net: Unpack[Net]
) -> Specification:
    r"""The VAE whose prior is a mixture of the posteriors of learned pseudo-inputs.

    Use it where the standard normal is too simple for the data: samples and likelihood improve, and
    fewer latent dimensions collapse. The pseudo-inputs start at training examples.

    Limits: every step encodes K more inputs; the KL is estimated from draws.

    Generative process:
        .. math:: z \sim p(z) = \frac1K \sum_k q(z \mid u_k), \qquad x \sim p(x \mid z)

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
                  - \mathrm{KL}(q(z \mid x) \| p(z))

    Symbols:
        K (n_components): The number of pseudo-inputs.
        u_k: A pseudo-input, a learned example.

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
    return Specification(spec, replace(perceptrons(latent_dim, **net), prior=prior))


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

    Use it for the best likelihood of a model with one latent layer: the prior learns the mixture of
    all posteriors.

    Limits: a draw from the prior takes one pass for each latent dimension.

    Generative process:
        .. math:: z \sim p(z), \quad \log p(z) = \log \mathcal N(f(z); 0, I)
                  + \log \Bigl|\det \frac{\partial f}{\partial z}\Bigr|, \qquad x \sim p(x \mid z)

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
                  - \mathrm{KL}(q(z \mid x) \| p(z))

    Symbols:
        f (n_transforms): The flow, so many masked autoregressive transforms after each other.

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
    return Specification(spec, replace(perceptrons(latent_dim, **net), prior=prior))


@variant("class-prior-vae", year=2018, paper="Su, Scientific Spaces 5253, 2018")
def class_prior_vae(spec: DataSpec, latent_dim: int = 20, **net: Unpack[Net]) -> Specification:
    r"""The VAE whose prior is a Gaussian for each label; encoder and decoder do not get the label.

    Use it to place the classes in the latent space, and to draw from one of them:
    run.sample(label=2).

    Limits: in two dimensions ten Gaussians of unit variance overlap, so that classes are confused;
    samples of ``cvae`` match the label more often.

    Generative process:
        .. math:: z \sim \mathcal N(W \,\mathrm{onehot}(y), I), \qquad x \sim p(x \mid z)

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
                  - \mathrm{KL}(q(z \mid x) \| p(z \mid y))

    Symbols:
        y: The label of x.
        W: A matrix whose columns are the means of the classes; it is learned.

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
    parts = perceptrons(latent_dim, **net)
    networks = partial(without_context, networks=parts.networks)
    spec = spec.conditioned(spec.condition or "label")
    return Specification(spec, replace(parts, networks=networks, prior=PRIORS["class-conditional"]))


@variant("cvae", year=2015, paper="Sohn, Lee & Yan, NeurIPS 2015")
def cvae(spec: DataSpec, latent_dim: int = 20, **net: Unpack[Net]) -> Specification:
    r"""The VAE whose encoder and decoder get the label (conditional VAE).

    The condition c is the one-hot label, unless the data are conditioned on covariates.

    Use it to generate examples of a class: run.sample(label=2). The code describes the rest, such
    as slant and stroke.

    Limits: every example needs a label; with many latent dimensions the decoder can read the class
    from z and ignore the label.

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \qquad x \sim p(x \mid z, c)

    Objective:
        .. math:: \mathcal L = \mathbb E_{q(z \mid x, c)}[\log p(x \mid z, c)]
                  - \mathrm{KL}(q(z \mid x, c) \| p(z)) \le \log p(x \mid c)

    Symbols:
        c: The condition: the one-hot label, or the covariates.

    Arguments:
        spec: The shape and support of the data, with labels, or with a condition.
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

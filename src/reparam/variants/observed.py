"""Models without latent variables: a classifier and a directed network."""

from collections.abc import Sequence
from dataclasses import replace as with_changes
from itertools import pairwise

from reparam.errors import DataError, OptionError
from reparam.families import Categorical, Family
from reparam.families import likelihood as likelihood_of
from reparam.models.conditional import Conditional, Unconditional
from reparam.models.directed import DirectedModel, Node
from reparam.nn import MLP
from reparam.objectives import MaximumLikelihood
from reparam.spec import DataSpec
from reparam.variants.builder import variant
from reparam.variants.networks import refuse_mixed
from reparam.variants.specification import Specification


def class_count(spec: DataSpec) -> int:
    """Return the number of classes of the labels, for a variant that models the label.

    Raises:
        DataError: Data without labels.
        OptionError: A condition on them.
    """
    if spec.context:
        raise OptionError(
            f"condition={spec.condition!r}: the label is what this variant models, so that it "
            "cannot be a condition; drop it"
        )
    if spec.n_classes is None:
        raise DataError(
            f"{spec.name!r} has no labels, and this variant learns from them: give labels"
        )
    return spec.n_classes


@variant("classifier", year=2019, paper="Kingma & Welling, FnT in ML 2019, section 1.4")
def classifier(
    spec: DataSpec, hidden: Sequence[int] = (400,), activation: str = "relu"
) -> Specification:
    r"""A classifier, trained by maximum likelihood.

    Use it to classify where all examples have labels, and to evaluate samples of other models.

    Limits: no latent variable, and no model of p(x).

    Generative process:
        .. math:: y \sim p(y \mid x) = \mathrm{Categorical}(y; \mathrm{softmax}(f(x)))

    Objective:
        .. math:: \mathcal L = \log p(y \mid x)

    Symbols:
        y: The label of x.
        f (hidden): The network.

    Arguments:
        spec: The shape and support of the data, with labels.
        hidden: The sizes of the layers.
        activation: The nonlinearity.

    Example:
        >>> import torch
        >>> recipe = classifier(DataSpec((1, 8, 8), "binary", n_classes=10))
        >>> recipe.model.distribution("y", {"x": torch.zeros(5, 1, 8, 8)}).probs.shape
        torch.Size([5, 10])
    """
    refuse_mixed(spec)
    network = MLP(spec.shape, *hidden, activation=activation)
    conditional = Conditional(network, Categorical(class_count(spec)))
    return Specification(spec, DirectedModel({"y": Node(conditional, ("x",))}), MaximumLikelihood())


@variant("directed", year=2019, paper="Kingma & Welling, FnT in ML 2019, section 1.5")
def directed(
    spec: DataSpec,
    n_parts: int = 8,
    hidden: Sequence[int] = (200,),
    likelihood: str | Family | None = None,
    activation: str = "relu",
) -> Specification:
    r"""A fully observed directed network of the label and of parts of the example.

    The parts are consecutive entries of the flattened example, for images bands of rows. The
    log-likelihood is exact, and sampling is ancestral.

    Use it as a baseline: a likelihood without a bound, from networks of the same kind.

    Limits: the entries of a part are independent given the parts before it.

    Generative process:
        .. math:: p(y, x) = p(y) \prod_{j=1}^M p(x_j \mid y, x_1, \dots, x_{j-1})

    Objective:
        .. math:: \mathcal L = \log p(y, x)

    Symbols:
        y: The label of x.
        M (n_parts): The number of parts of an example.
        x_j: Part j: consecutive entries of the example.

    Arguments:
        spec: The shape and support of the data, with labels.
        n_parts: The number of parts M.
        hidden: The sizes of each node's layers.
        likelihood: The distribution of a part, by name; None for the one that fits the support.
        activation: The nonlinearity.

    Raises:
        OptionError: More parts than entries.

    Example:
        >>> recipe = directed(DataSpec((1, 8, 8), "binary", n_classes=10))
        >>> recipe.model.sample(3)["part_7"].shape
        torch.Size([3, 8])
    """
    if not 1 <= n_parts <= spec.dim:
        raise OptionError(
            f"n_parts={n_parts}: an example has {spec.dim} entries, so give 1 part to as many"
        )
    refuse_mixed(spec)
    n_classes = class_count(spec)
    edges = [spec.dim * j // n_parts for j in range(n_parts + 1)]
    nodes = {"y": Node(Unconditional(Categorical(n_classes)))}
    for j, (start, stop) in enumerate(pairwise(edges)):
        part = with_changes(spec, shape=(stop - start,))
        network = MLP(n_classes + start, *hidden, activation=activation)
        conditional = Conditional(network, likelihood_of(part, likelihood))
        nodes[f"part_{j}"] = Node(conditional, ("y", *(f"part_{i}" for i in range(j))))
    columns = {f"part_{j}": range(edges[j], edges[j + 1]) for j in range(n_parts)}
    return Specification(spec, DirectedModel(nodes, columns), MaximumLikelihood())

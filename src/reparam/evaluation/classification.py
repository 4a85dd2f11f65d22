"""Classes that a model predicts: their scores, and the share that is right."""

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from reparam.batch import Batch
from reparam.distributions import base_distribution
from reparam.errors import DataError, OptionError
from reparam.evaluation.figure import Figure
from reparam.isolation import blocks, isolated
from reparam.models.directed import DirectedModel
from reparam.models.label_inference import label_log_prob
from reparam.utils.arguments import numbers


def class_log_prob(model: nn.Module, batch: Batch) -> Tensor | None:
    r"""Return the log-probability of each class, up to a constant of the example.

    .. math:: \log p(y \mid x) \quad\text{or}\quad \log p(x, y) = \log p(y) + \log p(x \mid y)

    A model of the label given x returns log p(y | x). A model of x given the label returns
    log p(x, y) for every class, which ranks the classes by Bayes' rule; its log-sum-exp over
    classes is log p(x). A latent-variable model that infers the label returns log q(y | x).

    Arguments:
        model: A ``DirectedModel``, or another model.
        batch: Examples; their labels are not used.

    Returns:
        Nats, with shape (B, K); None for a model without classes.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> model = variants.classifier(DataSpec((1, 8, 8), "binary", n_classes=10)).model
        >>> class_log_prob(model, Batch(torch.zeros(5, 1, 8, 8))).shape
        torch.Size([5, 10])
    """
    if not isinstance(model, DirectedModel):
        return label_log_prob(model, batch.x)
    if "y" not in model.parents:
        return None
    values = model.values(Batch(x=batch.x))
    p = base_distribution(model.distribution("y", values))
    if not isinstance(p, Categorical):
        return None
    if all("y" not in parents for parents in model.parents.values()):
        return p.logits.expand(len(batch), -1)
    n_classes = p.logits.shape[-1]
    labels = torch.arange(n_classes, device=batch.x.device)
    scores = [model.log_prob(values | {"y": label.expand(len(batch))}) for label in labels]
    return torch.stack(scores, dim=-1)


@numbers(chunk=1)
def accuracy(model: nn.Module, batch: Batch, *, chunk: int = 1024) -> Figure:
    r"""Return the share of examples with a known label whose most probable class it is.

    .. math:: \frac1N \sum_n [\arg\max_y p(y \mid x_n) = y_n]

    Arguments:
        model: A model with a categorical node ``y``, such as a classifier, or one that infers the
            label, such as ``ss-vae``.
        batch: Examples with labels, anywhere; the model computes where it is.
        chunk: The number of examples that are computed at once.

    Raises:
        OptionError: A model without classes.
        DataError: A batch without known labels.

    Example:
        >>> from reparam import variants
        >>> from reparam.spec import DataSpec
        >>> model = variants.classifier(DataSpec((1, 8, 8), "binary", n_classes=10)).model
        >>> 0 <= accuracy(model, Batch(torch.zeros(5, 1, 8, 8), y=torch.arange(5))).value <= 1
        True
    """
    if batch.y is None:
        raise DataError("accuracy needs labels, and these examples have none: give y")
    with isolated(model) as device:
        found = [correct(model, part) for part in blocks(batch, chunk, device)]
    right = [part for part in found if part is not None]
    if len(right) < len(found):
        parents = model.parents if isinstance(model, DirectedModel) else ("latent variables",)
        raise OptionError(
            f"a model of {', '.join(parents) or 'nothing'} predicts no classes: accuracy "
            "needs a Categorical node 'y' or a q(y | x), as in classifier or ss-vae"
        )
    known = torch.cat(right)
    if len(known) == 0:
        raise DataError("accuracy needs labels, and none of these examples has a known one: give y")
    return Figure.mean(known)


def correct(model: nn.Module, batch: Batch) -> Tensor | None:
    """Return which of the known labels a model predicts, bool with shape (M,) on the CPU.

    None for a model without classes.

    Arguments:
        model: The model, where the examples are.
        batch: Examples with labels; -1 where one is not known.
    """
    scores = class_log_prob(model, batch)
    if scores is None or batch.y is None:
        return None
    return (scores.argmax(-1) == batch.y)[batch.y >= 0].cpu()

"""How well a model tells the classes apart."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from reparam.batch import Batch
from reparam.distributions import base_distribution
from reparam.errors import DataError, OptionError
from reparam.evaluation.statistics import mean_and_stderr
from reparam.isolation import isolated
from reparam.models.directed import DirectedModel
from reparam.models.label_inference import label_log_prob
from reparam.utils.arguments import numbers


class Accuracy(NamedTuple):
    """A share of right answers.

    Arguments:
        value: The share, from 0 to 1.
        stderr: Its standard error; None for a single example.
    """

    value: float
    stderr: float | None


def class_log_prob(model: nn.Module, batch: Batch) -> Tensor | None:
    r"""Return what a model says of each class, up to a constant of the example.

    .. math:: \log p(y \mid x) \quad\text{or}\quad \log p(x, y) = \log p(y) + \log p(x \mid y)

    A model that has the label as a function of x is asked for it. One that makes x out of the
    label is asked about every class, which by Bayes' rule tells the classes apart as well, and the
    log-sum-exp over classes is then log p(x). A latent-variable model that infers the label says
    log q(y | x).

    Arguments:
        model: A ``DirectedModel``, or another model.
        batch: Examples; their labels are not looked at.

    Returns:
        Nats, with shape (B, K); None for a model that tells no classes apart.

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
def accuracy(model: nn.Module, batch: Batch, *, chunk: int = 1024) -> Accuracy:
    r"""Return the share of examples with a known label whose most probable class it is.

    .. math:: \frac1N \sum_n [\arg\max_y p(y \mid x_n) = y_n]

    Arguments:
        model: A model with a categorical node ``y``, such as a classifier, or one that infers the
            label, such as ``ss-vae``.
        batch: Examples with labels, anywhere; the model computes where it is.
        chunk: At most so many examples are in the works at once.

    Raises:
        OptionError: A model that does not tell classes apart.
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
    right = []
    with isolated(model) as device:
        for start in range(0, len(batch), chunk):
            part = Batch(batch.x[start : start + chunk].to(device))
            scores = class_log_prob(model, part)
            if scores is None:
                raise OptionError(
                    f"a model of {_what(model)} tells no classes apart: accuracy needs a node 'y' "
                    "with a Categorical, or a q(y | x), such as in the variant classifier or ss-vae"
                )
            right.append(correct(scores.cpu(), batch.y[start : start + chunk].cpu()))
    found = accuracy_of_blocks(right)
    if found is None:
        raise DataError("accuracy needs labels, and none of these examples has a known one: give y")
    return found


def correct(scores: Tensor, y: Tensor) -> Tensor:
    """Return which of the known labels are predicted rightly, with shape (M,) on the CPU.

    Arguments:
        scores: What a model says of each class, with shape (B, K).
        y: Labels with shape (B,); -1 where one is not known.

    >>> correct(torch.eye(3), torch.tensor([0, 2, -1]))
    tensor([ True, False])
    """
    known = y >= 0
    return (scores.argmax(-1) == y)[known].cpu()


def accuracy_of(predictions: Tensor) -> Accuracy:
    """Return the accuracy of predictions, for which of them are correct, bool with shape (N,).

    >>> accuracy_of(torch.tensor([True, False]))
    Accuracy(value=0.5, stderr=0.5)
    """
    return Accuracy(*mean_and_stderr(predictions))


def accuracy_of_blocks(predictions: Sequence[Tensor]) -> Accuracy | None:
    """Return the accuracy of predictions block by block; None where no label is known.

    >>> accuracy_of_blocks([torch.tensor([True]), torch.tensor([False])])
    Accuracy(value=0.5, stderr=0.5)
    >>> accuracy_of_blocks([])
    """
    whole = torch.cat([*predictions, torch.zeros(0, dtype=torch.bool)])
    return accuracy_of(whole) if len(whole) else None


def _what(model: nn.Module) -> str:
    return ", ".join(getattr(model, "parents", {"latent variables": ()})) or "nothing"

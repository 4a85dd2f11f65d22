r"""Fully observed directed graphical models.

.. math:: p(x_1, \dots, x_M) = \prod_j p(x_j \mid \mathrm{Pa}(x_j))

They have no latent variable: the log-likelihood is a sum of exact terms. A classifier p(y | x), a
class-conditional model p(y) p(x | y) and an autoregressive model are of this kind.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.batch import Batch, in_type_of
from reparam.errors import DataError, OptionError, ShapeError, unknown
from reparam.families import Categorical
from reparam.models.conditional import family_of
from reparam.utils.arguments import numbers
from reparam.utils.equality import by_value


@by_value
@dataclass(frozen=True)
class Node:
    """One variable of a directed model.

    Arguments:
        conditional: A module that returns p(x_j | parents), such as ``Conditional``; for a variable
            without parents ``Unconditional``.
        parents: The names of the variables that it depends on, in the order in which they are
            concatenated.
    """

    conditional: nn.Module
    parents: tuple[str, ...] = ()


class DirectedModel(nn.Module):
    r"""A directed graphical model in which every variable is observed.

    A variable that is a parent but has no node is given, and not modeled: with the one node
    ``{"y": Node(classifier, ("x",))}`` this is the conditional model p(y | x).

    Arguments:
        nodes: The modeled variables by name, parents first.
        columns: The entries of the flattened example x that each variable consists of, by the name
            of the variable. The name ``x`` is the whole example, and ``y`` the label.

    Raises:
        OptionError: A variable comes before one of its parents.

    References:
        Kingma & Welling, An introduction to variational autoencoders, 2019, sections 1.4 to 1.6.

    Example:
        >>> from reparam.models.conditional import Conditional, Unconditional
        >>> from reparam.families import Bernoulli, Categorical
        >>> from reparam.nn import MLP
        >>> model = DirectedModel({
        ...     "y": Node(Unconditional(Categorical(3))),
        ...     "x": Node(Conditional(MLP(3, 8), Bernoulli(5)), ("y",)),
        ... })
        >>> model.sample(4)["x"].shape
        torch.Size([4, 5])
    """

    def __init__(
        self, nodes: Mapping[str, Node], columns: Mapping[str, Sequence[int]] | None = None
    ) -> None:
        super().__init__()
        names = list(nodes)
        for number, (name, node) in enumerate(nodes.items()):
            for parent in (parent for parent in node.parents if parent in names[number:]):
                raise OptionError(
                    f"variable {name!r} comes before its parent {parent!r}: list parents first; a "
                    "directed model has no cycles"
                )
        self.parents = {name: node.parents for name, node in nodes.items()}
        self.columns = {name: list(indices) for name, indices in (columns or {}).items()}
        self.conditionals = nn.ModuleDict({name: node.conditional for name, node in nodes.items()})

    def distribution(self, name: str, values: Mapping[str, Tensor]) -> Distribution:
        """Return p(x_j | parents), given the values of the parents.

        Raises:
            OptionError: An unknown variable, or a parent without a value.
        """
        if name not in self.parents:
            raise unknown("variable", name, self.parents)
        parents, conditional = self.parents[name], self.conditionals[name]
        _check_given(parents, values)
        if not parents:
            return conditional()
        first = values[parents[0]]
        if len(parents) == 1 and first.is_floating_point() and first.dim() > 1:
            return conditional(first)  # an image keeps its shape
        inputs = [self._as_input(parent, values[parent]) for parent in parents]
        return conditional(torch.cat(inputs, dim=-1))

    def values(self, batch: Batch) -> dict[str, Tensor]:
        """Return the values of all variables of a batch: columns of x, x itself and the label.

        Raises:
            DataError: The label is modeled, and some labels are unknown (-1).
        """
        if batch.y is not None and "y" in self.parents and bool((batch.y < 0).any()):
            raise DataError(
                "some labels are not known (-1), and this model needs every label: leave these "
                "examples out, or train ss-vae"
            )
        return self.variables(batch.x, batch.y)

    def variables(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return the values of all variables, without a look at the labels.

        Arguments:
            x: The examples, with shape (B, *shape).
            y: Their labels, with shape (B,); None without labels.
        """
        x = in_type_of(self, x)
        flat = x.flatten(1)
        values = {name: flat[:, indices] for name, indices in self.columns.items()} | {"x": x}
        return values if y is None else {**values, "y": y}

    def log_prob(self, values: Mapping[str, Tensor]) -> Tensor:
        """Return log p of the modeled variables given the others, in nats with shape (B,).

        Raises:
            OptionError: A variable has no value, or the model has no nodes.
        """
        if not self.parents:
            raise OptionError("a directed model without nodes has no probability: add a node")
        _check_given(self.parents, values)
        parts = [self.distribution(name, values).log_prob(values[name]) for name in self.parents]
        return sum(parts[1:], start=parts[0])

    @numbers(n_samples=1)
    def sample(
        self, n_samples: int, given: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Draw the variables one after the other, parents first (ancestral sampling).

        Arguments:
            n_samples: The number of draws n.
            given: Values that are held fixed, each with shape (n, ...).
        """
        values = dict(given or {})
        for name, parents in self.parents.items():
            if name not in values:
                p = self.distribution(name, values)
                values[name] = p.sample() if parents else p.sample(torch.Size([n_samples]))
        return values

    @numbers()
    def assemble(self, values: Mapping[str, Tensor], shape: Sequence[int]) -> Tensor:
        """Return the example x, with shape (n, *shape), that the variables are the columns of.

        Raises:
            ShapeError: The columns do not cover x.
        """
        if "x" in values and "x" in self.parents:
            return values["x"].reshape(-1, *shape)
        places = torch.tensor([i for indices in self.columns.values() for i in indices])
        size = torch.Size(shape).numel()
        if places.sort().values.tolist() != list(range(size)):
            raise ShapeError(
                f"the variables cover {len(places)} of the {size} entries of x: "
                "this model does not generate x"
            )
        x = torch.cat([values[name] for name in self.columns], dim=1)
        return x[:, places.argsort()].reshape(-1, *shape)

    def _as_input(self, name: str, value: Tensor) -> Tensor:
        """Return the value of a parent as a network's input: flat floats, or one-hot classes."""
        if value.is_floating_point():
            return value.reshape(value.shape[0], -1)
        family = family_of(self.conditionals[name]) if name in self.parents else None
        if not isinstance(family, Categorical):
            raise OptionError(
                f"parent {name!r} has integer values: model it as a node with a Categorical, "
                "so that its number of classes is known"
            )
        one_hot = nn.functional.one_hot(value, family.n_classes).flatten(1)
        return one_hot.to(next(self.parameters()).dtype)


def _check_given(names: Iterable[str], values: Mapping[str, Tensor]) -> None:
    """Raise where a variable has no value."""
    for name in names:
        if name not in values:
            raise OptionError(
                f"variable {name!r} has no value: give one (labels, for 'y'), or sample it"
            )

"""The state of one page of an explorer: a place, a condition, and the examples that are picked."""

from collections.abc import Mapping

import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.data.condition import conditions
from reparam.explorer.explored import Explored
from reparam.report.plane import Plane


class Session:
    """A place in the latent space, the slice through it that is shown, and the picked examples.

    Arguments:
        explored: The run and its data.

    Example:
        >>> from reparam import data, fit, variants
        >>> digits = data.load("digits")
        >>> run = fit(variants.vae, digits, latent_dim=3, steps=20, progress=False)
        >>> session = Session(Explored(run, digits))
        >>> session.go(0.5, -0.5)
        >>> [round(v, 4) for v in session.here]
        [0.5, -0.5]
    """

    def __init__(self, explored: Explored) -> None:
        self.explored = explored
        self.label: int | None = 0 if self.takes_label else None
        self.covariates = self._covariates_of(explored.view.held.c)
        self.name, self.picked = "example 0", explored.example(0)
        self.before: Batch | None = None
        self._plane: Plane | None = None
        self._z: Tensor | None = None
        self._n_drawn = 0
        if explored.codes is not None:
            self._plane = explored.plane()
            self.pick(self.picked, self.name)
            self.before = None

    @property
    def takes_label(self) -> bool:
        """Whether the decoder is given a label that can be chosen."""
        return self.explored.run.spec.given_label or self.explored.n_label > 0

    @property
    def has_map(self) -> bool:
        """Whether there is a map of codes."""
        return self._plane is not None

    @property
    def plane(self) -> Plane:
        """The plane that is shown."""
        if self._plane is None:
            raise ValueError("codes that are discrete have no plane")
        return self._plane

    @property
    def z(self) -> Tensor:
        """The code of the place, with shape (D,)."""
        if self._z is None:
            raise ValueError("codes that are discrete have no place")
        n = self.explored.n_label
        if n == 0 or self.label is None:
            return self._z
        label = torch.nn.functional.one_hot(torch.tensor(self.label), n).to(self._z)
        return torch.cat([label, self._z[n:]])

    @property
    def here(self) -> list[float]:
        """The point of the place in the plane."""
        return self.plane.project(self.z).tolist()

    @property
    def points(self) -> Tensor:
        """The points of the examples in the plane, with shape (N, 2)."""
        codes = self.explored.codes
        return torch.zeros(0, 2) if codes is None else self.plane.project(codes)

    @property
    def condition(self) -> Tensor | None:
        """The condition that is chosen, with shape (1, C); None for a model without one."""
        spec = self.explored.run.spec
        label = self.label if spec.given_label else None
        return conditions(spec, 1, label, self.covariates or None)

    @property
    def picked_point(self) -> list[float] | None:
        """The point of the picked example in the plane."""
        return self._point_of(self.picked)

    @property
    def point_before(self) -> list[float] | None:
        """The point of the example that was picked before; None without one."""
        return self._point_of(self.before)

    def _point_of(self, example: Batch | None) -> list[float] | None:
        if example is None or not self.has_map:
            return None
        return self.plane.project(self.explored.encoded(example).float()).tolist()

    def go_to_mean(self) -> None:
        """Go to the mean of the codes."""
        codes = self.explored.codes
        if codes is not None:
            self._z = codes.mean(0)

    def draw(self) -> None:
        """Go to a new draw of z from the prior p(z | c)."""
        self._n_drawn += 1
        self._z = self.explored.drawn(self.condition, self._n_drawn)

    def show_plane(self, first: int | None = None, second: int | None = None) -> None:
        """Show the slice along two dimensions, or along the first two principal components."""
        self._plane = self.explored.plane(first, second)

    def go(self, a: float, b: float) -> None:
        """Go to a point of the slice. What is orthogonal to the plane stays."""
        self._z = self.plane.at(torch.tensor([a, b]), through=self.z)

    def set(self, dimension: int, value: float) -> None:
        """Set one entry of the code."""
        self._z = self.z.clone()
        self._z[dimension] = value

    def pick(self, example: Batch, name: str) -> None:
        """Pick an example: the place becomes its code, and the condition becomes its own.

        Arguments:
            example: The example, a batch of one.
            name: What it is called on the page.
        """
        self.before, self.picked, self.name = self.picked, example, name
        if self.has_map:
            self._z = self.explored.encoded(example).float()
        if example.c is not None:
            n = self.explored.run.spec.label_context
            self.label = int(example.c[0, :n].argmax()) if n else self.label
            self.covariates = self._covariates_of(example.c)
        if self.explored.n_label and self._z is not None:
            self.label = int(self._z[: self.explored.n_label].argmax())

    def decoded(self) -> Tensor:
        r"""Return the mean of p(x | z, c) at the place, with shape (\*shape)."""
        return self.explored.decoded(self.z, self.condition)

    def _covariates_of(self, c: Tensor | None) -> dict[str, float | str]:
        """Return the covariates of the first of some conditions, by the name of their column."""
        spec = self.explored.run.spec
        if c is None or not spec.given_covariates:
            return {}
        values = c[0, spec.label_context :].tolist()
        return chosen_of(dict(zip(spec.covariates, values, strict=True)))


def chosen_of(values: Mapping[str, float]) -> dict[str, float | str]:
    """Return covariates by the names of their columns, with the class of each one-hot column.

    Arguments:
        values: The entries of a condition by name; ``sex=F`` is an entry of a one-hot column.

    Example:
        >>> chosen_of({"age": 40.0, "sex=F": 0.0, "sex=M": 1.0})
        {'age': 40.0, 'sex': 'M'}
    """
    found: dict[str, float | str] = {}
    largest: dict[str, float] = {}
    for name, value in values.items():
        column, is_class, label = name.partition("=")
        if not is_class:
            found[name] = value
        elif value > largest.get(column, float("-inf")):
            largest[column], found[column] = value, label
    return found


def classes_of(covariates: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the classes of each column of covariates; none for a column of numbers.

    Example:
        >>> classes_of(("age", "sex=F", "sex=M"))
        {'age': [], 'sex': ['F', 'M']}
    """
    found: dict[str, list[str]] = {}
    for name in covariates:
        column, is_class, label = name.partition("=")
        found.setdefault(column, [])
        if is_class:
            found[column].append(label)
    return found

"""The state of one page of an explorer: a place, a condition, and the examples that are picked."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.data.condition import conditions
from reparam.explorer.explored import Explored
from reparam.report.plane import Plane


@dataclass(frozen=True)
class Pick:
    """An example that was picked.

    Arguments:
        example: The example, a batch of one.
        name: What it is called on the page.
        z: The mean of q(z | x, c), with shape (D,); None where there is no map.
        number: Its number among the examples of the map; None for one of the user's own.
    """

    example: Batch
    name: str
    z: Tensor | None = None
    number: int | None = None


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
        self.covariates = self._covariates_of(explored.view.shown.c)
        self._plane: Plane | None = None if explored.codes is None else explored.plane()
        self._z: Tensor | None = None
        self._n_drawn = 0
        self.before: Pick | None = None
        self.picked = Pick(explored.example(0), "")
        # Two examples, so that there is something to see between them.
        for number in reversed(range(min(2, explored.n_examples))):
            self.pick_number(number)

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

    def point_of(self, pick: Pick | None) -> list[float] | None:
        """Return the point of a picked example in the plane; None where there is none."""
        return None if pick is None or pick.z is None else self.plane.project(pick.z).tolist()

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

    def pick_number(self, number: int) -> None:
        """Pick an example of the map by its number."""
        y, names = self.explored.view.shown.y, self.explored.view.class_names
        label = -1 if y is None else int(y[number])
        name = f"example {number}" + (f", class {names[label]}" if label >= 0 else "")
        self.pick(self.explored.example(number), name, number)

    def pick(self, example: Batch, name: str, number: int | None = None) -> None:
        """Pick an example: the place becomes its code, and the condition becomes its own.

        Arguments:
            example: The example, a batch of one.
            name: What it is called on the page.
            number: Its number among the examples of the map; None for one of the user's own.
        """
        z = self.explored.encoded(example).float() if self.has_map else None
        self.before = self.picked if self.picked.name else None
        self.picked, self._z = Pick(example, name, z, number), z
        spec, n_label = self.explored.run.spec, self.explored.n_label
        if example.c is not None:
            if spec.given_label:
                self.label = int(example.c[0, : spec.label_context].argmax())
            self.covariates = self._covariates_of(example.c)
        if z is not None and n_label:
            self.label = int(z[:n_label].argmax())

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

"""What the pages of an explorer share: a run, its codes, and what the model says of examples."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from reparam.batch import Batch, to_device
from reparam.data import Dataset, Stream
from reparam.divergence import is_direction, is_real
from reparam.evaluation.conditionals import Imputation
from reparam.evaluation.latents.activity import interpolate
from reparam.evaluation.likelihood.importance import ImportanceSample, importance_sample
from reparam.isolation import isolated
from reparam.models.label_inference import LabelEncoder
from reparam.models.latent import LatentModel
from reparam.objectives.corruption import Corruption
from reparam.report.plane import Plane, coordinate_plane, principal_plane
from reparam.report.view import View
from reparam.runs.run import Run
from reparam.utils.seeding import seeded

N_POINTS, N_DIMENSIONS = 1000, 8
"""The largest numbers of points of the map, and of dimensions that have a slider."""

N_IMPORTANCE, N_IMPUTED, N_DRAWS = 200, 1000, 500
"""The numbers of draws of z behind log p(x) and behind an imputed row, and of rows given a row."""

REACH = 3.0
"""The ends of a slider, in standard deviations of the codes from their mean."""


@dataclass(frozen=True)
class Explored:
    """A run and its data, with what is computed of them once for all pages.

    Every result has a fixed seed, so that the same place and the same example look the same again.

    Arguments:
        run: The run.
        data: Its data.
        seed: The seed of every draw.

    Raises:
        OptionError: A model without latent variables.

    Example:
        >>> from reparam import data, fit, variants
        >>> digits = data.load("digits")
        >>> run = fit(variants.vae, digits, latent_dim=3, steps=20, progress=False)
        >>> explored = Explored(run, digits)
        >>> explored.decoded(explored.plane(0, 2).origin).shape
        torch.Size([1, 8, 8])
    """

    run: Run
    data: Dataset | Stream
    seed: int = 0

    def __post_init__(self) -> None:
        self.model  # noqa: B018

    @cached_property
    def view(self) -> View:
        """The examples of the run and their codes, as a report shows them."""
        return View(self.run, self.data, seed=self.seed)

    @property
    def model(self) -> LatentModel:
        """The model."""
        return self.run.latent_model

    @cached_property
    def n_examples(self) -> int:
        """The number of examples that can be picked."""
        return min(N_POINTS, len(self.view.shown))

    def example(self, number: int) -> Batch:
        """Return an example of the map as a batch of one."""
        shown, place = self.view.shown, slice(number, number + 1)
        y = None if shown.y is None else shown.y[place]
        return Batch(shown.x[place], y, None if shown.c is None else shown.c[place])

    @cached_property
    def on_sphere(self) -> bool:
        """Whether codes are unit vectors."""
        return self._posterior_is("direction")

    def _posterior_is(self, kind: str) -> bool:
        first = self.example(0)
        with isolated(self.model, seed=self.seed) as device:
            moved = to_device(first, device)
            q = self.model.posterior(moved.x, moved.c)
            return is_direction(q) if kind == "direction" else is_real(q)

    @cached_property
    def codes(self) -> Tensor | None:
        """The codes of the examples, with shape (N, D); None where a place has no meaning.

        Codes of a codebook, and discrete ones, have nothing between them.
        """
        if not (self.on_sphere or self._posterior_is("real")):
            return None
        found = self.view.codes
        return None if found is None or len(found) < 2 else found[: self.n_examples].float()

    @property
    def n_label(self) -> int:
        """The number of first entries of z that are the one-hot label; 0 where none are."""
        encoder = self.model.encoder
        return int(encoder.sizes[0]) if isinstance(encoder, LabelEncoder) else 0

    @cached_property
    def colorings(self) -> dict[str, tuple[list[str], list[int]]]:
        """What points can be colored by: names of classes, and the class of each example.

        These are the labels, and the columns of classes of a table; -1 stands for no class.
        """
        view, n, schema = self.view, self.n_examples, self.run.spec.schema
        found: dict[str, tuple[list[str], list[int]]] = {}
        if view.shown.y is not None:
            found["label"] = (view.class_names, view.shown.y[:n].tolist())
        for j, column in enumerate(() if schema is None else schema.features):
            if column.is_class:
                labels = view.shown.x[:n, j].nan_to_num(-1).long().tolist()
                found[column.name] = ([str(v) for v in column.values], labels)
        return found

    @cached_property
    def dimensions(self) -> list[int]:
        """The latent dimensions whose codes vary, from the most active one on."""
        codes = self.codes
        if codes is None:
            return []
        variance = codes.var(0)
        variance[: self.n_label] = 0
        order = variance.argsort(descending=True).tolist()
        return [j for j in order if float(variance[j]) > 0]

    def reach(self, dimension: int) -> tuple[float, float]:
        """Return the ends of the slider of a dimension."""
        codes = self._require_codes()[:, dimension]
        middle, spread = float(codes.mean()), REACH * float(codes.std())
        return middle - spread, middle + spread

    def plane(self, first: int | None = None, second: int | None = None) -> Plane:
        """Return the plane of two dimensions, or of the first two principal components.

        Arguments:
            first: The dimension to the right; None for the principal components.
            second: The dimension upwards.
        """
        codes = self._require_codes()
        if first is None or second is None:
            free = codes.clone()
            free[:, : self.n_label] = free[:, : self.n_label].mean(0)  # a label is no direction
            return principal_plane(free)
        return coordinate_plane(codes, first, second)

    def _require_codes(self) -> Tensor:
        codes = self.codes
        if codes is None:
            raise ValueError("codes that are discrete have no plane")
        return codes

    def on_space(self, z: Tensor) -> Tensor:
        """Return codes as the decoder expects them: on the unit sphere where codes lie there."""
        return torch.nn.functional.normalize(z, dim=-1) if self.on_sphere else z

    def encoded(self, example: Batch) -> Tensor:
        """Return the mean of q(z | x, c) of one example, with shape (D,)."""
        return self.run.encode(example, seed=self.seed)[0]

    def decoded(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        r"""Return the mean of p(x | z, c), with shape (\*shape).

        Arguments:
            z: A code, with shape (D,).
            c: Its condition, with shape (1, C).
        """
        return self.view.decoded(self.on_space(z)[None], c)[0]

    def drawn(self, c: Tensor | None = None, number: int = 0) -> Tensor:
        """Return a draw of z from the prior, with shape (D,).

        Arguments:
            c: The condition, with shape (1, C).
            number: The number of the draw; each has its own seed.
        """
        with isolated(self.model, seed=self.seed + number) as device:
            given = None if c is None else c.to(device)
            return self.model.draw_prior(1, given)[0].float().cpu()

    def reconstructed(self, example: Batch) -> Tensor:
        r"""Return the mean of p(x | z, c) at the mean of q(z | x, c), with shape (\*shape)."""
        return self.run.reconstruct(example, seed=self.seed)[0]

    def account(self, example: Batch, n_samples: int = N_IMPORTANCE) -> ImportanceSample:
        """Return log p(x) of one example and the parts of its ELBO, in nats.

        Arguments:
            example: The example.
            n_samples: The number of draws of z.
        """
        with isolated(self.model, seed=self.seed) as device:
            moved = to_device(example, device)
            x = self.model.as_event(moved.x)
            return importance_sample(self.model, x, moved.c, n_samples)

    def path(self, start: Batch, stop: Batch, n_steps: int) -> Tensor:
        r"""Return the decoded points between the codes of two examples, with shape (T, \*shape).

        The condition is interpolated as the code is.

        Arguments:
            start: The example at the beginning.
            stop: The example at the end.
            n_steps: The number of points T, with the ends.
        """
        ends = [self.encoded(example)[None].float() for example in (start, stop)]
        z = interpolate(ends[0], ends[1], n_steps, on_sphere=self.on_sphere)[0]
        c = None
        if start.c is not None and stop.c is not None:
            c = interpolate(start.c, stop.c, n_steps)[0]
        return self.view.decoded(z, c)

    def denoised(self, example: Batch, noise: Corruption) -> tuple[Tensor, Tensor]:
        r"""Return an example with noise, and its reconstruction, both with shape (\*shape)."""
        with seeded(torch.device("cpu"), self.seed):
            noisy = noise(example.x)
        return noisy[0], self.run.denoise(replace(example, x=noisy))[0]

    def imputed(self, row: Batch) -> Imputation:
        """Return values for the entries of one row that are NaN, with 90 % intervals and draws."""
        return self.run.impute(row, n_samples=N_IMPUTED, n_draws=N_DRAWS, seed=self.seed)

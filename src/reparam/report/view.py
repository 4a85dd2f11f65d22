"""What a report shows of a run, computed once: examples, codes, figures and findings."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Categorical

from reparam.batch import Batch, in_chunks, to_device
from reparam.data import Dataset, Stream
from reparam.data.condition import conditions
from reparam.data.vocabulary import Vocabulary, vocabulary_of
from reparam.diagnostics import Diagnosis, examine
from reparam.diagnostics.context import N_EXAMPLES as N_DIAGNOSED
from reparam.distributions import MixedRow
from reparam.errors import DataError, ReparamError
from reparam.evaluation import Evaluation
from reparam.evaluation.copies import drawn_like
from reparam.evaluation.trained import TrainedRun, random_examples
from reparam.isolation import isolated
from reparam.models.latent import LatentModel, as_latent
from reparam.report.facts import generates, latent_model_of, variant_of

N_EXAMPLES, N_SEQUENCES = 2000, 300
"""The largest number of examples of each split; of sequences, each token of which is a pass of the
decoder."""

USUAL_DIM, LEAST = 3072, 200
"""The largest examples of which there are as many, such as 3 × 32 × 32; of larger ones there are
fewer in proportion, but at least 200."""

FEW_SHOWN = 50
"""Fewer held-out examples are too few for a map or a distribution: training examples are shown."""

_CHUNK = 500


@dataclass(frozen=True)
class View:
    """A run, and what is computed of it for its report.

    Arguments:
        run: The run.
        source: Its data; None where they are gone.
        gone: Why the data are gone; "" where they are there.
        n_samples: The number of importance samples of the figures.
        seed: The seed of every draw.
        n_runs: The number of runs that share the page.
    """

    run: TrainedRun
    source: Dataset | Stream | None
    gone: str = ""
    n_samples: int = 100
    seed: int = 0
    n_runs: int = 1

    @property
    def data(self) -> Dataset | Stream:
        """The data of the run.

        Raises:
            DataError: They are gone.
        """
        if self.source is None:
            raise DataError(self.gone)
        return self.source

    @property
    def name(self) -> str:
        """The folder of the run, or its variant."""
        return self.variant if self.run.folder is None else self.run.folder.path.name

    @property
    def variant(self) -> str:
        """The variant of the run, or the class of its model."""
        return variant_of(self.run)

    @property
    def held_name(self) -> str:
        """The split that figures come from: test, validation or train."""
        splits = ("test", "validation", "train")
        return next(name for name in splits if name in self.data.splits)

    @property
    def shown_name(self) -> str:
        """The split that codes and distributions come from: that of the figures, or else train."""
        return self.held_name if len(self.held) >= FEW_SHOWN else "train"

    @cached_property
    def latent(self) -> LatentModel | None:
        """The model, if it has latent variables."""
        return latent_model_of(self.run)

    @property
    def generates(self) -> bool:
        """Whether the model has latent variables, and a prior to draw them from."""
        return generates(self.run)

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        """The map from text to tokens, of a run on text."""
        return vocabulary_of(self.run.config.get("recorded", {}).get("data"))

    @cached_property
    def held(self) -> Batch:
        """Random examples of the split ``held_name``."""
        return self.some(self.held_name)

    @cached_property
    def shown(self) -> Batch:
        """Random examples of the split ``shown_name``."""
        return self.held if self.shown_name == self.held_name else self.train

    @cached_property
    def train(self) -> Batch:
        """Random training examples."""
        return self.some("train")

    @cached_property
    def class_names(self) -> list[str]:
        """The names of the classes of the labels, or their numbers; empty without labels."""
        labels = [each.y for each in (self.train, self.shown, self.held) if each.y is not None]
        largest = max((int(y.max()) for y in labels), default=-1)
        n = max(self.run.spec.n_classes or 0, largest + 1) if labels else 0
        return list(self.data.class_names) or [str(k) for k in range(n)]

    @property
    def n_examples(self) -> int:
        """The largest number of examples of each split."""
        if self.vocabulary is not None:
            return N_SEQUENCES
        return max(LEAST, round(N_EXAMPLES * min(1.0, USUAL_DIM / self.run.spec.dim)))

    def some(self, split: str, n: int | None = None) -> Batch:
        """Return n random examples of a split, ``n_examples`` when None, or all."""
        n = self.n_examples if n is None else n
        return random_examples(self.run, self.data, split, n, self.seed)

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """The figures: those that the folder keeps, or else those of the held-out examples.

        None where no figures are kept and the data are gone.
        """
        kept = self.run.kept_evaluation()
        if kept is not None or self.source is None:
            return kept
        return self.measured

    @cached_property
    def measured(self) -> Evaluation:
        """The figures of the held-out examples, measured now."""
        found = self.run.evaluate(
            self.held,
            split=self.held_name,
            n_samples=self.n_samples,
            seed=self.seed,
            keep=False,
        )
        return found.with_facts(split=self.held_name, data=self.data.name)

    @cached_property
    def diagnosis(self) -> Diagnosis | str:
        """The findings of the doctor, or why there are none."""
        try:
            most = N_DIAGNOSED * self.n_examples // N_EXAMPLES
            return examine(self.run, self.data, n_examples=most, seed=self.seed)
        except ReparamError as error:
            return str(error)

    @cached_property
    def codes(self) -> Tensor | None:
        """The means of q(z | x) of the examples ``shown``, with shape (N, D); None without any."""
        return self.encoded(self.shown)

    def encoded(self, batch: Batch) -> Tensor | None:
        """Return the posterior means of examples, with shape (N, D); None for other codes."""
        model = self.latent
        if model is None:
            return None
        with isolated(model, seed=self.seed) as device:
            moved = (to_device(part, device) for part in in_chunks(batch, _CHUNK))
            found = torch.cat([model.encode(part.x, part.c).cpu() for part in moved])
        return found.double() if found.dim() == 2 and found.is_floating_point() else None

    @cached_property
    def active(self) -> list[int]:
        """The latent dimensions, those whose codes vary most first; none without codes."""
        codes = self.codes
        return [] if codes is None else codes.var(0).argsort(descending=True).tolist()

    @property
    def reconstructs(self) -> bool:
        """Whether there are codes that vary, of three examples or more."""
        codes = self.codes
        return codes is not None and len(codes) > 2 and float(codes.var(0).sum()) > 0

    def decoded(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the means of p(x | z), with shape (N, *shape)."""
        model = as_latent(self.run.model)
        with isolated(model, seed=self.seed) as device:
            given = None if c is None else c.to(device)
            found = model.decode(z.float().to(device), given).cpu()
        return found.reshape(-1, *self.run.spec.shape)

    def class_probabilities(self, z: Tensor, c: Tensor | None = None) -> dict[int, Tensor]:
        """Return p(x_j | z) of the columns j that are classes, each with shape (N, K)."""
        model = as_latent(self.run.model)
        with isolated(model, seed=self.seed) as device:
            p = model.likelihood(z.float().to(device), None if c is None else c.to(device))
            parts = p.parts if isinstance(p, MixedRow) else ()
            return {
                place: one.distribution.probs[..., i, :].double().cpu()
                for one in parts
                if isinstance(one.distribution, Categorical)
                for i, place in enumerate(one.places.tolist())
            }

    def sampled(self, n: int, *, mean: bool) -> Tensor:
        """Return examples that the model draws, with shape (N, *shape)."""
        model = as_latent(self.run.model)
        spec = self.run.spec
        # The covariates of the examples, or the classes, in turn.
        c = self.shown.c if spec.given_covariates else conditions(spec, n)
        return drawn_like(model, spec, n, c, mean=mean, seed=self.seed)

"""What a report shows of a run, computed once: examples, codes, figures and findings."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from reparam.batch import Batch, in_chunks, to_device
from reparam.data import Dataset, Stream
from reparam.data.condition import conditions
from reparam.data.vocabulary import Vocabulary, vocabulary_of
from reparam.diagnostics import Diagnosis, examine
from reparam.errors import ReparamError
from reparam.evaluation import Evaluation
from reparam.evaluation.trained import TrainedRun
from reparam.isolation import isolated
from reparam.models.latent import LatentModel, as_latent
from reparam.report.facts import generates, latent_model_of, variant_of

N_EXAMPLES = 2000
"""The largest number of examples of each split."""

_CHUNK = 500


@dataclass(frozen=True)
class View:
    """A run, and what is computed of it for its report.

    Arguments:
        run: The run.
        data: Its data.
        n_samples: The number of importance samples of the figures.
        seed: The seed of every draw.
    """

    run: TrainedRun
    data: Dataset | Stream
    n_samples: int = 100
    seed: int = 0

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
        """The split that figures and pictures come from: test, validation or train."""
        splits = ("test", "validation", "train")
        return next(name for name in splits if name in self.data.splits)

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
    def train(self) -> Batch:
        """Random training examples."""
        return self.some("train")

    @cached_property
    def class_names(self) -> list[str]:
        """The names of the classes of the labels, or their numbers; empty without labels."""
        y = self.held.y
        numbered = [] if y is None else [str(k) for k in range(int(y.max()) + 1)]
        return list(self.data.class_names) or numbered

    def some(self, split: str) -> Batch:
        """Return random examples of a split."""
        if not isinstance(self.data, Dataset):
            return self.data.examples(split, self.seed, limit=N_EXAMPLES)
        return self.data.some(split, N_EXAMPLES, self.seed).examples("train", self.seed)

    @cached_property
    def evaluation(self) -> Evaluation:
        """The figures: those that the folder keeps, or else those of the held-out examples."""
        kept = self.run.kept_evaluation()
        if kept is not None:
            return kept
        return self.run.evaluate(
            self.held,
            split=self.held_name,
            n_samples=self.n_samples,
            seed=self.seed,
            keep=False,
        )

    @cached_property
    def diagnosis(self) -> Diagnosis | str:
        """The findings of the doctor, or why there are none."""
        try:
            return examine(self.run, self.data, seed=self.seed)
        except ReparamError as error:
            return str(error)

    @cached_property
    def codes(self) -> Tensor | None:
        """The means of q(z | x) of the held-out examples, with shape (N, D); None without any."""
        return self.encoded(self.held)

    def encoded(self, batch: Batch) -> Tensor | None:
        """Return the posterior means of examples, with shape (N, D); None for other codes."""
        model = self.latent
        if model is None:
            return None
        with isolated(model, seed=self.seed) as device:
            moved = (to_device(part, device) for part in in_chunks(batch, _CHUNK))
            found = torch.cat([model.encode(part.x, part.c).cpu() for part in moved])
        return found.double() if found.dim() == 2 and found.is_floating_point() else None

    def decoded(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the means of p(x | z), with shape (N, *shape)."""
        model = as_latent(self.run.model)
        with isolated(model, seed=self.seed) as device:
            given = None if c is None else c.to(device)
            found = model.decode(z.float().to(device), given).cpu()
        return found.reshape(-1, *self.run.spec.shape)

    def sampled(self, n: int, *, mean: bool) -> Tensor:
        """Return examples that the model draws, with shape (N, *shape)."""
        model = as_latent(self.run.model)
        if self.run.spec.given_covariates and self.held.c is not None:
            c: Tensor | None = self.held.c[torch.arange(n) % len(self.held.c)]
        else:
            c = conditions(self.run.spec, n)  # the labels in turn
        with isolated(model, seed=self.seed) as device:
            found = model.sample(n, None if c is None else c.to(device), mean=mean).cpu()
        return found.reshape(-1, *self.run.spec.shape)

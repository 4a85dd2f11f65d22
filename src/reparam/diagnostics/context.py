"""A run under examination: examples of it, and what its model makes of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from reparam.batch import Batch, in_chunks, to_device
from reparam.data import Dataset, Stream
from reparam.diagnostics.sample import Sample, sample_of
from reparam.evaluation.likelihood.importance import NO_DENSITY, Figures, importance_sample
from reparam.isolation import isolated
from reparam.models.latent import LatentModel, as_latent, is_latent
from reparam.objectives import ELBO
from reparam.objectives.bounds import value_at
from reparam.runs.config import recipe_of
from reparam.runs.run import Run

N_EXAMPLES = 1000
"""Examples of each split: the standard error of a mean over them is 3 % of their spread."""
N_DRAWS = 4
"""Draws from the posterior of each: what they add to that error is small beside it."""
SETTLING = 0.05
"""The share of all steps that a new phase of training takes until its loss falls again."""
WORK = 6e10
"""About how many operations a check may give the decoder: seconds of one core."""
HIGH_LR = 0.01
"""From here on Adam costs a perceptron on MNIST nats, and ten times as much leaves it dead."""
FEWEST = 8
"""Examples that a check looks at however slow the decoder is; fewer have no standard error."""
_CHUNK = 100
_BEGINNINGS = ("pretraining", "start")


@dataclass(frozen=True)
class Measured:
    """What a model makes of N examples, in nats with shape (N,), float64 on the CPU.

    Arguments:
        reconstruction: E_q[log p(x | z)].
        kl: KL(q(z | x)‖p(z)); NaN where the code has no density.
        kl_per_dimension: Its parts, with shape (N, D), where they exist.
        kl_groups: Its parts by layer of a hierarchy.
        means: Posterior means, with shape (N, D).
        indices: The numbers of quantized codes, with shape (N, P); None for other codes.
        has_density: Whether there is a KL at all.
    """

    reconstruction: Tensor
    kl: Tensor
    kl_per_dimension: Tensor | None
    kl_groups: dict[str, Tensor]
    means: Tensor
    indices: Tensor | None
    has_density: bool

    @property
    def elbo(self) -> Tensor:
        """The evidence lower bound, with shape (N,)."""
        return self.reconstruction - self.kl


@dataclass(frozen=True)
class Context:
    """A run, and examples to examine it on.

    Arguments:
        run: The run.
        train: Examples that it was trained on.
        held: Examples that it was not trained on; None where there are none.
        held_name: The split of these.
        objective: What it was trained with; None where that is not known.
        sample: What is seen of the data.
        last_phase: The share of all steps at which the last phase of its training began.
        seed: Of every draw.
    """

    run: Run
    train: Batch
    held: Batch | None
    held_name: str
    objective: Any
    sample: Sample
    last_phase: float = 0.0
    seed: int = 0

    @property
    def model(self) -> nn.Module:
        """The model."""
        return self.run.model

    @property
    def latent(self) -> LatentModel | None:
        """The model, where it has latent variables."""
        return as_latent(self.model) if is_latent(self.model) else None

    @property
    def beta(self) -> float | None:
        """The KL's weight in the end, where a plain ELBO was maximized; None where another was."""
        if not isinstance(self.objective, ELBO) or self.objective.free_bits > 0:
            return None
        return float(value_at(self.objective.beta, None))

    @property
    def unseen(self) -> Batch:
        """The held-out examples; those of training where there are none."""
        return self.train if self.held is None else self.held

    @cached_property
    def on_train(self) -> Measured | None:
        """What the model makes of the training examples."""
        return None if self.latent is None else measured(self.latent, self.train, self.seed)

    @cached_property
    def on_held(self) -> Measured | None:
        """What the model makes of the held-out examples."""
        if self.latent is None or self.held is None:
            return None
        return measured(self.latent, self.held, self.seed)

    @property
    def on_unseen(self) -> Measured | None:
        """What it makes of the held-out examples; of those of training where there are none."""
        return self.on_train if self.held is None else self.on_held

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The training rows of the last phase, once it has settled."""
        rows = [row for row in self.run.rows if row.get("split") == "train" and "loss" in row]
        if not rows or self.last_phase == 0:
            return rows
        begin = min(self.last_phase + SETTLING, 1.0) * int(rows[-1]["step"])
        return [row for row in rows if int(row["step"]) > begin]

    def affordable(self, most: int, draws: int) -> int:
        """Return for how many examples, at most, so many draws each can be decoded in seconds."""
        if self.latent is None or self._operations == 0:
            return most
        return max(FEWEST, min(most, int(WORK / (self._operations * draws))))

    @cached_property
    def _operations(self) -> int:
        """How many operations the decoder needs for one draw of one example."""
        if self.latent is None:
            return 0
        with isolated(self.latent, seed=self.seed) as device:
            one = to_device(next(in_chunks(self.unseen, 1)), device)
            z = self.latent.posterior(one.x, one.c).sample(torch.Size([1]))
            with FlopCounterMode(display=False) as counter:
                self.latent.likelihood(z, one.c).log_prob(self.latent.as_event(one.x))
        return counter.get_total_flops()


def patient_of(
    run: Run,
    data: Dataset | Stream,
    objective: Any = None,
    n_examples: int = N_EXAMPLES,
    seed: int = 0,
) -> Context:
    """Return a run as a patient.

    Arguments:
        run: The run.
        data: Its data; a split ``validation`` is looked at before the test split.
        objective: What it was trained with, for a model composed by hand.
        n_examples: At most so many random examples of each split.
        seed: Of their choice and of every draw.
    """
    held_name = next((name for name in ("validation", "test") if name in data.splits), "")
    train = examples(run, data, "train", n_examples, seed)
    held = examples(run, data, held_name, n_examples, seed) if held_name else None
    last_phase = 0.0
    if objective is None and run.config.get("variant"):
        recipe = recipe_of(run.config, run.spec)
        objective = recipe.objective
        # What is done to the model on the way, and objectives that begin as another.
        last_phase = max((milestone.at for milestone in recipe.milestones), default=0.0)
    last_phase = max(last_phase, *(getattr(objective, name, 0.0) for name in _BEGINNINGS))
    if isinstance(data, Dataset):
        sample = sample_of(data, train.x)
    else:
        sample = Sample(train.x, run.spec.support, run.spec)
    return Context(run, train, held, held_name, objective, sample, last_phase, seed)


def examples_of(data: Dataset, split: str, n: int, seed: int) -> Batch:
    """Return at most n random examples of a split, under one draw of the transform."""
    return chosen(data, split, n, seed).examples("train", seed)


def chosen(data: Dataset, split: str, n: int, seed: int) -> Dataset:
    """Return a data set whose training split is n random examples of a split."""
    stored = data.splits[split]
    order = torch.randperm(len(stored), generator=torch.Generator().manual_seed(seed))
    return replace(data, splits={"train": stored.take(order[:n])})


def examples(run: Run, data: Dataset | Stream, split: str, n: int, seed: int) -> Batch:
    """Return random examples of a split, prepared for the model; the first ones of a stream."""
    if isinstance(data, Dataset):
        return run.examples(chosen(data, split, n, seed), "train", seed)
    return run.examples(data, split, seed, limit=n)


@contextmanager
def events(
    model: LatentModel, batch: Batch, seed: int
) -> Iterator[Iterator[tuple[Tensor, Tensor | None]]]:
    """Hold a model in evaluation mode, with examples and their conditions chunk by chunk.

    Arguments:
        model: The model.
        batch: The examples, wherever they are.
        seed: Of every draw inside.

    Returns:
        A context whose value are pairs of x, with shape (B, *event), and c, with shape (B, C).
    """
    with isolated(model, seed=seed) as device:
        parts = (to_device(part, device) for part in in_chunks(batch, _CHUNK))
        yield ((model.as_event(part.x), part.c) for part in parts)


def measured(model: LatentModel, batch: Batch, seed: int) -> Measured:
    """Return what a model makes of a batch, wherever it is."""
    figures: list[Figures] = []
    means: list[Tensor] = []
    with events(model, batch, seed) as parts:
        for x, c in parts:
            figures.append(importance_sample(model, x, c, N_DRAWS))
            means.append(model.encode(x, c).flatten(1).cpu().double())
    first = figures[0]
    per_dimension = [f.kl_per_dimension for f in figures if f.kl_per_dimension is not None]
    indices = [f.indices for f in figures if f.indices is not None]
    return Measured(
        reconstruction=torch.cat([f.reconstruction for f in figures]),
        kl=torch.cat([f.kl for f in figures]),
        kl_per_dimension=torch.cat(per_dimension) if per_dimension else None,
        kl_groups={k: torch.cat([f.kl_groups[k] for f in figures]) for k in first.kl_groups},
        means=torch.cat(means),
        indices=torch.cat(indices) if indices else None,
        has_density=first.kl_method != NO_DENSITY,
    )


def option(patient: Context, name: str) -> Any:
    """Return an option of a run; None where it has none of this name."""
    return patient.run.config.get(name)


def is_ours(objective: Any) -> bool:
    """Return whether an objective is one of the library's, whose terms are what they are called."""
    return type(objective).__module__.startswith("reparam.")


def lower_lr(patient: Context) -> str:
    """Return a lower learning rate than that of the run, as an option."""
    lr = float(option(patient, "lr") or 0.0)
    return f"--lr {lr / (10 if lr > HIGH_LR else 3):.1g}" if lr else "a lower learning rate"


def free_bits(patient: Context) -> float:
    """Return the nats that free bits leave to each dimension; 0 where there are none."""
    return float(getattr(patient.objective, "free_bits", 0.0))


def longer_warmup(patient: Context) -> str:
    """Return a number of epochs of KL warm-up that is longer than that of the run."""
    epochs = float(option(patient, "epochs") or 10)
    before = float(option(patient, "kl_warmup") or 0.0)
    return f"{min(epochs, max(2 * before, epochs / 2)):g}"

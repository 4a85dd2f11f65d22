"""The context of the checks of a run: examples, and the figures of its model on them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from reparam.batch import Batch, in_chunks
from reparam.data import Dataset, Stream
from reparam.diagnostics.data import Sample, sample_of
from reparam.diagnostics.finding import NO_KL, NO_LATENT, UNKNOWN_OBJECTIVE, NotApplicable
from reparam.evaluation.context import Context
from reparam.evaluation.trained import TrainedRun, random_examples
from reparam.families import Family
from reparam.models.conditional import family_of
from reparam.models.latent import LatentModel, as_latent, is_latent, standardization_of
from reparam.objectives import ELBO, Objective
from reparam.objectives.bounds import value_at
from reparam.objectives.clustering_elbo import ClusteringELBO
from reparam.objectives.semi_supervised import Stacked

N_EXAMPLES = 1000
"""Examples of each split: the standard error of a mean over them is 3 % of their spread."""
N_DRAWS = 4
"""Draws from the posterior of each: they add little to that error."""
SETTLING = 0.05
"""The share of all steps that a new phase of training takes until its loss falls again."""
WORK = 6e10
"""The approximate number of operations of a check in the decoder: seconds on one core."""
HIGH_LR = 0.01
"""Above this rate an MLP on MNIST loses nats with Adam; at ten times it, its units die."""
FEWEST = 8
"""The least number of examples of a check with a slow decoder."""
_CHUNK = 100


@dataclass(frozen=True)
class DiagnosticContext:
    """A run, and examples to check it on.

    Arguments:
        run: The run.
        train: Examples that it was trained on.
        held: Examples that it was not trained on; None where there are none.
        held_name: The split of these.
        objective: The objective that it was trained with; None where that is not known.
        sample: A sample of the data.
        last_phase: The share of all steps at which the last phase of its training began.
        seed: The seed of every draw.
        more: A function from a number to as many training examples.
    """

    run: TrainedRun
    train: Batch
    held: Batch | None
    held_name: str
    objective: Objective | None
    sample: Sample
    last_phase: float = 0.0
    seed: int = 0
    more: Callable[[int], Batch] | None = None

    @cached_property
    def latent(self) -> LatentModel:
        """The model, where it has latent variables; else the check does not apply."""
        if not is_latent(self.run.model):
            raise NotApplicable(NO_LATENT)
        return as_latent(self.run.model)

    @property
    def unseen(self) -> Batch:
        """The held-out examples; those of training where there are none."""
        return self.train if self.held is None else self.held

    @cached_property
    def on_train(self) -> Context:
        """The figures of the training examples."""
        return self.on(self.train)

    @cached_property
    def on_unseen(self) -> Context:
        """The figures of the held-out examples; of those of training where there are none."""
        return self.on_train if self.held is None else self.on(self.held)

    def on(self, batch: Batch, n_samples: int = N_DRAWS) -> Context:
        """Return a context of examples; the check does not apply to a model without latents."""
        return Context(
            self.latent, batch, self.run.spec, n_samples=n_samples, seed=self.seed, block=_CHUNK
        )

    def with_density(self, context: Context) -> Context:
        """Return a context whose codes have a density; else the check does not apply."""
        if not context.draws.has_density:
            raise NotApplicable(NO_KL)
        return context

    def with_objective(self) -> Objective:
        """Return the objective, where it is known; else the check does not apply."""
        if self.objective is None:
            raise NotApplicable(UNKNOWN_OBJECTIVE)
        return self.objective

    @property
    def beta(self) -> float | None:
        """The last weight of the KL of a plain ELBO; None for another objective."""
        if not isinstance(self.objective, ELBO) or self.free_bits > 0:
            return None
        return float(value_at(self.objective.beta, None))

    @property
    def free_bits(self) -> float:
        """The nats that free bits leave to each dimension; 0 where there are none."""
        return self.objective.free_bits if isinstance(self.objective, ELBO) else 0.0

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The training rows of the last phase, once it has settled."""
        rows = [row for row in self.run.rows if row.get("split") == "train" and "loss" in row]
        if not rows or self.last_phase == 0:
            return rows
        begin = min(self.last_phase + SETTLING, 1.0) * int(rows[-1]["step"])
        return [row for row in rows if int(row["step"]) > begin]

    def affordable(self, most: int, draws: int) -> int:
        """Return the number of examples, at most ``most``, whose draws are decoded in seconds."""
        if self._operations == 0:
            return most
        return max(FEWEST, min(most, int(WORK / (self._operations * draws))))

    @cached_property
    def _operations(self) -> int:
        """The number of operations of the decoder for one draw of one example."""

        def operations(one: Batch) -> int:
            z = self.latent.posterior(one.x, one.c).sample(torch.Size([1]))
            with FlopCounterMode(display=False) as counter:
                self.latent.likelihood(z, one.c).log_prob(one.x)
            return int(counter.get_total_flops())

        return self.on(next(in_chunks(self.unseen, 1))).each(operations, seed=self.seed)[0]

    def option(self, name: str) -> Any:
        """Return an option of the run; None where it has none of this name."""
        return self.run.config.get(name)

    @property
    def families(self) -> tuple[Family | None, Family | None]:
        """The families of the encoder and the decoder; None for a user's modules."""
        return family_of(self.latent.encoder), family_of(self.latent.decoder)

    @property
    def lower_lr(self) -> str:
        """A lower learning rate than that of the run."""
        lr = float(self.option("lr") or 0.0)
        return f"lr={lr / (10 if lr > HIGH_LR else 3):.1g}" if lr else "a lower learning rate"

    @property
    def longer(self) -> str:
        """A longer training than that of the run, by the option that set its length."""
        epochs, budget = self.option("epochs"), self.option("budget")
        if epochs:
            return f"epochs={2 * int(epochs)}"
        if budget:
            return f"a longer budget= than {budget}"
        steps = max((int(row["step"]) for row in self.run.rows), default=0)
        return f"steps={2 * steps}" if steps else "more steps="

    @property
    def width(self) -> str:
        """The option of the run that sets the size of its layers; "" where it has none."""
        names = ("hidden", "channels", "width")
        return next((f"{name}=" for name in names if self.option(name)), "")

    @property
    def longer_warmup(self) -> str:
        """A longer warm-up of the KL than that of the run, in epochs."""
        epochs = float(self.option("epochs") or 10)
        before = float(self.option("kl_warmup") or 0.0)
        return f"kl_warmup={min(epochs, max(2 * before, epochs / 2)):g}"


def diagnostic_context(
    run: TrainedRun,
    data: Dataset | Stream,
    objective: Objective | None = None,
    n_examples: int = N_EXAMPLES,
    seed: int = 0,
) -> DiagnosticContext:
    """Return the context of a run for the checks.

    Arguments:
        run: The run.
        data: Its data; a split ``validation`` is used before the test split.
        objective: The objective that it was trained with, for a model composed by hand.
        n_examples: The largest number of random examples of each split.
        seed: The seed of their choice and of every draw.
    """
    held_name = next((name for name in ("validation", "test") if name in data.splits), "")

    def examples(split: str, n: int = n_examples) -> Batch:
        return random_examples(run, data, split, n, seed)

    train, held = examples("train"), examples(held_name) if held_name else None
    last_phase = 0.0
    if objective is None and run.config.get("variant"):
        recipe = run.recipe()
        objective = recipe.objective
        # Milestones change the model in training, and some objectives have a pretraining phase.
        last_phase = max((milestone.at for milestone in recipe.milestones), default=0.0)
    if isinstance(objective, ClusteringELBO):
        last_phase = max(last_phase, objective.pretraining)
    if isinstance(objective, Stacked):
        last_phase = max(last_phase, objective.start)
    sample = Sample(train.x, run.spec.support, run.spec)
    if isinstance(data, Dataset):
        sample = sample_of(data, train.x)
    sample = replace(sample, has_model=True, layer=standardization_of(run.model))
    return DiagnosticContext(
        run, train, held, held_name, objective, sample, last_phase, seed, partial(examples, "train")
    )

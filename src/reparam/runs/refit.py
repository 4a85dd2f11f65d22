r"""Fit a prior to the codes of a trained model, whose encoder and decoder stay as they are.

.. math:: \max_p \mathbb E_x \mathbb E_{q(z \mid x, c)} \log p(z \mid c)

The mean KL of a model is I(x; z) + KL(q(z) ‖ p(z)), whose first part does not depend on the prior.
A prior that is as close as possible to the aggregate posterior q(z) therefore has the best ELBO of
all priors of this encoder and decoder.
"""

import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from dataclasses import replace as with_changes
from math import ceil, inf
from typing import Any, ClassVar, cast, get_args

import torch
from torch import nn
from torch.distributions import Normal, Uniform

from reparam.batch import Batch, concatenated, in_chunks, to_device, weights_type
from reparam.data import Batches, Dataset, Stream, StreamBatches
from reparam.data.given import training_batches
from reparam.distributions import Delta, base_distribution
from reparam.divergence import is_real
from reparam.errors import OptionError, SupportError, unknown
from reparam.models.latent import LatentModel, as_latent
from reparam.objectives import FlowMatching, PriorLikelihood
from reparam.objectives.recipe import Recipe
from reparam.priors import Prior, Standardized
from reparam.priors.mixture import best_mixture, start_at_codes
from reparam.priors.standardized import Covariance, best_covariance
from reparam.spec import DataSpec
from reparam.training.length import Length, seconds_of
from reparam.training.options import TrainingOptions
from reparam.training.runtime import make_runtime
from reparam.training.trainer import Trainer
from reparam.utils.arguments import as_int
from reparam.utils.seeding import random_rows, seeded
from reparam.variants.fitted_prior import FittedKind, FittedPrior, place_of, with_fitted_prior
from reparam.variants.start import start_prior

STEPS: dict[str, int] = {"flow": 3000, "mixture": 3000, "vamp": 2000, "diffusion": 3000}
"""The largest number of optimizer steps by default; one of vamp encodes all pseudo-inputs."""
LR: dict[str, float] = {"flow": 5e-3, "mixture": 5e-3, "vamp": 2e-2, "diffusion": 2e-3}
"""The highest learning rate."""
CHECKS, FEWEST_STEPS = 20, 50
"""How often the prior is scored on held-out codes, and the least number of steps between."""
PATIENCE = 5
"""The number of scores without a better one after which the fit stops."""
HELD_SHARE, HELD_ROWS = 0.1, 1000
"""The training examples whose codes are held out: a share of them, and the most of them."""
HELD_CODES = 1000
"""The approximate number of held-out codes, several for each example where there are few."""
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""The numbers of components, of which a mixture takes the best by held-out codes."""
VAMP_SIZE = 500
"""The number of components of vamp; at most one for each training example."""
FIRST_CODES = 20_000
"""The codes that location and scale come from, and that expectation maximization fits."""
PASSES, COUPLING = 4, 64
"""The largest number of passes that a draw of a flow takes, and the number of dimensions from which
on they are two, of coupling layers. Held-out codes of adult and magic lose 0.01 nats or less beside
a pass for each dimension, and draws take a third of the time."""
EM_SHARE = 0.3
"""The share of a budget in which the number of components is chosen."""
_CODES_PER_ROW = 8
_ROWS = 500


@dataclass(frozen=True)
class Codes:
    """Codes of training examples, drawn again for every batch, with the interface of ``Batches``.

    Arguments:
        model: The model.
        source: The data, whose training split is encoded.
        columns: The entries of z that are used.
        n_batches: The number of batches of an epoch.
        batch_size: The number of codes of a batch.
        device: The device.
        seed: The seed of the order of the examples.
    """

    model: LatentModel
    source: Dataset | Stream
    columns: slice
    n_batches: int
    device: torch.device
    batch_size: int = 256
    seed: int = 0
    has_exact_length: ClassVar[bool] = True

    @property
    def n_examples(self) -> int:
        """The number of codes of an epoch."""
        return self.n_batches * self.batch_size

    @property
    def batches(self) -> Batches | StreamBatches:
        """The batches of the examples."""
        return training_batches(self.source, _ROWS, device=self.device, seed=self.seed)

    def __len__(self) -> int:
        return self.n_batches

    def indexed(self) -> None:
        """Return None: the codes are drawn again in every epoch."""

    def unshared(self) -> "Codes":
        """Return these codes: each process fits a prior alone."""
        return self

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from batch ``start`` on."""
        whole = self.drawn(epoch, self.n_examples)
        for number in range(start, self.n_batches):
            picked = slice(number * self.batch_size, (number + 1) * self.batch_size)
            yield Batch(whole.x[picked], c=None if whole.c is None else whole.c[picked])

    @torch.no_grad()
    def drawn(self, epoch: int, n: int) -> Batch:
        """Return n codes and their conditions, in random order.

        As many examples are encoded as are needed for a few codes of each.
        """
        batches = self.batches
        each = max(min(_CODES_PER_ROW, n), ceil(n / batches.n_examples))
        parts: list[Batch] = []
        for batch in batches.epoch(epoch):
            parts.append(self.of(batch, each))
            if sum(map(len, parts)) >= n:
                break
        whole = concatenated(parts, sum(map(len, parts)))
        order = torch.randperm(len(whole))[:n].to(whole.x.device)
        return Batch(whole.x[order], c=None if whole.c is None else whole.c[order])

    @torch.no_grad()
    def of(self, examples: Batch, each: int) -> Batch:
        """Return draws from the posteriors of examples, as x, and the conditions of the prior.

        Arguments:
            examples: The examples, with shape (B, *shape).
            each: The number of draws K for each.

        Returns:
            A batch of K B codes.
        """
        parts = []
        for part in in_chunks(examples, _ROWS):
            z = self.model.posterior(part.x, part.c).sample(torch.Size([each]))
            c = self.model.as_condition(part.c)
            c = None if c is None else c.repeat(each, 1)
            parts.append(Batch(z[..., self.columns].flatten(0, 1), c=c))
        return concatenated(parts, each * len(examples))


def held_out(source: Dataset | Stream, seed: int) -> tuple[Dataset | Stream, Batch]:
    """Return the data without some training examples, and these examples.

    They are those of the validation split, where there is one. A loader has no parts, so that its
    first examples are returned.
    """
    if "validation" in source.splits or not isinstance(source, Dataset):
        split = "validation" if "validation" in source.splits else "train"
        return source, source.examples(split, seed, limit=HELD_ROWS)
    train = source.split("train")
    n = min(max(1, round(HELD_SHARE * len(train))), HELD_ROWS, len(train) - 1)
    if n == 0:
        return source, source.examples("train", seed)
    parts = train.apart(random_rows(len(train), n, seed))
    rest, held = (with_changes(source, splits={"train": part}) for part in parts)
    return rest, held.examples("train", seed)


def refit(
    model: nn.Module,
    spec: DataSpec,
    source: Dataset | Stream,
    kind: FittedKind,
    *,
    steps: int | None = None,
    budget: str | float | None = None,
    n_components: int | None = None,
    seed: int = 0,
) -> tuple[LatentModel, FittedPrior]:
    """Return a copy of a model with a prior that is fitted to its codes, and its description.

    Arguments:
        model: The model, which does not change.
        spec: The shape, support and condition of its data.
        source: The data, whose training split is encoded.
        kind: ``flow``, ``mixture``, ``vamp`` or ``diffusion``.
        steps: The largest number of optimizer steps; None for a default.
        budget: The largest wall-clock time, as ``fit`` takes it, in place of ``steps``.
        n_components: The number of components of ``mixture`` and ``vamp``; None to choose it.
        seed: The seed of all draws.

    Raises:
        OptionError: An unknown prior, an option that it does not have, or both steps and a budget.
        SupportError: Codes that no density of real vectors describes.
    """
    if kind not in get_args(FittedKind):
        raise unknown("prior", str(kind), get_args(FittedKind))
    if budget is not None and steps is not None:
        raise OptionError(f"steps={steps} and budget={budget!r}: give one of them")
    began, seconds = time.perf_counter(), None if budget is None else seconds_of(budget)
    steps = STEPS[kind] if steps is None else as_int("steps", steps)
    n_checks = max(1, min(CHECKS, steps // FEWEST_STEPS))
    found = as_latent(deepcopy(model)).eval()
    device = next(found.parameters(), torch.empty(0)).device
    trained = [parameter for parameter in found.parameters() if parameter.requires_grad]
    found.requires_grad_(False)
    with seeded(device, seed):
        rest, held = held_out(source, seed)
        held = to_device(held, device)
        _check(found, spec, held, kind, n_components)
        columns = place_of(found).columns
        codes = Codes(found, rest, columns, max(1, steps // n_checks), device=device, seed=seed)
        validation = codes.of(held, ceil(HELD_CODES / len(held)))
        first = codes.drawn(0, FIRST_CODES)
        pairs = [(first.x, validation.x)]
        n = n_components or min(VAMP_SIZE, codes.batches.n_examples)
        covariance: Covariance = "diagonal"
        if kind == "mixture":
            sizes = SIZES if n_components is None else (n_components,)
            covariance, n, _ = best_mixture(pairs, sizes, seed, EM_SHARE * (seconds or inf))
        elif kind != "vamp":
            covariance = best_covariance(pairs)
        size = first.x.shape[-1]
        options = _options(kind, spec, size, n)
        described = FittedPrior(kind, size, options, seed, covariance=covariance)
        with_fitted_prior(found, spec, described)
        holder, name, _ = place_of(found)
        prior = cast(Prior, holder.get_submodule(name).to(device, weights_type(model)))
        if isinstance(prior, Standardized):
            start_at_codes(prior, first.x, seed)
        else:
            start_prior(found, next(iter(training_batches(rest, n, device=device).epoch(0))))
        if seconds is not None:
            seconds = max(0.0, seconds - (time.perf_counter() - began))
        taken = _train(prior, kind, codes, validation, steps, seed, seconds) if steps else 0
    for parameter in trained:
        parameter.requires_grad_(True)
    return found.eval(), with_changes(described, steps=taken)


def _check(
    model: LatentModel, spec: DataSpec, held: Batch, kind: str, n_components: int | None
) -> None:
    """Refuse codes that have no fitted prior, and options that this prior does not have.

    Raises:
        OptionError: An option of another prior.
        SupportError: Codes that no density of real vectors describes, or no mixture of posteriors.
    """
    if n_components is not None and kind not in ("mixture", "vamp"):
        raise OptionError(
            f"n_components={n_components}: prior={kind!r} has no components; drop it, or use "
            "prior='mixture' or prior='vamp'"
        )
    with torch.no_grad():
        q = model.posterior(held.x[:2], None if held.c is None else held.c[:2])
    single = base_distribution(q)
    if not is_real(q):
        raise SupportError(
            f"prior={kind!r}: a density of real vectors, and the codes of this model come from a "
            f"{type(single).__name__}; use a variant with a Gaussian posterior"
        )
    # Pseudo-inputs are learned by their gradient, and have one density where z is a single group.
    is_mixable = isinstance(single, Normal) or not (
        spec.context or isinstance(single, Uniform | Delta)
    )
    is_whole = place_of(model).holder is model
    if kind == "vamp" and (spec.support == "tokens" or not is_whole or not is_mixable):
        raise SupportError(
            f"prior='vamp': no mixture of posteriors of this model ({type(single).__name__} given "
            f"{spec.support} data) can be fitted; use prior='flow'"
        )


def _options(
    kind: FittedKind, spec: DataSpec, latent_dim: int, n_components: int
) -> dict[str, Any]:
    """Return the options of a prior for codes of a number of dimensions."""
    match kind:
        case "flow":
            passes = 2 if latent_dim >= COUPLING else min(PASSES, latent_dim)
            return {"n_transforms": 3, "hidden": (128, 128), "bins": 8, "passes": passes}
        case "mixture" | "vamp":
            return {"n_components": n_components, "weights_context": spec.context}
    return {}


def _train(
    prior: Prior,
    kind: FittedKind,
    codes: Codes,
    held: Batch,
    steps: int,
    seed: int,
    seconds: float | None,
) -> int:
    """Train a prior on codes, keep its best weights by held-out codes, and return their step.

    The weights that it started with are kept where no others are better.

    Arguments:
        prior: The prior, which changes.
        kind: Its kind.
        codes: The codes.
        held: Codes that are held out.
        steps: The largest number of steps.
        seed: The seed of the order of the codes.
        seconds: The time that ends the training and moves its schedules; None where steps do.
    """
    precision = "float64" if weights_type(prior) == torch.float64 else "float32"
    options = TrainingOptions(
        steps=steps,
        batch_size=codes.batch_size,
        lr=LR[kind],
        lr_warmup=0.05,
        lr_schedule="cosine",
        clip_norm=1.0,
        early_stopping=PATIENCE,
        seed=seed,
        checkpoint_every=inf,
    )
    length = Length(steps, "a prior", every=len(codes), seconds=seconds)
    objective = FlowMatching() if kind == "diffusion" else PriorLikelihood()
    runtime = make_runtime(str(codes.device), precision)
    trainer = Trainer(
        Recipe(prior, objective), codes, options, runtime, validation=held, length=length
    )
    trainer.checkpointing.how_to_resume = "nothing was saved"
    before = {name: tensor.clone() for name, tensor in prior.state_dict().items()}
    at_start = float(trainer.validation.row()["reconstruction"])
    trainer.fit()
    if at_start >= trainer.progress.best:
        prior.load_state_dict(before)
        return 0
    return trainer.progress.best_step

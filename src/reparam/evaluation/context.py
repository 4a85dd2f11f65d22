"""A model and examples, with one pass of draws over them that every metric and check reads."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.batch import Batch
from reparam.errors import OptionError
from reparam.evaluation.directed import Kind, exact_log_probs, kind_of
from reparam.evaluation.likelihood.bits import log_cells
from reparam.evaluation.likelihood.decoder import Decoder
from reparam.evaluation.likelihood.importance import (
    N_SAMPLES,
    ImportanceSample,
    combined,
    importance_sample,
)
from reparam.evaluation.likelihood.proposal import POSTERIOR, TUNED, check_proposal
from reparam.evaluation.model import as_event
from reparam.evaluation.samples import Features
from reparam.isolation import Progress, as_floats, blocks, isolated, workers
from reparam.models.directed import DirectedModel
from reparam.models.latent import LatentModel
from reparam.sharing import ALONE, Processes, each_chunk
from reparam.spec import DataSpec
from reparam.utils.arguments import numbers

T = TypeVar("T")

# The approximate number of draws of a block of examples. It does not depend on the memory, so that
# draws and figures depend on the seed and the number of draws only.
_BLOCK_DRAWS = 2**15
_BLOCK_DIRECTED = 1024


@numbers(n_samples=1, max_memory_mb=1, sample_quality=0, annealed=0, annealed_temperatures=1)
@dataclass(frozen=True)
class Context:
    """A model, examples, and the options of a measurement.

    Draws and codes are computed at the first access, and kept.

    Arguments:
        model: A ``DirectedModel``, or a model with latent variables.
        batch: The examples, with shape (N, *spec.shape), anywhere.
        spec: The shape and support of the data.
        device: The device that computes; None for that of the model.
        n_samples: The number of draws of z for each example.
        proposal: The distribution of the draws for the likelihood.
        seed: The seed of the draws.
        block: The number of examples that are computed at once; None for a number that follows from
            ``n_samples``.
        max_memory_mb: The approximate memory of the decoder, in MiB; it changes no figure.
        progress: Called with (examples done, examples in all) in the pass of draws.
        say: Called with a line of text before a part that takes long.
        train: Training examples, for active units and probes; None for neither.
        probe_train: Training examples for the probes; None for those of ``train``.
        probe: Whether codes of more than 256 dimensions are probed too.
        sample_quality: The number of samples that are compared with examples; 0 for none.
        features: The features of the Fréchet and the kernel distance.
        sample_means: Whether means of p(x | z) are compared, and not draws.
        annealed: The number of examples of annealed importance sampling; 0 for none.
        annealed_temperatures: The number of its steps.
        processes: The processes that share the pass of draws and the codes.
    """

    model: nn.Module
    batch: Batch
    spec: DataSpec
    device: torch.device | str | None = None
    n_samples: int = N_SAMPLES
    proposal: str = POSTERIOR
    seed: int = 0
    block: int | None = None
    max_memory_mb: int = 512
    progress: Progress | None = None
    say: Callable[[str], None] | None = None
    train: Batch | None = None
    probe_train: Batch | None = None
    probe: bool = False
    sample_quality: int = 0
    features: Features | None = None
    sample_means: bool = False
    annealed: int = 0
    annealed_temperatures: int = 100
    processes: Processes = ALONE

    def __post_init__(self) -> None:
        check_proposal(self.proposal)
        if self.is_directed and self.proposal != POSTERIOR:
            raise OptionError(
                f"proposal={self.proposal!r}: a directed model's likelihood is exact; leave it out"
            )

    @property
    def is_directed(self) -> bool:
        """Whether all variables of the model are observed."""
        return isinstance(self.model, DirectedModel)

    @property
    def latent(self) -> LatentModel:
        """The model, where it has latent variables."""
        return cast(LatentModel, self.model)

    @property
    def directed(self) -> DirectedModel:
        """The model, where all of its variables are observed."""
        return cast(DirectedModel, self.model)

    def each(
        self,
        compute: Callable[[Batch], T],
        *,
        seed: int | None = None,
        progress: Progress | None = None,
        processes: Processes = ALONE,
    ) -> list[T]:
        """Return the results of a function for all blocks of examples, in their order.

        The model is in evaluation mode, without gradients. x has the shape that its decoder
        describes.

        Arguments:
            compute: A function of a block on the device.
            seed: The seed that the draws of every block follow from; None leaves the random state
                to the caller.
            progress: Called with (examples done, examples in all) after each block.
            processes: The processes that share the blocks.
        """
        size = self.block or max(1, min(256, _BLOCK_DRAWS // self.n_samples))
        if self.is_directed:
            size = _BLOCK_DIRECTED

        def of_block(block: Batch) -> T:
            block = as_floats(block)
            return compute(replace(block, x=as_event(self.model, block.x)))

        with isolated(self.model, self.device) as device:
            return each_chunk(
                of_block,
                self.batch,
                size,
                device,
                seed=seed,
                processes=processes,
                progress=progress,
            )

    def share(self) -> None:
        """Compute all that processes share, in the same order in each of them."""
        if self.is_directed:
            self.exact  # noqa: B018
        else:
            self.draws  # noqa: B018
            self.codes  # noqa: B018

    @cached_property
    def draws(self) -> ImportanceSample:
        """The importance sample of all examples."""
        decoders: list[Decoder] = []
        if self.proposal == TUNED and self.say is not None:
            self.say(f"tuning a proposal on each of {len(self.batch):,} examples ...")
        with isolated(self.model, self.device) as device, workers(device) as threads:

            def sample(part: Batch) -> ImportanceSample:
                found = importance_sample(
                    self.latent,
                    part.x,
                    part.c,
                    self.n_samples,
                    max_floats=self.max_memory_mb * 2**18,
                    decoder=decoders[0] if decoders else None,
                    workers=threads,
                    proposal=self.proposal,
                )
                decoders.append(found.decoder)
                return found

            parts = self.each(
                sample, seed=self.seed, progress=self.progress, processes=self.processes
            )
        return combined(parts)

    @cached_property
    def kind(self) -> Kind:
        """The kind of the distributions of a directed model."""
        return self._of_first(lambda first: kind_of(self.directed, self.spec, first))

    @cached_property
    def exact(self) -> list[Tensor]:
        """The log-probability of a directed model, and that of x where all of x is modelled."""
        parts = self.each(
            lambda part: exact_log_probs(self.directed, part, self.kind),
            progress=self.progress,
            processes=self.processes,
        )
        return [torch.cat(values) for values in zip(*parts, strict=True)]

    @property
    def log_likelihood(self) -> Tensor:
        """log p(x) of each example; of a directed model that of all its variables, (N,)."""
        return self.exact[0] if self.is_directed else self.draws.log_likelihood

    @property
    def log_prob_x(self) -> Tensor | None:
        """log p(x) of each example, with shape (N,); None where not all of x is modelled."""
        if not self.is_directed:
            return self.draws.log_likelihood
        return self.exact[1] if self.kind.covers_x else None

    @cached_property
    def codes(self) -> Tensor:
        """The posterior means on the CPU, with shape (N, D)."""

        def encoded(part: Batch) -> Tensor:
            return self.latent.encode(part.x, part.c).flatten(1).cpu()

        return torch.cat(self.each(encoded, seed=self.seed, processes=self.processes))

    def _of_first(self, distribution: Callable[[Batch], T]) -> T:
        """Return a distribution of the model for the first example."""
        with isolated(self.model, self.device) as device:
            first = next(blocks(self.batch, 1, device))
            return distribution(replace(first, x=as_event(self.model, first.x)))

    @cached_property
    def posterior(self) -> Distribution:
        """The posterior of the first example."""
        return self._of_first(lambda first: self.latent.posterior(first.x, first.c))

    @cached_property
    def prior(self) -> Distribution:
        """The prior, of the first example where there is a condition."""
        return self._of_first(lambda first: self.latent.prior_distribution(first.c))

    @property
    def has_likelihood(self) -> bool:
        """Whether there is a log p(x), which a deterministic code does not have."""
        return self.is_directed or self.draws.has_density

    @property
    def is_normalized(self) -> bool:
        """Whether the log-probability of x is that of a normalized distribution."""
        return self.kind.normalized if self.is_directed else self.draws.decoder.normalized

    @property
    def unnormalized_because(self) -> str:
        """What the log-probability of x is where it is not normalized, in a few words."""
        return "" if self.is_directed else self.draws.decoder.unnormalized_because

    @property
    def is_discrete(self) -> bool:
        """Whether it is the logarithm of a probability, and not of a density."""
        return self.kind.discrete if self.is_directed else self.draws.decoder.discrete

    @property
    def bits_offset(self) -> float | None:
        """The nats between log p(x) and the log-probability of discrete data; None without one."""
        return log_cells(self.spec, self.is_discrete) if self.is_normalized else None

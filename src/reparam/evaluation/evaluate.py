"""The one function that says what a model is worth."""

from collections.abc import Callable
from dataclasses import replace
from math import log
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.batch import Batch, in_chunks
from reparam.data.checks import check_on_grid, check_values, fitted
from reparam.divergence import MONTE_CARLO, is_real
from reparam.errors import DataError, OptionError
from reparam.evaluation.classification import accuracy_of_blocks, class_log_prob, correct
from reparam.evaluation.directed import evaluate_directed
from reparam.evaluation.latents.activity import active_units, activity_fields, code_usage
from reparam.evaluation.latents.clustering import cluster_fields
from reparam.evaluation.latents.decomposition import decomposition_fields
from reparam.evaluation.latents.probes import SMALL_CODE, probe_fields
from reparam.evaluation.likelihood.annealed import Annealing, annealed_fields, check_annealable
from reparam.evaluation.likelihood.bits import bits, bits_stderr, log_cells, raw_bits
from reparam.evaluation.likelihood.importance import (
    N_SAMPLES,
    NO_DENSITY,
    Figures,
    importance_sample,
)
from reparam.evaluation.likelihood.proposal import (
    POSTERIOR,
    TUNED,
    check_proposal,
    is_tunable,
)
from reparam.evaluation.per_example import PerExample, data_sha256
from reparam.evaluation.result import Evaluation
from reparam.evaluation.samples import Features, sample_fields
from reparam.evaluation.statistics import column_stderr, finite_mean
from reparam.evaluation.words import (
    NO_ELBO,
    NOT_ANNEALED,
    collapse,
    few_draws,
    impossible,
    not_finite,
    note,
    single_draws,
)
from reparam.families import Family
from reparam.isolation import Progress, Workers, blocks, isolated, workers
from reparam.models.directed import DirectedModel
from reparam.models.latent import LatentModel, as_latent, is_latent
from reparam.spec import DataSpec
from reparam.utils.arguments import numbers

# A block of examples has about so many draws, whatever the memory: what is drawn, and with it
# every figure, depends on the seed and the number of draws alone.
_BLOCK_DRAWS = 2**15


@numbers()
def evaluate(
    model: nn.Module,
    batch: Batch,
    spec: DataSpec,
    *,
    n_samples: int = N_SAMPLES,
    seed: int = 0,
    device: torch.device | str = "cpu",
    split: str = "test",
    max_memory_mb: int = 512,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
    train: Batch | None = None,
    probe_train: Batch | None = None,
    probe: bool = False,
    sample_quality: int = 0,
    features: Features | None = None,
    sample_means: bool = False,
    proposal: str = POSTERIOR,
    annealed: int = 0,
    annealed_temperatures: int = 100,
) -> Evaluation:
    r"""Evaluate a model: its bound and likelihood, its code, its latents and its samples.

    .. math:: \mathcal L(x) = \mathbb E_q[\log p(x \mid z)] - \mathrm{KL}(q(z \mid x) \| p(z)),
              \qquad \log p(x) \approx \log \frac1L \sum_{l=1}^L \frac{p(x, z_l)}{q(z_l \mid x)}

    The same L draws serve the reconstruction and the likelihood. Networks run in float32 or
    better, sums over draws in float64; the model, its mode and the random state are afterwards as
    before. A ``DirectedModel`` has its log-probability exactly, and where its label is categorical
    it is also asked to classify; clusters of a ``Mixture`` prior are set beside the labels.

    The KL is split into the mutual information of example and code, the total correlation and the
    dimension-wise KL, as far as posterior and prior allow it (``decompose``).

    Arguments:
        model: A ``LatentModel``, a ``DirectedModel``, or a module with the methods of the former.
        batch: The examples with shape (N, *spec.shape), with labels and condition where the
            model needs them, on any device.
        spec: The shape and support of the data.
        n_samples: L; exactly so many draws of z are made for each example, or one where the
            posterior is a single sequence of codes.
        seed: The seed of the draws.
        device: Where to compute.
        split: The name of the split, for the report.
        max_memory_mb: About what the decoder may use at once, in MiB; it changes no figure.
        progress: Called with (examples done, examples in all).
        say: Told, in a line of words, of a part that takes long before it begins.
        train: Training examples with their labels, for active units as the IWAE's authors count
            them on the first of them, and for the probes of the code; None for neither.
        probe_train: Other training examples for the probes; None for those of ``train``. Of many, a
            random part is used; an encoder that is given the label is not probed for it.
        probe: Whether to probe also codes of more than 256 dimensions, which takes minutes.
        sample_quality: How many draws of the model to compare with as many examples; 0 for none.
        features: A function from examples with shape (B, *shape) to features with shape (B, F),
            for the Fréchet and the kernel distance of the samples.
        sample_means: Whether to compare means of p(x | z), as pictures show them, and not draws.
        proposal: Where the draws for the likelihood come from: ``posterior``; ``defensive``, mixed
            with the prior; or ``tuned`` on each example, closest and slowest.
        annealed: On how many examples to estimate log p(x) by annealed importance sampling too,
            and on as many simulated ones how far off that is; 0 for none.
        annealed_temperatures: The number of steps that it takes from q(z | x), or from the prior
            where the posterior is no Gaussian, to p(x, z).

    Returns:
        Nats per example, with standard errors over examples.

    Raises:
        OptionError: Fewer than one draw or MiB, fewer than no samples, a proposal that does not
            exist, or a model that is none of these.
        DataError: No examples, or some that are none of the data that ``spec`` describes.
        ShapeError: Examples of another shape.
        SupportError: The KL of posterior and prior is infinite, or the latents have no such
            proposal, or no annealing.

    References:
        Rezende, Mohamed & Wierstra, ICML 2014, appendix E (importance sampling); Burda et al.,
        ICLR 2016, section 5.2 (active units); Hoffman & Johnson, NIPS workshop 2016, and Chen et
        al., NeurIPS 2018, eq. 2 (parts of the KL); Alemi et al., ICML 2018 (rate and distortion);
        Townsend et al., ICLR 2019, section 2 (bits back).

    Example:
        >>> from reparam import variants
        >>> spec = DataSpec((1, 8, 8), "binary")
        >>> model = variants.vae(spec, latent_dim=2).model
        >>> result = evaluate(model, Batch(torch.zeros(5, 1, 8, 8)), spec, n_samples=10)
        >>> result.n_examples, result.elbo < 0
        (5, True)
    """
    for name, value in (("n_samples", n_samples), ("max_memory_mb", max_memory_mb)):
        if value < 1:
            raise OptionError(f"{name}={value}: evaluation needs at least 1")
    if sample_quality < 0:
        raise OptionError(f"sample_quality={sample_quality}: give a number of draws, 0 for none")
    if annealed < 0:
        raise OptionError(f"annealed={annealed}: give a number of examples, 0 for none")
    check_proposal(proposal)
    if len(batch) == 0:
        raise DataError(f"split {split!r} has no examples: evaluation needs at least one")
    batch = replace(batch, x=fitted(batch.x, spec.shape))
    check_values(batch.x, spec)
    levels = likelihood_levels(model)
    if levels is not None and spec.support == "unit":
        check_on_grid(batch.x, levels)
    with isolated(model, device, seed) as target:
        if isinstance(model, DirectedModel):
            if annealed > 0 or proposal != POSTERIOR:
                raise OptionError(
                    f"proposal={proposal!r}, annealed={annealed}: a directed model tells its "
                    "log-likelihood exactly; leave both out"
                )
            result = evaluate_directed(model, batch, spec, target, progress)
        else:
            latent = _as_latent(model, annealed > 0)
            with workers(target) as threads:
                floats = max_memory_mb * 2**18
                work = _Work(n_samples, target, floats, threads, seed, probe, proposal)
                if annealed > 0:
                    check_annealable(latent, None if batch.c is None else batch.c[:1].to(target))
                if proposal == TUNED and say is not None:
                    say(f"tuning a proposal on each of {len(batch):,} examples ...")
                training = (train, train if probe_train is None else probe_train)
                result = _evaluate_latent(latent, batch, spec, work, progress, *training)
            if annealed > 0 and result.per_example is not None:
                sampled = result.per_example.log_likelihood
                sampled = None if sampled is None else sampled[:annealed]
                how = Annealing(
                    n_temperatures=annealed_temperatures, seed=seed, max_memory_mb=max_memory_mb
                )
                some = next(in_chunks(batch, annealed))
                if say is not None:
                    say(f"annealing {len(some):,} examples, and as many simulated ones ...")
                found = annealed_fields(latent, some, sampled, how)
                missing = () if "annealed_log_likelihood" in found else (NOT_ANNEALED,)
                result = replace(result, **found, warnings=(*result.warnings, *missing))
        found = sample_fields(
            model, batch, spec, sample_quality, seed, features=features, means=sample_means
        )
        result = replace(result, **found)
    return replace(
        result,
        split=split,
        seed=seed,
        data_sha256=data_sha256(batch.x),
        condition=None if batch.c is None else spec.condition,
        condition_sha256=None if batch.c is None else data_sha256(batch.c),
    )


def likelihood_levels(model: nn.Module) -> int | None:
    """Return the number of grey levels that a model gives probabilities to; None for other models.

    >>> likelihood_levels(nn.Linear(1, 1)) is None
    True
    """
    levels = (part.levels for part in model.modules() if isinstance(part, Family))
    return next(filter(None, levels), None)


class _Work(NamedTuple):
    """How much to draw, and with what means."""

    n_samples: int
    device: torch.device
    max_floats: int
    threads: Workers
    seed: int
    probe: bool
    proposal: str


def _evaluate_latent(
    model: LatentModel,
    batch: Batch,
    spec: DataSpec,
    work: _Work,
    progress: Progress | None,
    train: Batch | None,
    probe_train: Batch | None,
) -> Evaluation:
    size = max(1, min(256, _BLOCK_DRAWS // work.n_samples))
    has_distances = spec.support not in ("categorical", "tokens")
    figures: list[Figures] = []
    means: list[Tensor] = []
    errors: list[Tensor] = []
    right: list[Tensor] = []
    for part in blocks(batch, size, work.device, progress):
        x = model.as_event(part.x) if hasattr(model, "as_event") else part.x
        decoder = figures[0].decoder if figures else None
        figures.append(
            importance_sample(
                model,
                x,
                part.c,
                work.n_samples,
                max_floats=work.max_floats,
                decoder=decoder,
                workers=work.threads,
                proposal=work.proposal,
            )
        )
        means.append(model.encode(x, part.c).flatten(1).cpu())
        scores = class_log_prob(model, replace(part, x=x))
        if scores is not None and part.y is not None:
            right.append(correct(scores, part.y))
        if has_distances:
            difference = model.reconstruct(x, part.c) - x
            errors.append(difference.double().square().flatten(1).mean(1).cpu())

    decoder = figures[0].decoder
    reconstruction, reconstruction_stderr = finite_mean([f.reconstruction for f in figures])
    divergence, kl_stderr = finite_mean([f.kl for f in figures])
    elbo, elbo_stderr = finite_mean([f.reconstruction - f.kl for f in figures])
    likelihood, likelihood_stderr = finite_mean([f.log_likelihood for f in figures])
    mse, mse_stderr = finite_mean(errors)
    effective, effective_stderr = finite_mean([f.effective_sample_size for f in figures])
    parts = [f.kl_per_dimension for f in figures if f.kl_per_dimension is not None]
    codes = torch.cat(means)
    active = active_units(codes) if len(batch) > 1 else None
    indices = [f.indices for f in figures if f.indices is not None]
    usage = code_usage(torch.cat(indices)) if indices else None
    latent_dim = codes.shape[1]
    accuracy = accuracy_of_blocks(right)
    layers = {
        name: finite_mean([f.kl_groups[name] for f in figures]) for name in figures[0].kl_groups
    }
    n_samples = figures[0].n_samples
    offset = log_cells(spec, decoder.discrete) if decoder.normalized else None
    has_density = figures[0].kl_method != NO_DENSITY
    # The rule of active units is about real numbers: directions and codes have no size to shrink.
    has_size = has_density and not indices and is_real(_prior_of(model, batch, work.device))
    further = activity_fields(model, train) | cluster_fields(model, batch)
    if has_density:
        each = torch.cat([f.kl for f in figures])
        kl_draws = n_samples if figures[0].kl_method == MONTE_CARLO else None
        further |= decomposition_fields(model, batch, each, work.seed, kl_draws=kl_draws)
    # An encoder that is given the label would be asked for what it was told.
    if not spec.given_label and (work.probe or latent_dim <= SMALL_CODE):
        further |= probe_fields(model, codes, batch, probe_train, work.seed)
    n_impossible = int(sum(int(f.impossible.sum()) for f in figures))
    could_tune = work.proposal != TUNED and is_tunable(_posterior_of(model, batch, work.device))
    return Evaluation(
        split="",
        n_examples=len(batch),
        is_likelihood=decoder.normalized and has_density,
        elbo=elbo,
        elbo_stderr=elbo_stderr,
        log_likelihood=likelihood,
        log_likelihood_stderr=likelihood_stderr,
        reconstruction=reconstruction,
        reconstruction_stderr=reconstruction_stderr,
        kl=divergence,
        kl_stderr=kl_stderr,
        mse=mse,
        mse_stderr=mse_stderr,
        bits_per_dim=bits(likelihood, offset, spec.dim),
        bits_per_dim_stderr=bits_stderr(likelihood_stderr, offset, spec.dim),
        active_units=active,
        accuracy=None if accuracy is None else accuracy.value,
        accuracy_stderr=None if accuracy is None else accuracy.stderr,
        n_samples=n_samples,
        proposal=work.proposal if has_density else None,
        kl_method=figures[0].kl_method,
        kl_groups={name: mean for name, (mean, _) in layers.items()} or None,
        kl_groups_stderr={name: stderr for name, (_, stderr) in layers.items()} or None,
        kl_per_dimension=tuple(torch.cat(parts).mean(0).tolist()) if parts else None,
        kl_per_dimension_stderr=column_stderr(torch.cat(parts)) if parts else None,
        codes_in_use=None if usage is None else usage.n_used,
        code_perplexity=None if usage is None else usage.perplexity,
        code_perplexity_stderr=None if usage is None else usage.perplexity_stderr,
        latent_dim=latent_dim,
        effective_sample_size=effective,
        effective_sample_size_stderr=effective_stderr,
        rate_bits=None if divergence is None else divergence / log(2),
        rate_bits_stderr=None if kl_stderr is None else kl_stderr / log(2),
        distortion=None if reconstruction is None else -reconstruction,
        distortion_stderr=reconstruction_stderr,
        code_bits=bits(elbo, offset),
        code_bits_stderr=bits_stderr(elbo_stderr, offset),
        raw_bits=raw_bits(spec),
        dequantized_from=None if offset is None else spec.dequantized_from,
        note=note(decoder.normalized, offset) if has_density else NO_ELBO,
        warnings=()
        if not has_density
        else (
            *not_finite(elbo=elbo, **({} if n_impossible else {"log_likelihood": likelihood})),
            *impossible(n_impossible, len(batch), is_mass=decoder.is_mass),
            # A code that never changes is no collapse: the border of an image is the same always.
            *(collapse(active, latent_dim, divergence) if has_size else ()),
            # All draws of a single sequence of codes are the same, so that none are too few.
            *(
                ()
                if indices
                else few_draws(effective, work.n_samples, tunable=could_tune)
                or single_draws(_n_alone(figures), len(batch), work.n_samples, tunable=could_tune)
            ),
        ),
        per_example=_per_example(figures, has_density),
        **further,
    )


def _n_alone(figures: list[Figures]) -> int:
    """Return how many examples have a log-likelihood that rests on one draw, far above the ELBO."""
    alone = [
        (f.log_likelihood - (f.reconstruction - f.kl) > log(f.n_samples or 1))
        & (f.effective_sample_size * (f.n_samples or 1) < 2)
        for f in figures
    ]
    return int(torch.cat(alone).sum())


def _prior_of(model: LatentModel, batch: Batch, device: torch.device) -> Distribution:
    """Return the prior, of the first example where there is a condition."""
    c = None if batch.c is None else batch.c[:1].to(device)
    return model.prior_distribution(c)


def _posterior_of(model: LatentModel, batch: Batch, device: torch.device) -> Distribution:
    """Return the posterior of the first example."""
    first = next(blocks(batch, 1, device))
    x = model.as_event(first.x) if hasattr(model, "as_event") else first.x
    return model.posterior(x, first.c)


def _per_example(figures: list[Figures], has_density: bool) -> PerExample:
    """Return the figures of all examples; of a deterministic code, how well it describes them."""
    reconstruction = torch.cat([f.reconstruction for f in figures])
    if not has_density:
        return PerExample(reconstruction=reconstruction)
    divergence = torch.cat([f.kl for f in figures])
    return PerExample(
        elbo=reconstruction - divergence,
        log_likelihood=torch.cat([f.log_likelihood for f in figures]),
        reconstruction=reconstruction,
        kl=divergence,
    )


def _as_latent(model: nn.Module, anneals: bool) -> LatentModel:
    parts = ["posterior", "likelihood", "prior_distribution", "encode", "reconstruct"]
    parts += ["draw_prior"] if anneals else []
    missing = [part for part in parts if not callable(getattr(model, part, None))]
    if missing and is_latent(model):
        return as_latent(model)
    if missing:
        raise OptionError(
            f"a {type(model).__name__} has no {', no '.join(missing)}: evaluation takes a "
            "LatentModel, a DirectedModel or a module with the methods of LatentModel"
        )
    return cast(LatentModel, model)

"""The one function that says what a model is worth."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import isfinite, log, log2
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.batch import Batch, in_chunks, to_device
from reparam.directed import DirectedModel
from reparam.distributions import is_normalized
from reparam.divergence import is_real
from reparam.errors import DataError, OptionError
from reparam.evaluation.classification import class_log_prob, share
from reparam.evaluation.clustering import assigned_clusters, clustering
from reparam.evaluation.isolation import Workers, isolated, workers
from reparam.evaluation.latent import active_units, code_usage
from reparam.evaluation.likelihood import NO_DENSITY, Figures, importance_sample, is_discrete
from reparam.evaluation.result import Evaluation
from reparam.evaluation.statistics import mean_and_stderr
from reparam.model import LatentModel
from reparam.priors import Mixture
from reparam.spec import DataSpec

Progress = Callable[[int, int], None]
"""Told (examples done, examples in all) after every block of examples."""

NO_LIKELIHOOD = (
    "the decoder's log-density is not normalized (cross-entropy on grey values), so none of these "
    "numbers is a likelihood: the importance-sampled figure bounds no likelihood, and bits per "
    "dimension do not exist"
)

NO_ELBO = (
    "the code is deterministic, so that it has no density: there is no KL, no ELBO and no "
    "likelihood of x, only how well x is described by its code"
)

A_DENSITY = (
    "x is continuous, so log p(x) is the logarithm of a density: it may be positive, and says "
    "nothing in bits"
)

# A block of examples has about so many draws, whatever the memory: what is drawn, and with it
# every figure, depends on the seed and the number of draws alone.
_BLOCK_DRAWS = 2**15
# Nats of KL of a dimension that no collapsed posterior has, which equals the prior.
_MISPLACED = 10.0


def evaluate(
    model: nn.Module,
    batch: Batch,
    spec: DataSpec,
    *,
    n_samples: int = 500,
    seed: int = 0,
    device: torch.device | str = "cpu",
    split: str = "test",
    max_memory_mb: int = 512,
    progress: Progress | None = None,
) -> Evaluation:
    r"""Evaluate a model: its bound and likelihood, its code and its latents.

    .. math:: \mathcal L(x) = \mathbb E_q[\log p(x \mid z)] - \mathrm{KL}(q(z \mid x) \| p(z)),
              \qquad \log p(x) \approx \log \frac1L \sum_{l=1}^L \frac{p(x, z_l)}{q(z_l \mid x)}

    The same L draws serve the reconstruction and the likelihood. Networks run in float32 or
    better, sums over draws in float64; the model, its mode and the random state are afterwards as
    before. A ``DirectedModel`` has its log-probability exactly, and where its label is categorical
    it is also asked to classify; clusters of a ``Mixture`` prior are
    set beside the labels.

    Arguments:
        model: A ``LatentModel``, a ``DirectedModel``, or a module with the methods of the former.
        batch: The examples with shape (N, *spec.shape), with labels and condition where the
            model needs them, on any device.
        spec: The shape and support of the data.
        n_samples: L; exactly so many draws of z are made for each example.
        seed: The seed of the draws.
        device: Where to compute.
        split: The name of the split, for the report.
        max_memory_mb: About what the decoder may use at once, in MiB; it changes no figure.
        progress: Called with (examples done, examples in all).

    Returns:
        Nats per example, with standard errors over examples.

    Raises:
        OptionError: Fewer than one draw or MiB, or a model that is none of these.
        DataError: No examples.
        SupportError: The KL of posterior and prior is infinite.

    References:
        Rezende, Mohamed & Wierstra, ICML 2014, appendix E (importance sampling); Burda et al.,
        ICLR 2016, section 5.2 (active units); Townsend et al., ICLR 2019, section 2 (bits back).

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
    if len(batch) == 0:
        raise DataError(f"split {split!r} has no examples: evaluation needs at least one")
    with isolated(model, device, seed) as target:
        if isinstance(model, DirectedModel):
            result = _evaluate_directed(model, batch, spec, target, progress)
        else:
            latent = _as_latent(model)
            with workers(target) as threads:
                work = _Work(n_samples, target, max_memory_mb * 2**18, threads)
                result = _evaluate_latent(latent, batch, spec, work, progress)
    return replace(result, split=split)


class _Work(NamedTuple):
    """How much to draw, and with what means."""

    n_samples: int
    device: torch.device
    max_floats: int
    threads: Workers


def _evaluate_latent(
    model: LatentModel,
    batch: Batch,
    spec: DataSpec,
    work: _Work,
    progress: Progress | None,
) -> Evaluation:
    size = max(1, min(256, _BLOCK_DRAWS // work.n_samples))
    has_distances = spec.support not in ("categorical", "tokens")
    figures: list[Figures] = []
    means: list[Tensor] = []
    errors: list[Tensor] = []
    right: list[Tensor] = []
    for part in _blocks(batch, size, work.device, progress):
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
            )
        )
        means.append(model.encode(x, part.c).flatten(1).cpu())
        scores = class_log_prob(model, replace(part, x=x))
        if scores is not None and part.y is not None:
            right.append(_told(scores, part.y))
        if has_distances:
            difference = model.reconstruct(x, part.c) - x
            errors.append(difference.double().square().flatten(1).mean(1).cpu())

    decoder = figures[0].decoder
    reconstruction, reconstruction_stderr = _mean([f.reconstruction for f in figures])
    divergence, kl_stderr = _mean([f.kl for f in figures])
    elbo, elbo_stderr = _mean([f.reconstruction - f.kl for f in figures])
    likelihood, likelihood_stderr = _mean([f.log_likelihood for f in figures])
    mse, mse_stderr = _mean(errors)
    effective, _ = _mean([f.effective_sample_size for f in figures])
    parts = [f.kl_per_dimension for f in figures if f.kl_per_dimension is not None]
    active = active_units(torch.cat(means)) if len(batch) > 1 else None
    codes = [f.indices for f in figures if f.indices is not None]
    usage = code_usage(torch.cat(codes)) if codes else None
    latent_dim = means[0].shape[1]
    told = share(torch.cat(right)) if right and len(torch.cat(right)) else None
    offset = _log_cells(spec, decoder.discrete) if decoder.normalized else None
    has_density = figures[0].kl_method != NO_DENSITY
    # The rule of active units is about real numbers: directions and codes have no size to shrink.
    has_size = has_density and not codes and is_real(_prior_of(model, batch, work.device))
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
        bits_per_dim=_bits(likelihood, offset, spec.dim),
        bits_per_dim_stderr=_bits_stderr(likelihood_stderr, offset, spec.dim),
        active_units=active,
        accuracy=None if told is None else told.value,
        accuracy_stderr=None if told is None else told.stderr,
        n_samples=work.n_samples if has_density else None,
        kl_method=figures[0].kl_method,
        kl_groups={
            name: float(torch.cat([f.kl_groups[name] for f in figures]).mean())
            for name in figures[0].kl_groups
        }
        or None,
        kl_per_dimension=tuple(torch.cat(parts).mean(0).tolist()) if parts else None,
        kl_per_dimension_stderr=_stderr_of(torch.cat(parts)) if parts else None,
        **_clusters(model, batch),
        codes_in_use=None if usage is None else usage.n_used,
        code_perplexity=None if usage is None else usage.perplexity,
        latent_dim=latent_dim,
        effective_sample_size=effective,
        rate_bits=None if divergence is None else divergence / log(2),
        distortion=None if reconstruction is None else -reconstruction,
        code_bits=_bits(elbo, offset),
        raw_bits=_raw_bits(spec),
        note=_note(decoder.normalized, offset) if has_density else NO_ELBO,
        warnings=()
        if not has_density
        else (
            *_not_finite(elbo=elbo, log_likelihood=likelihood),
            # A code that never changes is no collapse: the border of an image is the same always.
            *(_collapse(active, latent_dim, divergence) if has_size else ()),
            *_few_draws(effective, work.n_samples),
        ),
    )


def _prior_of(model: LatentModel, batch: Batch, device: torch.device) -> Distribution:
    """Return the prior, of the first example where there is a condition."""
    c = None if batch.c is None else batch.c[:1].to(device)
    return model.prior_distribution(c)


def _told(scores: Tensor, y: Tensor) -> Tensor:
    """Return which of the known labels are told rightly, with shape (M,)."""
    known = y >= 0
    return (scores.argmax(-1) == y)[known].cpu()


def _clusters(model: LatentModel, batch: Batch) -> dict[str, Any]:
    """Return what the clusters of a mixture prior say of the labels; nothing without either."""
    prior = getattr(model, "prior", None)
    if batch.y is None or not isinstance(prior, Mixture):
        return {}
    known = batch.y.cpu() >= 0
    if not bool(known.any()):
        return {}
    assigned = assigned_clusters(model, batch)[known]
    found = clustering(assigned, batch.y.cpu()[known], len(prior.logits))
    return {
        "n_clusters": found.n_clusters,
        "cluster_accuracy": found.hungarian.value,
        "cluster_accuracy_stderr": found.hungarian.stderr,
        "cluster_majority": found.majority.value,
        "cluster_majority_stderr": found.majority.stderr,
        "cluster_information": found.mutual_information,
    }


def _evaluate_directed(
    model: DirectedModel,
    batch: Batch,
    spec: DataSpec,
    device: torch.device,
    progress: Progress | None,
) -> Evaluation:
    log_prob: list[Tensor] = []
    log_prob_x: list[Tensor] = []
    right: list[Tensor] = []
    normalized = discrete = True
    models_x = _covers(model, spec)
    for part in _blocks(batch, 1024, device, progress):
        values = model.values(part)
        log_prob.append(model.log_prob(values).cpu().double())
        scores = class_log_prob(model, part)
        if scores is not None and part.y is not None:
            right.append(_told(scores, part.y))
        if models_x:
            log_prob_x.append(_log_prob_x(model, part, scores).cpu().double())
        if len(log_prob) == 1:
            nodes = {name: model.distribution(name, values) for name in model.parents}
            normalized = all(is_normalized(p) for p in nodes.values())
            discrete = all(is_discrete(p) for name, p in nodes.items() if name != "y")

    likelihood, likelihood_stderr = _mean(log_prob)
    of_x, of_x_stderr = _mean(log_prob_x)
    told = share(torch.cat(right)) if right and len(torch.cat(right)) else None
    offset = _log_cells(spec, discrete) if normalized else None
    return Evaluation(
        split="",
        n_examples=len(batch),
        is_likelihood=normalized,
        log_likelihood=likelihood,
        log_likelihood_stderr=likelihood_stderr,
        bits_per_dim=_bits(of_x, offset, spec.dim),
        bits_per_dim_stderr=_bits_stderr(of_x_stderr, offset, spec.dim),
        accuracy=None if told is None else told.value,
        accuracy_stderr=None if told is None else told.stderr,
        raw_bits=_raw_bits(spec) if models_x else None,
        note=_note(normalized, offset),
        warnings=_not_finite(log_likelihood=likelihood),
    )


def _stderr_of(values: Tensor) -> tuple[float, ...] | None:
    """Return the standard errors of the columns' means, for values with shape (N, D)."""
    if len(values) < 2:
        return None
    return tuple((values.std(0) / len(values) ** 0.5).tolist())


def _note(normalized: bool, offset: float | None) -> str | None:
    """Return what must be said of the likelihood; ``offset`` is None where there are no bits."""
    if not normalized:
        return NO_LIKELIHOOD
    return A_DENSITY if offset is None else None


def _as_latent(model: nn.Module) -> LatentModel:
    parts = ("posterior", "likelihood", "prior_distribution", "encode", "reconstruct")
    missing = [part for part in parts if not callable(getattr(model, part, None))]
    if missing:
        raise OptionError(
            f"a {type(model).__name__} has no {', no '.join(missing)}: evaluation takes a "
            "LatentModel, a DirectedModel or a module with the methods of LatentModel"
        )
    return cast(LatentModel, model)


def _blocks(
    batch: Batch, size: int, device: torch.device, progress: Progress | None
) -> Iterator[Batch]:
    """Yield a batch in blocks, in floats on the device, and tell the progress after each."""
    done = 0
    for chunk in in_chunks(batch, size):
        block = to_device(chunk, device)
        yield block if block.x.dtype == torch.float64 else replace(block, x=block.x.float())
        done += len(block)
        if progress is not None:
            progress(done, len(batch))


def _mean(parts: list[Tensor]) -> tuple[float | None, float | None]:
    """Return the mean over all examples and its standard error, each None where it is no number."""
    if not parts:
        return None, None
    mean, stderr = mean_and_stderr(torch.cat(parts))
    return (mean, stderr) if isfinite(mean) else (None, None)


def _log_cells(spec: DataSpec, discrete: bool) -> float | None:
    r"""Return what turns a log-density of x into the log-probability of discrete data, in nats.

    Uniform noise on x = (k + u) / L makes :math:`\log P(k) \ge E_u[\log p(x)] - D \log L`: each
    value k has a cell of volume 1 / L for each entry. None where data are continuous.
    """
    if spec.dequantized_from is not None:
        return None if discrete else spec.dim * log(spec.dequantized_from)
    has_values = spec.support in ("binary", "categorical", "counts", "tokens") or spec.levels
    return 0.0 if discrete and has_values else None


def _bits(log_prob: float | None, log_cells: float | None, dim: int = 1) -> float | None:
    """Return nats as bits for each of ``dim`` entries."""
    if log_prob is None or log_cells is None:
        return None
    return (log_cells - log_prob) / (dim * log(2))


def _bits_stderr(stderr: float | None, log_cells: float | None, dim: int) -> float | None:
    """Return a standard error of nats as that of bits for each of ``dim`` entries."""
    return None if stderr is None or log_cells is None else stderr / (dim * log(2))


def _raw_bits(spec: DataSpec) -> float | None:
    levels = 2 if spec.support == "binary" else spec.dequantized_from or spec.levels
    return None if levels is None else spec.dim * log2(levels)


def _covers(model: DirectedModel, spec: DataSpec) -> bool:
    """Return whether every entry of x is modelled."""
    if "x" in model.parents:
        return True
    columns = [model.columns.get(name, []) for name in model.parents]
    return {index for indices in columns for index in indices} == set(range(spec.dim))


def _log_prob_x(model: DirectedModel, batch: Batch, scores: Tensor | None) -> Tensor:
    """Return log p(x), without what is said of the label, in nats with shape (B,)."""
    if "y" not in model.parents:
        return model.log_prob(model.values(batch))
    if scores is not None and any("y" in parents for parents in model.parents.values()):
        return scores.logsumexp(-1)
    values = model.values(batch)
    return model.log_prob(values) - model.distribution("y", values).log_prob(values["y"])


def _not_finite(**figures: float | None) -> tuple[str, ...]:
    return tuple(
        f"{name} is infinite or not a number for some examples and left out: look for a density "
        "that is zero or unbounded there, such as a σ near 0"
        for name, value in figures.items()
        if value is None
    )


def _collapse(active: int | None, latent_dim: int, kl: float | None) -> tuple[str, ...]:
    if active is None or 2 * active > latent_dim:
        return ()
    if kl is not None and kl > _MISPLACED * latent_dim:
        return (
            "the codes hardly move with x, and yet the KL is large: they lie where the prior does "
            "not, as before it has been trained for long; train for more epochs (--epochs)",
        )
    if active > 0:
        which = f"{latent_dim - active} of {latent_dim} latent dimensions are unused"
    elif latent_dim > 1:
        which = f"all {latent_dim} latent dimensions are unused"
    else:
        which = "the only latent dimension is unused"
    advice = "warm the KL up (--kl-warmup) or ask for fewer dimensions (--latent-dim)"
    return (f"{which} (posterior collapse): {advice}",)


def _few_draws(effective: float | None, n_samples: int) -> tuple[str, ...]:
    if n_samples == 1:
        return (
            "with a single draw log_likelihood is the ELBO again: take more samples (--n-samples)",
        )
    if effective is None or effective * n_samples >= 2:
        return ()
    return (
        f"the {n_samples} draws of an example are worth {effective * n_samples:.1f}, so that "
        "log_likelihood is too low: take more samples (--n-samples)",
    )

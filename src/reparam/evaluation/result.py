"""What an evaluation says, as numbers and as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import Any, get_type_hints

from reparam.evaluation.per_example import PerExample
from reparam.utils.files import has_type

Fields = dict[str, Any]
"""Figures by the names of the arguments of ``Evaluation``."""


@dataclass(frozen=True)
class Evaluation:
    """The figures of a model on one split, as means over its examples.

    A figure that does not exist for the model, or is not finite, is None. ``X_stderr`` is the
    standard error of X over examples: their standard deviation divided by the root of their number.

    Arguments:
        elbo: The evidence lower bound, reconstruction - kl, in nats.
        log_likelihood: log p(x) by importance sampling; exact for a directed model. In nats.
        reconstruction: E_q[log p(x | z)], in nats.
        kl: KL(q(z | x)‖p(z)), in nats.
        mse: The squared error of an entry of the reconstruction.
        bits_per_dim: What a coder would spend on an entry of x; for discrete data only.
        active_units: How many latent dimensions vary with x.
        n_samples: The number of draws of z for each example; 1 where q(z | x) is a single sequence
            of codes, of which all draws are the same.
        split: The name of the split.
        n_examples: The number of examples.
        is_likelihood: Whether p(x | z) is normalized; if not, nothing here bounds a likelihood.
        accuracy: The share of labels predicted correctly.
        n_clusters: The number of Gaussians of the prior, where it is a mixture and there are
            labels to set its clusters beside.
        cluster_accuracy: The share of labels that the clusters predict, matched one to one.
        cluster_accuracy_stderr: Its standard error.
        cluster_majority: The share, where each cluster stands for its commonest label.
        cluster_majority_stderr: Its standard error.
        cluster_information: The normalized mutual information of clusters and labels.
        kl_method: ``closed form`` or ``Monte Carlo``.
        kl_per_dimension: The KL of each latent dimension where posterior and prior factorize.
        kl_per_dimension_stderr: Its standard errors.
        kl_groups: The KL of each layer of a hierarchy, by its name.
        kl_groups_stderr: Its standard errors.
        codes_in_use: How many codes of a codebook stand for anything in the examples.
        code_perplexity: How many equally frequent codes would be as hard to guess.
        latent_dim: The number of latent dimensions.
        effective_sample_size: How many equal weights the importance weights of an example are
            worth, as a share of ``n_samples``: 1 where the posterior is exact.
        rate_bits: What the code z costs, kl / ln 2.
        distortion: What it leaves to say of x, -reconstruction, in nats.
        code_bits: The length of an example under bits-back coding, -elbo / ln 2; discrete data
            only.
        raw_bits: The length of an example as it is stored.
        note: What must be said with the numbers.
        warnings: What is amiss, in words.
        data: The name of the data.
        binarize: How they were binarized.
        data_sha256: The identity of exactly the examples that were scored, under their draw.
        condition: What the model was given beside x, such as the ``label``; None without.
        condition_sha256: The identity of the condition c of these examples.
        seed: The seed of every draw.
        dequantized_from: How many levels the data had before noise made them continuous, where
            ``bits_per_dim`` bounds the bits of these levels from above.
        decomposed_examples: How many examples the aggregate posterior below is that of.
        mutual_information: The part of the KL that tells these examples apart, at most the
            logarithm of their number; in nats, as the three below. Standard errors are over draws.
        marginal_kl: The rest of it, KL(q(z)‖p(z)) of the aggregate posterior.
        total_correlation: The part of that for the dependence of dimensions on each other; too
            high where ``mutual_information`` is near its limit.
        dimension_wise_kl: The part of that for each dimension against its prior.
        active_units_first_500: ``active_units`` over the first 500 training examples, as the
            authors of the IWAE count them.
        probe_examples: How many training examples the two below learned from.
        linear_probe: The share of labels that a linear classifier of z predicts.
        knn_accuracy: The share of labels that the vote of the 5 nearest codes predicts.
        n_generated: How many samples were compared with as many examples.
        sample_means: Whether these are means of p(x | z) and not draws.
        sample_mmd: The squared kernel discrepancy of their values.
        features: What features ``fid`` and ``kid`` compare: the folder of a run, a function as
            MODULE:FUNCTION, or the name of what was given.
        features_sha256: The checksum of the weights of that run.
        fid: The Fréchet distance of their features; too high by ``fid_bias``, about.
        fid_bias: An estimate of its bias.
        kid: The squared kernel discrepancy of their features.
        proposal: Where the draws for ``log_likelihood`` come from: ``posterior``, ``defensive`` or
            ``tuned``.
        annealed_n_examples: How many examples, the first, annealing was done on.
        annealed_n_temperatures: The number of its steps.
        annealed_start: Where it starts: ``prior`` or ``posterior``.
        annealed_log_likelihood: log p(x) of these examples by annealed importance sampling.
        annealed_baseline: ``log_likelihood`` of the same examples, by importance sampling.
        annealed_gain: How much higher annealing is than that, with the error of the pairs.
        annealed_gap: How far apart upper and lower bound by annealing are on as many examples that
            the model itself has drawn.
        per_example: The figures of every example; no part of ``to_dict``.

    Example:
        >>> Evaluation(split="test", n_examples=2, is_likelihood=True, elbo=-1.5).to_dict()["elbo"]
        -1.5
    """

    split: str
    n_examples: int
    is_likelihood: bool
    elbo: float | None = None
    elbo_stderr: float | None = None
    log_likelihood: float | None = None
    log_likelihood_stderr: float | None = None
    reconstruction: float | None = None
    reconstruction_stderr: float | None = None
    kl: float | None = None
    kl_stderr: float | None = None
    mse: float | None = None
    mse_stderr: float | None = None
    bits_per_dim: float | None = None
    bits_per_dim_stderr: float | None = None
    active_units: int | None = None
    n_samples: int | None = None
    accuracy: float | None = None
    accuracy_stderr: float | None = None
    n_clusters: int | None = None
    cluster_accuracy: float | None = None
    cluster_accuracy_stderr: float | None = None
    cluster_majority: float | None = None
    cluster_majority_stderr: float | None = None
    cluster_information: float | None = None
    cluster_information_stderr: float | None = None
    kl_method: str | None = None
    kl_per_dimension: tuple[float | None, ...] | None = None
    kl_per_dimension_stderr: tuple[float | None, ...] | None = None
    kl_groups: dict[str, float | None] | None = None
    kl_groups_stderr: dict[str, float | None] | None = None
    codes_in_use: int | None = None
    code_perplexity: float | None = None
    code_perplexity_stderr: float | None = None
    latent_dim: int | None = None
    effective_sample_size: float | None = None
    effective_sample_size_stderr: float | None = None
    rate_bits: float | None = None
    rate_bits_stderr: float | None = None
    distortion: float | None = None
    distortion_stderr: float | None = None
    code_bits: float | None = None
    code_bits_stderr: float | None = None
    raw_bits: float | None = None
    note: str | None = None
    warnings: tuple[str, ...] = ()
    data: str | None = None
    binarize: str | None = None
    data_sha256: str | None = None
    condition: str | None = None
    condition_sha256: str | None = None
    seed: int | None = None
    dequantized_from: int | None = None
    decomposed_examples: int | None = None
    mutual_information: float | None = None
    mutual_information_stderr: float | None = None
    marginal_kl: float | None = None
    marginal_kl_stderr: float | None = None
    total_correlation: float | None = None
    total_correlation_stderr: float | None = None
    dimension_wise_kl: float | None = None
    dimension_wise_kl_stderr: float | None = None
    active_units_first_500: int | None = None
    probe_examples: int | None = None
    linear_probe: float | None = None
    linear_probe_stderr: float | None = None
    knn_accuracy: float | None = None
    knn_accuracy_stderr: float | None = None
    n_generated: int | None = None
    sample_means: bool | None = None
    sample_mmd: float | None = None
    sample_mmd_stderr: float | None = None
    features: str | None = None
    features_sha256: str | None = None
    fid: float | None = None
    fid_stderr: float | None = None
    fid_bias: float | None = None
    kid: float | None = None
    kid_stderr: float | None = None
    proposal: str | None = None
    annealed_n_examples: int | None = None
    annealed_n_temperatures: int | None = None
    annealed_start: str | None = None
    annealed_log_likelihood: float | None = None
    annealed_log_likelihood_stderr: float | None = None
    annealed_baseline: float | None = None
    annealed_baseline_stderr: float | None = None
    annealed_gain: float | None = None
    annealed_gain_stderr: float | None = None
    annealed_gap: float | None = None
    annealed_gap_stderr: float | None = None
    per_example: PerExample | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them: no NaN, no infinity.

        >>> values = Evaluation("test", 2, True, elbo=float("nan"), kl_per_dimension=(1.0,))
        >>> values.to_dict()["elbo"], values.to_dict()["kl_per_dimension"]
        (None, [1.0])
        """
        names = [f.name for f in fields(self) if f.name != "per_example"]
        return {name: _plain(getattr(self, name)) for name in names}

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], per_example: PerExample | None = None
    ) -> "Evaluation":
        """Return the evaluation of which ``to_dict`` gave the values; other keys are left out.

        Raises:
            TypeError: A value is missing, or has another type.

        >>> Evaluation.from_dict(Evaluation("test", 2, True, elbo=-1.5).to_dict()).elbo
        -1.5
        """
        names = [f.name for f in fields(cls) if f.name in values and f.name != "per_example"]
        found: dict[str, Any] = {name: values[name] for name in names}
        found = {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}
        for name, kind in get_type_hints(cls).items():
            if name in found and not has_type(found[name], kind):
                raise TypeError(f"{name}={found[name]!r} is no {kind}")
        return cls(**found, per_example=per_example)

    def __str__(self) -> str:
        # The words know the figures; the figures come without the words.
        from reparam.evaluation.words import table

        return table(self)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, float) and not isfinite(value):
        return None
    return value


def number_and_error(value: float | None, *errors: float | None) -> tuple[str, ...]:
    """Return a number and its errors, to two digits of the smallest; empty what there is not.

    >>> number_and_error(-97.0612, 0.283), number_and_error(2.4567, 0.047, 0.3)
    (('-97.06', '± 0.28'), ('2.457', '± 0.047', '± 0.300'))
    """
    none = ("",) * len(errors)
    if value is None:
        return "", *none
    if isinstance(value, int):
        return str(value), *none
    smallest = min((error for error in errors if error is not None and error > 0), default=None)
    if smallest is None:
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}", *none
    digits = next((d for d in range(2, 7) if smallest >= 10.0 ** (1 - d)), 7)
    said = ("" if error is None else f"± {error:.{digits}f}" for error in errors)
    return f"{value:,.{digits}f}", *said

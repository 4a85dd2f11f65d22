"""The facts of an evaluation that are no figures: examples, draws and notes."""

from dataclasses import dataclass
from typing import TypedDict


@dataclass(frozen=True)
class Facts:
    """The examples, the draws and the notes of an evaluation.

    Arguments:
        split: The name of the split.
        n_examples: The number of examples.
        is_likelihood: Whether p(x | z) is normalized; if not, no figure bounds a likelihood.
        note: A sentence on the meaning of the figures, such as that they are no likelihood.
        warnings: Sentences about figures that are missing or not to be relied on.
        data: The name of the data.
        binarize: The kind of their binarization.
        data_sha256: The SHA-256 of the examples, under their draw.
        condition: The condition of the model, such as ``label``; None without.
        condition_sha256: The SHA-256 of the condition c of these examples.
        seed: The seed of every draw.
        n_samples: The number of draws of z for each example; 1 where q(z | x) is a single sequence
            of codes, of which all draws are the same.
        proposal: The distribution of the draws for ``log_likelihood``: ``posterior``,
            ``defensive`` or ``tuned``.
        kl_method: ``closed form``, ``Monte Carlo`` or ``no density``.
        kl_per_dimension: The KL of each latent dimension where posterior and prior factorize, in
            nats.
        kl_per_dimension_stderr: Its standard errors.
        kl_groups: The KL of each layer of a hierarchy by its name, in nats.
        kl_groups_stderr: Its standard errors.
        latent_dim: The number of latent dimensions.
        raw_bits: The length of an example as it is stored, in bits.
        dequantized_from: The number of levels of the data before noise made them continuous, where
            ``bits_per_dim`` is an upper bound of the bits of these levels.
        decomposed_examples: The number of examples whose aggregate posterior the parts of the KL
            are of.
        n_clusters: The number of Gaussians of the prior, where it is a mixture.
        probe_examples: The number of training examples that the probes learned from.
        n_generated: The number of samples that were compared with as many examples.
        sample_means: Whether these are means of p(x | z) and not draws.
        features: The features of ``fid`` and ``kid``: the folder of a run, a function as
            MODULE:FUNCTION, or a name.
        features_sha256: The SHA-256 of the weights of that run.
        annealed_n_examples: The number of examples, the first, of annealing.
        annealed_n_temperatures: The number of its steps.
        annealed_start: The distribution that it starts at: ``prior`` or ``posterior``.
    """

    split: str
    n_examples: int
    is_likelihood: bool
    note: str | None = None
    warnings: tuple[str, ...] = ()
    data: str | None = None
    binarize: str | None = None
    data_sha256: str | None = None
    condition: str | None = None
    condition_sha256: str | None = None
    seed: int | None = None
    n_samples: int | None = None
    proposal: str | None = None
    kl_method: str | None = None
    kl_per_dimension: tuple[float | None, ...] | None = None
    kl_per_dimension_stderr: tuple[float | None, ...] | None = None
    kl_groups: dict[str, float | None] | None = None
    kl_groups_stderr: dict[str, float | None] | None = None
    latent_dim: int | None = None
    raw_bits: float | None = None
    dequantized_from: int | None = None
    decomposed_examples: int | None = None
    n_clusters: int | None = None
    probe_examples: int | None = None
    n_generated: int | None = None
    sample_means: bool | None = None
    features: str | None = None
    features_sha256: str | None = None
    annealed_n_examples: int | None = None
    annealed_n_temperatures: int | None = None
    annealed_start: str | None = None


class FactChanges(TypedDict, total=False):
    """The facts that are set after an evaluation: see ``Facts``."""

    note: str | None
    data: str | None
    binarize: str | None
    n_samples: int | None
    proposal: str | None

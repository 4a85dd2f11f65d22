"""What an evaluation says, as numbers, as JSON and in words."""

from dataclasses import dataclass, fields
from math import isfinite
from textwrap import fill
from typing import Any


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
        n_samples: The number of draws of z for each example.
        split: The name of the split.
        n_examples: The number of examples.
        is_likelihood: Whether p(x | z) is normalized; if not, nothing here bounds a likelihood.
        accuracy: The share of labels told rightly.
        n_clusters: The number of Gaussians of the prior, where it is a mixture and there are
            labels to set its clusters beside.
        cluster_accuracy: The share of labels that the clusters tell, matched one to one.
        cluster_accuracy_stderr: Its standard error.
        cluster_majority: The share, where each cluster stands for its commonest label.
        cluster_majority_stderr: Its standard error.
        cluster_information: The normalized mutual information of clusters and labels.
        kl_method: ``closed form`` or ``Monte Carlo``.
        kl_per_dimension: The KL of each latent dimension where posterior and prior factorize.
        kl_per_dimension_stderr: Its standard errors.
        kl_groups: The KL of each layer of a hierarchy, by its name.
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
    kl_method: str | None = None
    kl_per_dimension: tuple[float | None, ...] | None = None
    kl_per_dimension_stderr: tuple[float | None, ...] | None = None
    kl_groups: dict[str, float] | None = None
    codes_in_use: int | None = None
    code_perplexity: float | None = None
    latent_dim: int | None = None
    effective_sample_size: float | None = None
    rate_bits: float | None = None
    distortion: float | None = None
    code_bits: float | None = None
    raw_bits: float | None = None
    note: str | None = None
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them: no NaN, no infinity.

        >>> values = Evaluation("test", 2, True, elbo=float("nan"), kl_per_dimension=(1.0,))
        >>> values.to_dict()["elbo"], values.to_dict()["kl_per_dimension"]
        (None, [1.0])
        """
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    def __str__(self) -> str:
        draws = f", {self.n_samples:,} draws of z each" if self.n_samples else ""
        head = f"{self.n_examples:,} examples of the split {self.split!r}{draws}; means ± stderr"
        rows = [row for row in self._rows() if row[1] is not None]
        cells = [
            (name, *_number(value, error), unit, says) for name, value, error, unit, says in rows
        ]
        widths = [max((len(cell[i]) for cell in cells), default=0) for i in range(4)]
        lines = [
            f"  {name:<{widths[0]}}  {value:>{widths[1]}} {error:<{widths[2]}}  "
            f"{unit:<{widths[3]}}  {says}".rstrip()
            for name, value, error, unit, says in cells
        ]
        notes = [f"note: {self.note}"] if self.note else []
        notes += [f"warning: {warning}" for warning in self.warnings]
        notes = [fill(note, 100, subsequent_indent="  ") for note in notes]
        return "\n".join([head, "", *lines, *([""] if notes else []), *notes])

    def _rows(self) -> list[tuple[str, float | None, float | None, str, str]]:
        """Return (name, value, stderr, unit, words) of every line of the table."""
        # A bound of a likelihood exists only where there is a likelihood.
        bound = "lower bound of log p(x)" if self.is_likelihood else "reconstruction - kl"
        estimate = "log p(x) by importance sampling"
        if self.n_samples is None:
            estimate = "the exact log-probability"
        elif not self.is_likelihood:
            estimate = "importance-sampled, but no likelihood"
        raw = "" if self.raw_bits is None else f"; as stored {self.raw_bits:,.0f}"
        of = "" if self.latent_dim is None else f"of {self.latent_dim}"
        return [
            ("elbo", self.elbo, self.elbo_stderr, "nats", f"{bound}; higher is better"),
            (
                "log_likelihood",
                self.log_likelihood,
                self.log_likelihood_stderr,
                "nats",
                f"{estimate}; higher is better",
            ),
            (
                "reconstruction",
                self.reconstruction,
                self.reconstruction_stderr,
                "nats",
                "how well x is described, given its z; higher is better",
            ),
            ("kl", self.kl, self.kl_stderr, "nats", f"what z tells of x ({self.kl_method})"),
            *(
                (f"kl of {name}", value, None, "nats", "the share of this layer")
                for name, value in (self.kl_groups or {}).items()
            ),
            (
                "bits_per_dim",
                self.bits_per_dim,
                self.bits_per_dim_stderr,
                "bits",
                "per entry of x; lower is better",
            ),
            ("code_bits", self.code_bits, None, "bits", f"to compress one example{raw}"),
            ("mse", self.mse, self.mse_stderr, "", "squared error per entry of a reconstruction"),
            ("accuracy", self.accuracy, self.accuracy_stderr, "", "labels told rightly, of 1"),
            (
                "cluster_accuracy",
                self.cluster_accuracy,
                self.cluster_accuracy_stderr,
                "",
                f"labels told by the {self.n_clusters} clusters, matched one to one",
            ),
            (
                "cluster_majority",
                self.cluster_majority,
                self.cluster_majority_stderr,
                "",
                "labels told by each cluster's commonest label",
            ),
            (
                "cluster_information",
                self.cluster_information,
                None,
                "",
                "normalized mutual information of clusters and labels",
            ),
            ("active_units", self.active_units, None, of, "latent dimensions that vary with x"),
            ("codes_in_use", self.codes_in_use, None, "", "codes that stand for anything"),
            (
                "code_perplexity",
                self.code_perplexity,
                None,
                "",
                "as many codes, evenly used, would be as hard to guess",
            ),
            (
                "effective_sample_size",
                self.effective_sample_size,
                None,
                "",
                "share of the draws that count; 1 for an exact posterior",
            ),
        ]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value


def _number(value: float | None, error: float | None) -> tuple[str, str]:
    """Return a number and its error, to two digits of the error."""
    if value is None:
        return "", ""
    if isinstance(value, int):
        return str(value), ""
    if error is None or not error > 0:
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}", ""
    digits = next((d for d in range(2, 7) if error >= 10.0 ** (1 - d)), 7)
    return f"{value:,.{digits}f}", f"± {error:.{digits}f}"

r"""A measured number with its standard error: ``-97.06 ± 0.28 nats``.

.. math:: \bar v = \frac1N \sum_n v_n, \qquad e = \frac{\operatorname{sd}_n(v_n)}{\sqrt N}

A ``Figure`` scales and negates. The difference ``a - b`` has the error of independent figures,
``a.paired_difference(b)`` that of figures of the same examples. ``Facts`` are the other results of
an evaluation, ``Difference`` is the result of a comparison.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import hypot, inf, isfinite
from typing import TypedDict

from torch import Tensor

from reparam.errors import OptionError, ShapeError
from reparam.utils.equality import by_value


def mean_and_stderr(values: Tensor) -> tuple[float, float | None]:
    r"""Return the mean of values with shape (N,), and its standard error.

    .. math:: \bar v = \frac1N \sum_n v_n, \qquad
              \sqrt{\frac{1}{N (N - 1)} \sum_n (v_n - \bar v)^2}

    The standard error is None for a single value.

    >>> import torch
    >>> mean_and_stderr(torch.tensor([1.0, 3.0]))
    (2.0, 1.0)
    """
    wide = values.detach().double()
    stderr = float(wide.std() / len(wide) ** 0.5) if len(wide) > 1 else None
    return float(wide.mean()), stderr


def quantile(df: float) -> float:
    """Return the 97.5 % quantile of Student's t distribution.

    Arguments:
        df: The degrees of freedom; infinite for the normal distribution.

    >>> from math import inf
    >>> round(quantile(1), 3), round(quantile(inf), 3)
    (12.706, 1.96)
    """
    # SciPy takes as long to import as torch itself.
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.975))


@by_value
@dataclass(frozen=True)
class Figure:
    r"""A measured number and its standard error.

    Arguments:
        value: The number.
        stderr: Its standard error over examples, draws or blocks; None where there is none.
        n: The number of examples, draws or blocks that it is a mean of; None where it is no mean.
        unit: Its unit, such as ``nats``; empty for a pure number.
        higher_is_better: Its direction; None where neither is better.
        description: Its meaning.
        bias: An estimate of how much too high the value is; None where it is not known.
        stderr_seeds: The standard error over seeds of training; None for a single seed.
        df_seeds: The degrees of freedom of ``stderr_seeds``.
        per_example: The values of the examples, float64 with shape (N,). Not compared by ``==``.

    Example:
        >>> elbo = Figure(-69.3147, 0.6931, unit="nats", higher_is_better=True)
        >>> str(elbo), str(-elbo / 0.693147)
        ('-69.31 ± 0.69', '100.00 ± 1.00')
    """

    value: float
    stderr: float | None = None
    n: int | None = None
    unit: str = ""
    higher_is_better: bool | None = None
    description: str = ""
    bias: float | None = None
    stderr_seeds: float | None = None
    df_seeds: float = inf
    per_example: Tensor | None = field(default=None, repr=False, compare=False)

    @classmethod
    def mean(cls, values: Tensor, unit: str = "") -> "Figure":
        """Return the mean of the values of examples, with shape (N,), which it keeps.

        Example:
            >>> import torch
            >>> Figure.mean(torch.tensor([1.0, 3.0])).stderr
            1.0
        """
        wide = values.detach().cpu().double()
        value, stderr = mean_and_stderr(wide)
        return cls(
            value, stderr if isfinite(value) else None, len(wide), unit=unit, per_example=wide
        )

    @property
    def is_finite(self) -> bool:
        """Whether the value is a finite number."""
        return isfinite(self.value)

    @property
    def margin(self) -> float | None:
        r"""Half the width of the 95 % interval of the value; None without a standard error.

        .. math:: m = \sqrt{\big(t_{\nu_\text{points}} e_\text{points}\big)^2
                          + \big(t_{\nu_\text{seeds}} e_\text{seeds}\big)^2}

        with the 97.5 % quantiles t of Student's distribution, one for each error. The common
        degrees of freedom by Welch and Satterthwaite are those of the many test points: with them,
        the false-positive rate of two seeds against one would be 12 %.

        References:
            Banerjee, Sankhyā 1960 (with one quantile for each error, coverage is 95 % or more).
        """
        df = inf if self.n is None else self.n - 1
        errors = ((self.stderr, df), (self.stderr_seeds, self.df_seeds))
        margins = [quantile(freedom) * error for error, freedom in errors if error is not None]
        return hypot(*margins) if margins else None

    @property
    def is_clear(self) -> bool:
        """Whether zero lies outside of the 95 % interval.

        >>> Figure(3.0, 1.0).is_clear, Figure(3.0, 1.0, stderr_seeds=1.0, df_seeds=2).is_clear
        (True, False)
        """
        return self.margin is not None and abs(self.value) > self.margin

    def paired_difference(self, other: "Figure") -> "Figure":
        """Return this figure less another of the same examples, with the error of the pairs.

        Pairing removes the variance that both models share.

        Raises:
            OptionError: A figure without values of its examples.
            ShapeError: Another number of examples.

        Example:
            >>> import torch
            >>> a, b = (Figure.mean(torch.tensor(v)) for v in ([2.0, 6.0], [1.0, 3.0]))
            >>> str(a.paired_difference(b))
            '2.00 ± 1.00'
        """
        if self.per_example is None or other.per_example is None:
            raise OptionError("a paired difference needs per_example= of both figures")
        if len(self.per_example) != len(other.per_example):
            raise ShapeError(
                f"figures of {len(self.per_example)} and of {len(other.per_example)} examples: a "
                "paired difference needs the same examples, so evaluate both on them"
            )
        return Figure.mean(self.per_example - other.per_example, self.unit)

    def _scaled(self, scale: float, apply: Callable[[float], float]) -> "Figure":
        """Return the figure under a linear map with a slope."""
        up, size = self.higher_is_better, abs(scale)
        values = self.per_example
        return replace(
            self,
            value=apply(self.value),
            stderr=None if self.stderr is None else size * self.stderr,
            higher_is_better=None if up is None else up is (scale > 0),
            bias=None if self.bias is None else scale * self.bias,
            stderr_seeds=None if self.stderr_seeds is None else size * self.stderr_seeds,
            per_example=None if values is None else apply(values),  # type: ignore[arg-type]
        )

    def __neg__(self) -> "Figure":
        return self._scaled(-1.0, lambda v: -v)

    def __mul__(self, factor: float) -> "Figure":
        return self._scaled(factor, lambda v: v * factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> "Figure":
        return self._scaled(1 / divisor, lambda v: v / divisor)

    def __add__(self, other: "Figure | float") -> "Figure":
        if not isinstance(other, Figure):
            return self._scaled(1.0, lambda v: v + other)
        if self.unit != other.unit:
            raise OptionError(
                f"figures in {self.unit or 'no unit'} and in {other.unit or 'no unit'}: convert "
                "one of them first, as in figure / log(2) for bits"
            )
        return Figure(
            self.value + other.value,
            _joint(self.stderr, other.stderr),
            unit=self.unit,
            higher_is_better=self.higher_is_better,
            stderr_seeds=_joint(self.stderr_seeds, other.stderr_seeds),
            df_seeds=min(self.df_seeds, other.df_seeds),
        )

    __radd__ = __add__

    def __sub__(self, other: "Figure | float") -> "Figure":
        return self + -other

    def __rsub__(self, other: float) -> "Figure":
        return -self + other

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        return " ".join(formatted(self.value, self.stderr)).strip()


def _joint(first: float | None, second: float | None) -> float | None:
    """Return the error of a sum of independent numbers; a number without an error is exact."""
    errors = [error for error in (first, second) if error is not None]
    return hypot(*errors) if errors else None


def formatted(value: float | None, *errors: float | None) -> tuple[str, ...]:
    """Return a number and its errors as text, to two digits of the smallest error.

    A number or an error that is None is empty, and so is an error of the size of rounding.

    >>> formatted(-97.0612, 0.283), formatted(2.4567, 0.047, 0.3), formatted(54.43, 1e-9)
    (('-97.06', '± 0.28'), ('2.457', '± 0.047', '± 0.300'), ('54.4', ''))
    """
    none = ("",) * len(errors)
    if value is None:
        return "", *none
    if isinstance(value, int):
        return str(value), *none
    rounding = 1e-7 * max(1.0, abs(value))
    errors = tuple(None if e is not None and 0 < e < rounding else e for e in errors)
    smallest = min((error for error in errors if error is not None and error > 0), default=None)
    if smallest is None:
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}", *none
    digits = next((d for d in range(2, 7) if smallest >= 10.0 ** (1 - d)), 7)
    texts = ("" if error is None else f"± {error:.{digits}f}" for error in errors)
    return f"{value:,.{digits}f}", *texts


@dataclass(frozen=True)
class Difference:
    """The figures of a group less those of the reference.

    Arguments:
        name: The group.
        figures: The differences that exist, by figure, in nats.
        is_alike: Whether both log-probabilities are of the same variables; if not, neither is
            called better.
    """

    name: str
    figures: dict[str, Figure]
    is_alike: bool = True

    @property
    def clear(self) -> dict[str, Figure]:
        """The differences whose 95 % interval leaves out zero, where both are alike."""
        return {name: d for name, d in self.figures.items() if self.is_alike and d.is_clear}


Figures = Mapping[str, Figure]


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
        n_rounded: The number of columns of a table whose values are rounded, so that ``p(x)`` has
            the probabilities of their cells; None for other data.
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
    n_rounded: int | None = None
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

    split: str
    note: str | None
    data: str | None
    binarize: str | None
    n_samples: int | None
    proposal: str | None

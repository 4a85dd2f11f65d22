"""From nats to bits: the length of discrete data under a code for p(x)."""

from math import log, log2

from reparam.spec import DataSpec


def log_cells(spec: DataSpec, discrete: bool) -> float | None:
    r"""Return the nats between a log-density of x and the log-probability of discrete data.

    .. math:: \log P(k) = \log \int_{[0, 1)^D} p\Bigl(\frac{k + u}{L}\Bigr) L^{-D} \, du
              \ge \mathbb E_u\Bigl[\log p\Bigl(\frac{k + u}{L}\Bigr)\Bigr] - D \log L

    Uniform noise makes x = (k + u) / L of a value k, whose cell has the volume 1 / L in each of the
    D entries. The mean log-density less the return value is then a lower bound of the
    log-probability of the discrete values, and the bits that it gives are an upper bound.

    Arguments:
        spec: The shape and support of the data.
        discrete: Whether the model gives masses.

    Returns:
        D log L; 0 where the model gives the masses of discrete values; None where there are no
        discrete values, or where the model and the data are not of one kind.

    References:
        Uria, Murray & Larochelle, NeurIPS 2013; Theis, van den Oord & Bethge, A note on the
        evaluation of generative models, ICLR 2016, section 3.1.

    Example:
        >>> spec = DataSpec((1,), "unit", dequantized_from=256)
        >>> round(log_cells(spec, discrete=False) / log(2), 6), log_cells(spec, discrete=True)
        (8.0, None)
    """
    if spec.dequantized_from is not None:
        return None if discrete else spec.dim * log(spec.dequantized_from)
    has_values = spec.support in ("binary", "categorical", "counts", "tokens") or spec.levels
    return 0.0 if discrete and has_values else None


def raw_bits(spec: DataSpec) -> float | None:
    """Return the bits of an example as it is stored; None for continuous data.

    >>> raw_bits(DataSpec((1, 2, 2), "unit", levels=256))
    32.0
    """
    levels = 2 if spec.support == "binary" else spec.dequantized_from or spec.levels
    return None if levels is None else spec.dim * log2(levels)

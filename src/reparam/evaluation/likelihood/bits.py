"""From nats to bits: what a coder of discrete data would spend."""

from math import log, log2

from reparam.spec import DataSpec


def log_cells(spec: DataSpec, discrete: bool) -> float | None:
    r"""Return what turns a log-density of x into the log-probability of discrete data, in nats.

    .. math:: \log P(k) = \log \int_{[0, 1)^D} p\Bigl(\frac{k + u}{L}\Bigr) L^{-D} \, du
              \ge \mathbb E_u\Bigl[\log p\Bigl(\frac{k + u}{L}\Bigr)\Bigr] - D \log L

    Uniform noise makes x = (k + u) / L of a value k, whose cell has the volume 1 / L in each of the
    D entries. The mean log-density less the return value is then a lower bound of the
    log-probability of the discrete values, and the bits that it gives are an upper bound.

    Arguments:
        spec: What is known of the data.
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


def bits(log_prob: float | None, offset: float | None, dim: int = 1) -> float | None:
    """Return nats as bits for each of ``dim`` entries, less the cells' ``offset``.

    >>> bits(-log(2), 0.0), bits(-log(2), None)
    (1.0, None)
    """
    if log_prob is None or offset is None:
        return None
    return (offset - log_prob) / (dim * log(2))


def bits_stderr(stderr: float | None, offset: float | None, dim: int = 1) -> float | None:
    """Return a standard error of nats as that of bits for each of ``dim`` entries.

    >>> bits_stderr(log(2), 0.0, 2)
    0.5
    """
    return None if stderr is None or offset is None else stderr / (dim * log(2))


def raw_bits(spec: DataSpec) -> float | None:
    """Return the bits of an example as it is stored; None for continuous data.

    >>> raw_bits(DataSpec((1, 2, 2), "unit", levels=256))
    32.0
    """
    levels = 2 if spec.support == "binary" else spec.dequantized_from or spec.levels
    return None if levels is None else spec.dim * log2(levels)

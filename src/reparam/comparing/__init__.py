"""Comparing: runs beside each other, example by example, with what another seed would change."""

from reparam.comparing.compare import compare
from reparam.comparing.comparison import Comparison

__all__ = ["Comparison", "compare"]

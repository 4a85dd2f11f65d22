"""Comparing: runs beside each other, example by example, with what another seed would change."""

from reparam.comparison.compare import compare
from reparam.comparison.result import Comparison

__all__ = ["Comparison", "compare"]

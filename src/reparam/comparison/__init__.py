"""Comparison of runs, example by example, with the errors over test points and over seeds."""

from reparam.comparison.compare import compare, compare_evaluations
from reparam.comparison.result import Comparison

__all__ = ["Comparison", "compare", "compare_evaluations"]

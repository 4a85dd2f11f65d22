"""A report on trained runs: one self-contained page that opens offline."""

from reparam.report.page import Report as Report
from reparam.report.page import report as report

__all__ = ["Report", "report"]

"""The names that experiments import: parts of the ledger, measures, and plots."""

from experiments.common.figures import (
    COLORS,
    losses,
    new_axes,
    new_figure,
    picture_axes,
    pictures,
    reconstructions,
    samples,
)
from experiments.common.measures import (
    STDERR,
    drawing,
    mean_of,
    number,
    row,
    score_rows,
    seconds_of,
)
from experiments.ledger.options import Options
from experiments.ledger.protocol import Protocol, Scores, digest
from experiments.ledger.registry import Experiment, get
from experiments.ledger.rows import Drawing, Findings, Row
from experiments.ledger.run import reproduce

__all__ = [
    "COLORS",
    "STDERR",
    "Drawing",
    "Experiment",
    "Findings",
    "Options",
    "Protocol",
    "Row",
    "Scores",
    "digest",
    "drawing",
    "get",
    "losses",
    "mean_of",
    "new_axes",
    "new_figure",
    "number",
    "picture_axes",
    "pictures",
    "reconstructions",
    "reproduce",
    "row",
    "samples",
    "score_rows",
    "seconds_of",
]

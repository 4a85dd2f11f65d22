"""The page of the stored figures: a table for each protocol, with the published ones."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from experiments.own_data.protocols import PROTOCOLS

Row = Mapping[str, Any]

PUBLISHED: dict[str, str] = {
    "imputation": (
        "A plain script of MIWAE (two tanh layers of 128, 10 latents, K = 20, Student-t, 500 "
        "epochs, 2,000 importance samples) measured with the same masks: 0.587 on banknote, "
        "0.260 on breast-cancer, 0.696 on concrete, 0.663 on wine-red, in 54 to 104 s a fit. "
        "`iterative` is scikit-learn's IterativeImputer: with its own default, or with forests "
        "that have the defaults of missForest (100 trees, the square root of the number of columns "
        "in each split, at most 10 rounds)."
    ),
    "outliers": (
        "Areas under the ROC curve in %. PyOD's VAE has its defaults, with which the KL divergence "
        "is no part of the loss, and scores by the distance from the reconstruction. Published "
        "for it, fitted to all rows: 95.0 on cardio and 88.7 on mammography (README of "
        "vicliv/DTE). Our default, `combined`, was chosen on these sets: a soft minimum of "
        "log-likelihood, latent density and reconstruction."
    ),
    "codes": (
        "20 principal components: 88.06 % by a linear probe, 96.94 % by 5 neighbors, and 73.9 % by "
        "these neighbors from 100 labels."
    ),
    "counts": (
        "In nats for a held-out cell, with 200 draws. SCVI, of scvi-tools, has 10 latents, "
        "zero-inflated negative binomials and its other defaults, which are 400 epochs; `early "
        "stopping` looks at the held-out cells themselves. Its figures are of the counts given the "
        "total of their cell, as those of `VAE, given the total`; those of `VAE` are of the counts "
        "and their total, and so lower for the same model. Published for scDeepCluster: ARI 78.4."
    ),
    "generation": (
        "`shape` and `trend` of sdmetrics 0.24.0; `c2st_*` is 2 - 2 AUC of a classifier that tells "
        "drawn rows from training rows (1 where it cannot); `auc` is that of XGBoost on test rows "
        "after training on drawn rows; `closer_to_train` is the share of drawn rows that lie "
        "closer to training rows than to as many test rows (0.5 where nothing is memorized); "
        "`log_likelihood` is that of test rows in nats. The budget of `in time`, `budget_s`, is "
        "nine tenths of the seconds that TabularARGN takes beside it. Published (arXiv "
        "2603.23016), Shape, Trend, C2ST-XGB and AUC: TabSyn 0.985, 0.977, 0.655 and 0.914 on "
        "shoppers in 2,441 s, 0.990, 0.992, 0.760 and 0.937 on magic, 0.992, 0.980, 0.794 and "
        "0.910 on adult."
    ),
}
"""What others have, by protocol."""


def page(folder: Path) -> str:
    """Return the page of the rows in a folder, in Markdown."""
    lines = [
        "# Other people's data",
        "",
        "Figures of the estimators by published protocols, each with its command, commit, machine",
        "and seed in [own-data/](own-data/). `python -m experiments.own_data PROTOCOL` measures",
        "them. Fits ran beside other processes, so that their seconds are upper bounds.",
    ]
    for name in PROTOCOLS:
        place = folder / f"{name}.jsonl"
        if place.exists():
            rows = [json.loads(line) for line in place.read_text("utf-8").splitlines()]
            summary = (PROTOCOLS[name].__doc__ or "").strip().partition("\n")[0]
            lines += ["", f"## {name.capitalize()}", "", summary, "", PUBLISHED[name], ""]
            lines += [*table(rows), *versions(rows)]
    return "\n".join(lines) + "\n"


def table(rows: Sequence[Row]) -> list[str]:
    """Return the rows of a protocol as a table of means over seeds."""
    figures = list(dict.fromkeys(name for row in rows for name in row["figures"]))
    sets = list(dict.fromkeys(row["set"] for row in rows))
    keys = list(dict.fromkeys((row["set"], row["contender"]) for row in rows))
    keys.sort(key=lambda key: sets.index(key[0]))
    lines = [
        f"| set | contender | seeds | {' | '.join(figures)} |",
        "|---" * (3 + len(figures)) + "|",
    ]
    for key in keys:
        own = [row for row in rows if (row["set"], row["contender"]) == key]
        cells = []
        for name in figures:
            values = [row["figures"][name] for row in own if name in row["figures"]]
            cells.append(f"{mean(values):.4g}" if values else "")
        lines.append(f"| {key[0]} | {key[1]} | {len(own)} | {' | '.join(cells)} |")
    for contender in dict.fromkeys(row["contender"] for row in rows):
        own = [row for row in rows if row["contender"] == contender]
        if len({row["set"] for row in own}) > 2:
            means = [
                f"{mean(r['figures'][name] for r in own if name in r['figures']):.4g}"
                if any(name in r["figures"] for r in own)
                else ""
                for name in figures
            ]
            lines.append(f"| **mean** | {contender} | | {' | '.join(means)} |")
    return lines


def versions(rows: Sequence[Row]) -> list[str]:
    """Return a line of the versions of other libraries; none where no row has any.

    >>> versions([{"versions": {"pyod": "3.6.7"}}, {"versions": {"pyod": "3.6.7"}}, {}])
    ['', 'Versions: pyod 3.6.7.']
    """
    found = dict.fromkeys(
        f"{name} {number}" for row in rows for name, number in row.get("versions", {}).items()
    )
    return ["", f"Versions: {', '.join(found)}."] if found else []

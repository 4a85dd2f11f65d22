"""The page of the stored rows: a table for each group, and how often ours wins."""

from collections.abc import Mapping, Sequence
from math import inf
from statistics import mean

from experiments.defaults.classical import CLASSICAL
from experiments.defaults.rows import Key, Stored
from experiments.ledger.provenance import words

HEADING = """# Defaults

Written by `python -m experiments.defaults --page` from the rows in [defaults/](defaults); do not
edit. The contenders get the same 70 % of the rows, and are scored on the others: log p(x) in nats
per row and in the units of the columns, where a rounded column counts with the probability of its
cell. Ours is the plain command without options, over the seeds of the split. It gets the rows as a
DataFrame, as a file of them goes in, with its kinds of columns and frequent values; the test rows
count for one thing, which values a column of few values can have. Beside it are the figures of the
same rows as an array, which has neither.
"""

LEAST_SHARE, MOST_BEHIND = 0.9, 0.5
"""The targets: the share of sets at or above the best classical model, and nats below it."""

Rows = Mapping[Key, Stored]


def page(rows: Rows) -> str:
    """Return the page in Markdown.

    >>> row = {"group": "tables", "score": -1.0, "columns": 2, "rows": 9, "fit_seconds": 1.0}
    >>> row |= {"machine": {"cpu": "x", "threads": 1, "cores": 2, "torch": "2"}, "seed": 0}
    >>> row |= {"date": "today", "commit": "c0ffee", "problems": []}
    >>> rows = {("a", 0, "ours"): row, ("a", 0, "gaussian"): row | {"score": -3.0}}
    >>> [line for line in page(rows).splitlines() if line.startswith("| a")]
    ['| a | 9 × 2 | -3.00 |  |  |  | -1.00 | +2.00 |  |  |  | none | 1 |']
    """
    parts = [HEADING]
    for group, title in (("tables", "Tables"), ("more", "Further tables")):
        names = _sets(rows, group)
        if names:
            parts += [f"## {title}\n", _summary(rows, names), _tables(rows, names)]
    others = _sets(rows, "images") + _sets(rows, "other")
    if others:
        parts += ["## Images, text and counts\n", _others(rows, others)]
    return "\n".join([*parts, _origin(rows)])


def _sets(rows: Rows, group: str) -> list[str]:
    return list(dict.fromkeys(key[0] for key, row in rows.items() if row["group"] == group))


def _of(rows: Rows, name: str, contender: str) -> list[Stored]:
    """Return the rows of a contender on a set, by their seeds."""
    return [row for (of, _, who), row in sorted(rows.items()) if (of, who) == (name, contender)]


def score(rows: Rows, name: str, contender: str) -> float | None:
    """Return the mean score over the seeds; None without rows, or if one of them has no score."""
    scores = [row["score"] for row in _of(rows, name, contender)]
    return None if not scores or None in scores else mean(scores)


def difference(rows: Rows, name: str, other: str, one: str = "ours") -> float | None:
    """Return ours less another contender in nats, over the seeds of both; None without one.

    A fit of ours without a score is infinitely far behind, and one of the other does not count.
    """
    mine = {row["seed"]: row["score"] for row in _of(rows, name, one)}
    theirs = {row["seed"]: row["score"] for row in _of(rows, name, other)}
    both = [seed for seed in mine if theirs.get(seed) is not None]
    if not both:
        return None
    if None in [mine[seed] for seed in both]:
        return -inf
    return mean(mine[seed] - theirs[seed] for seed in both)


def differences(rows: Rows, names: Sequence[str], others: Sequence[str]) -> dict[str, float]:
    """Return ours less the best of others, in nats, for each set that has both."""
    found = {}
    for name in names:
        beside = [value for other in others if (value := difference(rows, name, other)) is not None]
        if beside:
            found[name] = min(beside)
    return found


def _summary(rows: Rows, names: Sequence[str]) -> str:
    lines = []
    for others, title in (
        (list(CLASSICAL), "the best classical model"),
        (["gaussian", "factor-analysis"], "one Gaussian and factor analysis"),
    ):
        found = differences(rows, names, others)
        if not found:
            continue
        won = sum(value >= 0 for value in found.values())
        worst = min(found, key=lambda name: found[name])
        lines.append(
            f"Ours is at or above {title} on {won} of {len(found)} sets ({won / len(found):.0%}); "
            f"the worst difference is {found[worst]:+.2f} nats, on {worst}."
        )
    lines.append(
        f"The targets are {LEAST_SHARE:.0%} of the sets, and at most {MOST_BEHIND} nats below."
    )
    return "\n".join([*lines, ""])


def _tables(rows: Rows, names: Sequence[str]) -> str:
    header = ["set", "rows × columns", *CLASSICAL, "ours", "less the best", "oracle"]
    lines = _header([*header, "as an array", "array, scaled columns", "problems", "seconds"])
    ahead = differences(rows, names, list(CLASSICAL))
    for name in names:
        sizes = [row for key, row in rows.items() if key[0] == name and "rows" in row]
        cells = [f"{row['rows']:,} × {row['columns']}" for row in sizes[:1]] or [""]
        cells += [_number(score(rows, name, who)) for who in CLASSICAL]
        mine = _of(rows, name, "ours")
        cells += [_number(score(rows, name, "ours"))]
        cells += [f"{ahead[name]:+.2f}" if name in ahead else ""]
        of_both = (("ours", "oracle"), ("ours", "ours-array"), ("ours-array", "ours-scaled"))
        for one, other in of_both:
            value, beside = score(rows, name, other), difference(rows, name, other, one)
            said = "" if beside is None else f" ({beside:+.2f})"
            cells.append("" if value is None else f"{value:.2f}{said}")
        lines.append(_line([name, *cells, *_health(mine)]))
    brackets = (
        "In brackets: ours less it, or the array less the scaled one, over the seeds of both."
    )
    return "\n".join([*lines, "", brackets, ""])


def _others(rows: Rows, names: Sequence[str]) -> str:
    header = ["set", "score", "unit", "ELBO", "FID", "KID", "FID of pythae", "KID of pythae"]
    lines, pictures = _header([*header, "problems", "seconds"]), []
    for name in names:
        mine, theirs = _of(rows, name, "ours"), _of(rows, name, "pythae")
        elbos = [row["figures"]["elbo"] for row in mine if "figures" in row]
        cells = [name, _number(score(rows, name, "ours")), mine[0]["unit"]]
        cells.append(_number(mean(elbos) if elbos else None))
        for one in (mine, theirs):
            for kind in ("fid", "kid"):
                values = [row["distances"][kind][0] for row in one if "distances" in row]
                cells.append(f"{mean(values):.3g}" if values else "")
        lines.append(_line([*cells, *_health(mine)]))
        whose = ("ours", "pythae") if theirs else ()
        pictures += [f"![{who} on {name}](defaults/{name}-{who}.png)" for who in whose]
    return "\n".join([*lines, "", *pictures, ""])


def _health(mine: Sequence[Stored]) -> list[str]:
    """Return the cells of the problems that the doctor finds, and of the mean seconds of a fit."""
    if not mine:
        return ["", ""]
    errors = [row["error"].partition(":")[0] for row in mine if "error" in row]
    found = sorted({*errors, *(name for row in mine for name in row.get("problems", ()))})
    seconds = [row["fit_seconds"] for row in mine if "fit_seconds" in row]
    return [", ".join(found) or "none", f"{mean(seconds):,.0f}" if seconds else ""]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _header(cells: Sequence[str]) -> list[str]:
    return [_line(cells), _line(["---"] * len(cells))]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _origin(rows: Rows) -> str:
    """Return where the rows come from, for each commit and machine once."""
    found = dict.fromkeys(words(row | {"seed": "0 and on"}) for row in rows.values())
    return "\n".join(["## Origin\n", *(f"- {text}" for text in found), ""])

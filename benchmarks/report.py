"""From the records of a measurement to a page."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobs import JOBS
from jobs.to_elbo import RECIPE, in_words
from settings import Row

Results = Mapping[str, Any]


def rows_of(results: Results) -> list[Row]:
    """Return the rows of all jobs that were measured."""
    found = []
    for name, job in JOBS.items():
        found += job.rows([record for record in results["pieces"] if record["job"] == name])
    return found


def table(results: Results) -> str:
    """Return the rows as a table."""
    lines = [
        "| job | against | target | measured: median (range) | met |",
        "|---|---|---|---|---|",
    ]
    for row in rows_of(results):
        sign = "≥" if row.at_least else "≤"
        wanted = "" if row.target is None else f"{sign} {row.target:g}"
        met = {True: "yes", False: "**no**", None: ""}[row.met]
        lines.append(f"| {row.job} | {row.against} | {wanted} | {row.ratio} | {met} |")
    return "\n".join(lines)


def missed(rows: Sequence[Row]) -> str:
    """Return what is to be said of the targets as a whole."""
    judged = [row for row in rows if row.met is not None]
    failed = [row for row in judged if not row.met]
    lines = [f"{len(judged) - len(failed)} of {len(judged)} targets are met."]
    if failed:
        lines += ["Missed:", ""]
    for row in failed:
        why = "" if row.valid else "; the comparison does not hold"
        found = f"{row.ratio.median:.2f} where {row.target:g} is wanted{why}"
        lines.append(f"- {row.job}, against {row.against}: {found}.")
    return "\n".join(lines)


def noise(results: Results, rows: Sequence[Row]) -> str:
    """Return how far repetitions differ, and how busy the machine was."""
    if not rows:
        return "Nothing was measured."
    widest = max(rows, key=lambda row: max(row.ratio.values) / min(row.ratio.values))
    factor = max(widest.ratio.values) / min(widest.ratio.values)
    busiest = max(record["load_before"] for record in results["pieces"])
    return (
        f"Between repetitions the least steady ratio, {widest.job} against {widest.against}, "
        f"varied by a factor of {factor:.2f}. The load of the machine, which the pieces before one "
        f"are a part of, was at most {busiest:.1f} when a piece began. A difference smaller than "
        "the range of a row says nothing."
    )


def page(results: Results) -> str:
    """Return the page of the documentation."""
    rows = rows_of(results)
    machine = results["machine"]
    words = " ".join(in_words(RECIPE))
    notes = {row.note: f"- {row.job}: {row.note}." for row in reversed(rows) if row.note}
    instructions = ", ".join(machine["bfloat16"]) or "no instructions for bfloat16"
    return f"""# Benchmarks

Written by `make bench`; do not edit. Ratios of processes that ran in turn on one machine, never
promises in seconds: yours is another.

{table(results)}

{missed(rows)}

Measured on {results["began"][:10]} at commit {results["commit"]}: {machine["processor"]},
{machine["cores"]} cores, {instructions}; torch {results["torch"]}, {results["threads"]} threads,
{results["repeats"]} repetitions. Every record is in `benchmarks/results/cpu.json`. The command:

    {results["command"]}

## The figures behind the ratios

Medians over repetitions.

{chr(10).join(reversed(notes.values()))}

## Noise

{noise(results, rows)}

## What is compared

The network is 784-400-20 and back, the pixels are grey and scored by cross-entropy, as in a
well-known tutorial; such an ELBO is no likelihood, and only a yardstick.

- (a) is the tutorial's way: a `DataLoader` that turns one picture at a time into a tensor, Adam at
  1e-3, batches of 128, 15 epochs, the loss read in every step. Its pass over the test images after
  every epoch is left out, in its favor.
- (b) is pythae 0.1.2 in an environment of its own with the same torch: its trainer, its
  checkpoints, the same network, optimizer and batches. For the time to an ELBO it is evaluated
  after every epoch and stops once it is there; the time of these evaluations is taken off.
- (c) is the loop that a careful person writes by hand: images in memory as float32, picked by
  index.
- (d) is the time of the matrix products alone, measured in the same run at the job's own shapes
  with everything in place: forward, gradients of the weights, gradients of the inputs save the
  first layer's; for the likelihood those of the decoder. In bfloat16 and in float32: `reparam`
  trains in bfloat16 where the processor computes in it, and always evaluates in float32.

Process start to the ELBO: whole processes, from before the start of Python to after its end, with
reading the data, and with writing what each of them writes. One evaluator, which shares no code
with any of them, measures the test ELBO of all weights afterwards, 10 draws for each of the 10,000
test images; it is part of nobody's time. `reparam` runs

    reparam train vae {words}

all of which was chosen on 5,000 images held out of the training set. It reaches the same ELBO in
fewer epochs, so that this ratio is partly the recipe's; the throughput is the code's alone.
Repetition r has seed r in every contender. The comparison holds if more than half of the
repetitions reach the tutorial's ELBO.

Training throughput: the median epoch, without the first one. The loops of the others clip no
gradients, and `reparam` is told not to either; one row tells what its clipping, which is the
default, costs. The log-likelihood is that of
`run.evaluate`, whose other figures are computed along the way, on the first test images; time grows
in proportion to their number. pythae takes images one by one, so that some tens of them tell its
rate. Memory is the largest resident set of the process. Importing: whole processes, of Python too.
"""

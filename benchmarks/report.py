"""The page of a measurement."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.jobs import JOBS, explorer, frontier, memory, scaling, serving
from benchmarks.jobs.to_elbo import RECIPE, in_words
from experiments.ledger.provenance import words
from experiments.ledger.rows import Row, markdown, verdict

Results = dict[str, Any]


def rows_of(results: Results) -> list[Row]:
    """Return the rows of all jobs that were measured."""
    found = []
    for name, job in JOBS.items():
        found += job.rows([record for record in results["records"] if record["job"] == name])
    return found


def missed(rows: Sequence[Row]) -> str:
    """Return the number of targets that are met, and the list of the others."""
    lines = [f"{verdict(rows)}.", ""]
    for row in rows:
        if row.met is False:
            why = "" if row.valid else "; the comparison does not hold"
            found = f"{row.ours:.2f}, target {row.target:g}{why}"
            against = f", against {row.against}" if row.against else ""
            lines.append(f"- {row.what}{against}: {found}.")
    return "\n".join(lines).strip()


def noise(results: Results, rows: Sequence[Row]) -> str:
    """Return how far repetitions differ, and how busy the machine was."""
    # A figure that is compared with nothing is no ratio.
    ratios = [row for row in rows if row.spread is not None and row.against]
    spreads = {row.spread[1] / row.spread[0]: row for row in ratios if row.spread is not None}
    if not spreads:
        return "Nothing was measured."
    factor = max(spreads)
    row = spreads[factor]
    busiest = max(record["load_before"] for record in results["records"])
    return (
        f"Between repetitions the least steady ratio, {row.what} against {row.against}, varied by "
        f"a factor of {factor:.2f}. The load of the machine when a piece began, to which the "
        f"pieces before it contribute, was at most {busiest:.1f}. A difference smaller than the "
        "range of a row is not significant."
    )


def growth(results: Results | None) -> str:
    """Return the section on how cost grows; empty where it was not measured."""
    if results is None:
        return ""
    return f"""
## How cost grows

{scaling.section(results["records"])}

{source(results, "scaling")}
"""


def on_disk(results: Results | None) -> str:
    """Return the section on data larger than memory; empty where it was not measured."""
    if results is None:
        return ""
    return f"""
## Data larger than memory

{memory.section(results["records"])}

{source(results, "memory")}
"""


def served(results: Results | None) -> str:
    """Return the section on a server under load; empty where it was not measured."""
    if results is None:
        return ""
    return f"""
## A server under load

{serving.section(results["records"])}

{source(results, "serving")}
"""


def in_browser(results: Results | None) -> str:
    """Return the section on the explorer; empty where it was not measured."""
    if results is None:
        return ""
    return f"""
## From the pointer to the image

{explorer.section(results["records"])}

{source(results, "explorer")}
"""


def on_gpu(results: Results | None) -> str:
    """Return the section on a GPU; empty where it was not measured."""
    if results is None:
        return ""
    # It imports torch, whose memory the processes of a measurement would begin with.
    from benchmarks import gpu

    rows = [row for name in gpu.JOBS for row in gpu.rows(name, results["records"])]
    firsts = [each["seconds"][0] for each in results["records"] if each["job"] == "mnist-job"]
    return f"""
## On a GPU

{chr(10).join(markdown(rows))}

{missed(rows)}

`mnist-job` is the training of 784-400-20 to the tutorial's ELBO with its first epoch, in which a
graph is captured. In a process that has not used the GPU before, this epoch takes
{max(firsts):.1f} s, most of it for the import of packages and the start of CUDA; later it takes
{min(firsts):.2f} s. `step-time` is a step of the same network with 128 images: one CUDA graph of
about 130 small kernels, whose launches take most of the time. `flow-prior` has a flow as the prior.
`iwae-protocol` projects the 9.77 million steps of 20 images of Burda et al. from three epochs.

Measured on {results["machine"]["device"]}, {words(results)}. Every record is in
`benchmarks/results/cuda.json`. The command:

    {results["command"]}
"""


def bought(results: Results | None) -> str:
    """Return the section on what a time buys; empty where it was not measured."""
    if results is None:
        return ""
    recipes = "\n".join(
        f"- {name}: `reparam train vae {' '.join(in_words(recipe))}`"
        for name, recipe in frontier.FIXED.items()
    )
    return f"""
## What a time buys

![ELBO and log-likelihood over seconds](pictures/frontier.png)

`--budget` sets the length of a run by a wall-clock time. The seconds of `reparam` are those of the
whole process; the tutorial and pythae have the weights after the last epoch within each time, which
begins after they have imported torch. The fixed recipes are:

{recipes}

The log-likelihood is that of the first 1,000 test images by {frontier.SAMPLES} importance samples.
The figure has the first repetition; the longest time is measured in this one only.

{source(results, "frontier")}
"""


def source(results: Results, name: str) -> str:
    """Return where the figures of a job that is run by itself come from."""
    return f"""Measured on {words(results)}; {results["repeats"]} repetitions. Every record is in
`benchmarks/results/{name}.json`. The command:

    {results["command"]}"""


def page(found: Mapping[str, Results | None]) -> str:
    """Return the page of the documentation.

    Arguments:
        found: The results by the names of their files: those of ``cpu``, and of the jobs that are
            run by themselves, if they are measured.
    """
    results = found["cpu"]
    if results is None:
        return ""
    rows = [row for each in found.values() if each is not None for row in rows_of(each)]
    recipe = " ".join(in_words(RECIPE))
    notes = {row.note: f"- {row.what}: {row.note}." for row in reversed(rows) if row.note}
    instructions = ", ".join(results["machine"]["bfloat16"]) or "no instructions for bfloat16"
    return f"""# Benchmarks

Written by `make bench`; do not edit. Ratios of processes that ran in turn on one machine, which
another machine changes; medians over repetitions, with the smallest and the largest value.

{chr(10).join(markdown(rows))}

{missed(rows)}

Measured on {words(results)},
{instructions}; {results["repeats"]} repetitions. Every record is in `benchmarks/results/cpu.json`.
The command:

    {results["command"]}

## The figures behind the ratios

Medians over repetitions.

{chr(10).join(reversed(notes.values()))}

## Noise

{noise(results, rows)}
{bought(found.get("frontier"))}{on_gpu(found.get("cuda"))}{growth(found.get("scaling"))}{on_disk(found.get("memory"))}{served(found.get("serving"))}{in_browser(found.get("explorer"))}
## What is compared

The network is 784-400-20 and back, the pixels are gray and scored by cross-entropy, as in the
tutorial of Yunjey Choi (PyTorch Tutorial for Deep Learning Researchers). Such an ELBO is not a
bound on a likelihood, and serves for comparison only.

- (a) is the tutorial's way: a `DataLoader` that turns one picture at a time into a tensor, Adam at
  1e-3, batches of 128, 15 epochs, the loss read in every step. Its pass over the test images after
  every epoch is left out, in its favor.
- (b) is pythae 0.1.2 in a separate environment with the same torch: its trainer, its
  checkpoints, the same network, optimizer and batches. For the time to an ELBO it is evaluated
  after every epoch and stops once it is there; the time of these evaluations is subtracted.
- (c) is a careful loop written by hand: images in memory as float32, selected by index.
- (d) is the time of the matrix products alone, measured in the same run at the job's own shapes
  with everything in place: forward, gradients of the weights, gradients of the inputs except the
  first layer's; for the likelihood those of the decoder. In bfloat16 and in float32: `reparam`
  trains in bfloat16 where the processor computes in it, and always evaluates in float32.

Process start to the ELBO: whole processes, from before the start of Python to after its end, with
reading the data and writing files. One evaluator, which shares no code with any of them, measures
the test ELBO of all weights afterwards, 10 draws for each of the 10,000 test images; its time is
not counted. `reparam` runs

    reparam train vae {recipe}

all of which was chosen on 5,000 images held out of the training set. It reaches the same ELBO in
fewer epochs, so that this ratio is partly the recipe's; the throughput is the code's alone.
Repetition r has seed r in every contender. The comparison holds if more than half of the
repetitions reach the tutorial's ELBO.

Training throughput: the median epoch, without the first one. The loops of the others clip no
gradients, and here `reparam` does not either; one row has the cost of its clipping, which is the
default. The log-likelihood is that of `run.evaluate`, whose other figures are computed along the
way, on the first test images; time grows in proportion to their number. pythae takes images one by
one, so that some tens of them are enough for its rate. Memory is the largest resident set of the
process. Importing: whole processes, of Python too.
"""

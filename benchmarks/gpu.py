"""Measure training on a GPU: rates, each beside its target.

    python -m benchmarks.gpu --data-dir DIR --repeats 3 --out benchmarks/results/cuda.json
    python -m benchmarks.gpu --data-dir DIR --resume

Every record is written at once, and ``--resume`` skips those that exist. No measurement
takes ten minutes; longer jobs are projected from measured rates. Each job is a function of the
options that returns one record; all run in turn, and then again. The times are those of training
after start-up, from the first step of an epoch to its end. The first epoch, in which kernels are
chosen and graphs are captured, is left out of the rates.
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch

import reparam as rp
from experiments.ledger.provenance import provenance
from experiments.ledger.records import Record, Records
from experiments.ledger.rows import Row, markdown
from reparam.data import Dataset
from reparam.training import Event

IWAE_STEPS = 9.77e6
"""Steps of the protocol of Burda et al.: 3,280 passes over MNIST in batches of 20."""

TUTORIAL_ELBO = -104.3
"""The test ELBO of the tutorial's loop after its 15 epochs."""


def mnist(options: argparse.Namespace, binarize: Literal["dynamic", "none"] = "dynamic") -> Dataset:
    """Return MNIST without a validation split; its first images alone where limited."""
    data = rp.data.load("mnist", data_dir=options.data_dir, binarize=binarize, validation=0)
    if options.limit:
        some = data.split("train").take(torch.arange(options.limit))
        data = replace(data, splits={**data.splits, "train": some})
    return data


def timed(
    recipe: rp.Recipe, data: Dataset, options: argparse.Namespace, **training: Any
) -> tuple[rp.Run, Record]:
    """Train, and return the run, and the seconds and the rates of its epochs."""
    times: list[float] = []

    def watch(event: Event) -> None:
        if event.kind in ("start", "epoch"):
            if options.device.startswith("cuda"):
                torch.cuda.synchronize()
            times.append(time.perf_counter())

    began = time.perf_counter()
    run = rp.fit(recipe, data, device=options.device, progress=False, callbacks=[watch], **training)
    seconds = [after - before for before, after in pairwise(times)]
    n_images, batch = len(data.split("train")), training["batch_size"]
    counted = median(seconds[1:] or seconds)
    return run, {
        "seconds": seconds,
        "fit_s": time.perf_counter() - began,
        "images_per_second": n_images / counted,
        "step_us": 1e6 * counted / -(-n_images // batch),
        "precision": run.config["precision"],
    }


def mnist_job(options: argparse.Namespace) -> Record:
    """Train the CPU's job, 784-400-20 to the tutorial's ELBO; the first epoch counts too."""
    data = mnist(options, "none")
    recipe = rp.variants.vae(data.spec, latent_dim=20, likelihood="cross-entropy")
    run, found = timed(recipe, data, options, epochs=6, batch_size=128, lr=1e-2)
    result = run.evaluate(n_samples=10, device=options.device)
    found |= {"elbo": result.elbo, "elbo_stderr": result.elbo_stderr}
    # A run below the tutorial's ELBO has not done the same job.
    found["valid"] = result.elbo is not None and result.elbo >= TUTORIAL_ELBO
    return found | {"value": sum(found["seconds"]), "unit": "s of training", "target": 1.0}


def step_time(options: argparse.Namespace) -> Record:
    """Take steps of the same network at batch 128."""
    data = mnist(options, "none")
    recipe = rp.variants.vae(data.spec, latent_dim=20, likelihood="cross-entropy")
    _, found = timed(recipe, data, options, epochs=4, batch_size=128)
    return found | {"value": found["step_us"], "unit": "us a step", "target": 60.0}


def iwae_protocol(options: argparse.Namespace) -> Record:
    """Project the protocol of Burda et al.: 784-200-200-50, one draw, batches of 20."""
    data = mnist(options)
    net: dict[str, Any] = {"latent_dim": 50, "hidden": [200, 200], "activation": "tanh"}
    recipe = rp.variants.iwae(data.spec, n_importance=options.importance, **net)
    _, found = timed(recipe, data, options, epochs=3, batch_size=20)
    minutes = IWAE_STEPS * found["step_us"] / 6e7
    found |= {"n_importance": options.importance}
    return found | {"value": minutes, "unit": "min, projected", "target": 40.0}


def flow_prior(options: argparse.Namespace) -> Record:
    """Train with a flow as the prior: its rate, without a target."""
    data = mnist(options)
    recipe = rp.variants.get("flow-prior-vae").builder(data.spec, latent_dim=20)
    _, found = timed(recipe, data, options, epochs=3, batch_size=128)
    return found | {"value": found["images_per_second"], "unit": "images/s", "target": None}


JOBS: dict[str, Callable[[argparse.Namespace], Record]] = {
    "mnist-job": mnist_job,
    "step-time": step_time,
    "iwae-protocol": iwae_protocol,
    "flow-prior": flow_prior,
}


def main() -> None:
    """Measure, print a line for each job and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", help=f"of {', '.join(JOBS)}; all")
    parser.add_argument("--data-dir")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--importance", type=int, default=1, help="draws of the IWAE protocol")
    parser.add_argument("--limit", type=int, default=0, help="training images; 0 for all")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--resume", action="store_true", help="skip the records that exist")
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "cuda.json"))
    options = parser.parse_args()
    is_gpu = options.device.startswith("cuda")
    if is_gpu and not torch.cuda.is_available():
        sys.exit("no GPU is here; --device cpu only shows that the functions run")
    device = torch.cuda.get_device_name() if is_gpu else "cpu"
    words = shlex.join(["python", "-m", "benchmarks.gpu", *sys.argv[1:]])
    facts = {
        **provenance(words, device=device, threads=torch.get_num_threads()),
        "seed": 0,
        "limit": options.limit,
        "importance": options.importance,
    }
    fixed = ("machine", "limit", "importance")
    store = Records(Path(options.out), facts, resume=options.resume, fixed=fixed)
    for repetition in range(options.repeats):
        for name in options.jobs or JOBS:
            key = {"job": name, "repetition": repetition}
            if not store.has(**key):
                store.add({**key, **JOBS[name](options)})
                print(json.dumps(store.records[-1]), flush=True)
    print("\n".join(markdown([row for name in JOBS for row in rows(name, store.records)])))


def rows(job: str, records: Sequence[Record]) -> list[Row]:
    """Return the row of a job, with the median and the range over repetitions."""
    mine = [record for record in records if record["job"] == job]
    if not mine:
        return []
    values = [record["value"] for record in mine]
    spread = (min(values), max(values))
    valid = all(record.get("valid", True) for record in mine)
    unit, target = mine[0]["unit"], mine[0]["target"]
    return [
        Row(
            job,
            median(values),
            unit=unit,
            spread=spread,
            target=target,
            rule="at most",
            valid=valid,
        )
    ]


if __name__ == "__main__":
    main()

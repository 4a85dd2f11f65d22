"""Train a VAE of one size with ``reparam.fit``: images a second, beside the matrix limit.

    python scaling.py --rows 60000 --width 400 --batch 128 --latents 20
    python scaling.py --processes 2

The images are random bytes of the size of MNIST. The products of a training step are timed
afterwards, in the same process, at the shapes of this size and in the precision of the training.
"""

import time
from itertools import pairwise
from statistics import median

import torch
from limit import PRECISIONS, measured, training_products
from mnist import arguments, tell

import reparam as rp
from reparam.training import Event

LOG_EVERY = 20
"""Steps of a window."""


def trained(
    rows: int, width: int, batch: int, latents: int, seconds: float, processes: int
) -> tuple[rp.Run, list[float]]:
    """Train for some seconds after the first window; return the run and the seconds of windows.

    Arguments:
        rows: The number of images.
        width: The size of the hidden layer.
        batch: The number of images of a step, of all processes together.
        latents: The number of latent dimensions.
        seconds: The time of the measurement, at least two windows.
        processes: The number of processes, which exchange gradients by gloo.
    """
    draw = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (rows, 1, 28, 28), generator=draw, dtype=torch.uint8)
    data = rp.data.from_arrays(x)
    recipe = rp.variants.vae(
        data.spec, latent_dim=latents, hidden=[width], likelihood="cross-entropy"
    )
    began: list[float] = []

    def stop(event: Event) -> None:
        if event.kind == "log":
            began.append(time.perf_counter())
            if began[-1] - began[0] > seconds and len(began) > 2:
                event.stop()

    run = rp.fit(
        recipe,
        data,
        steps=10**6,
        early_stopping=0,
        batch_size=batch,
        clip_norm=0.0,
        log_every=LOG_EVERY,
        device="cpu",
        devices=processes,
        progress=False,
        callbacks=[stop],
    )
    return run, [after - before for before, after in pairwise(began)]


def main() -> None:
    """Print images a second of the training and of the matrix products alone."""
    size = {"rows": 60_000, "width": 400, "batch": 128, "latents": 20}
    options = arguments(__doc__, **size, processes=1, duration=2.0, budget=0.05)
    torch.set_num_threads(max(1, options.threads // options.processes))
    numbers = [getattr(options, name) for name in size]
    run, windows = trained(*numbers, options.duration, options.processes)
    if not run.is_main:
        return
    batch = min(options.batch, options.rows)
    torch.set_num_threads(options.threads)
    dtype = PRECISIONS[run.config["precision"]]
    products = training_products(batch, (784, options.width, options.latents))
    with torch.no_grad():
        limit = sum(measured(product, dtype, options.budget) for product in products)
    tell(
        per_second=LOG_EVERY * batch / median(windows),
        limit_per_second=batch / limit,
        precision=run.config["precision"],
    )


if __name__ == "__main__":
    main()

"""Train with ``reparam.fit``, nothing written: the seconds of every epoch at batch 128.

By default gradients are not clipped, as in the loops that it is compared with.

python reparam_throughput.py --data-dir DIR --epochs 3 --precision auto
python reparam_throughput.py --data-dir DIR --epochs 2 --data cifar10
"""

import time
from dataclasses import replace
from itertools import pairwise

import torch
from mnist import arguments, tell

import reparam as rp
from reparam.data import Dataset
from reparam.training import Event


def load(name: str, data_dir: str, limit: int) -> Dataset:
    """Return a data set with gray or color values in [0, 1], all of it or its first images."""
    data = rp.data.load(name, data_dir=data_dir, binarize="none", dequantize=False, validation=0)
    if limit:
        train = data.split("train").take(torch.arange(limit))
        data = replace(data, splits={**data.splits, "train": train})
    return data


def make_recipe(spec: rp.DataSpec) -> rp.Recipe:
    """Return the model for gray digits, or for color photographs."""
    if spec.shape[0] == 1:
        return rp.variants.vae(spec, latent_dim=20, likelihood="cross-entropy")
    return rp.variants.conv_vae(spec, latent_dim=64, likelihood="gaussian-shared", skip=False)


def main() -> None:
    """Train, and print the seconds of every epoch."""
    options = arguments(
        __doc__, data="mnist", epochs=3, precision="auto", device="cpu", clip_norm=0.0
    )
    data = load(options.data, options.data_dir, options.limit)
    times: list[float] = []

    def watch(event: Event) -> None:
        if event.kind in ("start", "epoch"):
            times.append(time.perf_counter())

    run = rp.fit(
        make_recipe(data.spec),
        data,
        epochs=options.epochs,
        batch_size=128,
        clip_norm=options.clip_norm,
        precision=options.precision,
        device=options.device,
        seed=options.seed,
        progress=False,
        callbacks=[watch],
    )
    seconds = [after - before for before, after in pairwise(times)]
    tell(
        seconds=seconds,
        n_images=len(data.split("train")),
        precision=run.config["precision"],
        loss=run.rows[-1]["loss"],
    )


if __name__ == "__main__":
    main()

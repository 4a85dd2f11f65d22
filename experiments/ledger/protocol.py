"""One run of an experiment: its options, and data, training and evaluation by them."""

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import reparam as rp
from experiments.ledger.options import Options
from experiments.ledger.records import read_json, write_json

Keywords = Mapping[str, Any]

TRAINING: Keywords = {"precision": "float32", "lr_schedule": "cosine", "clip_norm": 1.0}
"""The options of ``rp.fit`` that experiments have where they do not set them."""


class Scores(NamedTuple):
    """Figures of every example, in nats with shape (N,).

    Arguments:
        elbo: The evidence lower bound.
        log_likelihood: log p(x) by importance sampling.
        reconstruction: E_q[log p(x | z)].
    """

    elbo: Tensor
    log_likelihood: Tensor
    reconstruction: Tensor


class EqualTime(NamedTuple):
    """The epochs of a variant that take as long as those of a reference.

    Arguments:
        epochs: The epochs of the variant.
        ratio: The cost of its step over that of the reference.
        seconds: Processor time of a few steps of variant and reference, for each repetition.
    """

    epochs: int
    ratio: float
    seconds: list[tuple[float, float]]


@dataclass(frozen=True)
class Protocol:
    """The options of one run of an experiment, with its own values where none were given.

    Arguments:
        options: The options that were given.
        epochs: Passes over the training data; 0 for an experiment that trains nothing.
        n_samples: Draws for each estimate.
        folder: The folder of the result; None if nothing is written.
    """

    options: Options
    epochs: int
    n_samples: int
    folder: Path | None = None

    @property
    def seed(self) -> int:
        """The seed."""
        return self.options.seed

    def say(self, what: str) -> None:
        """Print what comes next on standard error, if progress is shown."""
        if self.options.progress:
            print(what, file=sys.stderr, flush=True)

    def dataset(self, name: str, **options: Any) -> rp.data.Dataset:
        """Return a data set by its name, by default without validation images.

        Arguments:
            name: The data set.
            options: Options of ``rp.data.load``, such as ``binarize``.
        """
        directory = self.options.data_dir
        return rp.data.load(name, data_dir=directory, **{"validation": 0, **options})

    def train(
        self,
        name: str,
        recipe: rp.Recipe | nn.Module,
        data: rp.data.Dataset,
        *,
        seed: int | None = None,
        epochs: int | None = None,
        **training: Any,
    ) -> rp.Run:
        """Train a recipe or a model, or continue the run of it that the protocol keeps.

        Arguments:
            name: The name of the run, in messages and as a folder.
            recipe: The recipe, or the model.
            data: The training data.
            seed: Instead of the protocol's.
            epochs: Instead of the protocol's.
            training: Options of ``rp.fit``, in place of ``TRAINING``.
        """
        seed = self.seed if seed is None else seed
        epochs = self.epochs if epochs is None else epochs
        self.say(f"training {name}, {epochs} epochs")
        runs = self.options.runs
        folder = name if seed == 0 else f"{name}-seed-{seed}"
        return rp.fit(
            recipe,
            data,
            out=None if runs is None else runs / folder,
            resume=runs is not None,
            device=self.options.device,
            progress=self.options.progress,
            epochs=epochs,
            seed=seed,
            pictures_every=0,
            **{**TRAINING, **training},
        )

    def train_variant(
        self,
        name: str,
        variant: str,
        data: rp.data.Dataset,
        *,
        training: Keywords = {},  # noqa: B006  (never changed)
        objective: rp.objectives.Objective | None = None,
        seed: int | None = None,
        epochs: int | None = None,
        **options: Any,
    ) -> rp.Run:
        """Train a variant.

        Arguments:
            name: The name of the run, in messages and as a folder.
            variant: The variant.
            data: The training data.
            training: Options of ``rp.fit``.
            objective: Instead of the variant's.
            seed: Instead of the protocol's.
            epochs: Instead of the protocol's.
            options: Options of the variant.
        """
        # As on the command line, the weights follow from the seed.
        torch.manual_seed(self.seed if seed is None else seed)
        recipe = rp.variants.build(variant, data.spec, **options)
        if objective is not None:
            recipe = rp.replace(recipe, objective=objective)
        return self.train(name, recipe, data, seed=seed, epochs=epochs, **training)

    def evaluate(
        self, run: rp.Run, data: rp.data.Dataset | rp.Batch, n_samples: int | None = None
    ) -> dict[str, Any]:
        """Return the figures of a run as ``evaluation.json`` names them.

        Arguments:
            run: The run.
            data: A data set, whose test split is evaluated, or examples.
            n_samples: Draws for each example, instead of the protocol's.
        """
        n_samples = self.n_samples if n_samples is None else n_samples
        self.say(f"evaluating, {n_samples} draws for each example")
        found = run.evaluate(data, n_samples=n_samples, seed=self.seed, device=self.options.device)
        return found.to_dict()

    def scores(self, run: rp.Run, x: Tensor, n_samples: int | None = None) -> Scores:
        """Return the figures of every example of x, with shape (N, *shape), for paired comparisons.

        A run with a folder keeps them there.

        Arguments:
            run: The run.
            x: The examples.
            n_samples: Draws for each example, instead of the protocol's.
        """
        n_samples = self.n_samples if n_samples is None else n_samples
        kept = None
        if run.folder is not None:
            weights = run.folder.weights_sha256 or ""
            of_what = f"{digest(x)[:16]}-{weights[:16]}"
            name = f"scores-{n_samples}-{self.seed}-{of_what}.safetensors"
            kept = run.folder.path / name
            if kept.exists():
                return Scores(**load_file(kept))
        self.say(f"evaluating, {n_samples} draws for each of {len(x)} examples")
        result = run.evaluate(
            rp.Batch(x), n_samples=n_samples, seed=self.seed, device=self.options.device
        )
        found = Scores(*(result.per_example[name] for name in Scores._fields))
        if kept is not None:
            save_file(found._asdict(), kept)
        return found

    def equal_time(
        self,
        name: str,
        data: rp.data.Dataset,
        variant: tuple[str, Keywords],
        reference: tuple[str, Keywords],
        training: Keywords,
    ) -> EqualTime:
        """Return the epochs of a variant that take as long as all epochs of a reference.

        Both train a few steps in turn, three times. The least processor time of each counts, since
        other work on the machine changes it least. The measurement is kept with the runs.

        Arguments:
            name: The name of the run of the variant.
            data: The training data.
            variant: A variant and its options.
            reference: The variant to compare with, and its options.
            training: Options of ``rp.fit``.
        """
        runs = self.options.runs
        kept = None if runs is None else runs / f"{name}-cost.json"
        ratio, costs = None, []
        if kept is not None:
            with suppress(OSError, ValueError, KeyError, TypeError):  # missing or damaged: measure
                before = read_json(kept)
                ratio, costs = float(before["ratio"]), before["seconds"]
        if ratio is None:
            train = data.splits["train"]
            few = train.take(torch.arange(min(len(train), 40 * training.get("batch_size", 128))))
            little = replace(data, splits={"train": few})
            for _ in range(3):
                pair = [self._processor_seconds(v, little, training) for v in (variant, reference)]
                costs.append((pair[0], pair[1]))
            ratio = min(cost for cost, _ in costs) / min(cost for _, cost in costs)
            if kept is not None:
                write_json(kept, {"ratio": ratio, "seconds": costs})
        return EqualTime(max(1, round(self.epochs / ratio)), ratio, costs)

    def _processor_seconds(
        self, variant: tuple[str, Keywords], data: rp.data.Dataset, training: Keywords
    ) -> float:
        """Return the processor time of one epoch."""
        name, options = variant
        recipe = rp.variants.build(name, data.spec, **options)
        device = self.options.device
        began = time.process_time()
        how: dict[str, Any] = {**TRAINING, **training}
        rp.fit(recipe, data, device=device, progress=False, epochs=1, **how)
        return time.process_time() - began


def digest(x: Tensor) -> str:
    r"""Return the SHA-256 of examples x in hexadecimal, as ``evaluation.json`` has it.

    It is that of the line ``dtype (shape)``, and of the values in C order, little-endian.

    >>> digest(torch.zeros(1, 2))[:16]
    '7338305d1d8d770f'
    """
    values = x.cpu().contiguous().numpy()
    line = f"{values.dtype} {tuple(values.shape)}\n".encode()
    return sha256(line + values.astype(values.dtype.newbyteorder("<")).tobytes()).hexdigest()

"""The options of a training run, and the recipe that stands behind their defaults."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from reparam.errors import OptionError, unknown
from reparam.utils.arguments import as_float, as_int

OptimizerName = Literal["adam", "muon"]
ScheduleName = Literal["cosine", "linear", "constant", "stages"]
NAMES: dict[str, Any] = {"optimizer": OptimizerName, "lr_schedule": ScheduleName}
"""The options that are a name, and what they may be."""


@dataclass(frozen=True)
class TrainingOptions:
    """How to train: an optimizer, a short warm-up, a cosine decay to zero.

    Arguments:
        epochs: Passes over the training split.
        batch_size: Examples of each step.
        optimizer: Adam, or Muon for the matrices and Adam for the rest: fewer steps of more cost,
            for networks without convolutions and batches of some hundred examples.
        lr: The highest learning rate.
        lr_schedule: How the learning rate falls after that: as a cosine or a line to zero, not at
            all (constant), or in eight stages to a tenth.
        lr_warmup: The share of all steps in which the learning rate rises to it.
        weight_decay: The decoupled weight decay of the optimizer; 0 for none.
        clip_norm: The largest norm of the gradient; 0 for no limit.
        kl_warmup: Epochs in which the weight of the KL rises from 0.
        ema: The decay of an average of the weights, which then is the model; 0 for none.
        early_stopping: Stop after so many epochs without a better validation ELBO, and keep the
            best weights; 0 to train to the end.
        seed: Of the order of the data, of every draw, and of the first weights of a model that
            ``fit`` or the command line builds.
        log_every: Steps between two rows of metrics; at most those of an epoch.
        checkpoint_every: Seconds between two checkpoints, at least; a killed run loses no more.
        pictures_every: Epochs between two pictures; 0 for none.

    Raises:
        OptionError: A value out of its range.

    Example:
        >>> TrainingOptions(epochs=0)
        Traceback (most recent call last):
        reparam.errors.OptionError: epochs=0: must be at least 1
    """

    epochs: int = 15
    batch_size: int = 128
    optimizer: OptimizerName = "adam"
    # Chosen on 5,000 held-out training images of MNIST, 15 epochs, one and two layers of 400: a
    # shorter warm-up costs the deeper net two nats, 2e-3 the shallow one more than one nat, and
    # 1e-2 the deeper one four.
    lr: float = 5e-3
    lr_warmup: float = 0.2
    lr_schedule: ScheduleName = "cosine"
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    kl_warmup: float = 0.0
    ema: float = 0.0
    early_stopping: int = 0
    seed: int = 0
    log_every: int = 50
    checkpoint_every: float = 5.0
    pictures_every: int = 1

    def __post_init__(self) -> None:
        for name, among in NAMES.items():
            if getattr(self, name) not in get_args(among):
                raise unknown(name, str(getattr(self, name)), get_args(among))
        for name in ("epochs", "batch_size", "log_every"):
            self._set(name, as_int(name, getattr(self, name), minimum=1))
        for name in ("early_stopping", "pictures_every", "seed"):
            self._set(name, as_int(name, getattr(self, name)))
        for name in ("clip_norm", "kl_warmup", "weight_decay", "checkpoint_every"):
            # No limit, and no checkpoint, are infinite.
            value = as_float(
                name, getattr(self, name), minimum=0.0, finite=name in ("kl_warmup", "weight_decay")
            )
            self._set(name, value)
        self._set("lr", as_float("lr", self.lr, minimum=0.0, open_ends=True))
        for name in ("ema", "lr_warmup"):
            share = as_float(name, getattr(self, name))
            if not 0 <= share < 1:
                raise OptionError(f"{name}={share}: must be at least 0 and below 1")
            self._set(name, share)
        if self.kl_warmup > self.epochs:
            raise OptionError(
                f"kl_warmup={self.kl_warmup}: longer than the run of epochs={self.epochs}, so the "
                "KL would never have its full weight; warm up in fewer"
            )

    def _set(self, name: str, value: float) -> None:
        object.__setattr__(self, name, value)

"""The options of a training run, and the recipe that their defaults make.

The dataclasses are the one place where these options are declared: ``fit`` takes their fields as
arguments, ``config.yaml`` stores them, and the command line reads their names, types, defaults and
descriptions.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

from reparam.errors import OptionError, unknown
from reparam.training.length import seconds_of
from reparam.utils.arguments import as_float, as_int, numbers

OptimizerName = Literal["adam", "muon"]
ScheduleName = Literal["cosine", "linear", "constant", "stages"]
PrecisionName = Literal["auto", "float32", "bfloat16", "float64"]

BATCH_SIZE = 128
"""The number of examples of each step by default."""

LR = 5e-3
"""The learning rate without a range test, chosen on 5,000 held-out training images of MNIST, 15
epochs, one and two layers of 400: 2e-3 costs the shallow net more than a nat, and 1e-2 the deeper
one four."""

LR_SCHEDULE: ScheduleName = "linear"
"""The fall of the learning rate. On 5,000 held-out training images of MNIST, 1,000 steps of 256 at
0.013 have an ELBO of -105.46 with a line, and -105.56 with a cosine."""

CLIP_NORM = 100.0
"""The largest norm of the gradient. In the same runs a limit of 1 has -106.25: it makes almost all
steps equally long. On held-out rows of tables 100 is better than 1 by 0.5 nats (concrete), 0.6
(cardio) and 0.1 (adult), equal on wine-red, and worse by 0.3 on diabetes and 0.1 on banknote."""

CLIP_NORM_OF_TEXT = 1.0
"""The largest norm of the gradient on text. That of recurrent networks is at times much larger than
usual: with a limit of 100 the default run on tiny Shakespeare diverges after 2,200 steps."""

EMA = 0.99
"""The decay of the moving average in runs whose number of steps held-out examples choose. They end
while the learning rate is still high, and the average has less noise than the last weights."""

EarlyStopping = int | Literal["held-out"]
"""When training ends: after a number of validations, or by the loss on held-out examples."""

HELD_OUT: Literal["held-out"] = "held-out"
"""The value of ``early_stopping`` by which held-out examples choose the number of steps."""

LENGTHS = ("epochs", "steps", "budget")
"""The options that set the length of a run; one of them may be given."""


@dataclass(frozen=True)
class TrainingOptions:
    """How to train: an optimizer, a warm-up, and a linear decay to zero.

    Arguments:
        epochs: The number of passes over the training split.
        steps: The number of optimizer steps; by default 7,000 (up to 28,000 for small networks), or
            one pass over the training split where that is more. Set at most one of epochs, steps
            and budget.
        budget: The wall-clock time of the run, such as 30s, 5m or 1h30m, in which the learning rate
            rises and falls.
        batch_size: The number of examples of each step, 128 by default; a budget chooses it where
            it is not given.
        optimizer: Adam, or Muon for the matrices and Adam for the rest, which takes fewer but
            slower steps: for networks without convolutions and batches of some hundred examples.
        lr: The highest learning rate; by default the one that a range test on a copy of a variant
            finds in at most 3 % of the steps, and 0.005 for other models and for short runs.
        lr_warmup: The share of all steps in which the learning rate rises to it.
        lr_schedule: How the learning rate falls after that: as a line, the default, or a cosine to
            zero, not at all (constant), or in eight stages to a tenth.
        weight_decay: The decoupled weight decay of the optimizer; 0 for none.
        clip_norm: The largest norm of the gradient, by default 100, and 1 on text; 0 for no limit.
        kl_warmup: The number of epochs in which the weight of the KL rises from 0.
        ema: The decay of a moving average of the weights, which becomes the model; 0 for none. By
            default 0.99 where held-out examples choose the number of steps, and 0 in other runs.
        early_stopping: Stop after this number of validations without a better ELBO, and keep the
            best weights; 0 to train to the end. A validation comes after every epoch where epochs
            is set, and about a hundred times in other runs. With held-out the loss on held-out
            examples chooses the number of steps, by default in runs without epochs on fewer than
            20,000 examples in memory; other runs train to the end.
        seed: The seed of the order of the data, of every draw, and of the first weights of a model
            that is built from a variant.
        log_every: The number of steps between two rows of metrics; at most those between two
            validations.
        checkpoint_every: The smallest number of seconds between two checkpoints, which is also the
            most that a killed run loses.
        pictures_every: The number of epochs between two pictures, or of tenths of the run where
            epochs is not set; 0 for none.

    Raises:
        OptionError: A value out of its range, or more than one of epochs, steps and budget.

    Example:
        >>> TrainingOptions(epochs=0)
        Traceback (most recent call last):
        reparam.errors.OptionError: epochs=0: must be at least 1
    """

    epochs: int | None = None
    steps: int | None = None
    budget: str | float | None = None
    batch_size: int | None = None
    optimizer: OptimizerName = "adam"
    lr: float | None = None
    # Chosen on 5,000 held-out training images of MNIST, 15 epochs: a shorter warm-up costs two
    # layers of 400 two nats.
    lr_warmup: float = 0.2
    lr_schedule: ScheduleName | None = None
    weight_decay: float = 0.0
    clip_norm: float | None = None
    kl_warmup: float = 0.0
    ema: float | None = None
    early_stopping: EarlyStopping | None = None
    seed: int = 0
    log_every: int = 50
    checkpoint_every: float = 5.0
    pictures_every: int = 1

    def __post_init__(self) -> None:
        values = vars(self)
        for name, usual in (("lr_schedule", LR_SCHEDULE), ("clip_norm", CLIP_NORM)):
            if values[name] is None:
                values[name] = usual
        for name, names in (("optimizer", OptimizerName), ("lr_schedule", ScheduleName)):
            if values[name] not in get_args(names):
                raise unknown(name, str(values[name]), get_args(names))
        for name in ("epochs", "steps", "batch_size", "log_every"):
            if values[name] is not None:
                values[name] = as_int(name, values[name], minimum=1)
        for name in ("pictures_every", "seed"):
            values[name] = as_int(name, values[name])
        if self.early_stopping is not None and self.early_stopping != HELD_OUT:
            values["early_stopping"] = as_int("early_stopping", self.early_stopping)
        if self.budget is not None:
            seconds = seconds_of(self.budget)
            is_text = isinstance(self.budget, str)
            values["budget"] = self.budget if is_text else f"{Decimal(repr(seconds)):f}s"
        if self.epochs is not None and self.early_stopping is None:
            values["early_stopping"] = 0
        if self.epochs is not None and self.early_stopping == HELD_OUT:
            raise OptionError(
                f"early_stopping={HELD_OUT!r} with epochs={self.epochs}: it chooses a number of "
                "steps; give steps= or a budget=, or a number of validations as early_stopping=5"
            )
        given = [f"{name}={values[name]}" for name in LENGTHS if values[name] is not None]
        if len(given) > 1:
            raise OptionError(f"{', '.join(given)}: give only one of {', '.join(LENGTHS)}")
        for name in ("weight_decay", "kl_warmup"):
            values[name] = as_float(name, values[name], minimum=0.0)
        for name in ("clip_norm", "checkpoint_every"):
            # An infinite value means no limit, and no checkpoint.
            values[name] = as_float(name, values[name], minimum=0.0, finite=False)
        if self.lr is not None:
            values["lr"] = as_float("lr", self.lr, minimum=0.0, open_ends=True)
        for name in ("ema", "lr_warmup"):
            if values[name] is None:
                continue
            values[name] = share = as_float(name, values[name])
            if not 0 <= share < 1:
                raise OptionError(f"{name}={share}: must be at least 0 and below 1")
        if self.epochs is not None and self.kl_warmup > self.epochs:
            raise OptionError(
                f"kl_warmup={self.kl_warmup}: longer than the run of epochs={self.epochs}, so the "
                "KL would never have its full weight; warm up in fewer epochs"
            )


@numbers(devices=1, nodes=1)
@dataclass(frozen=True)
class MachineOptions:
    """The device, the precision, and the number of processes.

    Arguments:
        device: The device: auto, cpu, cuda, cuda:1 ...
        precision: The precision of the networks: auto is bfloat16 where the machine computes in it,
            and float64 for weights in float64.
        devices: The number of devices of each node, a process each.
        nodes: The number of nodes.

    Raises:
        OptionError: Fewer than one device or node.
    """

    device: str = "auto"
    precision: PrecisionName = "auto"
    devices: int = 1
    nodes: int = 1

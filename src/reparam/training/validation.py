"""Validation after each epoch, with early stopping and the best weights by its score."""

import torch
from torch import Tensor

from reparam.batch import Batch, for_module, in_chunks
from reparam.errors import DataError
from reparam.training.monitor import Row
from reparam.training.options import TrainingOptions
from reparam.training.state import TrainingState
from reparam.utils.seeding import seeded

CHUNK = 500
"""The least number of examples that are validated at once."""


class Validation:
    """Validate the current model, keep the best weights, and decide when to stop.

    The score is the ELBO, or the log-likelihood of an objective without one. The best score and its
    weights are a part of the state of the training.

    Arguments:
        examples: The validation split, as one batch on the device; None without one.
        options: The options of training: ``early_stopping``, ``seed`` and ``batch_size``.
        state: The state of the training.

    Raises:
        DataError: Early stopping without a validation split.
    """

    def __init__(
        self, examples: Batch | None, options: TrainingOptions, state: TrainingState
    ) -> None:
        self.examples, self.options, self.state = examples, options, state
        self.patience = options.early_stopping
        if self.patience and examples is None:
            raise DataError(
                f"early_stopping={self.patience}: needs a validation split; load the data with "
                "one, such as validation=0.1 for a tenth of the training data"
            )

    def row(self) -> Row:
        """Return the scalars of the objective as means over the split; empty without one.

        The model is put into evaluation mode. All epochs have the same draws.
        """
        whole, progress, step = self.examples, self.state.progress, self.state.step
        if whole is None:
            return {}
        model = step.current.eval()
        totals: dict[str, Tensor] = {}
        with seeded(step.runtime.device, self.options.seed), torch.no_grad():
            for batch in in_chunks(whole, max(self.options.batch_size, CHUNK)):
                scalars = step.objective(model, for_module(batch, model)).scalars()
                for name, value in scalars.items():
                    totals[name] = totals.get(name, 0.0) + value * (len(batch) / len(whole))
        row: Row = {"split": "validation", "epoch": progress.epoch, "step": progress.step}
        row["seconds"] = progress.seconds
        return row | {name: float(value) for name, value in totals.items()}

    def keep_best(self, row: Row) -> None:
        """Keep the current weights if their row has the best score so far."""
        if not self.patience:
            return
        score = float(row["elbo"] if "elbo" in row else row["reconstruction"])
        progress = self.state.progress
        progress.epochs_since_best += 1
        if score > progress.best:
            progress.best, progress.epochs_since_best = score, 0
            weights = self.state.step.current.state_dict()
            self.state.best = {name: tensor.detach().clone() for name, tensor in weights.items()}

    @property
    def stops(self) -> bool:
        """Whether there was no better score for as many epochs as ``early_stopping`` allows."""
        return 0 < self.patience <= self.state.progress.epochs_since_best

    @property
    def summary(self) -> str:
        """One sentence on the epoch whose weights are kept; empty where it is the last one."""
        progress = self.state.progress
        if not self.patience or not progress.epochs_since_best:
            return ""
        best = progress.epoch - progress.epochs_since_best
        return (
            f"stopped after epoch {progress.epoch}; the weights of epoch {best} are kept, the best "
            f"with {progress.best:.2f} nats on the validation split"
        )

"""The scalars of the steps: rows of metrics, and the diagnosis of values that are not finite."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import inf, isfinite

import torch
from torch import Tensor

from reparam.errors import LostError, NonFiniteError, ReparamError
from reparam.objectives.bounds import value_at
from reparam.training.kl_warmup import WeightsKL
from reparam.training.state import Checkpointing, TrainingState

Row = dict[str, float | int | str]

_NON_FINITE = re.compile(r"\b(nan|inf|infs?|NaNs?|non-?finite|not finite)\b|found invalid values")
"""How torch describes numbers that are not finite."""


class Monitor:
    """Collect the scalars of the steps on the device, and read them once for each row of metrics.

    The steps since the last row are the window. Reading a window waits for the device; everything
    else does not.

    Arguments:
        state: The state of the training.
        send: A function that receives every row.
        checkpointing: The checkpoints, which errors refer to.
        is_clock: Whether the seconds of the run move its schedules and end it, so that they must be
            the same in all processes: their mean.
    """

    def __init__(
        self,
        state: TrainingState,
        send: Callable[[Row], None],
        checkpointing: Checkpointing,
        is_clock: bool = False,
    ) -> None:
        self.state, self.runtime = state, state.step.runtime
        self._send, self._checkpointing, self._is_clock = send, checkpointing, is_clock
        self.start()

    def start(self) -> None:
        """Start the clock of the run, at the seconds that it has taken, and an empty window."""
        self._began = time.perf_counter() - self.state.progress.seconds
        self._clear()
        self.resume()

    def resume(self) -> None:
        """Start the clock of the steps: the time before, as of validation, is not counted."""
        self._resumed = time.perf_counter()

    def _common(self, seconds: float) -> float:
        """Return the seconds of the run in all processes, where they matter."""
        if not self._is_clock or self.runtime.world_size == 1:
            return seconds
        return float(self.runtime.mean(torch.tensor(seconds, dtype=torch.float64)))

    def _clear(self) -> None:
        self._names: list[str] = []
        self._blocks: list[Tensor] = []
        self._sizes: list[int] = []
        self._seconds = 0.0

    def add(self, names: list[str], values: Tensor, size: int) -> None:
        """Count K steps, and add their scalars to the window.

        Where an objective of several phases begins to return other terms, a row is sent first.

        Arguments:
            names: The names of the scalars.
            values: Their values, with shape (K, n).
            size: The number of examples of each of these steps.
        """
        if self._names and self._names != names:
            self.log()
        self._names = names
        self._blocks.append(values)
        self._sizes += [size] * len(values)
        now, progress = time.perf_counter(), self.state.progress
        self._seconds += now - self._resumed
        progress.batch += len(values)
        progress.step, progress.position = self.state.step.n_taken, self.state.step.position
        progress.seconds = self._common(now - self._began)

    def log(self) -> None:
        """Send the means over the window as a row of metrics, and begin a new window.

        Raises:
            NonFiniteError: A value is not finite.
        """
        if not self._blocks:
            return
        values = self.check()
        sizes = torch.tensor(self._sizes, dtype=values.dtype)
        totals = torch.cat([(values * sizes[:, None]).sum(0), sizes.sum(0, keepdim=True)])
        *sums, n_of_process = self.runtime.mean(totals).tolist()
        means = [each / n_of_process for each in sums]
        step, progress = self.state.step, self.state.progress
        row: Row = {"split": "train", "epoch": progress.epoch, "step": progress.step}
        row |= dict(zip(self._names, means, strict=True))
        row["lr"] = step.lr(step.position)
        if isinstance(step.objective, WeightsKL):
            row["beta"] = float(value_at(step.objective.beta, step.position))
        # The name is that of the first files of metrics, which were of images only.
        n_examples = self.runtime.world_size * n_of_process
        row["images_per_second"] = n_examples / max(self._seconds, 1e-9)
        row["seconds"] = progress.seconds
        self._clear()
        self._send(row)

    def check(self) -> Tensor:
        """Return the values of the window, one row for each step, once they are found finite.

        Raises:
            NonFiniteError: A value is not finite, here or in another process.
        """
        if not self._blocks:
            return torch.empty(0)
        values = torch.cat(self._blocks).double().cpu()
        is_bad = torch.tensor([float(not values.isfinite().all())], dtype=torch.float64)
        is_bad_somewhere = bool(self.runtime.mean(is_bad) > 0)
        self._require_finite(values)
        if is_bad_somewhere:
            raise NonFiniteError("the loss is not finite in another process, which names the step")
        return values

    def require_finite_weights(self, cause: Exception | None = None) -> None:
        """Refuse weights that a gradient made infinite or NaN, while the losses were still finite.

        Raises:
            NonFiniteError: A weight is not finite.
        """
        for name, parameter in self.state.step.model.named_parameters():
            if not parameter.isfinite().all():
                raise NonFiniteError(
                    f"the weights of {name} are not finite after step {self.state.progress.step}, "
                    "though the loss was: a gradient overflowed; lower the learning rate "
                    f"({lower(self.state.step.highest_lr)}); {self._checkpointing.what_is_kept()}"
                ) from cause

    @contextmanager
    def diagnosis(self) -> Iterator[None]:
        """Replace an error of torch by its cause, where that is known.

        A distribution, a decomposition or a quantile refuses values that are not finite before the
        loss is checked. If one of the processes that share a step ends, the others fail too.

        Raises:
            NonFiniteError: The loss or the weights are not finite.
            LostError: Another process has ended.
        """
        try:
            yield
        except LostError as error:
            raise LostError(self._checkpointing.advice()) from error
        except ReparamError:
            raise
        except (RuntimeError, ValueError, ArithmeticError) as error:
            # Without communication: other processes may be waiting within the step that failed.
            if self._blocks:
                self._require_finite(torch.cat(self._blocks).double().cpu(), error)
            self.require_finite_weights(error)
            if _NON_FINITE.search(str(error)):
                raise self._error(self.state.progress.step, {}) from error
            raise

    def _require_finite(self, values: Tensor, cause: Exception | None = None) -> None:
        bad = (~values.isfinite()).any(1).nonzero()
        if len(bad):
            index = int(bad[0])
            terms = dict(zip(self._names, values[index].tolist(), strict=True))
            raise self._error(self.state.progress.step - len(values) + index, terms) from cause

    def _error(self, step: int, terms: Mapping[str, float]) -> NonFiniteError:
        named = ", ".join(f"{name} {value:.4g}" for name, value in terms.items())
        cause = likely_cause(terms, self.state.step.highest_lr, step)
        kept = self._checkpointing.what_is_kept()
        return NonFiniteError(
            f"the loss is not finite at step {step} (epoch {self.state.progress.epoch + 1}): "
            + "; ".join(part for part in (named, cause, kept) if part)
        )


def lower(lr: float) -> str:
    """Return a tenth of a learning rate, as an argument."""
    return f"lr={lr / 10:g}"


def likely_cause(terms: Mapping[str, float], lr: float, step: int) -> str:
    """Return the likely reason why a loss is not finite, and what to change.

    Arguments:
        terms: The scalars of the step.
        lr: The highest learning rate.
        step: The number of steps taken before it.

    Example:
        >>> likely_cause({"reconstruction": -100.0, "kl": float("inf")}, 1.0, step=9)
        'the KL overflowed, so a posterior scale diverged: lower the learning rate (lr=0.1)'
    """
    if step == 0 and not isfinite(terms.get("loss", inf)):
        return (
            "no weight was changed yet, so the data are too large for networks that expect values "
            "around one: standardize them, (x - mean) / standard deviation"
        )
    fix = f"lower the learning rate ({lower(lr)})"
    if not isfinite(terms.get("reconstruction", 0.0)) and isfinite(terms.get("kl", 0.0)):
        return (
            "the reconstruction is not finite while the KL is: the scale of the decoder collapsed "
            f"or its output overflowed; {fix}, or use likelihood='gaussian-shared' for real data"
        )
    if terms.get("kl", 0.0) == inf:
        return f"the KL overflowed, so a posterior scale diverged: {fix}"
    return f"the weights themselves are no longer finite: {fix}"

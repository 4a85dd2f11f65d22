"""The length of a run: how many steps it takes, when it is validated, and where it goes on."""

from itertools import pairwise
from math import ceil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import reparam as rp
from reparam.errors import Interrupted, OptionError
from reparam.training import Trainer, TrainingOptions, monitor
from reparam.training.checkpoint import load_checkpoint
from reparam.training.events import Event
from reparam.training.length import DEFAULT_STEPS, Length, length_of, seconds_of
from reparam.training.state import Progress
from tests.support import same

N = 40


def trainer_of(length: Length | None = None, n: int = N, **given: Any) -> Trainer:
    """Return a trainer of a small model on n examples, in batches of ten."""
    data = rp.data.from_arrays(torch.randn(n, 3, generator=torch.Generator().manual_seed(0)))
    torch.manual_seed(0)
    recipe = rp.variants.vae(data.spec, latent_dim=2, hidden=[4])
    kept = {k: given.pop(k) for k in ("callbacks", "checkpoints", "validation") if k in given}
    options = TrainingOptions(**{"batch_size": 10, **given})
    batches = rp.data.Batches(data.split("train"), data.transform, 10, seed=options.seed)
    return Trainer(recipe, batches, options, length=length, **kept)


class TestNumberOfSteps:
    @pytest.mark.parametrize(
        ("given", "steps_per_epoch", "steps"),
        [
            ({"epochs": 15}, 430, 6450),
            ({"steps": 10}, 430, 10),
            ({}, 430, DEFAULT_STEPS),
            ({}, 8, DEFAULT_STEPS),
            ({}, 4, DEFAULT_STEPS // 2),  # 500 rows in batches of 128
            # One pass over ten million rows is longer.
            ({}, ceil(10_000_000 / 128), 78_125),
        ],
    )
    def test_follows_from_the_options(
        self, given: dict[str, Any], steps_per_epoch: int, steps: int
    ) -> None:
        assert length_of(TrainingOptions(**given), steps_per_epoch).steps == steps

    @pytest.mark.parametrize(
        "given",
        [{"epochs": 1, "steps": 2}, {"steps": 1, "budget": "5s"}, {"epochs": 1, "budget": "5s"}],
    )
    def test_one_of_the_options_is_enough(self, given: dict[str, Any]) -> None:
        with pytest.raises(OptionError, match="give only one of epochs, steps, budget"):
            TrainingOptions(**given)

    @pytest.mark.parametrize(
        ("said", "seconds"),
        [("30s", 30), ("5m", 300), ("2h", 7200), ("1h30m", 5400), ("90", 90), ("1.5m", 90), (7, 7)],
    )
    def test_time_is_read(self, said: Any, seconds: float) -> None:
        assert seconds_of(said) == seconds

    @pytest.mark.parametrize("said", ["", "soon", "5 days", "m", "-3s", "0s", float("nan")])
    def test_no_time_is_refused(self, said: Any) -> None:
        with pytest.raises(OptionError, match="budget="):
            seconds_of(said)

    def test_kl_warmup_is_in_epochs_of_data(self) -> None:
        trainer = trainer_of(steps=20, kl_warmup=2, log_every=1)
        seen: list[float] = []
        trainer.callbacks = [lambda e: seen.append(e.row["beta"]) if e.kind == "log" else None]
        trainer.fit()
        assert seen == pytest.approx([min(t / 8, 1) for t in range(20)])

    def test_kl_warmup_longer_than_the_run_is_refused(self) -> None:
        with pytest.raises(OptionError, match=r"kl_warmup=6\.0: longer than the run of 20 steps"):
            trainer_of(steps=20, kl_warmup=6)


class TestLoop:
    @pytest.mark.parametrize("n_steps", [1, 3, 4, 7, 12])
    def test_ends_at_the_step_within_an_epoch(self, n_steps: int) -> None:
        seen: list[Event] = []
        trainer = trainer_of(steps=n_steps, lr_warmup=0.0, callbacks=[seen.append], log_every=1)
        trainer.fit()
        rows = [event.row for event in seen if event.kind == "log"]
        assert [row["step"] for row in rows] == list(range(1, n_steps + 1))
        falls = [0.005 * (1 - t / n_steps) for t in range(n_steps)]
        assert [row["lr"] for row in rows] == pytest.approx(falls)
        assert trainer.progress.epoch == n_steps // 4

    @pytest.mark.parametrize(("n", "steps"), [(10, 300), (40, 440), (4000, 250)])
    def test_is_validated_about_a_hundred_times(self, n: int, steps: int) -> None:
        """Epochs of one step, of four, and of 400, of which the run takes a part."""
        seen: list[Event] = []
        validation = rp.Batch(torch.zeros(2, 3))
        trainer_of(n=n, steps=steps, callbacks=[seen.append], validation=validation).fit()
        found = [event.step for event in seen if event.kind == "epoch"]
        assert 80 <= len(found) <= 125
        assert found[-1] == steps
        assert len({b - a for a, b in pairwise(found)}) == 1
        if n == 40:
            assert all(step % 4 == 0 for step in found)  # at the ends of epochs

    def test_every_epoch_counts_where_they_are_given(self) -> None:
        seen: list[Event] = []
        trainer_of(n=10, epochs=250, callbacks=[seen.append]).fit()
        assert [event.epoch for event in seen if event.kind == "epoch"] == list(range(1, 251))

    # Within an epoch, at its end, and at a validation.
    @pytest.mark.parametrize("at", [2, 4, 6])
    def test_goes_on_bit_for_bit(self, tmp_path: Path, at: int) -> None:
        given: dict[str, Any] = {"steps": 11, "ema": 0.9, "kl_warmup": 1}
        whole = trainer_of(**given).fit()

        def stop(event: Event) -> None:
            if event.kind == "log" and event.step == at:
                raise Interrupted("stopped", 15)

        broken = trainer_of(
            **given, log_every=1, checkpoint_every=0, callbacks=[stop], checkpoints=tmp_path
        )
        with pytest.raises(Interrupted):
            broken.fit()
        checkpoint = load_checkpoint(tmp_path, print)
        assert checkpoint is not None
        assert 0 < checkpoint.step < 11
        again = trainer_of(**given)
        again.restore(checkpoint)
        assert same(again.fit(), whole)

    def test_progress_of_older_checkpoints_is_read(self) -> None:
        values = {"epoch": 1, "batch": 2, "step": 6, "seconds": 1.0, "best": None}
        found = Progress.from_values({**values, "epochs_since_best": 0})
        assert (found.step, found.best_step, found.position) == (6, 0, 5)


class TestTime:
    """A clock on which every question takes a twentieth of a second."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        now = SimpleNamespace(seconds=0.0)

        def tick() -> float:
            now.seconds += 0.05
            return now.seconds

        monkeypatch.setattr(monitor, "time", SimpleNamespace(perf_counter=tick))
        return now

    def test_moves_the_schedules(self, clock: SimpleNamespace) -> None:
        """The estimate of the number of steps is three times too large, and does not matter."""
        seen: list[Event] = []
        length = Length(300, "a budget", every=30, seconds=10.0)
        trainer = trainer_of(length, log_every=1, lr_schedule="linear", callbacks=[seen.append])
        trainer.fit()
        rows = [event.row for event in seen if event.kind == "log"]
        assert 10.0 <= trainer.progress.seconds < 10.5
        assert len(rows) < 100
        # The rate falls on a line in time, after a rise in the first fifth.
        for row, following in pairwise(rows):
            share = float(row["seconds"]) / 10.0
            if share > 0.25:
                assert following["lr"] == pytest.approx(0.005 * (1 - share) / 0.8, abs=2e-4)
        assert rows[-1]["lr"] < 1e-4

    def test_goes_on_with_the_seconds_that_are_left(self, clock: SimpleNamespace) -> None:
        length = Length(100, "a budget", every=30, seconds=10.0)
        trainer = trainer_of(length)
        trainer.state.progress.seconds = 7.0
        began = clock.seconds
        trainer.fit()
        assert clock.seconds - began == pytest.approx(3.0, abs=0.5)

"""Small data: held-out examples and cross-fitting choose the number of steps."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import reparam as rp
from reparam.batch import Batch
from reparam.data.columns import columns
from reparam.errors import Interrupted, OptionError
from reparam.models.latent import standardization_of
from reparam.objectives import Terms
from reparam.runs.budget import chosen_size
from reparam.runs.held_out import fitted_length
from reparam.training import Event, Trainer, TrainingOptions
from reparam.variants import Recipe


def points(n: int, shift: float = 0.0, dim: int = 3) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(0)) + shift


class Center(nn.Module):
    """A mean, which starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(3))


def density(model: Center, batch: Batch) -> Terms:
    bound = -0.5 * (batch.x - model.mean).square().sum(1)
    return Terms(bound=bound, reconstruction=bound)


def chosen(x: Tensor) -> tuple[int | None, Center]:
    """Return the step that cross-fitting chooses, and the model."""
    data, model = rp.data.from_arrays(x), Center()
    recipe = Recipe(model, density)
    batches = rp.data.Batches(data.split("train"), data.transform, 128)
    options = TrainingOptions(steps=200, lr=0.05, early_stopping=0)
    trainer = Trainer(recipe, batches, options)
    trainer.length = fitted_length(trainer, recipe, data)
    trainer.fit()
    return trainer.length.stop, model


class TestCrossFitting:
    def test_noise_that_the_start_describes_is_not_trained_on(self) -> None:
        """The mean of the other folds is a worse one than the truth, which is the start."""
        x = points(60)
        stop, model = chosen(x - x.mean(0))
        assert stop == 0
        assert torch.equal(model.mean, torch.zeros(3))

    @pytest.mark.parametrize("n", [3, 7, 60])
    def test_structure_is_learned(self, n: int) -> None:
        x = points(n, shift=5.0)
        stop, model = chosen(x)
        assert stop is not None
        assert stop > 50
        # It stops between the first weights, which are 0, and the mean of the rows.
        assert (model.mean - x.mean(0)).norm() < 0.5 * x.mean(0).norm()

    def test_length_is_said_recorded_and_kept(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        x, out = points(30), tmp_path / "run"
        recipe = rp.variants.vae(rp.data.from_arrays(x).spec, latent_dim=1, hidden=[4])
        run = rp.fit(recipe, x, steps=40, out=out)
        length = run.config["recorded"]["length"]
        reason = f"stopped at step {length['stop']}, chosen by 5-fold cross-fitting"
        assert length["reason"] == reason
        assert reason in capsys.readouterr().err
        assert max((row["step"] for row in run.rows), default=0) == length["stop"]
        assert len(run.data.split("train")) == 30  # type: ignore[union-attr]
        # A run that goes on does not choose again.
        (out / "model.json").unlink()
        again = rp.fit(recipe, x, out=out, resume=True)
        assert again.config["recorded"]["length"] == length
        assert "cross-fitting" not in capsys.readouterr().err


class TestSplit:
    def test_is_made_said_and_kept(self, capsys: pytest.CaptureFixture[str]) -> None:
        x = points(550)
        runs = [
            rp.fit(rp.variants.vae, x, steps=20, batch_size=50, early_stopping=early, seed=1)
            for early in (None, None, 0)
        ]
        said = capsys.readouterr().err
        assert said.count("495 × 3 real numbers") == said.count("55 rows held out") == 2
        assert said.count("550 × 3 real numbers") == said.count("none held out") == 1
        splits = [run.data.splits for run in runs]  # type: ignore[union-attr]
        assert [len(each["train"]) for each in splits] == [495, 495, 550]
        assert torch.equal(splits[0]["validation"].x, splits[1]["validation"].x)
        held = runs[0].examples(split="validation")
        assert len(held) == 55
        assert runs[0].config["recorded"]["n_train"] == 495
        for a, b in zip(runs[0].model.parameters(), runs[1].model.parameters(), strict=True):
            assert torch.equal(a, b)

    def test_weights_with_the_best_loss_are_kept(self) -> None:
        """Of the model after every validation, on the same draws."""
        x, seen = points(550), {}

        def remember(event: Any) -> None:
            if event.kind == "epoch":
                state = event.model.state_dict()
                seen[float(event.row["loss"])] = {k: v.clone() for k, v in state.items()}

        # A rate that is much too high, so that the last weights are not the best.
        options: dict[str, Any] = {"lr": 0.01, "lr_schedule": "constant", "progress": False}
        run = rp.fit(rp.variants.vae, x, steps=1200, callbacks=[remember], **options)
        best = seen[min(seen)]
        assert min(seen) < list(seen)[-1]
        assert all(torch.equal(best[name], v) for name, v in run.model.state_dict().items())

    def test_columns_are_those_of_all_rows(self) -> None:
        """A flag of one row is no constant, whichever rows are held out."""
        x = points(600)
        x[:, 1] = 0
        x[7, 1] = 1
        run = rp.fit(rp.variants.vae, x, steps=3, progress=False)
        expected = columns(x, transform=True)
        layer = standardization_of(run.model)
        assert layer is not None
        for name in ("loc", "scale", "width", "origin", "linear_width"):
            torch.testing.assert_close(getattr(layer, name), getattr(expected, name))

    @pytest.mark.parametrize("given", [{"epochs": 1}, {"steps": 3, "early_stopping": 0}])
    def test_is_not_made_where_the_length_is_given(self, given: dict[str, Any]) -> None:
        run = rp.fit(rp.variants.vae, points(550), progress=False, **given)
        assert list(run.data.splits) == ["train"]  # type: ignore[union-attr]

    def test_is_not_made_for_models_composed_by_hand(self) -> None:
        run = rp.fit(Center(), points(550), density, steps=3, progress=False)
        assert list(run.data.splits) == ["train"]  # type: ignore[union-attr]


class TestBudget:
    def test_is_kept(self) -> None:
        """Roughly: tests run on busy machines."""
        import time

        rp.fit(rp.variants.vae, points(600), steps=1, early_stopping=0, progress=False)
        began = time.perf_counter()
        run = rp.fit(
            rp.variants.vae, points(600), budget=1, early_stopping=0, progress=False, device="cpu"
        )
        assert 0.9 < time.perf_counter() - began < 1.5
        assert run.config["budget"] == "1.0s"
        assert run.rows[-1]["lr"] < 1e-3

    def test_counts_the_seconds_before_an_interruption(self, tmp_path: Path) -> None:
        x, out = points(600), tmp_path / "run"
        recipe = rp.variants.vae(rp.data.from_arrays(x).spec, latent_dim=1, hidden=[4])

        def stop(event: Event) -> None:
            if event.kind == "log" and event.row["seconds"] > 0.4:
                raise Interrupted("stopped", 15)

        options: dict[str, Any] = {"budget": 1, "early_stopping": 0, "progress": False}
        with pytest.raises(Interrupted):
            rp.fit(recipe, x, out=out, callbacks=[stop], checkpoint_every=0, **options)
        # The plan is that of the run, and no other batch size is chosen.
        del options["budget"]
        run = rp.fit(recipe, x, out=out, resume=True, checkpoint_every=0, **options)
        length = run.config["recorded"]["length"]
        seconds = [row["seconds"] for row in run.rows if row["split"] == "train"]
        assert seconds == sorted(seconds)
        assert length["seconds"] <= seconds[-1] < length["seconds"] + 0.3
        assert run.config["budget"] == "1.0s"

    def test_small_batches_are_preferred_where_large_ones_cost_in_proportion(self) -> None:
        assert chosen_size({32: 0.9, 64: 1.0, 128: 2.1, 256: 4.2}, left=1e4) == 64
        assert chosen_size({64: 1.0, 128: 1.0, 256: 1.0}, left=1e4) == 256
        assert chosen_size({128: 1.0}, left=1.0) == 128

    def test_batches_are_small_where_few_steps_fit(self) -> None:
        step = {32: 1.0, 64: 1.9, 128: 3.7}
        assert [chosen_size(step, left) for left in (4000, 2000, 1000, 10)] == [128, 64, 32, 32]
        assert chosen_size({32: 1.0, 64: 1.1, 128: 1.3}, left=10) == 128  # fewer save no time

    def test_has_a_form(self) -> None:
        with pytest.raises(OptionError, match="budget='soon': must be a time such as '30s'"):
            rp.fit(rp.variants.vae, points(30), budget="soon", progress=False)

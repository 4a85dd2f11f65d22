"""The training loop: what it reaches, what it computes in each step, and whom it tells of it."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

import reparam as rp
from reparam.batch import Batch
from reparam.errors import DataError, NonFiniteError, OptionError
from reparam.objectives import Terms
from reparam.training.events import Event
from reparam.training.monitor import likely_cause
from reparam.training.options import TrainingOptions
from reparam.training.runtime import make_runtime
from reparam.training.trainer import Trainer
from reparam.variants import Player, Recipe
from tests.support import same, weights

N, DIM = 96, 5


def points(seed: int = 0, n: int = N, dim: int = DIM) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def small_vae(data: rp.data.Dataset, seed: int = 0) -> Recipe:
    torch.manual_seed(seed)
    return rp.variants.vae(data.spec, latent_dim=2, hidden=[8])


def fit(model: Any, data: Any, **options: Any) -> rp.Run:
    return rp.fit(model, data, **{"progress": False, "precision": "float32", **options})


class Center(nn.Module):
    """A mean to be learned; the loss of an example is its squared distance from it."""

    def __init__(self, dim: int = DIM) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(dim))


def closeness(model: Center, batch: Batch) -> Terms:
    bound = -(batch.x - model.mean).square().sum(1)
    return Terms(bound=bound, reconstruction=bound)


class Recorder:
    """Remembers the events of a run."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.weights: dict[int, dict[str, Tensor]] = {}

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if event.kind == "epoch":
            state = event.model.state_dict()
            self.weights[event.epoch] = {k: v.clone() for k, v in state.items()}

    def rows(self, split: str) -> list[dict[str, Any]]:
        return [dict(e.row) for e in self.events if e.row and e.row["split"] == split]


class TestOptimum:
    def test_linear_gaussian_model_reaches_probabilistic_pca(self) -> None:
        """Tipping & Bishop, 1999, eq. 8 and 9: the maximum of the likelihood in closed form."""
        torch.manual_seed(0)
        n, dim, latent = 400, 6, 2
        x = torch.randn(n, latent) @ torch.randn(latent, dim) * 1.5 + 0.5 * torch.randn(n, dim)
        values = np.linalg.eigvalsh(np.cov(x.double().numpy().T, bias=True))[::-1]
        noise = values[latent:].mean()
        best = -0.5 * (
            dim * math.log(2 * math.pi)
            + np.log(values[:latent]).sum()
            + (dim - latent) * math.log(noise)
            + dim
        )
        model = rp.LatentModel(
            encoder=rp.Conditional(rp.nn.MLP(dim), rp.families.FullCovarianceGaussian(latent)),
            decoder=rp.Conditional(rp.nn.MLP(latent), rp.families.Gaussian(dim, scale="shared")),
            prior=rp.priors.StandardNormal(latent),
        )
        objective = rp.objectives.ELBO(n_samples=8)
        options = {"epochs": 500, "batch_size": n, "lr": 0.1, "clip_norm": 0}
        run = fit(model, x, objective=objective, **options)
        torch.manual_seed(1)
        with torch.no_grad():
            elbo = rp.objectives.ELBO(n_samples=500)(model, Batch(x)).elbo.mean().item()
            scale = model.likelihood(torch.zeros(1, latent)).base_dist.scale[0, 0].item()
        assert best - 0.02 < elbo < best + 0.012  # three errors of the estimate
        assert scale**2 == pytest.approx(noise, rel=0.05)
        train = [row["elbo"] for row in run.rows if "elbo" in row]
        assert train[-1] > train[0] + 1


class TestStep:
    def reference(self, x: Tensor, options: TrainingOptions) -> tuple[Tensor, Tensor]:
        """Adam by hand, with the formulas that the options' docstring states: full batches."""
        mean, m, v = (torch.zeros(DIM, dtype=torch.float64) for _ in range(3))
        average = mean
        x = x.double()
        warmup = round(options.lr_warmup * options.epochs)
        for t in range(options.epochs):
            gradient = 2 * (mean - x.mean(0))
            norm = gradient.norm()
            if options.clip_norm and norm > options.clip_norm:
                gradient = gradient * options.clip_norm / norm
            if t < warmup:
                lr = options.lr * (t + 1) / warmup
            else:
                share = (t - warmup) / (options.epochs - warmup)
                lr = options.lr * (1 - share)
            m = 0.9 * m + 0.1 * gradient
            v = 0.999 * v + 0.001 * gradient**2
            corrected = m / (1 - 0.9 ** (t + 1)), v / (1 - 0.999 ** (t + 1))
            mean = mean - lr * corrected[0] / (corrected[1].sqrt() + 1e-8)
            decay = min(options.ema or 0.0, (1 + t) / (10 + t))
            average = mean if t == 0 else decay * average + (1 - decay) * mean
        return mean, average

    @pytest.mark.parametrize(
        "changes", [{"clip_norm": 1.0}, {"clip_norm": 0.0}, {"lr_warmup": 0.0}]
    )
    def test_is_adam_with_warmup_decay_and_clipping(self, changes: dict[str, float]) -> None:
        # A strong pull at first, so that the norm is clipped at some steps and not at others.
        x = points() + 0.4
        options = TrainingOptions(epochs=20, batch_size=N, lr=0.05, **changes)  # type: ignore[arg-type]
        model = Center()
        fit(model, x, objective=closeness, epochs=20, batch_size=N, lr=0.05, **changes)
        expected, _ = self.reference(x, options)
        assert torch.allclose(model.mean.double(), expected, atol=1e-5)

    def test_average_of_the_weights_is_the_model(self) -> None:
        x = points() + 1
        options = TrainingOptions(epochs=20, batch_size=N, lr=0.05, ema=0.8)
        model = Center()
        fit(model, x, objective=closeness, epochs=20, batch_size=N, lr=0.05, ema=0.8)
        last, average = self.reference(x, options)
        assert torch.allclose(model.mean.double(), average, atol=1e-5)
        assert not torch.allclose(last, average, atol=1e-3)

    def test_learning_rate_and_kl_weight_are_logged(self) -> None:
        data = rp.data.from_arrays(points().round().clamp(0, 1))
        seen = Recorder()
        options = {"epochs": 10, "batch_size": N // 2, "lr": 0.1, "log_every": 1}
        fit(small_vae(data), data, kl_warmup=5, callbacks=[seen], **options)
        rows = seen.rows("train")
        assert [row["step"] for row in rows] == list(range(1, 21))
        assert [row["beta"] for row in rows] == pytest.approx([min(t / 10, 1) for t in range(20)])
        rise = [0.1 * (t + 1) / 4 for t in range(4)]
        fall = [0.1 * (1 - t / 16) for t in range(16)]
        assert [row["lr"] for row in rows] == pytest.approx(rise + fall)

    def test_kl_warmup_weighs_the_loss(self) -> None:
        data = rp.data.from_arrays(points().round().clamp(0, 1))
        seen = Recorder()
        options = {"epochs": 4, "batch_size": N, "log_every": 1}
        fit(small_vae(data), data, kl_warmup=2, callbacks=[seen], **options)
        for row, beta in zip(seen.rows("train"), [0, 0.5, 1, 1], strict=True):
            assert row["loss"] == pytest.approx(-row["reconstruction"] + beta * row["kl"])


class Game(nn.Module):
    """Two numbers: one of the main objective, one of a player."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(0.5))
        self.discriminator = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.discriminator.weight, 1.0)


def main_game(model: Game, batch: Batch) -> Terms:
    """Its optimum is theta · w = 6; its gradient would drive w too."""
    bound = -(model.theta * model.discriminator.weight.sum() - 6).square() * torch.ones(len(batch))
    return Terms(bound=bound, reconstruction=bound)


def player_game(model: Game, batch: Batch) -> Terms:
    """Its optimum is w = 3 - theta / 10; its gradient would drive theta too."""
    distance = model.discriminator.weight.sum() - 3 + model.theta / 10
    bound = -distance.square() * torch.ones(len(batch))
    return Terms(bound=bound, reconstruction=bound)


class TestPlayers:
    def recipe(self, objective: Callable[..., Terms], lr: float | None = None) -> Recipe:
        return Recipe(Game(), main_game, (Player("discriminator", objective, lr=lr),))

    def test_reach_the_equilibrium_of_the_game(self) -> None:
        recipe = self.recipe(player_game)
        fit(recipe, points(n=8), epochs=400, batch_size=8, lr=0.05)
        # theta · w = 6 and w = 3 - theta / 10: the root of theta² - 30 theta + 60 = 0.
        theta = 15 - math.sqrt(225 - 60)
        assert recipe.model.theta.item() == pytest.approx(theta, abs=0.01)
        assert recipe.model.discriminator.weight.item() == pytest.approx(3 - theta / 10, abs=0.01)

    def test_each_moves_its_own_parameters_only(self) -> None:
        def still(model: Game, batch: Batch) -> Terms:
            bound = 0 * model.discriminator.weight.sum() * torch.ones(len(batch))
            return Terms(bound=bound, reconstruction=bound)

        recipe = self.recipe(still)
        fit(recipe, points(n=8), epochs=20, batch_size=4, lr=0.05)
        assert recipe.model.discriminator.weight.item() == 1.0
        assert recipe.model.theta.item() > 0.5

    def test_first_step_of_each_has_its_own_rate(self) -> None:
        recipe = self.recipe(player_game, lr=0.25)
        fit(recipe, points(n=8), epochs=1, batch_size=8, lr=0.125, lr_warmup=0)
        # Adam's first step has the length of the rate, whatever the gradient.
        assert recipe.model.theta.item() == pytest.approx(0.625, abs=1e-6)
        assert recipe.model.discriminator.weight.item() == pytest.approx(1.25, abs=1e-6)

    def test_rows_name_the_player(self) -> None:
        seen = Recorder()
        fit(self.recipe(player_game), points(n=8), epochs=1, callbacks=[seen])
        (row,) = seen.rows("train")
        assert row["loss"] == pytest.approx((0.5 - 6) ** 2)
        assert "discriminator/loss" in row

    def test_of_no_part_is_refused(self) -> None:
        with pytest.raises(OptionError, match="critic"):
            Recipe(Game(), main_game, (Player("critic", player_game),))


class TestEarlyStopping:
    """Validation scores are scripted: 1, 2, 5, 4, 3, … by epoch."""

    def scripted(self, scores: list[float]) -> Callable[[Center, Batch], Terms]:
        left = iter(scores)

        def objective(model: Center, batch: Batch) -> Terms:
            terms = closeness(model, batch)
            if batch.step is not None:
                return terms
            bound = torch.full((len(batch),), float(next(left)))
            return Terms(bound=bound, reconstruction=bound)

        return objective

    def data(self) -> rp.data.Dataset:
        return rp.data.from_arrays(points() + 1, validation=16)

    def test_keeps_the_best_epoch(self) -> None:
        seen = Recorder()
        objective = self.scripted([1, 2, 5, 4, 3, 9])
        run = fit(
            Center(),
            self.data(),
            objective=objective,
            epochs=6,
            early_stopping=2,
            callbacks=[seen],
        )
        assert list(seen.weights) == [1, 2, 3, 4, 5]
        assert same(weights(run), seen.weights[3])
        assert not same(seen.weights[3], seen.weights[5])

    def test_a_better_last_epoch_is_kept(self) -> None:
        seen = Recorder()
        objective = self.scripted([1, 5, 4, 6])
        options = {"epochs": 4, "early_stopping": 3, "callbacks": [seen]}
        run = fit(Center(), self.data(), objective=objective, **options)
        assert same(weights(run), seen.weights[4])

    def test_with_an_average_keeps_the_best_average(self) -> None:
        seen = Recorder()
        objective = self.scripted([1, 5, 4, 3])
        options = {"epochs": 4, "early_stopping": 2, "ema": 0.9, "callbacks": [seen]}
        run = fit(Center(), self.data(), objective=objective, **options)
        # The event's model is the average, as it would be used.
        assert same(weights(run), seen.weights[2])

    def test_without_validation_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="needs a validation split"):
            fit(Center(), points(), objective=closeness, early_stopping=2, out=tmp_path / "run")
        # A folder begun would stand in the way of the corrected command.
        assert list(tmp_path.iterdir()) == []


class TestWatchers:
    def test_nothing_that_is_watched_changes_the_weights(self, tmp_path: Path) -> None:
        whole = rp.data.load("digits", binarize="dynamic", validation=64)
        alone = {k: v for k, v in whole.splits.items() if k != "validation"}
        unvalidated = rp.data.Dataset(whole.name, whole.spec, alone, whole.transform)

        def meddler(event: Event) -> None:
            torch.rand(7)
            event.model.eval()

        options: dict[str, Any] = {"epochs": 2, "batch_size": 256, "log_every": 2}
        plain = fit(small_vae(whole), unvalidated, pictures_every=0, **options)
        watched = fit(
            small_vae(whole),
            whole,
            out=tmp_path / "run",
            callbacks=[meddler],
            checkpoint_every=0,
            **options,
        )
        assert same(weights(plain), weights(watched))

    def test_a_meddling_callback_leaves_dropout_on(self) -> None:
        modes = []

        class Dropping(Center):
            def __init__(self) -> None:
                super().__init__()
                self.dropout = nn.Dropout(0.5)

        def objective(model: Dropping, batch: Batch) -> Terms:
            modes.append((batch.step is not None, model.dropout.training))
            return closeness(model, batch)

        fit(
            Dropping(),
            rp.data.from_arrays(points(), validation=16),
            objective=objective,
            epochs=2,
            batch_size=20,
            log_every=1,
            callbacks=[lambda event: event.model.eval() and None],
        )
        assert all(training == mode for training, mode in modes)
        assert {training for training, _ in modes} == {True, False}

    def test_rows_are_the_means_of_their_windows(self) -> None:
        said: list[tuple[float, int]] = []

        def objective(model: Center, batch: Batch) -> Terms:
            terms = closeness(model, batch)
            if batch.step is not None:
                said.append((terms.loss.item(), len(batch)))
            return terms

        seen = Recorder()
        # 96 examples by 20: batches of 20, 20, 20, 20, 16; the third window reaches over an epoch.
        options = {"epochs": 2, "batch_size": 20, "log_every": 2, "callbacks": [seen]}
        fit(Center(), points() + 1, objective=objective, **options)
        rows = seen.rows("train")
        assert [row["step"] for row in rows] == [2, 4, 6, 8, 10]
        start = 0
        for row in rows:
            window = said[start : row["step"]]
            start = row["step"]
            mean = sum(loss * n for loss, n in window) / sum(n for _, n in window)
            assert row["loss"] == pytest.approx(mean, rel=1e-6)

    def test_validation_row_is_the_mean_over_the_split(self) -> None:
        data = rp.data.from_arrays(points(n=1600) + 1, validation=1100)  # more than one chunk
        seen = Recorder()
        run = fit(Center(), data, objective=closeness, epochs=1, callbacks=[seen])
        (row,) = seen.rows("validation")
        x = data.split("validation").x
        expected = (x - weights(run)["mean"]).square().sum(1).mean().item()
        assert row["loss"] == pytest.approx(expected, rel=1e-5)

    def test_rows_name_the_terms_and_hold_no_nan(self, tmp_path: Path) -> None:
        data = rp.data.load("digits", validation=64)
        options = {"epochs": 2, "batch_size": 512, "log_every": 3, "pictures_every": 0}
        run = fit(small_vae(data), data, out=tmp_path / "run", **options)
        lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
        rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]
        assert [(row["split"], row["epoch"], row["step"]) for row in rows] == [
            ("train", 0, 3),
            ("validation", 0, 3),
            ("train", 1, 6),
            ("validation", 1, 6),
        ]
        shared = {"split", "epoch", "step", "loss", "reconstruction", "elbo", "kl", "seconds"}
        assert shared | {"lr", "beta", "images_per_second"} == set(rows[0])
        assert shared == set(rows[1])
        for row in rows:
            assert row["elbo"] == pytest.approx(row["reconstruction"] - row["kl"])
        assert run.rows == rows

    def test_without_validation_there_is_no_validation_row(self, tmp_path: Path) -> None:
        options = {"epochs": 2, "batch_size": N, "log_every": 1, "out": tmp_path / "run"}
        run = fit(Center(), points(), objective=closeness, **options)
        assert [(row["split"], row["step"]) for row in run.rows] == [("train", 1), ("train", 2)]

    def test_non_finite_validation_is_null_in_the_file(self, tmp_path: Path) -> None:
        def objective(model: Center, batch: Batch) -> Terms:
            terms = closeness(model, batch)
            if batch.step is not None:
                return terms
            return Terms(bound=terms.bound - math.inf, reconstruction=terms.bound)

        data = rp.data.from_arrays(points(), validation=16)
        fit(Center(), data, objective=objective, epochs=1, out=tmp_path / "run")
        row = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1]
        assert json.loads(row, parse_constant=pytest.fail)["loss"] is None

    def test_events_come_in_order(self) -> None:
        seen = Recorder()
        fit(Center(), points(), objective=closeness, epochs=2, callbacks=[seen])
        kinds = [event.kind for event in seen.events]
        assert kinds == ["start", "log", "epoch", "log", "epoch", "end"]
        assert [event.epoch for event in seen.events] == [0, 0, 1, 1, 2, 2]


class TestNonFinite:
    def poisoned(self, at: int, how: str) -> Callable[[Center, Batch], Terms]:
        def objective(model: Center, batch: Batch) -> Terms:
            terms = closeness(model, batch)
            if batch.step != at:
                return terms
            if how == "loss":
                return Terms(bound=terms.bound * math.nan, reconstruction=terms.bound)
            # A finite value whose gradient is not: the root at zero.
            zero = (model.mean - model.mean.detach()).sum()
            return Terms(bound=terms.bound - zero.sqrt(), reconstruction=terms.bound)

        return objective

    def test_loss_names_step_terms_and_cause(self, tmp_path: Path) -> None:
        out = tmp_path / "run"
        with pytest.raises(NonFiniteError) as caught:
            fit(
                Center(),
                points(),
                objective=self.poisoned(7, "loss"),
                out=out,
                epochs=4,
                batch_size=32,
                log_every=2,
                lr=0.01,
                checkpoint_every=0,
            )
        said = str(caught.value)
        assert "\n" not in said
        assert "at step 7 (epoch 3): loss nan, reconstruction -" in said
        assert "lower the learning rate (lr=0.001)" in said
        assert f"the last good checkpoint is in {out / 'checkpoints'}" in said
        # Windows end after steps 2, 3 (an epoch), 4, 6; the state after step 6 is good.
        newest = max((out / "checkpoints").glob("step-*.json")).stem
        assert newest == "step-000000006"
        assert not (out / "model.safetensors").exists()

    def test_loss_of_the_first_step_is_put_down_to_the_data(self, tmp_path: Path) -> None:
        x = 1e20 * points()
        options = {"epochs": 1, "batch_size": N}
        # A model of the user's own has no standardization.
        own = small_vae(rp.data.from_arrays(x))
        own = rp.LatentModel(own.model.encoder, own.model.decoder, own.model.prior)
        own.decoder.family.standardize = None
        with pytest.raises(NonFiniteError) as caught:
            fit(own, x, out=tmp_path / "run", **options)
        said = str(caught.value)
        assert "at step 0 (epoch 1): loss " in said
        assert "standardize them, (x - mean) / standard deviation; the last good " in said
        assert "lr=" not in said
        advised = (x - x.mean(0)) / x.std(0)
        fit(small_vae(rp.data.from_arrays(advised)), advised, **options)

    def test_gradient_is_found_before_it_is_saved(self, tmp_path: Path) -> None:
        out = tmp_path / "run"
        for every in (0, 1000):
            with pytest.raises(NonFiniteError, match=r"mean are not finite after step 4, .*lr=0"):
                fit(
                    Center(),
                    points(),
                    objective=self.poisoned(3, "gradient"),
                    out=out / str(every),
                    epochs=1,
                    batch_size=24,
                    log_every=1,
                    lr=0.01,
                    checkpoint_every=every,
                )
            assert not (out / str(every) / "model.safetensors").exists()
        steps = sorted(path.stem for path in (out / "0" / "checkpoints").glob("*.json"))
        assert steps == ["step-000000002", "step-000000003"]

    @pytest.mark.parametrize(
        "refusal",
        [
            RuntimeError("normal expects all elements of std >= 0.0"),
            ValueError("Expected parameter loc to satisfy the constraint Real()"),
            torch.linalg.LinAlgError("linalg.eigh: the algorithm failed to converge"),
        ],
    )
    @pytest.mark.parametrize("ruined", [True, False])
    def test_is_said_whatever_notices_it_first(self, refusal: Exception, ruined: bool) -> None:
        def objective(model: Center, batch: Batch) -> Terms:
            if batch.step == 2:
                if ruined:
                    model.mean.data[1] = math.inf
                raise refusal
            return closeness(model, batch)

        with pytest.raises(NonFiniteError if ruined else type(refusal)) as caught:
            fit(Center(), points(), objective=objective, epochs=1, batch_size=24, lr=0.01)
        if ruined:
            assert "the weights of mean are not finite after step 2" in str(caught.value)
            assert caught.value.__cause__ is refusal
        else:
            # What has another reason stays what it is.
            assert caught.value is refusal

    def test_of_a_player_in_the_first_step_is_no_fault_of_the_data(self) -> None:
        said = likely_cause({"loss": 140.0, "critic/loss": math.nan}, lr=10.0, step=0)
        assert said == "the weights themselves are no longer finite: lower the learning rate (lr=1)"
        assert "standardize" in likely_cause({"loss": math.nan}, lr=10.0, step=0)

    def test_without_a_folder_too(self) -> None:
        with pytest.raises(NonFiniteError, match="no checkpoint was written"):
            fit(Center(), points(), objective=self.poisoned(0, "gradient"), epochs=1)


class TestData:
    @pytest.mark.parametrize("kind", ["tensor", "array", "pair", "dataset", "loader", "bytes"])
    def test_fit_takes(self, kind: str) -> None:
        x = points(dim=12).round().clamp(0, 1)
        y = torch.arange(N) % 3
        given: dict[str, Any] = {
            "tensor": x,
            "array": x.numpy(),
            "pair": (x.numpy(), y.numpy()),
            "dataset": torch.utils.data.TensorDataset(x, y),
            "loader": torch.utils.data.DataLoader(x, batch_size=32),
            "bytes": x.byte(),
        }
        torch.manual_seed(0)
        recipe = rp.variants.vae(rp.DataSpec((12,), "binary"), latent_dim=2, hidden=[8])
        run = fit(recipe, given[kind], epochs=2, batch_size=32, log_every=3)
        assert run.spec.shape == (12,)
        assert run.spec.support == "binary"
        assert run.rows[-1]["step"] == 6
        assert run.sample(4).shape == (4, 12)

    def test_any_module_with_the_three_parts(self) -> None:
        class Own(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.encoder = rp.Conditional(nn.Linear(6, 8), rp.families.Gaussian(2))
                self.decoder = rp.Conditional(nn.Linear(2, 8), rp.families.Bernoulli(6))
                self.prior = rp.priors.StandardNormal(2)

        own = Own()
        before = own.encoder.network.weight.detach().clone()
        run = fit(own, points(dim=6).round().clamp(0, 1), epochs=1)
        assert run.sample(3).shape == (3, 6)
        # It is the module itself that has learned, not a copy of it.
        assert not torch.equal(own.encoder.network.weight, before)

    def test_module_without_a_part_is_refused(self) -> None:
        with pytest.raises(OptionError, match="Linear has no encoder"):
            fit(nn.Linear(2, 2), points())

    def test_no_file_without_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        data = rp.data.load("digits")
        run = fit(small_vae(data), data, epochs=1, batch_size=512, checkpoint_every=0)
        run.evaluate(n_samples=2)
        assert run.folder is None
        assert list(tmp_path.iterdir()) == []

    def test_precision_is_recorded(self, tmp_path: Path) -> None:
        data = rp.data.load("digits", binarize="threshold")
        found = {}
        for precision in ("float32", "bfloat16"):
            out = tmp_path / precision
            options = {"epochs": 1, "batch_size": 512, "pictures_every": 0}
            run = fit(small_vae(data), data, precision=precision, out=out, **options)
            assert yaml.safe_load((out / "config.yaml").read_text())["precision"] == precision
            found[precision] = weights(run)
            assert all(value.dtype == torch.float32 for value in found[precision].values())
        assert not same(found["float32"], found["bfloat16"])
        run = fit(small_vae(data), data, epochs=1, batch_size=2000, precision="auto")
        assert run.config["precision"] in found


class TestOptions:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"epocs": 3}, "did you mean 'epochs'"),
            ({"epochs": 0}, "epochs=0"),
            ({"epochs": 2.5}, "epochs=2.5: must be a whole number"),
            ({"epochs": "3"}, "epochs='3'"),
            ({"epochs": True}, "epochs=True"),
            ({"batch_size": 0}, "batch_size=0"),
            ({"lr": 0}, "lr=0"),
            ({"lr": math.nan}, "lr=nan"),
            ({"lr": math.inf}, "lr=inf"),
            ({"clip_norm": math.nan}, "clip_norm=nan"),
            ({"ema": 1.0}, "ema=1.0"),
            ({"kl_warmup": math.inf}, "kl_warmup=inf"),
            ({"epochs": 3, "kl_warmup": 3.5}, "kl_warmup=3.5: longer than the run of epochs=3"),
            ({"seed": -1}, "seed=-1"),
            ({"seed": 2**63}, "below 2"),
            ({"device": "tpu9"}, "unknown device 'tpu9'"),
            ({"precision": "float23"}, "did you mean 'float32'"),
            ({"devices": 0}, "devices=0"),
        ],
    )
    def test_bad_ones_are_refused(self, changes: dict[str, Any], said: str) -> None:
        options = {"progress": False, **changes}
        with pytest.raises(OptionError, match=said):
            rp.fit(Center(), points(), objective=closeness, **options)

    def test_numbers_of_numpy_are_numbers(self, tmp_path: Path) -> None:
        options: dict[str, Any] = {"epochs": np.int64(2), "lr": np.float32(0.5)}
        out = tmp_path / "run"
        fit(Center(), points(), objective=closeness, device=torch.device("cpu"), out=out, **options)
        stored = yaml.safe_load((out / "config.yaml").read_text())
        assert (stored["epochs"], stored["lr"], stored["device"]) == (2, 0.5, "cpu")

    def test_warmup_needs_a_kl_without_a_schedule(self) -> None:
        with pytest.raises(OptionError, match="no KL to weigh"):
            fit(Center(), points(), objective=closeness, kl_warmup=1)
        data = rp.data.from_arrays(points().round().clamp(0, 1))
        scheduled = rp.objectives.ELBO(beta=rp.schedules.linear(0, 1, steps=3))
        recipe = rp.replace(small_vae(data), objective=scheduled)
        with pytest.raises(OptionError, match="already has a schedule of beta"):
            fit(recipe, data, kl_warmup=1)


def test_trainer_needs_examples() -> None:
    class Nothing:
        n_examples = 0

        def __len__(self) -> int:
            return 0

    recipe = Recipe(Center(), closeness)
    with pytest.raises(DataError, match="no examples"):
        Trainer(recipe, Nothing(), TrainingOptions(), make_runtime("cpu", "float32"))  # type: ignore[arg-type]


class TestDeterminism:
    def content(self, out: Path, seed: int, **options: Any) -> bytes:
        data = rp.data.load("digits", binarize="dynamic")
        recipe = small_vae(data, seed=seed)
        options = {"epochs": 2, "batch_size": 256, "pictures_every": 0, **options}
        fit(recipe, data, seed=seed, out=out, **options)
        return (out / "model.safetensors").read_bytes()

    def test_same_seed_same_bytes(self, tmp_path: Path) -> None:
        first = self.content(tmp_path / "a", seed=3)
        torch.rand(5)  # what was drawn before does not matter
        assert self.content(tmp_path / "b", seed=3) == first
        assert self.content(tmp_path / "c", seed=4) != first

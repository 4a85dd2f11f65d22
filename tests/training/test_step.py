"""A loop of the user's own around ``Step``, optimizers of the user's own, and callbacks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler as schedulers

import reparam as rp
from reparam.batch import Batch
from reparam.data import Batches, Dataset
from reparam.errors import CheckpointError, OptionError
from reparam.objectives import Terms
from reparam.training import Callback, Event, Step, Trainer, TrainingOptions
from reparam.training.checkpoint import load_checkpoint
from reparam.utils.seeding import mixed_seed, reseed
from reparam.variants import Player, Recipe, build
from tests.support import Stop, same, stop_at

CPU = torch.device("cpu")
X = torch.rand(60, 6, generator=torch.Generator().manual_seed(0)).round()
DATA = rp.data.from_arrays(X)
N_BATCHES = 6


def recipe_of(variant: str = "vae") -> Recipe:
    torch.manual_seed(0)
    return build(variant, DATA.spec, hidden=(4,))


def batches_of(data: Dataset = DATA) -> Batches:
    return Batches(data.split("train"), data.transform, 10)


def trainer_of(recipe: Recipe | None = None, **given: Any) -> Trainer:
    names = ("callbacks", "checkpoints", "capture", "optimizer", "scheduler")
    own = {n: given.pop(n) for n in names if n in given and given[n] != "muon"}
    options = TrainingOptions(**{"epochs": 3, "batch_size": 10, "log_every": 2, **given})
    return Trainer(recipe_of() if recipe is None else recipe, batches_of(), options, **own)


class TestOwnLoop:
    """With the batches and the seeds of the trainer, a loop around a step gives its weights."""

    @pytest.mark.parametrize(
        ("variant", "options"),
        [
            ("vae", {}),
            ("vae", {"ema": 0.9}),
            ("vae", {"kl_warmup": 2.0}),
            ("vae", {"weight_decay": 0.1, "optimizer": "muon"}),
            ("factor-vae", {}),  # a player
            ("vamp-vae", {}),  # a milestone
            ("gumbel-vae", {}),  # an annealed temperature
        ],
    )
    def test_is_what_the_trainer_does(self, variant: str, options: dict[str, Any]) -> None:
        expected = trainer_of(recipe_of(variant), **options).fit()
        batches, settings = batches_of(), TrainingOptions(epochs=3, batch_size=10, **options)
        given = list(batches.epoch(0))
        step = Step(recipe_of(variant), settings, n_steps=3 * N_BATCHES, examples=given)
        for epoch in range(3):
            reseed(CPU, mixed_seed(0, epoch, 0))
            for batch in batches.epoch(epoch):
                step(batch)
        assert step.n_taken == 3 * N_BATCHES
        assert same(step.current, expected)

    def test_trains_a_model_that_was_in_evaluation_mode(self) -> None:
        step = Step(recipe_of("gumbel-vae"), TrainingOptions(), n_steps=2)
        step.model.eval()
        step(Batch(X))
        assert all(module.training for module in step.model.modules())

    def test_after_the_last_step_schedules_keep_their_last_value(self) -> None:
        step = Step(recipe_of("gumbel-vae"), TrainingOptions(lr_schedule="cosine"), n_steps=2)
        for _ in range(2):
            step(Batch(X))
        before = {name: value.clone() for name, value in step.model.state_dict().items()}
        for _ in range(2):
            step(Batch(X))
        tau = "encoder.family.tau"
        assert step.lr(step.n_taken - 1) == 0
        after = step.model.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before if name != tau)
        assert float(after[tau]) == pytest.approx(0.3)  # the last temperature of the variant

    def test_terms_are_kept_when_asked(self) -> None:
        step = Step(recipe_of(), TrainingOptions(), n_steps=4)
        step(Batch(X))
        assert step.terms is None
        step.keeps_terms = True
        scalars = step(Batch(X))
        assert step.terms is not None
        torch.testing.assert_close(step.terms.elbo.mean(), scalars["elbo"])

    def test_milestones_need_examples(self) -> None:
        with pytest.raises(OptionError, match="examples=None: the milestones"):
            Step(recipe_of("vamp-vae"), TrainingOptions(), n_steps=4)


class Line(nn.Module):
    """One number to be learned, the minimum of a parabola, and a bias that is a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 2))
        self.bias = nn.Parameter(torch.ones(2))


def flat(model: Line, batch: Batch) -> Terms:
    """An objective whose gradient is zero, so that only weight decay moves a weight."""
    bound = 0 * (model.weight.sum() + model.bias.sum()) * torch.ones(len(batch))
    return Terms(bound=bound, reconstruction=bound)


class TestWeightDecay:
    @pytest.mark.parametrize("optimizer", ["adam", "muon"])
    def test_shrinks_matrices_by_the_rate_and_leaves_vectors(self, optimizer: Any) -> None:
        options = TrainingOptions(
            lr=0.1, lr_warmup=0, lr_schedule="constant", weight_decay=0.5, optimizer=optimizer
        )
        model = Line()
        step = Step(Recipe(model, flat), options, n_steps=3)
        for _ in range(3):
            step(Batch(X))
        torch.testing.assert_close(model.weight.detach(), torch.full((2, 2), (1 - 0.1 * 0.5) ** 3))
        assert torch.equal(model.bias.detach(), torch.ones(2))

    def test_resumes(self, tmp_path: Path) -> None:
        whole = trainer_of(weight_decay=0.1).fit()
        assert same(resumed(tmp_path, weight_decay=0.1), whole)
        assert not same(trainer_of().fit(), whole)


def resumed(folder: Path, at: int = 8, **given: Any) -> nn.Module:
    """Train until a callback fails, then go on from the checkpoint with another trainer."""

    given = {"checkpoint_every": 0, "checkpoints": folder, **given}
    with pytest.raises(Stop):
        trainer_of(callbacks=[stop_at(at)], **given).fit()
    checkpoint = load_checkpoint(folder, pytest.fail)
    assert checkpoint is not None
    assert 0 < checkpoint.step < at
    trainer = trainer_of(**given)
    trainer.restore(checkpoint)
    return trainer.fit()


def sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "groups": lambda p: torch.optim.RMSprop([{"params": p[:1], "lr": 0.1}, {"params": p[1:]}]),
}
SCHEDULERS: dict[str, Callable[[torch.optim.Optimizer], schedulers.LRScheduler]] = {
    "steps": lambda o: schedulers.MultiStepLR(o, milestones=[3, 5, 11], gamma=0.5),
    "function": lambda o: schedulers.LambdaLR(o, lambda step: 1 / (1 + step)),
    "one cycle": lambda o: schedulers.OneCycleLR(o, max_lr=0.1, total_steps=18),
    "in turn": lambda o: schedulers.SequentialLR(
        o,
        [schedulers.LinearLR(o, 0.1, total_iters=4), schedulers.CosineAnnealingLR(o, 14)],
        milestones=[4],
    ),
}


class TestOwnOptimizer:
    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_resumes_bit_for_bit(self, tmp_path: Path, optimizer: str) -> None:
        own = {"optimizer": OPTIMIZERS[optimizer]}
        expected = trainer_of(**own).fit()
        assert same(resumed(tmp_path, **own), expected)
        assert not same(trainer_of().fit(), expected)

    @pytest.mark.parametrize("scheduler", SCHEDULERS)
    def test_of_a_scheduler_too(self, tmp_path: Path, scheduler: str) -> None:
        own = {"optimizer": sgd, "scheduler": SCHEDULERS[scheduler]}
        expected = trainer_of(**own).fit()
        assert same(resumed(tmp_path, **own), expected)
        assert not same(trainer_of(optimizer=sgd).fit(), expected)

    def test_a_scheduler_alone_changes_the_rate_of_the_options(self, tmp_path: Path) -> None:
        rates: list[float] = []

        def note(event: Event) -> None:
            if event.kind == "log":
                rates.append(float(event.row["lr"]))

        halved = {"scheduler": lambda o: schedulers.ExponentialLR(o, 0.5), "lr": 0.01}
        expected = trainer_of(log_every=1, callbacks=[note], **halved).fit()
        assert rates == pytest.approx([0.01 * 0.5**step for step in range(18)])
        assert same(resumed(tmp_path, **halved), expected)

    def test_has_its_own_rate_and_a_player_its_own(self) -> None:
        recipe = recipe_of("factor-vae")
        (player,) = recipe.players
        own_lr = Player(player.module, player.objective, lr=0.25)
        step = Step(
            rp.replace(recipe, players=(own_lr,)), TrainingOptions(lr=1.0), 4, optimizer=sgd
        )
        for _ in range(2):
            step(Batch(X))
        assert [turn.lr for turn in step.turns] == [0.1, 0.25]

    def test_is_torchs_step_by_step(self) -> None:
        model, twin = Line(), Line()

        def parabola(model: Line, batch: Batch) -> Terms:
            bound = -(model.weight.square().sum() + model.bias.sum().square()).expand(len(batch))
            return Terms(bound=bound, reconstruction=bound)

        options = TrainingOptions(clip_norm=0)
        step = Step(
            Recipe(model, parabola), options, 5, optimizer=sgd, scheduler=SCHEDULERS["steps"]
        )
        optimizer = sgd(list(twin.parameters()))
        scheduler = SCHEDULERS["steps"](optimizer)
        for _ in range(5):
            step(Batch(X))
            optimizer.zero_grad()
            parabola(twin, Batch(X)).loss.backward()
            optimizer.step()
            scheduler.step()
        assert same(model, twin)

    @pytest.mark.parametrize(
        ("own", "said"),
        [
            ({"optimizer": lambda p: None}, "optimizer: .* NoneType; it must return a torch.optim"),
            ({"optimizer": "adam"}, "optimizer='adam': must be a function"),
            ({"optimizer": torch.optim.LBFGS}, "LBFGS evaluates the loss several times"),
            ({"scheduler": lambda o: o}, "scheduler: .* it must return a torch.optim.lr_scheduler"),
            ({"scheduler": schedulers.ReduceLROnPlateau}, "steps without a metric"),
        ],
    )
    def test_what_is_none_is_refused(self, own: dict[str, Any], said: str) -> None:
        with pytest.raises(OptionError, match=said) as caught:
            trainer_of(**own)
        assert "\n" not in str(caught.value)

    def test_a_state_that_json_cannot_hold_is_one_sentence(self, tmp_path: Path) -> None:
        def odd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
            optimizer = sgd(parameters)
            optimizer.param_groups[0]["hook"] = object()
            return optimizer

        trainer_of(optimizer=odd).fit()  # without checkpoints it does not matter
        with pytest.raises(OptionError, match="of type object: a checkpoint holds") as caught:
            trainer_of(optimizer=odd, checkpoints=tmp_path).fit()
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ({"optimizer": sgd}, {"optimizer": OPTIMIZERS["adamw"]}),
            ({"optimizer": sgd}, {}),
            ({}, {"optimizer": sgd}),
            ({"optimizer": sgd}, {"optimizer": sgd, "scheduler": SCHEDULERS["steps"]}),
        ],
    )
    def test_of_another_kind_is_refused(
        self, tmp_path: Path, before: dict[str, Any], after: dict[str, Any]
    ) -> None:
        trainer_of(checkpoints=tmp_path, **before).fit()
        checkpoint = load_checkpoint(tmp_path, pytest.fail)
        assert checkpoint is not None
        with pytest.raises(CheckpointError, match="is not one of this run") as caught:
            trainer_of(**after).restore(checkpoint)
        assert "\n" not in str(caught.value)


class Recorder(Callback):
    """Remembers the steps, and stops at one of them."""

    every_step = True

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.steps: list[int] = []
        self.kinds: list[str] = []
        self.losses: list[float] = []
        self.x: list[Tensor] = []

    def on_start(self, event: Event) -> None:
        self.kinds.append(event.kind)

    def on_step(self, event: Event) -> None:
        assert event.batch is not None
        assert event.terms is not None
        self.steps.append(event.step)
        self.losses.append(float(event.terms.loss))
        self.x.append(event.batch.x)
        torch.rand(3)
        if event.step == self.stop_at:
            event.stop()

    def on_log(self, event: Event) -> None:
        self.kinds.append(event.kind)

    on_epoch = on_end = on_log


class TestCallbacks:
    def test_receive_every_step_with_its_batch_and_terms(self) -> None:
        seen, rows = Recorder(), []
        plain = trainer_of().fit()
        watched = trainer_of(
            callbacks=[seen, lambda event: rows.append(event)], log_every=1, epochs=3
        ).fit()
        assert seen.steps == list(range(1, 19))
        expected = [batch.x for epoch in range(3) for batch in batches_of().epoch(epoch)]
        assert all(torch.equal(x, y) for x, y in zip(seen.x, expected, strict=True))
        logged = [event.row["loss"] for event in rows if event.kind == "log"]
        assert seen.losses == pytest.approx(logged)
        # A function receives no steps, and what a callback draws changes nothing.
        assert "step" not in {event.kind for event in rows}
        assert same(plain, watched)

    def test_that_receive_every_step_prevent_capture(self) -> None:
        for callback, is_captured in ((Recorder(), False), (Callback(), True)):
            trainer = trainer_of(callbacks=[callback], capture=True)
            trainer.fit()
            assert (trainer.captured is not None) == is_captured

    def test_an_optimizer_of_ones_own_prevents_capture(self) -> None:
        trainer = trainer_of(optimizer=sgd, capture=True)
        trainer.fit()
        assert trainer.captured is None

    @pytest.mark.parametrize(("step", "kinds"), [(3, "start log log end"), (6, None), (18, None)])
    def test_stop_the_training_after_a_step(
        self, tmp_path: Path, step: int, kinds: str | None
    ) -> None:
        seen = Recorder(stop_at=step)
        trainer = trainer_of(callbacks=[seen], checkpoints=tmp_path)
        trainer.fit()
        assert trainer.progress.step == seen.steps[-1] == step
        # The last checkpoint is that of the last step, and the last row reaches it.
        checkpoint = load_checkpoint(tmp_path, pytest.fail)
        assert checkpoint is not None
        assert checkpoint.step == step
        if kinds is not None:
            assert " ".join(seen.kinds) == kinds
        assert (seen.kinds.count("epoch"), seen.kinds[-1]) == (step // N_BATCHES, "end")

    @pytest.mark.parametrize(("kind", "step"), [("start", 0), ("log", 2), ("epoch", 6)])
    def test_stop_the_training_in_any_event(self, kind: str, step: int) -> None:
        def stop(event: Event) -> None:
            if event.kind == kind:
                event.stop()

        trainer = trainer_of(callbacks=[stop], ema=0.9)
        model = trainer.fit()
        assert trainer.progress.step == step
        assert not model.training
        # As after the last epoch, the model has the average of the weights.
        assert same(model, trainer.step.current)

    def test_a_run_that_was_stopped_is_a_finished_run(self, tmp_path: Path) -> None:
        out = tmp_path / "run"
        callbacks = [Recorder(stop_at=3)]
        options: dict[str, Any] = {
            "batch_size": 10,
            "epochs": 2,
            "progress": False,
            "callbacks": callbacks,
        }
        run = rp.fit(recipe_of(), DATA, out=out, **options)
        assert run.rows[-1]["step"] == 3
        assert same(rp.load(out).model, run.model)

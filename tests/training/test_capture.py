"""Steps taken as a graph takes them: on a CPU the same calls, with everything on the device."""

from typing import Any

import pytest
import torch

from reparam import data as data_sets
from reparam.batch import Batch
from reparam.data import Batches, Dataset
from reparam.objectives import ELBO, IWAE, DReG
from reparam.training.batches import FirstEpoch
from reparam.training.capture import CapturedStep, Watch
from reparam.training.options import TrainingOptions
from reparam.training.runtime import make_runtime
from reparam.training.schedules import linear
from reparam.training.signals import StopRequests
from reparam.training.step import Step
from reparam.training.trainer import Trainer
from reparam.variants import Recipe, build, replace


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data_sets.load("digits")


def trained(
    digits: Dataset,
    recipe: Recipe,
    capture: bool,
    device: str = "cpu",
    n_train: int = 1266,
    **options: Any,
) -> tuple[Trainer, list[dict[str, Any]]]:
    """Train for a little, and return the trainer and the rows that it told."""
    settings = TrainingOptions(epochs=3, batch_size=100, **options)
    runtime = make_runtime(device, "float32")
    recipe.model.to(runtime.device)
    train = digits.split("train").take(torch.arange(n_train))
    batches = Batches(train, digits.transform, settings.batch_size, runtime.device)
    rows: list[dict[str, Any]] = []
    trainer = Trainer(
        recipe,
        batches,
        settings,
        runtime,
        capture=capture,
        callbacks=[lambda event: rows.append(dict(event.row))],
    )
    trainer.fit()
    return trainer, [row for row in rows if "loss" in row]


def recipe_of(digits: Dataset, objective: Any, **options: Any) -> Recipe:
    torch.manual_seed(0)
    options = {"latent_dim": 4, "hidden": (16,), **options}
    recipe = build("vae", digits.spec, **options)
    return recipe if objective is None else replace(recipe, objective=objective)


CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "elbo": (ELBO(), {}, {}),
    "iwae": (IWAE(3), {}, {}),
    "dreg": (DReG(3), {}, {}),
    "kl warm-up": (ELBO(beta=linear(0, 1, 20)), {}, {}),
    "free bits": (ELBO(free_bits=0.1), {}, {}),
    "average": (ELBO(), {}, {"ema": 0.9}),
    "no clipping": (ELBO(), {}, {"clip_norm": 0.0}),
    "flow prior": (ELBO(), {"prior": "flow"}, {}),
    "start": (ELBO(), {"likelihood": "cross-entropy", "start_at_mean": True}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_is_the_plain_step(digits: Dataset, case: str) -> None:
    """Weights, averages and what is logged agree with training step by step."""
    agrees_with_plain_steps(digits, case, "cpu")


def agrees_with_plain_steps(digits: Dataset, case: str, device: str) -> None:
    """Train with and without ``capture``, and compare."""
    objective, parts, options = CASES[case]
    plain, told = trained(digits, recipe_of(digits, objective, **parts), False, device, **options)
    recipe = recipe_of(digits, objective, **parts)
    captured, told_captured = trained(digits, recipe, True, device, **options)
    assert captured.captured is not None
    assert plain.captured is None
    for name, value in plain.model.state_dict().items():
        torch.testing.assert_close(
            captured.model.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name
        )
    last, last_captured = told[-1], told_captured[-1]
    assert last_captured["step"] == last["step"]
    assert last_captured["lr"] == pytest.approx(last["lr"])
    assert [row["epoch"] for row in told_captured] == [row["epoch"] for row in told]
    for name in ("loss", "reconstruction", "kl", "elbo"):
        assert last_captured[name] == pytest.approx(last[name], rel=1e-4), name


@pytest.mark.parametrize("n_train", [1200, 1234, 99])
def test_every_epoch_has_its_row(digits: Dataset, n_train: int) -> None:
    """Whether or not the last batch is shorter, and where the first is."""
    _, told = trained(digits, recipe_of(digits, None), True, n_train=n_train)
    assert {row["epoch"] for row in told} == {0, 1, 2}
    assert told[-1]["step"] == 3 * -(-n_train // 100)


def test_a_start_leaves_every_whole_batch_to_the_graph(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    take = CapturedStep.__call__
    monkeypatch.setattr(CapturedStep, "__call__", lambda self: (taken.append(1), take(self)))
    recipe = recipe_of(digits, None, likelihood="cross-entropy", start_at_mean=True)
    trained(digits, recipe, True, n_train=1200)
    assert len(taken) == 3 * 12


def test_gives_up_where_a_step_asks_the_device(digits: Dataset) -> None:
    """Nothing is lost by it: the step that was watched counts."""
    plain, _ = trained(digits, recipe_of(digits, None), False, optimizer="muon")
    captured, told = trained(digits, recipe_of(digits, None), True, optimizer="muon")
    assert captured.captured is None
    for name, value in plain.model.state_dict().items():
        torch.testing.assert_close(captured.model.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    assert told[-1]["step"] == plain.length.steps


def test_what_depends_on_the_host_is_never_captured(digits: Dataset) -> None:
    gumbel = build("gumbel-vae", digits.spec, hidden=(16,))
    trainer, _ = trained(digits, gumbel, True)
    assert trainer.captured is None


def test_the_watch_sees_a_condition_on_a_tensor() -> None:
    with Watch() as watch:
        torch.zeros(3).sum() + 1
    assert not watch.reads
    with Watch() as watch:
        if torch.ones(()) > 0:
            pass
    assert watch.reads


def test_a_run_goes_on_within_an_epoch(digits: Dataset) -> None:
    """Taken up at batch k, the rest of an epoch has the examples that it would have had."""
    seen: list[torch.Tensor] = []

    class Remember(Step):
        def update(self, batch: Batch) -> dict[str, torch.Tensor]:
            seen.append(batch.x)
            return {"loss": torch.zeros(())}

    batches = Batches(digits.split("train"), digits.transform, 100)
    examples = FirstEpoch(batches)
    step = Remember(recipe_of(digits, None), TrainingOptions(), n_steps=100, examples=examples)
    captured = CapturedStep(step, batches)
    names, values = captured.take(epoch=1, start=2, requests=StopRequests())
    expected = [batch.x for batch in batches.epoch(1, start=2) if len(batch) == 100]
    assert all(torch.equal(x, y) for x, y in zip(seen, expected, strict=True))
    assert (names, values.tolist()) == (["loss"], [[0.0]] * len(expected))
    assert step.n_taken == len(expected)

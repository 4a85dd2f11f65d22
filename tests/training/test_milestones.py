"""What happens once, or by the share of the training that is done."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import reparam as rp
from reparam.batch import Batch
from reparam.errors import OptionError
from reparam.families import GumbelSoftmax
from reparam.objectives import Terms
from reparam.training.events import Event
from reparam.variants import Milestone, Recipe, build
from tests.support import fit_until, require_exact_resume

N, DIM = 40, 3
X = torch.randn(N, DIM, generator=torch.Generator().manual_seed(0))


class Center(nn.Module):
    """A mean to be learned, which is told how far the training is."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(DIM))
        self.told: list[float] = []

    def anneal(self, progress: float) -> None:
        self.told.append(progress)


class Closeness:
    """The squared distance of an example from the mean, with noise; remembers what it was given."""

    def __init__(self) -> None:
        self.seen: list[tuple[bool, int | None, float]] = []

    def __call__(self, model: Center, batch: Batch) -> Terms:
        self.seen.append((model.training, batch.step, batch.progress))
        noisy = batch.x + 0.1 * torch.randn_like(batch.x)
        bound = -(noisy - model.mean).square().sum(1)
        return Terms(bound=bound, reconstruction=bound)


def fit(*milestones: Milestone, data: Any = X, **options: Any) -> tuple[rp.Run, Closeness]:
    """Train four epochs of four steps."""
    objective = Closeness()
    recipe = Recipe(Center(), objective, milestones=milestones)
    settings = {"epochs": 4, "batch_size": 10, "device": "cpu", "progress": False, "lr": 0.1}
    return rp.fit(recipe, data, **{**settings, **options}), objective


class Seen:
    """An action that remembers the examples, and how it was called."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.mean: list[Tensor] = []
        self.quiet = True

    def __call__(self, model: Center, examples: Batch) -> None:
        self.batches.append(examples)
        self.mean.append(model.mean.detach().clone())
        self.quiet &= not (model.training or torch.is_grad_enabled())
        torch.rand(7)


@pytest.mark.parametrize(("at", "step"), [(0.0, 0), (0.25, 4), (0.5, 8), (0.6, 10), (0.99, 15)])
def test_comes_once_before_the_step_at_its_share(at: float, step: int) -> None:
    action, steps = Seen(), []

    def note(event: Event) -> None:
        if event.kind == "log":
            steps.append(event.model.mean.detach().clone())

    fit(Milestone(action, at=at), log_every=1, callbacks=[note])
    assert len(action.batches) == 1
    assert action.quiet
    before = torch.zeros(DIM) if step == 0 else steps[step - 1]
    assert torch.equal(action.mean[0], before)


def test_a_late_share_of_a_short_run_is_not_missed() -> None:
    action = Seen()
    fit(Milestone(action, at=0.9), epochs=1, batch_size=20)
    assert len(action.batches) == 1


def test_several_come_in_their_order() -> None:
    order: list[str] = []
    fit(
        Milestone(lambda model, examples: order.append("b"), at=0.5),
        Milestone(lambda model, examples: order.append("a")),
        Milestone(lambda model, examples: order.append("c"), at=0.5),
    )
    assert order == ["a", "b", "c"]


@pytest.mark.parametrize(("asked", "given"), [(7, 7), (10, 10), (25, 25), (1000, N)])
def test_is_given_different_training_examples(asked: int, given: int) -> None:
    action = Seen()
    fit(Milestone(action, n_examples=asked))
    x = action.batches[0].x
    assert len(x) == given
    rows = [int((row == X).all(1).nonzero()) for row in x]
    assert len(set(rows)) == given


@pytest.mark.parametrize("loader", [False, True])
def test_watching_changes_nothing(loader: bool) -> None:
    def data() -> Any:
        pairs = torch.utils.data.TensorDataset(X)
        return torch.utils.data.DataLoader(pairs, batch_size=10, shuffle=True) if loader else X

    plain, _ = fit(data=data())
    watched, _ = fit(Milestone(Seen()), Milestone(Seen(), at=0.6), data=data())
    assert torch.equal(plain.model.mean, watched.model.mean)
    assert not torch.equal(plain.model.mean, torch.zeros(DIM))


def test_gradients_and_training_mode_come_back() -> None:
    _, objective = fit(Milestone(Seen(), at=0.5))
    assert [training for training, _, _ in objective.seen] == [True] * 16


def test_the_average_of_weights_starts_again_at_what_was_set() -> None:
    def set_far(model: Center, examples: Batch) -> None:
        model.mean.fill_(100.0)

    seen: list[Tensor] = []

    def note(event: Event) -> None:
        if event.kind == "log":
            seen.append(event.model.mean.detach().clone())

    fit(Milestone(set_far, at=0.5), ema=0.999, log_every=1, lr=1e-6, callbacks=[note])
    assert (seen[7].abs() < 1).all()
    # A mean over what was before would be far below.
    torch.testing.assert_close(seen[8], torch.full((DIM,), 100.0))
    torch.testing.assert_close(seen[15], torch.full((DIM,), 100.0))


@pytest.mark.parametrize("at", [-0.1, 1.0, float("nan")])
def test_shares_lie_below_one(at: float) -> None:
    with pytest.raises(OptionError, match=r"at=.*(a share of the steps in|finite)"):
        Milestone(lambda model, examples: None, at=at)


def test_no_examples_are_refused() -> None:
    with pytest.raises(OptionError, match="n_examples=0"):
        Milestone(lambda model, examples: None, n_examples=0)


def test_modules_and_batches_are_told_the_share_of_steps() -> None:
    run, objective = fit()
    shares = [step / 16 for step in range(16)]
    assert run.model.told == shares
    assert [progress for _, _, progress in objective.seen] == shares
    assert [step for _, step, _ in objective.seen] == list(range(16))


def test_validation_is_at_the_end_of_every_schedule() -> None:
    data = rp.data.from_arrays(X, validation=8)
    _, objective = fit(data=data, epochs=2)
    outside = [(step, progress) for training, step, progress in objective.seen if not training]
    assert outside == [(None, 1.0)] * 2
    assert Batch(X).progress == 1.0


def mixture_run(out: Path | None, stop: int | None, **options: Any) -> dict[str, Tensor]:
    """Train up to 9 steps of a model whose vamp prior and temperature change on the way."""
    x = torch.rand(30, 6, generator=torch.Generator().manual_seed(0)).round()
    torch.manual_seed(0)
    recipe = build("vamp-vae", rp.DataSpec((6,), "binary"), latent_dim=2, hidden=(4,))

    def restart(model: Any, examples: Batch) -> None:
        model.prior.pseudo_inputs.data[: len(examples)] = examples.x * torch.rand_like(examples.x)

    milestones = (*recipe.milestones, Milestone(restart, at=0.5, n_examples=20))
    recipe = rp.variants.replace(recipe, milestones=milestones)
    return fit_until(stop, recipe, x, out, epochs=3, batch_size=10, **options)


@pytest.mark.parametrize("options", [{}, {"ema": 0.9}])
def test_a_run_stopped_about_a_milestone_resumes_exactly(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    # The milestone is before step 4 (of 0 … 8); the steps are stopped before, at and after it.
    require_exact_resume(partial(mixture_run, **options), tmp_path, (1, 3, 4, 5, 8))


def test_a_temperature_resumes_where_it_was(tmp_path: Path) -> None:
    def train(out: Path | None, stop: int | None) -> dict[str, Tensor]:
        x = torch.rand(30, 6, generator=torch.Generator().manual_seed(0)).round()
        torch.manual_seed(0)
        spec = rp.DataSpec((6,), "binary")
        recipe = build(
            "vae", spec, latent_dim=4, hidden=(4,), posterior="gumbel", prior="uniform-codes"
        )
        return fit_until(stop, recipe, x, out, epochs=3, batch_size=10)

    expected = require_exact_resume(train, tmp_path, [5])
    first, last = GumbelSoftmax(1).temperature
    tau = first * (last / first) ** (8 / 9)
    assert float(expected["encoder.family.tau"]) == pytest.approx(tau)

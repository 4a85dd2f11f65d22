"""Recipes, runs, data and results can be sent to another process, copied and compared."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import reparam as rp
from reparam import objectives
from reparam.errors import ReparamError
from reparam.utils.equality import same
from reparam.variants import build, get, names
from reparam.variants.kinds import OBJECTIVES, POSTERIORS, PRIORS
from tests.support import quick_fit

IMAGES = rp.DataSpec((1, 8, 8), "binary", n_classes=3)
TOKENS = rp.DataSpec((8,), "tokens", levels=5)


def sent(thing: Any) -> Any:
    """Return what another process would be given."""
    return pickle.loads(pickle.dumps(thing))  # noqa: S301


def examples(spec: rp.DataSpec) -> rp.Batch:
    """Return a few examples of a spec, under its condition."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(spec.levels or 2, (6, *spec.shape), generator=generator)
    x = x if spec.support == "tokens" else x.float()
    y = torch.arange(6) % 3
    c = torch.eye(3)[y] if spec.context else None
    return rp.Batch(x, None if spec.support == "tokens" else y, c)


def value(recipe: rp.Recipe, seed: int = 0) -> float:
    """Return the loss of a recipe on the examples under a seed."""
    torch.manual_seed(seed)
    return float(recipe.objective(recipe.model, examples(recipe.spec)).loss.detach())


@pytest.mark.parametrize("name", names())
def test_recipes(name: str) -> None:
    recipe = build(name, TOKENS if name == "text-vae" else IMAGES)
    for copied in (sent, copy.deepcopy):
        other = copied(recipe)
        assert other == recipe
        assert other.model is not recipe.model
        assert other.source == recipe.source
        assert value(other) == value(recipe)
        # The parts that share weights share those of the copy.
        assert sum(p.numel() for p in other.model.parameters()) == sum(
            p.numel() for p in recipe.model.parameters()
        )
        with torch.no_grad():
            for parameter in other.model.parameters():
                parameter.add_(1.0)
        assert other != recipe


def combinations() -> list[dict[str, Any]]:
    single = [{"posterior": name} for name in POSTERIORS]
    single += [{"prior": name} for name in PRIORS]
    single += [{"objective": name} for name in OBJECTIVES]
    pairs = [
        {"posterior": "von-mises-fisher", "prior": "sphere"},
        {"posterior": "gumbel", "prior": "uniform-codes"},
        {"posterior": "deterministic", "objective": "mmd"},
        {"posterior": "full-covariance", "prior": "vamp", "n_components": 3},
        {"start_at_mean": True, "objective": "iwae", "n_importance": 2},
        {"free_bits": 0.1},
    ]
    return single + pairs


@pytest.mark.parametrize(
    "parts", combinations(), ids=lambda p: "-".join(str(v) for v in p.values())
)
def test_parts(parts: dict[str, Any]) -> None:
    spec = IMAGES.conditioned("label")
    try:
        made = build("vae", spec, latent_dim=4, hidden=[8], **parts)
    except ReparamError:
        made = build("vae", spec, latent_dim=4, hidden=[8])  # these parts make no sense alone
    other = sent(made)
    assert other == made
    assert value(other) == value(made)
    data = rp.data.from_arrays(examples(made.spec).x, examples(made.spec).y)
    for milestone in other.milestones:
        milestone.action(other.model, data.conditioned("label").examples())


def trained(**options: Any) -> rp.Run:
    data = rp.data.from_arrays(torch.rand(24, 1, 8, 8).round(), test=torch.rand(8, 1, 8, 8).round())
    return quick_fit(
        build("vae", data.spec, latent_dim=2, hidden=[8], **options), data, batch_size=8
    )


def test_runs_and_what_they_give() -> None:
    run = trained()
    other = sent(run)
    assert other == run == copy.deepcopy(run)
    assert torch.equal(other.sample(3, seed=1), run.sample(3, seed=1))
    found = run.evaluate(n_samples=3)
    for copied in (sent(found), copy.deepcopy(found), other.evaluate(n_samples=3)):
        assert copied == found
        assert same(copied.per_example, found.per_example)
    assert trained() != run
    diagnosis = rp.diagnostics.examine(run, n_examples=16)
    assert sent(diagnosis) == diagnosis
    comparison = rp.compare([run, run], n_samples=3)
    assert sent(comparison) == comparison


def test_runs_in_a_folder(tmp_path: Any) -> None:
    data = rp.data.load("digits", validation=1400)
    recipe = build("vae", data.spec, latent_dim=2, hidden=[8])
    run = quick_fit(recipe, data, out=tmp_path / "run", batch_size=8)
    assert torch.equal(sent(run).encode(split="validation"), run.encode(split="validation"))


SCHEDULES = [
    rp.schedules.linear(0, 1, steps=10),
    rp.schedules.learning_rate("stages", 1e-3, warmup=2, steps=20),
    rp.schedules.learning_rate("cosine", 1e-3, warmup=2, steps=20),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_schedules(schedule: Any) -> None:
    other = sent(schedule)
    assert other == schedule
    assert [other(step) for step in range(20)] == [schedule(step) for step in range(20)]
    assert sent(objectives.ELBO(beta=schedule)) == objectives.ELBO(beta=schedule)


@pytest.mark.parametrize("name", objectives.__all__)
def test_objectives(name: str) -> None:
    objective = getattr(objectives, name)
    if name in ("OBJECTIVES", "ModelObjective", "Objective", "Terms", "as_objective"):
        return
    assert sent(objective()) == objective() == copy.deepcopy(objective())


def test_data_sets() -> None:
    x, y = torch.rand(10, 2), torch.arange(10) % 2
    data = rp.data.from_arrays(x, y, validation=2).conditioned("label")
    other = sent(data)
    assert other == data == copy.deepcopy(data)
    assert other.examples("validation") == data.examples("validation")
    assert data != rp.data.from_arrays(x + 1, y, validation=2).conditioned("label")
    assert data.split("train") != data.split("validation")
    digits = rp.data.load("digits", validation=0.1, binarize="dynamic")
    assert sent(digits) == digits
    assert same(digits.examples(seed=1).x, sent(digits).examples(seed=1).x)


def test_streams() -> None:
    stream = rp.data.as_dataset(DataLoader(TensorDataset(torch.rand(6, 2)), batch_size=3))
    other = sent(stream)
    assert other.examples() == stream.examples()
    assert isinstance(other == stream, bool)
    batches = rp.data.StreamBatches(stream)
    assert [*sent(batches).epoch(0)] == [*batches.epoch(0)]


@pytest.mark.parametrize("name", names())
def test_distributions(name: str) -> None:
    recipe = build(name, TOKENS if name == "text-vae" else IMAGES)
    if not isinstance(recipe.model, rp.LatentModel):
        return
    batch, model = examples(recipe.spec), recipe.model.eval()
    with torch.no_grad():
        x = model.as_event(batch.x)
        q = model.posterior(x, batch.c)
        z = q.sample()
        made = {"q": (q, z), "p": (model.likelihood(z, batch.c), x)}
        if not isinstance(model.prior, rp.priors.NoPrior):
            made["prior"] = (model.prior_distribution(batch.c), z)
        for what, (p, at) in made.items():
            for other in (sent(p), copy.deepcopy(p)):
                assert isinstance(other == p, bool)
                try:
                    expected = p.log_prob(at)
                except ReparamError:
                    continue  # a point has no density
                # A copy solves for the noise of a draw that the original has kept.
                assert torch.allclose(other.log_prob(at), expected, rtol=1e-5), what


class TestEquality:
    def test_of_batches(self) -> None:
        x = torch.tensor([[0.0, torch.nan]])
        assert rp.Batch(x) == rp.Batch(x.clone())
        assert rp.Batch(x) != rp.Batch(torch.zeros(1, 2))
        assert rp.Batch(x) != rp.Batch(x.double())
        assert rp.Batch(x) != rp.Batch(x, y=torch.zeros(1))
        assert rp.Batch(x) != x.tolist()

    def test_of_draws_and_terms(self) -> None:
        recipe = build("vae", IMAGES, latent_dim=2, hidden=[8])
        batch = examples(IMAGES)

        def drawn() -> Any:
            torch.manual_seed(0)
            return recipe.model.draw(batch.x), recipe.objective(recipe.model, batch)

        assert drawn() == drawn()
        assert recipe.model.draw(batch.x) != recipe.model.draw(batch.x)

    def test_of_models_by_their_parts(self) -> None:
        def model(size: int) -> nn.Module:
            torch.manual_seed(0)
            return nn.Sequential(nn.Linear(2, size), nn.Dropout(0.1))

        assert same(model(3), model(3))
        assert not same(model(3), model(4))
        other = model(3)
        other[1].p = 0.2
        assert not same(model(3), other)

    def test_of_arrays_functions_and_things_that_hold_themselves(self) -> None:
        assert same(np.array([1, 2]), np.array([1, 2]))
        assert not same(np.array([1, 2]), np.array([1.0, 2.0]))
        assert same(np.sin, np.sin)
        assert not same(sent, examples)
        assert same(float("nan"), float("nan"))
        assert not same(1, "1")
        first: list[Any] = [1]
        first.append(first)
        second: list[Any] = [1]
        second.append(second)
        assert same(first, second)


def test_registered_variants() -> None:
    for name in names():
        assert sent(get(name)) == get(name)

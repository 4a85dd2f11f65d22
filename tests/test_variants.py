"""The contract of every registered variant. A new variant is tested by being registered."""

import ast
import inspect
import textwrap
from pathlib import Path

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.batch import Batch
from reparam.variants import Recipe, build, get, names

N_POINTS = 32


@pytest.fixture(scope="module")
def points() -> tuple[rp.data.Dataset, Batch]:
    """32 thresholded digits of 24 × 24 pixels, with labels."""
    digits = rp.data.load("digits", binarize="threshold", validation=0)
    small = digits.examples("train", limit=N_POINTS)
    x = small.x.repeat_interleave(3, -1).repeat_interleave(3, -2)
    return rp.data.from_arrays(x, small.y, n_classes=10, name="32 digits"), Batch(x, small.y)


def recipe_of(name: str, points: tuple[rp.data.Dataset, Batch], seed: int = 0) -> Recipe:
    """Build a variant with its default options."""
    torch.manual_seed(seed)
    return build(name, points[0].spec)


def weights(recipe: Recipe) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in recipe.model.state_dict().items()}


@pytest.mark.parametrize("name", names())
class TestContract:
    def test_terms_have_one_number_for_each_example(
        self, name: str, points: tuple[rp.data.Dataset, Batch]
    ) -> None:
        recipe = recipe_of(name, points)
        terms = recipe.objective(recipe.model, points[1])
        assert terms.bound.shape == terms.reconstruction.shape == (N_POINTS,)
        assert all(kl.shape == (N_POINTS,) for kl in terms.kl.values())
        assert terms.loss.shape == ()
        assert terms.loss.isfinite()

    def test_gradient_reaches_every_parameter(
        self, name: str, points: tuple[rp.data.Dataset, Batch]
    ) -> None:
        recipe = recipe_of(name, points)
        objectives = [recipe.objective, *(player.objective for player in recipe.players)]
        for objective in objectives:
            objective(recipe.model, points[1]).loss.backward()
        for path, parameter in recipe.model.named_parameters():
            assert parameter.grad is not None, path
            assert parameter.grad.isfinite().all(), path
            assert parameter.grad.abs().sum() > 0, path

    def test_overfits_32_points(self, name: str, points: tuple[rp.data.Dataset, Batch]) -> None:
        recipe = recipe_of(name, points)
        untrained = recipe.objective(recipe.model, points[1]).reconstruction.mean()
        run = rp.fit(
            recipe,
            points[0],
            epochs=1000,
            batch_size=N_POINTS,
            log_every=1000,
            device="cpu",
            precision="float32",
            progress=False,
        )
        with torch.no_grad():
            trained = recipe.objective(run.model, points[1]).reconstruction.mean()
        assert trained > untrained / 10

    def test_a_run_reloads_from_its_folder_alone(
        self, name: str, points: tuple[rp.data.Dataset, Batch], tmp_path: Path
    ) -> None:
        recipe = recipe_of(name, points)
        out = tmp_path / "run"
        run = rp.fit(recipe, points[0], epochs=1, device="cpu", out=out, progress=False)
        loaded = rp.load(out)
        for path, value in run.model.state_dict().items():
            assert torch.equal(loaded.model.state_dict()[path], value), path
        torch.manual_seed(1)
        before = recipe.objective(run.model, points[1])
        torch.manual_seed(1)
        after = recipe.objective(loaded.model, points[1])
        assert torch.equal(before.bound, after.bound)

    def test_the_seed_determines_the_weights(
        self, name: str, points: tuple[rp.data.Dataset, Batch]
    ) -> None:
        trained = []
        for seed in (0, 0, 1):
            recipe = recipe_of(name, points, seed)
            rp.fit(recipe, points[0], epochs=2, seed=seed, device="cpu", progress=False)
            trained.append(weights(recipe))
        assert all(torch.equal(trained[0][path], trained[1][path]) for path in trained[0])
        assert any(not torch.equal(trained[0][path], trained[2][path]) for path in trained[0])

    def test_builder_is_short(self, name: str, points: tuple[rp.data.Dataset, Batch]) -> None:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(get(name).builder)))
        function = ast.parse(source).body[0]
        assert isinstance(function, ast.FunctionDef)
        docstring = function.body[0]
        lines = len(source.splitlines()) - (docstring.end_lineno - docstring.lineno + 1)
        assert lines <= 40

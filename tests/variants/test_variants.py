"""The contract of every registered variant. A new variant is tested by being registered."""

import ast
import inspect
import textwrap
from pathlib import Path

import pytest
import torch

import reparam as rp
from reparam.batch import Batch
from reparam.errors import SupportError
from reparam.training.events import Event
from reparam.variants import Recipe, build, get, names
from tests.support import quick_fit, weights

N_POINTS = 32


def digits(n: int, scale: int) -> tuple[rp.data.Dataset, Batch]:
    """Return n thresholded digits of 8 × 8 pixels, enlarged by a scale, with labels."""
    small = rp.data.load("digits", binarize="threshold", validation=0).examples("train", limit=n)
    x = small.x.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    return rp.data.from_arrays(x, small.y, n_classes=10, name=f"{n} digits"), Batch(x, small.y)


def windows(n: int) -> tuple[rp.data.Dataset, Batch]:
    """Return n windows of 8 characters of a sentence that repeats."""
    text = "the rain in spain " * n
    vocabulary = rp.data.Vocabulary.of(text)
    x = vocabulary.encode(text).unfold(0, 8, 5)[:n]
    return rp.data.from_arrays(x, support="tokens", name=f"{n} windows"), Batch(x)


@pytest.fixture(scope="module")
def images() -> tuple[rp.data.Dataset, Batch]:
    """32 thresholded digits of 24 × 24 pixels, with labels."""
    return digits(N_POINTS, scale=3)


@pytest.fixture(scope="module")
def tokens() -> tuple[rp.data.Dataset, Batch]:
    """32 windows of 8 characters of a sentence that repeats."""
    return windows(N_POINTS)


@pytest.fixture
def points(
    name: str,
    images: tuple[rp.data.Dataset, Batch],
    tokens: tuple[rp.data.Dataset, Batch],
) -> tuple[rp.data.Dataset, Batch]:
    """The images; for a variant that refuses them the tokens."""
    try:
        build(name, images[0].spec)
    except SupportError:
        return tokens
    return images


def recipe_of(name: str, points: tuple[rp.data.Dataset, Batch], seed: int = 0) -> Recipe:
    """Build a variant with its default options."""
    torch.manual_seed(seed)
    return build(name, points[0].spec)


def batch_of(recipe: Recipe, points: tuple[rp.data.Dataset, Batch]) -> Batch:
    """Return the examples as one batch, under the recipe's condition."""
    condition = recipe.spec.condition
    return points[1] if condition is None else points[0].conditioned(condition).examples()


class Enough(Exception):
    """Raised to stop training, for what was to be seen has been seen."""


def overfit(
    recipe: Recipe,
    points: tuple[rp.data.Dataset, Batch],
    *,
    share: float,
    check_every: int = 100,
) -> None:
    """Train until the reconstruction is this share of the untrained one, within 1000 epochs."""
    batch = batch_of(recipe, points)

    def reconstruction() -> float:
        with torch.no_grad():
            return float(recipe.objective(recipe.model, batch).reconstruction.mean())

    untrained = reconstruction()

    def stop_early(event: Event) -> None:
        if event.kind == "epoch" and event.epoch % check_every == 0:
            recipe.model.eval()
            if reconstruction() > untrained / share:
                raise Enough

    with pytest.raises(Enough):
        quick_fit(
            recipe,
            points[0],
            epochs=1000,
            batch_size=len(batch),
            log_every=1000,
            precision="float32",
            callbacks=[stop_early],
        )


LONG = ("conv-ladder-vae", "vq-vae", "cvae-gan", "vae-gan", "hierarchical-vae", "vmf-vae")
"""The variants whose training takes about a second."""


@pytest.mark.parametrize("name", names())
class TestContract:
    def test_terms_have_one_number_for_each_example(
        self, name: str, points: tuple[rp.data.Dataset, Batch]
    ) -> None:
        recipe = recipe_of(name, points)
        terms = recipe.objective(recipe.model, batch_of(recipe, points))
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
            objective(recipe.model, batch_of(recipe, points)).loss.backward()
        for path, parameter in recipe.model.named_parameters():
            assert parameter.grad is not None, path
            assert parameter.grad.isfinite().all(), path
            assert parameter.grad.abs().sum() > 0, path

    def test_overfits_8_points(self, name: str) -> None:
        if name in LONG:
            pytest.skip("takes a second: see test_overfits_32_points, which is slow")
        n = 8
        try:
            build(name, digits(n, scale=2)[0].spec)
            few = digits(n, scale=2)
        except SupportError:
            few = windows(n)
        overfit(recipe_of(name, few), few, share=5, check_every=10)

    @pytest.mark.slow
    def test_overfits_32_points(self, name: str, points: tuple[rp.data.Dataset, Batch]) -> None:
        overfit(recipe_of(name, points), points, share=10)

    def test_a_run_reloads_from_its_folder_alone(
        self, name: str, points: tuple[rp.data.Dataset, Batch], tmp_path: Path
    ) -> None:
        recipe = recipe_of(name, points)
        out = tmp_path / "run"
        run = quick_fit(recipe, points[0], out=out)
        loaded = rp.load(out)
        for path, value in run.model.state_dict().items():
            assert torch.equal(loaded.model.state_dict()[path], value), path
        torch.manual_seed(1)
        before = recipe.objective(run.model, batch_of(recipe, points))
        torch.manual_seed(1)
        after = recipe.objective(loaded.model, batch_of(recipe, points))
        assert torch.equal(before.bound, after.bound)

    def test_the_seed_determines_the_weights(
        self, name: str, points: tuple[rp.data.Dataset, Batch]
    ) -> None:
        trained = []
        for seed in (0, 0, 1):
            recipe = recipe_of(name, points, seed)
            quick_fit(recipe, points[0], epochs=2, seed=seed)
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

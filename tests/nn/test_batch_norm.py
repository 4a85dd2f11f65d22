"""Batch normalization: its formula, its two modes, and that nothing but training changes it."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.errors import OptionError
from reparam.nn import ConvDecoder, ConvEncoder
from reparam.spec import DataSpec
from reparam.variants import build
from tests.support import quick_fit

SPEC = DataSpec((3, 8, 8), "unit")


def images(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def state(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def running(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state(model).items() if "running" in name}


def test_features_of_a_batch_have_mean_0_and_variance_1_before_the_nonlinearity() -> None:
    encoder = ConvEncoder((3, 8, 8), (4, 5), padding=1, norm="batch", spatial=True)
    before = torch.nn.Sequential(*encoder.layers[:-1])(5 * images(64) + 3)
    torch.testing.assert_close(before.mean((0, 2, 3)), torch.zeros(5), atol=1e-5, rtol=0)
    variance = before.var((0, 2, 3), correction=0)
    torch.testing.assert_close(variance, torch.ones(5), atol=2e-2, rtol=0)


def test_evaluation_uses_the_moving_averages_of_training() -> None:
    encoder = ConvEncoder((3, 8, 8), (4,), padding=1, norm="batch", spatial=True)
    convolution, normal, _ = encoder.layers
    means, variances = torch.zeros(4), torch.ones(4)
    for seed in range(5):
        x = images(16, seed)
        raw = convolution(x).detach()
        encoder(x)
        means = 0.9 * means + 0.1 * raw.mean((0, 2, 3))
        variances = 0.9 * variances + 0.1 * raw.var((0, 2, 3))
    encoder.eval()
    raw = convolution(images(2, 9))
    expected = (raw - means[:, None, None]) / (variances[:, None, None] + 1e-5).sqrt()
    torch.testing.assert_close(normal(raw), expected)
    # In evaluation every example is on its own.
    x = images(6)
    torch.testing.assert_close(encoder(x)[:2], encoder(x[:2]))


def test_a_batch_of_one_place_counts_by_what_was_seen_before() -> None:
    encoder = ConvEncoder((3, 3, 3), (4,), norm="batch")
    for seed in range(3):
        encoder(images(16, seed)[..., :3, :3])
    before = running(encoder)
    single = images(1)[..., :3, :3]
    trained = encoder(single)
    torch.testing.assert_close(trained, encoder.eval()(single))
    assert all(torch.equal(before[name], now) for name, now in running(encoder).items())


@pytest.mark.parametrize("spatial", [False, True])
def test_the_decoder_normalizes_its_first_maps_too(spatial: bool) -> None:
    decoder = ConvDecoder(16, (8, 8), (6, 4), norm="batch", spatial=spatial)
    layers = [layer for layer in decoder.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    seen: list[Tensor] = []
    for layer in layers:
        layer.register_forward_hook(lambda layer, given, made: seen.append(given[0].detach()))
    assert decoder(torch.randn(5, 7, 16)).shape == (5, 7, 4, 8, 8)
    assert [maps.shape[1] for maps in seen] == [4, 6, 4]
    for layer, maps in zip(layers, seen, strict=True):
        # The moving average starts at 0 and has a momentum of 0.1.
        torch.testing.assert_close(layer.running_mean, 0.1 * maps.mean((0, 2, 3)))


def test_looking_at_a_model_in_training_does_not_change_it() -> None:
    recipe = build("conv-vae", SPEC, latent_dim=2, channels=(4, 4), norm="batch", padding=1)
    model, data = recipe.model.train(), rp.data.from_arrays(images(40), test=images(10, 1))
    run = quick_fit(recipe, data, epochs=2, batch_size=8)
    model.train()
    before = state(model)
    run.evaluate(n_samples=2, device="cpu")
    run.sample(3)
    run.reconstruct(data.examples("test"))
    run.encode(data.examples("test"))
    assert all(torch.equal(before[name], now) for name, now in state(model).items())
    assert model.training


def test_validation_and_checkpoints_leave_the_run_as_it_is(tmp_path: Path) -> None:
    """A run with a validation split every epoch ends where one without it does."""
    train = images(32)
    kept = []
    for n_validation, out in ((0, None), (8, None), (8, tmp_path / "run")):
        x = torch.cat([train, images(n_validation, 2)]) if n_validation else train
        torch.manual_seed(0)
        recipe = build("conv-vae", SPEC, latent_dim=2, channels=(4,), norm="batch")
        data = rp.data.from_arrays(train)
        if n_validation:
            held_out = rp.data.Split(x[32:])
            data = rp.data.Dataset(
                data.name, data.spec, {**data.splits, "validation": held_out}, data.transform
            )
        quick_fit(recipe, data, epochs=2, batch_size=8, out=out)
        kept.append(state(recipe.model))
    for other in kept[1:]:
        assert all(torch.equal(kept[0][name], now) for name, now in other.items())


def test_the_average_of_the_weights_has_the_average_of_the_statistics() -> None:
    """After one step the average is 0.1 of what it began with and 0.9 of what came of the step."""
    torch.manual_seed(0)
    recipe = build("conv-vae", SPEC, latent_dim=2, channels=(4,), norm="batch")
    plain = deepcopy(recipe)
    options = {"epochs": 1, "batch_size": 32, "lr_warmup": 0.0, "progress": False, "device": "cpu"}
    before = running(recipe.model)
    rp.fit(plain, images(32), **options)
    rp.fit(recipe, images(32), ema=0.99, **options)
    after = running(plain.model)
    for name, average in running(recipe.model).items():
        first_share = 0.0 if torch.equal(average, after[name]) else 0.1
        expected = first_share * before[name] + (1 - first_share) * after[name]
        torch.testing.assert_close(average, expected)


def test_an_unknown_normalization_is_refused() -> None:
    with pytest.raises(OptionError, match=r"unknown norm 'bach': did you mean"):
        ConvEncoder((3, 8, 8), (4,), norm="bach")  # type: ignore[arg-type]

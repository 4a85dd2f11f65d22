"""Defaults that depend on the data."""

import pytest

from reparam.spec import DataSpec
from reparam.variants import names
from reparam.variants.networks import with_data_defaults
from reparam.variants.registry import get

PHOTOGRAPH = DataSpec((3, 32, 32), "unit", levels=256)


@pytest.mark.parametrize("name", names())
def test_large_images_have_more_latents_where_the_number_is_the_usual_one(name: str) -> None:
    defaults = {k: parameter.default for k, parameter in get(name).options.items()}
    usual = defaults.get("latent_dim")
    found = with_data_defaults(defaults, (), PHOTOGRAPH).get("latent_dim")
    assert found == (128 if usual == 20 else usual)
    given = with_data_defaults(defaults, ("latent_dim",), PHOTOGRAPH).get("latent_dim")
    assert given == usual


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 28, 28), 20),
        ((1, 28, 20), 20),
        ((1, 32, 32), 42),
        ((1, 48, 48), 96),
        ((3, 64, 64), 128),
    ],
)
def test_the_number_of_latents_follows_the_size_of_the_image(
    shape: tuple[int, ...], expected: int
) -> None:
    spec = DataSpec(shape, "unit", levels=256)
    assert with_data_defaults({"latent_dim": 20}, (), spec)["latent_dim"] == expected

"""The registry of variants, the errors' sentences and the data spec."""

import inspect
import re

import pytest
import torch
from torch import nn

from reparam import errors, variants
from reparam.errors import OptionError, ReparamError, nearest, unknown
from reparam.models.latent import LatentModel
from reparam.objectives import ELBO, MaximumLikelihood
from reparam.spec import DataSpec
from reparam.variants import (
    Player,
    Recipe,
    Specification,
    build,
    get,
    names,
    options_of,
    registry,
    replace,
    variant,
)
from reparam.variants.networks import perceptrons

SPEC = DataSpec((1, 8, 8), "binary", n_classes=3)


@pytest.fixture
def _clean_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test register what it likes, and forget it afterwards."""
    monkeypatch.setattr(registry.VARIANTS, "_entries", dict(registry.VARIANTS._entries))


@pytest.mark.parametrize("name", names())
def test_every_variant_tells_what_it_is(name: str) -> None:
    found = get(name)
    assert found.name == name
    assert name == name.lower()
    assert "_" not in name
    assert found.summary.endswith(".")
    assert 1980 <= found.year <= 2030
    assert str(found.year) in found.paper
    text = inspect.getdoc(found.builder) or ""
    assert ".. math::" in text
    assert "Use it" in text
    assert "Limits:" in text
    for option in inspect.signature(found.builder).parameters:
        assert f"{option}: " in text


GREEK = {
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "ε": "varepsilon",
    "κ": "kappa",
    "λ": "lambda",
    "μ": "mu",
    "π": "pi",
    "σ": "sigma",
    "τ": "tau",
    "φ": "phi",
}


@pytest.mark.parametrize("name", names())
def test_every_variant_has_its_formulas_and_their_symbols(name: str) -> None:
    found = get(name).description
    assert found.use
    assert found.limits
    assert found.process
    assert found.objective
    formulas = " ".join((found.process, found.posterior, found.objective))
    explained = " ".join(symbol.name for symbol in found.symbols)
    for letter, command in GREEK.items():
        assert bool(re.search(rf"\\{command}(?![a-z])", formulas)) == (letter in explained), letter
    for symbol in found.symbols:
        assert symbol.meaning.endswith(".")
        # Of the shared symbols some are set by an option that only some variants have.
        known = options_of(name).keys() | {"prior", "posterior", "likelihood", "latent_dim"}
        assert symbol.argument in known | {""}


@pytest.mark.parametrize("spelling", ["beta-vae", "beta_vae", "Beta-VAE", "BETA_VAE"])
def test_capitals_and_underscores_are_forgiven(spelling: str) -> None:
    assert get(spelling).name == "beta-vae"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("beta-vea", "beta-vae"),
        ("betavae", "beta-vae"),
        ("convvae", "conv-vae"),
        ("Clasifier", "classifier"),
        ("vea", "vae"),
    ],
)
def test_unknown_variant_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(OptionError, match=f"unknown variant '{name}': did you mean '{near}'"):
        get(name)


def test_far_name_offers_only_the_list() -> None:
    with pytest.raises(OptionError) as caught:
        build("qqqqqq", SPEC)
    assert "did you mean" not in str(caught.value)
    assert all(name in str(caught.value) for name in names())


@pytest.mark.parametrize(
    ("option", "near"),
    [("latnt_dim", "latent_dim"), ("latent-dim", "latent_dim"), ("hiden", "hidden")],
)
def test_unknown_option_names_the_nearest(option: str, near: str) -> None:
    with pytest.raises(OptionError, match=f"'vae'.*'{option}': did you mean '{near}'"):
        build("vae", SPEC, **{option: 2})


def test_options_reach_the_builder() -> None:
    recipe = build("beta-vae", SPEC, latent_dim=3, beta=7.0, hidden=(5,))
    assert isinstance(recipe.model, LatentModel)
    assert recipe.model.sample(2).shape == (2, 1, 8, 8)
    assert recipe.model.encode(torch.zeros(4, 1, 8, 8)).shape == (4, 3)
    assert recipe.objective == ELBO(beta=7.0)


def test_options_are_those_of_the_builder() -> None:
    assert list(get("beta-vae").options) == [
        "latent_dim",
        "beta",
        "hidden",
        "likelihood",
        "activation",
        "skip",
        "dropout",
    ]


def test_empty_sizes_are_refused() -> None:
    with pytest.raises(OptionError, match="latent_dim=0: must be at least 1"):
        build("vae", SPEC, latent_dim=0)
    with pytest.raises(OptionError, match="at least 1"):
        build("vae", SPEC, hidden=(0,))


@pytest.mark.usefixtures("_clean_registry")
def test_a_new_variant_is_one_decorated_function() -> None:
    @variant("wide-vae", year=2026, paper="Nobody, 2026")
    def wide_vae(spec: DataSpec, latent_dim: int = 3) -> Specification:
        """A wide VAE."""
        parts = perceptrons(latent_dim, hidden=(7,), likelihood=None, activation="relu")
        return Specification(spec, parts, ELBO(beta=0.5))

    assert get("Wide_VAE").summary == "A wide VAE."
    assert build("wide-vae", SPEC, latent_dim=2).objective == ELBO(beta=0.5)
    assert wide_vae(SPEC).objective == ELBO(beta=0.5)


@pytest.mark.usefixtures("_clean_registry")
def test_a_taken_name_is_refused() -> None:
    with pytest.raises(OptionError, match="variant 'vae' exists already"):
        variant("vae", year=2026, paper="Nobody, 2026")(variants.vae)


def test_replace_changes_one_field() -> None:
    recipe = variants.vae(SPEC, latent_dim=2, hidden=(4,))
    changed = replace(recipe, objective=MaximumLikelihood())
    assert changed.model is recipe.model
    assert changed.objective == MaximumLikelihood()
    assert recipe.objective == ELBO()


def test_replace_of_an_unknown_field_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="'objectiv': did you mean 'objective'"):
        replace(variants.vae(SPEC, 2, (4,)), objectiv=ELBO())


def test_player_needs_a_part_of_the_model() -> None:
    model = nn.ModuleDict({"critic": nn.Linear(2, 1)})
    assert Recipe(model, ELBO(), (Player("critic", ELBO()),)).players[0].module == "critic"
    with pytest.raises(OptionError, match="player 'critik'"):
        Recipe(model, ELBO(), (Player("critik", ELBO()),))


@pytest.mark.parametrize("name", ["classifier", "directed"])
def test_models_of_labels_need_labels(name: str) -> None:
    with pytest.raises(errors.DataError, match="has no labels"):
        build(name, DataSpec((1, 8, 8), "binary"))


@pytest.mark.parametrize("n_parts", [0, 65])
def test_directed_network_has_at_most_an_entry_for_a_part(n_parts: int) -> None:
    with pytest.raises(OptionError, match=f"n_parts={n_parts}: an example has 64 entries"):
        build("directed", SPEC, n_parts=n_parts)


ERRORS = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, Exception) and value.__module__ == errors.__name__
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_has_one_root(error: type[Exception]) -> None:
    assert issubclass(error, ReparamError)
    assert (error.__doc__ or "").partition("\n")[0].endswith(".")


def test_errors_are_what_a_python_programmer_catches() -> None:
    assert issubclass(errors.OptionError, ValueError)
    assert issubclass(errors.DataError, ValueError)
    assert issubclass(errors.RunError, RuntimeError)
    assert issubclass(errors.CheckpointError, errors.RunError)


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("beta_vea", ["vae", "beta-vae"], "beta-vae"),
        ("LATENT-DIM", ["latent_dim", "hidden"], "latent_dim"),
        ("xyz", ["vae", "beta-vae"], None),
        ("vae", [], None),
    ],
)
def test_nearest_name(name: str, known: list[str], expected: str | None) -> None:
    assert nearest(name, known) == expected


def test_unknown_takes_an_iterator_of_names() -> None:
    message = str(unknown("thing", "appel", iter(["apple", "pear"])))
    assert "did you mean 'apple'" in message
    assert message.endswith("Known: apple, pear")


@pytest.mark.parametrize("n", [12, 13])
def test_long_lists_are_left_out_beside_a_suggestion(n: int) -> None:
    known = ["apple", *(f"{i:04}" for i in range(n - 1))]
    listed = f" Known: {', '.join(known)}"
    near, far = (str(unknown("thing", name, known)) for name in ("appel", "qqqqqq"))
    assert near == f"unknown thing 'appel': did you mean 'apple'?{listed if n == 12 else ''}"
    assert far == f"unknown thing 'qqqqqq':{listed}"


def test_spec_survives_plain_values() -> None:
    spec = DataSpec((3, 32, 32), "unit", n_classes=10, levels=256, name="cifar10")
    assert DataSpec.from_dict(spec.to_dict()) == spec
    assert spec.dim == 3072
    assert spec.is_image


@pytest.mark.parametrize("shape", [(0,), (1, 0, 8), (-1,)])
def test_empty_examples_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="every size must be at least 1"):
        DataSpec(shape, "binary")


def test_unknown_support_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="unknown support 'binry': did you mean 'binary'"):
        DataSpec((4,), "binry")


def test_unknown_key_of_a_spec_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="'n_clases': did you mean 'n_classes'"):
        DataSpec.from_dict({"shape": [4], "support": "binary", "n_clases": 3})

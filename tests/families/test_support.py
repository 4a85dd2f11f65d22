"""Which likelihood fits which data, and what is said where none does."""

from itertools import permutations

import pytest
import torch

from reparam import families
from reparam.errors import OptionError, ShapeError, SupportError
from reparam.families import LIKELIHOODS, Family, default_likelihood, likelihood
from reparam.schema import Column, Schema
from reparam.spec import DataSpec
from reparam.variants import vae

SHAPE = (1, 4, 4)
SCHEMA = Schema((Column("age", "real"), Column("sex", "binary", ("F", "M"))))
SPECS = {
    "binary": DataSpec(SHAPE, "binary", name="bits"),
    "unit": DataSpec(SHAPE, "unit", levels=256, name="grey"),
    "real": DataSpec(SHAPE, "real", name="reals"),
    "categorical": DataSpec(SHAPE, "categorical", levels=5, name="classes"),
    "tokens": DataSpec((7,), "tokens", levels=30, name="words"),
    "counts": DataSpec((7,), "counts", name="cells"),
    "mixed": DataSpec((2,), "mixed", name="rows", schema=SCHEMA),
}
GAUSSIANS = {f"gaussian{kind}" for kind in ("", "-shared", "-optimal", "-fixed")} | {
    "contaminated-gaussian",
    "gaussian-mixture",
    "squared-error",
}
FITS = {
    "binary": {"bernoulli"},
    "unit": {"continuous-bernoulli", "cross-entropy", "categorical"}
    | {"discretized-logistic", "logistic-mixture"}
    | GAUSSIANS,
    "real": GAUSSIANS,
    "categorical": {"categorical"},
    "tokens": {"categorical"},
    "counts": {
        f"{name}{given}"
        for name in ("negative-binomial", "poisson", "zinb")
        for given in ("", "-given-total")
    },
    "mixed": {"mixed"},
}
VALUES = {
    "binary": [0.0, 1.0],
    "unit": [0.0, 1 / 255, 0.2, 1.0],
    "real": [-30.0, 0.0, 4.5],
    "categorical": [0.0, 3.0, 4.0],
    "tokens": [0.0, 29.0],
    "counts": [0.0, 1.0, 3e6],
    "mixed": [0.0, 1.0, float("nan")],
}
WORDS = {
    "binary": "binary (0 or 1)",
    "unit": "grey (in [0, 1])",
    "real": "real-valued",
    "categorical": "categorical",
    "tokens": "token",
    "counts": "count",
    "mixed": "mixed (columns of several kinds)",
}
GOOD = [(support, name) for support in FITS for name in LIKELIHOODS if name in FITS[support]]
BAD = [(support, name) for support in FITS for name in LIKELIHOODS if name not in FITS[support]]


@pytest.mark.parametrize(("support", "name"), GOOD)
def test_fitting_likelihood_scores_every_value(support: str, name: str) -> None:
    spec = SPECS[support]
    family = likelihood(spec, name)
    assert family.event_shape == spec.shape
    p = family.distribution(torch.zeros(2, *family.raw_shape))
    for value in VALUES[support]:
        assert torch.isfinite(p.log_prob(torch.full((2, *spec.shape), value))).all()


@pytest.mark.parametrize(("support", "name"), BAD)
def test_unfit_likelihood_is_refused_with_the_fix(support: str, name: str) -> None:
    spec = SPECS[support]
    with pytest.raises(SupportError) as caught:
        likelihood(spec, name)
    message = str(caught.value)
    assert "\n" not in message
    assert f"likelihood '{name}' is for" in message
    suited, _, found = message.partition(" data, but ")
    assert found.startswith(f"'{spec.name}' is {WORDS[support]}: ")
    # What it is said to be for is exactly what it is accepted for.
    orders = permutations(WORDS[other] for other in FITS if name in FITS[other])
    assert suited in {f"likelihood '{name}' is for {' or '.join(words)}" for words in orders}
    assert any(fix in message.lower() for fix in FITS[support])


@pytest.mark.parametrize(
    ("support", "default"),
    [
        ("binary", "bernoulli"),
        ("unit", "discretized-logistic"),
        ("real", "gaussian"),
        ("categorical", "categorical"),
        ("tokens", "categorical"),
        ("counts", "negative-binomial"),
    ],
)
def test_default_likelihood_follows_from_the_support(support: str, default: str) -> None:
    assert default_likelihood(SPECS[support]) == default
    assert type(likelihood(SPECS[support])) is type(likelihood(SPECS[support], default))


def test_values_between_levels_are_continuous_bernoulli() -> None:
    assert default_likelihood(DataSpec(SHAPE, "unit")) == "continuous-bernoulli"


def test_dequantized_pixels_are_gaussian() -> None:
    assert default_likelihood(DataSpec(SHAPE, "unit", dequantized_from=256)) == "gaussian"


def test_grey_levels_are_categorical_on_the_unit_interval() -> None:
    family = likelihood(SPECS["unit"], "categorical")
    assert isinstance(family, families.QuantizedGray)
    assert family.raw_shape == (256, *SHAPE)


def test_categorical_of_a_continuum_is_refused() -> None:
    with pytest.raises(SupportError, match="needs discrete values"):
        likelihood(DataSpec(SHAPE, "unit", dequantized_from=256), "categorical")


def test_bernoulli_of_grey_pixels_offers_to_binarize() -> None:
    with pytest.raises(SupportError, match=r"binarize='dynamic'.*discretized-logistic"):
        likelihood(SPECS["unit"], "bernoulli")


def test_cross_entropy_of_bits_is_called_bernoulli() -> None:
    with pytest.raises(SupportError, match="is the Bernoulli likelihood"):
        likelihood(SPECS["binary"], "cross-entropy")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("bernouli", "bernoulli"),
        ("gausian", "gaussian"),
        ("continuous_bernouli", "continuous-bernoulli"),
    ],
)
def test_unknown_likelihood_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(OptionError, match=f"unknown likelihood '{name}': did you mean '{near}'"):
        likelihood(SPECS["binary"], name)


def test_a_family_is_taken_as_it_is() -> None:
    family = families.Gaussian(SHAPE, scale=0.1)
    assert likelihood(SPECS["real"], family) is family


def test_a_family_of_another_shape_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"shape \(16,\) cannot be the likelihood of 'bits'"):
        likelihood(SPECS["binary"], families.Bernoulli(16))


@pytest.mark.parametrize(
    ("support", "family"),
    [
        ("binary", families.Gaussian(SHAPE)),
        ("real", families.Bernoulli(SHAPE)),
        ("unit", families.Bernoulli(SHAPE)),
        ("binary", families.CrossEntropy(SHAPE)),
        ("real", families.ContinuousBernoulli(SHAPE)),
    ],
)
def test_a_family_that_does_not_fit_is_refused(support: str, family: Family) -> None:
    with pytest.raises(SupportError, match=f"'{type(family).__name__}' is for ") as caught:
        likelihood(SPECS[support], family)
    assert f" data, but '{SPECS[support].name}' is {WORDS[support]}: " in str(caught.value)


@pytest.mark.parametrize("name", ["bernoulli", "gaussian-fixed"])
def test_variants_refuse_alike(name: str) -> None:
    with pytest.raises(SupportError, match="'classes' is categorical: use"):
        vae(SPECS["categorical"], latent_dim=2, hidden=(4,), likelihood=name)


@pytest.mark.parametrize("support", ["binary", "unit", "real"])
def test_means_lie_in_the_support_of_pixels(support: str) -> None:
    for name in FITS[support]:
        family = likelihood(SPECS[support], name).eval()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            mean = family.distribution(3 * torch.randn(5, *family.raw_shape)).mean
        assert mean.shape == (5, *SHAPE)
        if support == "binary" or (support == "unit" and name not in GAUSSIANS):
            assert ((mean >= 0) & (mean <= 1)).all()

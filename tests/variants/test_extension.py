"""The cost of an extension: one file in its folder, of as many lines as CONTRIBUTING.md states."""

import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

import reparam as rp
from reparam.errors import OptionError, SupportError
from reparam.families import LIKELIHOODS, POSTERIORS
from reparam.objectives import OBJECTIVES
from reparam.priors import PRIORS
from reparam.utils.registry import Registry, discover
from reparam.variants import build, names, options_of
from reparam.variants.registry import VARIANTS
from tests.support import ROOT, quick_fit

EXAMPLES = {
    "variant": (
        rp.variants,
        VARIANTS,
        '''
        from typing import Unpack
        from reparam.objectives import ELBO
        from reparam.spec import DataSpec
        from reparam.variants.builder import variant
        from reparam.variants.networks import Net, perceptrons
        from reparam.variants.specification import Specification


        @variant("half-vae", year=2026, paper="Nobody, 2026")
        def half_vae(
            spec: DataSpec, latent_dim: int = 3, beta: float = 0.5, **net: Unpack[Net]
        ) -> Specification:
            """The VAE with half the KL."""
            return Specification(spec, perceptrons(latent_dim, **net), ELBO(beta=beta))
        ''',
    ),
    "likelihood": (
        rp.families,
        LIKELIHOODS,
        '''
        from torch import distributions
        from reparam.families import Family, as_likelihood


        @as_likelihood("laplace")
        class Laplace(Family):
            """Independent Laplace variables."""

            supports = ("real",)
            starts_at_mean = True

            def __init__(self, event_shape):
                super().__init__(event_shape, 2)

            def distribution(self, raw):
                loc, log_scale = self.parameters_of(raw)
                return self.independent(distributions.Laplace(loc, log_scale.exp()))

            def raw_of_mean(self, mean):
                return mean
        ''',
    ),
    "posterior": (
        rp.families,
        POSTERIORS,
        '''
        from torch import distributions
        from reparam.families import Family, as_posterior


        @as_posterior("laplace")
        class LaplacePosterior(Family):
            """Independent Laplace variables."""

            def __init__(self, event_shape):
                super().__init__(event_shape, 2)

            def distribution(self, raw):
                loc, log_scale = self.parameters_of(raw)
                return self.independent(distributions.Laplace(loc, log_scale.exp()))
        ''',
    ),
    "prior": (
        rp.priors,
        PRIORS,
        '''
        import torch
        from torch.distributions import Independent, StudentT
        from reparam.priors import Prior, as_prior


        @as_prior("student")
        class Student(Prior):
            """Independent Student t variables.

            Arguments:
                latent_dim: The number of dimensions of z.
                n_freedom: The degrees of freedom.
            """

            options = ("n_freedom",)

            def __init__(self, latent_dim: int, n_freedom: int = 4):
                super().__init__()
                self.register_buffer("df", torch.full((latent_dim,), float(n_freedom)))

            def forward(self, c=None):
                return Independent(StudentT(self.df), 1)
        ''',
    ),
    "objective": (
        rp.objectives,
        OBJECTIVES,
        '''
        from dataclasses import dataclass
        from math import log
        from reparam.objectives import ModelObjective, Terms, as_objective


        @as_objective("renyi")
        @dataclass(frozen=True)
        class Renyi(ModelObjective):
            """The variational Rényi bound with ten draws."""

            is_importance_weighted = True
            alpha: float = 0.5

            def terms(self, model, batch):
                draws = model.draw(batch.x, batch.c, 10)
                power = (1 - self.alpha) * draws.log_weight
                bound = (power.logsumexp(0) - log(10)) / (1 - self.alpha)
                return Terms(bound=bound, reconstruction=draws.log_likelihood.mean(0))
        ''',
    ),
}


@pytest.fixture(params=EXAMPLES)
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A kind of extension, whose example lies as a file in its folder and is imported."""
    package, registry, source = EXAMPLES[request.param]
    assert isinstance(package, ModuleType)
    assert isinstance(registry, Registry)
    name = f"example_{request.param}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, f"{package.__name__}.{name}", raising=False)
    discover(package.__name__, package.__path__)
    yield request.param
    del sys.modules[f"{package.__name__}.{name}"]


OPTIONS = {
    "variant": {},
    "likelihood": {"likelihood": "laplace", "start_at_mean": False},
    "posterior": {"posterior": "laplace"},
    "prior": {"prior": "student", "n_freedom": 5},
    "objective": {"objective": "renyi"},
}


def test_an_extension_in_one_file_trains_a_step(kind: str) -> None:
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    spec = rp.data.from_arrays(x).spec
    name = "half-vae" if kind == "variant" else "vae"
    recipe = build(name, spec, latent_dim=2, hidden=(4,), **OPTIONS[kind])
    before: dict[str, Tensor] = {k: v.clone() for k, v in recipe.model.named_parameters()}
    run = quick_fit(recipe, x, batch_size=8)
    after = dict(nn.Module.named_parameters(run.model))
    assert all(after[k].isfinite().all() for k in before)
    assert any(not torch.equal(after[k], before[k]) for k in before)
    assert recipe.source is not None
    assert recipe.source.options | OPTIONS[kind] == recipe.source.options
    if kind == "variant":
        assert "half-vae" in names()
        assert options_of("half-vae")["beta"].default == 0.5
    if kind == "prior":
        assert float(recipe.model.prior.df[0]) == 5
        assert options_of("vae")["n_freedom"].help.startswith("With prior student: The degrees of")
        with pytest.raises(OptionError, match=r"n_freedom=5, prior='mixture'.*add prior='student'"):
            build("vae", spec, prior="mixture", n_freedom=5)
    if kind == "posterior":
        with pytest.raises(SupportError, match=r"posterior='laplace', prior='sphere'.*infinite"):
            build("vae", spec, posterior="laplace", prior="sphere")
    if kind == "objective":
        with pytest.raises(SupportError, match="objective='renyi': a point has no"):
            build("vae", spec, posterior="deterministic", objective="renyi")


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_table_states_the_cost(kind: str) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {kind} \| (\d+) \| (\d+) \|", text, re.MULTILINE)
    lines = [line for line in EXAMPLES[kind][2].splitlines() if line.strip()]
    assert row == ("1", str(len(lines)))

"""Modules that people write themselves are trained as they are, and drawn from as they say."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent

import reparam as rp
from reparam.errors import OptionError, SupportError
from reparam.families import Family
from reparam.models.latent import as_latent
from tests.support import reparam

HOW = {"epochs": 2, "batch_size": 16, "device": "cpu", "progress": False, "precision": "float32"}
X = (torch.rand(64, 6, generator=torch.Generator().manual_seed(0)) < 0.3).float()


def parts() -> dict[str, nn.Module]:
    return {
        "encoder": rp.Conditional(rp.nn.MLP(6, 8), rp.families.Gaussian(2)),
        "decoder": rp.Conditional(rp.nn.MLP(2, 8), rp.families.Bernoulli(6)),
        "prior": rp.priors.StandardNormal(2),
    }


class Mine(nn.Module):
    """A module of three parts, with more in it than a latent-variable model has."""

    def __init__(self) -> None:
        super().__init__()
        for name, part in parts().items():
            self.add_module(name, part)
        self.judge = nn.Linear(6, 1)
        self.unused = nn.Linear(3, 3)
        self.n_asked = 0


class Drawing(Mine):
    """One that draws examples in a way of its own."""

    def sample(self, n_samples: int, temperature: float = 0.5) -> Tensor:
        """Return coins."""
        self.n_asked += n_samples
        return (torch.rand(n_samples, 6) < temperature).float()


class Judged:
    """The ELBO, and a judge that is trained beside it: an objective that knows its module."""

    def __call__(self, model: Mine, batch: rp.Batch) -> rp.objectives.Terms:
        assert isinstance(model, Mine)
        terms = rp.objectives.ELBO()(model, batch)
        penalty = model.judge(batch.x).square().mean()
        return rp.objectives.Terms(
            terms.bound, terms.reconstruction, terms.kl, penalties={"judge": penalty}
        )


class TestFit:
    def test_trains_the_module_itself_as_the_same_parts_in_a_model(self) -> None:
        torch.manual_seed(0)
        mine = Mine()
        torch.manual_seed(0)
        model = rp.LatentModel(**parts())
        run = rp.fit(mine, X, **HOW)
        expected = rp.fit(model, X, **HOW)
        assert run.model is mine
        for path, value in expected.model.state_dict().items():
            assert torch.equal(mine.state_dict()[path], value), path
        assert run.evaluate(X, n_samples=5) == expected.evaluate(X, n_samples=5)
        assert torch.equal(run.encode(X), expected.encode(X))
        assert torch.equal(run.reconstruct(X), expected.reconstruct(X))
        assert torch.equal(run.sample(3, seed=1), expected.sample(3, seed=1))
        assert not mine.training

    def test_trains_all_that_is_in_it(self) -> None:
        mine = Mine()
        before = {name: value.clone() for name, value in mine.state_dict().items()}
        rp.fit(mine, X, objective=Judged(), **HOW)
        moved = {n for n, value in mine.state_dict().items() if not torch.equal(value, before[n])}
        assert {"judge.weight", "judge.bias"} <= moved
        assert {n.partition(".")[0] for n in moved} == {"encoder", "decoder", "judge"}

    def test_takes_it_in_a_recipe(self) -> None:
        mine = Mine()
        recipe = rp.Recipe(mine, rp.objectives.IWAE(3))
        assert rp.fit(recipe, X, **HOW).model is mine

    def test_keeps_all_of_it(self, tmp_path: Path) -> None:
        run = rp.fit(Mine(), X, objective=Judged(), out=tmp_path / "run", ema=0.9, **HOW)
        loaded = rp.load(tmp_path / "run", model=Mine())
        assert torch.equal(loaded.model.judge.weight, run.model.judge.weight)
        assert torch.equal(loaded.encode(X), run.encode(X))

    def test_has_its_doctor(self) -> None:
        runs = [rp.fit(model, X, **HOW) for model in (Mine(), rp.LatentModel(**parts()))]
        mine, plain = (rp.diagnostics.examine(run, n_examples=32).findings for run in runs)
        assert [found.name for found in mine] == [found.name for found in plain]

    def test_samples_as_the_module_does(self) -> None:
        run = rp.fit(Drawing(), X, **HOW)
        assert run.sample(5).shape == (5, 6)
        assert run.model.n_asked == 5
        assert run.sample(4, temperature=0.0).sum() == 0
        assert torch.equal(run.sample(4, seed=2), run.sample(4, seed=2))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda m: delattr(m, "prior"), "Mine has no prior: give a recipe, or a module with"),
            (lambda m: delattr(m, "encoder"), "Mine has no encoder"),
        ],
    )
    def test_says_what_is_missing(self, change: Any, said: str) -> None:
        mine = Mine()
        change(mine)
        with pytest.raises(OptionError, match=said):
            rp.fit(mine, X, **HOW)

    def test_says_what_is_no_module(self) -> None:
        class Wrong(nn.Module):
            encoder = print
            decoder = prior = None

        with pytest.raises(OptionError, match="a builtin_function_or_method as its encoder"):
            rp.fit(Wrong(), X, **HOW)


def test_a_view_shares_what_it_sees() -> None:
    mine = Mine().eval()
    seen = as_latent(mine)
    assert seen.part("judge") is mine.judge
    assert not seen.training
    assert {id(p) for p in seen.parameters()} == {id(p) for p in mine.parameters()}
    assert as_latent(seen) is seen


class TestSample:
    """The draws of a model are draws: their moments are those of the data it describes."""

    def coins(self, probability: float) -> rp.LatentModel:
        """Return a model of independent coins, whatever z is."""
        model = rp.LatentModel(**parts())
        with torch.no_grad():
            for parameter in model.decoder.parameters():
                parameter.zero_()
            model.decoder.family.start_at(torch.full((6,), probability))
        return model

    def test_draws_unless_means_are_asked_for(self) -> None:
        model = self.coins(0.3)
        drawn = model.sample(4000)
        assert set(drawn.unique().tolist()) == {0.0, 1.0}
        # The mean of 24,000 coins is within five standard errors of 0.3.
        assert abs(float(drawn.mean()) - 0.3) < 5 * (0.21 / 24_000) ** 0.5
        assert torch.allclose(model.sample(5, mean=True), torch.full((5, 6), 0.3))

    def test_so_do_runs(self) -> None:
        run = rp.Run(self.coins(0.3), rp.DataSpec((6,), "binary"), {})
        assert set(run.sample(100).unique().tolist()) == {0.0, 1.0}
        assert torch.allclose(run.sample(5, mean=True), torch.full((5, 6), 0.3))

    def test_so_does_the_command_line_where_it_is_told(self, tmp_path: Path) -> None:
        run = str(tmp_path / "run")
        words = (
            "--hidden 4 --latent-dim 2 --epochs 1 --batch-size 500 --pictures-every 0 --device cpu"
        )
        reparam("train vae --out", run, "--binarize threshold", words)
        arrays = {}
        for name, more in (("means", []), ("draws", ["--draw"])):
            file = tmp_path / f"{name}.npy"
            reparam("sample", run, "-n 3 --out", file, *more)
            arrays[name] = np.load(file)
        assert set(np.unique(arrays["draws"])) == {0.0, 1.0}
        assert np.all((arrays["means"] > 0) & (arrays["means"] < 1))
        assert "samples.png  (the means of p(x | z)" in reparam("sample", run, "-n 3").out
        assert "draws.png  (draws from p(x | z)" in reparam("sample", run, "-n 3 --draw").out


class Silent(Family):
    """A family that does not say which data it is for."""

    def distribution(self, raw: Tensor) -> Distribution:
        """Return coins."""
        return Independent(Bernoulli(logits=raw.squeeze(-2)), 1)


def test_a_family_must_say_what_it_is_for() -> None:
    said = r"the family Silent declares no supports, .*such as supports = \('binary',\)"
    with pytest.raises(SupportError, match=said):
        rp.variants.vae(rp.DataSpec((6,), "binary"), likelihood=Silent(6, 1))


@pytest.mark.parametrize("name", rp.objectives.__all__)
def test_an_objective_takes_a_batch(name: str) -> None:
    made = getattr(rp.objectives, name)
    if not (inspect.isclass(made) and issubclass(made, rp.objectives.ModelObjective)):
        return
    if inspect.isabstract(made):
        return
    objective = made()
    model = rp.LatentModel(**parts())
    for wrong, kind in ((X, "Tensor"), ((X, X), "tuple"), (None, "NoneType")):
        with pytest.raises(OptionError, match=f"batch of type {kind}: {name} takes a Batch, so"):
            objective(model, wrong)
    for x, said in ((X.numpy(), "x of an array"), (X[:0], "x of 0 examples")):
        with pytest.raises(OptionError, match=said):
            objective(model, rp.Batch(x))


def test_an_objective_says_what_it_can_do_nothing_with() -> None:
    with pytest.raises(OptionError, match="Linear has no encoder"):
        rp.objectives.ELBO()(nn.Linear(6, 1), rp.Batch(X))


class Propertied(nn.Module):
    """Parts by other names, and a submodule that is called as a method of ``LatentModel`` is."""

    def __init__(self) -> None:
        super().__init__()
        named = parts()
        self.q, self.p, self.prior = named["encoder"], named["decoder"], named["prior"]
        self.draw = nn.Linear(1, 1)

    @property
    def encoder(self) -> nn.Module:
        return self.q

    @property
    def decoder(self) -> nn.Module:
        return self.p


def test_parts_may_be_properties_and_submodules_have_any_name() -> None:
    model = Propertied()
    seen = as_latent(model)
    assert seen.encoder is model.q
    assert seen.draw_prior(3).shape[0] == 3

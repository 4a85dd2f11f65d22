"""Per-example figures, the identity of what was scored, and runs beside each other."""

import hashlib
import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy import stats
from torch import Tensor
from torch.distributions import Normal

import reparam as rp
from reparam.comparison import compare
from reparam.comparison.paired import mean_over_seeds, paired_difference
from reparam.comparison.result import WIDTH, Comparison, Entry, Group
from reparam.data import Dataset, Split
from reparam.errors import OptionError, RunError, ShapeError
from reparam.evaluation.per_example import data_sha256, load_evaluation, save_evaluation
from reparam.plots.comparison import differences
from reparam.training.checkpoint import save_tensors
from tests.support import Constant, normal, quick_fit, reparam

FIGURES = ("elbo", "log_likelihood", "reconstruction", "kl")


def figures(n_seeds: int, n: int = 200, mean: float = 0.0) -> Tensor:
    hard = torch.randn(n, generator=torch.Generator().manual_seed(0))
    return 5 * hard + mean + torch.randn(n_seeds, 1) + torch.randn(n_seeds, n)


class TestPairedDifference:
    def test_is_the_paired_t_test_of_scipy(self) -> None:
        v, r = figures(1, mean=0.3), figures(1)
        found = paired_difference(v, r)
        theirs = stats.ttest_rel(v[0].double().numpy(), r[0].double().numpy())
        assert found is not None
        assert found.stderr is not None
        assert found.stderr_seeds is None
        assert found.value / found.stderr == pytest.approx(theirs.statistic, rel=1e-9)

    def test_over_seeds_is_the_t_test_of_welch(self) -> None:
        v, r = figures(4, mean=0.3), figures(3)
        found = paired_difference(v, r)
        theirs = stats.ttest_ind(
            v.double().mean(1).numpy(), r.double().mean(1).numpy(), equal_var=False
        )
        assert found is not None
        assert found.stderr_seeds is not None
        assert found.value / found.stderr_seeds == pytest.approx(theirs.statistic, rel=1e-9)

    def test_leaves_out_what_makes_a_point_hard_for_both(self) -> None:
        r = figures(1)
        found = paired_difference(r + 0.25, r)
        assert found is not None
        assert found.stderr is not None
        assert found.value == pytest.approx(0.25, abs=1e-6)
        assert found.stderr < 1e-6
        apart = mean_over_seeds(r)
        assert apart is not None
        assert apart.stderr is not None
        assert apart.stderr > 0.3

    def test_of_one_point_or_of_infinite_figures(self) -> None:
        one = paired_difference(torch.tensor([[2.0]]), torch.tensor([[1.0]]))
        assert one is not None
        assert (one.value, one.stderr, one.is_clear) == (1.0, None, False)
        assert paired_difference(torch.tensor([[-torch.inf]]), torch.tensor([[1.0]])) is None

    def test_refuses_other_points(self) -> None:
        with pytest.raises(ShapeError, match="3 and of 4 examples"):
            paired_difference(torch.zeros(1, 3), torch.zeros(1, 4))

    def test_the_interval_over_points_is_that_of_scipy(self) -> None:
        v, r = figures(1, 20, mean=0.3), figures(1, 20)
        found = paired_difference(v, r)
        theirs = stats.ttest_rel(v[0].double().numpy(), r[0].double().numpy())
        low, high = theirs.confidence_interval(0.95)
        assert found is not None
        assert found.margin == pytest.approx((high - low) / 2, rel=1e-9)
        assert found.is_clear == (theirs.pvalue < 0.05)

    @pytest.mark.parametrize(("n_v", "n_r"), [(2, 2), (4, 3), (2, 5)])
    def test_the_interval_over_seeds_is_that_of_welch(self, n_v: int, n_r: int) -> None:
        shifts = torch.randn(n_v + n_r, 1, dtype=torch.float64)
        # Every seed shifts all points alike, so that the points leave no error.
        v, r = shifts[:n_v].expand(-1, 9), shifts[n_v:].expand(-1, 9)
        found = paired_difference(v, r)
        theirs = stats.ttest_ind(v[:, 0].numpy(), r[:, 0].numpy(), equal_var=False)
        low, high = theirs.confidence_interval(0.95)
        assert found is not None
        assert found.margin == pytest.approx((high - low) / 2, rel=1e-9)

    def test_a_single_seed_varies_as_the_other_side_does(self) -> None:
        # Student's pooled interval, to whose variance a single number adds nothing.
        v, r = torch.tensor([[0.3], [1.1], [0.2]]).double(), torch.tensor([[4.0]]).double()
        theirs = stats.ttest_ind(v[:, 0].numpy(), r[:, 0].numpy(), equal_var=True)
        low, high = theirs.confidence_interval(0.95)
        for one, other in ((v, r), (r, v)):
            found = paired_difference(one.expand(-1, 5), other.expand(-1, 5))
            assert found is not None
            assert found.margin == pytest.approx((high - low) / 2, rel=1e-9)

    @pytest.mark.parametrize(
        ("n_v", "n_r", "noise"),
        [
            (1, 1, 0.0),
            *((v, r, s) for v, r in ((2, 2), (3, 3), (2, 1), (1, 3)) for s in (0.0, 0.5, 2.0, 9.0)),
        ],
    )
    def test_is_clear_by_chance_in_one_of_twenty_at_most(
        self, n_v: int, n_r: int, noise: float
    ) -> None:
        """Under no difference, with seed noise in units of the error over points."""
        n, repeats = 100, 1000
        generator = torch.Generator().manual_seed(1)

        def draws(n_seeds: int) -> Tensor:
            # What a point adds for one side is the same for all seeds of that side.
            points = torch.randn(repeats, 1, n, generator=generator, dtype=torch.float64)
            seeds = torch.randn(repeats, n_seeds, 1, generator=generator, dtype=torch.float64)
            return points + noise * (2 / n) ** 0.5 * seeds

        clear = 0
        for v, r in zip(draws(n_v), draws(n_r), strict=True):
            found = paired_difference(v, r)
            assert found is not None
            clear += found.is_clear
        assert clear / repeats < 0.05 + 3 * (0.05 * 0.95 / repeats) ** 0.5
        if n_v == n_r == 1:
            assert clear / repeats == pytest.approx(0.05, abs=3 * (0.05 / repeats) ** 0.5)

    def test_is_clear_where_there_is_a_difference(self) -> None:
        found = paired_difference(figures(5, mean=8.0), figures(5))
        assert found is not None
        assert found.is_clear
        # The means of five seeds differ by 8 to four errors, of seeds of variance 1.
        assert found.value == pytest.approx(8.0, abs=4 * (2 / 5) ** 0.5)


class TestDigest:
    def test_follows_its_recipe(self) -> None:
        x = torch.arange(6, dtype=torch.float32).reshape(3, 1, 2)
        text = b"float32 (3, 1, 2)\n" + np.arange(6).astype("<f4").tobytes()
        assert data_sha256(x) == hashlib.sha256(text).hexdigest()
        assert data_sha256(x.transpose(1, 2).contiguous().transpose(1, 2)) == data_sha256(x)

    def test_tells_values_order_shape_and_dtype_apart(self) -> None:
        x = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
        others = [x, x.flip(0), x.flatten(), x.long(), x.double(), 1 - x, x[:1]]
        assert len({data_sha256(one) for one in others}) == len(others)

    def test_of_a_frozen_binarization_follows_the_seed(self) -> None:
        draws = [
            rp.data.load("digits", binarize="dynamic").examples("test", seed=s) for s in (0, 1)
        ]
        again = rp.data.load("digits", binarize="dynamic").examples("test", seed=0)
        assert data_sha256(draws[0].x) == data_sha256(again.x) != data_sha256(draws[1].x)


class TestFiles:
    def test_bring_back_what_was_written(self, tmp_path: Path) -> None:
        examples = torch.randn(3).double()
        save_evaluation(tmp_path / "a.json", {"elbo": -1.0}, {"elbo": examples})
        found = load_evaluation(tmp_path / "a.json")
        assert found is not None
        assert found[0] == {"elbo": -1.0}
        assert torch.equal(found[1]["elbo"], examples)
        assert set(found[1]) == {"elbo"}

    def test_that_do_not_belong_together_are_no_evaluation(self, tmp_path: Path) -> None:
        first, second = tmp_path / "a.json", tmp_path / "b.json"
        for path, value in ((first, 0.0), (second, 1.0)):
            save_evaluation(path, {}, {"elbo": torch.tensor([value])})
        first.with_suffix(".safetensors").write_bytes(
            second.with_suffix(".safetensors").read_bytes()
        )
        assert load_evaluation(first) is None
        assert load_evaluation(second) is not None
        for text in ("{", "[]", "{}"):
            second.write_text(text)
            assert load_evaluation(second) is None
        assert load_evaluation(tmp_path / "c.json") is None


def known(m: float, x: Tensor, seed: int = 0) -> rp.Run:
    """p(x | z) = N(m, I) and q(z | x) = N(0, 1) whatever z and x, so that log p(x) is known."""
    data = rp.data.from_arrays(x, test=x, name="known")
    encoder, decoder = (
        Constant(normal(torch.zeros(1), 1.0)),
        Constant(normal(torch.full((3,), m), 1.0)),
    )
    model = rp.LatentModel(encoder, decoder, rp.priors.StandardNormal(1)).eval()
    return rp.Run(model, data.spec, {"variant": None, "m": m, "seed": seed}, data)


def untrained(
    variant: str = "vae",
    binarize: str = "threshold",
    seed: int = 0,
    condition: Any = None,
    **options: Any,
) -> rp.Run:
    data = rp.data.load("digits", binarize=binarize).conditioned(condition)
    torch.manual_seed(seed)
    recipe = rp.variants.build(variant, data.spec, **options)
    config = {"variant": variant, "binarize": binarize, "seed": seed, "condition": condition}
    return rp.Run(recipe.model.eval(), data.spec, config | options, data)


class TestCompare:
    def test_is_exact_where_log_p_is_known(self) -> None:
        x = torch.randn(40, 3)
        found = compare([known(0.0, x), known(0.5, x)], n_samples=2)
        (one,) = found.differences
        # log N(x; m, 1) - log N(x; 0, 1) = Σ_i (m x_i - m²/2), for every draw of z.
        d = (0.5 * x - 0.125).sum(1).double().numpy()
        for name in ("elbo", "log_likelihood", "reconstruction"):
            assert one.figures[name].value == pytest.approx(d.mean(), abs=1e-5)
            assert one.figures[name].stderr == pytest.approx(d.std(ddof=1) / 40**0.5, rel=1e-4)
        assert one.figures["kl"].value == pytest.approx(0.0, abs=1e-6)
        assert not one.figures["kl"].is_clear
        back = compare([known(0.0, x), known(0.5, x)], n_samples=2, to="LatentModel-2")
        assert back.differences[0].figures["elbo"].value == pytest.approx(-d.mean(), abs=1e-5)

    def test_takes_the_means_of_evaluate(self) -> None:
        run = untrained()
        result = run.evaluate(n_samples=3)
        for name in FIGURES:
            values = result[name].per_example
            assert (values.dtype, values.shape) == (torch.float64, (360,))
            assert float(values.mean()) == pytest.approx(getattr(result, name), rel=1e-12)
        assert result.data_sha256 == data_sha256(run.examples().x)

    def test_averages_runs_that_differ_in_the_seed_only(self) -> None:
        x = torch.randn(30, 3)
        runs = [known(0.0, x), known(0.1, x, 0), known(0.2, x, 1), known(0.3, x, 2)]
        for run in runs[1:]:
            run.config["m"] = "any"
        found = compare(runs, n_samples=1)
        assert [len(group.entries) for group in found.groups] == [1, 3]
        means = found.groups[1].means()["elbo"]
        each = np.array(
            [Normal(m, 1.0).log_prob(x).sum(1).double().numpy() for m in (0.1, 0.2, 0.3)]
        )
        assert means.value == pytest.approx(each.mean(), abs=1e-5)
        assert means.stderr == pytest.approx(each.mean(0).std(ddof=1) / 30**0.5, rel=1e-4)
        assert means.stderr_seeds == pytest.approx(each.mean(1).std(ddof=1) / 3**0.5, rel=1e-3)
        # The single run is taken to vary as the three do.
        assert found.differences[0].figures["elbo"].stderr_seeds == pytest.approx(
            each.mean(1).std(ddof=1) * (1 / 3 + 1) ** 0.5, rel=1e-3
        )
        assert "For a group with one seed, the variance" in str(found).replace("\n", " ")
        both = compare([*runs, known(0.0, x, seed=1)], n_samples=1)
        assert [len(group.entries) for group in both.groups] == [2, 3]
        assert both.differences[0].figures["elbo"].stderr_seeds == pytest.approx(
            each.mean(1).std(ddof=1) / 3**0.5, rel=1e-3
        )
        said = str(both)
        assert "  over test points" in said
        assert "  over seeds" in said
        assert "minus LatentModel × 2 seeds" not in said
        assert "LatentModel-2, LatentModel-3, LatentModel-4" in said
        assert max(map(len, said.splitlines())) <= WIDTH
        twice = compare([known(0.0, x), known(0.0, x)], n_samples=1)
        assert [len(group.entries) for group in twice.groups] == [1, 1]

    @pytest.mark.parametrize(
        ("first", "second", "reason"),
        [
            ({}, {"binarize": "dynamic"}, "binarize='dynamic'"),
            ({}, {"binarize": "none"}, "unit of shape"),
            (
                {"binarize": "none", "likelihood": "cross-entropy"},
                {"binarize": "none", "likelihood": "continuous-bernoulli"},
                "vae-1 has no likelihood",
            ),
            (
                {"binarize": "none", "likelihood": "logistic-mixture"},
                {"binarize": "none", "likelihood": "gaussian"},
                "vae-2 gives x a density",
            ),
            ({}, {"variant": "ae"}, "ae-1 has no likelihood"),
        ],
    )
    def test_refuses_what_cannot_be_subtracted(
        self, first: dict[str, Any], second: dict[str, Any], reason: str
    ) -> None:
        with pytest.raises(OptionError, match=reason) as caught:
            compare([untrained(**first), untrained(**second)], n_samples=1, tell=pytest.fail)
        assert "\n" not in str(caught.value)

    def test_names_the_run_to_train_otherwise(self) -> None:
        options = {"binarize": "none", "likelihood": "cross-entropy"}
        runs = [untrained(binarize="none", likelihood="continuous-bernoulli"), untrained(**options)]
        with pytest.raises(OptionError, match="instead of vae-2, train a normalized one"):
            compare(runs, n_samples=1, tell=pytest.fail)

    def test_looks_for_the_split_first(self) -> None:
        with pytest.raises(OptionError, match="no split 'trian'"):
            compare([untrained(), untrained("ae")], split="trian", tell=pytest.fail)

    def test_says_why_two_seeds_are_not_clear(self) -> None:
        x = torch.randn(400, 3)
        x -= x.mean(0)
        # Means of log p(x) are -3 m²/2 and a constant: apart by 0.45, with 0.08 over seeds.
        means = (("a", 0.0, 0), ("a", 0.1, 1), ("b", 0.5, 0), ("b", 0.6, 1))
        runs = [known(m, x, seed) for _, m, seed in means]
        for run, (name, _, _) in zip(runs, means, strict=True):
            run.config["m"] = name
        found = compare(runs, n_samples=1)
        change = found.differences[0].figures["log_likelihood"]
        assert change.value == pytest.approx(-0.45, abs=1e-4)
        assert change.stderr_seeds == pytest.approx(0.0828, abs=1e-4)
        assert not change.is_clear
        said = " ".join(str(found).split())
        assert "a third seed of each (seed=) shortens them most" in said
        assert f"95 % interval ± {change.margin:.3f}" in said
        alone = compare(runs[:2], n_samples=1)
        assert alone.differences == []
        assert "All runs are of one configuration" in str(alone)

    def test_refuses_other_examples_of_the_same_name(self) -> None:
        x = torch.randn(10, 3)
        with pytest.raises(OptionError, match=r"other examples, though of the same name \(SHA-256"):
            compare([known(0.0, x), known(0.0, x.flip(0))], n_samples=1)
        with pytest.raises(OptionError, match="n_examples 10 and 9"):
            compare([known(0.0, x), known(0.0, x[1:])], n_samples=1)

    def test_refuses_other_conditions(self) -> None:
        run = untrained(condition="label")
        assert isinstance(run.data, Dataset)
        test = run.data.splits["test"]
        assert test.y is not None
        other = replace(test, y=test.y.flip(0))
        moved = replace(run.data, splits={**run.data.splits, "test": other})
        runs = [run, replace(run, data=moved)]
        with pytest.raises(OptionError, match=r"other conditions c with the same x: label \(SHA"):
            compare(runs, n_samples=1)
        assert compare([run, untrained(condition="label", seed=1)], n_samples=1).entries

    @pytest.mark.parametrize(
        ("variant", "scored"), [("directed", r"p\(x, y\)"), ("classifier", r"p\(y \| x\)")]
    )
    def test_refuses_log_p_of_other_variables(self, variant: str, scored: str) -> None:
        runs = [untrained(variant), untrained()]
        with pytest.raises(OptionError, match=rf"log {scored}, the other log p\(x\)"):
            compare(runs, n_samples=1)
        assert compare([untrained(variant), untrained(variant, seed=1)]).differences == []

    def test_says_that_a_condition_is_given(self) -> None:
        found = compare([untrained(), untrained(condition="label")], n_samples=1)
        assert any("log p(x | c), where c is given" in note for note in found.notes)
        (one,) = found.differences
        assert (one.is_alike, one.clear) == (False, {})
        assert "No verdict on vae-2" in str(found)
        assert "Zero is outside" not in str(found)

    def test_refuses_a_single_run_and_unknown_names(self) -> None:
        with pytest.raises(OptionError, match="two or more"):
            compare([untrained()])
        with pytest.raises(OptionError, match="did you mean 'vae-2'"):
            compare([untrained(), untrained(seed=1)], to="vae-3")

    def test_compares_autoencoders_by_what_they_have(self) -> None:
        found = compare([untrained("ae"), untrained("ae", hidden=(8,))], n_samples=1)
        assert set(found.differences[0].figures) == {"reconstruction"}
        assert "elbo" not in str(found).splitlines()[2]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two configurations on digits, the second with two seeds."""
    root = tmp_path_factory.mktemp("runs")
    data = rp.data.load("digits", binarize="dynamic")
    for name, seed, latent_dim in (("a", 0, 1), ("b-0", 0, 3), ("b-1", 1, 3)):
        torch.manual_seed(seed)
        recipe = rp.variants.vae(data.spec, latent_dim=latent_dim, hidden=[16])
        options = {"epochs": 2, "batch_size": 256, "pictures_every": 0, "seed": seed}
        rp.fit(recipe, data, out=root / name, progress=False, **options)
    return root


class TestCommand:
    def test_walk(self, runs: Path) -> None:
        a, b = runs / "a", runs / "b-0"
        reparam(f"evaluate {a} --n-samples 4")
        picture = runs / "comparison.png"
        told = reparam(f"compare {a} {b} --out {picture}")
        # The number of draws is what the evaluated run has; only the other is measured.
        assert told.err == "reparam: evaluating b-0 on 'test' (--n-samples 4)\n"
        assert max(map(len, told.out.splitlines()[:-1])) <= WIDTH
        assert "minus a" in told.out
        with Image.open(picture) as image:
            assert image.width > image.height / 2
        picture.unlink()
        told = reparam(f"compare {a} {b} --json")
        assert told.err == ""
        found = json.loads(told.out)
        assert (found["n_samples"], found["n_examples"], found["binarize"]) == (4, 360, "dynamic")
        kept = [load_file(run / "evaluation.safetensors") for run in (a, b)]
        for name in FIGURES:
            d = (kept[1][name] - kept[0][name]).numpy()
            change = found["differences"][0][name]
            assert change["value"] == pytest.approx(d.mean(), rel=1e-9)
            assert change["stderr"] == pytest.approx(d.std(ddof=1) / 360**0.5, rel=1e-9)
        x = rp.data.load("digits", binarize="dynamic").examples("test", seed=0).x
        assert found["data_sha256"] == data_sha256(x)

    def test_seeds_and_the_reference(self, runs: Path) -> None:
        line = f"compare {runs / 'b-0'} {runs / 'a'} {runs / 'b-1'} --to a --n-samples 4 --json"
        found = json.loads(reparam(line).out)
        assert found["reference"] == "a"
        (group,) = found["seeds"]
        assert group["name"] == "b × 2 seeds"
        for name in ("b × 2 seeds", "b", "b-1", str(runs / "b-1")):
            again = json.loads(
                reparam(f"{line.replace('--to a', '')} --to {shlex.quote(name)}").out
            )
            assert again["reference"] == "b × 2 seeds"
        assert group["runs"] == ["b-0", "b-1"]
        values = [one["elbo"] for one in found["runs"] if one["name"] != "a"]
        assert group["elbo"]["value"] == pytest.approx(np.mean(values))
        assert group["elbo"]["stderr_seeds"] == pytest.approx(stats.sem(values))

    def test_refuses_other_numbers_of_draws_until_told(self, runs: Path) -> None:
        a, b = runs / "a", runs / "b-0"
        reparam(f"evaluate {a} --n-samples 3")
        reparam(f"evaluate {b} --n-samples 5")
        said = reparam(f"compare {a} {b}", code=2).err
        assert "a was evaluated with --n-samples 3 and b-0 with --n-samples 5" in said
        assert said.count("\n") == 1
        assert "evaluating a" in reparam(f"compare {a} {b} --n-samples 2").err
        # What took longer to measure stays.
        assert json.loads((b / "evaluation.json").read_text())["n_samples"] == 5
        assert "1 run given" in reparam(f"compare {a}", code=2).err
        told = reparam(f"compare {a} {b} --out {runs / 'a.xyz'}", code=2)
        assert "ending must be one of" in told.err
        assert (told.out, told.err.count("\n")) == ("", 1)
        assert "given twice" in reparam(f"compare {a} {a}", code=2).err

    def test_takes_the_proposal_that_a_run_was_evaluated_with(
        self, runs: Path, tmp_path: Path
    ) -> None:
        a, b = (shutil.copytree(runs / name, tmp_path / name) for name in ("a", "b-0"))
        (b / "evaluation.json").unlink(missing_ok=True)
        reparam(f"evaluate {a} --n-samples 3 --proposal defensive")
        told = reparam(f"compare {a} {b} --json")
        assert "(--n-samples 3 --proposal defensive)" in told.err
        assert json.loads(told.out)["proposal"] == "defensive"
        reparam(f"evaluate {b} --n-samples 3")
        said = reparam(f"compare {a} {b}", code=2).err
        assert "--proposal defensive and b-0 with --proposal posterior" in said
        reparam(f"evaluate {b} --n-samples 4")
        assert "give --n-samples and --proposal" in reparam(f"compare {a} {b}", code=2).err

    def test_an_evaluation_of_other_weights_does_not_count(
        self, runs: Path, tmp_path: Path
    ) -> None:
        run = rp.load(runs / "a")
        assert run.folder is not None
        run.evaluate(n_samples=2)
        assert run.kept_evaluation() is not None
        weights = {name: value + 1 for name, value in run.model.state_dict().items()}
        before = [run.folder.model_file, run.folder.model_file.with_suffix(".json")]
        kept = [path.read_bytes() for path in before]
        save_tensors(run.folder.model_file, weights, {})
        assert run.kept_evaluation() is None
        for path, content in zip(before, kept, strict=True):
            path.write_bytes(content)
        assert run.kept_evaluation() is not None
        run.evaluate(n_samples=3, keep=False)
        found = run.kept_evaluation()
        assert found is not None
        assert found.n_samples == 2

    def test_an_evaluation_of_other_data_of_the_same_name_does_not_count(
        self, runs: Path, tmp_path: Path
    ) -> None:
        a, b = (rp.load(shutil.copytree(runs / name, tmp_path / name)) for name in ("a", "b-0"))
        for run in (a, b):
            run.evaluate(n_samples=2)
        said: list[str] = []
        compare([a, b], tell=said.append)
        assert said == []
        data = a.dataset()
        test = data.splits["test"]
        assert test.y is not None
        turned = replace(test, x=test.x.flip(0), y=test.y.flip(0))
        turned_data = replace(data, splits={**data.splits, "test": turned})
        found = compare(
            [replace(run, data=turned_data) for run in (a, b)], n_samples=2, tell=said.append
        )
        assert len(said) == 2
        x = turned_data.examples("test", seed=0).x
        assert found.to_dict()["data_sha256"] == data_sha256(x) != data_sha256(a.examples().x)

    def test_an_evaluation_of_a_file_that_changed_does_not_count(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        text = "to be or not to be that is the question " * 20
        path.write_text(text)
        data = rp.data.load("text", path=path, window=8)
        for name, seed in (("a", 0), ("b", 1)):
            torch.manual_seed(seed)
            recipe = rp.variants.build("text-vae", data.spec, latent_dim=1)
            quick_fit(recipe, data, out=tmp_path / name, seed=seed)
        loaded = [rp.load(tmp_path / name) for name in ("a", "b")]
        for run in loaded:
            run.evaluate(n_samples=2)
        said: list[str] = []
        compare(loaded, tell=said.append)
        assert said == []
        path.write_text(text[::-1])
        compare(loaded, n_samples=2, tell=said.append)
        assert len(said) == 2

    def test_needs_the_data_of_a_run_that_was_not_evaluated(self, tmp_path: Path) -> None:
        x = torch.rand(40, 6).round()
        loaded = []
        for name in ("a", "b"):
            data = Dataset("mine", rp.data.from_arrays(x).spec, {"train": Split(x)})
            recipe = rp.variants.vae(data.spec, latent_dim=1, hidden=[4])
            quick_fit(recipe, data, out=tmp_path / name)
            loaded.append(rp.load(tmp_path / name))
        with pytest.raises(RunError, match="data in memory"):
            compare(loaded)


class TestPicture:
    def test_has_a_panel_for_each_figure(self) -> None:
        x = torch.randn(20, 3)
        found = compare([known(0.0, x), known(0.5, x), known(-0.5, x)], n_samples=1)
        axes = differences(found.differences, found.reference.name).axes
        assert [one.get_title() for one in axes] == [
            "elbo",
            "reconstruction",
            "kl",
            "log-likelihood",
        ]
        assert [t.get_text() for t in axes[0].get_yticklabels()] == [
            "LatentModel-2",
            "LatentModel-3",
        ]

    def test_names_that_are_long_lose_their_start(self) -> None:
        run = untrained()
        entry = Entry("x" * 120, "vae", 0, 1.0, 10, "p(x)", "", run.evaluate(n_samples=1))
        groups = (Group((entry,)), Group((replace(entry, name="y" * 120, configuration="b"),)))
        lines = str(Comparison(groups, groups[0])).splitlines()
        assert max(map(len, lines[2:5])) <= WIDTH

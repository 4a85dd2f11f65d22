"""The number of latent dimensions and the weight of the KL, chosen by held-out rows."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor
from torch.utils.data import DataLoader

import reparam as rp
from reparam.data import Dataset, from_arrays
from reparam.errors import DataError, OptionError
from reparam.models.latent import LatentModel
from reparam.runs import search
from reparam.training import TrainingOptions
from tests.support import LINEAR, reparam, same

STEPS: dict[str, Any] = {"steps": 10, "progress": False}


def plane(n: int, dim: int = 3, seed: int = 0) -> Tensor:
    """Return rows of ten numbers that lie near a subspace of some dimensions."""
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(dim, 10, generator=draw)
    noise = 0.3 * torch.randn(n, 10, generator=draw)
    return torch.randn(n, dim, generator=draw) @ weight + noise


class TestRule:
    @pytest.mark.parametrize(
        ("truth", "largest", "tried"),
        [
            (3, 64, [8, 16, 4, 2, 3]),
            (6, 64, [8, 16, 4, 6]),
            (2, 64, [8, 16, 4, 2]),
            (12, 64, [8, 16, 32, 12]),
            (1000, 64, [8, 16, 32, 64, 48]),
            (1000, 5, [4, 5]),
            (1000, 784, [16, 32, 64, 128, 96]),
            (2, 3, [2, 3]),
            (1, 1, []),
        ],
    )
    def test_finds_a_known_best_in_few_trials(
        self, truth: int, largest: int, tried: list[int]
    ) -> None:
        """Rows lose in proportion to the distance from the truth, and little above it."""
        seen, rows = [], torch.randn(200, generator=torch.Generator().manual_seed(0))

        def scores(size: int) -> Tensor:
            seen.append(size)
            return rows - (truth - size if size < truth else 0.001 * (size - truth))

        assert search._chosen_size(largest, scores) == min(truth, largest, search.SIZES[-1])
        assert seen == tried

    def test_tries_five_sizes_at_most(self) -> None:
        seen = []

        def scores(size: int) -> Tensor:
            seen.append(size)
            return 0.01 * torch.arange(200.0) - abs(size - 4)

        assert search._chosen_size(784, scores) == 4
        assert seen == [16, 32, 8, 4, 2]

    def test_the_smallest_within_one_standard_error_is_preferred(self) -> None:
        rows = torch.randn(400, generator=torch.Generator().manual_seed(0))
        error = float(rows.std()) / 20
        assert search.preferred({2: rows - 1.1 * error, 4: rows - 0.9 * error, 8: rows}) == 4

    def test_rows_without_a_score_are_left_out(self) -> None:
        rows = torch.tensor([1.0, 2.0, 3.0])
        assert search.preferred({2: rows, 4: torch.tensor([torch.nan, 8.0, 9.0])}) == 4


class TestScore:
    def test_is_the_exact_log_likelihood(self) -> None:
        """With the exact posterior every importance weight is p(x)."""
        x = torch.randn(150, 3, generator=torch.Generator().manual_seed(1))
        found = search.log_likelihoods(LINEAR.model(), rp.Batch(x))
        torch.testing.assert_close(
            found, torch.from_numpy(LINEAR.log_likelihood(x)), rtol=0, atol=1e-4
        )

    @pytest.mark.parametrize("validation", [0, 12])
    def test_rows_are_those_of_the_training_split(self, validation: int) -> None:
        x = torch.randn(90, 3)
        data = from_arrays(x[:60], test=x[60:], validation=validation)
        known = {tuple(row.tolist()) for row in x[:60]}
        seen: list[Dataset] = []

        def train(choice: Any, part: Dataset, length: Mapping[str, Any]) -> LatentModel:
            seen.append(part)
            return LINEAR.model()

        asked = {"latent_dim": search.AUTO}
        found, trials = search.chosen(asked, data, TrainingOptions(), train, lambda text: None)
        # All candidates are equal, so that the smallest is preferred.
        assert found == {"latent_dim": 2}
        assert [trial["latent_dim"] for trial in trials] == [2, 3]
        for part in seen:
            rows = part.split("train").x, part.split("validation").x
            assert len(rows[1]) == (validation or 15)
            assert {tuple(row.tolist()) for row in torch.cat(rows)} == known


class TestCost:
    @pytest.mark.parametrize("given", [{}, {"steps": 700}, {"epochs": 3}])
    def test_candidates_take_about_twice_the_steps_at_most(self, given: dict[str, Any]) -> None:
        options = TrainingOptions(batch_size=10, **given)
        found = search._length(options, 1000, ["latent_dim", "beta"])
        whole = given.get("steps", 100 * given.get("epochs", 70))
        most = search.MOST_SIZES + len(search.BETAS) - 1
        assert most * found["steps"] <= 2.1 * whole
        assert found["epochs"] is None

    def test_candidates_take_at_most_half_of_a_budget(self) -> None:
        found = search._length(TrainingOptions(budget="1m"), 1000, ["latent_dim"])
        assert search.MOST_SIZES * found["budget"] == pytest.approx(30.0)


class TestFit:
    def test_finds_the_dimension_of_the_data(self) -> None:
        run = rp.fit(rp.variants.vae, plane(600), latent_dim="auto", steps=1000, progress=False)
        assert run.config["latent_dim"] in (3, 4)
        assert run.encode(plane(2)).shape == (2, run.config["latent_dim"])
        trials = {trial["latent_dim"]: trial for trial in run.config["recorded"]["search"]}
        assert trials[3]["log_likelihood"] > trials[2]["log_likelihood"] + 4 * trials[2]["stderr"]
        assert abs(trials[3]["log_likelihood"] - trials[8]["log_likelihood"]) < trials[8]["stderr"]

    def test_the_choice_is_said_stored_repeated_and_resumed(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        x, out = plane(60), tmp_path / "run"
        make = partial(rp.variants.vae, hidden=[8])
        choice: dict[str, Any] = {"latent_dim": "auto", "beta": "auto"}
        run = rp.fit(make, x, steps=20, out=out, **choice)
        said = capsys.readouterr().err
        stored = yaml.safe_load((out / "config.yaml").read_text())
        tried = stored["recorded"]["search"]
        assert said.count("nats on 15 held-out rows") == len(tried)
        assert f"{stored['latent_dim']} latents (by held-out log p(x))" in said
        assert {trial["beta"] for trial in tried} == {0.5, 1.0, 2.0}
        again = rp.fit(make, x, latent_dim=stored["latent_dim"], beta=stored["beta"], **STEPS)
        other = rp.fit(
            make, x, steps=20, latent_dim=stored["latent_dim"], beta=stored["beta"], progress=False
        )
        assert same(run, other)
        assert not same(run, again)
        (out / "model.json").unlink()
        resumed = rp.fit(make, x, out=out, resume=True, **choice)
        assert same(run, resumed)
        assert resumed.config["recorded"]["search"] == tried
        assert "held-out rows" not in capsys.readouterr().err

    def test_beta_of_a_variant_that_has_one(self) -> None:
        run = rp.fit(rp.variants.beta_vae, plane(60), beta=3.0, latent_dim=2, **STEPS)
        assert (run.config["beta"], run.config["latent_dim"]) == (3.0, 2)
        assert run.recipe().objective.beta == 3.0  # type: ignore[union-attr]

    def test_impossible_searches_are_refused(self) -> None:
        data = from_arrays(plane(60))
        auto: dict[str, Any] = {"latent_dim": "auto", **STEPS}
        with pytest.raises(OptionError, match="give the variant itself"):
            rp.fit(rp.variants.vae(data.spec), data, **auto)
        labeled = from_arrays(plane(60), torch.arange(60) % 2)
        with pytest.raises(OptionError, match="unknown option of the model 'latent_dim'"):
            rp.fit(rp.variants.classifier, labeled, **auto)
        with pytest.raises(OptionError, match="rows of a loader cannot be held out"):
            rp.fit(rp.variants.vae, DataLoader(plane(60), batch_size=10), **auto)  # type: ignore[arg-type]
        with pytest.raises(DataError, match="10 examples are too few"):
            rp.fit(rp.variants.vae, plane(10), **auto)
        with pytest.raises(OptionError, match=r"has no log p\(x\) to choose by"):
            rp.fit(rp.variants.ae, data, **auto)
        with pytest.raises(OptionError, match="latent_dim='many': must be"):
            rp.fit(rp.variants.vae, data, latent_dim="many", steps=3)  # type: ignore[arg-type]
        with pytest.raises(OptionError, match="drop one"):
            rp.fit(rp.variants.vae, data, rp.objectives.ELBO(), beta=2.0, steps=3)


class TestCommandLine:
    def test_auto_is_a_value_of_options_that_stay_numbers(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", plane(60))
        options = f"--data {tmp_path}/x.npy --hidden 8 --steps 10 --pictures-every 0"
        said = reparam("train vae --latent-dim auto", options, "--out", tmp_path / "a")
        assert "--latent-dim 8: log p(x) =" in said.err
        stored = yaml.safe_load((tmp_path / "a" / "config.yaml").read_text())
        assert isinstance(stored["latent_dim"], int)
        reparam("train vae --config", tmp_path / "a" / "config.yaml", "--out", tmp_path / "b")
        assert same(rp.load(tmp_path / "a"), rp.load(tmp_path / "b"))
        # In a file of options, too.
        (tmp_path / "c.yaml").write_text(
            f"data: {tmp_path}/x.npy\nlatent_dim: auto\nhidden: [8]\nsteps: 10\n"
        )
        reparam("train vae --config", tmp_path / "c.yaml", "--out", tmp_path / "c")
        assert same(rp.load(tmp_path / "a"), rp.load(tmp_path / "c"))
        assert "is no whole number" in reparam("train vae --latent-dim many", code=2).err


def test_a_row_without_a_density_is_never_preferred() -> None:
    scores = {2: torch.tensor([-1.0, -1.0, -1.0]), 4: torch.tensor([-0.5, -0.5, -torch.inf])}
    assert search.preferred(scores) == 2

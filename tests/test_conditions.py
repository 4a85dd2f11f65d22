"""A condition on the label: from the data through every part to the command line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

import reparam as rp
from reparam.cli.main import main
from reparam.data.condition import condition_of, conditions
from reparam.errors import DataError, OptionError
from reparam.models.latent import LatentModel
from reparam.priors import StandardNormal
from reparam.training.events import Event
from reparam.variants import Recipe, build

SPEC = rp.DataSpec((4,), "real", n_classes=3, name="rows")
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 1, 0])


class Echo(nn.Module):
    """A decoder that says the label: p(x | z, c) = N(label, 1), whatever z."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor, c: Tensor) -> Distribution:
        label = c @ torch.arange(3.0)
        return Independent(Normal(label[:, None].expand(*z.shape[:-1], 4) + self.unused, 1.0), 1)


class Quiet(nn.Module):
    """An encoder that keeps the first two entries of x; the label is of no use to it."""

    def forward(self, x: Tensor, c: Tensor) -> Distribution:
        return Independent(Normal(x[..., :2], 1.0), 1)


@pytest.fixture
def data() -> rp.data.Dataset:
    x = torch.randn(len(LABELS), 4)
    return rp.data.from_arrays(x, LABELS, test=(x, LABELS), name="rows")


@pytest.fixture
def echo(data: rp.data.Dataset) -> rp.Run:
    recipe = Recipe(
        LatentModel(Quiet(), Echo(), StandardNormal(2)),
        rp.objectives.ELBO(),
        spec=data.spec.conditioned("label"),
    )
    return rp.fit(recipe, data, epochs=1, lr=1e-9, device="cpu", progress=False)


def test_a_condition_is_the_label_as_one_of_k() -> None:
    spec = SPEC.conditioned("label")
    assert (spec.context, SPEC.context) == (3, 0)
    assert condition_of(SPEC, LABELS, None) is None
    c = condition_of(spec, LABELS, None)
    np.testing.assert_array_equal(c, np.eye(3)[LABELS])
    assert rp.DataSpec.from_dict(spec.to_dict()) == spec
    assert spec.conditioned(None) == SPEC


def test_conditions_to_generate_come_in_turn_or_all_alike() -> None:
    spec = SPEC.conditioned("label")
    assert conditions(SPEC, 5) is None
    assert conditions(spec, 5).argmax(1).tolist() == [0, 1, 2, 0, 1]
    assert conditions(spec, 4, label=2).argmax(1).tolist() == [2, 2, 2, 2]
    for label in (-1, 3):
        with pytest.raises(OptionError, match="the labels of 'rows' are 0 to 2"):
            conditions(spec, 4, label=label)
    with pytest.raises(OptionError, match="train one with condition='label'"):
        conditions(SPEC, 4, label=0)


def test_specs_refuse_other_conditions() -> None:
    with pytest.raises(OptionError, match="did you mean 'label'"):
        SPEC.conditioned("lable")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no labels to condition on"):
        rp.DataSpec((4,), "real").conditioned("label")


def test_data_carry_the_condition_of_each_example(data: rp.data.Dataset) -> None:
    assert data.examples().c is None
    batch = data.conditioned("label").examples("train")
    assert torch.equal(batch.c.argmax(1), batch.y)
    assert torch.equal(data.conditioned("label").conditioned(None).examples().x, batch.x)


@pytest.mark.parametrize("kind", ["dataset", "loader", "pair"])
def test_training_gives_every_batch_its_condition(data: rp.data.Dataset, kind: str) -> None:
    seen: list[rp.Batch] = []
    recipe = build("vae", data.spec.conditioned("label"), latent_dim=2, hidden=(4,))
    real = recipe.objective

    def objective(model: Any, batch: rp.Batch) -> Any:
        seen.append(batch)
        return real(model, batch)

    x = data.split("train").x
    pairs = torch.utils.data.TensorDataset(x, LABELS)
    source = {
        "dataset": data,
        "loader": torch.utils.data.DataLoader(pairs, batch_size=3, shuffle=True),
        "pair": (x, LABELS),
    }[kind]
    rp.fit(
        recipe, source, objective=objective, epochs=2, batch_size=3, device="cpu", progress=False
    )
    assert sum(map(len, seen)) == 2 * len(x)
    for batch in seen:
        assert torch.equal(batch.c.argmax(1), batch.y)
        rows = [int((x == row).all(1).nonzero()) for row in batch.x]
        assert torch.equal(LABELS[rows], batch.y)


def test_samples_are_of_the_label_that_is_asked_for(echo: rp.Run) -> None:
    assert echo.sample(4, label=2, mean=True)[:, 0].round().tolist() == [2.0] * 4
    assert echo.sample(5, mean=True)[:, 0].round().tolist() == [0.0, 1.0, 2.0, 0.0, 1.0]
    with pytest.raises(OptionError, match="are 0 to 2"):
        echo.sample(4, label=3)


def test_reconstructions_and_figures_are_under_the_label(
    echo: rp.Run, data: rp.data.Dataset
) -> None:
    assert torch.equal(echo.reconstruct()[:, 0].round(), LABELS.float())
    x = data.split("test").x
    found = echo.evaluate(n_samples=5, device="cpu")
    expected = -0.5 * (x - LABELS[:, None]).square().sum(1) - 2 * np.log(2 * np.pi)
    assert found.reconstruction == pytest.approx(float(expected.mean()), rel=1e-5)
    kl = 0.5 * x[:, :2].square().sum(1)
    assert found.kl == pytest.approx(float(kl.mean()), rel=1e-5)


def test_other_data_need_not_have_every_label(echo: rp.Run) -> None:
    x, y = torch.randn(3, 4), torch.tensor([0, 1, 0])
    assert echo.reconstruct((x, y))[:, 0].round().tolist() == [0.0, 1.0, 0.0]
    assert echo.evaluate((x, y), n_samples=2, device="cpu").n_examples == 3
    with pytest.raises(OptionError, match=r"labels up to 5.*from 0 to 2"):
        echo.evaluate((x, torch.tensor([0, 5, 1])), n_samples=2, device="cpu")
    with pytest.raises(DataError, match="no labels to condition on"):
        echo.evaluate(x, n_samples=2, device="cpu")


def test_unknown_labels_are_refused(data: rp.data.Dataset) -> None:
    recipe = build("vae", data.spec.conditioned("label"), latent_dim=2, hidden=(4,))
    with pytest.raises(DataError, match="5 of 8 examples have no label to condition on"):
        rp.fit(recipe, data.with_labels_per_class(1), epochs=1, device="cpu", progress=False)


class Stop(Exception):
    """Raised by a callback."""


def weights_of(out: Path | None, stop_at: int | None = None) -> dict[str, Tensor]:
    """Train a conditional model with a learned prior, stopped at a step when asked, and resumed."""

    def callback(event: Event) -> None:
        if event.step == stop_at and event.kind == "log":
            raise Stop

    rng = torch.Generator().manual_seed(0)
    x = torch.rand(30, 6, generator=rng).round()
    data = rp.data.from_arrays(x, torch.arange(30) % 3, n_classes=3)
    torch.manual_seed(0)
    spec = data.spec.conditioned("label")
    recipe = build("vae", spec, latent_dim=2, hidden=(4,), prior="flow")
    settings = {"epochs": 2, "batch_size": 10, "log_every": 1, "checkpoint_every": 0}
    run = rp.fit(
        recipe,
        data,
        out=out,
        resume=True,
        device="cpu",
        progress=False,
        callbacks=[callback],
        **settings,
    )
    return run.model.state_dict()


def test_a_conditional_run_resumes_exactly_and_reloads(tmp_path: Path) -> None:
    expected = weights_of(None)
    with pytest.raises(Stop):
        weights_of(tmp_path, stop_at=4)
    found = weights_of(tmp_path)
    loaded = rp.load(tmp_path)
    assert loaded.spec.condition == "label"
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
        assert torch.equal(loaded.model.state_dict()[name], value), name
    assert loaded.sample(2, label=1).shape == (2, 6)


def test_the_command_line_goes_all_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    words = "--hidden 4 --latent-dim 2 --epochs 1 --batch-size 500 --pictures-every 0 --device cpu"
    train = ["train", "vae", "--condition", "label", "--out", run, *words.split()]
    assert main(train) == 0
    arrays = tmp_path / "samples.npy"
    assert main(["sample", run, "-n", "6", "--label", "2", "--out", str(arrays)]) == 0
    assert np.load(arrays).shape == (6, 1, 8, 8)
    assert f"sample {run} --label 0" in capsys.readouterr().out
    assert main(["sample", run, "--label", "2"]) == 0
    assert "under label 2" in capsys.readouterr().out
    assert (tmp_path / "run" / "samples-label-2.png").exists()
    walks = tmp_path / "walks.npy"
    assert main(["interpolate", run, "-n", "2", "--steps", "5", "--out", str(walks)]) == 0
    loaded = rp.load(run)
    batch = loaded.examples(limit=4)
    ends = torch.from_numpy(np.load(walks)).unflatten(0, (2, 5))[:, [0, -1]].flatten(0, 1)
    torch.testing.assert_close(ends, loaded.reconstruct(batch))
    for verb in ("reconstruct", "encode", "plot"):
        assert main([verb, run]) == 0, verb
    # A grid over the latent plane would need a label for each of its points.
    assert not (tmp_path / "run" / "pictures" / "quantile-grid.png").exists()
    assert main(["evaluate", run, "--n-samples", "2"]) == 0
    assert main(["train", "--resume", run]) == 0
    capsys.readouterr()
    assert main(["sample", run, "--label", "12"]) != 0
    assert "the labels of 'digits' are 0 to 9" in capsys.readouterr().err

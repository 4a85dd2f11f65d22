"""A run says what it has chosen, and its configuration repeats it without inference."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.utils.data import DataLoader

import reparam as rp
from reparam.data.registry import SOURCES, OwnFiles
from reparam.errors import DataError, OptionError
from reparam.utils.terminal import say
from tests.support import reparam, same


def table(n: int) -> Tensor:
    """A column of whole numbers, a constant one, and two continuous ones."""
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
    x[:, 0] = (3 * x[:, 0]).round()
    x[:, 1] = 7.0
    return x


def load_table(validation: float = 0.2) -> rp.data.Dataset:
    """The table as a data set with a name."""
    data = rp.data.from_arrays(table(300), name="rows").with_validation(validation)
    options = {"name": "rows", "validation": validation}
    return rp.data.Dataset("rows", data.spec, data.splits, data.transform, options=options)


@pytest.fixture
def named_table() -> Iterator[str]:
    SOURCES.add("rows", OwnFiles("a table", None, load_table))  # type: ignore[arg-type]
    yield "rows"
    del SOURCES._entries["rows"]


def said_by(capsys: pytest.CaptureFixture[str], model: Any, data: Any, **options: Any) -> list[str]:
    """Return the three lines of a run of three steps."""
    capsys.readouterr()
    rp.fit(model, data, **{"steps": 3, "device": "cpu", **options})
    return capsys.readouterr().err.splitlines()[:3]


class TestSummary:
    def test_of_a_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        data, model, training = said_by(capsys, rp.variants.vae, table(600), steps=40)
        assert data == (
            "data: 540 × 4 real numbers, 1 columns rounded (cells), 1 constant; 60 rows held out"
        )
        assert model.startswith("model: vae, 4 latents, hidden 128 128 silu with a linear skip")
        assert "gaussian-mixture in the units of the data (real columns" in model
        assert training.startswith("training: 40 steps of 128 rows (steps=40), adam at 0.0")
        assert "keeps the weights with the best held-out loss; cpu, float32" in training

    def test_of_few_rows(self, capsys: pytest.CaptureFixture[str]) -> None:
        data, _, training = said_by(capsys, rp.variants.vae, table(50))
        assert data.startswith("data: 50 × 4 real numbers")
        assert data.endswith("none held out")
        assert "3 steps of 50 rows" in training
        assert "ends at the best step of 5-fold cross-fitting" in training

    def test_of_images(self, capsys: pytest.CaptureFixture[str]) -> None:
        digits = rp.data.load("digits", binarize="dynamic")
        data, model, training = said_by(
            capsys, rp.variants.conv_vae, digits, steps=None, epochs=1, early_stopping=2
        )
        assert data == "data: 1,366 images of 1 × 8 × 8 numbers, 0 or 1; 71 images held out"
        assert "channels 32 64 relu with a linear skip, bernoulli (values 0 or 1)" in model
        assert "11 steps of 128 images (epochs=1)" in training
        assert "ends after 2 validations without a better ELBO" in training

    def test_of_text_and_counts(self, capsys: pytest.CaptureFixture[str]) -> None:
        tokens = rp.data.from_arrays(torch.arange(160).reshape(20, 8) % 5, support="tokens")
        data, model, _ = said_by(capsys, rp.variants.text_vae, tokens)
        assert data.startswith("data: 20 sequences of 8 tokens of 5 kinds")
        assert model.startswith("model: text-vae, 16 latents")
        counts = rp.data.from_arrays(torch.arange(80).reshape(20, 4), support="counts")
        data, model, _ = said_by(capsys, rp.variants.vae, counts)
        assert data.startswith("data: 20 examples of 4 numbers, counts")
        assert "negative-binomial (counts)" in model

    def test_of_a_model_composed_by_hand_on_a_loader(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        model = rp.LatentModel(
            rp.Conditional(rp.nn.MLP(4, 5), rp.families.Gaussian(2)),
            rp.Conditional(rp.nn.MLP(2, 5), rp.families.Gaussian(4)),
            rp.priors.StandardNormal(2),
        )
        n_weights = sum(p.numel() for p in nn.Module.parameters(model))
        loader = DataLoader(table(30), batch_size=10)  # type: ignore[arg-type]
        data, said, training = said_by(capsys, model, loader)
        assert data == "data: 30 × 4 real numbers, from a loader"
        assert said.startswith(f"model: LatentModel, composed by hand, {n_weights} weights")
        assert "3 steps of a batch of the loader" in training
        assert "to the end" in training

    def test_a_choice_of_the_user_has_no_reason(self, capsys: pytest.CaptureFixture[str]) -> None:
        recipe = rp.variants.vae(
            rp.data.from_arrays(table(30)).spec, likelihood="gaussian", hidden=[8]
        )
        _, model, _ = said_by(capsys, recipe, table(30))
        assert "hidden 8 silu with a linear skip and dropout 0.5, gaussian in the units" in model

    def test_lines_fit_into_a_terminal(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "50")
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        say("data: " + 20 * "numbers ")
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) > 2
        assert all(len(line) <= 50 for line in lines)


class TestRepetition:
    def test_of_digits(self, tmp_path: Path) -> None:
        first, again = tmp_path / "first", tmp_path / "again"
        reparam("train vae --steps 30 --pictures-every 0 --out", first)
        stored = yaml.safe_load((first / "config.yaml").read_text())
        assert stored["likelihood"] == "discretized-logistic"
        assert (stored["steps"], stored["early_stopping"]) == (30, "held-out")
        assert None not in (stored["hidden"], stored["skip"], stored["batch_size"], stored["lr"])
        reparam("train vae --config", first / "config.yaml", "--out", again)
        assert same(rp.load(first), rp.load(again))
        # A length on the command line replaces the one of the file.
        reparam("train vae --epochs 1 --config", first / "config.yaml", "--out", tmp_path / "other")
        assert rp.load(tmp_path / "other").config["epochs"] == 1

    def test_of_a_table(self, tmp_path: Path, named_table: str) -> None:
        first, again = tmp_path / "first", tmp_path / "again"
        reparam("train vae --steps 30 --out", first, "--data", named_table)
        reparam("train vae --config", first / "config.yaml", "--out", again)
        one, other = rp.load(first), rp.load(again)
        assert same(one, other)
        kept = [{k: v for k, v in run.config.items() if k != "recorded"} for run in (one, other)]
        assert kept[0] == kept[1]
        assert one.config["likelihood"] == "gaussian-mixture"
        assert one.config["recorded"]["n_validation"] == 60

    @pytest.mark.parametrize("n", [50, 600])
    def test_of_data_in_memory(self, tmp_path: Path, n: int) -> None:
        """By cross-fitting, and by a validation split."""
        first = rp.fit(rp.variants.vae, table(n), steps=20, out=tmp_path / "run", progress=False)
        stored = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
        of_model = {name: stored[name] for name in ("hidden", "skip", "dropout", "latent_dim")}
        of_model |= {name: stored[name] for name in ("likelihood", "activation")}
        again = rp.fit(
            lambda spec: rp.variants.vae(spec, **of_model),
            table(n),
            steps=stored["steps"],
            early_stopping=stored["early_stopping"],
            batch_size=stored["batch_size"],
            lr=stored["lr"],
            progress=False,
        )
        assert same(first, again)


class TestHeldOut:
    def test_is_a_choice(self) -> None:
        """Models composed by hand have none by default."""
        model = rp.variants.vae(rp.data.from_arrays(table(600)).spec).model
        options: dict[str, Any] = {"steps": 3, "progress": False}
        run = rp.fit(model, table(600), early_stopping="held-out", **options)
        assert run.config["early_stopping"] == "held-out"
        assert len(run.data.split("validation")) == 60  # type: ignore[union-attr]
        assert rp.fit(model, table(600), **options).config["early_stopping"] == 0

    def test_is_refused_where_it_says_little(self) -> None:
        loader = DataLoader(table(30), batch_size=10)  # type: ignore[arg-type]
        with pytest.raises(OptionError, match="needs at least 2 examples in memory"):
            rp.fit(rp.variants.vae, loader, steps=3, early_stopping="held-out")
        with pytest.raises(OptionError, match="it chooses a number of steps"):
            rp.fit(rp.variants.vae, table(30), epochs=3, early_stopping="held-out")
        digits = rp.data.load("digits", validation=0)
        with pytest.raises(DataError, match="was loaded without a validation split"):
            rp.fit(rp.variants.vae, digits, steps=3, early_stopping="held-out")

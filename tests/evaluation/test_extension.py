"""A figure is one file: the test writes a metric into the folder of metrics and uses it by name."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import reparam as rp
from reparam.evaluation import METRICS, metric, metrics

FIGURE = '''
from reparam.evaluation import METRICS, Figure, Measured, Metric, Quantity, Section


@METRICS.register("ink")
class Ink(Metric):
    """The share of black pixels."""

    section = Section.SAMPLES
    position = 9
    quantities = (Quantity("ink", "share of black pixels", "%", is_compared=True),)

    def compute(self, context):
        share = 100 * context.batch.x.flatten(1).mean(1)
        return Measured({"ink": Figure.mean(share)})
'''


@pytest.fixture
def ink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The metric, as a file in its folder; it is forgotten afterwards."""
    (tmp_path / "ink.py").write_text(FIGURE, encoding="utf-8")
    metric.metrics()  # those of the package come first
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))
    for cached in (metric.metrics, metric.quantities):
        cached.cache_clear()
    yield
    monkeypatch.undo()
    del sys.modules[f"{metrics.__name__}.ink"]
    for cached in (metric.metrics, metric.quantities):
        cached.cache_clear()


@pytest.mark.usefixtures("ink")
def test_a_figure_is_one_file() -> None:
    x = torch.zeros(20, 4)
    x[:, 0] = 1
    recipe = rp.variants.vae(rp.DataSpec((4,), "binary"), latent_dim=2, hidden=(4,))
    found = rp.evaluation.evaluate(recipe.model, rp.Batch(x), recipe.spec, n_samples=2)
    assert found.ink == 25
    assert found.ink_stderr == 0
    assert "share of black pixels" in str(found)
    assert found.to_dict()["ink"] == 25
    assert found.per_example["ink"].tolist() == [25.0] * 20

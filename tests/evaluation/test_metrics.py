"""Metrics declare their figures; evaluation.json, the table and comparisons follow from that."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from reparam import evaluation, variants
from reparam.batch import Batch
from reparam.comparison.result import Comparison, Entry, Group
from reparam.evaluation import (
    METRICS,
    Evaluation,
    Facts,
    Figure,
    Measured,
    Metric,
    Needs,
    Quantity,
    Section,
)
from reparam.evaluation import metric as declarations
from reparam.evaluation.context import Context
from reparam.evaluation.latents.activity import kl_from_standard_normal
from reparam.models.latent import LatentModel
from reparam.priors import Mixture, StandardNormal
from tests.support import BINARY, Function, binary, normal

# The keys of evaluation.json of the first release, which stay.
KEYS = """
split n_examples is_likelihood elbo elbo_stderr log_likelihood log_likelihood_stderr
reconstruction reconstruction_stderr kl kl_stderr mse mse_stderr bits_per_dim
bits_per_dim_stderr active_units n_samples accuracy accuracy_stderr n_clusters
cluster_accuracy cluster_accuracy_stderr cluster_majority cluster_majority_stderr
cluster_information cluster_information_stderr kl_method kl_per_dimension
kl_per_dimension_stderr kl_groups kl_groups_stderr codes_in_use code_perplexity
code_perplexity_stderr latent_dim effective_sample_size effective_sample_size_stderr
rate_bits rate_bits_stderr distortion distortion_stderr code_bits code_bits_stderr raw_bits
note warnings data binarize data_sha256 condition condition_sha256 seed dequantized_from
decomposed_examples mutual_information mutual_information_stderr marginal_kl
marginal_kl_stderr total_correlation total_correlation_stderr dimension_wise_kl
dimension_wise_kl_stderr active_units_first_500 probe_examples linear_probe
linear_probe_stderr knn_accuracy knn_accuracy_stderr n_generated sample_means sample_mmd
sample_mmd_stderr features features_sha256 fid fid_stderr fid_bias kid kid_stderr proposal
annealed_n_examples annealed_n_temperatures annealed_start annealed_log_likelihood
annealed_log_likelihood_stderr annealed_baseline annealed_baseline_stderr annealed_gain
annealed_gain_stderr annealed_gap annealed_gap_stderr n_rounded
""".split()  # noqa: SIM905

# An evaluation as the first release has stored it, of a hierarchy and with samples.
STORED: dict[str, Any] = json.loads("""
{"split": "test", "n_examples": 150, "is_likelihood": true, "elbo": -48.5, "elbo_stderr": 0.025,
 "log_likelihood": null, "reconstruction": -44.9, "reconstruction_stderr": 0.026, "kl": 3.58,
 "kl_stderr": 0.0068, "mse": 0.25, "active_units": 0, "n_samples": 30, "kl_method": "Monte Carlo",
 "kl_groups": {"z2": 0.069, "z1": 3.51}, "kl_groups_stderr": {"z2": 0.0009, "z1": 0.0069},
 "kl_per_dimension": null, "latent_dim": 48, "raw_bits": 64.0, "note": null,
 "warnings": ["all 48 latent dimensions are unused"], "data": "digits", "seed": 3,
 "n_generated": 100, "sample_means": false, "fid": 1.5, "fid_stderr": 0.1, "fid_bias": 0.2,
 "features": "runs/judge", "proposal": "posterior", "weights_sha256": "0", "mse_stderr": 8e-05}
""")


def measured() -> Evaluation:
    torch.manual_seed(0)
    model = variants.vae(BINARY, latent_dim=2, hidden=(8,)).model
    return evaluation.evaluate(model, Batch(binary(30)), BINARY, n_samples=4)


def test_evaluation_json_has_the_keys_that_it_always_had() -> None:
    assert set(measured().to_dict()) == set(KEYS)


def test_a_stored_evaluation_comes_back() -> None:
    found = Evaluation.from_dict(STORED)
    values = found.to_dict()
    assert set(values) == set(KEYS)
    for name in set(STORED) - {"weights_sha256"}:
        assert values[name] == STORED[name]
    assert found["fid"].bias == 0.2
    assert "log_likelihood" not in found
    with pytest.raises(TypeError, match="elbo='low' is no"):
        Evaluation.from_dict({**STORED, "elbo": "low"})


def test_names_have_one_rule() -> None:
    found = measured()
    for name, figure in found.items():
        assert getattr(found, name) == figure.value
    assert found.elbo_stderr == found["elbo"].stderr
    assert found["elbo"].unit == "nats"
    assert found["elbo"].higher_is_better
    assert not found["bits_per_dim"].higher_is_better
    assert (found.split, found.facts.split) == ("test", "test")
    # Declared, but not of this model: no figure, and None as an attribute.
    assert "fid" not in found
    assert (found.fid, found.fid_stderr, found.fid_bias) == (None, None, None)
    with pytest.raises(AttributeError, match="did you mean 'elbo'"):
        _ = found.elb0


def test_a_figure_that_is_not_finite_is_none() -> None:
    values = torch.tensor([-1.0, -torch.inf])
    found = Evaluation(Facts("test", 2, True), {"elbo": Figure.mean(values)})
    assert found.elbo is None
    assert found.to_dict()["elbo"] is None
    assert "elbo" not in str(found)
    # Its examples stay, since leaving one out would break the pairs of a comparison.
    assert torch.equal(found.per_example["elbo"], values.double())
    again = Evaluation.from_dict(found.to_dict(), found.per_example)
    assert torch.equal(again.per_example["elbo"], values.double())
    assert again.elbo is None


def test_the_table_of_a_notebook_has_the_rows_of_the_terminal() -> None:
    found = measured().with_facts(note="x < y & z")
    html, text = found._repr_html_(), repr(found)
    for name, figure in found.items():
        if name != "marginal_kl":  # the sum of two rows
            assert f"<td>{figure}</td>" in html
            assert str(figure).split()[0] in text
    assert "x &lt; y &amp; z" in html
    assert "note: x < y & z" in text


@pytest.fixture
def ink(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A metric of one's own: one class, registered by its name."""

    class Ink(Metric):
        section = Section.SAMPLES
        needs = Needs.LATENTS
        quantities = (
            Quantity("ink", "share of black pixels", "%", higher_is_better=False, is_compared=True),
        )

        def compute(self, context: Context) -> Measured:
            share = 100 * context.batch.x.flatten(1).mean(1)
            return Measured({"ink": Figure.mean(share)}, warnings=("there is ink",))

    declarations.metrics()  # those of the package come first
    monkeypatch.setitem(METRICS._entries, "ink", Ink)
    for cached in (declarations.metrics, declarations.quantities):
        cached.cache_clear()
    yield
    monkeypatch.undo()
    for cached in (declarations.metrics, declarations.quantities):
        cached.cache_clear()


@pytest.mark.usefixtures("ink")
def test_everything_follows_from_the_declaration_of_a_metric() -> None:
    found = measured()
    assert 0 < found.ink < 100
    assert found.to_dict()["ink_stderr"] == found["ink"].stderr
    row = next(line for line in str(found).splitlines() if line.startswith("  ink"))
    assert "%" in row
    assert "share of black pixels" in row
    assert "there is ink" in found.warnings
    again = Evaluation.from_dict(found.to_dict(), found.per_example)
    assert again["ink"] == found["ink"]

    def group(name: str, shift: float) -> Group:
        figures = {"ink": Figure.mean(found["ink"].per_example + shift)}  # type: ignore[operator]
        return Group(
            (Entry(name, None, 0, None, 1, "p(x)", name, Evaluation(found.facts, figures)),)
        )

    first = group("a", 0.0)
    compared = Comparison((first, group("b", 2.5)), first)
    assert compared.differences[0].figures["ink"].value == pytest.approx(2.5)
    assert compared.to_dict()["runs"][0]["ink"] == found.ink
    assert "ink higher" in " ".join(str(compared).split())


def test_the_kl_from_a_standard_normal_is_torchs_whatever_the_prior_is() -> None:
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    encoder = Function(lambda x, c=None: normal(2 * x, 0.3))
    decoder = Function(lambda z, c=None: normal(z, 1.0))
    for prior in (StandardNormal(2), Mixture(2, n_components=3)):
        found = kl_from_standard_normal(LatentModel(encoder, decoder, prior), Batch(x), chunk=70)
        assert found is not None
        expected = kl_divergence(Normal(2 * x, 0.3), Normal(0.0, 1.0))
        torch.testing.assert_close(found, expected.double())
    correlated = Function(lambda x, c=None: MultivariateNormal(x, torch.eye(2)))
    model = LatentModel(correlated, decoder, StandardNormal(2))
    assert kl_from_standard_normal(model, Batch(x)) is None

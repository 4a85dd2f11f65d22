"""Probes against classes whose best accuracy is known."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

import reparam as rp
from reparam import evaluation, variants
from reparam.batch import Batch
from reparam.data import Dataset
from reparam.data.dataset import Split
from reparam.errors import DataError, OptionError, ShapeError
from reparam.evaluation.latents.probes import (
    N_TRAIN,
    knn_accuracy,
    linear_probe,
    probe,
    training_rows,
)
from reparam.runs.run import Run
from reparam.spec import DataSpec
from tests.support import Function, normal, quick_fit


def two_gaussians(n: int, seed: int, distance: float = 1.0) -> tuple[Tensor, Tensor]:
    """Two classes at ±distance on a diagonal, among three dimensions, with unit noise."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (n,), generator=draw)
    axis = torch.tensor([1.0, 1.0, 0.0]) / 2**0.5
    z = (2 * y - 1)[:, None] * distance * axis + torch.randn(n, 3, generator=draw)
    return z, y


def test_linear_probe_is_as_good_as_the_best_rule() -> None:
    train, test = two_gaussians(4000, 0), two_gaussians(4000, 1)
    best = float(Normal(0.0, 1.0).cdf(torch.tensor(1.0)))
    found = linear_probe(*train, *test)
    assert found.stderr == pytest.approx((best * (1 - best) / 4000) ** 0.5, rel=0.05)
    assert abs(found.value - best) < 4 * found.stderr
    # Neither scale nor place of a dimension is any hindrance to it.
    scale, shift = torch.tensor([1e-3, 1.0, 1e3]), torch.tensor([5.0, -1e3, 0.0])
    moved = linear_probe(train[0] * scale + shift, train[1], test[0] * scale + shift, test[1])
    assert moved.value == pytest.approx(found.value, abs=0.005)


def test_a_probe_of_noise_tells_nothing() -> None:
    train, test = two_gaussians(1000, 0, 0.0), two_gaussians(1000, 1, 0.0)
    for found in (linear_probe(*train, *test), knn_accuracy(*train, *test)):
        assert found.stderr is not None
        assert abs(found.value - 0.5) < 4 * found.stderr


def test_neighbors_see_what_no_line_parts() -> None:
    draw = torch.Generator().manual_seed(0)
    z = torch.rand(2000, 2, generator=draw) * 2 - 1
    y = (z[:, 0] * z[:, 1] > 0).long()
    found = probe(z[:1000], y[:1000], z[1000:], y[1000:])
    assert found is not None
    assert found.n_train == 1000
    assert found.linear.value < 0.7
    assert found.neighbors.value > 0.93


def test_neighbors_by_all_distances() -> None:
    (z, y), (x, labels) = two_gaussians(300, 0), two_gaussians(200, 1)
    nearest = torch.cdist(x, z).topk(5, largest=False).indices
    right = (y[nearest].sum(1) > 2).long() == labels
    found = knn_accuracy(z, y, x, labels)
    assert found.value == pytest.approx(float(right.double().mean()))
    assert knn_accuracy(z, y, z, y, n_neighbors=1).value == 1.0
    # With fewer codes than neighbors, all of them vote.
    few = knn_accuracy(z[:3], torch.tensor([1, 1, 0]), x, torch.ones(200), n_neighbors=5)
    assert few.value == 1.0


def test_unknown_labels_are_left_out() -> None:
    (z, y), (x, labels) = two_gaussians(400, 0), two_gaussians(300, 1)
    hidden = y.clone()
    hidden[200:] = -1
    unknown = labels.clone()
    unknown[:100] = -1
    found = probe(z, hidden, x, unknown)
    assert found == probe(z[:200], y[:200], x[100:], labels[100:])
    assert found is not None
    assert found.n_train == 200
    assert probe(z, torch.full_like(y, -1), x, labels) is None
    assert probe(z, torch.zeros_like(y), x, labels) is None
    assert probe(z, y, x, torch.full_like(labels, -1)) is None


def test_nonsense_is_refused() -> None:
    z, y = two_gaussians(20, 0)
    with pytest.raises(DataError, match="two classes"):
        linear_probe(z, torch.zeros(20), z, y)
    with pytest.raises(ShapeError, match="same number of dimensions"):
        knn_accuracy(z, y, z[:, :2], y)
    with pytest.raises(ShapeError, match="one label for each"):
        linear_probe(z, y[:5], z, y)
    with pytest.raises(ShapeError, match="one label for each"):
        probe(z, y[:5], z, y)
    with pytest.raises(OptionError, match="n_neighbors=0"):
        knn_accuracy(z, y, z, y, n_neighbors=0)


def identity_model(size: int) -> rp.LatentModel:
    """q(z | x) = N(x, 1) and p(x | z) = N(z, 1)."""
    identity = Function(lambda value: normal(value, 1.0))
    return rp.LatentModel(identity, identity, rp.priors.StandardNormal(size))


class TestEvaluation:
    def test_probes_need_labels_and_training_examples(self) -> None:
        model, spec = identity_model(3), DataSpec((3,), "real", n_classes=2)
        (z, y), (x, labels) = two_gaussians(400, 0), two_gaussians(300, 1)

        def evaluated(train: Batch | None, batch: Batch) -> evaluation.Evaluation:
            return evaluation.evaluate(model, batch, spec, n_samples=2, train=train)

        found = evaluated(Batch(z, y), Batch(x, labels))
        expected = probe(z, y, x, labels)
        assert expected is not None
        assert found.linear_probe == pytest.approx(expected.linear.value)
        assert found.knn_accuracy == pytest.approx(expected.neighbors.value)
        assert found.probe_examples == 400
        assert "from 400 training codes" in str(found)
        for train, batch in (
            (None, Batch(x, labels)),
            (Batch(z), Batch(x, labels)),
            (Batch(z, y), Batch(x)),
        ):
            assert evaluated(train, batch).linear_probe is None

    def test_active_units_of_the_first_500_training_examples(self) -> None:
        """np.var over 500: a variance of exactly 0.01 · 499 / 500 · 500 / 499 is told apart."""
        sign = torch.tensor([1.0, -1.0]).repeat(250)
        # Divided by 500 these variances are 0.00999 and 0.0101; by 499 both are above 0.01.
        z = torch.stack([0.00999**0.5 * sign, 0.0101**0.5 * sign, torch.zeros(500)], dim=1)
        train = torch.cat([z, 10 * torch.randn(500, 3)])
        spec = DataSpec((3,), "real")
        found = evaluation.evaluate(
            identity_model(3), Batch(z), spec, n_samples=2, train=Batch(train)
        )
        assert evaluation.active_units(z) == 2
        assert found.active_units == 2
        assert found.active_units_first_500 == 1
        assert "the first 500 training examples" in str(found)
        assert (
            evaluation.evaluate(
                identity_model(3), Batch(z), spec, n_samples=2
            ).active_units_first_500
            is None
        )

    def test_large_codes_are_probed_on_request(self) -> None:
        model, spec = identity_model(300), DataSpec((300,), "real", n_classes=2)
        y = torch.arange(60) % 2
        batch = Batch(torch.randn(60, 300) + 3 * y[:, None], y)
        quiet = evaluation.evaluate(model, batch, spec, n_samples=2, train=batch)
        assert quiet.linear_probe is None
        asked = evaluation.evaluate(model, batch, spec, n_samples=2, train=batch, probe=True)
        assert asked.linear_probe == 1.0

    def test_training_examples_in_the_order_of_their_labels(self) -> None:
        """Of 30,000 sorted examples the first 10,000 would be of one class alone."""
        model, spec = identity_model(3), DataSpec((3,), "real", n_classes=2)
        (z, y), (x, labels) = two_gaussians(30_000, 0, 3.0), two_gaussians(300, 1, 3.0)
        train = Batch(z[y.argsort()], y.sort().values)
        assert len(train.y[:N_TRAIN].unique()) == 1
        options = {"n_samples": 2, "train": train}
        found = evaluation.evaluate(model, Batch(x, labels), spec, **options)
        assert found.probe_examples == N_TRAIN
        assert found.linear_probe > 0.98
        assert found == evaluation.evaluate(model, Batch(x, labels), spec, **options)
        # Nor do rare labels get lost among unknown ones.
        hidden = torch.where(torch.arange(30_000) < 29_900, -1, torch.arange(30_000) % 2)
        assert training_rows(hidden, 0).tolist() == list(range(29_900, 30_000))
        other = evaluation.evaluate(
            model, Batch(x, labels), spec, n_samples=2, train=Batch(z[:9]), probe_train=train
        )
        assert other.linear_probe == found.linear_probe

    def test_a_run_probes_training_data_in_the_order_of_their_labels(self) -> None:
        (z, y), (x, labels) = two_gaussians(12_000, 0, 3.0), two_gaussians(300, 1, 3.0)
        # Of the first 10,000 all are of one class.
        z, y = torch.cat([z, z[y == 0]]), torch.cat([y, y[y == 0]])
        order = (y == 1).long().argsort(stable=True)
        splits = {"train": Split(z[order], y[order]), "test": Split(x, labels)}
        data = Dataset("sorted", DataSpec((3,), "real", n_classes=2), splits)
        found = Run(identity_model(3), data.spec, {}, data).evaluate(n_samples=2, device="cpu")
        assert found.probe_examples == N_TRAIN
        assert found.linear_probe > 0.98

    def test_a_label_that_the_encoder_is_given_is_not_probed(self) -> None:
        digits = rp.data.load("digits").conditioned("label")
        model = variants.vae(digits.spec, latent_dim=2, hidden=(16,)).model
        train, batch = digits.examples("train", limit=200), digits.examples("test", limit=100)
        found = evaluation.evaluate(model, batch, digits.spec, n_samples=2, train=train, probe=True)
        assert found.linear_probe is None
        assert found.knn_accuracy is None
        assert found.probe_examples is None
        assert found.active_units_first_500 is not None

    def test_a_run_has_its_training_examples_at_hand(self, tmp_path: Path) -> None:
        digits = rp.data.load("digits")
        recipe = variants.vae(digits.spec, latent_dim=8, hidden=(32,))
        run = quick_fit(recipe, digits, epochs=3, out=tmp_path / "run")
        found = run.evaluate(n_samples=2)
        assert found.probe_examples == 1366
        assert found.linear_probe is not None
        assert found.linear_probe > 0.5
        assert found.active_units_first_500 is not None
        # Its own training examples would be no test of a probe.
        assert run.evaluate(n_samples=2, split="train").linear_probe is None

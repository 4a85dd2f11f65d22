"""Learning from few labels: the bounds of M2 and M1 + M2, and the data that go with them."""

from math import log, pi

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Normal, kl_divergence

import reparam as rp
from reparam import families, priors
from reparam.batch import Batch
from reparam.data import Batches
from reparam.data.dataset import Dataset, Split
from reparam.data.transforms import Identity
from reparam.distributions import Chain
from reparam.distributions.chain import Reordered
from reparam.errors import DataError, OptionError
from reparam.evaluation import evaluate
from reparam.evaluation.classification import accuracy
from reparam.models.label_inference import LabelDecoder, LabelEncoder, LabelPrior
from reparam.models.latent import LatentModel
from reparam.objectives.semi_supervised import SemiSupervised, Stacked
from reparam.spec import DataSpec
from reparam.variants import build
from tests.support import Function, normal, quick_fit

WEIGHT = torch.tensor([1.0, -0.5, 0.3], dtype=torch.float64)
PLACE = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)
NOISE = 0.7
SPEC = DataSpec((1, 8, 8), "binary", n_classes=3)


def marginal(x: Tensor) -> Tensor:
    """Return log p(x | y) of every class, with shape (B, 3), of x = w_y z + b_y + s ε."""
    return Normal(PLACE, (WEIGHT**2 + NOISE**2).sqrt()).log_prob(x)


def linear_model(shift: float = 0.0, sharpness: float = 1.0, use_z: bool = True) -> LatentModel:
    """Return a mixture of three linear Gaussian models of one number, whose posterior is exact.

    Arguments:
        shift: How far the mean of q(z | x, y) is off.
        sharpness: What the logits of q(y | x) are multiplied by.
        use_z: Whether x depends on z at all.
    """
    weight = WEIGHT if use_z else 0 * WEIGHT

    def classify(x: Tensor) -> Distribution:
        return Categorical(logits=sharpness * marginal(x))

    def encode(x: Tensor, y: Tensor) -> Distribution:
        w, b = (y @ weight)[..., None], (y @ PLACE)[..., None]
        precision = 1 + (w / NOISE) ** 2
        return normal(w * (x - b) / NOISE**2 / precision + shift, precision.rsqrt())

    def decode(z: Tensor, y: Tensor) -> Distribution:
        return normal((y @ weight)[..., None] * z + (y @ PLACE)[..., None], NOISE)

    return LatentModel(
        encoder=LabelEncoder(
            Function(classify, families.Categorical(3)), Function(encode, families.Gaussian(1))
        ),
        decoder=LabelDecoder(Function(decode, families.Gaussian(1)), 3),
        prior=LabelPrior(3, priors.StandardNormal(1).double()).double(),
    )


X = torch.tensor([[-1.3], [0.2], [0.9], [3.1]], dtype=torch.float64)
EVIDENCE = (marginal(X) - log(3)).logsumexp(-1)


def test_bound_without_a_label_is_the_sum_over_labels() -> None:
    model = linear_model(shift=0.4, sharpness=0.5, use_z=False)
    terms = SemiSupervised()(model, Batch(X, torch.full((4,), -1)))
    expected = []
    for x in X[:, 0].tolist():
        logits = (0.5 * marginal(torch.tensor([x]))).squeeze()
        q = (logits.exp() / logits.exp().sum()).tolist()
        total = 0.0
        for y in range(3):
            distance = (x - float(PLACE[y])) / NOISE
            fit = -0.5 * distance**2 - 0.5 * log(2 * pi) - log(NOISE)
            # KL(N(0.4, 1) || N(0, 1)) = 0.08; x does not depend on z, so that no draw matters.
            total += q[y] * (fit - log(3) - 0.08 - log(q[y]))
        expected.append(total)
    torch.testing.assert_close(terms.bound, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(terms.elbo, terms.bound)
    assert terms.penalties == {}


@pytest.mark.parametrize(("shift", "sharpness"), [(0.0, 1.0), (0.5, 1.0), (0.0, 3.0), (0.3, 0.2)])
def test_bound_is_below_the_evidence_and_meets_it(shift: float, sharpness: float) -> None:
    model = linear_model(shift, sharpness)
    many = X.repeat_interleave(20_000, 0)
    bound = SemiSupervised()(model, Batch(many, torch.full((len(many),), -1))).bound
    draws = bound.reshape(4, -1)
    mean, stderr = draws.mean(1), draws.std(1) / draws.shape[1] ** 0.5
    if (shift, sharpness) == (0.0, 1.0):
        assert ((mean - EVIDENCE).abs() < 4 * stderr + 1e-9).all()
    else:
        assert (mean < EVIDENCE - 0.001).all()


def test_bound_with_a_label_is_that_of_the_joint() -> None:
    y = torch.tensor([0, 1, 2, 2])
    many = 20_000
    batch = Batch(X.repeat_interleave(many, 0), y.repeat_interleave(many))
    draws = SemiSupervised()(linear_model(), batch).bound.reshape(4, -1)
    exact = marginal(X).gather(1, y[:, None])[:, 0] - log(3)
    assert ((draws.mean(1) - exact).abs() < 4 * draws.std(1) / many**0.5).all()


def test_labels_stay_with_their_examples() -> None:
    model = linear_model(use_z=False)
    y = torch.tensor([-1, 2, -1, 0])
    together = SemiSupervised(alpha=3.0)(model, Batch(X, y))
    apart = [SemiSupervised(alpha=3.0)(model, Batch(X[i : i + 1], y[i : i + 1])) for i in range(4)]
    torch.testing.assert_close(together.bound, torch.cat([terms.bound for terms in apart]))
    told = (marginal(X) - marginal(X).logsumexp(-1, keepdim=True))[[1, 3], [2, 0]]
    torch.testing.assert_close(together.penalties["classification"], -3.0 * told.mean())
    torch.testing.assert_close(
        together.loss, -together.bound.mean() + together.penalties["classification"]
    )


def test_importance_sampling_with_the_exact_posterior_is_exact() -> None:
    torch.testing.assert_close(linear_model().log_likelihood(X, n_samples=1), EVIDENCE)


def test_evaluation_takes_labels_as_unknown_and_counts_those_found() -> None:
    y = torch.tensor([0, 1, 2, 0])
    batch, spec = Batch(X, y), DataSpec((1,), "real", n_classes=3)
    model = linear_model().to(torch.float64)
    result = evaluate(model, batch, spec, n_samples=4000)
    right = (marginal(X).argmax(-1) == y).double()
    assert result.accuracy == pytest.approx(float(right.mean()))
    assert accuracy(model, batch).value == result.accuracy
    assert result.log_likelihood == pytest.approx(float(EVIDENCE.mean()), abs=1e-5)
    assert result.elbo == pytest.approx(float(EVIDENCE.mean()), abs=0.05)
    assert result.latent_dim == 4


def test_a_given_label_is_not_inferred() -> None:
    model, c = linear_model(), torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0]]
    drawn = model.posterior(X, c).sample(torch.Size([5]))
    assert torch.equal(drawn[..., :3], c.expand(5, -1, -1))
    exact = marginal(X).gather(1, c.argmax(-1, keepdim=True))[:, 0]
    torch.testing.assert_close(model.log_likelihood(X, c, n_samples=1), exact)
    torch.testing.assert_close(
        model.sample(20_000, c[2:3].expand(20_000, -1)).mean(), PLACE[2], atol=0.02, rtol=0
    )


def test_reordered_is_the_same_distribution() -> None:
    first = normal(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 2.0, 3.0]))
    index = torch.tensor([2, 0, 1])
    other = Reordered(first, index)
    z = torch.randn(6, 3)
    torch.testing.assert_close(other.log_prob(z[:, index]), first.log_prob(z))
    assert torch.equal(other.mean, torch.tensor([2.0, 0.0, 1.0]))
    spread = other.rsample((20_000,)).std(0)
    torch.testing.assert_close(spread, torch.tensor([3.0, 1.0, 2.0]), atol=0.1, rtol=0)


@pytest.mark.parametrize("name", ["ss-vae", "ss-vae-stacked"])
class TestVariant:
    def test_labels_are_needed(self, name: str) -> None:
        with pytest.raises(DataError, match="has no labels"):
            build(name, DataSpec((1, 8, 8), "binary"))
        recipe = build(name, SPEC)
        with pytest.raises(DataError, match="give y, with -1 for unknown labels"):
            recipe.objective(recipe.model, Batch(torch.zeros(2, 1, 8, 8)))

    def test_labels_are_no_condition(self, name: str) -> None:
        with pytest.raises(OptionError, match="label is what this variant models"):
            build(name, SPEC.conditioned("label"))

    def test_a_run_tells_and_makes_labels(self, name: str) -> None:
        data = rp.data.load("digits", binarize="threshold", labels_per_class=3)
        run = quick_fit(build(name, data.spec, hidden=[16]), data)
        assert run.sample(2, label=7).shape == (2, 1, 8, 8)
        assert run.reconstruct(data.examples("test", limit=5)).shape == (5, 1, 8, 8)
        with pytest.raises(OptionError, match="label=10: the labels of"):
            run.sample(2, label=10)
        result = run.evaluate(data.examples("test", limit=20), n_samples=10, device="cpu")
        assert 0 <= result.accuracy <= 1
        assert result.log_likelihood >= result.elbo - 5

    def test_prior_and_posterior_are_over_the_same_vector(self, name: str) -> None:
        model = build(name, SPEC).model
        q, p = model.posterior(torch.zeros(5, 1, 8, 8)), model.prior_distribution()
        assert q.event_shape == p.event_shape
        drawn = p.sample(torch.Size([7]))
        labels = drawn[:, model.encoder.n_features :][:, :3] if "stacked" in name else drawn[:, :3]
        assert torch.equal(labels.sum(-1), torch.ones(7))
        assert ((labels == 0) | (labels == 1)).all()
        assert p.log_prob(drawn).shape == (7,)
        assert q.log_prob(q.sample(torch.Size([7]))).shape == (7, 5)


def test_features_learn_nothing_from_labels() -> None:
    batch = Batch(torch.rand(6, 1, 8, 8).round(), torch.tensor([0, -1, 2, -1, -1, 1]))
    gradients = []
    for alpha in (0.0, 50.0):
        torch.manual_seed(0)
        recipe = build("ss-vae-stacked", SPEC, feature_dim=3, hidden=[8], alpha=alpha)
        recipe.objective(recipe.model, batch).loss.backward()
        gradients.append([p.grad for p in recipe.model.encoder.features.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_labels_wait_for_the_features() -> None:
    model = build("ss-vae-stacked", SPEC, feature_dim=3, hidden=[8]).model
    x, y = torch.zeros(2, 1, 8, 8), torch.tensor([0, -1])
    Stacked(start=0.5)(model, Batch(x, y, progress=0.4)).loss.backward()
    assert all(p.grad is None for p in model.encoder.labels.parameters())
    Stacked(start=0.5)(model, Batch(x, y, progress=0.5)).loss.backward()
    assert all(p.grad is not None for p in model.encoder.labels.parameters())


@pytest.mark.parametrize("beta", [0.0, 0.3, 2.0])
def test_the_kl_of_the_features_counts_as_it_is_weighted(beta: float) -> None:
    model = build("ss-vae-stacked", SPEC, feature_dim=3, hidden=[8], jitter=False).model
    x, y = torch.rand(6, 1, 8, 8).round(), torch.tensor([0, -1, 2, -1, -1, 1])
    q = model.encoder.features(x)
    divergence = kl_divergence(q, normal(torch.zeros(3), 1.0))[y < 0].mean()
    found = []
    for weight in (1.0, beta):
        torch.manual_seed(0)
        found.append(Stacked(start=0.5, beta=weight)(model, Batch(x, y)))
    torch.testing.assert_close(found[1].loss - found[0].loss, (beta - 1) * divergence)
    torch.testing.assert_close(found[1].bound, found[0].bound)


@pytest.mark.parametrize("alpha", [-0.1, float("inf"), float("nan")])
def test_senseless_weights_are_refused(alpha: float) -> None:
    with pytest.raises(OptionError, match="alpha="):
        SemiSupervised(alpha)
    with pytest.raises(OptionError, match="beta="):
        Stacked(beta=alpha)
    with pytest.raises(OptionError, match="start=1"):
        Stacked(start=1.0)


class TestData:
    def test_few_labels_are_balanced_and_follow_from_the_seed(self) -> None:
        whole = rp.data.load("digits")
        few = [rp.data.load("digits", labels_per_class=4, seed=seed) for seed in (0, 0, 1)]
        y = few[0].labels
        assert torch.equal(y[y >= 0].bincount(), torch.full((10,), 4))
        assert torch.equal(y[y >= 0], whole.labels[y >= 0])
        assert (y[y < 0] == -1).all()
        assert torch.equal(y, few[1].labels)
        assert not torch.equal(y, few[2].labels)
        for split in ("validation", "test"):
            assert torch.equal(few[0].split(split).y, whole.split(split).y)
        assert torch.equal(rp.data.load(**few[0].options).labels, y)

    def test_more_labels_than_there_are_is_refused(self) -> None:
        with pytest.raises(DataError, match="labels_per_class=500: 'digits' has 1"):
            rp.data.load("digits", labels_per_class=500)
        with pytest.raises(OptionError, match="labels_per_class=0: give at least 1"):
            rp.data.load("digits", labels_per_class=0)
        plain = Dataset("plain", DataSpec((2,), "real"), {"train": Split(torch.zeros(3, 2))})
        with pytest.raises(DataError, match="has no labels to keep"):
            plain.with_labels_per_class(1)

    def test_an_unknown_label_is_no_condition(self) -> None:
        data = rp.data.load("digits", labels_per_class=2).conditioned("label")
        with pytest.raises(DataError, match="examples have no label to condition on"):
            data.examples("train")
        with pytest.raises(DataError, match="examples have no label to condition on"):
            quick_fit(build("vae", data.spec), data)

    def test_batches_have_labeled_examples_beside_those_of_the_epoch(self) -> None:
        y = torch.full((100,), -1)
        y[[3, 50, 77]] = torch.tensor([1, 0, 2])
        batches = Batches(
            Split(torch.arange(100.0), y), Identity(), 32, seed=5, repeat_labeled=True
        )
        assert (len(batches), batches.n_examples) == (4, 100)
        found = list(batches.epoch(2))
        assert [len(batch) for batch in found] == [25 + 8] * 4
        epoch = torch.cat([batch.x[:-8] for batch in found])
        assert torch.equal(epoch.sort().values, torch.arange(100.0))
        more = torch.stack([batch.x[-8:] for batch in found])
        assert set(more.flatten().tolist()) == {3.0, 50.0, 77.0}
        # Every label before any label again.
        assert all(set(row[:3].tolist()) == {3.0, 50.0, 77.0} for row in more)
        assert len({tuple(row.tolist()) for row in more}) > 1
        assert all(torch.equal(batch.y, y[batch.x.long()]) for batch in found)
        again = list(batches.epoch(2, start=2))
        assert all(torch.equal(a.x, b.x) for a, b in zip(found[2:], again, strict=True))

    def test_labeled_examples_come_again_only_where_that_is_asked_for(self) -> None:
        y = torch.full((10,), -1)
        y[0] = 1
        batches = Batches(Split(torch.arange(10.0), y), Identity(), 4)
        assert [len(batch) for batch in batches.epoch(0)] == [4, 4, 2]

    def test_accuracy_is_of_known_labels_alone(self) -> None:
        data = rp.data.load("digits", binarize="threshold", labels_per_class=3)
        run = quick_fit(build("ss-vae", data.spec, hidden=(8,)), data)
        examples = data.examples("train")
        known = Batch(examples.x[examples.y >= 0], examples.y[examples.y >= 0])
        found = [run.evaluate(batch, n_samples=1).accuracy for batch in (examples, known)]
        assert found[0] == pytest.approx(found[1])
        with pytest.raises(DataError, match="some labels are not known"):
            quick_fit(build("classifier", data.spec, hidden=(8,)), data)

    @pytest.mark.parametrize("y", [torch.arange(10) % 2, torch.full((10,), -1), None])
    def test_batches_are_plain_where_all_or_no_labels_are_known(self, y: Tensor | None) -> None:
        batches = Batches(Split(torch.arange(10.0), y), Identity(), 4, repeat_labeled=True)
        assert [len(batch) for batch in batches.epoch(0)] == [4, 4, 2]

    def test_processes_share_the_labeled_examples(self) -> None:
        y = torch.full((24,), -1)
        y[[2, 4, 6, 8]] = 0
        options = {"batch_size": 16, "world_size": 2, "repeat_labeled": True}
        split = Split(torch.arange(24.0), y)
        parts = [Batches(split, Identity(), rank=rank, **options) for rank in (0, 1)]
        first, second = (next(iter(part.epoch(0))) for part in parts)
        assert len(first) == len(second) == 8 + 2
        assert not set(first.x[:8].tolist()) & set(second.x[:8].tolist())
        assert set(first.x[8:].tolist()) | set(second.x[8:].tolist()) == {2.0, 4.0, 6.0, 8.0}


def test_chain_of_the_posterior_draws_one_label() -> None:
    q = linear_model().posterior(X)
    assert isinstance(q, Chain)
    labels = q.sample(torch.Size([4000]))[..., :3]
    torch.testing.assert_close(labels.mean(0), marginal(X).softmax(-1), atol=0.04, rtol=0)


def test_label_network_is_a_perceptron_of_both() -> None:
    network = rp.nn.LabelNetwork(4, 3, 8, 5)
    plain = rp.nn.MLP(4, 8, 5, context=3)
    weights = plain.layers
    with torch.no_grad():
        weights[0].weight.copy_(torch.cat([network.of_x.weight, network.of_label.weight], 1))
        weights[0].bias.copy_(network.of_x.bias)
        weights[2].load_state_dict(network.rest.layers[0].state_dict())
    x, y = torch.randn(6, 4), torch.eye(3)[:, None].expand(3, 6, 3)
    torch.testing.assert_close(network(x, y), plain(x.expand(3, 6, 4), y))
    with pytest.raises(OptionError, match="give one layer at least"):
        rp.nn.LabelNetwork(4, 3)

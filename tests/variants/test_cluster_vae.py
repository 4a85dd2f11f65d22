"""Clusters: the bound against integrals, the start against known blobs, the measures by hand."""

import json
import math
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

import reparam as rp
from experiments.ledger.options import Options
from experiments.ledger.run import reproduce
from reparam import families, priors
from reparam.batch import Batch
from reparam.errors import OptionError, ShapeError, SupportError
from reparam.evaluation import evaluate
from reparam.evaluation.latents.clustering import (
    assigned_clusters,
    clustering,
    contingency,
    hungarian_accuracy,
    majority_accuracy,
    normalized_mutual_information,
)
from reparam.models.conditional import Conditional
from reparam.models.latent import LatentModel
from reparam.nn import MLP
from reparam.nn.random_affine import RandomAffine
from reparam.objectives.clustering_elbo import ClusteringELBO, kl_to_components
from reparam.plots.clusters import member_rows, sample_rows
from reparam.spec import DataSpec
from reparam.variants import cluster_vae
from tests.support import normal, quick_fit, reparam


class Fixed(nn.Module):
    """An encoder that knows its answer: N(x A, s²), whatever the data."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(scale)

    def forward(self, x: Tensor) -> Distribution:
        return normal(x, self.scale.expand(x.shape))


def small_model(n_clusters: int = 3, dim: int = 1) -> LatentModel:
    """Return a model whose encoder gives x itself, with a mixture of uneven clusters."""
    torch.manual_seed(0)
    prior = priors.Mixture(dim, n_clusters)
    with torch.no_grad():
        prior.logits.copy_(torch.linspace(-1, 1, n_clusters))
        prior.loc.copy_(torch.linspace(-2, 2, n_clusters)[:, None].expand(-1, dim))
        prior.log_scale.copy_(torch.linspace(-0.7, 0.2, n_clusters)[:, None].expand(-1, dim))
    decoder = Conditional(MLP(dim, 8, activation="tanh"), families.Gaussian(dim, scale=0.5))
    return LatentModel(encoder=Fixed(torch.full((dim,), 0.4)), decoder=decoder, prior=prior)


def on_a_grid(n: int = 20_001, end: float = 12.0) -> tuple[Tensor, float]:
    z = torch.linspace(-end, end, n, dtype=torch.float64)
    return z, float(z[1] - z[0])


def test_kl_to_each_cluster_is_the_integral() -> None:
    model = small_model()
    p = model.prior_distribution()
    q = normal(torch.tensor([[0.3], [-1.0]]), torch.tensor([[0.4], [0.9]]))
    z, step = on_a_grid()
    expected = torch.zeros(2, 3, dtype=torch.float64)
    for b in range(2):
        log_q = Normal(q.base_dist.loc[b].double(), q.base_dist.scale[b].double()).log_prob(z)
        for k in range(3):
            log_p = Normal(p.loc[k].double(), p.scale[k].double()).log_prob(z)
            expected[b, k] = (log_q.exp() * (log_q - log_p)).sum() * step
    assert torch.allclose(kl_to_components(q, p).double(), expected, atol=1e-5)


def test_the_bound_is_the_integral_over_z_summed_over_clusters() -> None:
    """E_q(z) Σ_k q(k) [log p(x, z, k) - log q(z) q(k)], with q(k) = E_q(z)[p(k | z)]."""
    model = small_model()
    p = model.prior_distribution()
    x = torch.tensor([[0.5]])
    z, step = on_a_grid()
    log_q = Normal(0.5, 0.4).log_prob(z)
    log_weights = p.logits.detach().double().log_softmax(-1)
    log_joint = torch.stack(
        [w + Normal(m, s).log_prob(z) for w, m, s in zip(log_weights, p.loc, p.scale, strict=True)]
    ).detach()
    log_likelihood = model.likelihood(z.float()[:, None]).log_prob(x).detach().double()
    # The bound is linear in the responsibilities, but for their entropy: average both over draws.
    responsibilities = log_joint.softmax(0)
    mean = (responsibilities * log_q.exp() * step).sum(1)
    entropy = -(responsibilities * log_joint.log_softmax(0)).sum(0)
    inner = (log_q.exp() * (log_joint - log_q) * step).sum(1)
    expected = (log_q.exp() * (log_likelihood + entropy) * step).sum() + (mean * inner).sum()
    torch.manual_seed(1)
    with torch.no_grad():
        terms = ClusteringELBO()(model, Batch(x.expand(40_000, 1)))
    assert terms.elbo.mean().item() == pytest.approx(expected.item(), abs=0.02)
    log_x = (log_likelihood + log_joint.logsumexp(0)).logsumexp(0) + math.log(step)
    assert terms.elbo.mean().item() < log_x.item()
    assert torch.allclose(terms.elbo, terms.bound, atol=1e-5)


def test_one_cluster_is_the_elbo() -> None:
    """With a single Gaussian there is no y to tell, and the KL is the known closed form."""
    model = small_model(n_clusters=1, dim=2)
    batch = Batch(torch.randn(5, 2, generator=torch.Generator().manual_seed(0)))
    terms = ClusteringELBO()(model, batch)
    assert torch.equal(terms.kl["y"], torch.zeros(5))
    loc, scale = model.prior.loc[0], model.prior.log_scale[0].exp()
    ratio = (0.4 / scale).square()
    known = 0.5 * (ratio + ((batch.x - loc) / scale).square() - 1 - ratio.log()).sum(-1)
    assert torch.allclose(terms.kl["z"], known, atol=1e-5)


def test_pretraining_has_no_prior() -> None:
    model = small_model()
    objective = ClusteringELBO(pretraining=0.5)
    terms = objective(model, Batch(torch.zeros(4, 1), step=0, progress=0.49))
    known = model.likelihood(torch.zeros(4, 1)).log_prob(torch.zeros(4, 1))
    assert torch.allclose(terms.bound, known)
    for later in (Batch(torch.zeros(4, 1), step=1, progress=0.5), Batch(torch.zeros(4, 1))):
        terms = objective(model, later)
        assert torch.allclose(terms.bound, terms.elbo)
        assert (terms.bound < terms.reconstruction).all()


def test_start_finds_two_blobs() -> None:
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(300, 2, generator=generator) * torch.tensor([0.5, 1.0]) - 4
    right = torch.randn(100, 2, generator=generator) * torch.tensor([1.0, 0.2]) + 4
    model = small_model(n_clusters=2, dim=2)
    with torch.no_grad():
        model.prior.fit(torch.cat([left, right]))
    order = model.prior.loc[:, 0].argsort()
    weights = model.prior.logits.softmax(-1)[order]
    assert torch.allclose(weights, torch.tensor([0.75, 0.25]), atol=1e-3)
    known = torch.stack([left.mean(0), right.mean(0)])
    assert torch.allclose(model.prior.loc[order], known, atol=1e-2)
    spread = torch.stack([left.std(0), right.std(0)])
    assert torch.allclose(model.prior.log_scale.exp()[order], spread, rtol=0.05)
    assigned = assigned_clusters(model, Batch(torch.cat([left, right])))
    assert hungarian_accuracy(assigned, torch.arange(400).ge(300).long()).value == 1.0


def test_start_copes_with_few_and_equal_examples() -> None:
    model = small_model(n_clusters=3, dim=2)
    with torch.no_grad():
        model.prior.fit(torch.eye(2).repeat(4, 1))
    assert all(parameter.isfinite().all() for parameter in model.prior.parameters())
    with pytest.raises(OptionError, match="n_components=3: must be at most 2, the number"):
        model.prior.fit(torch.eye(2))


def test_what_cannot_be_clustered_is_refused() -> None:
    batch = Batch(torch.zeros(5, 1, 8, 8))
    plain = rp.variants.vae(DataSpec((1, 8, 8), "binary"), latent_dim=2)
    with pytest.raises(SupportError, match=r"has no clusters: use priors\.Mixture"):
        ClusteringELBO()(plain.model, batch)
    full = rp.variants.full_covariance_vae(DataSpec((1, 8, 8), "binary"), latent_dim=2)
    full.model.prior = priors.Mixture(2, 3)
    with pytest.raises(SupportError, match="clustering needs a diagonal Gaussian"):
        ClusteringELBO()(full.model, batch)
    with pytest.raises(OptionError, match="pretraining=1"):
        ClusteringELBO(pretraining=1.0)
    with pytest.raises(SupportError, match=r"has no clusters: use priors\.Mixture"):
        assigned_clusters(plain.model, batch)


def test_accuracies_by_hand() -> None:
    # Cluster 0: labels 0, 0, 1; cluster 1: label 0 four times; cluster 2: label 1 once.
    assigned = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2])
    labels = torch.tensor([0, 0, 1, 0, 0, 0, 0, 1])
    assert torch.equal(contingency(assigned, labels), torch.tensor([[2, 1], [4, 0], [0, 1]]))
    # One-to-one: cluster 1 is label 0; label 1 is cluster 0 or 2, with one example either way.
    assert hungarian_accuracy(assigned, labels).value == 5 / 8
    assert majority_accuracy(assigned, labels).value == 7 / 8
    found = clustering(assigned, labels, n_clusters=4)
    assert (found.n_clusters, found.hungarian.value) == (4, 5 / 8)


def test_hungarian_accuracy_is_the_best_of_all_matchings() -> None:
    random = np.random.default_rng(0)
    labels = torch.from_numpy(random.integers(0, 4, 200))
    assigned = torch.where(
        torch.from_numpy(random.random(200) < 0.6),
        (labels + 1) % 4,
        torch.from_numpy(random.integers(0, 4, 200)),
    )
    best = max(
        (torch.tensor(order)[assigned] == labels).double().mean().item()
        for order in permutations(range(4))
    )
    assert hungarian_accuracy(assigned, labels).value == pytest.approx(best)


def test_mutual_information_by_its_definition() -> None:
    assigned, labels = torch.tensor([0, 0, 1, 1, 1, 2]), torch.tensor([0, 0, 0, 1, 1, 1])
    joint = contingency(assigned, labels).double() / 6
    a, b = joint.sum(1), joint.sum(0)
    information = (joint * (joint / (a[:, None] * b)).log()).nansum()
    mean_entropy = -0.5 * ((a * a.log()).sum() + (b * b.log()).sum())
    found = normalized_mutual_information(assigned, labels)
    assert found.value == pytest.approx((information / mean_entropy).item())


def test_the_error_of_mutual_information_is_its_spread_over_draws() -> None:
    random = np.random.default_rng(0)
    found = []
    for _ in range(400):
        labels = random.integers(0, 4, 500)
        assigned = np.where(random.random(500) < 0.6, labels, random.integers(0, 3, 500))
        found.append(
            normalized_mutual_information(torch.from_numpy(assigned), torch.from_numpy(labels))
        )
    values, errors = np.array([(one.value, one.stderr) for one in found]).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.15)
    same = normalized_mutual_information(torch.zeros(3).long(), torch.zeros(3).long())
    assert (same.value, same.stderr) == (1, 0)
    independent = torch.arange(4)
    assert normalized_mutual_information(independent // 2, independent % 2).value == 0


@pytest.mark.parametrize("measure", [hungarian_accuracy, majority_accuracy, contingency])
def test_clusters_without_labels_are_refused(measure) -> None:  # noqa: ANN001
    with pytest.raises(ShapeError, match="give one of each for every example"):
        measure(torch.zeros(3, dtype=torch.int64), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(OptionError, match="none may be negative"):
        measure(torch.tensor([0, -1]), torch.tensor([0, 1]))


def test_evaluation_tells_how_clusters_agree_with_labels() -> None:
    model = small_model(n_clusters=2, dim=1)
    with torch.no_grad():
        model.prior.loc.copy_(torch.tensor([[-1.0], [1.0]]))
        model.prior.log_scale.zero_()
        model.prior.logits.zero_()
    x = torch.tensor([[-1.0], [-2.0], [1.0], [2.0]])
    spec = DataSpec((1,), "real", n_classes=2)
    result = evaluate(model, Batch(x, torch.tensor([1, 1, 0, 1])), spec, n_samples=4)
    assert result.cluster_accuracy == 0.75
    assert result.cluster_majority == 0.75
    assert result.n_clusters == 2
    assert "cluster_accuracy" in str(result)
    assert evaluate(model, Batch(x), spec, n_samples=4).cluster_accuracy is None


def test_rows_of_members_and_samples() -> None:
    # The clusters of this model lie at -2, 0 and 2, and no example is near the first.
    x = torch.tensor([[2.1], [0.2], [2.2], [2.3]])
    rows = member_rows(small_model(), Batch(x), n_columns=2)
    assert torch.allclose(rows.flatten(), torch.tensor([1.0, 1.0, 0.2, 1.0, 2.1, 2.2]))
    model = cluster_vae(DataSpec((1, 8, 8), "binary"), n_clusters=3, hidden=(8,)).model
    assert torch.equal(sample_rows(model, 4), sample_rows(model, 4))
    with torch.no_grad():
        model.prior.log_scale.fill_(-20)
    rows = sample_rows(model, 4)
    means = model.decode(model.prior.loc)
    assert torch.allclose(rows.reshape(3, 4, -1), means.reshape(3, 1, -1).expand(-1, 4, -1))


class TestJitter:
    """The encoder's images in training."""

    def seen(self, **sizes: float) -> RandomAffine:
        off = {"degrees": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0, "bend": 0.0}
        return RandomAffine(MLP((1, 21, 21)), (1, 21, 21), **(off | sizes))

    def test_is_identity_in_evaluation_and_at_size_zero(self) -> None:
        x = torch.rand(3, 1, 21, 21)
        network = self.seen(degrees=30, bend=0.1)
        assert torch.equal(network.eval()(x), x.flatten(1))
        assert torch.allclose(self.seen()(x), x.flatten(1), atol=1e-5)

    @pytest.mark.parametrize(
        ("sizes", "least", "most"),
        [
            ({"degrees": 20.0}, math.sin(math.radians(15)), math.sin(math.radians(20))),
            ({"shear": 0.3}, 0.22, 0.3),
            ({"scale": 0.1}, 0.07, 0.12),
        ],
    )
    def test_moves_a_dot_by_as_much_as_it_says(
        self, sizes: dict[str, float], least: float, most: float
    ) -> None:
        torch.manual_seed(0)
        x = torch.zeros(400, 1, 21, 21)
        x[:, :, 2, 10] = 1.0  # eight pixels above the center
        y = self.seen(**sizes).jittered(x)[:, 0]
        ticks = torch.arange(21.0) - 10
        mass = y.sum((1, 2))
        right, down = (y * ticks).sum((1, 2)) / mass, (y * ticks[:, None]).sum((1, 2)) / mass
        moved = (right.square() + (down + 8).square()).sqrt().max().item() / 8
        assert least < moved < most * 1.1

    def test_bends_smoothly(self) -> None:
        torch.manual_seed(0)
        ramp = (torch.arange(21.0) / 20).expand(200, 1, 21, 21)
        y = self.seen(bend=0.03).jittered(ramp)[:, 0, 5:-5, 5:-5] - ramp[:, 0, 5:-5, 5:-5]
        # The ramp turns a displacement of a share of the side into as much of a shade.
        assert 0.01 < y.std().item() < 0.03
        assert (y[:, :, 1:] - y[:, :, :-1]).std() < y.std() / 2

    def test_refuses_nonsense(self) -> None:
        with pytest.raises(OptionError, match="scale=1"):
            self.seen(scale=1.0)
        with pytest.raises(OptionError, match="takes images"):
            RandomAffine(MLP(64), (64,))
        with pytest.raises(OptionError, match="does not declare the shape"):
            RandomAffine(nn.Flatten(), (1, 8, 8))


def test_a_short_run_finds_three_shapes() -> None:
    """Bars at three places, with noise: an end-to-end run."""
    torch.manual_seed(0)
    labels = torch.arange(300) % 3
    x = torch.zeros(300, 1, 6, 6)
    for n, label in enumerate(labels.tolist()):
        x[n, 0, :, 2 * label : 2 * label + 2] = 1.0
    x = torch.where(torch.rand(x.shape) < 0.05, 1 - x, x)
    data = rp.data.from_arrays(x, labels, n_classes=3, name="bars")
    recipe = cluster_vae(
        data.spec, n_clusters=3, latent_dim=2, hidden=(32,), jitter=False, pretraining=0.5
    )
    run = quick_fit(recipe, data, epochs=30, batch_size=50, precision="float32")
    assigned = assigned_clusters(run.model, Batch(x))
    assert hungarian_accuracy(assigned, labels).value > 0.95


def test_the_command_line_trains_measures_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rp.priors.mixture, "_N_FITS", 1)
    run = str(tmp_path / "run")
    words = ["train", "cluster-vae", "--data", "digits", "--epochs", "2", "--hidden", "16"]
    reparam(*words, "--pictures-every 0 --device cpu --out", run)
    said = json.loads(reparam("evaluate", run, "--n-samples 2 --device cpu --json").out)
    assert said["n_clusters"] == 10
    assert 0 < said["cluster_accuracy"] <= said["cluster_majority"] < 1
    assert 0 < said["cluster_information"] < 1
    drawn = reparam("plot", run, "--device cpu").out
    for name in ("cluster-members.png", "cluster-samples.png"):
        assert name in drawn
        assert (tmp_path / "run" / "pictures" / name).stat().st_size > 0


def test_the_entry_of_the_ledger_runs_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.rand(60, 1, 28, 28, generator=random).round()
    labels = torch.arange(60) % 10
    few = rp.data.from_arrays(x, labels, test=(x, labels), name="noise")
    monkeypatch.setattr(rp.data, "load", lambda *args, **options: few)
    options = Options(epochs=2, device="cpu", progress=False)
    result = reproduce("cluster-vae", options, out=tmp_path / "clusters.json")
    values = result.to_dict()
    mean, *rest = values["rows"]
    assert (mean["target"], mean["published"], mean["rule"]) == (0.90, 0.945, "at least")
    each = [row["ours"] for row in rest if "seed" in row["what"] and "mean" not in row["what"]]
    assert mean["ours"] == pytest.approx(np.mean(each))
    assert (tmp_path / "clusters-clusters.png").exists()

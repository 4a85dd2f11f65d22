"""Quantized latents: against vector-quantize-pytorch, and against sums over all codes."""

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import reparam as rp
from reparam.batch import Batch
from reparam.distributions import CodeSequence, QuantizedCodes, nearest_code
from reparam.divergence import CLOSED_FORM, MONTE_CARLO, kl
from reparam.errors import OptionError, ShapeError, SupportError
from reparam.evaluation import code_usage, evaluate
from reparam.families import Bernoulli, Quantized
from reparam.models.conditional import Conditional
from reparam.models.latent import LatentModel
from reparam.nn import MLP, CausalTransformer, Codebook, ConvDecoder, ConvEncoder
from reparam.objectives import VectorQuantized
from reparam.priors import CodebookPrior
from reparam.spec import DataSpec
from reparam.variants import vq_vae
from tests.support import quick_fit

K, P, DIM = 3, 2, 2
SPEC = DataSpec((4,), "binary")
ALL_X = torch.tensor(list(product([0.0, 1.0], repeat=4)))
ALL_CODES = torch.tensor(list(product(range(K), repeat=P)))


def tiny(seed: int = 0, context: int = 0) -> LatentModel:
    """A model of four bits with two codes out of three: all of it can be summed over."""
    torch.manual_seed(seed)
    codebook = Codebook(K, DIM)
    network = CausalTransformer(K, P, width=8, depth=1, n_heads=2, context=context)
    return LatentModel(
        encoder=Conditional(MLP(4, 8, context=context), Quantized(codebook, (P,))),
        decoder=Conditional(MLP(P * DIM, 8, context=context), Bernoulli(4)),
        prior=CodebookPrior(codebook, P, network),
        codebook=codebook,
    ).eval()


def all_z(model: LatentModel) -> Tensor:
    """Every sequence of codes, with shape (K^P, P d)."""
    return model.codebook.codes[ALL_CODES].flatten(1)


def vectors_and_codes(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(8, 5, 4, generator=generator)
    return vectors, torch.randn(16, 4, generator=generator)


def test_agrees_with_vector_quantize_pytorch() -> None:
    oracle = pytest.importorskip("vector_quantize_pytorch")
    vectors, codes = vectors_and_codes()
    theirs = oracle.VectorQuantize(
        dim=4, codebook_size=16, decay=0.9, commitment_weight=0.25, rotation_trick=False, eps=1e-9
    ).train()
    ours = Codebook(16, 4, decay=0.9, restart_below=0)
    for where in (theirs._codebook.embed[0], theirs._codebook.embed_avg[0], ours.codes, ours.sums):
        where.data.copy_(codes)
    weights = torch.randn(8, 5, 4, generator=torch.Generator().manual_seed(1))
    for batch in vectors.split(4):
        their_input, our_input = batch.clone().requires_grad_(), batch.clone().requires_grad_()
        their_z, their_indices, their_loss = theirs(their_input)
        q = QuantizedCodes(our_input, ours.codes)
        our_z = q.rsample().unflatten(-1, (5, 4))
        distance = (q.vectors.flatten(1) - q.mean).square().sum(-1)
        ours.update(q.vectors.detach(), q.indices)
        assert torch.equal(q.indices, their_indices)
        torch.testing.assert_close(our_z, their_z)
        # Theirs is a mean over the P d = 20 numbers of an example, ours a sum.
        torch.testing.assert_close(0.25 * distance.mean() / 20, their_loss.squeeze())
        torch.testing.assert_close(ours.codes, theirs._codebook.embed[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.counts, theirs._codebook.cluster_size[0])
        ((their_z * weights[:4]).sum() + their_loss).backward()
        ((our_z * weights[:4]).sum() + 0.25 * distance.mean() / 20).backward()
        torch.testing.assert_close(our_input.grad, their_input.grad)


def test_nearest_code_is_that_of_all_distances() -> None:
    vectors, codes = vectors_and_codes()
    distances = (vectors[..., None, :] - codes).square().sum(-1)
    assert torch.equal(nearest_code(vectors, codes), distances.argmin(-1))


def test_a_draw_is_the_codes_with_the_gradient_of_the_vectors() -> None:
    vectors, codes = vectors_and_codes()
    vectors.requires_grad_()
    q = QuantizedCodes(vectors, codes)
    z = q.rsample((3,))
    assert torch.equal(z, q.mean.expand(3, 8, 20))
    assert (q.log_prob(z) == 0).all()
    assert (q.log_prob(z + 1e-3) == -torch.inf).all()
    (slope,) = torch.autograd.grad((z * 2).sum(), vectors)
    assert (slope == 6).all()


def test_a_code_that_is_never_the_nearest_starts_again_at_a_vector() -> None:
    vectors = torch.randn(50, 2)
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        codebook = Codebook(4, 2, decay=0.5, restart_below=0.1)
        codebook.codes[3] = 100.0
        for _ in range(10):
            codebook.update(vectors, nearest_code(vectors, codebook.codes))
        found.append(codebook.codes.clone())
    assert torch.equal(*found)
    assert found[0].abs().max() < 5
    # From then on it follows the vectors that it is the nearest to.
    assert len(nearest_code(vectors, found[0]).unique()) == 4


def test_without_restarts_a_code_without_vectors_stays() -> None:
    codebook = Codebook(2, 1, decay=0.5, restart_below=0)
    codebook.start(torch.tensor([[0.0], [8.0]]))
    before = codebook.codes.clone()
    far = int(codebook.codes.argmax())
    for _ in range(300):
        codebook.update(torch.zeros(4, 1), torch.full((4,), 1 - far))
    torch.testing.assert_close(codebook.codes[1 - far], torch.zeros(1))
    assert codebook.codes.isfinite().all()
    torch.testing.assert_close(before[far], torch.tensor([8.0]))


def test_codes_start_far_apart_and_at_vectors() -> None:
    middles = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0], [50.0, 50.0]])
    vectors = (middles[:, None] + 0.1 * torch.randn(4, 20, 2)).flatten(0, 1)
    codebook = Codebook(4, 2)
    codebook.start(vectors[torch.randperm(80)])
    assert torch.cdist(codebook.codes, vectors).amin(1).max() < 1e-4
    assert torch.cdist(middles, codebook.codes).amin(1).max() < 1
    Codebook(7, 2).start(vectors[:3])


@pytest.mark.parametrize("context", [0, 2])
def test_probabilities_of_all_sequences_sum_to_one(context: int) -> None:
    model = tiny(context=context)
    c = torch.eye(2) if context else None
    log_p = model.prior_distribution(c).log_prob(all_z(model)[:, None] if context else all_z(model))
    assert log_p.shape == ((9, 2) if context else (9,))
    torch.testing.assert_close(log_p.exp().sum(0), torch.ones(log_p.shape[1:]))
    if context:
        assert not torch.allclose(log_p[:, 0], log_p[:, 1])


def test_draws_from_the_prior_are_as_frequent_as_they_are_likely() -> None:
    model = tiny(seed=3)
    model.prior.network.head[1].weight.data *= 10
    prior = model.prior_distribution()
    torch.manual_seed(0)
    z = prior.sample((20_000,))
    counts = torch.stack([(z == code).all(-1).sum() for code in all_z(model)])
    assert counts.sum() == 20_000
    expected = 20_000 * prior.log_prob(all_z(model)).exp().detach()
    # The 99.9 % quantile of chi-squared with eight degrees of freedom.
    assert float(((counts - expected).square() / expected).sum()) < 26.1


def test_elbo_is_one_term_of_the_exact_likelihood() -> None:
    for seed in range(3):
        model = tiny(seed)
        z, x = all_z(model), ALL_X
        with torch.no_grad():
            log_prior = model.prior_distribution().log_prob(z)
            log_joint = log_prior[:, None] + model.likelihood(z[:, None]).log_prob(x)
            exact = log_joint.logsumexp(0)
            torch.testing.assert_close(exact.exp().sum(), torch.tensor(1.0))
            terms = VectorQuantized()(model, Batch(x))
            indices = model.posterior(x).indices
        own = log_joint[indices[:, 0] * K + indices[:, 1], torch.arange(16)]
        torch.testing.assert_close(terms.elbo, own)
        torch.testing.assert_close(terms.bound, own)
        assert (terms.elbo < exact).all()


def test_kl_in_closed_form_is_that_of_a_draw() -> None:
    model = tiny()
    q, p = model.posterior(ALL_X), model.prior_distribution()
    closed, drawn = kl(q, p), kl(q, p, q.sample((2,)), method=MONTE_CARLO)
    assert (closed.method, drawn.method) == (CLOSED_FORM, MONTE_CARLO)
    torch.testing.assert_close(closed.value, drawn.value)


def test_evaluation_of_a_point_mass() -> None:
    model = tiny()
    result = evaluate(model, Batch(ALL_X), SPEC, n_samples=20)
    indices = model.posterior(ALL_X).indices
    shares = functional.one_hot(indices, K).double().mean((0, 1))
    assert result.log_likelihood == pytest.approx(result.elbo)
    assert result.elbo == pytest.approx(result.reconstruction - result.kl)
    assert result.effective_sample_size == pytest.approx(1)
    # All draws from a point are the same: one is made, and one is reported.
    assert result.n_samples == 1
    assert not any("single draw" in warning for warning in result.warnings)
    assert result.kl_method == CLOSED_FORM
    assert result.codes_in_use == int((shares > 0).sum())
    used = shares[shares > 0]
    assert result.code_perplexity == pytest.approx(float((used**-used).prod()))
    assert "codes_in_use" in str(result)


def test_code_usage() -> None:
    for indices, n in ((torch.arange(12) % 6, 6), (torch.full((5, 2), 3), 1)):
        usage = code_usage(indices)
        assert usage.n_used == n
        assert usage.perplexity.value == pytest.approx(n)
        assert usage.perplexity.stderr == pytest.approx(0)
    assert code_usage(torch.tensor([[1, 2]])).perplexity.stderr is None


def test_the_error_of_the_perplexity_is_its_spread_over_draws() -> None:
    shares = torch.tensor([0.5, 0.2, 0.15, 0.1, 0.05])
    draw = torch.Generator().manual_seed(0)
    found = []
    for _ in range(400):
        # Three positions that hang together: the examples are independent, their codes are not.
        first = shares.multinomial(400, replacement=True, generator=draw)[:, None]
        other = shares.multinomial(800, replacement=True, generator=draw).reshape(400, 2)
        same = torch.rand(400, 2, generator=draw) < 0.7
        found.append(code_usage(torch.cat([first, torch.where(same, first, other)], dim=1)))
    spread = torch.tensor([one.perplexity.value for one in found]).std()
    reported = torch.tensor([one.perplexity.stderr for one in found]).mean()
    assert float(reported) == pytest.approx(float(spread), rel=0.15)


def test_the_prior_sends_no_gradient_to_the_encoder() -> None:
    model = tiny()
    terms = VectorQuantized()(model, Batch(ALL_X))
    terms.total_kl.sum().backward(retain_graph=True)
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for p in model.prior.parameters())
    terms.loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in model.encoder.parameters())


def test_codes_follow_the_encoder_only_while_the_model_trains() -> None:
    model = tiny()
    before = model.codebook.codes.clone()
    VectorQuantized()(model.eval(), Batch(ALL_X))
    assert torch.equal(model.codebook.codes, before)
    VectorQuantized()(model.train(), Batch(ALL_X))
    assert not torch.equal(model.codebook.codes, before)


def test_commitment_is_the_distance_of_an_example_from_its_codes() -> None:
    model = tiny()
    q = model.posterior(ALL_X)
    distance = sum(
        (q.vectors[n, i] - model.codebook.codes[q.indices[n, i]]).square().sum()
        for n in range(16)
        for i in range(P)
    )
    terms = VectorQuantized(commitment=0.5)(model, Batch(ALL_X))
    torch.testing.assert_close(terms.penalties["commitment"], 0.5 * distance / 16)


@pytest.mark.parametrize("context", [0, 2])
def test_causal_network_looks_back_only_and_steps_as_it_runs(context: int) -> None:
    torch.manual_seed(0)
    network = CausalTransformer(5, 7, width=16, depth=2, n_heads=4, context=context)
    x = torch.randint(5, (3, 2, 7))
    c = torch.randn(2, context) if context else None
    logits = network(x, c)
    state = None
    for t in range(7):
        step, state = network.step(x, t, state, c)
        torch.testing.assert_close(step, logits[..., t, :])
        other = x.clone()
        other[..., t] = (x[..., t] + 1) % 5
        changed = (network(other, c) - logits).abs().amax((0, 1, 3)) > 1e-6
        assert changed.tolist() == [place > t for place in range(7)]


def test_a_map_of_features_is_the_flat_features() -> None:
    torch.manual_seed(0)
    flat = ConvEncoder((1, 9, 12), (3, 4), padding=1)
    torch.manual_seed(0)
    spatial = ConvEncoder((1, 9, 12), (3, 4), padding=1, spatial=True)
    x = torch.randn(2, 5, 1, 9, 12)
    assert spatial.out_shape == (4, 3, 3)
    assert torch.equal(spatial(x).flatten(-3), flat(x))


def test_each_part_of_z_describes_its_place() -> None:
    decoder = ConvDecoder(3 * 4 * 2, (12, 16), (4, 4), spatial=True, context=3)
    z, c = torch.randn(6, 5, 24), torch.randn(5, 3)
    maps = decoder(z, c)
    assert maps.shape == (6, 5, 4, 12, 16)
    torch.testing.assert_close(maps[2], decoder(z[2], c))
    other = z.clone()
    other[..., :2] += 1  # the first place, in the corner
    changed = (decoder(other, c) - maps).abs().amax((0, 1, 2)) > 0
    assert changed[0, 0]
    assert not changed[9:].any()
    assert not changed[:, 13:].any()


def test_every_part_of_a_conditional_model_reads_the_label() -> None:
    recipe = vq_vae(DataSpec((1, 9, 9), "binary", n_classes=3, condition="label"), n_codes=8)
    model, x, c = recipe.model.eval(), torch.rand(3, 1, 9, 9).round(), torch.eye(3)
    other = c.roll(1, 0)
    assert isinstance(model, LatentModel)
    assert recipe.objective(model, Batch(x, c=c)).elbo.isfinite().all()
    assert model.sample(3, c).shape == (3, 1, 9, 9)
    z = model.encode(x, c)
    prior = model.prior_distribution
    for found in (
        model.posterior(x, c).vectors - model.posterior(x, other).vectors,
        model.decode(z, c) - model.decode(z, other),
        prior(c).log_prob(z) - prior(other).log_prob(z),
    ):
        assert found.abs().sum() > 0


def test_training_starts_the_codes_at_the_data_and_uses_them() -> None:
    digits = rp.data.load("digits", binarize="threshold")
    torch.manual_seed(0)
    recipe = vq_vae(digits.spec, n_codes=16, channels=(8,))
    run = quick_fit(recipe, digits, precision="float32")
    result = run.evaluate(n_samples=2, device="cpu")
    assert result.codes_in_use > 8
    assert torch.equal(run.encode(digits.examples("test", limit=3)), run.encode(split="test")[:3])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Codebook(0, 2), "n_codes=0"),
        (lambda: Codebook(2, 2, decay=1.0), "decay=1.0"),
        (lambda: Codebook(2, 2, restart_below=-0.1), "restart_below=-0.1"),
        (lambda: VectorQuantized(commitment=-1.0), "commitment=-1.0"),
        (lambda: CausalTransformer(2, 3, width=6, n_heads=4), "n_heads=4"),
        (lambda: CodebookPrior(Codebook(2, 2), 0, CausalTransformer(2, 3)), "n_positions=0"),
        (lambda: ConvDecoder(25, (12, 16), (4, 4), spatial=True), "in_features=25"),
    ],
)
def test_refusals(make: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()  # type: ignore[operator]


def test_other_vectors_and_posteriors_are_refused() -> None:
    with pytest.raises(ShapeError, match="last size must be 2"):
        Codebook(4, 2).start(torch.zeros(8, 3))
    recipe = rp.variants.vae(SPEC)
    with pytest.raises(OptionError, match="family Quantized"):
        VectorQuantized()(recipe.model, Batch(ALL_X))


def test_a_prior_over_other_codes_is_sampled() -> None:
    model, other = tiny(), tiny(1)
    q = model.posterior(ALL_X)
    p = other.prior_distribution()
    assert isinstance(p, CodeSequence)
    assert kl(q, p).method == MONTE_CARLO


@pytest.mark.parametrize("prior", [rp.priors.StandardNormal(4), rp.priors.UniformCodes(2, 2)])
def test_a_prior_without_mass_on_the_codes_is_refused(prior: torch.nn.Module) -> None:
    with pytest.raises(SupportError, match="codes of a codebook"):
        kl(tiny().posterior(ALL_X), prior())

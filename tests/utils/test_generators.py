"""A seed gives the same numbers from any thread, and leaves torch's global random state alone."""

import importlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as d
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, Dataset, TensorDataset

import reparam as rp
from reparam.cli.main import main
from reparam.data.stream import StreamBatches
from reparam.errors import OptionError
from reparam.evaluation.likelihood.annealed import Annealing, annealed_importance
from reparam.isolation import Workers, isolated
from reparam.utils.generators import FUSED_DROPOUT, _without_dropout, drawing_from
from reparam.utils.seeding import reseed, rng_state, seeded, set_rng_state
from tests.support import quick_fit, same

CPU = torch.device("cpu")


@contextmanager
def untouched() -> Iterator[None]:
    """Require that the global random state is afterwards as before."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before)


def drawing_operators() -> dict[str, Any]:
    """Return the operators of torch that take a generator or are marked as drawing, by name."""
    found = {}
    for schema in torch._C._jit_get_all_schemas():
        namespace, _, name = schema.name.partition("::")
        packet = getattr(torch.ops.aten, name, None) if namespace == "aten" else None
        overload = schema.overload_name or "default"
        if packet is None or overload not in packet.overloads():
            continue
        op = getattr(packet, overload)
        takes = any(argument.name == "generator" for argument in op._schema.arguments)
        if takes or torch.Tag.nondeterministic_seeded in op.tags:
            found[f"{name}.{overload}"] = op
    return dict(sorted(found.items()))


OPERATORS = drawing_operators()
DO_NOT_DRAW = (
    # They are given what was drawn before, or they choose or compute without a draw.
    "_cudnn_attention_backward",
    "_scaled_dot_product_cudnn_attention_backward",
    "_scaled_dot_product_efficient_attention_backward",
    "_fill_mem_eff_dropout_mask_",
    "_fused_sdp_choice",
    "_nested_tensor_softmax_with_shape",
    # It is given a seed.
    "_cudnn_init_dropout_state",
)
NOT_ON_A_CPU = ("_fused_dropout",)
NO_DROPOUT_ON_A_CPU = ("_scaled_dot_product_flash_attention_for_cpu",)
NETWORKS = {"rnn_tanh": nn.RNN, "rnn_relu": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
VALUES: dict[str, Any] = {
    "size": [24],
    "n": 24,
    "high": 9,
    "low": 2,
    "from": 1,
    "to": 7,
    "mean": 0.5,
    "std": 2.0,
    "p": 0.3,
    "num_samples": 3,
    "a": -1.0,
    "b": 2.0,
    "train": True,
    "training": True,
    "dropout_p": 0.3,
}
TENSORS = {
    "count": torch.full((4, 6), 10.0),
    "high": torch.tensor(9),
    "out1": torch.empty(4, 6, dtype=torch.bool),
    **dict.fromkeys(("query", "key", "value"), torch.linspace(-1, 1, 24).reshape(1, 1, 6, 4)),
}


def is_drawn_on_a_cpu(name: str) -> bool:
    """Return whether an operator draws, and does so on a CPU."""
    others = (*DO_NOT_DRAW, *NOT_ON_A_CPU, *NO_DROPOUT_ON_A_CPU, *FUSED_DROPOUT)
    return name.partition(".")[0] not in others


def values_of(operator: str) -> Tensor:
    """Return values that are probabilities, or negative where only those meet noise."""
    return torch.linspace(0.1, 0.9, 24).reshape(4, 6) - int(operator.startswith("rrelu"))


def called(name: str) -> list[Tensor]:
    """Return what an operator makes of arguments after its schema."""
    operator, _, overload = name.partition(".")
    if operator in NETWORKS:
        return recurrent(operator, is_packed=overload == "data")
    op = OPERATORS[name]
    kwargs: dict[str, Any] = {}
    for argument in op._schema.arguments:
        is_given = argument.name in ("train", "training", "dropout_p")
        if argument.name == "generator" and not argument.has_default_value():
            kwargs["generator"] = None
        elif str(argument.type) == "Tensor":
            kwargs[argument.name] = TENSORS.get(argument.name, values_of(operator)).clone()
        elif is_given or not argument.has_default_value():
            kwargs[argument.name] = VALUES[argument.name]
    if operator == "multinomial" and "out" in kwargs:
        kwargs["out"] = torch.empty(4, 3, dtype=torch.int64)
    elif {"size", "n"} & set(kwargs) and "out" in kwargs:
        kwargs["out"] = torch.empty(24)
    made = op(**kwargs)
    return list(made) if isinstance(made, tuple) else [made]


def recurrent(name: str, *, is_packed: bool) -> list[Tensor]:
    options = {"nonlinearity": name.removeprefix("rnn_")} if name.startswith("rnn") else {}
    network = NETWORKS[name](6, 3, num_layers=2, dropout=0.5, **options)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)
    x: Any = torch.linspace(-1, 1, 24).reshape(4, 1, 6)
    if is_packed:
        return [network(nn.utils.rnn.pack_padded_sequence(x, [4]))[0].data]
    return [network(x)[0]]


@pytest.mark.parametrize("name", [name for name in OPERATORS if is_drawn_on_a_cpu(name)])
def test_every_operator_draws_what_the_global_state_would(name: str) -> None:
    torch.manual_seed(7)
    expected = [*called(name), *called(name)]
    assert not torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(7).get_state())
    torch.manual_seed(8)
    with untouched(), seeded(CPU, 7):
        found = [*called(name), *called(name)]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


class PassOn(TorchDispatchMode):
    """A mode of a user's, as of a counter of operations."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


# A mode gets native_dropout with out= before it is decomposed; no function of torch calls it.
DRAWN_UNDER_A_MODE = sorted({n for n in OPERATORS if is_drawn_on_a_cpu(n)} - {"native_dropout.out"})


@pytest.mark.parametrize("name", DRAWN_UNDER_A_MODE)
def test_every_operator_draws_so_under_a_users_mode(name: str) -> None:
    torch.manual_seed(7)
    expected = called(name)
    torch.manual_seed(8)
    with untouched(), seeded(CPU, 7), PassOn():
        found = called(name)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_reload_keeps_the_kernels() -> None:
    module = importlib.import_module("reparam.utils.generators")
    importlib.reload(module)
    with module.drawing_from(torch.Generator().manual_seed(0)):
        found = torch.rand(3)
    assert torch.equal(found, torch.rand(3, generator=torch.Generator().manual_seed(0)))


def test_flash_attention_has_no_dropout_on_a_cpu() -> None:
    with pytest.raises(RuntimeError, match="dropout"):
        called(f"{NO_DROPOUT_ON_A_CPU[0]}.default")


@pytest.mark.parametrize("name", sorted({*FUSED_DROPOUT} & {n.split(".")[0] for n in OPERATORS}))
def test_dropout_inside_an_operator_of_an_accelerator_is_refused(name: str) -> None:
    found = [op for full, op in OPERATORS.items() if full.partition(".")[0] == name]
    assert found
    names = {argument.name for argument in found[0]._schema.arguments}
    assert names & {"dropout", "dropout_p"}
    option = dict.fromkeys(names & {"dropout", "dropout_p"}, 0.5)
    with seeded(CPU, 0), pytest.raises(OptionError, match=r"dropout=0\.5 inside aten\."):
        _without_dropout(found[0])(torch.ones(2), **option)


LIKE = torch.linspace(0.2, 2.0, 5)
DISTRIBUTIONS = {
    "bernoulli": d.Bernoulli(LIKE / 3),
    "beta": d.Beta(LIKE, 2 * LIKE),
    "binomial": d.Binomial(7, LIKE / 3),
    "categorical": d.Categorical(LIKE),
    "cauchy": d.Cauchy(LIKE, LIKE),
    "dirichlet": d.Dirichlet(LIKE),
    "exponential": d.Exponential(LIKE),
    "gamma": d.Gamma(LIKE, LIKE),
    "geometric": d.Geometric(LIKE / 3),
    "gumbel": d.Gumbel(LIKE, LIKE),
    "laplace": d.Laplace(LIKE, LIKE),
    "log normal": d.LogNormal(LIKE, LIKE),
    "multivariate normal": d.MultivariateNormal(LIKE, torch.diag(LIKE)),
    "negative binomial": d.NegativeBinomial(4, LIKE / 3),
    "poisson": d.Poisson(LIKE),
    "relaxed": d.RelaxedOneHotCategorical(torch.tensor(0.5), LIKE),
    "student": d.StudentT(LIKE + 1),
    "uniform": d.Uniform(-LIKE, LIKE),
    "von Mises": d.VonMises(LIKE, LIKE),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions_draw_what_the_global_state_would(name: str) -> None:
    p = DISTRIBUTIONS[name]
    torch.manual_seed(3)
    expected = p.sample(torch.Size([50]))
    torch.manual_seed(4)
    with untouched(), seeded(CPU, 3):
        found = p.sample(torch.Size([50]))
    assert torch.equal(found, expected)


CONTEXTS: dict[str, Callable[[], Any]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "detect_anomaly": lambda: torch.autograd.set_detect_anomaly(True, check_nan=True),
    "device": lambda: torch.device("cpu"),
}


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("name", CONTEXTS)
def test_modes_of_torch_change_no_draw(name: str) -> None:
    torch.manual_seed(2)
    expected = torch.randn(4), torch.randperm(9)
    with CONTEXTS[name](), seeded(CPU, 2), untouched():
        found = torch.randn(4), torch.randperm(9)
    with seeded(CPU, 2), CONTEXTS[name](), untouched():
        again = torch.randn(4), torch.randperm(9)
    for made in (found, again):
        assert all(torch.equal(a, b) for a, b in zip(made, expected, strict=True))


def test_gradients_pass_through_a_draw() -> None:
    def gradient() -> Tensor:
        a = torch.tensor([0.5, 2.0], requires_grad=True)
        (d.Gamma(a, 1.0).rsample() + d.Normal(a, a).rsample()).square().sum().backward()
        assert a.grad is not None
        return a.grad

    torch.manual_seed(1)
    expected = gradient()
    with untouched(), seeded(CPU, 1):
        assert torch.equal(gradient(), expected)


def test_draws_inside_a_transform_of_torch_func() -> None:
    def noisy(x: Tensor) -> Tensor:
        return x * torch.randn(3)

    each = torch.func.vmap(noisy, randomness="different")
    torch.manual_seed(1)
    expected = each(torch.ones(4, 3))
    with untouched(), seeded(CPU, 1):
        assert torch.equal(each(torch.ones(4, 3)), expected)


def test_a_generator_that_is_named_is_used() -> None:
    named = torch.Generator().manual_seed(5)
    expected = torch.rand(6, generator=torch.Generator().manual_seed(5))
    with seeded(CPU, 0):
        assert torch.equal(torch.rand(6, generator=named), expected)
        after = torch.rand(6)
    assert torch.equal(after, torch.rand(6, generator=torch.Generator().manual_seed(0)))


def test_a_tensor_without_values_needs_no_generator() -> None:
    with untouched(), seeded(torch.device("meta"), 0):
        assert torch.randn(3, device="meta").is_meta
        assert nn.Linear(2, 2, device="meta").weight.is_meta


def test_contexts_inside_one_another() -> None:
    torch.manual_seed(0)
    outer = torch.rand(4)
    with seeded(CPU, 0):
        first = torch.rand(2)
        with seeded(CPU, 1):
            inner = torch.rand(2)
        second = torch.rand(2)
    assert torch.equal(torch.cat([first, second]), outer)
    assert torch.equal(inner, torch.rand(2, generator=torch.Generator().manual_seed(1)))


def test_an_error_ends_the_context() -> None:
    torch.manual_seed(6)
    expected = torch.rand(3)
    torch.manual_seed(6)
    with pytest.raises(ZeroDivisionError), seeded(CPU, 0):
        print(torch.rand(9) / 0, 1 / 0)
    assert torch.equal(torch.rand(3), expected)


def test_the_state_is_that_of_the_context() -> None:
    with untouched(), seeded(CPU, 3):
        before = rng_state(CPU)
        first = torch.rand(4)
        set_rng_state(before, CPU)
        assert torch.equal(torch.rand(4), first)
        reseed(CPU, 3)
        assert torch.equal(torch.rand(4), first)
    torch.manual_seed(3)
    assert torch.equal(rng_state(CPU)["cpu"], before["cpu"])
    reseed(CPU, 3)
    assert torch.equal(torch.rand(4), first)


def test_threads_that_draw_at_once_do_not_meet() -> None:
    barrier = threading.Barrier(4)

    def draws(seed: int) -> Tensor:
        with seeded(CPU, seed):
            barrier.wait(10)
            return torch.cat([torch.randn(3) for _ in range(200)])

    with untouched(), ThreadPoolExecutor(4) as pool:
        found = list(pool.map(draws, range(4)))
    for seed, made in enumerate(found):
        torch.manual_seed(seed)
        assert torch.equal(made, torch.cat([torch.randn(3) for _ in range(200)]))


def test_what_a_worker_draws_does_not_depend_on_threads() -> None:
    def made(workers: Workers) -> tuple[list[Tensor], Tensor]:
        places = [torch.empty(0)] * 6
        with seeded(CPU, 1):
            workers.each(lambda i: places.__setitem__(i, torch.rand(3)), range(6))
            return places, torch.rand(2)

    alone, after = made(Workers())
    with ThreadPoolExecutor(3) as pool:
        shared, after_shared = made(Workers(3, pool))
    assert all(torch.equal(a, b) for a, b in zip(alone, shared, strict=True))
    assert len({tuple(place.tolist()) for place in alone}) == 6
    # Pieces that draw nothing leave every figure as it is, and so do those that draw.
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(2))
    assert torch.equal(after_shared, after)


class Noisy(Dataset[Tensor]):
    """Examples with noise that is drawn when they are read."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Tensor:
        return torch.rand(2)


@pytest.mark.parametrize("n_workers", [0, 2])
def test_the_noise_of_a_loader_comes_from_its_seed_and_differs_by_worker(n_workers: int) -> None:
    stream = rp.data.Stream.from_loader(
        DataLoader(Noisy(), batch_size=4, shuffle=True, num_workers=n_workers)
    )

    def epoch(number: int) -> Tensor:
        return torch.cat([batch.x for batch in StreamBatches(stream, seed=1).epoch(number)])

    with untouched():
        first, other = epoch(0), epoch(1)
    torch.rand(5)
    assert torch.equal(epoch(0), first)
    assert len({tuple(row) for row in torch.cat([first, other]).tolist()}) == 16


def test_what_is_done_between_batches_draws_from_elsewhere() -> None:
    stream = rp.data.Stream.from_loader(DataLoader(Noisy(), batch_size=4, shuffle=True))
    expected = [batch.x for batch in StreamBatches(stream, seed=1).epoch(0)]
    found = []
    torch.manual_seed(9)
    for batch in StreamBatches(stream, seed=1).epoch(0):
        found += [batch.x, torch.rand(1)]
    torch.manual_seed(9)
    assert [float(x) for x in found[1::2]] == torch.cat([torch.rand(1) for _ in "ab"]).tolist()
    assert all(torch.equal(a, b) for a, b in zip(found[::2], expected, strict=True))


# What people call with a seed.


class Drawing(nn.Module):
    """A decoder that adds noise, as no part of ours does in evaluation."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, z: Tensor) -> d.Distribution:
        """Return p(x | z) for a noisy z."""
        return self.inner(z + 0.1 * torch.randn_like(z))


@pytest.fixture(scope="module")
def trained() -> SimpleNamespace:
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    data = rp.data.from_arrays(x[:40], test=x[40:], name="table")
    run = quick_fit(rp.variants.vae(data.spec, latent_dim=2, hidden=[4]), data)
    model = run.latent_model
    noisy = quick_fit(rp.LatentModel(model.encoder, Drawing(model.decoder), model.prior), data)
    return SimpleNamespace(run=run, noisy=noisy, data=data)


def _examined(t: SimpleNamespace) -> Any:
    findings = rp.diagnostics.examine(t.run, n_examples=10, seed=4).findings
    return [(found.name, found.evidence) for found in findings]


def _compared(t: SimpleNamespace) -> Any:
    return rp.compare([t.run, t.noisy], n_samples=3, seed=4).to_dict()


def _evaluated(t: SimpleNamespace) -> Any:
    result = t.noisy.evaluate(n_samples=4, seed=4, sample_quality=20)
    return {k: v for k, v in result.to_dict().items() if v == v}


def _annealed(t: SimpleNamespace) -> Any:
    x = t.data.splits["test"].x[:3]
    how = Annealing(n_chains=3, n_temperatures=3, seed=4)
    return annealed_importance(t.run.model, x, annealing=how).log_weight.tolist()


def _trained_anew(t: SimpleNamespace) -> Any:
    run = quick_fit(
        builder,
        t.data,
        epochs=2,
        batch_size=10,
        seed=4,
    )
    return [parameter.tolist() for parameter in run.model.parameters()]


SEEDED: dict[str, Callable[[SimpleNamespace], Any]] = {
    "sample": lambda t: t.run.sample(5, seed=4).tolist(),
    "encode": lambda t: t.noisy.encode(seed=4).tolist(),
    "reconstruct": lambda t: t.noisy.reconstruct(seed=4).tolist(),
    "decode": lambda t: t.noisy.decode(torch.ones(3, 2)).tolist(),
    "evaluate": _evaluated,
    "compare": _compared,
    "examine": _examined,
    "annealed": _annealed,
    "fit": _trained_anew,
}
SLOW = ("examine", "compare")


@pytest.mark.parametrize("name", SEEDED)
def test_the_same_from_any_thread_while_others_draw(trained: SimpleNamespace, name: str) -> None:
    call = SEEDED[name]
    torch.manual_seed(11)
    expected = call(trained)
    stop = threading.Event()

    def disturb() -> list[float]:
        drawn: list[float] = []
        while not stop.is_set() and len(drawn) < 10**5:
            drawn.append(float(torch.rand(())))
        return drawn

    torch.manual_seed(12)
    n = 2 if name in SLOW else 4
    with ThreadPoolExecutor(1 + n) as pool:
        other = pool.submit(disturb)
        found = list(pool.map(lambda _: call(trained), range(n)))
        stop.set()
        drawn = other.result()
    assert all(made == expected for made in found)
    # The other thread had the global state to itself.
    torch.manual_seed(12)
    assert drawn == [float(torch.rand(())) for _ in drawn]
    assert not any(module.training for module in trained.run.model.modules())
    assert all(parameter.requires_grad for parameter in trained.run.model.parameters())


def test_threads_hold_a_model_one_after_the_other() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).train().half()
    seen = []

    def hold(_: int) -> None:
        for _ in range(20):
            with isolated(model):
                seen.append((model.training, model[0].weight.dtype))

    precision = torch.get_float32_matmul_precision()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(hold, range(4)))
    assert set(seen) == {(False, torch.float32)}
    assert all(module.training for module in model.modules())
    assert model[0].weight.dtype == torch.float16
    assert torch.get_float32_matmul_precision() == precision


# The weights that fit begins with.


def fitted(model: Any, **options: Any) -> rp.Run:
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    return quick_fit(model, x, **options)


def builder(spec: rp.DataSpec) -> rp.variants.Recipe:
    return rp.variants.vae(spec, latent_dim=2, hidden=[4])


def test_fit_builds_a_model_under_its_seed() -> None:
    with untouched():
        one = fitted(builder, seed=3)
    torch.rand(3)
    assert same(one, fitted(builder, seed=3))
    assert same(fitted(builder), fitted(builder, seed=0))
    assert not same(one, fitted(builder, seed=4))


def test_a_model_that_is_given_keeps_its_weights() -> None:
    spec = rp.DataSpec((3,), "real")
    torch.manual_seed(1)
    recipe = builder(spec)
    torch.manual_seed(1)
    copy = builder(spec)
    torch.manual_seed(2)
    other = builder(spec)
    assert same(fitted(recipe, seed=3, lr=1e-30), fitted(copy, seed=3, lr=1e-30))
    assert not same(fitted(other, seed=3, lr=1e-30), fitted(copy, seed=3, lr=1e-30))


@pytest.mark.parametrize("seed", [None, 3])
def test_the_command_line_begins_with_the_same_weights(tmp_path: Any, seed: int | None) -> None:
    digits = rp.data.load("digits")
    options: dict[str, Any] = {} if seed is None else {"seed": seed}
    run = quick_fit(rp.variants.vae, digits, **options)
    words = ["train", "vae", "--epochs", "1", "--device", "cpu", "--out", str(tmp_path / "run")]
    torch.rand(1)
    main(words + [word for k, v in options.items() for word in (f"--{k}", str(v))])
    assert same(run, rp.load(tmp_path / "run"))


def test_fit_leaves_the_global_state_alone_when_it_fails() -> None:
    def fail(event: Any) -> None:
        torch.rand(3)
        if event.kind == "epoch":
            raise ZeroDivisionError

    with untouched(), pytest.raises(ZeroDivisionError):
        fitted(builder, callbacks=[fail])


def test_a_stream_of_one_generator_goes_on() -> None:
    generator = torch.Generator().manual_seed(0)
    with drawing_from(generator):
        first = TensorDataset(torch.rand(3))
    with drawing_from(generator):
        second = torch.rand(3)
    whole = torch.rand(6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.cat([first.tensors[0], second]), whole)

"""Numbers of any type: each means what the plain number does, or is refused in one sentence."""

import inspect
from collections.abc import Callable, Sequence
from math import inf, nan
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pytest
import torch

import reparam as rp
from reparam import data as rd
from reparam import families, priors
from reparam import nn as networks
from reparam.data.dataset import validation_size
from reparam.errors import DataError, OptionError, ReparamError, ShapeError
from reparam.models.hierarchy import gaussian_layers
from reparam.objectives.corruption import Corruption
from reparam.training.options import TrainingOptions
from reparam.utils.arguments import (
    as_bool,
    as_declared,
    as_float,
    as_int,
    as_sizes,
    numbers,
    scalar,
)
from reparam.utils.equality import same
from reparam.variants import Milestone, Player, build, get, names
from tests.support import quick_fit

IMAGES = rp.DataSpec((1, 8, 8), "binary", n_classes=3)
TOKENS = rp.DataSpec((8,), "tokens", levels=5)


def int_forms(value: int) -> list[Any]:
    """Return a whole number in every type that has one meaning."""
    array, tensor = np.array(value), torch.tensor(value)
    return [np.int64(value), np.int32(value), array, tensor, float(value), np.float32(value)]


def float_forms(value: float) -> list[Any]:
    wide = torch.tensor(value, dtype=torch.float64)
    return [np.float64(value), np.float32(value), np.array(value), wide, torch.tensor(value)]


def sizes_forms(value: Sequence[int]) -> list[Any]:
    array = np.array(value, dtype=np.int64)
    forms = [list(value), tuple(value), array, torch.from_numpy(array), [*map(np.int64, value)]]
    forms += [[*map(float, value)], array.astype(np.float32)]
    return [*forms, value[0], np.int64(value[0])] if len(value) == 1 else forms


def forms(value: Any) -> list[Any]:
    """Return a number, or a list of them, in other types."""
    if isinstance(value, bool):
        return [np.bool_(value), int(value)]
    if isinstance(value, int):
        return int_forms(value)
    if isinstance(value, float):
        return float_forms(value) if value != inf else [value]
    if value and isinstance(value[0], float):
        return [list(value), np.array(value), torch.tensor(value), [*map(np.float32, value)]]
    return sizes_forms(value)


# What the parts of a model are made with, by the names of their arguments.
GIVEN: dict[str, Any] = {
    "latent_dim": 4,
    "context": 3,
    "in_features": 4,
    "out_size": (8, 8),
    "in_shape": (1, 8, 8),
    "shape": (1, 8, 8),
    "channels": 4,
    "n_codes": 5,
    "code_dim": 2,
    "n_classes": 3,
    "n_variables": 2,
    "n_components": 3,
    "n_positions": 4,
    "length": 6,
    "n": 2,
    "event_shape": (1, 4, 4),
    "levels": 5,
    "positions": (2, 2),
    "n_raw": 2,
    "network": lambda: networks.MLP((1, 8, 8), 4),
    "first": lambda: networks.MLP(4, 4),
    "second": lambda: networks.MLP(4, 4),
    "encoder": lambda: rp.Conditional(networks.MLP((1, 8, 8), 4), families.Gaussian(2)),
    "codebook": lambda: networks.Codebook(5, 2),
    "shapes": ((2, 2, 2), (3, 4, 4)),
    "out_shape": (4,),
    "raw_shape": (2, 3),
    "sizes": (3, 2),
    "action": print,
    "module": "critic",
    "objective": rp.objectives.IWAE(),
    "support": "binary",
    "start": 0.5,
    "stop": 2.0,
    "steps": 8,
    "name": "linear",
    "peak": 0.5,
    "warmup": 2,
    "passes": 2,
    "stem": 3,
    "lr": 0.5,
    "n_probes": 2,
    "n_importance": 2,
    "free_bits": 0.5,
    "out_channels": 2,
    "dequantized_from": 16,
    "temperature": (0.5, 0.25),
}
GIVEN_TO: dict[str, dict[str, Any]] = {
    "ConvEncoder": {"channels": (2, 2)},
    "ConvDecoder": {"channels": (2, 2), "context": 0},
    "CausalTransformer": {"width": 8},
    "CodebookPrior": {"network": lambda: networks.CausalTransformer(5, 4, width=8)},
    "Flow": {"event_shape": (4,)},
    "FullCovarianceGaussian": {"event_shape": (4,)},
    "VonMisesFisher": {"event_shape": (4,), "concentration": 2.0},
    "Gaussian": {"event_shape": (8,), "places": (2, 2), "scale": 0.5, "n_components": 1},
    "Mixture": {"n_components": 2},
    "ImageHead": {"n_features": 4, "raw_shape": (2, 1, 5, 5)},
    "TakeLast": {"network": lambda: networks.MLP(2, 4)},
    "Stacked": {"start": 0.5},
    "MaximumLikelihood": {},
    "DataSpec": {"levels": None, "dequantized_from": None},
    "Pyramid": {"channels": 3, "out_size": (8, 8), "shapes": ((2, 2, 2), (3, 4, 4))},
    "Milestone": {"at": 0.5},
    "gaussian_layers": {"hidden": (3,)},
    "Velocity": {"dim": 3},
    "Standardized": {"prior": lambda: priors.StandardNormal(3), "latent_dim": 3},
}


def callables() -> list[tuple[str, Callable[..., Any]]]:
    """Return everything public that is made of numbers, by its name."""
    modules: list[ModuleType] = [networks, families, priors, rp.objectives, rp.schedules]
    found = [
        (f"{module.__name__.rpartition('.')[2]}.{name}", getattr(module, name))
        for module in modules
        for name in module.__all__
        if callable(getattr(module, name)) and not inspect.isabstract(getattr(module, name))
    ]
    found = [
        (name, made)
        for name, made in found
        if name.split(".")[1] not in ("Objective", "LearningRate", "LabelNetwork")
    ]
    more = [Corruption, rp.DataSpec, rd.Pixels, Milestone, Player, gaussian_layers]
    return [*found, *((made.__name__, made) for made in [*more, TrainingOptions])]


def is_number(annotation: Any) -> bool:
    said = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    words = {"int", "float", "bool", "Sequence[int]"}
    return any(word in said.replace("|", " ").replace("[", " ").split() for word in words) or (
        "[int" in said or "[float" in said
    )


def arguments_of(name: str, made: Callable[..., Any]) -> dict[str, Any]:
    """Return the arguments that a callable is called with, plain numbers all."""
    known = GIVEN | GIVEN_TO.get(name.rpartition(".")[2], {})
    given = {}
    for parameter in inspect.signature(made).parameters.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            continue
        if parameter.default is inspect.Parameter.empty or parameter.name in known:
            given[parameter.name] = known[parameter.name]
        else:
            given[parameter.name] = parameter.default
    return given


def called(made: Callable[..., Any], given: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    # What a part is made of is made anew each time, as it can be part of one thing only.
    makers = ("prior", "network", "first", "second", "encoder", "codebook")
    return made(**{k: v() if k in makers and callable(v) else v for k, v in given.items()})


def arguments_in(made: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments that are numbers, or lists of them."""
    return [
        parameter.name
        for parameter in inspect.signature(made).parameters.values()
        if is_number(parameter.annotation)
        and parameter.kind is not inspect.Parameter.VAR_POSITIONAL
    ]


CASES = [(name, made) for name, made in callables() if arguments_in(made)]
OF_ANY_SIGN = {"Linear": ("start", "stop"), "linear": ("start", "stop"), "learning_rate": ("peak",)}


@pytest.mark.parametrize(("name", "made"), CASES, ids=[name for name, _ in CASES])
class TestEveryNumber:
    def test_means_what_the_plain_one_does(self, name: str, made: Callable[..., Any]) -> None:
        given = arguments_of(name, made)
        expected = called(made, given)
        for argument in arguments_in(made):
            value = given[argument]
            if value is None or argument == "shapes":
                continue
            for form in forms(value):
                found = called(made, given | {argument: form})
                assert same(found, expected), f"{argument}={form!r}"

    def test_is_refused_where_it_is_none(self, name: str, made: Callable[..., Any]) -> None:
        given = arguments_of(name, made)
        for argument in arguments_in(made):
            wrong: list[Any] = ["three", nan, [nan], {}, np.array(["x"]), object(), 1 + 2j]
            if isinstance(given[argument], int):
                wrong += [2.5, np.float64(2.5), torch.tensor(2.5), 2**70]
            if not isinstance(given[argument], bool):
                wrong += [True, np.bool_(True)]
            if isinstance(given[argument], int | float):
                wrong += [[[1]], torch.zeros(2), b"1"]
            for value in wrong:
                with pytest.raises(ReparamError) as refusal:
                    called(made, given | {argument: value})
                assert "\n" not in str(refusal.value), f"{argument}={value!r}"

    def test_is_refused_below_its_range(self, name: str, made: Callable[..., Any]) -> None:
        given = arguments_of(name, made)
        for argument in arguments_in(made):
            free = OF_ANY_SIGN.get(name.rpartition(".")[2], ())
            if isinstance(given[argument], bool) or argument in free:
                continue
            with pytest.raises(ReparamError):
                called(made, given | {argument: -1})


def numeric_options(name: str) -> dict[str, Any]:
    options = {k: p.default for k, p in get(name).options.items() if is_number(p.annotation)}
    return {k: v for k, v in options.items() if v is not None}


@pytest.mark.parametrize("name", names())
def test_variants_take_numbers_of_any_type(name: str) -> None:
    spec = TOKENS if name == "text-vae" else IMAGES
    torch.manual_seed(0)
    plain = build(name, spec)
    options = numeric_options(name)
    for pick in (0, 2, 4):
        given = {k: forms(v)[min(pick, len(forms(v)) - 1)] for k, v in options.items()}
        torch.manual_seed(0)
        recipe = get(name).builder(spec, **given)
        assert recipe == plain
        assert recipe.source == plain.source
        assert all(type(recipe.source.options[k]) in (bool, int, float, list) for k in options)


@pytest.mark.parametrize("name", names())
def test_variants_refuse_the_rest(name: str) -> None:
    spec = TOKENS if name == "text-vae" else IMAGES
    for option in numeric_options(name):
        for value in ("three", nan, {}, object(), None, [[1]], [nan]):
            with pytest.raises(ReparamError, match=option):
                get(name).builder(spec, **{option: value})


def test_variants_say_what_they_do_not_know() -> None:
    with pytest.raises(OptionError, match=r"unknown option of 'beta-vae' 'latnt_dim': did you"):
        rp.variants.beta_vae(IMAGES, latnt_dim=2)
    with pytest.raises(OptionError, match=r"spec of type tuple: 'vae' is built for a DataSpec"):
        rp.variants.vae((1, 8, 8))


def test_a_single_size_is_a_list_of_one() -> None:
    recipe = rp.variants.vae(IMAGES, hidden=np.array([8]))
    assert recipe.source.options["hidden"] == [8]
    assert rp.variants.vae(IMAGES, hidden=8).source == recipe.source
    assert networks.MLP(4.0, np.array([8, 2])).out_shape == (2,)
    assert families.Bernoulli(np.int64(3)).event_shape == (3,)
    assert families.Categorical(3).event_shape == ()


class TestByItself:
    @pytest.mark.parametrize("form", int_forms(7))
    def test_whole_numbers(self, form: Any) -> None:
        assert as_int("n", form) == 7
        assert type(as_int("n", form)) is int

    @pytest.mark.parametrize("form", float_forms(0.1))
    def test_numbers(self, form: Any) -> None:
        assert as_float("x", form) == 0.1

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            (2.5, "x=2.5: must be a whole number"),
            (-1, "x=-1: must be 0 or more"),
            (2**63, "x=9223372036854775808: must be below 2\\^63"),
            (inf, "must be a whole number"),
            (True, "x=True: must be a whole number"),
            ("1", "x='1': must be a whole number"),
        ],
    )
    def test_no_whole_numbers(self, value: Any, said: str) -> None:
        with pytest.raises(OptionError, match=said):
            as_int("x", value)

    def test_ranges(self) -> None:
        assert as_float("x", inf, finite=False) == inf
        assert as_float("x", 0, minimum=0.0) == 0.0
        for value, options, said in (
            (inf, {}, "finite"),
            (nan, {"finite": False}, "must be a number"),
            (0, {"minimum": 0.0, "open_ends": True}, "above 0"),
            (2, {"maximum": 1.0}, "at most 1"),
            (1, {"maximum": 1.0, "open_ends": True}, "below 1"),
            (10**400, {}, "finite"),
        ):
            with pytest.raises(OptionError, match=said):
                as_float("x", value, **options)

    @pytest.mark.parametrize("form", sizes_forms([3]))
    def test_sizes(self, form: Any) -> None:
        assert as_sizes("hidden", form) == (3,)

    def test_no_sizes(self) -> None:
        for value in ("34", b"3", [[3]], np.zeros((2, 2)), None, {3: 4}, [3, "4"]):
            with pytest.raises(OptionError, match="hidden="):
                as_sizes("hidden", value)
        with pytest.raises(OptionError, match=r"hidden=\(3, 0\): every size must be at least 1"):
            as_sizes("hidden", [3, 0])

    def test_truth(self) -> None:
        assert as_bool("jitter", np.bool_(True)) is True
        assert as_bool("jitter", 0) is False
        for value in ("yes", 2, None, [True]):
            with pytest.raises(OptionError, match="must be True or False"):
                as_bool("jitter", value)

    def test_what_is_declared(self) -> None:
        assert as_declared("n", None, int | None) is None
        assert as_declared("scale", "learned", float | str) == "learned"
        assert as_declared("scale", np.float32(0.3), float | str) == 0.3
        assert as_declared("beta", print, float | Callable[[Any], Any]) is print
        assert as_declared("pair", [1, np.float32(0.5)], tuple[float, float]) == (1.0, 0.5)
        assert as_declared("shapes", [[2, 2], np.array([4])], Sequence[Sequence[int]]) == (
            (2, 2),
            (4,),
        )
        with pytest.raises(OptionError, match="pair"):
            as_declared("pair", [1.0], tuple[float, float])
        with pytest.raises(OptionError, match="n=None: must be a whole number"):
            as_declared("n", None, int)

    @pytest.mark.parametrize(
        ("value", "annotation", "found"),
        [
            ("text", str, "text"),
            (None, str | None, None),
            ("auto", Literal["auto", "cpu"], "auto"),
            (None, Literal["auto"] | None, None),
            (True, bool | None, True),
            (["a", "b"], tuple[str, ...], ("a", "b")),
            ([], tuple[str, ...], ()),
            (3, tuple[int, ...] | None, (3,)),
            ([1, 2.5], tuple[float, ...] | None, (1.0, 2.5)),
            ("1e-3", float, 0.001),
            ("1e-3", float | None, 0.001),
            ("1e-3", float | Literal["auto"], 0.001),
            ("auto", float | Literal["auto"], "auto"),
            ("1e-3", float | str, "1e-3"),
            (["1e-3", 2], Sequence[float], (0.001, 2.0)),
            ({"a": 1}, dict[str, int], {"a": 1}),
        ],
    )
    def test_values_of_a_file(self, value: Any, annotation: Any, found: Any) -> None:
        read = as_declared("x", value, annotation, parse=True)
        assert read == found
        assert type(read) is type(found)

    @pytest.mark.parametrize(
        ("value", "annotation", "said"),
        [
            (3, str, "x=3: must be text"),
            (3, str | None, "x=3: must be text or None"),
            (None, str, "x=None: must be text"),
            ("tpu", Literal["auto", "cpu"], "x='tpu': must be one of auto, cpu"),
            (["cpu"], Literal["auto", "cpu"] | None, "must be one of auto, cpu or None"),
            ("ab", tuple[str, ...], "x='ab': must be a list"),
            ([1], tuple[str, ...], "x=1: must be text"),
            ("1e-3", int, "x='1e-3': must be a whole number"),
            ("many", float, "x='many': must be a number"),
            ("many", float | Literal["auto"], "must be a number or one of auto"),
            ("true", bool, "x='true': must be True or False"),
            ([1], dict[str, int], r"x=\[1\]: must be a dict"),
        ],
    )
    def test_values_of_another_type(self, value: Any, annotation: Any, said: str) -> None:
        with pytest.raises(OptionError, match=f"{said}$"):
            as_declared("x", value, annotation, parse=True)

    def test_what_has_no_meaning_stays(self) -> None:
        assert scalar("x") == "x"
        assert scalar(torch.zeros(2)).shape == (2,)
        assert scalar(torch.tensor(0.5, dtype=torch.bfloat16)) == 0.5

    def test_decorated_functions(self) -> None:
        @numbers(n=1)
        def decorated(n: int, *rest: int, scale: float = inf, name: str = "x") -> tuple[Any, ...]:
            """Say it."""
            return n, rest, scale, name

        assert decorated(np.int64(1), 2.0, torch.tensor(3), scale=1) == (1, (2, 3), 1.0, "x")
        assert decorated(1, [2, 3]) == (1, (2, 3), inf, "x")
        assert decorated.__doc__ == "Say it."
        with pytest.raises(OptionError, match="n=0: must be at least 1"):
            decorated(0)
        with pytest.raises(TypeError, match=r"decorated\(\) missing 1 required"):
            decorated()


class TestShares:
    @pytest.mark.parametrize("size", [10, 10.0, np.int64(10), np.float64(10), torch.tensor(10)])
    def test_of_examples(self, size: Any) -> None:
        assert validation_size(size, 100) == 10

    @pytest.mark.parametrize("size", [0.7, np.float32(0.7), np.array(0.7), torch.tensor(0.7)])
    def test_as_fractions(self, size: Any) -> None:
        assert validation_size(size, 10) == 7

    @pytest.mark.parametrize("size", [1.0, 2.5, nan, inf, -1, True, "10", [10], 100])
    def test_that_are_none(self, size: Any) -> None:
        with pytest.raises(OptionError, match="validation="):
            validation_size(size, 100)

    def test_of_data(self) -> None:
        x = torch.rand(20, 2)
        for size in (np.int64(5), np.float32(0.25), 5.0):
            assert len(rd.from_arrays(x, validation=size).split("validation")) == 5


@pytest.fixture(scope="module")
def run() -> rp.Run:
    data = rd.from_arrays(torch.rand(12, 4), torch.arange(12) % 3, test=torch.rand(6, 4))
    recipe = rp.variants.vae(data.spec, latent_dim=2, hidden=[8])
    return quick_fit(recipe, data, epochs=1.0, batch_size=np.int64(6))


class TestRuns:
    def test_samples(self, run: rp.Run) -> None:
        expected = run.sample(4, seed=1, mean=True)
        for n, seed in ((4.0, 1.0), (np.int64(4), np.int64(1)), (torch.tensor(4), np.uint8(1))):
            assert torch.equal(run.sample(n, seed=seed, mean=True), expected)
        for wrong in (0, -1, 2.5, "4", None, nan):
            with pytest.raises(OptionError, match="n_samples="):
                run.sample(wrong)

    @pytest.mark.parametrize("temperature", [nan, inf, -inf, -0.5, "warm", None, [1.0]])
    def test_temperatures_that_are_none(self, run: rp.Run, temperature: Any) -> None:
        with pytest.raises(OptionError, match="temperature="):
            run.sample(4, temperature=temperature)

    def test_a_temperature_is_a_factor_on_z(self, run: rp.Run) -> None:
        still = run.sample(4, mean=True, temperature=0)
        assert torch.allclose(still, run.decode(torch.zeros(4, 2)))
        warm = run.sample(4, seed=2, mean=True, temperature=np.float32(0.5))
        assert torch.equal(warm, run.sample(4, seed=2, mean=True, temperature=0.5))

    @pytest.mark.parametrize(
        "codes",
        [
            np.array([[0.5, -1.0], [2.0, 0.0]]),
            np.array([[0.5, -1.0], [2.0, 0.0]], dtype=np.float16),
            [[0.5, -1.0], [2.0, 0.0]],
            ((0.5, -1), (2, 0)),
            torch.tensor([[0.5, -1.0], [2.0, 0.0]], dtype=torch.float64),
            torch.tensor([[0.5, -1.0], [2.0, 0.0]], dtype=torch.bfloat16),
        ],
        ids=lambda codes: f"{type(codes).__name__}-{getattr(codes, 'dtype', '')}",
    )
    def test_codes(self, run: rp.Run, codes: Any) -> None:
        expected = run.decode(torch.tensor([[0.5, -1.0], [2.0, 0.0]]))
        assert torch.equal(run.decode(codes), expected)
        # A matrix product of one row may round otherwise than one of two.
        assert torch.allclose(run.decode(codes[0]), expected[:1], rtol=1e-5, atol=1e-6)

    def test_whole_numbers_are_codes_too(self, run: rp.Run) -> None:
        expected = run.decode(torch.tensor([[1.0, 2.0]]))
        assert torch.equal(run.decode(np.array([[1, 2]])), expected)
        assert torch.equal(run.decode([1, 2]), expected)

    @pytest.mark.parametrize(
        "codes", ["z", None, 1.0, [[0.0, 1.0], [0.0]], [["a", "b"]], [[nan, 0.0]], [], object()]
    )
    def test_codes_that_are_none(self, run: rp.Run, codes: Any) -> None:
        with pytest.raises((DataError, ShapeError), match=r"^z "):
            run.decode(codes)

    def test_codes_of_another_size(self, run: rp.Run) -> None:
        with pytest.raises(ShapeError, match=r"\(2,\)"):
            run.decode(np.zeros((3, 5)))
        with pytest.raises(ShapeError, match="c has 2 rows beside 3"):
            run.decode(np.zeros((3, 2)), np.zeros((2, 3)))

    def test_figures(self, run: rp.Run) -> None:
        expected = run.evaluate(n_samples=3, seed=1)
        assert run.evaluate(n_samples=np.int64(3), seed=torch.tensor(1)) == expected
        for option in ("n_samples", "seed", "max_memory_mb", "annealed", "sample_quality"):
            for wrong in ("three", 2.5, nan, [1]):
                with pytest.raises(OptionError, match=f"{option}="):
                    run.evaluate(**{option: wrong})

    def test_training_options(self, run: rp.Run) -> None:
        assert run.config["epochs"] == 1
        assert type(run.config["batch_size"]) is int
        for option, wrong in (("epochs", 1.5), ("lr", nan), ("ema", "x"), ("seed", 2**63)):
            with pytest.raises(OptionError, match=f"{option}="):
                rp.fit(run.model, torch.rand(4, 4), **{option: wrong})

    def test_a_run_is_no_model(self, run: rp.Run) -> None:
        with pytest.raises(OptionError, match=r"model is a Run, .*: give run\.model"):
            rp.fit(run, torch.rand(4, 4))
        with pytest.raises(OptionError, match="model of type str: give a recipe"):
            rp.fit("vae", torch.rand(4, 4))


def test_a_pair_of_test_data_may_be_a_list() -> None:
    x, y = torch.rand(6, 2), torch.arange(6) % 2
    data = rd.from_arrays(x, y, test=[x.numpy(), y.numpy()])
    assert data == rd.from_arrays(x, y, test=(x, y))
    with pytest.raises(DataError, match="test x"):
        rd.from_arrays(x, y, test=[x, y, y])


FIGURES: list[tuple[str, Callable[[Any], Any], int]] = [
    ("k", lambda n: rp.evaluation.principal_components(torch.eye(6)[:, :3], k=n), 2),
    (
        "n_blocks",
        lambda n: rp.evaluation.fid(torch.eye(40)[:, :2], torch.eye(40)[:, 1:3], n_blocks=n),
        4,
    ),
    (
        "block",
        lambda n: rp.evaluation.kid(torch.eye(40)[:, :2], torch.eye(40)[:, 1:3], block=n),
        10,
    ),
    ("n_chains", lambda n: rp.evaluation.Annealing(n_chains=n), 3),
    ("limit", lambda n: rd.from_arrays(torch.eye(4)).examples(limit=n), 2),
    ("label", lambda n: conditions_of(n), 1),
]


def conditions_of(label: Any) -> torch.Tensor:
    spec = rp.DataSpec((4,), "real", n_classes=3)
    model = rp.variants.cvae(spec, latent_dim=2, hidden=[4]).model
    run = rp.Run(model, spec.conditioned("label"), {})
    torch.manual_seed(0)
    return run.sample(2, label=label, mean=True)


@pytest.mark.parametrize(("name", "figure", "value"), FIGURES, ids=[f[0] for f in FIGURES])
def test_functions(name: str, figure: Callable[[Any], Any], value: int) -> None:
    torch.manual_seed(0)
    expected = figure(value)
    for form in int_forms(value):
        torch.manual_seed(0)
        assert same(figure(form), expected)
    for wrong in ("three", 2.5, nan, [[1]]):
        with pytest.raises(OptionError, match=f"{name}="):
            figure(wrong)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (lambda name: rp.variants.get(name), "variant"),
        (lambda name: rp.variants.vae(IMAGES, activation=name), "activation"),
        (lambda name: rp.variants.vae(IMAGES, likelihood=name), "likelihood"),
        (lambda name: build("vae", IMAGES, posterior=name), "posterior"),
        (lambda name: build("vae", IMAGES, prior=name), "prior"),
        (lambda name: rp.schedules.learning_rate(name, 1e-3, 1, 10), "schedule"),
    ],
)
def test_a_name_that_is_no_text_is_unknown(what: Callable[[Any], Any], said: str) -> None:
    for name in (3, 2.5, [], ["gaussian"], {"a": 1}, object()):
        with pytest.raises(OptionError, match=f"unknown {said}"):
            what(name)

"""The options are declared once: Python, YAML and the command line have the same ones."""

import dataclasses
import inspect
from typing import Any, ClassVar, get_type_hints

import pytest
import torch
import yaml

import reparam as rp
from reparam.cli.flags import in_flags, types_of
from reparam.cli.parse import option_types, parse
from reparam.cli.train_options import options_class
from reparam.errors import OptionError
from reparam.evaluation import evaluate
from reparam.runs.options import DataOptions, EvaluationOptions
from reparam.training.options import MachineOptions, TrainingOptions
from reparam.utils.terminal import note, worded
from reparam.variants import get

DECLARED = [
    (rp.fit, TrainingOptions),
    (rp.fit, MachineOptions),
    (rp.Run.evaluate, EvaluationOptions),
    (evaluate, EvaluationOptions),
]


@pytest.mark.parametrize(("function", "group"), DECLARED)
def test_a_function_takes_every_option_with_its_default(function: Any, group: Any) -> None:
    parameters = inspect.signature(function).parameters
    for field in dataclasses.fields(group):
        assert parameters[field.name].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[field.name].default == field.default, field.name


def test_fit_and_evaluate_take_every_option_with_its_type() -> None:
    for function, group in DECLARED[:3]:
        annotations = inspect.get_annotations(function)
        for name, kind in get_type_hints(group).items():
            # An optimizer is a name, or in Python a function that makes one.
            found = annotations[name].__args__[0] if name == "optimizer" else annotations[name]
            assert found == kind, name


def test_fit_refuses_an_unknown_option_with_the_nearest_one() -> None:
    with pytest.raises(OptionError, match="unknown option of fit 'epoch': did you mean 'epochs'"):
        rp.fit(rp.variants.vae, torch.zeros(4, 2), epoch=3)  # type: ignore[call-arg]


def test_the_configuration_of_a_run_has_every_option(tmp_path: Any) -> None:
    data = rp.data.load("digits")
    recipe = rp.variants.vae(data.spec, latent_dim=2, hidden=[4])
    how: dict[str, Any] = {"batch_size": 2000, "pictures_every": 0, "progress": False}
    rp.fit(recipe, data, epochs=1, out=tmp_path / "run", **how)
    stored = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    for group in (TrainingOptions, MachineOptions):
        assert {field.name for field in dataclasses.fields(group)} <= stored.keys()
    assert (stored["epochs"], stored["batch_size"]) == (1, 2000)
    again = rp.load(tmp_path / "run").recipe()
    first = rp.load(tmp_path / "run").recipe()
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, first.model.state_dict()[name])


def test_the_command_line_has_every_option_of_a_group() -> None:
    types = option_types(options_class(get("vae")))
    for group in (DataOptions, TrainingOptions, MachineOptions):
        for name, kind in get_type_hints(group).items():
            assert types[name] == kind


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--window", "8"], "window", 8),
        (["--window", "None"], "window", None),
        (["--binarize", "static"], "binarize", "static"),
        (["--dequantize", "True"], "dequantize", True),
        (["--validation", "0.1"], "validation", 0.1),
        (["--data_dir", "x"], "data_dir", "x"),
    ],
)
def test_options_that_may_be_missing_are_typed(words: list[str], name: str, value: Any) -> None:
    assert getattr(parse(DataOptions, "train", words), name) == value


class TestFlags:
    """Python arguments in messages become options of the command line."""

    TYPES: ClassVar[dict[str, Any]] = {
        "n_samples": int,
        "likelihood": str | None,
        "hidden": tuple[int, ...],
        "resume": str | None,
        "probe": bool,
        "dequantize": bool | None,
        "out": str | None,
        "n": int,
    }

    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            ("n_samples=0: must be at least 1", "--n-samples 0: must be at least 1"),
            ("use likelihood='gaussian' here", "use --likelihood gaussian here"),
            ('use likelihood="gaussian".', "use --likelihood gaussian."),
            ("hidden=[200, 200]: takes", "--hidden 200 200: takes"),
            ("hidden=(4,), or more", "--hidden 4, or more"),
            ("go on with it by resume=True", "go on with it by --resume"),
            ("set dequantize=True or probe=True", "set --dequantize True or --probe"),
            ("a larger n_samples=, or out=...", "a larger --n-samples, or --out ..."),
            ("n=0: give at least 1", "-n 0: give at least 1"),
            ("size=3 of n_samples", "size=3 of n_samples"),
            ("runs/n=3 and n=3/run hold runs", "runs/n=3 and n=3/run hold runs"),
            ("(n=3), n_samples=0.5.", "(-n 3), --n-samples 0.5."),
            ("as in fit(model, n_samples=3)", "as in fit(model, n_samples=3)"),
            ("run/config.yaml: n_samples='x': no", "run/config.yaml: n_samples='x': no"),
            ("recorded.n_samples=3, --n-samples=3", "recorded.n_samples=3, --n-samples=3"),
            (
                "go on with fit(..., out='runs/a', resume=True)",
                "go on with reparam train --resume runs/a",
            ),
        ],
    )
    def test_an_argument_becomes_an_option(self, message: str, expected: str) -> None:
        assert in_flags(message, lambda: self.TYPES) == expected

    def test_a_text_without_arguments_needs_no_options(self) -> None:
        def never() -> dict[str, Any]:
            raise AssertionError

        assert in_flags("two runs: a (3 epochs), b", never) == "two runs: a (3 epochs), b"

    def test_knows_the_options_of_all_variants_and_of_the_verb(self) -> None:
        types = types_of(None)
        assert {"latent_dim", "n_codes", "prior", "epochs", "data_dir", "resume"} <= types.keys()
        assert "annealed" not in types
        assert types_of(EvaluationOptions)["annealed"] is int

    def test_notes_are_worded_only_inside(self, capsys: pytest.CaptureFixture[str]) -> None:
        with worded(lambda message: in_flags(message, lambda: self.TYPES)):
            note("a larger n_samples=9")
        note("a larger n_samples=9")
        said = "reparam: a larger --n-samples 9\nreparam: a larger n_samples=9\n"
        assert capsys.readouterr().err == said

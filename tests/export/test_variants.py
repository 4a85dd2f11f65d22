"""Every registered variant as files of ONNX, run by onnxruntime and compared with its methods."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.errors import SupportError
from reparam.export import Export, export
from reparam.models.directed import DirectedModel
from reparam.spec import DataSpec
from reparam.variants import build, get, names

IMAGES = DataSpec((1, 8, 8), "binary", n_classes=3)
TOKENS = DataSpec((5,), "tokens", levels=4)

SMALL: dict[str, Any] = {
    "latent_dim": 2,
    "latent_dims": (3, 2),
    "hidden": (6,),
    "label_hidden": (5,),
    "above": (4,),
    "feature_dim": 3,
    "channels": (4, 4),
    "critic": (4,),
    "flow_width": 8,
    "n_components": 3,
    "n_clusters": 3,
    "n_codes": 5,
    "code_dim": 2,
    "n_variables": 3,
    "n_classes": 2,
    "n_parts": 2,
    "width": 6,
}
"""The options that make a model small, by name; a variant takes those that it has."""

OWN: dict[str, dict[str, Any]] = {
    "conv-ladder-vae": {"maps": (2, 2), "channels": 4, "out_channels": 2},
    "vq-vae": {"channels": (4, 4)},
    "vmf-vae": {"latent_dim": 3},
}

FAST = ("vae", "gumbel-vae", "classifier")
"""The variants of the fast suite, each of another kind of graph."""

VARIANTS = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in names()]


def small_run(name: str, **options: Any) -> rp.Run:
    """Return a run of a variant with few weights, which are random."""
    torch.manual_seed(0)
    own = {k: v for k, v in SMALL.items() if k in get(name).options}
    given = {**own, **OWN.get(name, {}), **options}
    try:
        recipe = build(name, IMAGES, **given)
    except SupportError:
        recipe = build(name, TOKENS, **given)
    for parameter in recipe.model.parameters():
        parameter.data.normal_(0, 0.3)
    return rp.Run(recipe.model.eval(), recipe.spec, {"variant": name})


def outputs_of(file: Path, **inputs: Tensor) -> dict[str, np.ndarray]:
    """Return the outputs of a file of ONNX by name."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert {each.name for each in session.get_inputs()} == set(inputs)
    found = session.run(names, {name: value.numpy() for name, value in inputs.items()})
    return dict(zip(names, found, strict=True))


def noise_of(made: Export, graph: str, n: int) -> dict[str, Tensor]:
    """Return noise for the inputs of a graph: standard normal and uniform numbers."""
    inputs = json.loads(made.files["description"].read_text())["graphs"][graph]["inputs"]
    sizes = {each["name"]: each["shape"][-1] for each in inputs}
    kinds = {"normal": torch.randn, "uniform": torch.rand}
    return {name: kinds[name](n, sizes[name]) for name in kinds if name in sizes}


def inputs_in(made: Export, graph: str, **values: Tensor | None) -> dict[str, Tensor]:
    """Return those values that are inputs of a graph."""
    inputs = json.loads(made.files["description"].read_text())["graphs"][graph]["inputs"]
    taken = [each["name"] for each in inputs]
    return {name: v for name, v in values.items() if v is not None and name in taken}


def close(found: np.ndarray, expected: Tensor) -> bool:
    """Return whether two arrays have one shape, and the same values up to rounding."""
    return found.shape == expected.shape and np.allclose(found, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", VARIANTS)
def test_files_compute_what_the_model_does(name: str, tmp_path: Path) -> None:
    run, n = small_run(name), 4
    made = export(run, tmp_path / "files")
    assert made.difference < 1e-4
    if isinstance(run.model, DirectedModel):
        x, y = torch.rand(n, 1, 8, 8).round(), torch.tensor([0, 1, 2, 0])
        given = inputs_in(made, "conditionals", x=x, y=y)
        found = outputs_of(made.files["conditionals"], **given)
        # p of the label and of the parts, each by its logits.
        expected = run.model.log_prob(run.model.values(rp.Batch(x, y)))
        log_p = torch.log_softmax(torch.from_numpy(found["y_logits"]), -1)[torch.arange(n), y]
        for number, part in enumerate(x.flatten(1).chunk(2, 1) if name == "directed" else ()):
            logits = torch.from_numpy(found[f"part_{number}_logits"])
            log_p = log_p - torch.nn.functional.softplus((1 - 2 * part) * logits).sum(-1)
        assert torch.allclose(log_p, expected, atol=1e-4)
        return
    model, spec = run.latent_model, run.spec
    is_text = spec.support == "tokens"
    x = torch.randint(4, (n, 5)) if is_text else torch.rand(n, *spec.shape).round()
    c = torch.eye(3)[[0, 1, 2, 0]] if spec.context else None
    noise = {key: 0 * value for key, value in noise_of(made, "encoder", n).items()}
    given = inputs_in(made, "encoder", x=x, c=c)
    codes = outputs_of(made.files["encoder"], **given, **noise)["mean"]
    if "uniform" not in noise:  # without noise a chain and a flow are at their mean
        assert close(codes, model.encode(x, c))
    z = torch.from_numpy(codes)
    given = inputs_in(made, "decoder", z=z, c=c, x=x)
    decoded = outputs_of(made.files["decoder"], **given)
    if is_text:
        logits = torch.log_softmax(torch.from_numpy(decoded["logits"]), -1)
        log_p = logits.gather(-1, x[..., None])[..., 0].sum(-1)
        assert torch.allclose(log_p, model.likelihood(z, c).log_prob(x), atol=1e-4)
    else:
        assert close(decoded["mean"], model.decode(z, c))
    if "sampler" in made.files:
        noise = noise_of(made, "sampler", 1000)
        many = None if c is None else c[:1].expand(1000, -1)
        given = inputs_in(made, "sampler", c=many)
        z = torch.from_numpy(outputs_of(made.files["sampler"], **given, **noise)["z"])
        p = model.prior_distribution(many)
        drawn = p.sample() if many is not None and p.batch_shape else p.sample((1000,))
        drawn = drawn.reshape(z.shape)
        assert (z.mean(0) - drawn.mean(0)).abs().max() < 8 * drawn.std(0).max() / 1000**0.5
        assert torch.allclose(z.std(0), drawn.std(0), rtol=0.3, atol=0.1)
    else:
        assert name in ("ae", "dae", "cae")

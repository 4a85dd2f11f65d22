"""The decoder of a page computes, in a browser, what torch computes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reparam as rp
from reparam.families import DiscretizedLogisticMixture
from reparam.report.decoder import MOST_WEIGHTS, plain_decoder
from reparam.report.steps import Step
from reparam.spec import DataSpec
from tests.report.kinds import (
    QUICK,
    count_data,
    covariate_data,
    decoder_script,
    digits,
    heaped_rows,
    images,
    mixed_rows,
    needs_browser,
    rng,
)

variants = rp.variants


def of(variant: str, data: object, **options: Any) -> rp.Run:
    """Return a run of a variant with these options."""
    return rp.fit(lambda spec: rp.variants.build(variant, spec, **options), data, **QUICK)


def heavy() -> np.ndarray:
    """Return numbers with heavy tails."""
    return np.exp(2 * rng().normal(size=(300, 3)))


CASES: dict[str, Callable[[], rp.Run]] = {
    "binary": lambda: of("vae", digits()),
    "grey levels": lambda: of("vae", digits(binarize="none")),
    "grey": lambda: of("vae", digits(binarize="none"), likelihood="continuous-bernoulli"),
    "skip": lambda: of(
        "vae", digits(binarize="none", dequantize=True), activation="silu", skip=True, hidden=[16]
    ),
    "gated": lambda: of("vae", digits(), activation="gated", hidden=[16]),
    "gelu": lambda: of("vae", digits(), activation="gelu", hidden=[16]),
    "elu": lambda: of("vae", digits(), activation="elu", hidden=[16]),
    "leaky": lambda: of("vae", digits(), activation="leaky-relu", hidden=[16]),
    "levels": lambda: of("vae", digits(binarize="none"), likelihood="categorical", hidden=[16]),
    "color": lambda: of("vae", images(8, 3), likelihood="logistic-mixture", hidden=[16]),
    "convolutions of 8": lambda: of("conv-vae", digits(), channels=(8, 8), norm="batch"),
    "convolutions of 28": lambda: of("conv-vae", images(28), channels=(8, 12)),
    "convolutions of 32": lambda: of("conv-vae", images(32, 3), channels=(8, 12), norm="batch"),
    "hierarchy": lambda: of("hierarchical-vae", digits(), latent_dims=(8, 4)),
    "ladder": lambda: of("ladder-vae", digits(), latent_dims=(8, 4)),
    "maps": lambda: of("conv-ladder-vae", images(13), channels=8),
    "maps given classes": lambda: of("conv-ladder-vae", digits().conditioned("label"), channels=8),
    "codes given classes": lambda: of("vq-vae", digits().conditioned("label")),
    "classes": lambda: of("cvae", digits().conditioned("label")),
    "covariates": lambda: of("cvae", covariate_data()),
    "labels inferred": lambda: of("ss-vae", digits(), latent_dim=4),
    "two steps": lambda: of("ss-vae-stacked", digits()),
    "sphere": lambda: of("vmf-vae", digits()),
    "table": lambda: of("vae", mixed_rows(2000)),
    "heaps": lambda: of("vae", heaped_rows()),
    "mixture": lambda: of("vae", heavy()),
    "counts": lambda: of("vae", count_data()),
    "zeros": lambda: of("vae", count_data(), likelihood="zinb-given-total"),
}


def codes_of(run: rp.Run) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return five codes beside those of examples, and their conditions."""
    batch = run.examples(split="train", limit=5)
    z = run.latent_model.encode(batch.x, batch.c)
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    return z + noise, batch.c


def script_of(step: Step, inputs: torch.Tensor) -> str:
    """Return a script that computes a decoder at several places, as ``found``."""
    given = json.dumps({"decoder": step.to_dict(), "inputs": inputs.tolist()})
    return (
        f"<script>{decoder_script()}\nconst given = {given};\n"
        "const decode = makeStep(given.decoder);\n"
        "const found = given.inputs.map((z) => Array.from(decode(Float32Array.from(z))));</script>"
    )


def check(case: str, browser: Any, folder: Path) -> None:
    """Compare the values of a case by torch with those by the script."""
    run = CASES[case]()
    z, c = codes_of(run)
    step = plain_decoder(run.latent_model, z.shape[-1], run.spec.context)
    assert step is not None
    if case == "sphere":
        z = z / z.norm(dim=-1, keepdim=True)
    page = folder / "page.html"
    page.write_text(script_of(step, z if c is None else torch.cat([z, c], -1)), encoding="utf-8")
    browser.get(page.as_uri())
    found = np.array(browser.execute_script("return found"))
    # Of quantities and counts the error is relative to their size.
    expected = run.decode(z, c).flatten(1).double().numpy()
    assert found == pytest.approx(expected, abs=0.01, rel=0.01)


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_script_computes_what_torch_does(case: str, driver: Any, tmp_path: Path) -> None:
    check(case, driver, tmp_path)


@needs_browser
def test_the_pixels_of_convolutions_are_those_of_torch(driver: Any, tmp_path: Path) -> None:
    check("convolutions of 8", driver, tmp_path)


def test_a_large_decoder_does_not_travel() -> None:
    wide = variants.vae(DataSpec((784,), "binary"), latent_dim=2, hidden=[2000])
    assert MOST_WEIGHTS < 2000 * 784
    assert plain_decoder(wide.model, 2) is None


def test_a_slow_decoder_does_not_travel() -> None:
    recipe = variants.conv_vae(DataSpec((3, 128, 128), "binary"), channels=(16, 32, 32))
    step = plain_decoder(recipe.model, 20)
    assert step is None


def test_a_decoder_of_text_does_not_travel() -> None:
    recipe = variants.text_vae(DataSpec((8,), "tokens", levels=5))
    assert plain_decoder(recipe.model, 16) is None


def test_weights_that_half_precision_cannot_hold_do_not_travel() -> None:
    recipe = variants.vae(DataSpec((4,), "binary"), latent_dim=2, hidden=[3])
    with torch.no_grad():
        next(recipe.model.decoder.parameters()).fill_(1e6)
    assert plain_decoder(recipe.model, 2) is None


def test_a_mixture_of_logistics_states_its_components() -> None:
    assert DiscretizedLogisticMixture((3, 8, 8), 256, n_components=7).n_components == 7

"""Plain, denoising and contractive autoencoders: noise in the input, and Jacobians of the code."""

from typing import Any

import torch
from torch import Tensor

import reparam as rp
from experiments.common import (
    Experiment,
    Findings,
    Protocol,
    Row,
    drawing,
    mean_of,
    pictures,
    seconds_of,
)
from experiments.common.contest import NETWORKS, RECIPE

NOISE = rp.Corruption("gaussian", 0.5)
N_JACOBIANS = 1000
LATENT_DIM = 40
# Set once, not searched.
CONTRACTION = 0.3


@Experiment(
    source=(
        "Vincent et al., Extracting and Composing Robust Features with Denoising Autoencoders, "
        "ICML 2008, and Rifai et al., Contractive Auto-Encoders: Explicit Invariance During "
        "Feature Extraction, ICML 2011, for the models; the targets are ours, a prototype had 18.2 "
        "dB against 9.4 dB"
    ),
    protocol=(
        "MNIST, 60,000 training images, real-valued pixels, cross-entropy; two layers of 300 on "
        "each side, 40 latent dimensions; 60 epochs; measured on the 10,000 test images with "
        "Gaussian noise of σ = 0.5, and on the exact Jacobians of 1,000 of them"
    ),
    data="mnist",
    epochs=60,
    minutes=10,
)
def autoencoders(protocol: Protocol) -> Findings:
    """Plain, denoising and contractive autoencoders: noise removed, Jacobians of the code."""
    data = protocol.dataset("mnist", binarize="none")
    x = data.examples("test").x
    with drawing(protocol.seed):
        noisy = NOISE(x)
    options: dict[str, dict[str, Any]] = {
        "ae": {},
        "dae": {"corruption": NOISE.kind, "level": NOISE.level},
        "cae": {"weight": CONTRACTION, "n_probes": 1},
    }
    runs: dict[str, rp.Run] = {}
    cleaned: dict[str, Tensor] = {}
    rows = [Row("noisy images: PSNR", *mean_of(psnr(x, noisy)), unit="dB")]
    errors: dict[str, float] = {}
    norms: dict[str, float] = {}
    for name, own in options.items():
        runs[name] = protocol.train_variant(
            f"zoo-{name}",
            name,
            data,
            training=RECIPE,
            latent_dim=LATENT_DIM,
            likelihood="cross-entropy",
            **NETWORKS,
            **own,
        )
        cleaned[name] = runs[name].denoise(rp.Batch(noisy))
        rebuilt = runs[name].reconstruct(x)
        error, error_stderr = mean_of((rebuilt - x).square().flatten(1).mean(1))
        norm, norm_stderr = mean_of(jacobian_norm(runs[name], x[:N_JACOBIANS]))
        errors[name], norms[name] = error, norm
        rows += [
            Row(
                f"{name}: PSNR of what it makes of noisy images",
                *mean_of(psnr(x, cleaned[name])),
                unit="dB",
                seconds=seconds_of(runs[name]),
            ),
            Row(f"{name}: squared error per pixel, clean images", error, error_stderr, unit=""),
            Row(f"{name}: norm of the Jacobian of the code", norm, norm_stderr, unit=""),
        ]
    gain = psnr(x, cleaned["dae"]) - psnr(x, cleaned["ae"])
    rows += [
        Row(
            "dae less ae, noisy images: PSNR",
            *mean_of(gain),
            unit="dB",
            target=7.0,
            seconds=seconds_of(runs["dae"]),
        ),
        Row(
            "Jacobian norm of the cae, of that of the ae",
            norms["cae"] / norms["ae"],
            unit="",
            target=0.5,
            rule="at most",
            seconds=seconds_of(runs["cae"]),
        ),
        Row(
            "squared error of the cae, of that of the ae",
            errors["cae"] / errors["ae"],
            unit="",
            target=1.2,
            rule="at most",
        ),
    ]
    panels = {"noisy": noisy[:64], **{name: made[:64] for name, made in cleaned.items()}}
    notes = (
        "The cae is trained with an estimate of the norm along one random direction in each step; "
        "the norms here are exact.",
        "Standard errors are over test images, for one training run each.",
    )
    return Findings(tuple(rows), notes, {"denoised": pictures(panels)})


def psnr(clean: Tensor, other: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each image in [0, 1], in dB with shape (N,).

    >>> psnr(torch.zeros(1, 4), torch.full((1, 4), 0.1)).round().tolist()
    [20.0]
    """
    return -10 * (clean - other).double().square().flatten(1).mean(1).log10()


def jacobian_norm(run: rp.Run, x: Tensor) -> Tensor:
    """Return the exact Frobenius norm of the Jacobian of each example's code, with shape (N,)."""
    model = run.latent_model
    norms = []
    for part in x.to(next(model.parameters()).device).split(100):
        seen = part.clone().requires_grad_()
        codes = model.encode(seen).flatten(1)
        rows = [torch.autograd.grad(c.sum(), seen, retain_graph=True)[0] for c in codes.T]
        norms.append(torch.stack(rows).square().flatten(2).sum((0, 2)).sqrt().cpu())
    return torch.cat(norms)

"""Autoencoders beside each other: what noise does to them, and how fast their codes move."""

from typing import Any

import torch
from torch import Tensor

from reparam import data as data_sets
from reparam.batch import Batch
from reparam.evaluation.samples import psnr
from reparam.isolation import isolated
from reparam.objectives.autoencoding import squared_jacobian
from reparam.objectives.corruption import Corruption
from reparam.reproduce.figures import pictures
from reparam.reproduce.likelihoods import NETWORKS, RECIPE
from reparam.reproduce.registry import Protocol, entry
from reparam.reproduce.result import Findings, Row
from reparam.reproduce.training import mean_of, seconds_of, trained
from reparam.runs.run import Run
from reparam.utils.seeding import seeded

NOISE = Corruption("gaussian", 0.5)
N_JACOBIANS = 1000
LATENT_DIM = 40
# Set once, not searched.
CONTRACTION = 0.3


@entry(
    "autoencoders",
    source=(
        "Vincent et al., ICML 2008 (denoising); Rifai et al., ICML 2011 (contractive); a prototype "
        "had 18.2 dB against 9.4 dB"
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
    """Plain, denoising and contractive autoencoders: noise removed, and how fast codes move."""
    data = data_sets.load(
        "mnist", data_dir=protocol.options.data_dir, binarize="none", validation=0
    )
    x = data.examples("test").x
    with seeded(torch.device("cpu"), protocol.seed):
        noisy = NOISE(x)
    options: dict[str, dict[str, Any]] = {
        "ae": {},
        "dae": {"corruption": NOISE.kind, "level": NOISE.level},
        "cae": {"weight": CONTRACTION, "n_probes": 1},
    }
    runs: dict[str, Run] = {}
    cleaned: dict[str, Tensor] = {}
    rows = [Row("noisy images: PSNR", *mean_of(psnr(x, noisy)), unit="dB")]
    errors: dict[str, float] = {}
    norms: dict[str, float] = {}
    for name, own in options.items():
        runs[name] = trained(
            protocol,
            f"zoo-{name}",
            name,
            data,
            training=RECIPE,
            latent_dim=LATENT_DIM,
            likelihood="cross-entropy",
            **NETWORKS,
            **own,
        )
        cleaned[name] = runs[name].denoise(Batch(noisy))
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
    panels = [("noisy", noisy[:64]), *((name, made[:64]) for name, made in cleaned.items())]
    notes = (
        "The cae learns from an estimate of the norm along one random direction in each step; the "
        "norms here are exact.",
        "Standard errors are over test images, for one training run each.",
    )
    return Findings(tuple(rows), notes, {"denoised": pictures(panels)})


def jacobian_norm(run: Run, x: Tensor) -> Tensor:
    """Return the exact Frobenius norm of the Jacobian of each example's code, with shape (N,)."""
    model = run.latent_model
    norms = []
    with isolated(model) as device, torch.inference_mode(False), torch.enable_grad():
        for part in x.to(device).split(100):
            seen = part.clone().requires_grad_()
            norms.append(squared_jacobian(model.encode(seen), seen).sqrt().detach().cpu())
    return torch.cat(norms)

"""The VAE of text beside interpolated n-grams, on the same windows of tinyshakespeare."""

from math import log
from typing import Any

import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.data import Dataset, Vocabulary, load_text
from reparam.data.sources import find
from reparam.evaluation.latents.activity import interpolate
from reparam.plots import loss_curves
from reparam.reproduce.ngram import NGram
from reparam.reproduce.registry import Protocol, entry
from reparam.reproduce.result import Findings, Row
from reparam.reproduce.training import evaluated, mean_of, seconds_of, trained
from reparam.runs.run import Run

ORDERS = (1, 2, 3, 4, 5)
RIVAL = 4
"""The order of the n-gram that the VAE is held to."""

LEAST_KL = 2.0
"""Nats of a window; far less, and the decoder does without z."""

STRIDE = 16
"""From the start of a training window to that of the next, so that each character is in four."""

# Chosen on the validation windows, never on the test windows.
RECIPE: dict[str, Any] = {"batch_size": 64, "lr": 3e-3}


@entry(
    "text-vae",
    source="ours: an interpolated n-gram of the same text, measured in the same run",
    protocol=(
        "tinyshakespeare by characters, windows of 64 without what comes before them; the last "
        "tenth of the file is the test, what lies before it the validation; a GRU decoder of 256 "
        "with dropout of its input, a convolutional encoder, 16 latent dimensions, free bits; 3 "
        "epochs of windows that begin every 16 characters, batch 64, learning rate with warm-up "
        "to 3e-3 and cosine decay"
    ),
    data="tinyshakespeare",
    epochs=3,
    n_samples=20,
    minutes=8,
)
def text_vae(protocol: Protocol) -> Findings:
    """A VAE of Shakespeare's characters, against n-grams, with a latent code that is used."""
    path = find("tinyshakespeare", [("input.txt",)], protocol.options.data_dir)[0]
    data = load_text(path, stride=STRIDE)
    window = data.spec.dim
    grams = ngrams(data)
    run = trained(protocol, "text-vae", "text-vae", data, training=RECIPE)
    protocol.say(f"evaluating, {protocol.n_samples} draws for each test window")
    test = data.examples("test")
    result = evaluated(protocol, run, data)
    unit = "bits per character"
    scale = 1 / (window * log(2))
    scores = {n: mean_of(-scale * grams.log_prob(test.x, n)) for n in ORDERS}
    errors = [scale * (e or 0.0) for e in (result.elbo_stderr, result.log_likelihood_stderr)]
    elbo = None if result.elbo is None else -scale * result.elbo
    sampled = f"by importance sampling, {protocol.n_samples} draws"
    rows = (
        Row(
            "-ELBO",
            elbo,
            errors[0],
            unit,
            target=scores[RIVAL][0],
            rule="at most",
            seconds=seconds_of(run),
        ),
        Row(sampled, result.bits_per_dim, errors[1], unit),
        *(Row(f"{n}-gram, interpolated", *scores[n], unit=unit) for n in ORDERS),
        Row("KL of a window", result.kl, result.kl_stderr, target=LEAST_KL),
        Row("active latent dimensions", float(result.active_units or 0), unit=""),
    )
    notes = (
        "Every window is scored from its first character on, with nothing of what comes before "
        "it, by the VAE and by the n-grams.",
        "The n-grams read the same training characters as the VAE; their weights, and the VAE's "
        "recipe, were chosen on the validation windows.",
        "The standard errors are over test windows, for one training run.",
    )
    details = {"evaluation": result.to_dict(), **texts(run, test.x, protocol.seed)}
    return Findings(rows, notes, {"loss": loss_curves(run.rows)}, details)


def ngrams(data: Dataset) -> NGram:
    """Return n-grams of the training characters, with weights from the validation windows."""
    windows = data.split("train").x
    # Windows overlap: the first characters of each, and the whole of the last, are the text.
    stride = (data.options or {})["stride"]
    text = torch.cat([windows[:-1, :stride].flatten(), windows[-1]])
    model = NGram(text, data.spec.levels or 0, max(ORDERS))
    return model.fit(data.split("validation").x)


def texts(run: Run, x: Tensor, seed: int) -> dict[str, list[Any]]:
    """Return what the model writes: samples, reconstructions, and walks between windows x."""
    vocabulary = run.vocabulary or Vocabulary()
    codes = run.encode(Batch(x[:8]))
    walks = interpolate(codes[0::2], codes[1::2], 7)
    made = run.decode(walks.flatten(0, 1)).unflatten(0, walks.shape[:2])
    return {
        "samples": vocabulary.texts(run.sample(10, seed=seed)),
        "reconstructions": [
            {"read": vocabulary.decode(read), "made": vocabulary.decode(again)}
            for read, again in zip(x[:8], run.decode(codes), strict=True)
        ],
        "interpolations": [vocabulary.texts(walk) for walk in made],
    }

"""The VAE of text beside interpolated n-grams, on the same windows of tinyshakespeare."""

from math import log
from typing import Any

import torch
from torch import Tensor

import reparam as rp
from experiments.common import Experiment, Findings, Protocol, Row, mean_of, row, seconds_of
from experiments.common.ngram import NGram
from reparam.data.download import Remote, find

SHAKESPEARE = Remote(
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/",
    {"input.txt": "md5:6fb458f1232090904fb40fe944165e91"},
)

ORDERS = (1, 2, 3, 4, 5)
RIVAL = 4
"""The order of the n-gram whose bits are the target of the VAE."""

LEAST_KL = 2.0
"""The target KL of a window, in nats; with far less the decoder ignores z."""

STRIDE = 16
"""Characters between the starts of training windows, so that each character is in four."""

# Chosen on the validation windows, never on the test windows.
RECIPE: dict[str, Any] = {"batch_size": 64, "lr": 3e-3}


@Experiment(
    source=(
        "Bowman et al., Generating Sentences from a Continuous Space, CoNLL 2016, for the model; "
        "the target is an interpolated n-gram (Chen & Goodman, An Empirical Study of Smoothing "
        "Techniques for Language Modeling, Computer Speech and Language 1999, section 2.3) of the "
        "same text, measured in the same run"
    ),
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
    path = find("tinyshakespeare", [("input.txt",)], SHAKESPEARE, protocol.options.data_dir)[0]
    data = rp.data.load_text(path, stride=STRIDE)
    window = data.spec.dim
    grams = ngrams(data)
    run = protocol.train_variant("text-vae", "text-vae", data, training=RECIPE)
    test = data.examples("test")
    found = protocol.evaluate(run, data)
    unit = "bits per character"
    scale = 1 / (window * log(2))
    grammed = {n: mean_of(-scale * grams.log_prob(test.x, n)) for n in ORDERS}
    bits = {
        "elbo": None if found["elbo"] is None else -scale * found["elbo"],
        "elbo_stderr": scale * (found["elbo_stderr"] or 0.0),
        "bits_per_dim": found["bits_per_dim"],
        "bits_per_dim_stderr": scale * (found["log_likelihood_stderr"] or 0.0),
    }
    sampled = f"by importance sampling, {protocol.n_samples} draws"
    target, seconds = grammed[RIVAL][0], seconds_of(run)
    rows = (
        row("-ELBO", bits, "elbo", unit=unit, target=target, rule="at most", seconds=seconds),
        row(sampled, bits, "bits_per_dim", unit=unit),
        *(Row(f"{n}-gram, interpolated", *grammed[n], unit=unit) for n in ORDERS),
        row("KL of a window", found, "kl", target=LEAST_KL),
        row("active latent dimensions", found, "active_units", unit=""),
    )
    notes = (
        "The VAE and the n-grams score every window from its first character, without the text "
        "before it.",
        "The n-grams read the same training characters as the VAE; their weights, and the VAE's "
        "recipe, were chosen on the validation windows.",
        "The standard errors are over test windows, for one training run.",
    )
    details = {"evaluation": found, **texts(run, test.x, protocol.seed)}
    return Findings(rows, notes, {"loss": rp.plots.loss_curves(run.rows)}, details)


def ngrams(data: rp.data.Dataset) -> NGram:
    """Return n-grams of the training characters, with weights from the validation windows."""
    windows = data.split("train").x
    # Windows overlap: the first characters of each, and the whole of the last, are the text.
    stride = (data.options or {})["stride"]
    text = torch.cat([windows[:-1, :stride].flatten(), windows[-1]])
    model = NGram(text, data.spec.levels or 0, max(ORDERS))
    return model.fit(data.split("validation").x)


def texts(run: rp.Run, x: Tensor, seed: int) -> dict[str, list[Any]]:
    """Return samples, reconstructions, and interpolations between windows x, as text."""
    vocabulary = run.vocabulary or rp.data.Vocabulary()
    codes = run.encode(rp.Batch(x[:8]))
    share = torch.linspace(0, 1, 7)[:, None]
    walks = torch.lerp(codes[0::2, None], codes[1::2, None], share)
    made = run.decode(walks.flatten(0, 1)).unflatten(0, walks.shape[:2])
    return {
        "samples": vocabulary.texts(run.sample(10, seed=seed)),
        "reconstructions": [
            {"read": vocabulary.decode(read), "made": vocabulary.decode(again)}
            for read, again in zip(x[:8], run.decode(codes), strict=True)
        ],
        "interpolations": [vocabulary.texts(walk) for walk in made],
    }

"""Estimate the log-likelihood of test images with pythae's ``get_nll``, with given weights.

    python pythae_likelihood.py --weights run/model.safetensors --data-dir DIR --limit 30

Once with its defaults, and once without gradients at each of some batch sizes, where the fastest
counts.
"""

import time

import torch
from elbo import images
from mnist import arguments, load_weights, tell
from pythae_vae import make_model, weights_of

BATCH_SIZES = (100, 500, 1000, 5000)
"""The default, and larger ones."""


def main() -> None:
    """Print the seconds for each way to call it, and the estimate."""
    options = arguments(__doc__, weights=None, samples=5000)
    model = make_model().eval()
    given = load_weights(options.weights)
    with torch.no_grad():
        for name, values in weights_of(model).items():
            # Each is a view of the model's weights, except the posterior's, which is a copy of two.
            values.copy_(given[name])
        for kind in ("weight", "bias"):
            mean, log_variance = given[f"posterior.{kind}"].chunk(2)
            getattr(model.encoder.mean, kind).copy_(mean)
            getattr(model.encoder.log_variance, kind).copy_(log_variance)
    x = images(options.data_dir, options.limit).reshape(-1, 1, 28, 28)
    seconds, log_likelihood = {}, 0.0
    began = time.perf_counter()
    model.get_nll(x, n_samples=options.samples)
    by_default = time.perf_counter() - began
    for size in [size for size in BATCH_SIZES if options.samples % size == 0]:
        began = time.perf_counter()
        with torch.no_grad():
            found = model.get_nll(x, n_samples=options.samples, batch_size=size)
        seconds[size] = time.perf_counter() - began
        log_likelihood = float(found)
    # get_nll returns the log-likelihood, in spite of its name.
    tell(
        seconds=min(seconds.values()),
        seconds_by_default=by_default,
        by_batch_size=seconds,
        n_images=len(x),
        samples=options.samples,
        log_likelihood=log_likelihood,
    )


if __name__ == "__main__":
    main()

"""Estimate the log-likelihood of test images with a trained run of reparam.

    python reparam_likelihood.py --run runs/first --data-dir DIR --samples 5000

The seconds are those of ``run.evaluate``, which computes its other figures along the way.
"""

import time

from mnist import arguments, tell

import reparam as rp


def main() -> None:
    """Print the seconds and the estimate."""
    options = arguments(__doc__, run=None, samples=5000, memory=512, first=30)
    run = rp.load(options.run)
    batch = run.dataset(data_dir=options.data_dir).examples("test", limit=options.limit or None)
    began = time.perf_counter()
    result = run.evaluate(
        batch, n_samples=options.samples, max_memory_mb=options.memory, device="cpu"
    )
    seconds = time.perf_counter() - began
    # The images that pythae is measured on, to compare both estimates.
    some = rp.Batch(batch.x[: options.first])
    first = run.evaluate(some, n_samples=options.samples, device="cpu")
    tell(
        seconds=seconds,
        n_images=result.n_examples,
        samples=options.samples,
        memory_mb=options.memory,
        log_likelihood=result.log_likelihood,
        stderr=result.log_likelihood_stderr,
        log_likelihood_of_first=first.log_likelihood,
    )


if __name__ == "__main__":
    main()

"""Scores of outliers by PyOD's VAE with its defaults, in an environment that has pyod.

    python pyod_scores.py --rows rows.npz --scores scores.npy --seed 0

The file of rows has ``train`` and ``test``. PyOD standardizes the columns itself, by those of
``train``. A score is the distance of a row from its reconstruction. With the defaults the KL
divergence is cut to a capacity of 0, so that it is no part of the loss.
"""

import time

import numpy as np
from mnist import arguments, tell
from pyod.models.vae import VAE


def main() -> None:
    """Fit, store the scores of the test rows, and print the seconds."""
    options = arguments(__doc__, rows=None, scores=None)
    with np.load(options.rows, allow_pickle=False) as stored:
        train, test = stored["train"], stored["test"]
    began = time.perf_counter()
    vae = VAE(random_state=options.seed, device="cpu", verbose=0).fit(train)
    fitted = time.perf_counter()
    np.save(options.scores, vae.decision_function(test))
    tell(fit_s=fitted - began, score_s=time.perf_counter() - fitted)


if __name__ == "__main__":
    main()

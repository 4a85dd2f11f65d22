"""SCVI with its defaults on counts of cells, in an environment that has scvi-tools.

    python scvi_cells.py --rows cells.npz --codes codes.npy --seed 0

The file has the counts ``x`` of all cells, and the numbers of the ``held`` ones, which are what
scvi-tools calls validation cells. Figures are means over these, in nats for a cell, higher is
better. They are of the counts given the total of their cell (``use_observed_lib_size``, a default).
"""

import time

import numpy as np
from anndata import AnnData
from mnist import arguments, tell
from scvi import settings
from scvi.model import SCVI


def main() -> None:
    """Fit, store the codes of all cells, and print the figures and the seconds."""
    options = arguments(__doc__, rows=None, codes=None, draws=200, early_stopping=0)
    settings.seed = options.seed
    with np.load(options.rows, allow_pickle=False) as stored:
        x, held = stored["x"].astype(np.float32), stored["held"]
    rest = np.setdiff1d(np.arange(len(x)), held)
    cells = AnnData(x)
    SCVI.setup_anndata(cells)
    model = SCVI(cells, n_latent=10, gene_likelihood="zinb")
    began = time.perf_counter()
    model.train(
        accelerator="cpu",
        early_stopping=bool(options.early_stopping),
        enable_progress_bar=False,
        datasplitter_kwargs={"external_indexing": [rest, held]},
    )
    seconds = time.perf_counter() - began
    # One draw of z for each cell in each call.
    bounds = [float(model.get_elbo(indices=held)) for _ in range(options.draws)]
    # Its own mean is one of batches, the last of which is smaller.
    likelihoods = model.get_marginal_ll(indices=held, n_mc_samples=options.draws, return_mean=False)
    np.save(options.codes, model.get_latent_representation())
    tell(
        elbo=float(np.mean(bounds)),
        log_likelihood=float(likelihoods.mean()),
        epochs=len(model.history["elbo_train"]),
        seconds=seconds,
    )


if __name__ == "__main__":
    main()

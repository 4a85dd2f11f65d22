"""``reparam plot``: draw loss curves and the latent space."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from reparam import plots
from reparam.cli.options import ExampleOptions, RunOptions
from reparam.cli.output import elsewhere
from reparam.cli.parse import verb
from reparam.evaluation import evaluate
from reparam.evaluation.latents.activity import kl_from_standard_normal
from reparam.models.latent import LatentModel
from reparam.pictures import grid, is_picturable, save
from reparam.plots.clusters import N_COLUMNS, member_rows, sample_rows
from reparam.priors import Mixture, Standardized, StandardNormal
from reparam.runs.run import Run


@dataclass(frozen=True)
class Options:
    """Draw a run: loss curves, the latent codes by class, the KL of each dimension.

    For two latents it also draws their scatter plot and a 15 × 15 grid of decoded quantiles, of the
    standard normal prior or, where the prior was fitted to the codes, of the Gaussian with their
    mean and covariance, where a step to the right may change both. For clusters of images it draws
    a row of members and a row of samples of each cluster.

    Arguments:
        out: The folder of the pictures; the run's own by default.
    """

    run: RunOptions
    examples: ExampleOptions
    out: Path | None = None


@verb
def main(options: Options) -> None:
    """Draw the plots of a run and print their files."""
    run = options.run.load()
    folder = options.out or options.run.folder / "pictures"
    with elsewhere(options.out):
        made = draw(run, options, folder)
    for path in made:
        print(path)


def draw(run: Run, options: Options, folder: Path) -> list[Path]:
    """Draw all plots that a run has, and return their files."""
    made: list[Path] = []
    batch = None
    if isinstance(run.model, LatentModel) and (options.examples.data or run.has_named_data):
        # An unknown split is refused before anything is drawn.
        data = options.examples.dataset(run)
        batch = run.examples(data, options.examples.split, options.run.seed)
    if run.rows:
        made.append(folder / "curves.png")
        plots.save_figure(plots.loss_curves(run.rows), made[-1])
    if batch is None:
        return made
    made.append(folder / "latent.png")
    figure = plots.latent_scatter(run.encode(batch), batch.y, data.class_names)
    plots.save_figure(figure, made[-1])
    result = evaluate(run.model, batch, run.spec, n_samples=1, device=run.device)
    parts = [value for value in result.kl_per_dimension or () if value is not None]
    if not parts and isinstance(run.model.prior, Standardized):
        found = kl_from_standard_normal(run.latent_model, batch)
        parts = [] if found is None else found.mean(0).tolist()
    if parts:
        made.append(folder / "kl-per-dimension.png")
        plots.save_figure(plots.kl_per_dimension(parts), made[-1])
    if batch.c is not None or not is_picturable(run.spec):
        return made
    prior = run.model.prior
    if result.latent_dim == 2 and isinstance(prior, StandardNormal | Standardized):
        made.append(folder / "quantile-grid.png")
        save(plots.quantile_grid(partial(_decoded, run), run.spec.shape), made[-1])
    if isinstance(prior, Mixture):
        model = run.latent_model
        rows = {"members": member_rows(model, batch), "samples": sample_rows(model)}
        for name, images in rows.items():
            made.append(folder / f"cluster-{name}.png")
            save(grid(images, n_columns=N_COLUMNS), made[-1])
    return made


def _decoded(run: Run, standardized: Tensor) -> Tensor:
    """Return the means of p(x | z) of standardized codes, with shape (N, D).

    A fitted prior has the mean and covariance of the codes.
    """
    prior = run.model.prior
    if isinstance(prior, Standardized):
        standardized = prior.to_codes(standardized.to(prior.loc))
    return run.decode(standardized)

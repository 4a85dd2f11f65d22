"""``reparam explore``: show an app on a trained run in the browser."""

from dataclasses import dataclass
from pathlib import Path

from reparam.cli.options import RunOptions
from reparam.cli.parse import verb
from reparam.explorer import explore
from reparam.utils.terminal import note


@dataclass(frozen=True)
class Options:
    """Explore a trained run in the browser: its latent space, and what it makes of examples.

    Moving over the latent space decodes it at once. An example is picked or uploaded, and shown
    with its reconstruction, the parts of its ELBO and its nearest training examples. Ctrl-C ends
    the app.

    Arguments:
        host: The address to listen at; by default only this machine reaches it.
        port: The port to listen at; 0 for any that is free.
        no_browser: Do not open the page in a browser.
        data_dir: The folder that holds the data set's folder; no other place is searched then.
    """

    run: RunOptions
    host: str = "127.0.0.1"
    port: int = 8080
    no_browser: bool = False
    data_dir: Path | None = None


@verb
def main(options: Options) -> None:
    """Serve the page until Ctrl-C."""
    run = options.run.load()
    if options.data_dir is not None:
        run.data = run.dataset(data_dir=options.data_dir)
    explore(
        run,
        host=options.host,
        port=options.port,
        browser=not options.no_browser,
        seed=options.run.seed,
        say=note,
    )

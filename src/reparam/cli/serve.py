"""``reparam serve``: answer requests for trained runs over HTTP."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reparam.cli.parse import verb
from reparam.errors import OptionError
from reparam.runs.load import load
from reparam.serving.limits import Limits


@dataclass(frozen=True)
class Options:
    """Answer requests for runs: encode, decode, reconstruct, sample, score and impute.

    Each run has the name of its folder: POST /runs/NAME/encode. The page of the server, /, has the
    routes with examples. Beyond this machine (--host) every request needs a key, which is read from
    a file or from the environment variable REPARAM_API_KEY.

    Arguments:
        folders: The folders of the runs.
        host: The address to listen on; 0.0.0.0 for all of this machine.
        port: The port; 0 for any that is free.
        api_key_file: The file that holds the key.
        device: The device: auto, cpu, cuda, cuda:1 ...
        drain_seconds: The time for requests that were taken before the server is stopped.
    """

    folders: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN")]
    limits: Limits
    host: str = "127.0.0.1"
    port: int = 8000
    api_key_file: Path | None = None
    device: str = "auto"
    drain_seconds: int = 30


def named(folders: Iterable[Path]) -> dict[str, Path]:
    """Return folders by their names.

    Raises:
        OptionError: Two folders of one name.

    Example:
        >>> sorted(named([Path("runs/a"), Path("runs/b")]))
        ['a', 'b']
    """
    found: dict[str, Path] = {}
    for folder in folders:
        name = folder.resolve().name
        if name in found:
            raise OptionError(
                f"{found[name]} and {folder} have the same name, by which requests find them; "
                "rename one"
            )
        found[name] = folder
    return found


@verb
def main(options: Options) -> None:
    """Serve the runs."""
    # Imported here: --help needs none of the packages of a server.
    from reparam.serving import serve

    folders = named(options.folders)
    serve(
        {name: load(folder, device=options.device) for name, folder in folders.items()},
        host=options.host,
        port=options.port,
        api_key_file=options.api_key_file,
        limits=options.limits,
        drain_seconds=options.drain_seconds,
    )

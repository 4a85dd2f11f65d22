"""``reparam pull``: fetch a model from the Hugging Face Hub, as a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reparam.cli.output import command
from reparam.cli.parse import verb
from reparam.hub import pull


@dataclass(frozen=True)
class Options:
    """Fetch a model that 'reparam push' has sent to the Hugging Face Hub, as the folder of a run.

    Nothing in it is executed. The address of the hub and the token are those of huggingface_hub:
    HF_ENDPOINT and HF_TOKEN, or 'hf auth login'.

    Arguments:
        repository: The repository, OWNER/NAME.
        out: The folder; runs/NAME-N by default.
        revision: The branch, tag or commit; the newest commit by default.
    """

    repository: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="REPO")]
    out: Path | None = None
    revision: str | None = None


@verb
def main(options: Options) -> None:
    """Fetch the model."""
    place = pull(options.repository, options.out, revision=options.revision)
    print(f"The model is in {place}; README.md is its card. Next:")
    for word in ("evaluate", "sample"):
        print(f"  {command()} {word} {place}")

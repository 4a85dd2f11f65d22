"""``reparam push``: send a run to the Hugging Face Hub, with a model card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reparam.cli.output import command
from reparam.cli.parse import verb
from reparam.errors import OptionError
from reparam.hub import push, save
from reparam.runs.load import load
from reparam.utils.terminal import note


@dataclass(frozen=True)
class Options:
    """Send a run to a repository of the Hugging Face Hub: its model, its figures and a model card.

    Neither training examples nor the state of training nor local paths are sent. Run 'reparam
    evaluate RUN' first, so that the card has figures. The address of the hub and the token are
    those of huggingface_hub: HF_ENDPOINT and HF_TOKEN, or 'hf auth login'.

    Arguments:
        folder: The folder of the run.
        repository: The repository, OWNER/NAME; with --dry-run it may be left out.
        license: The license of the model, such as apache-2.0, cc-by-4.0 or other.
        private: Whether only its owner may read the repository.
        message: The message of the commit.
        report: Whether to send a report too, which shows examples of the data.
        dry_run: A folder that is written in place of the repository; nothing is sent.
    """

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    license: str
    repository: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="REPO")] = None
    private: bool = False
    message: str | None = None
    report: bool = False
    dry_run: Path | None = None


@verb
def main(options: Options) -> None:
    """Send the run, or write the folder that would be sent."""
    run = load(options.folder)
    if run.kept_evaluation() is None:
        note(
            f"the card has no figures: '{command()} evaluate {options.folder}' measures them, and "
            "then push again"
        )
    if options.dry_run is not None:
        place = save(
            run,
            options.dry_run,
            license=options.license,
            repository=options.repository,
            report=options.report,
        )
        print(f"{place}  (nothing was sent; README.md is the model card)")
        return
    if options.repository is None:
        raise OptionError("reparam push needs a repository: give RUN and OWNER/NAME")
    print(
        push(
            run,
            options.repository,
            license=options.license,
            private=options.private,
            message=options.message,
            report=options.report,
        )
    )

"""Send a model folder to a repository of the Hugging Face Hub, and fetch one from there.

The address of the hub and the token are those of huggingface_hub: ``HF_ENDPOINT`` and ``HF_TOKEN``,
or the token that ``hf auth login`` has stored.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

from reparam.errors import OptionError, ReparamError, RunError
from reparam.hub.folder import FILES, MODEL_FILES, save
from reparam.runs.config import checked_config
from reparam.runs.folder import RunFolder, next_free
from reparam.runs.run import Run
from reparam.training.checkpoint import load_tensors
from reparam.utils.files import as_path, write_error
from reparam.utils.optional import optional_module
from reparam.version import __version__

if TYPE_CHECKING:
    from reparam.evaluation import Evaluation


def push(
    run: Run,
    repository: str,
    *,
    license: str,
    private: bool = False,
    message: str | None = None,
    report: bool = False,
    evaluation: "Evaluation | None" = None,
) -> str:
    """Send a trained run to a repository as a model folder with a card, and return its address.

    The repository is made where it does not exist. Of a model that it holds, every file is replaced
    or removed; other files stay.

    Arguments:
        run: The run.
        repository: The repository: ``OWNER/NAME``, or ``NAME`` for one of your own.
        license: The license of the model, such as ``apache-2.0``, ``cc-by-4.0`` or ``other``.
        private: Whether only its owner may read the repository.
        message: The message of the commit.
        report: Whether to send report.html, which shows examples of the data.
        evaluation: The figures; by default those that the run's own folder keeps.

    Raises:
        MissingPackageError: huggingface_hub is not installed.
        OptionError: No name of a repository, or a license that is no identifier.
        RunError: A run that is not finished, a token that is missing or is refused, a private model
            for a public repository, or a hub that cannot be reached.
    """
    _check_name(repository)
    from huggingface_hub import HfApi

    name = repository.rpartition("/")[2]
    with TemporaryDirectory() as place:
        folder = save(
            run,
            Path(place) / name,
            license=license,
            repository=repository,
            report=report,
            evaluation=evaluation,
        )
        with _in_a_sentence(repository):
            api = HfApi(library_name="reparam", library_version=__version__)
            made = api.create_repo(repository, private=private, exist_ok=True)
            if private and not api.model_info(made.repo_id).private:
                raise RunError(
                    f"{made.repo_id} is public already, so private=True would not hide the model: "
                    "make it private in its settings, or name another repository"
                )
            api.upload_folder(
                repo_id=made.repo_id,
                folder_path=folder,
                commit_message=message or f"Model folder of reparam {__version__}",
                allow_patterns=list(FILES),
                delete_patterns=list(FILES),
            )
    return str(made)


def pull(
    repository: str,
    out: str | Path | None = None,
    *,
    revision: str | None = None,
) -> Path:
    """Fetch a model folder from a repository, and return the folder, for ``reparam.load``.

    Only the files of a model folder are fetched, and nothing in them is executed. The checksum of
    the weights is verified.

    Arguments:
        repository: The repository: ``OWNER/NAME``.
        out: The folder; ``runs/NAME-N`` by default.
        revision: The branch, tag or commit; the newest commit by default.

    Raises:
        MissingPackageError: huggingface_hub is not installed.
        OptionError: No name of a repository.
        RunError: A repository or a revision that does not exist or holds no model of reparam, a
            folder that holds other files, or a hub that cannot be reached.
        CheckpointError: Weights that are damaged, or of a newer format.
    """
    _check_name(repository)
    from huggingface_hub import HfApi

    if out is not None:
        RunFolder(as_path(out, "out")).require_free()
    with TemporaryDirectory() as place:
        fetched = RunFolder(place)
        with _in_a_sentence(repository, revision):
            api = HfApi(library_name="reparam", library_version=__version__)
            # Without a network list_repo_files retries for half a minute, and model_info does not.
            about = api.model_info(repository, revision=revision)
            names = [file.rfilename for file in about.siblings or ()]
            missing = [name for name in MODEL_FILES if name not in names]
            if missing:
                raise RunError(
                    f"{repository} holds no model folder of reparam (no {missing[0]}): name a "
                    "repository that 'reparam push' made"
                )
            api.snapshot_download(
                repository, revision=revision, local_dir=place, allow_patterns=list(FILES)
            )
        _check(fetched, repository)
        if out is None:
            folder = next_free("runs", repository.rpartition("/")[2])
        else:
            folder = as_path(out, "out")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for file in FILES:
                if (fetched.path / file).exists():
                    shutil.move(fetched.path / file, folder / file)
        except OSError as error:
            raise write_error(folder, error) from error
    return folder


def _check_name(repository: str) -> None:
    """Refuse a text that is no name of a repository.

    Raises:
        MissingPackageError: It is not installed.
        OptionError: Another text.
    """
    utils = optional_module("huggingface_hub.utils", "hub", "sharing a model")
    try:
        utils.validate_repo_id(repository)
    except ValueError as error:
        raise OptionError(
            f"{repository!r} is no name of a repository: give OWNER/NAME, of letters, digits, '-', "
            "'_' and '.'"
        ) from error


def _check(folder: RunFolder, repository: str) -> None:
    """Refuse what was fetched where it is no model folder, before it gets its place.

    Raises:
        RunError: A configuration that is damaged.
        CheckpointError: Weights that are damaged, or of a newer format.
    """
    try:
        checked_config(folder.config(), "config.yaml")
        load_tensors(folder.model_file)
    except ReparamError as error:
        said = str(error).replace(str(folder.path), repository)
        raise type(error)(f"{said} (fetched from {repository})") from error


@contextmanager
def _in_a_sentence(repository: str, revision: str | None = None) -> Iterator[None]:
    """Turn the errors of huggingface_hub into one sentence each.

    Raises:
        RunError: What the hub refused, or that it cannot be reached.
    """
    from huggingface_hub import constants, errors, get_token

    # The root of the errors of its HTTP client, which is another one in another version of it.
    unreachable = cast(type[Exception], errors.HfHubHTTPError.__bases__[0])
    login = "set HF_TOKEN, or run: hf auth login"
    try:
        yield
    except errors.GatedRepoError as error:
        raise RunError(
            f"the owner of {repository} asks who fetches it: accept the terms on its page, and "
            f"{login}"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise RunError(
            f"there is no repository {repository}, or it is private: check the name; if it is "
            f"private, {login}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise RunError(
            f"{repository} has no revision {revision!r}: give a branch, a tag or a commit of it"
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403) and get_token() is None:
            raise RunError(f"the hub needs a token for {repository}: {login}") from error
        if status in (401, 403):
            raise RunError(
                f"the hub does not let this token use {repository} ({status}): {login}, with a "
                "token that may write"
            ) from error
        why = " ".join(str(error.server_message or error).split())
        raise RunError(f"the hub answered {status} for {repository}: {why}") from error
    except (unreachable, errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise RunError(
            f"the hub cannot be reached at {constants.ENDPOINT} for {repository}: check the "
            "network, HF_ENDPOINT and HF_HUB_OFFLINE, then try again"
        ) from error
    except (ValueError, OSError) as error:  # metadata that the hub refuses, a folder, a disk
        raise RunError(f"{repository}: {' '.join(str(error).split())}") from error

"""Separate environments for other libraries, with the same version of torch as ours."""

import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from benchmarks import process

HERE = Path(__file__).parent
WORK = HERE / "results" / ".work"
"""The folder of the environments."""

CONSTRAINTS = HERE.parent / "constraints.txt"
"""The versions that this project pins."""


@dataclass(frozen=True)
class Environment:
    """Packages that are installed apart from this project.

    Arguments:
        name: The name of the environment.
        needs: The packages and their versions.
        alone: Packages whose own requirements are not installed.
        is_pinned: Whether the other packages have the versions of this project where they can.
    """

    name: str
    needs: tuple[str, ...]
    alone: tuple[str, ...] = ()
    is_pinned: bool = True


PYTHAE = Environment(
    "pythae",
    (
        "cloudpickle>=2.1",
        "imageio",
        "numpy>=1.19",
        "pillow",
        "pydantic>=2",
        "scikit-learn",
        "scipy>=1.7.1",
        "tqdm",
        "typing-extensions",
    ),
    # It also lists ``dataclasses``, now a part of Python.
    alone=("pythae==0.1.2",),
)
"""pythae, a library of variational autoencoders."""

TABLES = Environment(
    "tables",
    ("sdmetrics==0.24.0", "ctgan==0.12.1", "xgboost==3.2.0", "scikit-learn==1.9.1"),
    is_pinned=False,
)
"""The measures of generated tables, and TVAE. Later versions of sdmetrics measure Trend in another
way."""

TABULAR_ARGN = Environment(
    "tabular-argn",
    (
        "accelerate>=1.5",
        "datasets>=3",
        "huggingface-hub>=0.30.2",
        "joblib>=1.4.2",
        "json-repair>=0.60.1",
        "numpy>=2",
        "opacus>=1.6",
        "pandas>=2.2,<3",
        "peft>=0.18.2",
        "psutil>=5.9.5,<6",
        "pyarrow>=16",
        "scikit-learn",
        "tokenizers",
        "transformers>=5.5.3",
        "xgrammar>=0.2.1",
    ),
    # It also lists torchvision and torchaudio, which tables do not need.
    alone=("mostlyai-engine==2.7.3",),
    is_pinned=False,
)
"""TabularARGN, an autoregressive network over the columns of a table."""

PYOD = Environment("pyod", ("pyod==3.6.7", "tqdm"))
"""PyOD, detectors of outliers; its VAE also needs tqdm, which it does not list."""

SCVI = Environment(
    "scvi",
    # Releases of lightning from before the two that stole credentials (GHSA-w37p-236h-pfx3).
    ("scvi-tools==1.4.2", "lightning==2.5.6", "pytorch-lightning==2.5.6"),
)
"""scvi-tools, models of the counts of cells."""


def make(environment: Environment, torch_version: str) -> Path:
    """Return the interpreter of an environment, which is made if it is not there.

    Arguments:
        environment: Its packages.
        torch_version: The version of torch, with its local part such as ``+cpu``, so that no
            build for another machine is fetched.
    """
    folder = WORK / environment.name
    python = folder / "bin" / "python"
    torch = f"torch=={torch_version}"
    done = folder / f"torch-{torch_version}.done"
    wanted = "\n".join((*environment.alone, *environment.needs))
    if done.exists() and done.read_text("utf-8") == wanted:
        return python
    print(f"an environment for {environment.name} ...", file=sys.stderr)
    venv.create(folder, clear=True, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    pip += ["-c", str(CONSTRAINTS)] if environment.is_pinned else []
    if environment.alone:
        subprocess.run([*pip, torch, "--no-deps", *environment.alone], check=True)  # noqa: S603
    subprocess.run([*pip, torch, *environment.needs], check=True)  # noqa: S603
    done.write_text(wanted, "utf-8")
    return python


def versions(environment: Environment, torch_version: str) -> dict[str, str]:
    """Return the versions of torch and of the packages that an environment names, as installed.

    Arguments:
        environment: Its packages.
        torch_version: The version of torch, as in ``make``.
    """
    names = [Requirement(text).name for text in (*environment.alone, *environment.needs)]
    command = [str(make(environment, torch_version)), "-c", _TELL_VERSIONS, "torch", *names]
    found: dict[str, str] = process.run(command, {})["result"]
    return found


_TELL_VERSIONS = (
    "import json, sys; from importlib.metadata import version; "
    "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
)

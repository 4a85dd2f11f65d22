"""A separate environment for pythae, with the same version of torch as ours."""

import subprocess
import venv
from pathlib import Path

VERSION = "0.1.2"
NEEDS = (
    "cloudpickle>=2.1",
    "imageio",
    "numpy>=1.19",
    "pillow",
    "pydantic>=2",
    "scikit-learn",
    "scipy>=1.7.1",
    "tqdm",
    "typing-extensions",
)
"""The requirements of pythae beside torch. It also lists ``dataclasses``, now a part of Python."""


def make(folder: Path, torch_version: str, constraints: Path) -> Path:
    """Return the interpreter of the environment, which is made if it is not there.

    Arguments:
        folder: Where it goes.
        torch_version: The version of torch, with its local part such as ``+cpu``, so that no
            build for another machine is fetched.
        constraints: The versions that this project pins.
    """
    python = folder / "bin" / "python"
    done = folder / f"pythae-{VERSION}-torch-{torch_version}"
    if done.exists():
        return python
    venv.create(folder, clear=True, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "-c", str(constraints)]
    for what in ([f"torch=={torch_version}"], ["--no-deps", f"pythae=={VERSION}"], list(NEEDS)):
        subprocess.run([*pip, *what], check=True)  # noqa: S603
    done.touch()
    return python

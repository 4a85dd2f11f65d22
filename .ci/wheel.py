"""Build the wheel and the source distribution, install the wheel, and use it.

The build has an environment with hatchling alone. The wheel is installed into a new environment,
which borrows the other packages of this one: what is tested is the wheel, and not the source tree,
and nothing large is installed again. ``make wheel`` and ``.ci/run`` call this script.
"""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "reparam"

IMPORTS = """
import pkgutil, sys
from importlib import import_module
import reparam
assert reparam.__file__.startswith(sys.prefix), f"not the installed one: {reparam.__file__}"
names = [part.name for part in pkgutil.walk_packages(reparam.__path__, "reparam.")]
for name in names:
    if not name.endswith("__main__"):
        import_module(name)
for name in reparam.__all__:
    getattr(reparam, name)
"""
"""Imports every module and every public name of the installed package."""

SMOKE = (
    "--version",
    "models vae",
    "train vae --steps 20 --hidden 8 --latent-dim 2 --lr 0.001 --out run",  # and its report
    "evaluate run --n-samples 2",
    "sample run",
    "push run --license mit --dry-run folder",
    "sample folder --out folder.png",
)
"""The commands that the installed wheel must run."""


def run(*words: object, at: Path = ROOT) -> None:
    """Run a command without the paths of the source tree, and end here if it fails."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    line = [str(word) for word in words]
    done = subprocess.run(line, cwd=at, env=environment, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        sys.exit(f"{' '.join(line)}\n{done.stdout}{done.stderr}failed with {done.returncode}")


def made(place: Path, *, with_pip: bool) -> Path:
    """Return the Python of a new environment."""
    venv.create(place, with_pip=with_pip)
    return place / "bin" / "python"


def expected() -> set[str]:
    """Return the files of the package in the source tree, as a wheel holds them."""
    found = (path for path in PACKAGE.rglob("*") if path.is_file())
    return {str(p.relative_to(PACKAGE.parent)) for p in found if "__pycache__" not in p.parts}


def contents(wheel: Path) -> set[str]:
    """Return the files of the package in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def compare(what: str, found: set[str], needed: set[str]) -> None:
    """End here if files are missing, or are there and should not be."""
    if found != needed:
        missing, more = sorted(needed - found), sorted(found - needed)
        sys.exit(f"{what}: missing {missing or 'nothing'}, and too many {more or 'none'}")


def main() -> None:
    """Build, install and use."""
    with TemporaryDirectory() as name:
        place = Path(name)
        pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")

        builder = made(place / "build", with_pip=True)
        run(builder, *pip, "install", "hatchling>=1.27")
        run(builder, "-m", "hatchling", "build", "-d", place / "dist")
        (wheel,) = (place / "dist").glob("*.whl")
        (source,) = (place / "dist").glob("*.tar.gz")
        needed = expected()
        for data in ("py.typed", "__init__.pyi", "report/static/page.html.j2"):
            if f"reparam/{data}" not in needed:
                sys.exit(f"the source tree has no {data}")
        compare(wheel.name, contents(wheel), needed)

        with tarfile.open(source) as archive:
            archive.extractall(place / "source", filter="data")
        (tree,) = (place / "source").iterdir()
        for document in ("README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "tests"):
            if not (tree / document).exists():
                sys.exit(f"{source.name} has no {document}")
        run(builder, "-m", "hatchling", "build", "-t", "wheel", "-d", place / "again", at=tree)
        (again,) = (place / "again").glob("*.whl")
        compare(f"the wheel of {source.name}", contents(again), needed)

        python = made(place / "clean", with_pip=False)
        # A folder in a .pth file is searched, but its own .pth files are not read, so that the
        # source tree, which is installed there as editable, stays out of sight.
        site = sysconfig.get_path("purelib", vars={"base": str(place / "clean")})
        run(builder, *pip, "--python", python, "install", "--no-deps", wheel)
        (Path(site) / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
        run(builder, *pip, "--python", python, "check")
        run(python, "-c", IMPORTS, at=place)
        for command in SMOKE:
            run(python.with_name("reparam"), *command.split(), at=place)
        for file in ("run/report.html", "folder/README.md", "folder.png"):
            if not (place / file).is_file():
                sys.exit(f"the installed wheel made no {file}")
        print(f"{wheel.name} and {source.name} are sound")


if __name__ == "__main__":
    main()

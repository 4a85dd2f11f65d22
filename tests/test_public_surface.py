"""What is said to be there is there: every documented name, and nothing that is not exported."""

import inspect
import pkgutil
import re
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType

import pytest
from torch import nn
from torch.distributions import Distribution

import reparam as rp
from reparam import objectives
from reparam.families import Family
from reparam.variants import get, names
from tests.support import ROOT

TEXTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PUBLIC = sorted(name for name in rp.__all__ if isinstance(getattr(rp, name), ModuleType))


def walked(package: ModuleType) -> list[ModuleType]:
    """Return the modules of a package, and the package itself."""
    found = [package]
    for part in pkgutil.walk_packages(getattr(package, "__path__", []), f"{package.__name__}."):
        if not part.name.endswith("__main__"):
            found.append(import_module(part.name))
    return found


def defined(package: ModuleType, kind: type) -> set[str]:
    """Return the names of the public classes of a kind that a package defines."""
    return {
        name
        for module in walked(package)
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, kind)
        and value.__module__.startswith(package.__name__)
        and not name.startswith("_")
    }


def test_every_name_of_the_package_is_there() -> None:
    for name in rp.__all__:
        assert getattr(rp, name) is not None
    assert set(rp.__all__) < set(dir(rp))
    assert {"plots", "training", "schedules", "variants"} <= set(rp.__all__)
    with pytest.raises(AttributeError, match=r"no attribute 'varients': did you mean 'variants'"):
        rp.varients  # noqa: B018


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_module_says_what_it_has(name: str) -> None:
    module = getattr(rp, name)
    assert len(set(module.__all__)) == len(module.__all__)
    for exported in module.__all__:
        value = getattr(module, exported)
        assert exported in dir(module)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"{name}.{exported} says nothing of itself"


@pytest.mark.parametrize("name", names())
def test_every_variant_is_reachable(name: str) -> None:
    attribute = name.replace("-", "_")
    assert getattr(rp.variants, attribute) is get(name).builder
    assert attribute in rp.variants.__all__


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (rp.families, Family),
        (rp.distributions, Distribution),
        (rp.nn, nn.Module),
        (rp.priors, nn.Module),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_all_of_a_kind_are_exported(module: ModuleType, kind: type) -> None:
    assert defined(module, kind) <= set(module.__all__)


def test_all_objectives_are_exported() -> None:
    found = {
        name
        for module in walked(rp.objectives)
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, objectives.ModelObjective)
        and value.__module__.startswith("reparam.objectives")
        and not name.startswith("_")
    }
    assert found <= set(rp.objectives.__all__)


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_every_name_that_a_text_has_is_there(text: Path) -> None:
    said = re.findall(r"\brp((?:\.[A-Za-z_]\w*)+)", text.read_text(encoding="utf-8"))
    for path in said:
        found = rp
        for name in path.removeprefix(".").split("."):
            assert hasattr(found, name), f"rp{path}"
            found = getattr(found, name)


def test_every_variant_that_a_text_has_is_there() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert rows == list(names())


def test_examples_of_docstrings_import_what_is_there() -> None:
    for module in walked(rp):
        source = inspect.getsource(module)
        for place, imported in re.findall(r">>> from (reparam[\w.]*) import ([\w, ]+)", source):
            for name in imported.split(","):
                held = import_module(place)
                inside = hasattr(held, name.strip())
                assert inside or import_module(f"{place}.{name.strip()}")


def test_every_new_name_of_the_changelog_is_there() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]*`reparam\.[^|]* \| ([^|]+) \|$", text, re.MULTILINE)
    paths: list[str] = []
    for name in re.findall(r"`(reparam\.[\w.]+|\.\w+)[^`]*`", " ".join(rows)):
        # `.b` after `reparam.x.a` is reparam.x.b.
        paths.append(f"{paths[-1].rpartition('.')[0]}{name}" if name[0] == "." else name)
    assert paths
    for path in paths:
        assert resolve_name(path) is not None, path

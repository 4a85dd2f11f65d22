"""The floors of the package: imports point down only, and no files import each other in a circle.

The tables here are the rule, and ``docs/architecture.md`` shows them.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from pkgutil import resolve_name

import pytest

from reparam.utils.lazy import stub_imports
from tests.support import ROOT

PACKAGE = "reparam"

FLOORS: list[set[str]] = [
    {"cycles", "errors", "times", "version"},
    {"utils", "formulas"},
    {"schema"},
    {"batch", "spec", "distributions"},
    {"nn", "isolation", "sharing", "divergence", "mmd", "pictures"},
    {"families", "priors", "data"},
    {"models"},
    {"objectives"},
    {"variants", "training", "evaluation"},
    {"comparison", "diagnostics", "plots"},
    {"report", "export"},
    {"runs"},
    {"estimators", "serving", "explorer", "hub"},
    {"cli", "doctor", "__main__"},
]
"""The files and folders of ``src/reparam``, from the ground up; each may import all below it."""

WITHIN = {("__main__", "cli")}
"""The imports that are allowed on one floor: the first may import the second."""

NEVER = {("training", "data")}
"""Imports from a lower floor that are not allowed."""

FLOOR_OF = {part: number for number, floor in enumerate(FLOORS, 1) for part in floor}


def module_name(path: Path) -> str:
    """Return the dotted name of a file of the package."""
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted((ROOT / "src" / PACKAGE).rglob("*.py"))}

STUBS = {
    module_name(path): stub_imports(path.read_text(encoding="utf-8"))
    for path in (ROOT / "src" / PACKAGE).rglob("*.pyi")
}
"""The modules of the public names of packages that import them lazily."""


def imported_by(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield the files of the package that a syntax tree imports anywhere, with the line."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import in line {node.lineno}"
            # What is imported from a package is a file of it, or a name in its __init__ or stub.
            stub = STUBS.get(str(node.module), {})
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [
                name if name in FILES else stub.get(alias.name, (str(node.module), ""))[0]
                for name, alias in zip(inner, node.names, strict=True)
            ]
        for name in names:
            if name.partition(".")[0] == PACKAGE:
                assert name in FILES, f"{name} in line {node.lineno} is no file of the package"
                yield name, node.lineno


IMPORTS = {
    name: list(imported_by(ast.parse(path.read_text(encoding="utf-8"))))
    for name, path in FILES.items()
}


def part_of(name: str) -> str:
    """Return the file or folder of the package that a module lies in."""
    return name.split(".")[1] if "." in name else PACKAGE


def test_every_part_has_a_floor() -> None:
    assert {part_of(name) for name in FILES} - {PACKAGE} == set(FLOOR_OF)


@pytest.mark.parametrize("part", sorted(FLOOR_OF))
def test_imports_point_down(part: str) -> None:
    wrong = [
        f"{FILES[name].relative_to(ROOT)}:{line} imports {other}"
        for name, imports in IMPORTS.items()
        for other, line in imports
        if part_of(name) == part and not may_import(part, part_of(other))
    ]
    assert not wrong


def may_import(part: str, other: str) -> bool:
    if part == other or (part, other) in WITHIN:
        return True
    return FLOOR_OF.get(other, len(FLOORS)) < FLOOR_OF[part] and (part, other) not in NEVER


def test_the_package_itself_imports_lazily() -> None:
    assert {part_of(other) for other, _ in IMPORTS[PACKAGE]} <= {"utils", "errors", "version"}


def test_no_files_import_each_other_in_a_circle() -> None:
    # What imports nothing that is left is taken away, until nothing is left, or a circle.
    left: Mapping[str, set[str]] = {
        name: {other for other, _ in imports if other != name} for name, imports in IMPORTS.items()
    }
    while ground := {name for name, imports in left.items() if not imports & left.keys()}:
        left = {name: imports for name, imports in left.items() if name not in ground}
    # Neither what stands on a circle nor what it stands on is a part of it.
    while free := left.keys() - {other for imports in left.values() for other in imports}:
        left = {name: imports for name, imports in left.items() if name not in free}
    assert not sorted(left)


def test_the_page_shows_these_floors() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", page, re.MULTILINE)
    shown = {int(number): set(re.findall(r"`(\w+)/?`", parts)) for number, parts in rows}
    assert shown == dict(enumerate(FLOORS, 1))
    assert set(re.findall(r"`(\w+)/?` may import\s`(\w+)/?`", page)) == WITHIN
    assert set(re.findall(r"`(\w+)/?` never imports\s`(\w+)/?`", page)) == NEVER


def test_the_page_names_what_is_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for place, name in re.findall(r"`(?!tests/)((?:\w+/)*\w+\.py)(?:: ([\w.]+))?`", page):
        found = f"{PACKAGE}.{place.removesuffix('.py').replace('/', '.')}"
        assert found in FILES, place
        if name:
            resolve_name(f"{found}:{name}")
    for folder in re.findall(r"`((?:\w+/)+)`", page):
        assert (ROOT / "src" / PACKAGE / folder).exists() or (ROOT / folder).exists(), folder

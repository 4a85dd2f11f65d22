"""The extensions of the site: formulas become MathML, and docstrings are no markup by accident."""

import sys
from importlib import import_module
from types import ModuleType
from xml.etree import ElementTree

import pytest

from reparam.variants import get, names
from tests.support import ROOT

pytest.importorskip("sphinx")


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "extensions"))
    yield import_module(request.param)
    sys.modules.pop(request.param)


@pytest.mark.parametrize("extension", ["mathml"], indirect=True)
@pytest.mark.parametrize(
    ("tex", "said"),
    [
        (r"\tfrac12 \dots \Big|", "12…|"),
        (r"a &= b \\ c &= d", "a=bc=d"),
        (r"\log p(x)", "log\u2061p(x)"),
        (r"\underbrace{x}_{y}", "x⏟y"),
        (r"\overline{x}", "x"),
    ],
)
def test_formulas_become_mathml(extension: ModuleType, tex: str, said: str) -> None:
    root = ElementTree.fromstring(extension.mathml(tex, as_block=True))  # noqa: S314
    assert "".join("".join(root.itertext()).split()) == said


@pytest.mark.parametrize("extension", ["mathml"], indirect=True)
def test_words_stand_under_a_brace(extension: ModuleType) -> None:
    found = extension.mathml(r"\underbrace{x}_{y}", as_block=True)
    assert found.count("<munder>") == 2
    assert "<msub>" not in found


@pytest.mark.parametrize("extension", ["mathml"], indirect=True)
@pytest.mark.parametrize("name", names())
def test_the_formulas_of_every_variant_become_mathml(extension: ModuleType, name: str) -> None:
    found = get(name).description
    for tex in (found.process, found.posterior, found.objective):
        ElementTree.fromstring(extension.mathml(tex, as_block=True))  # noqa: S314


@pytest.mark.parametrize("extension", ["plain_docstrings"], indirect=True)
def test_docstrings_are_no_markup_by_accident(extension: ModuleType) -> None:
    lines = [
        "Draws of p(x | z) with shape (N, *shape), see ``*args`` and :math:`a_1 |",
        "b_1|`, from the code z_ of",
        "",
        ".. math:: x_1 | x_2",
        "",
        "Example:",
        "    >>> f(*x_)",
    ]
    assert extension.escaped(lines) == [
        r"Draws of p(x \| z) with shape (N, \*shape), see ``*args`` and :math:`a_1 |",
        r"b_1|`, from the code z\_ of",
        "",
        ".. math:: x_1 | x_2",
        "",
        "Example:",
        "    >>> f(*x_)",
    ]


@pytest.mark.parametrize("extension", ["written_pages"], indirect=True)
@pytest.mark.parametrize("name", names())
def test_every_variant_has_a_page_with_all_its_parts(extension: ModuleType, name: str) -> None:
    page = extension.variant_page(get(name))
    for title in (
        "When to use it",
        "Limits",
        "Generative process",
        "Objective",
        "Symbols",
        "How to train it",
        "Options",
    ):
        assert f"\n## {title}\n" in page
    if name in extension.FIGURES:
        experiment, kind, _ = extension.FIGURES[name]
        assert (ROOT / "docs" / "reproduced" / f"{experiment}-{kind}.png").exists()

"""Reports on runs of every kind: self-contained, escaped, and with their parts."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import reparam as rp
from reparam.errors import OptionError
from reparam.report import report
from reparam.report.rows import _edges
from tests.report.kinds import QUICK, digits, fitted, reported, rng
from tests.support import reparam

MB = 1e6

EXPECTED = {
    "images": {"samples", "reconstructions", "map", "interpolations", "traversals", "memory"},
    "grey": {"samples", "reconstructions", "map", "interpolations", "traversals", "memory"},
    "two": {"samples", "map", "dimensions"},
    "convolutions": {"samples", "map", "traversals"},
    "condition": {"samples", "reconstructions", "map", "interpolations", "traversals"},
    "codes": {"samples"},
    "autoencoder": {"reconstructions", "map"},
    "hierarchy": {"samples", "map", "layers"},
    "numbers": {"columns", "correlations", "map", "traversals", "interpolations"},
    "mixed": {"columns", "correlations", "map", "reconstructions", "traversals"},
    "one whole column": {"columns", "correlations", "map"},
    "covariates": {"columns", "correlations", "map", "interpolations"},
    "counts": {"counts", "map", "reconstructions"},
}


class Outline(HTMLParser):
    """The tags of a page: headings, pictures without a text, ids, and what is left open."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.ids: list[str] = []
        self.nameless: list[str] = []
        self.frames: list[dict[str, Any]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        of = dict(attrs)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag in ("section", "article") or tag.startswith("h"):
            self.ids += [str(of["id"])] if "id" in of else []
        if (tag == "img" and not of.get("alt")) or (tag == "svg" and not of.get("aria-label")):
            self.nameless.append(tag)
        if tag == "canvas" and not of.get("aria-label"):
            self.nameless.append(tag)
        if tag == "iframe":
            self.frames.append(of)


def require_good_page(page: str) -> None:
    """Require a page that needs nothing else, with texts for pictures and headings in order."""
    assert len(page) < 6 * MB
    for address in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert address.startswith(("data:", "#")), address
    assert not re.search(r"url\(\s*['\"]?http|@import|fetch\(|XMLHttpRequest", page)
    outline = Outline()
    outline.feed(page)
    assert not outline.nameless
    assert outline.levels.count(1) == 1
    steps = zip(outline.levels, outline.levels[1:], strict=False)
    assert all(after <= before + 1 for before, after in steps)
    assert len(set(outline.ids)) == len(outline.ids)
    anchors = set(re.findall(r'<a href="#([^"]*)"', page))
    assert anchors <= set(outline.ids)


FAST = ("images", "condition", "numbers", "mixed", "counts")
"""The kinds of the fast suite, each with other parts."""


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=() if k in FAST else pytest.mark.slow) for k in EXPECTED]
)
def test_a_page_needs_nothing_else_and_has_its_parts(kind: str) -> None:
    page = reported(kind).html
    require_good_page(page)
    found = set(re.findall(r'<section id="([a-z]+)-1"', page))
    assert found >= EXPECTED[kind] | {"overview", "figures", "curves", "doctor"}
    assert "could not be made" not in page
    for section in re.split("<section ", page)[1:]:
        assert re.search(r'<p class="meaning">[^<]{20,}', section)


def test_names_are_escaped() -> None:
    name = "<script>alert(1)</script>"
    rows = pd.DataFrame({name: rng().normal(size=100), "b": rng().normal(size=100)})
    data = rp.data.from_arrays(rows, name=name)
    page = report(rp.fit(rp.variants.vae, data, **QUICK), n_samples=2).html
    assert "<script>alert" not in page


def test_several_runs_are_compared() -> None:
    runs = fitted("images"), fitted("two")
    found = report(*runs, n_samples=3)
    assert found.title == "2 runs"
    require_good_page(found.html)
    for anchor in ("all-0", "differences-0", "all-curves-0", "all-samples-0", "samples-2"):
        assert f'id="{anchor}"' in found.html
    # The difference is that of the pairs, by hand.
    batch = runs[0].data.some("test", 2000, 0).examples("train", 0)
    elbos = [run.evaluate(batch, n_samples=3)["elbo"].per_example for run in runs]
    difference = (elbos[1] - elbos[0]).mean()
    assert f"{float(difference):.2f}" in found.html


def test_runs_on_other_data_are_not_compared() -> None:
    page = report(fitted("images"), fitted("numbers"), n_samples=3).html
    require_good_page(page)
    assert "The runs are not compared example by example" in page
    assert "compare runs on the same data" in page


def test_a_frame_of_a_notebook_holds_the_page_exactly() -> None:
    name = """a 'b' "c" <i> & &amp; </script> \N{GREEK SMALL LETTER MU}"""
    data = rp.data.from_arrays(rng().normal(size=(60, 2)), name=name)
    found = report(rp.fit(rp.variants.vae, data, **QUICK), n_samples=2)
    outline = Outline()
    outline.feed(found._repr_html_())
    (frame,) = outline.frames
    assert frame["srcdoc"] == found.html
    assert frame["loading"] == "lazy"


def test_no_run_is_refused() -> None:
    with pytest.raises(OptionError, match="give one run or more"):
        report()


def test_the_command_line_writes_it_into_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    rp.fit(rp.variants.vae, digits(), out=folder, **QUICK)
    said = reparam("report", folder, "--n-samples 2").err
    assert f"wrote {folder / 'report.html'}" in said
    assert "<!doctype html>" in (folder / "report.html").read_text(encoding="utf-8")


def luminance(color: str) -> float:
    """Return the relative luminance of a color, by WCAG 2.1."""
    shades = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in shades)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text_has_the_contrast_of_level_aa() -> None:
    style = (Path(rp.report.__file__).parent / "static" / "style.css").read_text(encoding="utf-8")
    schemes = [dict(re.findall(r"--(\w+): (#\w{6})", one)) for one in style.split(":root")[1:]]
    assert len(schemes) == 3  # light, dark and print
    for colors in schemes:
        for ink in ("ink", "soft", "accent", "problem", "advice"):
            for paper in ("paper", "card"):
                both = sorted(luminance(colors[name]) for name in (ink, paper))
                assert (both[1] + 0.05) / (both[0] + 0.05) >= 4.5, (ink, paper)


def test_bars_leave_out_the_extremes() -> None:
    values = np.r_[np.linspace(0, 1, 999), 1e6]
    edges, is_logarithmic = _edges(values)
    assert 0.9 < edges[-1] < 1.1
    assert not is_logarithmic
    edges, is_logarithmic = _edges(np.geomspace(1, 1e6, 1000))
    assert is_logarithmic
    np.testing.assert_allclose(edges[1:] / edges[:-1], edges[1] / edges[0])

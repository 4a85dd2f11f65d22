"""The documents beside the code: their versions, counts and links are those of today."""

import re
from typing import Any

import yaml

from reparam.training.checkpoint import FORMAT
from reparam.version import __version__
from tests.support import ROOT
from tests.test_architecture import FLOORS


def test_the_citation_is_that_of_the_format_and_the_version() -> None:
    found: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    # What the schema of version 1.2.0 of the Citation File Format requires, and its types.
    assert {"cff-version", "message", "title", "authors"} <= found.keys()
    assert found["cff-version"] == "1.2.0"
    assert found["type"] == "software"
    assert found["license"] == "Apache-2.0"
    for author in found["authors"]:
        assert author.keys() <= {"name", "website"} or {"family-names"} <= author.keys()
    assert all(isinstance(found[name], str) for name in ("message", "title", "abstract", "version"))
    assert len(set(found["keywords"])) == len(found["keywords"])
    assert found["version"] == __version__


def test_the_policy_has_the_format_of_today() -> None:
    text = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    assert f"Today it is {FORMAT}." in text


def test_the_guide_of_contributors_counts_the_floors() -> None:
    words = {10: "ten", 11: "eleven", 12: "twelve", 13: "thirteen", 14: "fourteen"}
    for name in ("CONTRIBUTING.md", "docs/architecture.md"):
        assert f"has {words[len(FLOORS)]} floors" in (ROOT / name).read_text(encoding="utf-8")


def test_links_of_the_security_policy_lead_somewhere() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), target

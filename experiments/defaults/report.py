"""x"""

from experiments.ledger.provenance import ROOT

PAGE = ROOT / "docs" / "defaults.md"


def page(rows):
    return ""

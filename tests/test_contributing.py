"""The costs that CONTRIBUTING.md states for parts whose examples lie in several tests."""

import ast
import re

import pytest

from tests.support import ROOT


@pytest.mark.parametrize(
    ("extension", "test", "constant"),
    [
        ("data kind", "data", "SOURCE"),
        ("figure", "evaluation", "FIGURE"),
        ("verb", "cli", "VERB"),
    ],
)
def test_the_table_states_the_lines_of_the_example(
    extension: str, test: str, constant: str
) -> None:
    source = (ROOT / "tests" / test / "test_extension.py").read_text(encoding="utf-8")
    (example,) = [
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == constant
    ]
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {extension} \| (\d+) \| (\d+) \|", table, re.MULTILINE)
    assert row == ("1", str(sum(bool(line.strip()) for line in example.splitlines())))

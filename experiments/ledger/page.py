"""The page of stored results: one table after another, in Markdown."""

from pathlib import Path
from typing import Any

from experiments.ledger.provenance import words
from experiments.ledger.records import read_json
from experiments.ledger.rows import Row, markdown, verdict
from reparam.errors import DataError

HEADING = """# Reproduced figures

Written by `reparam reproduce --page`, from the JSON files in the folder of the same name; do not
edit. Errors are standard errors, over test images unless a row states otherwise. Seconds are
wall-clock time, on a machine that may have been shared.
"""


def write_page(folder: Path) -> Path:
    """Write the page of a folder of stored results beside it, as ``FOLDER.md``, and return it.

    Arguments:
        folder: The folder of the JSON files that ``reparam reproduce NAME --out`` wrote.

    Raises:
        DataError: A folder without results, a file in it that is not one, or another page at the
            place of the page.
        OSError: The page cannot be written.
    """
    folder = folder.expanduser().resolve()
    files = sorted(folder.glob("*.json"))
    if not files:
        raise DataError(f"{folder} holds no results: make one with reparam reproduce NAME --out")
    page = folder.with_name(f"{folder.name}.md")
    title = HEADING.partition("\n")[0].encode()
    if page.exists() and not page.read_bytes().startswith(title):
        raise DataError(f"{page} is not a page of results: move it, the page is written there")
    contents, sections = zip(*map(_line_and_section, files), strict=True)
    page.write_text("\n".join([HEADING, *contents, "", *sections]), encoding="utf-8")
    return page


def _line_and_section(file: Path) -> tuple[str, str]:
    """Return the line of a stored result in the table of contents, and its section."""
    try:
        result = read_json(file)
        rows = [Row.of(row) for row in result["rows"]]
        name = result["name"]
        lines = [
            *[f"## {name}", "", f"{result['protocol']}.", ""],
            *[f"Source: {result['source']}.", ""],
            *[*markdown(rows), ""],
            *[*(f"- {note}" for note in result["notes"]), ""],
            *[_origin(result, file), ""],
            *(f"![{file.stem}]({file.parent.name}/{figure})" for figure in result["figures"]),
            "",
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is not a result of reparam reproduce: {error}") from error
    return f"- [{name}](#{name}): {verdict(rows)}", "\n".join(lines)


def _origin(result: dict[str, Any], file: Path) -> str:
    used = "; earlier training runs were used" if result.get("takes_up_runs") else ""
    return (
        f"`{result['command']}`: {result['seconds']:,.0f} s on {words(result)}{used}. "
        f"All of it: [{file.name}]({file.parent.name}/{file.name})."
    )

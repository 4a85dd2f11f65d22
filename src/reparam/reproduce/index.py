"""The page of the ledger: stored results as one table after another."""

from pathlib import Path
from typing import Any

from reparam.errors import DataError
from reparam.reproduce.result import Row
from reparam.utils.files import as_path, read_json, read_text, write_atomic

HEADING = """# Reproduced figures

Written by `reparam reproduce --page`, from the JSON files in the folder of the same name; do not
edit. Errors are standard errors, over test images unless a row says otherwise. A row without a
wanted figure is only told. Seconds are those of the wall clock, on a machine that other work may
have shared.
"""


def write_page(folder: Path) -> Path:
    """Write the page of a folder of stored results beside it, as ``FOLDER.md``, and return it.

    Arguments:
        folder: Where the JSON files of ``reparam reproduce NAME --out`` lie.

    Raises:
        DataError: A folder without results, a file in it that is none, or another page in the way.
        RunError: The page cannot be written.
    """
    folder = as_path(folder)
    files = sorted(folder.glob("*.json"))
    if not files:
        raise DataError(f"{folder} holds no results: make one with reparam reproduce NAME --out")
    contents = "\n".join([*map(line, files), ""])
    page = folder.resolve().with_name(f"{folder.resolve().name}.md")
    title = HEADING.partition("\n")[0]
    if page.exists() and not _begins_with(page, title):
        raise DataError(f"{page} is no page of results: move it, for the page is to lie there")
    return write_atomic(page, "\n".join([HEADING, contents, *map(section, files)]))


def _begins_with(page: Path, title: str) -> bool:
    try:
        return read_text(page).startswith(title)
    except (OSError, ValueError):
        return False


def line(file: Path) -> str:
    """Return the line of one stored result in the table of contents.

    Raises:
        DataError: The file is no stored result.
    """
    try:
        result = read_json(file)
        met = [row["met"] for row in result["rows"] if row["met"] is not None]
        name = result["name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is no result of reparam reproduce: {error}") from error
    verdict = f"{sum(met)} of {len(met)} targets met" if met else "no targets"
    return f"- [{name}](#{name}): {verdict}"


def section(file: Path) -> str:
    """Return the Markdown of one stored result.

    Raises:
        DataError: The file is no stored result.
    """
    try:
        result = read_json(file)
        rows = [Row(**{k: v for k, v in row.items() if k != "met"}) for row in result["rows"]]
        lines = [f"## {result['name']}", "", f"{result['protocol']}.", ""]
        lines += [f"Published or claimed by: {result['source']}.", ""]
        header = ("what", "published", "ours", "unit", "wanted", "met", "training, s")
        table = [header, ["---"] * len(header), *(row.cells() for row in rows)]
        # A column that no row fills says nothing.
        used = [i for i in range(len(header)) if any(row[i] for row in table[2:])]
        lines += ["| " + " | ".join(_escaped(row[i]) for i in used) + " |" for row in table]
        lines += ["", *(f"- {note}" for note in result["notes"]), "", _origin(result, file), ""]
        lines += [f"![{file.stem}]({_link(file, name)})" for name in result["figures"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is no result of reparam reproduce: {error}") from error
    return "\n".join([*lines, ""])


def _origin(result: dict[str, Any], file: Path) -> str:
    machine = result["machine"]
    taken = "; runs that were trained before were taken up" if result.get("takes_up_runs") else ""
    return (
        f"`{result['command']}`: {result['seconds']:,.0f} s on {machine['cpu']}, "
        f"{machine['threads']} of {machine['cores']} cores, torch {machine['torch']}, "
        f"seed {result['seed']}, {result['date']}, commit {str(result['commit'])[:12]}{taken}. "
        f"All of it: [{file.name}]({_link(file, file.name)})."
    )


def _link(file: Path, name: str) -> str:
    """Return the way from the page to what lies beside a stored result."""
    return f"{file.resolve().parent.name}/{name}"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")

"""Pages that say what result files say: blocks between markers, tables, and the program that checks them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, ROOT, read
from juggler.errors import DataError, JugglerError
from juggler.files import write_atomically

Result = Mapping[str, Any]


def filled(text: str, blocks: Mapping[str, str]) -> str:
    """Return a page with each block between its markers, `<!-- name:begin -->` and `<!-- name:end -->`.

    Raises:
        DataError: a pair of markers is not there, once each and in this order.
    """
    for name, block in blocks.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        if (text.count(begin), text.count(end)) != (1, 1) or text.index(begin) > text.index(end):
            raise DataError(
                f"find where {name} goes in the page",
                f"{text.count(begin)} of {begin}, {text.count(end)} of {end}",
                "Write both once, each on a line of its own, in this order",
            )
        before, after = text[: text.index(begin)], text[text.index(end) :]
        text = f"{before}{begin}\n{block}\n{after}"
    return text


def row(cells: Sequence[str]) -> str:
    """Return a row of a table in Markdown; a bar in a cell would break it."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(row(cells) for cells in [head, ["---"] * len(head), *rows])


def folded(what: str, text: str) -> str:
    """Return text that the reader opens."""
    return f"<details markdown><summary>{what}</summary>\n\n{text}\n\n</details>"


def claims(findings: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of what was claimed and what came out."""
    rows = [[f["claim"], f["measured"], f["n"], "yes" if f["reached"] else "**no**"] for f in findings]
    return table(["claim", "measured", "over", "reached"], rows)


def options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that takes --check."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if it differs")
    return parser


def put(page: Path, make: Callable[[str], str], *, check: bool) -> int:
    """Write the page that `make` returns of its text, or check it; return the exit code."""
    try:
        text = page.read_text(encoding="utf-8")
        wanted = make(text)
    except (JugglerError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if wanted != text and check:
        print(f"{page.name}: not what the results say; run `make figures`", file=sys.stderr)
        return 1
    if wanted != text:
        write_atomically(page, wanted.encode())
    return 0


def of_results(
    page: str,
    results: Mapping[str, str],
    blocks: Callable[..., Mapping[str, str]],
    doc: str | None,
    arguments: Sequence[str] | None,
) -> int:
    """Be the program that fills docs/`page`.md from results; return the exit code.

    Args:
        page: its place in docs, such as `explain/others`.
        results: names of result files, by the option that names another.
        blocks: is given the results, in this order, and returns the blocks by their markers.
        doc: of the program.
        arguments: of the command line.
    """
    parser = options(doc)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / f"{page}.md")
    for option, name in results.items():
        parser.add_argument(f"--{option}", type=Path, default=RESULTS / f"{name}.json")
    given = parser.parse_args(arguments)

    def make(text: str) -> str:
        return filled(text, blocks(*(read(getattr(given, option)) for option in results)))

    return put(given.page, make, check=given.check)


def of_one_result(
    name: str,
    page: str,
    blocks: Mapping[str, Callable[[Result], str]],
    doc: str | None,
    arguments: Sequence[str] | None,
) -> int:
    """Be the program that fills docs/`page`.md from the result `name`; return the exit code."""

    def made(result: Result) -> dict[str, str]:
        return {key: block(result) for key, block in blocks.items()}

    return of_results(page, {"result": name}, made, doc, arguments)

"""Markdown for generated pages: tables, and docstrings as text."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
DOCS = ROOT / "docs"
MARK = "<!-- made by tools/docs/generate.py; `make figures` writes it anew -->"


def row(cells: Sequence[str]) -> str:
    """Return a row of a table; a bar in a cell would break it."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table without the columns that are empty in every row."""
    filled = [i for i in range(len(head)) if any(cells[i] for cells in rows)]
    lines = [[cells[i] for i in filled] for cells in [head, ["---"] * len(head), *rows]]
    return "\n".join(map(row, lines))


def first_line(doc: str | None) -> str:
    """Return the first line of a docstring."""
    return (doc or "").strip().partition("\n")[0].strip()


def prose(doc: str | None) -> str:
    """Return a docstring in Google's style as Markdown: its sections as bold words and lists."""
    lines = []
    for line in (doc or "").strip().splitlines():
        if match := re.fullmatch(r"(Args|Attributes|Returns|Raises|Yields|Examples?):", line):
            lines += [f"**{match[1]}**", ""]
        elif match := re.fullmatch(r"    (\*{0,2}\w+): (.*)", line):
            lines.append(f"- `{match[1]}`: {match[2]}")
        elif match := re.fullmatch(r"     +(\S.*)", line):
            lines.append(f"  {match[1]}")
        elif match := re.fullmatch(r"    (\S.*)", line):
            lines.append(match[1])
        else:
            lines.append(line)
    return "\n".join(lines)


def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def link(target: Path, page: Path, text: str) -> str:
    """Return a link from a page to a file of the repository."""
    up = "../" * len(page.relative_to(ROOT).parent.parts)
    return f"[{text}]({up}{target.relative_to(ROOT).as_posix()})"

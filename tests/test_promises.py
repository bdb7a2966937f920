"""Every promise of the page names a test that there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "docs" / "reference" / "promises.md", ROOT / "SECURITY.md")
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def promises(page: str) -> list[list[str]]:
    """Return the cells of each row under a heading, the table's own heading apart."""
    rows = [line.strip().strip("|").split("|") for line in page.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in row] for row in rows if not {row[0].strip()} & {"kind", "threat", "---"}
    ]


def missing_tests(row: list[str]) -> list[str]:
    """Return what is wrong with the tests that a row names."""
    named = NAMED.findall(row[-1])
    faults = [] if len(row) == 3 and all(row) and named else [f"{row}: a kind, a promise and a test"]
    for file, function in named:
        path = ROOT / file
        if not path.is_file():
            faults.append(f"{file}: no such file")
        elif function and function not in {
            node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)
        }:
            faults.append(f"{file}: no test {function}")
    return faults


ROWS = [row for page in PAGES for row in promises(page.read_text())]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_promise_names_tests_that_there_are(row: list[str]) -> None:
    assert not missing_tests(row)


@pytest.mark.parametrize(
    "row",
    [
        ["kind", "promise", "none"],
        ["kind", "promise", "`tests/no.py`"],
        ["k", "p", "`tests/test_lazy.py::no`"],
    ],
)
def test_a_promise_without_a_test_is_noticed(row: list[str]) -> None:
    assert missing_tests(row)

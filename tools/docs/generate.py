"""Write the pages that the code says by itself: plug-ins, the command line, the public faces.

With --check nothing is written, and the exit code is 1 where a page is not what the code says.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import faces
import plugins
import program
from markup import DOCS, MARK

from juggler.files import write_atomically


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or check them; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page differs")
    check = parser.parse_args(arguments).check
    pages = plugins.pages() | program.pages() | faces.pages()
    stale = [path for path, text in pages.items() if not path.is_file() or path.read_text("utf-8") != text]
    gone = [path for path in _generated() if path not in pages]
    if check:
        for path in [*stale, *gone]:
            print(f"{path.name}: not what the code says; run `make figures`", file=sys.stderr)
        return int(bool(stale or gone))
    for path in stale:
        write_atomically(path, pages[path].encode())
    for path in gone:
        path.unlink()
    return 0


def _generated() -> list[Path]:
    return [path for path in sorted(DOCS.rglob("*.md")) if path.read_text("utf-8").startswith(MARK)]


if __name__ == "__main__":
    sys.exit(main())

"""The tables and pictures of docs/reference/measured.md are those of the machines' files.

Reads every file of benchmarks/results/machines, writes a table between each pair of markers of the page and
one picture a machine and experiment. With --check nothing is written, and the exit code is 1 where the page
or a picture is not what the files say.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.common import RESULTS, ROOT
from benchmarks.machine_files import EXPERIMENTS, Column, read_machines
from benchmarks.pages.blocks import filled, folded, options
from benchmarks.pages.measured_besides import ceiling, energy, memory, precisions, remarks
from benchmarks.pages.measured_tables import batches, depths, escaped, gain, machines, merging, rates
from juggler.errors import JugglerError
from juggler.files import write_atomically
from juggler.report import reproduction_figure, standalone
from juggler.reproduce.results import Reproduction

PAGE = ROOT / "docs" / "reference" / "measured.md"
BLOCKS: dict[str, Callable[[Sequence[Column]], str]] = {
    "machines": machines,
    "table2": lambda columns: pictured("table2", columns, rates(columns, "table2")),
    "table3": lambda columns: pictured("table3", columns, rates(columns, "table3")),
    "merge_penalty": lambda columns: pictured("merge_penalty", columns, merging(columns)),
    "fig8": lambda columns: pictured("fig8", columns, depths(columns)),
    "fig9": lambda columns: pictured("fig9", columns, batches(columns)),
    "gain": gain,
    "precisions": precisions,
    "memory": memory,
    "ceiling": ceiling,
    "layers": lambda columns: pictured("layers", columns, rates(columns, "layers")),
    "energy": energy,
    "remarks": remarks,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and its pictures, or check them; return the exit code."""
    parser = options(__doc__)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--machines", type=Path, default=RESULTS / "machines")
    given = parser.parse_args(arguments)
    try:
        columns = read_machines(given.machines)
        text = given.page.read_text(encoding="utf-8")
        wanted = filled(text, {name: block(columns) for name, block in BLOCKS.items()})
    except (JugglerError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    folder = given.page.parent / given.page.stem
    stale = [path.name for path in pictures_to_mend(folder, columns)]
    if given.check:
        found = [*([given.page.name] if wanted != text else []), *stale]
        if found:
            print(f"{', '.join(found)}: not what the results say; run `make figures`", file=sys.stderr)
        return int(bool(found))
    draw_pictures(folder, columns)
    if wanted != text:
        write_atomically(given.page, wanted.encode())
    return 0


def pictured(experiment: str, columns: Sequence[Column], table: str) -> str:
    """Return a table below the first machine's picture; the others' pictures are folded away."""
    shown = []
    for column in columns:
        result = column.get(experiment)
        if result is not None:
            label = f"{escaped(result.title)}, {escaped(column.name)}"
            shown.append(f"![{label}](measured/{picture_name(experiment, column)})")
    rest = [folded("The same on other machines", "\n\n".join(shown[1:]))] if shown[1:] else []
    return "\n\n".join([*shown[:1], table, *rest])


def picture_name(experiment: str, column: Column) -> str:
    """Return the name of a picture's file."""
    return f"{experiment.replace('_', '-')}-{column.slug}.svg"


def wanted_pictures(columns: Sequence[Column]) -> dict[str, Reproduction]:
    """Return what is to be drawn, by the name of its file."""
    return {
        picture_name(name, column): result
        for column in columns
        for name in EXPERIMENTS
        if (result := column.get(name)) is not None
    }


def stamp(result: Reproduction) -> str:
    """Return what tells in a picture which results it shows; other releases draw the same otherwise."""
    return f"<!-- results {hashlib.sha256(result.to_json().encode()).hexdigest()[:16]} -->\n"


def pictures_to_mend(folder: Path, columns: Sequence[Column]) -> list[Path]:
    """Return the pictures that are missing, show other results, or belong to no results."""
    wanted = wanted_pictures(columns)
    missing = [
        folder / name
        for name, result in wanted.items()
        if not (folder / name).is_file()
        or not (folder / name).read_text(encoding="utf-8").endswith(stamp(result))
    ]
    return missing + [path for path in sorted(folder.glob("*.svg")) if path.name not in wanted]


def draw_pictures(folder: Path, columns: Sequence[Column]) -> None:
    """Draw every picture anew, and remove those that belong to no results."""
    wanted = wanted_pictures(columns)
    for name, result in wanted.items():
        svg = standalone(reproduction_figure(result))
        write_atomically(folder / name, f"{svg}{stamp(result)}".encode())
    for path in folder.glob("*.svg"):
        if path.name not in wanted:
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())

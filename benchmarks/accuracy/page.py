"""docs/explain/accuracy.md shows what the result files of the study say: write it, or check it.

Reads benchmarks/results/accuracy.json and accuracy_gpu.json, their races (`front.py`) and the training's
speed (`throughput.py`), as far as they are there, and writes a block between each pair of markers of the
page, the pictures and Table V as CSV in docs/explain/accuracy/. With --check nothing is written, and the
exit code is 1 where something differs.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.accuracy import pictures, tables
from benchmarks.accuracy.gaps import seeds_told
from benchmarks.accuracy.scale import STUDIES
from benchmarks.accuracy.table5 import table5, table5_csv
from benchmarks.accuracy.tables import Values
from benchmarks.common import RESULTS, ROOT, read
from benchmarks.pages import blocks
from juggler.errors import JugglerError
from juggler.files import write_atomically
from juggler.report import standalone

PAGE = ROOT / "docs" / "explain" / "accuracy.md"
NOTHING = "*The study has not been run yet: `python -m benchmarks.accuracy.run`.*"
NO_RACE = "*The race has not been run yet: `python -m benchmarks.accuracy.front --last`.*"
NO_SPEED = "*The training's speed has not been measured yet: `python -m benchmarks.accuracy.throughput`.*"
NUMBERED = ("findings", "table5", "gaps", "front", "ablation")
"""Blocks beneath which stands what must be said beside every number."""
PICTURES = {"fig7": "Fig. 7", "ablation": "The ablation", "front": "Accuracy against latency"}


@dataclass(frozen=True)
class Study:
    """A preset's results.

    Attributes:
        preset: its name.
        result: what training came to.
        front: what the race came to, where there was one.
    """

    preset: str
    result: Values
    front: Values | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and what lies beside it, or check it; return the exit code."""
    parser = blocks.options(__doc__)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    try:
        studies = found(given.results)
        speed = optional(given.results / "accuracy_throughput.json")
        text = given.page.read_text(encoding="utf-8")
        wanted = filled(text, studies, speed, given.page.stem)
        beside = list(files(studies))
    except (JugglerError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    folder = given.page.parent / given.page.stem
    stale = [*([given.page.name] if wanted != text else []), *differing(folder, beside)]
    if given.check:
        if stale:
            print(f"{', '.join(stale)}: not what the results say; run `make figures`", file=sys.stderr)
        return int(bool(stale))
    for one in beside:
        write_atomically(folder / one.name, one.make().encode())
    for path in _present(folder):
        if path.name not in {one.name for one in beside}:
            path.unlink()
    if wanted != text:
        write_atomically(given.page, wanted.encode())
    return 0


def optional(path: Path) -> Values | None:
    """Return a result, or None where the benchmark has not been run."""
    return read(path) if path.is_file() else None


def found(results: Path) -> list[Study]:
    """Return the studies that have a result."""
    return [
        Study(preset, read(results / f"{name}.json"), optional(results / f"{name}_front.json"))
        for preset, name in STUDIES.items()
        if (results / f"{name}.json").is_file()
    ]


def filled(text: str, studies: Sequence[Study], speed: Values | None, folder: str) -> str:
    """Return the page with every block between its markers.

    Raises:
        DataError: a pair of markers is not there, once each and in this order.
    """
    wanted = {name: block_of(name, studies, folder) for name in BLOCKS}
    return blocks.filled(text, {**wanted, "throughput": throughput(speed)})


def block_of(name: str, studies: Sequence[Study], folder: str) -> str:
    """Return one block of every study, under its scale where there are several."""
    parts = []
    for study in studies:
        head = [f"**{study.result['scale_words']}**"] if len(studies) > 1 else []
        own = [BLOCKS[name](study)]
        if name in PICTURES:
            shown = [one.name for one in files([study]) if one.name.startswith(f"{name}-")]
            own = [*(f"![{PICTURES[name]}, {_words(one)}]({folder}/{one})" for one in shown), *own]
        if name == "table5":
            own.append(f"As a file: [{csv_of(study)}]({folder}/{csv_of(study)})")
        if name in NUMBERED:
            own += [f"*{'; '.join(study.result['notes'])}.*"] if study.result["notes"] else []
        parts += [*head, *(part for part in own if part)]
    return "\n\n".join(parts) if studies else NOTHING


def _words(name: str) -> str:
    """Say what a picture is of: `fig7-cpu-18.svg` is of depth 18."""
    last = name.removesuffix(".svg").rpartition("-")[2]
    return f"depth {last}" if last.isdigit() else last


def scale(study: Study) -> str:
    """Say what was run, where, on which pictures, and what must stand beside the numbers."""
    result, shown = study.result, study.result["pictures"]
    machine = "; ".join(result["machines"])
    digest = str(shown["sha256"])[:16]
    lines = [
        f"- Scale: {result['scale_words']}.",
        f"- Trained on {shown['trained_on']:,} pictures (SHA-256 `{digest}`), "
        f"tested on {shown['tested_on']:,}.",
        *(f"- **Beside every number: {note}**" for note in result["notes"]),
        f"- Runs: {result['runs']['finished']} of {result['runs']['wanted']} finished, {result['date']}, "
        f"{machine}.",
        f"- Levers of the winner: {', '.join(result['levers'][name]['label'] for name in result['winner'])}.",
    ]
    return "\n".join(lines)


def findings(study: Study) -> str:
    """Return what was claimed and what came out."""
    every = [*study.result["findings"], *(study.front["findings"] if study.front else [])]
    return blocks.claims(every)


def front(study: Study) -> str:
    """Return accuracy beside latency."""
    if study.front is None:
        return NO_RACE
    race, machine = study.front, study.front["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {race['date']}, {race['rounds']} rounds, one race."
    return f"{tables.front_table(study.result, race)}\n\n{where}"


def shortfalls(study: Study) -> str:
    """Return what falls short, as a list."""
    return "\n".join(f"- {line}" for line in tables.shortfalls(study.result, study.front))


def fig7(study: Study) -> str:
    """Return what the picture cannot say."""
    counts = [one["n"] for one in study.result["curves"].values()]
    return f"Mean over {seeds_told(counts)}, the band one standard deviation either side." if counts else ""


def throughput(speed: Values | None) -> str:
    """Return how fast training is."""
    if speed is None:
        return NO_SPEED
    machine = speed["machine"]
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['accelerator'] or 'no GPU'}, {speed['date']}."
    )
    return f"{blocks.claims(speed['findings'])}\n\n{where}"


BLOCKS: Mapping[str, Callable[[Study], str]] = {
    "scale": scale,
    "findings": findings,
    "shortfalls": shortfalls,
    "table5": lambda study: table5(study.result, study.front),
    "gaps": lambda study: tables.gap_table(study.result),
    "fig7": fig7,
    "front": front,
    "ablation": lambda study: tables.ablation(study.result),
}


@dataclass(frozen=True)
class Beside:
    """A file beside the page.

    Attributes:
        name: its name.
        ends: what it ends with where it is of these results; all of it where it is a table.
        make: returns what is in it.
    """

    name: str
    ends: str
    make: Callable[[], str]


def files(studies: Sequence[Study]) -> Iterator[Beside]:
    """Yield what lies beside the page; a picture ends by naming its results."""
    for study in studies:
        text, end = table5_csv(study.result, study.front), stamp(study)
        yield Beside(csv_of(study), text, partial(str, text))
        for name, paint in pictures.drawn(study.result, study.front):
            kind, _, rest = name.partition("-")
            file = "-".join(part for part in (kind, study.preset, rest) if part)
            yield Beside(f"{file}.svg", end, partial(_with_stamp, paint, end))


def csv_of(study: Study) -> str:
    """Return the name of Table V's file."""
    return f"table5-{study.preset}.csv"


def _with_stamp(paint: Callable[[], str], end: str) -> str:
    return f"{standalone(paint())}{end}"


def stamp(study: Study) -> str:
    """Return what tells in a picture which results it shows; other releases draw the same otherwise."""
    text = json.dumps([study.result, study.front], sort_keys=True)
    return f"<!-- results {hashlib.sha256(text.encode()).hexdigest()[:16]} -->\n"


def differing(folder: Path, wanted: Sequence[Beside]) -> list[str]:
    """Return the files that are missing, show other results, or belong to none."""
    stale = []
    for one in wanted:
        path = folder / one.name
        here = path.read_text(encoding="utf-8") if path.is_file() else ""
        if not (here == one.ends if path.suffix == ".csv" else here.endswith(one.ends)):
            stale.append(one.name)
    known = {one.name for one in wanted}
    return stale + [path.name for path in _present(folder) if path.name not in known]


def _present(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.svg"), *folder.glob("*.csv")])


if __name__ == "__main__":
    sys.exit(main())

"""A flat network that gives nothing away: Juggler-ResNet against the ResNet of its depth, by the same recipe.

Reads the runs that `run.py` has finished at the scale of the last study, and writes
benchmarks/results/accuracy.json (accuracy_gpu.json of the preset of that name), then docs/explain/accuracy.md
with its tables and pictures. Everything was chosen on validation; the figures are of the test part, which
was read once a finished run.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.accuracy.one_run import kept
from benchmarks.accuracy.page import main as write_page
from benchmarks.accuracy.page import optional
from benchmarks.accuracy.scale import RUNS, STUDIES, remembered, tasks
from benchmarks.accuracy.summary import judge, summarised
from benchmarks.accuracy.tables import on_front, percent, points
from benchmarks.accuracy.variants import read_cast
from benchmarks.accuracy.widths import widths_of
from benchmarks.common import RESULTS, write
from juggler.cli.console import ERRORS, OUT
from juggler.errors import ConfigError
from juggler.nouns import Machine


def main() -> None:
    """Report on the last study of a preset."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpu", action="store_true", help="of the study that was run with --gpu")
    parser.add_argument("--quick", action="store_true", help="of a trial: written to build/benchmarks")
    parser.add_argument(
        "--validation", action="store_true", help="write nothing; show what is to be chosen by"
    )
    parser.add_argument("--folder", type=Path, default=RUNS)
    given = parser.parse_args()
    preset, folder = "gpu" if given.gpu else "cpu", given.folder / "quick" if given.quick else given.folder
    if given.validation:
        OUT.print(ranking(collected(preset, folder)[0]))
    else:
        report(preset, folder, quick=given.quick)


def report(preset: str, folder: Path, *, quick: bool) -> None:
    """Write the result file of the last study of a preset and, unless it was a trial, the page.

    Raises:
        ConfigError: no run of that scale is finished.
    """
    details, where = collected(preset, folder)
    front = None if quick else optional(RESULTS / f"{STUDIES[preset]}_front.json")
    found = [*judge(details), *on_front(details, front)]
    write(STUDIES[preset], __doc__, found, details, quick=quick, packages=("kornia",), measured=where)
    if not quick:
        write_page([])


def ranking(details: dict[str, Any]) -> Table:
    """Return the variants by their accuracy on validation; nothing of the test part is shown."""
    view = Table(
        "depth", "variant", "n", "validation", "gap on validation", "to", "on training pictures", "minutes"
    )
    rows = [one for one in details["variants"] if "validation_accuracy" in one]
    for one in sorted(rows, key=lambda one: (one["depth"], -one["validation_accuracy"]["mean"])):
        gap = next(
            (g for g in details["gaps"] if (g["variant"], g["depth"]) == (one["variant"], one["depth"])), None
        )
        view.add_row(
            *(str(one["depth"]), one["variant"], str(one["validation_accuracy"]["n"])),
            *(percent(one["validation_accuracy"]), points(gap["validation"]) if gap else ""),
            *(gap["against"] if gap else "", percent(one["train_accuracy"])),
            f"{one['training_s']['mean'] / 60:.1f}",
        )
    return view


def collected(preset: str, folder: Path) -> tuple[dict[str, Any], tuple[Machine, str]]:
    """Return all that a study came to, with the machine that it ran on and the day it ended.

    Raises:
        ConfigError: no run of that scale is finished.
    """
    scale, asked = remembered(preset, folder)
    cast = read_cast()
    chosen = cast.chosen(only=[name for name in cast.variants if name in asked])
    wanted = list(tasks(scale, cast, chosen, widths_of(scale, folder), asked))
    results = [result for task in wanted if (result := kept(task, folder)) is not None]
    if not results:
        raise ConfigError(
            f"report on the study in {folder}",
            f"no run is finished at this scale: {scale.words}",
            "Run `python -m benchmarks.accuracy.run`",
        )
    details = summarised(scale, cast, results, asked)
    machines = [Machine.from_dict(result["machine"]) for result in results]
    details["machines"] = sorted({f"{m.cpu}, {m.cores} cores, {m.accelerator or 'no GPU'}" for m in machines})
    if len(details["machines"]) > 1:
        ERRORS.print(
            "The runs are of several machines: their training times are not comparable", style="yellow"
        )
    return details, (machines[-1], max(result["date"] for result in results))


if __name__ == "__main__":
    main()

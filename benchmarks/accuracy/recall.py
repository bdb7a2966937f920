"""Puts back what a result file tells of its runs: for a study whose run folders are lost, or elsewhere.

A run's folder holds its networks and is too large to keep in the repository; the result file holds what
the report needs of each run. After this, `run.py` by the same flags does only the runs that nobody has
finished, and `report.py` counts the others with them. A run is put back only if the plan that is made for it
today is the plan that it was trained by. Only the means of its curves are known, so a variant shows those of
its runs that were reported last. What is there already is left alone.

    python -m benchmarks.accuracy.recall          # of benchmarks/results/accuracy.json
    python -m benchmarks.accuracy.run [FLAGS]     # the runs that are left
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.accuracy.one_run import RESULT
from benchmarks.accuracy.page import optional
from benchmarks.accuracy.scale import RUNS, STUDIES, Scale, Task, remember, tasks
from benchmarks.accuracy.variants import read_cast
from benchmarks.accuracy.widths import place, widths_of
from benchmarks.common import RESULTS, read
from juggler.cli.console import ERRORS
from juggler.files import write_atomically

Values = Mapping[str, Any]


def main() -> None:
    """Put back the runs of a preset."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpu", action="store_true", help="of the study that was run with --gpu")
    parser.add_argument("--folder", type=Path, default=RUNS, help="where runs are kept (runs/accuracy)")
    given = parser.parse_args()
    name = STUDIES["gpu" if given.gpu else "cpu"]
    front = optional(RESULTS / f"{name}_front.json")
    count = recall(read(RESULTS / f"{name}.json"), front, given.folder)
    ERRORS.print(f"{count} runs are put back in {given.folder}")


def recall(study: Values, front: Values | None, folder: Path) -> int:
    """Write the results of a study's runs, its scale and its widths where they are missing; count the runs.

    Args:
        study: the result file of the study.
        front: that of the front, which holds the widths that the clock chose; None where there is none.
        folder: where runs are kept.
    """
    scale = Scale.from_dict(study["scale"])
    recall_widths(scale, front, folder)
    cast = read_cast()
    remember(scale, study["asked"], folder)
    chosen = cast.chosen(only=[name for name in cast.variants if name in study["asked"]])
    written = 0
    for task in tasks(scale, cast, chosen, widths_of(scale, folder)):
        path = folder / task.folder / RESULT
        for found in recalled(task, study):
            if not path.is_file():
                write_atomically(path, f"{json.dumps(found, indent=1, allow_nan=False)}\n".encode())
                written += 1
    return written


def recall_widths(scale: Scale, front: Values | None, folder: Path) -> None:
    """Write the widths that the clock chose, if the front was of this width and none are known."""
    path = place(scale, folder)
    if front is None or path.is_file() or front["scale"]["width"] != scale.width:
        return
    sizes = {
        size: {depth: {"widths": widths} for depth, widths in found.items()}
        for size, found in front["widths"].items()
    }
    write_atomically(path, f"{json.dumps({'width': scale.width, 'sizes': sizes}, indent=1)}\n".encode())


def recalled(task: Task, study: Values) -> Iterator[dict[str, Any]]:
    """Yield the result of a run, if the study has it by the plan of today."""
    plan = task.plan.to_dict()
    for row in study["variants"]:
        if (row["variant"], row["depth"]) != (task.variant.name, task.depth) or "seeds" not in row:
            continue
        same = row["network"] == plan["network"] and row["recipe"] | {"seed": task.seed} == plan["recipe"]
        if same and row["teacher"] == task.variant.teacher and task.seed in row["seeds"]:
            yield {
                "variant": task.variant.name,
                "depth": task.depth,
                "seed": task.seed,
                "plan": plan,
                "date": study["date"],
                "machine": study["ran_on"][row["ran_on"][row["seeds"].index(task.seed)]],
                "notes": study["notes"],
                "curves": study["curves"].get(f"{task.variant.name}-{task.depth}"),
                **figures(row, row["seeds"].index(task.seed), study["pictures"]),
            }


def figures(row: Values, i: int, pictures: Values) -> dict[str, Any]:
    """Return what the i-th run of a row came to; of its certificate only what all runs of the row came to."""
    return {
        "pictures": pictures["trained_on"],
        "pictures_sha256": pictures["sha256"],
        "test": {
            "accuracy": row["test_accuracy"]["values"][i],
            "loss": row["test_loss"]["values"][i],
            "pictures": pictures["tested_on"],
            "sha256": pictures["test_sha256"],
        },
        "scores": {
            "accuracy_validation": row["validation_accuracy"]["values"][i],
            "accuracy_train": row["train_accuracy"]["values"][i],
        },
        "teacher": {"accuracy_validation": row["teacher_accuracy"][i]} if row["teacher"] else None,
        "training_s": row["training_s"]["values"][i],
        "flat": {
            "certified": i < row["certified"],
            "float64": row["worst_float64"],
            "macs": row["macs"],
            "wide_macs": row["wide_macs"],
            "test_accuracy": row["flat_test_accuracy"]["values"][i],
        },
    }


if __name__ == "__main__":
    main()

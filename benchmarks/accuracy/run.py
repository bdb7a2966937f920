"""A flat network that gives nothing away: one command trains every variant of the study, and reports.

Variants are those of variants.toml by the recipe of paper.toml; flags alone set the scale, so that the same
study runs on two cores (the defaults) and on a GPU (--gpu). Seeds are outermost: a study that is cut short
has every variant once. A killed study goes on at the step where it was a minute ago: run the same line
again. Each run's folder, runs/accuracy/<variant>-<depth>-<seed>-<digest>, holds its plan.toml, by which
`juggler train` makes it again, its log, the wide network and its result. Everything is chosen on pictures
held out of the training part; the test part is read once a finished run, to report.

    python -m benchmarks.accuracy.widths                # widths of thinned and widened networks, by the clock
    python -m benchmarks.accuracy.run --minutes 60      # as long as there is time; again to go on
    python -m benchmarks.accuracy.front --last          # latencies, when nothing else runs
    python -m benchmarks.accuracy.report                # results/accuracy.json, docs/explain/accuracy.md
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID

from benchmarks.accuracy.one_run import carried_out, kept, teacher_work, work_of
from benchmarks.accuracy.scale import RUNS, Task, add_flags, remember, scale_of, tasks
from benchmarks.accuracy.variants import GROUPS, read_cast
from benchmarks.accuracy.widths import widths_of
from juggler import nouns
from juggler.cli.console import ERRORS, bars
from juggler.data import PictureSet, is_pictures, load_set
from juggler.errors import ConfigError


def main() -> None:
    """Run what has not been run yet; at the end, write the report."""
    given = arguments()
    scale = scale_of(given)
    folder = given.folder / "quick" if given.quick else given.folder
    cast = read_cast()
    chosen = cast.chosen(given.groups, given.only)
    wanted = list(tasks(scale, cast, chosen, widths_of(scale, folder)))
    data = load_set(scale.data)
    if not is_pictures(data):
        raise ConfigError(f"run the study on {scale.data}", "it holds no pictures", "Give a picture set")
    remember(scale, {variant.name: scale.seeds for variant in chosen}, folder)
    left = study(wanted, data, folder, minutes=given.minutes)
    if left:
        ERRORS.print(f"{left} of {len(wanted)} runs are left: run the same line again to go on")
    elif not given.no_report:
        from benchmarks.accuracy.report import report  # noqa: PLC0415  # matplotlib is needed only at the end

        report(scale.preset, folder, quick=given.quick)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_flags(parser)
    add = parser.add_argument
    add("--only", nargs="+", default=[], metavar="VARIANT", help="these variants alone")
    add("--groups", nargs="+", default=[], metavar="GROUP", help=f"of {', '.join(GROUPS)}; all but the last")
    add("--minutes", type=float, help="start no new run after so many")
    add("--folder", type=Path, default=RUNS, help="where the runs are kept (runs/accuracy)")
    add("--no-report", action="store_true", help="train only")
    add("--quick", action="store_true", help="a tiny trial, its result written to build/benchmarks")
    return parser.parse_args()


def study(wanted: Sequence[Task], data: PictureSet, folder: Path, *, minutes: float | None = None) -> int:
    """Do the runs that have no result yet; return how many are left.

    Args:
        wanted: the runs, in their order.
        data: the pictures.
        folder: where they are kept.
        minutes: start no new run after so many.
    """
    missing = [task for task in wanted if kept(task, folder) is None]
    if not missing:
        return 0
    pictures = trained_on(missing[0], data)
    until = None if minutes is None else time.monotonic() + 60 * minutes
    done = 0
    with whole(missing, pictures, folder) as meter:
        for task in missing:
            if until is not None and time.monotonic() >= until:
                break
            meter.begin(task)
            result = kept(task, folder) or carried_out(task, data, folder, meter.tell)
            meter.end(told(result, len(missing) - done - 1))
            done += 1
    return len(missing) - done


def trained_on(task: Task, data: PictureSet) -> int:
    """Return how many pictures a run trains on."""
    plan = task.plan
    count = plan.subset or len(data.training().labels)
    return count - plan.held_out(count)


def told(result: dict[str, Any], left: int) -> str:
    """Say what came of a run; by validation, for the test part is for the report."""
    name = f"{result['variant']}-{result['depth']}, seed {result['seed']}"
    if "failed" in result:
        return f"{name}: FAILED, {result['failed']}; {left} left"
    scores = result["scores"]
    return (
        f"{name}: {scores['accuracy_validation']:.2%} on validation, {scores['accuracy_train']:.2%} on "
        f"training pictures, {result['training_s'] / 60:.1f} min; {left} left"
    )


@dataclass
class Meter:
    """A bar for the whole study, in multiply-accumulates, and one for the run at hand.

    Attributes:
        bars: where both are shown.
        whole: the study's bar.
        work: multiply-accumulates of each run, by its folder.
        lessons: of each teacher that is still to be trained, by its digest.
        pictures: that a run trains on.
    """

    bars: Progress
    whole: TaskID
    work: dict[str, float]
    lessons: dict[str, float]
    pictures: int
    before: float = 0.0
    lesson: str = ""
    now: TaskID | None = None
    name: str = ""
    began: float = field(default_factory=time.monotonic)

    def begin(self, task: Task) -> None:
        """Show a run's bar."""
        teacher_plan = task.plan.teacher_plan
        self.lesson = (
            teacher_plan.digest if teacher_plan is not None and teacher_plan.digest in self.lessons else ""
        )
        self.name = f"{task.variant.name}-{task.depth}, seed {task.seed}"
        self.now = self.bars.add_task(self.name, total=1.0)

    def tell(self, progress: nouns.Progress) -> None:
        """Take what training tells."""
        if self.now is None:
            return
        share, detail = progress.share, progress.detail
        state = f"{progress.stage}, epoch {detail['epoch']}, loss {detail['loss']:.3f}"
        self.bars.update(self.now, completed=share, description=f"{self.name}, {state}")
        teaching = progress.stage.startswith("teacher")
        if not teaching and self.lesson:
            self.before += self.lessons.pop(self.lesson)
            self.lesson = ""
        part = self.lessons.get(self.lesson, 0.0) if teaching else self.work[self.name]
        self.bars.update(self.whole, completed=self.before + share * part)

    def end(self, words: str) -> None:
        """Take a run's bar away, say what came of it, and how long the rest will take."""
        self.before += self.work[self.name]
        self.bars.update(self.whole, completed=self.before)
        if self.now is not None:
            self.bars.remove_task(self.now)
        total = self.bars.tasks[self.bars.task_ids.index(self.whole)].total or self.before
        left_s = (total - self.before) * (time.monotonic() - self.began) / self.before
        ERRORS.print(f"{words}, about {left_s / 3600:.1f} h", soft_wrap=True)


@contextmanager
def whole(missing: Sequence[Task], pictures: int, folder: Path) -> Iterator[Meter]:
    """Show how far the study is and how long it will take."""
    work = {
        f"{task.variant.name}-{task.depth}, seed {task.seed}": work_of(task.plan, pictures)
        for task in missing
    }
    lessons = dict(one for task in missing if (one := teacher_work(task.plan, pictures, folder)) is not None)
    with bars() as display:
        total = sum(work.values()) + sum(lessons.values())
        bar = display.add_task(f"{len(missing)} runs", total=total)
        yield Meter(display, bar, work, lessons, pictures)


if __name__ == "__main__":
    main()

"""Run experiments, cell by cell: what was measured before is taken from disk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from juggler.checks import refuse_faults
from juggler.clock.ceiling import COPY_BYTES, SIDES, Product, copy_gb_per_s, tuned_product
from juggler.clock.energy import find_meter
from juggler.errors import Unavailable
from juggler.nouns import Progress, ReportProgress
from juggler.registry import normalise
from juggler.reproduce.experiment import EXPERIMENTS, PRECISIONS, Experiment, Race, Scale
from juggler.reproduce.racing import Conditions, run_race
from juggler.reproduce.results import Cell, Reproduction
from juggler.reproduce.store import Store, locked
from juggler.runtime.machine import machine
from juggler.runtime.session import BACKENDS

ORDER = ("table2", "table3", "merge_penalty", "fig8", "fig9", "layers")


@dataclass(frozen=True)
class Options:
    """How to reproduce.

    Attributes:
        paper: the paper's own sizes and numbers of runs, however long they take.
        backends: names; None takes all that work here.
        threads: cores that one call may use; None is each backend's own choice.
        minutes: what all experiments of the run may take together; None is each one's own limit. A slow
            machine takes longer: every race has a least number of rounds.
        fresh: measure again what is on disk already.
        most_rounds: turns of each contender where time allows and the paper does not say.
        warmup_s: at the longest, of each contender; a trial round has warmed it already.
        ceiling_sides: of the matrix products that are tried for the machine's ceiling.
        copy_bytes: of the copy that tells its bandwidth.
    """

    paper: bool = False
    backends: tuple[str, ...] | None = None
    threads: int | None = None
    minutes: float | None = None
    fresh: bool = False
    most_rounds: int = 30
    warmup_s: float = 0.5
    ceiling_sides: tuple[int, ...] = SIDES
    copy_bytes: int = COPY_BYTES

    def __post_init__(self) -> None:
        refuse_faults(
            "reproduce",
            {
                f"threads {self.threads}": self.threads is not None and self.threads < 1,
                f"minutes {self.minutes}": self.minutes is not None and not self.minutes > 0,
            },
            "Give numbers above 0, or leave them out",
        )


def experiments(names: Sequence[str]) -> dict[str, Experiment]:
    """Return experiments by name, in the order of the paper; `all` stands for every one.

    Raises:
        ConfigError: no such experiment; the message lists those there are.
    """
    normalised = [normalise(name) for name in names]
    known = [*ORDER, *(name for name in EXPERIMENTS.names() if name not in ORDER)]
    chosen = known if "all" in normalised else list(dict.fromkeys(normalised))
    return {name: EXPERIMENTS.get(name) for name in chosen}


def reproduce(
    names: Sequence[str],
    folder: Path,
    options: Options | None = None,
    *,
    progress: ReportProgress | None = None,
) -> Iterator[Reproduction]:
    """Run experiments one after another and yield each as soon as it is whole.

    A run that was stopped goes on where it was, with every cell that was measured on this machine, with
    these releases and these options. While it runs, no other run may write into the folder: two at a time
    would spoil each other's figures.

    Args:
        names: experiments, or `all`.
        folder: where cells are kept.
        options: how.
        progress: told the seconds done of all of them.

    Raises:
        ConfigError: no such experiment or backend, or another run is using the folder.
        Unavailable: none of the backends works here.
    """
    run = _Run(experiments(names), Store(folder), options or Options(), progress)
    with locked(folder):
        for name in run.chosen:
            yield run.experiment(name)


class _Run:
    """One run over several experiments."""

    def __init__(
        self, chosen: dict[str, Experiment], store: Store, options: Options, progress: ReportProgress | None
    ) -> None:
        self.chosen, self.store, self.options, self.report = chosen, store, options, progress
        self.scale = Scale(options.paper, _backends(options.backends))
        self.races = {name: list(experiment.races(self.scale)) for name, experiment in chosen.items()}
        minutes, planned_minutes = options.minutes, sum(experiment.minutes for experiment in chosen.values())
        self.stretch = 1.0 if minutes is None else minutes / planned_minutes
        self.machine, self.meter = machine(), find_meter()
        self.done_s = 0.0
        self.total_s = sum(experiment.minutes for experiment in chosen.values()) * 60.0 * self.stretch

    @cached_property
    def products(self) -> dict[str, Product]:
        """Tune the machine's ceiling when the first cell wants it."""
        options = self.options
        tuned = {
            name: tuned_product(name, threads=options.threads, sides=options.ceiling_sides)
            for name in PRECISIONS
        }
        return {name: product for name, product in tuned.items() if product is not None}

    def experiment(self, name: str) -> Reproduction:
        """Run one experiment, or what is left of it."""
        experiment, races = self.chosen[name], self.races[name]
        planned_s = experiment.minutes * 60.0 * self.stretch
        weights = sum(plan.weight for plan in races)
        cells, left_s, ahead = [], planned_s, weights
        for plan in races:
            start = time.monotonic()
            # What one race took too long is made up for by those after it.
            limit_s = max(0.0, left_s) * plan.weight / ahead
            is_cached, cell = self._cell(name, plan, limit_s, planned_s * plan.weight / weights)
            cells.append(cell)
            left_s -= limit_s if is_cached else time.monotonic() - start
            ahead -= plan.weight
            self.done_s += planned_s * plan.weight / weights
        return Reproduction(
            experiment=name,
            title=experiment.title,
            date=datetime.now(UTC).date().isoformat(),
            machine=self.machine,
            bandwidth_gb_per_s=copy_gb_per_s(copy_bytes=self.options.copy_bytes),
            settings={
                "paper": self.options.paper,
                "backends": list(self.scale.backends),
                "threads": self.options.threads,
                "most_rounds": self._most_rounds(name),
                "energy": "measured" if self.meter.available else f"not measured: {self.meter.missing}",
            },
            cells=tuple(cells),
            published=experiment.published,
        )

    def _cell(self, name: str, plan: Race, limit_s: float, shown_s: float) -> tuple[bool, Cell]:
        """Return whether the cell was kept from an earlier run, and the cell."""
        path = self.store.path(name, self._depends_on(name, plan))
        cached = None if self.options.fresh else self.store.read(path)
        if cached is not None:
            return True, cached
        what = f"{self.chosen[name].title.partition(':')[0]}, {plan.name}"

        def report(progress: Progress) -> None:
            if self.report:
                done_s = self.done_s + shown_s * progress.share
                self.report(Progress(what, done_s, self.total_s, "seconds"))

        report(Progress(what, 0, 1))
        conditions = Conditions(
            self.scale.backends,
            self.products,
            self.meter,
            self._most_rounds(name),
            self.options.threads,
            self.options.warmup_s,
        )
        limit = None if self.options.paper else limit_s
        cell = run_race(plan, conditions, limit_s=limit, progress=report)
        self.store.write(path, cell)
        return False, cell

    def _most_rounds(self, name: str) -> int:
        return self.chosen[name].paper_rounds if self.options.paper else self.options.most_rounds

    def _depends_on(self, name: str, plan: Race) -> dict[str, object]:
        """Return all that a cell's figures depend on, but for the time that they were given."""
        return {
            "experiment": name,
            "race": [plan.name, plan.case, plan.batches, plan.precisions, plan.backends],
            "backends": self.scale.backends,
            "paper": self.options.paper,
            "threads": self.options.threads,
            "machine": self.machine.to_dict(),
        }


def _backends(requested: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the backends to race: those asked for, or all that work here.

    Raises:
        ConfigError: no such backend.
        Unavailable: one that was asked for does not work here, or none does.
    """
    names = BACKENDS.names() if requested is None else tuple(dict.fromkeys(requested))
    states = {name: BACKENDS.get(name).status() for name in names}
    working = tuple(name for name, status in states.items() if status.available)
    lacking = [f"{name} ({status.missing})" for name, status in states.items() if not status.available]
    if not working or (requested is not None and lacking):
        raise Unavailable(
            "reproduce", f"not here: {', '.join(lacking)}", "`juggler doctor` says what installs a backend"
        )
    return working

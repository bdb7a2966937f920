"""What an experiment says: the races to run, and what the paper published; `run` does the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from juggler.registry import Registry
from juggler.reproduce.results import Published

PRECISIONS = ("float32", "bfloat16", "int8")


@dataclass(frozen=True)
class Subject:
    """A network to race: its ONNX graph with a free batch, and the size of one input.

    Attributes:
        graph: the model; batch norms are folded, as every runtime would.
        shape: `[channels, height, width]` of one input.
    """

    graph: bytes
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Prepared:
    """The networks of one race, the baseline first, and what was proved of them on the way."""

    subjects: Mapping[str, Subject]
    checks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """Two contenders to compare, on every backend and precision; None stands for every batch of the race."""

    subject: str
    against: str
    batch: int | None = None
    against_batch: int | None = None


SLOW_TO_OPEN = ("torch_compile",)
"""Backends that compile a network before they run it, for as long as a race takes or longer."""


@dataclass(frozen=True)
class Race:
    """One race to run: a cell of the result.

    Attributes:
        name: such as `depth 50, 224 px, batch 1`; no two of an experiment are equal.
        case: what tells it from the others.
        prepare: makes the networks; called only where the cell has to be run.
        pairs: what to compare.
        weight: its share of the experiment's time, in any unit.
        batches: inputs a call.
        precisions: what to try on backends that have it.
        slow_precisions: the same for backends that are slow to open; None takes `precisions`.
        backends: names; None takes those that were asked for.
        memory: measure the peak memory of each network too.
        energy: measure energy too, where there is a meter.
    """

    name: str
    case: dict[str, int]
    prepare: Callable[[], Prepared]
    pairs: tuple[Pair, ...]
    weight: float
    batches: tuple[int, ...] = (1,)
    precisions: tuple[str, ...] = ("float32",)
    slow_precisions: tuple[str, ...] | None = None
    backends: tuple[str, ...] | None = None
    memory: bool = False
    energy: bool = False


@dataclass(frozen=True)
class Scale:
    """How much of the paper's sizes to run.

    Attributes:
        paper: the paper's own sizes; else those that a small machine ends within half an hour.
        backends: names of the backends that will be raced, all of which work here.
        cores: cores of this machine.
    """

    paper: bool
    backends: tuple[str, ...]
    cores: int = field(default=1)


class Experiment(Protocol):
    """One table or figure of the paper.

    Attributes:
        name: as the command line and the files know it.
        title: what it shows, in a line.
        paper_rounds: runs that the paper averaged over.
        minutes: what a run at the default sizes may take on two cores.
        published: the paper's values.
    """

    name: str
    title: str
    paper_rounds: int
    minutes: float
    published: tuple[Published, ...]

    def races(self, scale: Scale) -> Sequence[Race]:
        """Return the races to run, the cheapest or most telling first."""
        ...


EXPERIMENTS: Registry[Experiment] = Registry(
    "experiment", "juggler.reproduce.experiments", alias="juggler.experiments"
)

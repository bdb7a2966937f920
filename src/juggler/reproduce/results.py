"""What a reproduction is once it has run: rows, comparisons and published values, as JSON and as CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
from dataclasses import dataclass, field
from typing import Any

from juggler.nouns import Machine, Noun, Skipped

FORMAT = "juggler.measured/1"


@dataclass(frozen=True)
class Shape(Noun):
    """What a network is made of, counted on its graph for one input of the cell's size.

    Attributes:
        macs: multiply-accumulates.
        parameters: weights and biases, batch norms folded.
        kernels: ops left once a runtime has folded batch norms and ReLUs into convolutions, and additions
            into the convolution before them.
        moved_bytes: float32 bytes that those ops read and write: maps in, maps out, weights.
    """

    macs: int
    parameters: int
    kernels: int
    moved_bytes: int


@dataclass(frozen=True)
class Row(Noun):
    """One contender of one race; durations in milliseconds a call.

    Attributes:
        subject: what was run: a network, a block, a convolution.
        backend: what ran it.
        precision: `float32`, `bfloat16` or `int8`.
        batch: inputs a call.
        calls: calls counted.
        gmac_per_s: multiply-accumulates a second at the median, in 10^9.
        ceiling_share: the same over what a matrix product of that precision reached in the same race.
        process_mib: largest resident memory of a process that runs it alone.
        network_mib: what of that came with the network.
        energy_mj: energy a call, where the machine has a meter.
    """

    subject: str
    backend: str
    precision: str
    batch: int
    calls: int
    min_ms: float
    median_ms: float
    p95_ms: float
    p99_ms: float
    gmac_per_s: float
    ceiling_share: float | None = None
    process_mib: float | None = None
    network_mib: float | None = None
    energy_mj: float | None = None

    @property
    def throughput_per_s(self) -> float:
        """Return inputs a second at the median."""
        return self.batch / self.median_ms * 1e3


@dataclass(frozen=True)
class Comparison(Noun):
    """How many times the throughput of another contender one has, from the paired rounds of one race.

    At equal batches that is how many times as fast it is. `low` and `high` bound the 95 % interval.
    """

    subject: str
    batch: int
    against: str
    against_batch: int
    backend: str
    precision: str
    times: float
    low: float
    high: float


@dataclass(frozen=True)
class Cell(Noun):
    """One race and all that came out of it.

    Attributes:
        name: such as `depth 50, 224 px, batch 1`.
        case: what tells it from the other cells: depth, side_px, kernel, channels.
        shapes: of each subject, for one input.
        ceilings: GFLOP/s of a tuned matrix product in the same race, by precision.
        rounds: turns of each contender.
        rejected: turns that were run again because the machine was disturbed.
        checks: what was proved before the race, in words.
    """

    name: str
    case: dict[str, int]
    shapes: dict[str, Shape]
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    ceilings: dict[str, float]
    rounds: int
    rejected: int
    not_run: tuple[Skipped, ...] = ()
    checks: tuple[str, ...] = ()

    def row(self, subject: str, backend: str, batch: int, precision: str = "float32") -> Row | None:
        """Return one contender's row, or None where it was not run."""
        key = (subject, backend, batch, precision)
        return next((r for r in self.rows if (r.subject, r.backend, r.batch, r.precision) == key), None)


@dataclass(frozen=True)
class Published(Noun):
    """A value from the paper, for the eye to compare; never mixed with what was measured.

    Attributes:
        subject: as in the rows.
        device: what it was measured on, as the paper names it.
        quantity: `gmacs`, `latency_ms`, `gmac_per_s`, `times`, `throughput_ratio`, ...
        value: the number.
        source: table, figure or section.
        case: as in the cells.
    """

    subject: str
    device: str
    quantity: str
    value: float
    source: str
    case: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Reproduction(Noun):
    """One table or figure of the paper, measured on one machine.

    Attributes:
        experiment: its name, such as `table2`.
        title: what it shows.
        date: ISO 8601.
        machine: where it was measured.
        bandwidth_gb_per_s: what a long copy reached, bytes read and written both counted.
        settings: sizes, rounds, threads.
        cells: what was measured.
        published: what the paper says.
    """

    experiment: str
    title: str
    date: str
    machine: Machine
    bandwidth_gb_per_s: float
    settings: dict[str, Any]
    cells: tuple[Cell, ...]
    published: tuple[Published, ...]


@dataclass(frozen=True)
class MachineResults(Noun):
    """All that one machine has reproduced: the one file that it adds to the project's results.

    Attributes:
        format: `juggler.measured/1`.
        name: how the machine is called in the tables.
        reproductions: one an experiment.
    """

    format: str
    name: str
    reproductions: tuple[Reproduction, ...]


COLUMNS = (
    "experiment",
    "cell",
    *(f.name for f in dataclasses.fields(Row)),
    "throughput_per_s",
    "macs",
    "parameters",
    "kernels",
    "moved_bytes",
    "against",
    "against_batch",
    "times",
    "low",
    "high",
)


def to_csv(result: Reproduction) -> str:
    """Return the rows as CSV, each with the shape of its subject and its first comparison."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for cell in result.cells:
        for row in cell.rows:
            line: dict[str, Any] = {"experiment": result.experiment, "cell": cell.name, **row.to_dict()}
            line["throughput_per_s"] = row.throughput_per_s
            if row.subject in cell.shapes:
                line |= cell.shapes[row.subject].to_dict()
            writer.writerow(line | _first_comparison(cell, row))
    return stream.getvalue()


def _first_comparison(cell: Cell, row: Row) -> dict[str, Any]:
    key = (row.subject, row.batch, row.backend, row.precision)
    for comparison in cell.comparisons:
        if (comparison.subject, comparison.batch, comparison.backend, comparison.precision) == key:
            values = comparison.to_dict()
            return {name: values[name] for name in ("against", "against_batch", "times", "low", "high")}
    return {}

"""Find the array for a network: every shape that a budget of processing elements allows, every dataflow.

For a given number of rows the cycles of a layer fall only where a column more makes a fold fewer, and rise by
a cycle a fold elsewhere; the same holds for rows. So the best array lies where both are such steps, and only
those are tried: the answer is the one that trying every shape gives (a test holds it to that).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from juggler.cost.hardware.gemm import Gemms, Whole, total
from juggler.cost.hardware.systolic import DATAFLOWS, array_shape, cycles, laid_out
from juggler.errors import ConfigError
from juggler.nouns import Noun, Progress, ReportProgress

# Results have to leave the array: of the two output-stationary variants the one that counts it.
SWEPT = ("weight_stationary", "input_stationary", "output_drained")


@dataclass(frozen=True)
class Choice(Noun):
    """One array for a network; its figures are modelled.

    Attributes:
        dataflow: one of `systolic.DATAFLOWS`.
        rows: of processing elements.
        columns: of processing elements.
        cycles: of the whole network, layer after layer.
        utilisation: share of all elements' cycles that compute.
    """

    dataflow: str
    rows: int
    columns: int
    cycles: int
    utilisation: float

    @property
    def elements(self) -> int:
        """Return the processing elements."""
        return self.rows * self.columns


class Candidates(NamedTuple):
    """Shapes of arrays, side by side."""

    rows: Whole
    columns: Whole


@dataclass(frozen=True, eq=False)
class Sweep:
    """A network's cycles on many arrays.

    Attributes:
        dataflows: those tried.
        rows: of each array, `[shapes]`.
        columns: of each array, `[shapes]`.
        cycles: of the whole network, `[dataflows, shapes]`.
        utilisation: share of all elements' cycles that compute, `[dataflows, shapes]`.
    """

    dataflows: tuple[str, ...]
    rows: Whole
    columns: Whole
    cycles: Whole
    utilisation: NDArray[np.float64]

    def best(self, dataflow: str | None = None) -> Choice:
        """Return the array of the fewest cycles; of equal ones that of the fewest elements.

        Raises:
            ConfigError: the dataflow was not tried.
        """
        if dataflow is not None and dataflow not in self.dataflows:
            raise ConfigError(
                f"choose an array of the dataflow {dataflow!r}",
                "it was not tried",
                f"There are: {', '.join(self.dataflows)}",
            )
        tried = range(len(self.dataflows)) if dataflow is None else [self.dataflows.index(dataflow)]
        elements = self.rows.astype(np.float64) * self.columns
        choices = [self._choice(row, np.lexsort((elements, self.cycles[row]))[0]) for row in tried]
        return min(choices, key=lambda choice: (choice.cycles, choice.elements))

    def _choice(self, row: int, place: np.intp) -> Choice:
        return Choice(
            self.dataflows[row],
            int(self.rows[place]),
            int(self.columns[place]),
            int(self.cycles[row, place]),
            float(self.utilisation[row, place]),
        )


def sweep(
    gemms: Gemms,
    rows: ArrayLike,
    columns: ArrayLike,
    dataflows: Sequence[str] = SWEPT,
    *,
    chunk: int = 1 << 19,
    progress: ReportProgress | None = None,
) -> Sweep:
    """Work out a network's cycles on arrays of `rows[i]` x `columns[i]` elements.

    Args:
        gemms: the network, see `gemm.network_gemms`.
        rows: of each array, `[shapes]`.
        columns: of each array, `[shapes]`.
        dataflows: those to try.
        chunk: numbers worked on at once: about 4 MB for each array in between.
        progress: told the shapes done, between chunks.

    Raises:
        ConfigError: no shapes, an array without elements, an unknown dataflow, a result beyond 64 bits.
    """
    high, wide = (np.atleast_1d(side).ravel() for side in np.broadcast_arrays(*array_shape(rows, columns)))
    if not high.size or not dataflows:
        raise ConfigError(
            "sweep arrays", f"{high.size} shapes, {len(dataflows)} dataflows", "Give one of each or more"
        )
    all_cycles = np.empty((len(dataflows), high.size), np.int64)
    step = max(1, chunk // len(gemms))
    for start in range(0, high.size, step):
        here = slice(start, start + step)
        for row, dataflow in enumerate(dataflows):
            each = cycles(gemms, high[here, None], wide[here, None], dataflow)
            all_cycles[row, here] = total("cycles", each)
        if progress is not None:
            progress(Progress("sweep", min(start + step, high.size), high.size, "shapes"))
    macs = float((gemms.m.astype(np.float64) * gemms.k * gemms.n * gemms.count).sum())
    utilisation = macs / (all_cycles * (high.astype(np.float64) * wide))
    return Sweep(tuple(dataflows), high, wide, all_cycles, utilisation)


def best_array(gemms: Gemms, budget: int, dataflows: Sequence[str] = SWEPT) -> Choice:
    """Return the array and dataflow of the fewest cycles with no more than `budget` elements.

    Raises:
        ConfigError: a budget below 1, no dataflow, an unknown one, or a result beyond 64 bits.
    """
    choices = []
    for dataflow in dataflows:
        shapes = steps_within(gemms, budget, dataflow)
        choices.append(sweep(gemms, shapes.rows, shapes.columns, (dataflow,)).best())
    if not choices:
        raise ConfigError("sweep arrays", "no dataflow", f"Choose from {', '.join(DATAFLOWS)}")
    return min(choices, key=lambda choice: (choice.cycles, choice.elements))


def steps_within(gemms: Gemms, budget: int, dataflow: str) -> Candidates:
    """Return the shapes within a budget at which a layer needs a fold fewer: the best is among them.

    Raises:
        ConfigError: a budget below 1 or an unknown dataflow.
    """
    _check(budget)
    on_rows, on_columns, _ = laid_out(gemms, dataflow)
    rows, columns = _steps(on_rows, budget), _steps(on_columns, budget)
    # Both rise: for each number of rows the columns that still fit are a beginning of the list.
    fitting = np.searchsorted(columns, budget // rows, side="right")
    places = np.arange(int(fitting.sum())) - np.repeat(np.cumsum(fitting) - fitting, fitting)
    return Candidates(np.repeat(rows, fitting), columns[places])


def widest_within(budget: int, most: int = 10_000) -> Candidates:
    """Return, for each number of rows, the widest array within a budget: the sweep over aspect ratios.

    Args:
        budget: processing elements at most.
        most: shapes at most; where there are more rows, they are spread evenly in logarithm.

    Raises:
        ConfigError: a number below 1.
    """
    _check(budget)
    _check(most)
    rows = np.arange(1, budget + 1, dtype=np.int64) if budget <= most else _spread(budget, most)
    return Candidates(rows, budget // rows)


def _steps(lengths: Whole, budget: int) -> Whole:
    """Return the sides of at most `budget` at which some length is cut into fewer pieces, rising."""
    sides = {1}
    for length in {int(length) for length in lengths}:
        side = 1
        # Walk from each side to the smallest that makes fewer pieces: about 2 sqrt(length) of them.
        while side <= budget:
            sides.add(side)
            pieces = -(-length // side)
            if pieces == 1:
                break
            side = -(-length // (pieces - 1))
    return np.array(sorted(sides), dtype=np.int64)


def _spread(budget: int, most: int) -> Whole:
    return np.unique(np.geomspace(1, budget, most).round().astype(np.int64))


def _check(number: int) -> None:
    if number < 1:
        raise ConfigError("sweep arrays", f"a budget of {number}", "A budget is 1 processing element or more")

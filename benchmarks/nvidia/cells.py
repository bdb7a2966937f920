"""What `run.py` runs, cell by cell, the most important first: the full cross product would take hours.

A cell is one race: all its subjects, in all its ways, take turns. The order is the budget: whatever does not
fit falls off the end, and is listed.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.nvidia.device import LAYOUTS, PRECISIONS, WAYS
from benchmarks.nvidia.networks import SUBJECTS, UNFOLDED
from benchmarks.nvidia.ways import has_tensorrt

MODULES = Path(__file__).resolve().parents[2] / "src" / "juggler" / "reproduce" / "modules.py"


def table_modules() -> Any:
    """Return `juggler.reproduce.modules` alone: the room around it needs more than torch."""
    spec = importlib.util.spec_from_file_location("table_modules", MODULES)
    if spec is None or spec.loader is None:
        raise ImportError(str(MODULES))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLES = table_modules()
EXPERIMENTS = ("table2", "table3", "fig8", "fig9")
DEPTHS = (18, 34, 50, 101, 152)
SHAPES = ((256, 8), (224, 1), (256, 1), (224, 8))  # side in pixels and batch; the paper's V100 ran the first
FIG9_BATCHES = (1, 2, 4, 6, 8, 10, 12, 16, 18, 20, 24, 32, 34, 36, 48, 64, 66)
LAUNCHED, COMPILED, ENGINE = ("eager", "graph"), ("compile", "compile+graph"), ("tensorrt",)
CUDNN_OFF = "eager, cuDNN off"


@dataclass(frozen=True)
class Sizes:
    """How large everything is; the defaults are the paper's."""

    depths: tuple[int, ...] = DEPTHS
    shapes: tuple[tuple[int, int], ...] = SHAPES
    fig9_batches: tuple[int, ...] = FIG9_BATCHES
    fig9_side_px: int = 256
    table_side_px: int = 56
    table_batch: int = 32
    table_channels: int = TABLES.CHANNELS
    kernels: tuple[int, ...] = (1, 3, 5, 7)
    kernel_channels: tuple[int, ...] = (512, 1024, 2048)
    rounds: int = 15
    table_rounds: int = 20


QUICK = Sizes(
    depths=(18,),
    shapes=((32, 2), (32, 1)),
    fig9_batches=(1, 2),
    fig9_side_px=32,
    table_side_px=6,
    table_batch=1,
    table_channels=4,
    kernels=(1, 3),
    kernel_channels=(4, 8),
    rounds=2,
    table_rounds=2,
)


@dataclass(frozen=True)
class Cell:
    """One race.

    Attributes:
        experiment: `table2`, `table3`, `fig8` or `fig9`.
        ways: how each subject is called.
        metered: ways whose energy is read as well, which takes a second or two each.
        depth: of the networks; 0 in the tables.
        kernel: of Table III's convolution, `kernel` x `kernel` x `channels`; 0 elsewhere.
    """

    experiment: str
    ways: tuple[str, ...]
    precision: str
    layout: str
    side_px: int
    batch: int
    rounds: int
    metered: tuple[str, ...] = ()
    depth: int = 0
    kernel: int = 0
    channels: int = 0

    @property
    def name(self) -> str:
        """Return what the cell is called in the output."""
        about = f"depth {self.depth}, " if self.depth else ""
        about += f"{self.kernel}x{self.kernel}x{self.channels}, " if self.kernel else ""
        what = f"{about}{self.side_px} px, batch {self.batch}, {self.precision}, {self.layout}"
        return f"{self.experiment}: {what}, {' and '.join(self.ways)}"

    @property
    def compiles(self) -> bool:
        """Say whether a compiler has to run first, which takes far longer than the race."""
        return bool({*COMPILED, *ENGINE} & set(self.ways))

    def subjects(self) -> tuple[str, ...]:
        """Return what races, the baseline first."""
        if self.experiment == "table2":
            return tuple(TABLES.BLOCKS)
        if self.experiment == "table3":
            return (f"{self.kernel}x{self.kernel}x{self.channels}",)
        if self.experiment == "fig9":
            return SUBJECTS[:2]
        as_the_paper_ran_it = (
            self.precision == "float32" and self.layout == "contiguous" and "eager" in self.ways
        )
        return (*SUBJECTS, UNFOLDED) if as_the_paper_ran_it else SUBJECTS

    def runs(self, subject: str, way: str) -> bool:
        """Say whether the subject is called that way: the norms are kept for the paper's eager row alone."""
        return subject != UNFOLDED or way == "eager"

    def baselines(self, subject: str, way: str) -> tuple[tuple[str, str], ...]:
        """Return the subjects and ways that a row is compared with, the row's own first."""
        if self.experiment == "table3":
            return () if way == CUDNN_OFF else ((subject, CUDNN_OFF),)
        first = self.subjects()[0]
        others = {"flat": (first, "wide", UNFOLDED)}.get(subject, () if subject == first else (first,))
        return tuple((other, way) for other in others)

    def module(self, subject: str) -> tuple[nn.Module, int]:
        """Make a subject of the tables; return it with its input channels."""
        if self.experiment == "table3":
            return TABLES.convolution(self.kernel, self.channels).eval(), self.channels
        growth = TABLES.INPUT_CHANNELS[subject] // TABLES.CHANNELS
        return TABLES.BLOCKS[subject](self.channels).eval(), growth * self.channels


def plan(sizes: Sizes, *, full: bool) -> Iterator[Cell]:
    """Yield all cells, the most important first; `full` adds the rest of the cross product."""
    yield from table2(sizes)
    yield from table3(sizes, ("float32",))  # on the GPU alone, while the networks are being prepared
    main, rest = sizes.shapes[:2], sizes.shapes[2:]
    first = main[:1]
    yield from fig8(sizes, LAUNCHED, "float32", "contiguous", main, metered=True)
    yield from fig8(sizes, LAUNCHED, "float16", "channels_last", main, metered=True)
    yield from fig8(sizes, LAUNCHED, "float16", "contiguous", main)
    yield from fig9(sizes)
    yield from fig8(sizes, COMPILED, "float16", "channels_last", first)
    yield from fig8(sizes, ENGINE, "float32", "contiguous", first)
    yield from fig8(sizes, ENGINE, "float16", "contiguous", first)
    yield from table3(sizes, ("tf32", "float16"))
    yield from fig8(sizes, LAUNCHED, "bfloat16", "channels_last", main)
    yield from fig8(sizes, LAUNCHED, "tf32", "contiguous", main)
    yield from fig8(sizes, LAUNCHED, "float32", "contiguous", rest)
    yield from fig8(sizes, COMPILED, "float32", "contiguous", first)
    if full:
        for precision, layout in product(PRECISIONS, LAYOUTS):
            for ways in (LAUNCHED, COMPILED):
                yield from fig8(sizes, ways, precision, layout, sizes.shapes)


def fig8(
    sizes: Sizes,
    ways: tuple[str, ...],
    precision: str,
    layout: str,
    shapes: tuple[tuple[int, int], ...],
    *,
    metered: bool = False,
) -> Iterator[Cell]:
    """Yield one cell a depth and shape; energy is read at the first shape, in CUDA graphs."""
    for side_px, batch in shapes:
        energy = ("graph",) if metered and (side_px, batch) == sizes.shapes[0] else ()
        for depth in sizes.depths:
            yield Cell("fig8", ways, precision, layout, side_px, batch, sizes.rounds, energy, depth=depth)


def fig9(sizes: Sizes) -> Iterator[Cell]:
    """Yield one cell a batch, of the deepest network."""
    for precision, layout in (("float32", "contiguous"), ("float16", "channels_last")):
        for batch in sizes.fig9_batches:
            cell = Cell("fig9", LAUNCHED, precision, layout, sizes.fig9_side_px, batch, sizes.rounds)
            yield replace(cell, depth=max(sizes.depths))


TABLE_KINDS = (
    ("float32", "contiguous", ("eager", CUDNN_OFF)),
    ("tf32", "contiguous", ("eager",)),
    ("float16", "channels_last", LAUNCHED),
)


def table2(sizes: Sizes) -> Iterator[Cell]:
    """Yield Table II: with and without cuDNN in float32, and as fast as it goes in float16."""
    size = (sizes.table_side_px, sizes.table_batch, sizes.table_rounds)
    for precision, layout, ways in TABLE_KINDS:
        yield Cell("table2", ways, precision, layout, *size, channels=sizes.table_channels)


def table3(sizes: Sizes, precisions: tuple[str, ...]) -> Iterator[Cell]:
    """Yield Table III, one cell a convolution, likewise."""
    size = (sizes.table_side_px, sizes.table_batch, sizes.table_rounds)
    for precision, layout, ways in TABLE_KINDS:
        for channels, kernel in product(sizes.kernel_channels, sizes.kernels):
            own = tuple(way for way in ways if way != "graph")  # one launch: there is nothing to save
            if precision in precisions:
                yield Cell("table3", own, precision, layout, *size, kernel=kernel, channels=channels)


def chosen(given: argparse.Namespace, sizes: Sizes) -> list[Cell]:
    """Return the cells that were asked for and that the device could run."""
    ways = set(given.ways) if given.device == "cuda" else set(given.ways) & {"eager", "compile"}
    if not has_tensorrt():
        ways -= {"tensorrt"}
    precisions = set(given.precisions) if given.device == "cuda" else {"float32"}
    kept: dict[Cell, Cell] = {}  # by the cell without its meter, so that the cross product repeats nothing
    for cell in plan(sizes, full=given.full):
        own = replace(cell, ways=tuple(way for way in cell.ways if way in ways))
        asked = (
            cell.experiment in given.only and cell.precision in precisions and cell.layout in given.layouts
        )
        if own.ways and asked:
            kept.setdefault(replace(own, metered=()), own)
    return list(kept.values())


def options(description: str | None) -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, help="folder of the result file; default: benchmarks/results, a trial: build")
    add("--device", choices=("cuda", "cpu"), default="cuda", help="cpu tries the script out")
    add("--minutes", type=float, default=8.0, help="budget; cells that no longer fit are listed as not run")
    add("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    add("--depths", type=int, nargs="+", choices=Sizes.depths)
    add("--ways", nargs="+", choices=WAYS, default=list(WAYS), help=f"{CUDNN_OFF!r} is of the tables")
    add("--precisions", nargs="+", choices=tuple(PRECISIONS), default=list(PRECISIONS))
    add("--layouts", nargs="+", choices=tuple(LAYOUTS), default=list(LAYOUTS))
    add("--rounds", type=int, help="turns of each contender of a figure; default: 15")
    add("--full", action="store_true", help="the whole cross product of Fig. 8; give it --minutes")
    add("--search", action="store_true", help="let cuDNN try its algorithms; off, as torch comes")
    add("--workers", type=int, help="processes that prepare networks; 0: this one; default: by cores")
    add("--flatten-side", type=int, default=32, help="pixels of the certificate's images")
    add("--width", type=float, default=1.0, help="scales all channels, for trials")
    add("--classes", type=int, default=1000)
    add("--quick", action="store_true", help="tiny sizes: tries the script out")
    return parser

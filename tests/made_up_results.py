"""Reproductions with made-up numbers of a plausible size: nothing here was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from juggler.nouns import Machine, Skipped
from juggler.reproduce.results import (
    FORMAT,
    Cell,
    Comparison,
    MachineResults,
    Published,
    Reproduction,
    Row,
    Shape,
)

MACHINE = Machine("a made-up processor", 2, 8.0, "Linux", "3.12", {"torch": "0.0", "openvino": "0.0"})
BACKENDS = ("onnxruntime", "openvino", "torch_eager", "torch_compile")
DEPTHS = (18, 34, 50, 101, 152)
MACS = {18: (1.8e9, 0.9e9), 34: (3.6e9, 1.8e9), 50: (4.1e9, 1.8e9), 101: (7.8e9, 3.8e9), 152: (11.5e9, 5.7e9)}
CEILING = 500.0


def row(  # noqa: PLR0917  # one made-up line each
    subject: str, backend: str, batch: int, ms: float, macs: float, precision: str = "float32"
) -> Row:
    """Make a row; its rate and its share of a ceiling of 500 GFLOP/s follow from ms and MACs."""
    rate = macs * batch / ms / 1e6
    memory = (300.0, 120.0) if precision == "float32" and batch == 1 else (None, None)
    return Row(
        subject,
        backend,
        precision,
        batch,
        60,
        0.9 * ms,
        ms,
        1.2 * ms,
        1.4 * ms,
        rate,
        rate * 2 / CEILING,
        *memory,
    )


def shape(macs: float, kernels: int = 1) -> Shape:
    return Shape(int(macs), int(macs / 160), kernels, kernels * 3_000_000)


def compared(subject: str, against: str, backend: str, times: float, spread: float = 0.05) -> Comparison:
    return Comparison(
        subject, 1, against, 1, backend, "float32", times, times * (1 - spread), times * (1 + spread)
    )


def reproduction(experiment: str, cells: Sequence[Cell], published: Sequence[Published]) -> Reproduction:
    return Reproduction(
        experiment,
        f"Made-up {experiment}",
        "2026-01-02",
        MACHINE,
        11.0,
        {"threads": 2},
        tuple(cells),
        tuple(published),
    )


V100 = "NVIDIA V100"


def table2(backends: Sequence[str] = BACKENDS) -> Reproduction:
    macs = {
        "vgg": 3.7e9,
        "basicblock": 3.7e9,
        "basicblock+": 2.9e9,
        "bottleneck": 3.5e9,
        "bottleneck+": 4.2e9,
    }
    said = {
        "vgg": 7.147,
        "basicblock": 8.312,
        "basicblock+": 9.793,
        "bottleneck": 16.845,
        "bottleneck+": 25.714,
    }
    rows = [
        row(name, backend, 1, count / (2.3e8 - 2e7 * i - 1e7 * j), count)
        for j, backend in enumerate(backends)
        for i, (name, count) in enumerate(macs.items())
    ]
    shapes = {name: shape(count, 3) for name, count in macs.items()}
    published = [
        Published(name, V100, quantity, value, "Table II")
        for name, ms in said.items()
        for quantity, value in (("latency_ms", ms), ("gmac_per_s", macs[name] * 32 / ms / 1e6))
    ]
    case = {"channels": 256, "side_px": 56}
    cell = Cell("56 px, batch 1", case, shapes, tuple(rows), (), {"float32": CEILING}, 20, 1)
    return reproduction("table2", [cell], published)


def layers(backends: Sequence[str] = BACKENDS) -> Reproduction:
    """Return what the paper has no counterpart of: convolutions with long names, nothing published."""
    names = ("stem: 7x7, 3 to 64, 224 px", "stage 2: 3x3, 64 to 128, 56 px, stride 2")
    rows = [row(name, backend, 1, 4.0, 1e8 * (4 + i)) for backend in backends for i, name in enumerate(names)]
    shapes = {name: shape(1e8 * (4 + i)) for i, name in enumerate(names)}
    cell = Cell("224 px, batch 1", {"side_px": 224}, shapes, tuple(rows), (), {"float32": CEILING}, 20, 1)
    return reproduction("layers", [cell], [])


def table3(backends: Sequence[str] = BACKENDS[:3]) -> Reproduction:
    cells, published = [], []
    for kernel in (1, 3, 5, 7):
        for channels in (512, 1024, 2048):
            macs = kernel**2 * channels**2 * 56**2
            name = f"{kernel}x{kernel}, {channels} channels"
            case = {"kernel": kernel, "channels": channels, "side_px": 56}
            rows = tuple(
                row(name, b, 1, macs / (1.9e8 + 2e7 * (kernel % 4) - 3e7 * i), macs)
                for i, b in enumerate(backends)
            )
            cells.append(
                Cell(name, case, {name: shape(macs)}, rows, (), {"float32": CEILING - channels / 100}, 9, 0)
            )
            place = {"kernel": kernel, "channels": channels}
            published.append(Published(name, V100, "gmac_per_s", 6000.0 + kernel, "Table III", place))
    return reproduction("table3", cells, published)


def merge_penalty(backends: Sequence[str] = BACKENDS) -> Reproduction:
    cells = []
    for name, growth in (("basicblock", 1.39), ("bottleneck", 2.76)):
        merged = f"{name} merged"
        pairs = [
            (row(name, b, 1, 15.0, 3.7e9), row(merged, b, 1, 15.0 * growth, 3.7e9 * growth)) for b in backends
        ]
        shapes = {name: shape(3.7e9, 3), merged: shape(3.7e9 * growth, 1)}
        found = tuple(compared(merged, name, b, 1.2 / growth) for b in backends)
        rows = tuple(r for pair in pairs for r in pair)
        cells.append(Cell(name, {"channels": 256}, shapes, rows, found, {"float32": CEILING}, 20, 0))
    values = (
        ("basicblock merged", "parameter_ratio", 1.39),
        ("bottleneck merged", "parameter_ratio", 2.76),
        ("merged", "latency_penalty_low", 0.125),
        ("merged", "latency_penalty_high", 0.207),
    )
    return reproduction(
        "merge_penalty", cells, [Published(s, V100, q, v, "section II-C") for s, q, v in values]
    )


def fig8(
    backends: Sequence[str] = BACKENDS[:3],
    depths: Sequence[int] = DEPTHS,
    cases: Sequence[tuple[int, int]] = ((224, 1), (224, 8), (256, 1), (256, 8)),
    precisions: Sequence[str] = ("float32", "int8"),
) -> Reproduction:
    cells = []
    for depth in depths:
        plain, flat = MACS[depth]
        shapes = {
            "plain": shape(plain, depth),
            "flat": shape(flat, depth // 2),
            "wide": shape(flat * 4, depth * 2),
        }
        for side, batch in cases:
            rows, found, spoken = [], [], precisions if (side, batch) == (224, 1) else ("float32",)
            for i, backend in enumerate(backends):
                for precision in spoken:
                    times, speed = plain / flat * (1.05 + 0.04 * i), 2e8 * (2 if precision == "int8" else 1)
                    of = (
                        ("plain", plain / speed),
                        ("flat", plain / speed / times),
                        ("wide", plain * 2 / speed),
                    )
                    rows += [row(s, backend, batch, ms * batch, shapes[s].macs, precision) for s, ms in of]
                    pairs = (("flat", "plain", times), ("wide", "plain", 0.5), ("flat", "wide", 2 * times))
                    found += [
                        Comparison(s, batch, a, batch, backend, precision, t, t * 0.93, t * 1.08)
                        for s, a, t in pairs
                    ]
            case = {"depth": depth, "side_px": side, "batch": batch}
            name = f"depth {depth}, {side} px, batch {batch}"
            ceilings = {"float32": CEILING, "int8": 2 * CEILING}
            lost = (Skipped("bfloat16 on openvino", "the processor has no AMX"),)
            checks = ("flat equals wide to 1e-5",)
            cells.append(Cell(name, case, shapes, tuple(rows), tuple(found), ceilings, 25, 2, lost, checks))
    values = (
        ("NVIDIA V100 and Tx2, PyTorch", "times_low", 2.05),
        ("NVIDIA V100 and Tx2, PyTorch", "times_high", 4.31),
        ("NVIDIA Tx2", "times_high", 3.95),
        ("TensorRT", "times_high", 3.17),
    )
    return reproduction("fig8", cells, [Published("flat", d, q, v, "Fig. 8") for d, q, v in values])


def fig9(
    backends: Sequence[str] = BACKENDS[:2],
    batches: Sequence[int] = (1, 2, 4, 6, 8, 10, 12, 16, 18, 24, 32, 34, 36, 48, 64, 66),
) -> Reproduction:
    cells = []
    plain, flat = 8e8, 4e8
    for backend in backends:
        rows, found = [], []
        for batch in batches:
            for subject, count in (("plain", plain), ("flat", flat)):
                dip = 0.9 if subject == "plain" and batch == 18 else 1.0
                rows.append(
                    row(subject, backend, batch, batch * count / (dip * 2e8 * batch / (batch + 1)), count)
                )
            if batch - 2 in batches and (batch - 2).bit_count() == 1:
                for subject in ("plain", "flat"):
                    times = 0.9 if subject == "plain" and batch == 18 else 1.0
                    ends = (times - 0.03, times + 0.04)
                    found.append(
                        Comparison(subject, batch, subject, batch - 2, backend, "float32", times, *ends)
                    )
            found.append(Comparison("flat", batch, "plain", batch, backend, "float32", 2.0, 1.9, 2.1))
        shapes = {"plain": shape(plain, 152), "flat": shape(flat, 52)}
        case = {"depth": 152, "side_px": 56}
        cells.append(Cell(backend, case, shapes, tuple(rows), tuple(found), {"float32": CEILING}, 15, 0))
    values = (
        ("flat", V100, "peak_batch", 10.0),
        ("plain", V100, "peak_batch", 64.0),
        ("flat", V100, "peak_throughput_ratio", 3.22),
        ("plain", V100, "dip_at_18", 0.0651),
        ("flat", "NVIDIA Tx2", "peak_batch", 36.0),
        ("plain", "NVIDIA Tx2", "peak_batch", 48.0),
        ("flat", "NVIDIA Tx2", "peak_throughput_ratio", 1.38),
        ("plain", "NVIDIA Tx2", "dip_at_18", 0.0993),
    )
    return reproduction("fig9", cells, [Published(s, d, q, v, "Fig. 9") for s, d, q, v in values])


ALL = (table2, table3, merge_penalty, fig8, fig9, layers)


def results(name: str = "A made-up machine") -> MachineResults:
    """Return all experiments of one machine, with fewer backends and cells so that they are soon drawn."""
    two = BACKENDS[:2]
    smaller = fig8(two, (18, 34, 50), ((224, 1), (256, 8)))
    return MachineResults(
        FORMAT, name, (table2(two), table3(two), merge_penalty(two), smaller, fig9(two), layers(two))
    )


def bare(result: Reproduction) -> Reproduction:
    """Leave out of a result all that may be missing."""
    return dataclasses.replace(result, cells=(), published=())

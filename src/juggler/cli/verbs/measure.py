"""`juggler measure`: how long networks take, on every backend, in one race."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from juggler.cli.audience import NETWORK
from juggler.cli.console import OUT, bar, escape
from juggler.files import write_atomically
from juggler.report import timings_table

Models = Annotated[list[str], typer.Argument(help="Artefacts, ONNX files, checkpoints or names of networks.")]
Backends = Annotated[str | None, typer.Option(help="Separated by commas; all that work here if absent.")]
Shape = Annotated[
    list[str] | None,
    typer.Option(help="channels,height,width, once for each input; a file's own if absent."),
]
Dtype = Annotated[
    list[str] | None,
    typer.Option(help="Element type, once for each input; a file's own, or float32."),
]
Batches = Annotated[str, typer.Option(help="Batch sizes, separated by commas.")]
Precisions = Annotated[str, typer.Option(help="Out of float32, bfloat16 and int8, separated by commas.")]
Threads = Annotated[int | None, typer.Option(help="Cores a call may use.")]
Rounds = Annotated[int, typer.Option(help="Turns of each contender, in random order.")]
Flat = Annotated[bool, typer.Option("--flat", help="Add the flat form of each checkpoint or named network.")]


def measure(
    models: Models,
    backends: Backends = None,
    shape: Shape = None,
    batches: Batches = "1",
    precisions: Precisions = "float32",
    threads: Threads = None,
    rounds: Rounds = 20,
    flat: Flat = False,
    dtype: Dtype = None,
    memory: Annotated[bool, typer.Option(help="Measure peak memory too, in processes of their own.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write all figures as JSON.")] = None,
) -> None:
    """Time networks against each other: interleaved rounds, median, p95, p99, throughput.

    The first network is what the others are compared with, within one precision. A backend that lacks a
    precision is left out of it, and one that fails says why below the table. For int8 each network is
    calibrated on random inputs, for its speed does not depend on them.

    Examples: juggler measure resnet50 juggler_resnet50 --flat --shape 3,224,224 --backends openvino;

    juggler measure flat.onnx --precisions float32,bfloat16,int8 --batches 1,8
    """
    from juggler.runtime.measure.speed import measure as race  # noqa: PLC0415  # heavy
    from juggler.runtime.sources.named import contenders, parse_sizes  # noqa: PLC0415

    sizes = parse_sizes(batches)
    entries, shapes = contenders(models, shape, flat=flat, dtypes=dtype or ())
    with bar(f"timing {', '.join(entries)}") as report:
        measured = race(
            entries,
            None if backends is None else [name.strip() for name in backends.split(",")],
            shape=shapes,
            dtypes=dtype or (),
            batches=sizes,
            precisions=[name.strip() for name in precisions.split(",")],
            threads=threads,
            rounds=rounds,
            memory=memory,
            progress=report,
        )
    OUT.print(timings_table(measured.timings, measured.speedups))
    for skip in measured.skipped:
        OUT.print(f"[yellow]–[/] {escape(str(skip))}", soft_wrap=True)
    if out is not None:
        write_atomically(out, measured.to_json(indent=2).encode())
        OUT.print(f"[green]✓[/] {escape(out)}", soft_wrap=True)


VERB = measure
PANEL = NETWORK

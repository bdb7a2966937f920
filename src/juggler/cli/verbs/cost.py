"""`juggler cost`: what a network costs, layer by layer, and what binds each layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from juggler.cli.audience import NETWORK
from juggler.cli.console import OUT, bar, escape
from juggler.cli.costing import counted_source, given_ceilings, keep, print_costs
from juggler.cli.examples import Shapes, Types

Model = Annotated[
    str,
    typer.Argument(
        help="package.module:factory (runs that code), a .safetensors checkpoint, a torch.export .pt2 or an "
        ".onnx file, or a network's name."
    ),
]
Batch = Annotated[int, typer.Option(min=1, help="Inputs at once.")]
Sort = Annotated[
    str, typer.Option(help="order, macs, operations, parameters, bytes, memory, intensity or time.")
]
Fold = Annotated[
    int | None, typer.Option(help="Levels of modules kept apart: 1 is the network's children, 0 the whole.")
]
Top = Annotated[int | None, typer.Option(min=1, help="Rows to print; files hold them all.")]
Given = Annotated[
    str | None,
    typer.Option(
        "--ceilings", help="GFLOP/s,GB/s[,µs an operator] of another machine; else this one's are measured."
    ),
]
Json = Annotated[Path | None, typer.Option("--json", help="Write all of it as JSON.")]
Csv = Annotated[Path | None, typer.Option("--csv", help="Write the layer table as CSV.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write all of it as one HTML page.")]


def cost(
    model: Model,
    shape: Shapes = None,
    dtype: Types = None,
    batch: Batch = 1,
    sort: Sort = "order",
    fold: Fold = None,
    top: Top = None,
    ceilings: Given = None,
    json: Json = None,
    csv: Csv = None,
    html: Html = None,
) -> None:
    """Count a network's work, weights and traffic, and name what binds each layer.

    The bounds are a roofline's, by ceilings measured here in a few seconds, or by those that you give for
    hardware that you do not have. An ONNX file is read as it is, in int8 too. What is not counted is listed.

    Examples: juggler cost resnet50 --sort time --top 20;

    juggler cost net.onnx --shape 1,28,28 --batch 8 --fold 1 --ceilings 4000,900,5 --html cost.html
    """
    from juggler.cost.layers import check, layers  # noqa: PLC0415
    from juggler.cost.roofline import measure_ceilings  # noqa: PLC0415

    check(sort, fold)
    roof = given_ceilings(ceilings) if ceilings else None
    with bar(f"counting {escape(model)}") as progress:
        counted = counted_source(model, shape, batch, progress, types=dtype)
    if roof is None:
        with bar("measuring the ceilings of this machine") as progress:
            roof = measure_ceilings(progress=progress)
    rows = layers(counted, roof, sort=sort, fold=fold)
    print_costs(counted, rows, roof, top)
    for path in keep(model, counted, rows, roof, json=json, csv=csv, html=html):
        OUT.print(f"[green]✓[/] {escape(str(path))}", soft_wrap=True)


VERB = cost
PANEL = NETWORK

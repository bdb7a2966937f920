"""`juggler flatten`: any network that can be named or loaded, made flat, proved, measured, in int8."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from juggler.cli.audience import NETWORK
from juggler.cli.console import OUT, bar, escape
from juggler.errors import ConfigError, Refused
from juggler.report import (
    attribution_tables,
    certificate_table,
    decisions_table,
    refusals_table,
    rewrites_table,
)

if TYPE_CHECKING:
    from juggler.transform import Flattened

NOT_COMPARED_EXIT, ROLLED_BACK_EXIT = 12, 13
Source = Annotated[
    str,
    typer.Argument(
        help="package.module:factory (runs that code), a .safetensors checkpoint, a torch.export .pt2 or an "
        ".onnx file, or a network's name."
    ),
]
Out = Annotated[Path | None, typer.Option(help="Where to write the flat network as ONNX.")]
Shape = Annotated[str, typer.Option(help="Input without the batch: channels,height,width.")]
Policy = Annotated[
    str,
    typer.Option(
        help="work: fewest multiply-accumulates; measure: what is fastest on the backend; always: fuse "
        "whatever is exact; never: only check."
    ),
]
Backend = Annotated[
    str | None,
    typer.Option(help="For --policy measure (onnxruntime if absent) and --attribute (all that work here)."),
]
Attribute = Annotated[
    bool, typer.Option("--attribute", help="Time eager, flat, runtime and int8 in one race.")
]
Int8 = Annotated[
    Path | None,
    typer.Option(help="Real inputs, n x channels x height x width in a .npy: write OUT-int8.onnx as well."),
]
ParityLimit = Annotated[
    float, typer.Option(help="What the file may differ from the network by, of its largest value.")
]
Report = Annotated[Path | None, typer.Option(help="Write all of it as one HTML page.")]


def flatten(
    source: Source,
    out: Out = None,
    shape: Shape = "3,224,224",
    policy: Policy = "work",
    backend: Backend = None,
    attribute: Attribute = False,
    int8: Int8 = None,
    parity_limit: ParityLimit = 1e-5,
    report: Report = None,
) -> None:
    """Rewrite a network into a shorter one that computes the same, and print the proof.

    Examples: juggler flatten juggler_resnet18 --out flat.onnx;

    juggler flatten 'mynets:Net(width=32)' --shape 3,64,64 --policy measure --backend openvino;

    juggler flatten net.pt2 --attribute --int8 images.npy --out net.onnx --report net.html
    """
    from juggler.runtime.deploy import ship  # noqa: PLC0415
    from juggler.runtime.measure.attribution import attribute as race  # noqa: PLC0415  # torch takes two seconds
    from juggler.runtime.sources.named import open_with_example, parse_shape, read_inputs  # noqa: PLC0415
    from juggler.runtime.tuning.flattening import flatten as rewrite  # noqa: PLC0415

    if int8 and not out:
        raise ConfigError("write the network in int8", "no path to write it to", "Give one: --out net.onnx")
    size = parse_shape(shape)
    real = read_inputs(int8, size) if int8 else None
    module, example = open_with_example(source, size)
    done = rewrite(module, example, inputs=real, policy=policy, backend=backend or "onnxruntime")  # type: ignore[arg-type]
    _tell(done)
    measured = None
    if attribute:
        with bar("timing every step") as on_progress:
            chosen = [backend] if backend else None
            measured = race(
                module, example, flat=done.model, backends=chosen, inputs=real, progress=on_progress
            )
        for table in attribution_tables(measured):
            OUT.print(table)
        for skip in measured.skipped:
            OUT.print(f"[yellow]–[/] {escape(str(skip))}", soft_wrap=True)
    for written in ship(done, example, out, int8=real, parity_limit=parity_limit) if out else ():
        OUT.print(f"[green]✓[/] {escape(written)}", soft_wrap=True)
    if report is not None:
        from juggler.report.html import write_flattened  # noqa: PLC0415  # needs the workshop's packages

        OUT.print(f"[green]✓[/] {escape(write_flattened(source, done, measured, report))}", soft_wrap=True)
    if code := _exit_code(done):
        raise typer.Exit(code)


def _exit_code(done: Flattened) -> int:
    """Return 0, or the code of what went wrong; say so where the file could not be compared."""
    if not done.is_proved:
        return Refused.exit_code
    reasons = [check.reason for check in done.certificate.source if not check.shapes]
    if reasons:
        OUT.print(f"[bold red]NOT COMPARED[/] with the file: {escape(reasons[0])}", soft_wrap=True)
        return NOT_COMPARED_EXIT
    return ROLLED_BACK_EXIT if done.rolled_back else 0


def _tell(done: Flattened) -> None:
    """Print what was done, what was not, and the proof; what went wrong comes first."""
    if done.warning:
        OUT.print(f"[bold red]{escape(done.warning)}[/]", soft_wrap=True)
    OUT.print(rewrites_table(done.rewrites))
    if done.decisions:
        OUT.print(decisions_table(done.decisions))
    if done.refusals:
        OUT.print(refusals_table(done.refusals))
    OUT.print(certificate_table(done.certificate))
    before, after = done.wide_graph, done.flat_graph
    OUT.print(f"{len(before.nodes)} ops, {before.macs:,} MACs -> {len(after.nodes)} ops, {after.macs:,} MACs")


VERB = flatten
PANEL = NETWORK

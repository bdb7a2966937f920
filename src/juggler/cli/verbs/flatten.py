"""`juggler flatten`: any network that can be named or loaded, made flat and proved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from juggler.cli.console import OUT
from juggler.report import certificate_table, refusals_table, rewrites_table

Model = Annotated[str, typer.Argument(help="A .safetensors checkpoint, an .onnx file or a network's name.")]
Out = Annotated[Path | None, typer.Option(help="Where to write the flat network as ONNX.")]
Shape = Annotated[str, typer.Option(help="Input without the batch: channels,height,width.")]
Policy = Annotated[str, typer.Option(help="work: never add work; always: fuse whatever is exact.")]


def flatten(model: Model, out: Out = None, shape: Shape = "3,224,224", policy: Policy = "work") -> None:
    """Rewrite a network into the plainest one that computes the same, and print the proof.

    Example: juggler flatten juggler_resnet18 --out flat.onnx
    """
    from juggler import transform  # noqa: PLC0415  # torch takes two seconds, and other verbs do without
    from juggler.runtime.export import export  # noqa: PLC0415
    from juggler.runtime.named import open_with_example, parse_shape  # noqa: PLC0415

    module, example = open_with_example(model, parse_shape(shape))
    done = transform.flatten(module, example, policy=policy)  # type: ignore[arg-type]
    OUT.print(rewrites_table(done.rewrites))
    if done.refusals:
        OUT.print(refusals_table(done.refusals))
    OUT.print(certificate_table(done.certificate))
    before, after = done.wide_sketch, done.flat_sketch
    OUT.print(f"{len(before.nodes)} ops, {before.macs:,} MACs -> {len(after.nodes)} ops, {after.macs:,} MACs")
    if out is not None:
        metadata = {"juggler.certificate": done.certificate.to_json()}
        OUT.print(f"[green]✓[/] {export(done.model, example, out, metadata=metadata)}", soft_wrap=True)


VERB = flatten

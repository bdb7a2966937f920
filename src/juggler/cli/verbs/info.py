"""`juggler info`: what an artefact holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from juggler.cli.audience import EVERYONE
from juggler.cli.console import OUT, escape
from juggler.runtime import Artefact
from juggler.runtime.artefact import shipped


def info(
    artefact: Annotated[
        Path | None, typer.Argument(help="An .onnx artefact; the shipped one if absent.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, the certificate whole.")] = False,
) -> None:
    """Print what an artefact holds: schema, encoder, classes, threshold, certificate, provenance.

    Example: juggler info runs/nsl_kdd/detector.onnx
    """
    opened = Artefact.load(artefact or shipped("nsl_kdd.onnx"), threads=1)
    described = opened.describe()
    if as_json:
        certificate = opened.fields.certificate
        fields = {**described, "certificate": certificate.to_dict() if certificate else None}
        typer.echo(json.dumps(fields, indent=2))
        return
    rows = _rows(described)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        OUT.print(f"[bold]{escape(name):<{width}}[/]  {escape(value)}", soft_wrap=True)


def _rows(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested values as dotted names and short texts."""
    rows = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _rows(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, value if isinstance(value, str) else json.dumps(value)))
    return rows


VERB = info
PANEL = EVERYONE

"""`juggler evaluate`: how well artefacts detect, on labelled records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from juggler.cli.audience import PLANT
from juggler.cli.console import ERRORS, OUT, SYNTHETIC, bars, download_progress, escape
from juggler.data import Source, load_record_set
from juggler.detect import Detector
from juggler.detect import evaluate as score
from juggler.metrics import Scores
from juggler.report import recall_table, scores_table
from juggler.runtime import Artefact, open_session
from juggler.runtime.artefact import shipped

Artefacts = Annotated[list[Path] | None, typer.Argument(help="Artefacts; the shipped detector if absent.")]
Set = Annotated[str, typer.Option("--set", help="Data set that holds the labelled records.")]
Parts = Annotated[str, typer.Option(help="Its parts, separated by commas.")]
Folder = Annotated[Path | None, typer.Option("--data", help="Folder or zip to look in first.")]
Backends = Annotated[str, typer.Option(help="What runs the network, separated by commas.")]


def evaluate(
    artefacts: Artefacts = None,
    data_set: Set = "nsl-kdd",
    parts: Parts = "test,test-21",
    data: Folder = None,
    backends: Backends = "onnxruntime",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print detection scores, known and unseen attack types apart, by the one alarm rule.

    Examples: juggler evaluate detector.onnx detector-wide.onnx --backends onnxruntime,openvino;

    juggler evaluate detector.onnx --set synthetic --parts test
    """
    rows: list[tuple[str, Scores]] = []
    with bars() as progress:
        loaded = load_record_set(data_set, Source(folder=data, progress=download_progress(progress)))
        for part in parts.split(","):
            records = loaded.load(part.strip())
            for path in artefacts or [shipped("nsl_kdd.onnx")]:
                artefact = Artefact.load(path)
                for backend in backends.split(","):
                    label = f"{path.stem}, {backend.strip()}, {part.strip()}"
                    task = progress.add_task(escape(label), total=1)
                    with open_session(artefact.graph, backend.strip()) as session:
                        rows.append((label, score(Detector(artefact, session), records)))
                    progress.update(task, completed=1)
    if as_json:
        if loaded.synthetic:
            ERRORS.print(SYNTHETIC, style="bold yellow", soft_wrap=True)
        typer.echo(json.dumps({label: scores.to_dict() for label, scores in rows}, indent=2))
        return
    if loaded.synthetic:
        OUT.print(f"[bold yellow]{SYNTHETIC}[/]", soft_wrap=True)
    OUT.print(scores_table(rows))
    OUT.print(recall_table(rows))


VERB = evaluate
PANEL = PLANT

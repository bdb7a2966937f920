"""Every room once, told as a report: flatten, certify, export, evaluate, time, detect."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from juggler.data import DataNotFound, DataSet, Records, Source, load_record_set
from juggler.data.format import to_csv
from juggler.detect import Detector, Sink, Summary, detect, evaluate, open_sink
from juggler.metrics import Scores
from juggler.models.detector.protocol import TrainedDetector
from juggler.nouns import Alert, Progress, ReportProgress, Rewrite, as_stage
from juggler.registry import normalise
from juggler.report.html import write
from juggler.report.story import Story
from juggler.runtime import BACKENDS, Artefact, open_session
from juggler.runtime.deploy import Deployed, deploy
from juggler.runtime.measure.speed import Measured, measure

SYNTHETIC = (
    "SYNTHETIC DATA: NSL-KDD was not found, and the package made these records up itself. The scores "
    "below say nothing of the detector."
)
_BATCHES = (1, 64)


@dataclass(frozen=True, eq=False)
class Demo:
    """What the demo made.

    Attributes:
        deployed: the detector in both its forms.
        scores: detection scores by form and backend; all are of the same records.
        measured: latencies.
        summary: what `detect` counted.
        data: the data set that the records are from.
        alerts_path: the alerts, as EVE JSON lines.
        report_path: the report.
    """

    deployed: Deployed
    scores: tuple[tuple[str, Scores], ...]
    measured: Measured
    summary: Summary
    data: DataSet
    alerts_path: Path
    report_path: Path


def find_records(source: Source) -> tuple[DataSet, Records]:
    """Return NSL-KDD's test records, or the synthetic ones where NSL-KDD is nowhere to be found."""
    data_set = load_record_set("nsl-kdd", source)
    try:
        return data_set, data_set.load("test")
    except DataNotFound:
        data_set = load_record_set("synthetic")
        return data_set, data_set.load("test")


def run_demo(
    detector: TrainedDetector,
    data: DataSet,
    records: Records,
    folder: Path,
    *,
    progress: ReportProgress,
    on_rewrite: Callable[[Rewrite], None] | None = None,
    backends: Sequence[str] | None = None,
) -> Demo:
    """Take a trained wide detector through every room; write artefacts, alerts and report into `folder`.

    Args:
        detector: wide, as trained.
        data: where the records come from.
        records: labelled records to evaluate on, detect in and compare classes on.
        folder: where to write.
        progress: told of each stage.
        on_rewrite: called with each rewrite as it is made.
        backends: what to score and time both forms on; `None` is every one there is.

    Raises:
        ConfigError: there is no such backend, or the files cannot be written.
        Refused: the detector cannot be proved flat.
    """
    names = list(BACKENDS.names() if backends is None else map(normalise, backends))
    usable = [name for name in names if BACKENDS.get(name).status().available]
    deployed = deploy(detector, records, folder, on_rewrite=on_rewrite)
    scores = _evaluate(deployed, records, usable, progress)
    measured = measure(
        {"wide": deployed.wide.path, "flat": deployed.flat.path},
        names,
        shape=detector.encoder.shape,
        batches=_BATCHES,
        rounds=10,
        warmup_s=0.3,
        progress=as_stage("time both forms on each runtime", progress),
    )
    alerts_path = folder / ("alerts-SYNTHETIC.json" if data.synthetic else "alerts.json")
    alerts, summary = _detect(deployed.flat, records, alerts_path, progress)
    story = Story(
        title="A detector, wide and flat",
        summary=_summary(deployed, data, records),
        notices=(SYNTHETIC,) if data.synthetic else (),
        wide=deployed.flattened.wide_graph,
        flat=deployed.flattened.flat_graph,
        rewrites=deployed.flattened.rewrites,
        refusals=deployed.flattened.refusals,
        certificate=deployed.flattened.certificate,
        timings=measured.timings,
        speedups=measured.speedups,
        scores=scores,
        class_names=detector.classes,
        alerts=tuple(alert for alert in alerts if alert.state == "closed"),
        machine=measured.machine,
        provenance=_provenance(detector, data, measured),
    )
    progress(Progress("write the report", 0, 1))
    report_path = write(story, folder / "report.html")
    progress(Progress("write the report", 1, 1))
    return Demo(deployed, scores, measured, summary, data, alerts_path, report_path)


def _evaluate(
    deployed: Deployed, records: Records, backends: Sequence[str], progress: ReportProgress
) -> tuple[tuple[str, Scores], ...]:
    """Score both forms on each backend."""
    forms = {"flat": deployed.flat, "wide": deployed.wide}
    pairs = list(product(forms, backends))
    scores = []
    for done, (form, backend) in enumerate(pairs):
        progress(Progress("score both forms on each runtime", done, len(pairs)))
        with open_session(forms[form].graph, backend) as session:
            scores.append((f"{form}, {backend}", evaluate(Detector(forms[form], session), records)))
    progress(Progress("score both forms on each runtime", len(pairs), len(pairs)))
    return tuple(scores)


class _Listening:
    """A sink that keeps the alerts as well."""

    def __init__(self, sink: Sink) -> None:
        self._sink, self.alerts = sink, list[Alert]()

    def write(self, alert: Alert) -> None:
        self.alerts.append(alert)
        self._sink.write(alert)


def _detect(
    artefact: Artefact, records: Records, path: Path, progress: ReportProgress
) -> tuple[list[Alert], Summary]:
    """Run the detector over the records as a file of CSV, as `juggler detect` does."""
    path.unlink(missing_ok=True)
    with tempfile.NamedTemporaryFile(suffix=".csv") as file, open_sink("eve", path) as sink:
        file.write(to_csv(records))
        file.flush()
        listening = _Listening(sink)
        summary = detect(
            artefact,
            file.name,
            listening,  # type: ignore[arg-type]  # of a sink it is only written to
            on_progress=as_stage("detect, write alerts", progress),
        )
    return listening.alerts, summary


def _summary(deployed: Deployed, data: DataSet, records: Records) -> str:
    before, after = deployed.flattened.wide_graph, deployed.flattened.flat_graph
    return (
        f"{len(records):,} records of {data.name}; {len(before.nodes)} ops and {before.macs:,} "
        f"multiply-accumulates wide, {len(after.nodes)} and {after.macs:,} flat"
    )


def _provenance(detector: TrainedDetector, data: DataSet, measured: Measured) -> dict[str, object]:
    not_run = {f"not run: {s.what}": f"{s.reason}; {s.remedy}" for s in measured.skipped}
    return {
        "command": "juggler demo",
        "data": data.name,
        "synthetic": data.synthetic,
        "citation": data.provenance.citation,
        "seed": detector.provenance.get("seed", ""),
        "epoch": detector.provenance.get("epoch", ""),
        "weights": detector.provenance.get("weights_sha256", ""),
        "threads": measured.threads or "each backend's own choice",
        **not_run,
    }

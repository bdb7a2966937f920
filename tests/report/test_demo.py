"""Every room once: a real detector, trained in seconds, from its weights to the report."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from commands import Workshop
from juggler.data import DataSet, Records, Source, load_set
from juggler.errors import ConfigError
from juggler.metrics import Scores
from juggler.models.detector.protocol import TrainedDetector
from juggler.nouns import Progress, ignore_progress
from juggler.report.demo import SYNTHETIC, Demo, find_records, run_demo
from juggler.runtime import BACKENDS, Artefact
from juggler.runtime.artefact import shipped

# torch_compile compiles for half a minute: tests/runtime runs it on a smaller network.
ASKED = tuple(name for name in BACKENDS.names() if name != "torch_compile")
WORKING = {name for name in ASKED if BACKENDS.get(name).status().available}


def go(detector: TrainedDetector, data: DataSet, records: Records, folder: Path) -> tuple[Demo, list[str]]:
    stages: list[str] = []

    def report(value: Progress) -> None:
        stage, done, total = value.stage, value.done, value.total
        assert 0 <= done <= total
        stages.append(stage)

    return run_demo(detector, data, records, folder, progress=report, backends=ASKED), stages


def check_scores(result: Demo, records: int) -> None:
    """See that all that works gives both forms the same verdicts, and the rest is named with a remedy."""
    scores: dict[str, Scores] = dict(result.scores)
    assert {*scores} == {f"{form}, {backend}" for form in ("flat", "wide") for backend in WORKING}
    assert {s.records for s in scores.values()} == {records}
    assert len({(s.confusion, s.detection_rate, s.false_alarm_rate) for s in scores.values()}) == 1
    skipped = {skip.what: skip for skip in result.measured.skipped}
    assert {*skipped} == {*ASKED} - WORKING
    assert all(skip.reason and skip.remedy for skip in skipped.values())
    timed = {(t.subject, t.backend, t.batch) for t in result.measured.timings}
    assert timed == {(f, b, n) for f in ("wide", "flat") for b in WORKING for n in (1, 64)}


@pytest.fixture(scope="module")
def demo_run(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> tuple[Demo, list[str], Path]:
    folder = tmp_path_factory.mktemp("demo_run") / "demo"
    return *go(workshop.trained, load_set("synthetic"), workshop.records, folder), folder


def test_both_forms_score_the_same_on_every_backend(demo_run: tuple[Demo, list[str], Path]) -> None:
    check_scores(demo_run[0], records=2900)


def test_all_files_are_there_and_whole(demo_run: tuple[Demo, list[str], Path]) -> None:
    done, stages, folder = demo_run
    assert {path.name for path in folder.iterdir()} == {
        *("detector.onnx", "detector-wide.onnx", "alerts-SYNTHETIC.json", "report.html")
    }
    forms = [Artefact.load(folder / name).fields.form for name in ("detector.onnx", "detector-wide.onnx")]
    assert forms == ["flat", "wide"]
    alerts = [json.loads(line) for line in done.alerts_path.read_text(encoding="utf-8").splitlines()]
    assert len(alerts) == 2 * done.summary.alerts > 0
    assert {alert["event_type"] for alert in alerts} == {"alert"}
    assert (done.summary.records, done.summary.bad_rows, done.summary.unwritten) == (2900, 0, 0)
    flat = dict(done.scores)["flat, onnxruntime"]
    confusion = flat.confusion
    alarms = sum(sum(row[1:]) for row in confusion)
    assert done.summary.alarms == alarms, "detect and evaluate follow one rule"
    assert list(dict.fromkeys(stages)) == [
        "score both forms on each runtime",
        "time both forms on each runtime",
        "detect, write alerts",
        "write the report",
    ]


def test_the_report_says_synthetic_loudly_and_stands_alone(demo_run: tuple[Demo, list[str], Path]) -> None:
    done, _, folder = demo_run
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count(SYNTHETIC) >= 1
    assert page.index("SYNTHETIC DATA") < page.index("<svg"), "before the first picture"
    assert "<svg" in page and not re.search(r"""(src|href)=["']https?://""", page)
    for backend in ASKED:
        assert backend in page, "scored, or listed as not run"
    assert done.deployed.flattened.certificate.wide_sha256[:12] in page


def test_a_second_run_replaces_the_first(demo_run: tuple[Demo, list[str], Path], workshop: Workshop) -> None:
    done, _, folder = demo_run
    lines = len(done.alerts_path.read_text(encoding="utf-8").splitlines())
    few = ("onnxruntime",)
    again = run_demo(
        workshop.trained, done.data, workshop.records, folder, progress=ignore_progress, backends=few
    )
    assert len(again.alerts_path.read_text(encoding="utf-8").splitlines()) == lines
    assert [name for name, _ in again.scores] == ["flat, onnxruntime", "wide, onnxruntime"]


def test_an_unknown_backend_is_refused_before_any_work(workshop: Workshop, tmp_path: Path) -> None:
    data = load_set("synthetic")
    folder = tmp_path / "nothing"
    with pytest.raises(ConfigError, match="onnxruntime"):
        run_demo(workshop.trained, data, workshop.records, folder, progress=print, backends=["onnxruntim"])
    assert not folder.exists()


@pytest.mark.usefixtures("elsewhere")
def test_without_data_the_synthetic_records_are_taken() -> None:
    found, records = find_records(Source())
    assert found.name == "synthetic" and found.synthetic and len(records) == 2900


@pytest.mark.data
def test_the_shipped_detector_on_real_records(tmp_path: Path) -> None:
    found, records = find_records(Source(offline=True))
    assert not found.synthetic, os.environ.get("JUGGLER_DATA")
    done, _ = go(TrainedDetector.load(shipped("nsl_kdd.safetensors")), found, records, tmp_path)
    check_scores(done, records=22_544)
    certificate = done.deployed.flattened.certificate
    assert certificate.passed
    assert (certificate.classes_agreed, certificate.classes_compared) == (22_544, 22_544)
    assert certificate.worst("float64") <= 1e-12 and certificate.worst("float32") <= 1e-5
    assert done.summary.records == 22_544 and done.summary.bad_rows == 0
    assert "SYNTHETIC" not in done.report_path.read_text(encoding="utf-8")
    ready = Artefact.load(shipped("nsl_kdd.onnx"))
    assert ready.fields.certificate is not None and ready.fields.certificate.passed
    assert ready.fields.certificate.wide_sha256 == certificate.wide_sha256
    assert ready.threshold == done.deployed.flat.threshold

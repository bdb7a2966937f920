"""Records and a network to alerts: read a file or a stream, score it, aggregate, write; no torch here.

    artefact = Artefact.load("detector.onnx")
    with open_sink("eve", "eve.json") as sink:
        summary = detect(artefact, "records.csv", sink)

`Detector` scores records in memory, `evaluate` compares it with the truth, `calibrate` sets its threshold.
A sink is one file in `alerts/sinks` offering `SINK`.
"""

from juggler.alerts.aggregation import Aggregator, Alarm
from juggler.alerts.sink import SINKS, Sink, SinkError, open_sink
from juggler.detect.captures import detect_capture, looks_like_capture
from juggler.detect.detector import Detector, Verdicts
from juggler.detect.evaluate import Calibration, calibrate, evaluate, read_labelled, write_calibrated
from juggler.detect.options import BadRecord, DetectOptions, Summary
from juggler.detect.run import RunError, detect
from juggler.stopping import StopRequest

__all__ = [
    "SINKS",
    "Aggregator",
    "Alarm",
    "BadRecord",
    "Calibration",
    "DetectOptions",
    "Detector",
    "RunError",
    "Sink",
    "SinkError",
    "StopRequest",
    "Summary",
    "Verdicts",
    "calibrate",
    "detect",
    "detect_capture",
    "evaluate",
    "looks_like_capture",
    "open_sink",
    "read_labelled",
    "write_calibrated",
]

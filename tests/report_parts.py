"""Small parts of a report, each made in one line."""

from __future__ import annotations

from juggler.metrics import Scores
from juggler.nouns import (
    Alert,
    Certificate,
    Check,
    GraphNode,
    GraphSummary,
    Timing,
)


def chain(name: str, *kinds: str) -> GraphSummary:
    nodes = [GraphNode("x", "placeholder", (), (1, 1, 6, 6))]
    for number, kind in enumerate(kinds):
        macs = 900 if kind == "conv2d" else 0
        nodes.append(GraphNode(f"{kind}{number}", kind, (nodes[-1].name,), (1, 8, 6, 6), macs))
    return GraphSummary(name, tuple(nodes))


def residual(name: str, blocks: int, last_kind: str = "output") -> GraphSummary:
    nodes = [GraphNode("x", "placeholder", (), (1, 8, 6, 6))]
    for block in range(blocks):
        start = nodes[-1].name
        for kind in ("conv2d", "batch_norm", "relu"):
            nodes.append(GraphNode(f"{kind}{block}", kind, (nodes[-1].name,), (1, 8, 6, 6), 10))
        nodes.append(GraphNode(f"add{block}", "add", (nodes[-1].name, start), (1, 8, 6, 6)))
    nodes.append(GraphNode("y", last_kind, (nodes[-1].name,), (1, 8, 6, 6)))
    return GraphSummary(name, tuple(nodes))


def make_scores(**changes: object) -> Scores:
    values: dict[str, object] = {
        "records": 120,
        "threshold": 0.25,
        "auc": 0.975,
        "false_alarm_rate": 0.02,
        "detection_rate": 0.91,
        "detection_rate_known": 0.95,
        "detection_rate_unseen": 0.83,
        "accuracy_2class": 0.93,
        "accuracy_5class": 0.88,
        "macro_f1": 0.71,
        "recall": {"normal": 0.98, "dos": 0.75},
        "confusion": ((49, 1), (14, 56)),
        "curve": ((0.0, 0.0), (0.01, 0.8), (0.02, 0.91), (0.2, 0.99), (1.0, 1.0)),
    }
    return Scores(**(values | changes))  # type: ignore[arg-type]


def make_certificate(error: float = 2e-16) -> Certificate:
    checks = (
        Check("actual", "float64", (1, 1, 6, 6), error, 3e-16, 0.0),
        Check("randomised", "float32", (7, 1, 7, 7), 1e-7, None, 2e-7),
    )
    return Certificate(
        "a" * 64, "b" * 64, checks, 120, 120, {"float64": 1e-12, "float32": 1e-5}, {"torch": "2.13"}
    )


def make_timing(subject: str, backend: str, batch: int, median_ms: float) -> Timing:
    spread = (0.9 * median_ms, median_ms, 1.2 * median_ms, 1.5 * median_ms)
    return Timing(subject, backend, batch, 200, *spread, peak_rss_mib=None)


def make_alert(identity: int) -> Alert:
    time = "2026-03-01T10:00:00.120+00:00"
    return Alert(identity, time, "closed", "dos", 0.97, 0.25, 3, 10, 12, "tcp", "http", {"count": 0.4})

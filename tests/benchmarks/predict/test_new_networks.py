"""New networks are new, and what came out is held against the claims."""

from __future__ import annotations

import json
from importlib.resources import files

from benchmarks.predict.new_networks import NETWORKS, judged, median_ms


def row(measured_ms: float, predicted_ms: float, high_ms: float) -> dict[str, object]:
    covered = measured_ms <= high_ms
    return {"network": "a", "measured_ms": measured_ms, "predicted_ms": predicted_ms, "covered": covered}


def test_no_campaign_draws_the_shapes_of_a_new_network():
    drawn = json.loads(files("juggler.predict").joinpath("network_shapes.json").read_text())["networks"]
    assert len(NETWORKS) >= 16 and not set(NETWORKS) & set(drawn)


def test_accuracy_and_coverage_are_judged_by_their_limits():
    good = [row(1.0, 1.02, 1.1)] * 9 + [row(1.2, 1.19, 1.1)]
    assert [finding.reached for finding in judged(good)] == [True, True, True]
    bad = [row(1.0, 1.2, 1.1)] * 2 + [row(1.2, 1.0, 1.1)]
    assert [finding.reached for finding in judged(bad)] == [False, False, False]
    assert list(judged([])) == []


def test_a_call_is_timed_at_least_thrice():
    calls: list[int] = []
    assert median_ms(lambda: calls.append(1)) >= 0.0 and len(calls) >= 4

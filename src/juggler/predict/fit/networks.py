"""Fit how a predictor's kernels add up to networks, and calibrate intervals of whole networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from juggler.arrays import Floats
from juggler.predict.campaign.networks import TimedNetwork
from juggler.predict.fit.report import NetworkReport
from juggler.predict.learning.scores import score
from juggler.predict.predictor.composition import Composition, Parts
from juggler.predict.predictor.intervals import Intervals
from juggler.predict.predictor.predictor import NETWORK, Predictor


def compose_predictor(
    predictor: Predictor, networks: Sequence[TimedNetwork], level: float
) -> tuple[Predictor, NetworkReport]:
    """Return the predictor with a composition and intervals of networks, and how they came out.

    A network's score comes from a composition that was fitted on the others (all of its own batches left
    out), the composition that is returned from all: a jackknife over networks. Its intervals cover at least
    `2 level - 1` of new networks whatever the data, and about `level` where leaving one out changes little,
    which with nine coefficients held near what is believed beforehand is so from about 15 networks on.

    Args:
        predictor: of kernels.
        networks: timed on the same machine, none of them kept for tests.
        level: share of networks that intervals are to cover.
    """
    if not networks:
        return predictor, NetworkReport()
    names = [network.name for network in networks]
    measured = np.array([network.latency_ms for network in networks])
    parts = [predictor.parts(network.reading) for network in networks]
    left_out = without_own(parts, measured, names)
    intervals = Intervals.fit([NETWORK] * len(names), measured, left_out, level=level, groups=names)
    composed = replace(predictor, composition=Composition.fit(parts, measured, names), networks=intervals)
    paper = [composed.predict(network.reading).paper_ms for network in networks]
    known = [row for row, value in enumerate(paper) if value is not None]
    width = intervals.half_widths.get(NETWORK)
    report = NetworkReport(
        names=len(set(names)),
        timed=len(names),
        scores=score(measured, left_out),
        paper_scores=score(measured[known], np.array([paper[row] for row in known], float))
        if known
        else None,
        half_width=None if width is None else float(np.expm1(width)),
    )
    return composed, report


def without_own(parts: Sequence[Parts], measured: Floats, names: Sequence[str]) -> Floats:
    """Return each network's latency by a composition that was fitted without any batch of it."""
    latencies = np.empty(len(parts))
    for name in set(names):
        others = [row for row, owner in enumerate(names) if owner != name]
        composition = Composition.fit(
            [parts[row] for row in others], measured[others], [names[row] for row in others]
        )
        for row in (row for row, owner in enumerate(names) if owner == name):
            latencies[row] = composition.compose(parts[row])
    return latencies

"""A whole story, small, with every part a report can have."""

from __future__ import annotations

import math

import pytest

from juggler.nouns import Machine, Refusal, Rewrite
from juggler.report import Story
from report_parts import chain, make_alert, make_certificate, make_scores, make_timing, residual


@pytest.fixture
def story() -> Story:
    timings = [
        make_timing(subject, backend, batch, speed * batch)
        for backend, speed in (("onnxruntime", 0.2), ("openvino", 0.3))
        for batch in (1, 8)
        for subject, speed in (("wide", 2 * speed), ("flat", speed))
    ]
    return Story(
        title="Detector on NSL-KDD",
        summary="A small detector.",
        notices=("SYNTHETIC DATA",),
        wide=residual("detector wide", 3),
        flat=chain("detector flat", "conv2d", "relu", "output"),
        rewrites=(
            Rewrite("fold_scale", "section 3.1", ("conv2d0", "batch_norm0"), "c0", 900, 900, 1e-16),
            Rewrite("fold_scale", "section 3.1", ("conv2d1", "batch_norm1"), "c1", 900, 900, 4e-16),
        ),
        refusals=(Refusal("fuse_vertical", ("head",), "the border differs", "pad before the first"),),
        certificate=make_certificate(),
        timings=tuple(timings),
        scores=(("flat, Test+", make_scores()), ("wide, Test+", make_scores(detection_rate_unseen=math.nan))),
        class_names=("normal", "dos"),
        alerts=tuple(make_alert(i) for i in range(1, 26)),
        machine=Machine("a processor", 2, 7.8, "Linux", "3.12", {"torch": "2.13"}),
        provenance={"data set": "NSL-KDD", "seed": 0},
    )

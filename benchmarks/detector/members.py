"""What members cost: one record through the flat detector of one, three and five members, one core.

Weights are drawn: latency does not depend on them. The networks are of the shipped plan's shape, joined,
flattened and exported as a detector is; all are in one race on each runtime, the single network the baseline.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from benchmarks.common import Finding, options, progress, reporting, write
from juggler.data import Encoder, load_record_set
from juggler.models import Plan, create
from juggler.models.detector.ensemble import join
from juggler.runtime.export import export
from juggler.runtime.measure.speed import measure
from juggler.transform import flatten

MEMBERS = (1, 3, 5)
LIMIT_MS = 0.15


def main() -> None:
    """Make the networks, race them, write the result file."""
    given = options(__doc__).parse_args()
    plan, data = Plan.shipped("nsl_kdd"), load_record_set("nsl_kdd")
    sizes = {key: value for key, value in plan.options.items() if key not in ("members", "novelty")}
    encoder = Encoder.fit(data.training(), plan.columns(data.schema))
    channels, *size = encoder.shape
    torch.manual_seed(0)
    made = {
        "classes": len(data.schema.classes),
        "in_channels": channels,
        "image_size": tuple(size),
        **sizes,
    }
    example = torch.rand(2, *encoder.shape)
    graphs, certificates = {}, {}
    for members in MEMBERS:
        joined = join([create(plan.network, **made).eval() for _ in range(members)])
        flattened = flatten(joined, example[:1].clone(), inputs=example)
        certificates[members] = flattened.certificate.to_dict()
        graphs[f"{members} members"] = export(flattened.model, example)
    with progress("members") as tell:
        measured = measure(
            graphs,
            ["onnxruntime", "openvino"],
            shape=encoder.shape,
            threads=1,
            rounds=10 if given.quick else 60,
            min_block_ms=20.0,
            progress=reporting(tell),
        )
    details: dict[str, Any] = {
        "plan": replace(plan, options=sizes).to_dict(),
        "certificates": certificates,
        **{key: value for key, value in measured.to_dict().items() if key != "machine"},
    }
    times = [t for t in measured.timings if t.backend == "onnxruntime"]
    findings = [
        Finding(
            f"{t.subject}, flat, one record on ONNX Runtime, one core: at most {LIMIT_MS} ms",
            f"{t.median_ms:.4f} ms",
            f"{t.calls:,} calls",
            t.median_ms <= LIMIT_MS,
        )
        for t in times
    ]
    write("detector_members", __doc__, findings, details, quick=given.quick)


if __name__ == "__main__":
    main()

"""What a kernel is taken for where no sample tells of its family or kind: better than its bytes, and told.

A predictor is asked about kernels that its campaign never saw: of a family that came later, or that the
backend had too few of. What stands in does about as much work; how far it may be off is `DOUBT`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from juggler.predict.kernels.sizes import GATES
from juggler.predict.kernels.spec import KernelSpec

DOUBT = 4.0  # times as long, or as short, as what stands in
OUTSIDE = 2.0  # likewise of a kernel beyond the sizes that were sampled
UNKNOWN = 10.0  # likewise of what is put down by its bytes alone
INT8_GAIN = 0.5  # of the time of float32: processors differ from 1 to a quarter
SCALAR_MS = 1.2e-6  # of one number in a loop that no vector unit helps, on a core of about 3 GHz


def stand_in(spec: KernelSpec) -> tuple[KernelSpec, float] | None:
    """Return a kernel of another family, and how many of it take about as long; None where there is none."""
    if spec.family == "int8_conv":
        family = "depthwise" if 1 < spec.groups == spec.in_channels == spec.out_channels else "conv"
        return replace(spec, family=family, kind=""), INT8_GAIN
    if spec.family == "int8_dense":
        return replace(spec, family="dense", kind="gemm"), INT8_GAIN
    if spec.family == "int8_pass":
        return replace(spec, family="elementwise", kind="relu"), 1.0
    if spec.family == "recurrent":
        hidden = spec.out_channels // spec.groups
        rows = GATES[spec.kind or "lstm"] * hidden
        step = KernelSpec("dense", spec.batch, spec.in_channels + hidden, rows, kind="gemm", bias=spec.bias)
        return step, float(spec.groups * spec.height)
    return None


def least_ms(spec: KernelSpec, sampled: Mapping[str, tuple[str, ...]]) -> float:
    """Return the least that a kernel takes whose kind was not sampled, where that is known; else 0."""
    if spec.kind == "padded_average" and spec.kind not in sampled["kind"]:
        return SCALAR_MS * spec.operations
    return 0.0

"""Samples of kernels that nobody measured, as a campaign keeps them."""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-incomplete-defs=False
from __future__ import annotations

from typing import Any

from contracts_learners import convolutions
from juggler.nouns import Machine
from juggler.predict.campaign.store.samples import machine_digest
from juggler.predict.kernels.sample import Sample
from juggler.predict.kernels.spec import KernelSpec

MACHINE = Machine("a processor", 2, 8.0, "a system", "3.12", {"onnxruntime": "1.2"})


def samples(count=80, family="conv", sampled_by="random"):
    """Return samples of made-up convolutions, as a campaign keeps them."""
    table, latency_ms = convolutions(count)
    rows = []
    for row in range(count):
        fields: dict[str, Any] = {
            name: int(table[name][row]) for name in ("batch", "in_channels", "out_channels", "height")
        }
        spec = KernelSpec(family, **fields, width=fields["height"], activation=str(table["activation"][row]))
        rows.append(
            Sample(
                spec=spec, backend="onnxruntime", precision="float32", threads=1, pre_ms=0.1,
                exec_ms=float(latency_ms[row]), post_ms=0.1, spread=0.0, rounds=3, rejected=0,
                sampled_by=sampled_by, machine=machine_digest(MACHINE), taken_at="2026-01-01T00:00:00+00:00",
            )
        )  # fmt: skip
    return rows

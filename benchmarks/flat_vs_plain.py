"""Flat Juggler-ResNet-50 is at least 2.0 times as fast as ResNet-50 at 224 px, batch 1, float32.

On ONNX Runtime and on OpenVINO. ResNet-k, flat and wide Juggler-ResNet-k are exported to ONNX, where the
exporter has folded batch norms into the convolutions of all three (so torch_eager, which imports the graphs,
runs ResNet folded as well), and timed on every backend in one interleaved race a depth. Weights and
statistics are drawn at random: speed does not depend on them, but zeros or denormals would change it.
The multiply-accumulates of each are those of its graph at 224 px. Juggler-ResNet-34 and -50 have the same
blocks (see `juggler.models.families.juggler_resnet`); ResNet-34 and -50 do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from common import Finding, options, progress, write
from torch import fx

from juggler.models import create
from juggler.nouns import Certificate
from juggler.runtime.export import export
from juggler.runtime.measure import Measured, Speedup, measure
from juggler.transform import flatten, sketch, trace
from juggler.transform.equivalence import randomise
from juggler.transform.trace import propagate_shapes

SIDE, CLASSES = 224, 1000
FLATTEN_SIDE = 32  # the flat graph is the same whatever the size; its certificate is another benchmark's
CLAIMED, CLAIMED_DEPTH, CLAIMED_BACKENDS = 2.0, 50, ("onnxruntime", "openvino")
BACKENDS = ("onnxruntime", "openvino", "torch_eager")


@dataclass(frozen=True)
class Networks:
    """The three contenders of one depth, as ONNX, the baseline first."""

    graphs: dict[str, bytes]
    macs: dict[str, int]
    parameters: dict[str, int]
    certificate: Certificate


def main() -> None:
    """Measure, judge, write the result file."""
    parser = options(__doc__)
    parser.add_argument(
        "--depths", type=int, nargs="+", default=[50], choices=[18, 34, 50, 101, 152], help="default: 50"
    )
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS))
    parser.add_argument("--threads", type=int, help="cores that one call may use; each backend's own choice")
    parser.add_argument("--rounds", type=int, help="turns of each contender (30; 5 with --quick)")
    given = parser.parse_args()
    rounds = given.rounds or (5 if given.quick else 30)
    depths: dict[str, Any] = {}
    findings: list[Finding] = []
    for depth in given.depths:
        with progress(f"depth {depth}: flattening, then {rounds} rounds") as tell:
            networks = make(depth)
            measured = measure(
                networks.graphs,
                given.backends,
                shape=(3, SIDE, SIDE),
                threads=given.threads,
                rounds=rounds,
                progress=tell,
            )
        depths[str(depth)] = details(networks, measured)
        findings += judge(depth, measured, networks)
    settings = {"side_px": SIDE, "batch": 1, "dtype": "float32", "rounds": rounds, "threads": given.threads}
    write("flat_vs_plain", __doc__, findings, {**settings, "depths": depths}, quick=given.quick)


def make(depth: int) -> Networks:
    """Draw the networks of a depth, flatten the one that can be, export all three."""
    torch.manual_seed(depth)
    generator = torch.Generator().manual_seed(depth)
    plain = randomise(trace(create(f"resnet{depth}", classes=CLASSES).eval()), generator)
    wide = randomise(trace(create(f"juggler_resnet{depth}", classes=CLASSES).eval()), generator)
    done = flatten(wide, torch.randn(1, 3, FLATTEN_SIDE, FLATTEN_SIDE))
    if not done.certificate.passed:
        raise SystemExit(f"Juggler-ResNet-{depth}: the certificate does not pass")
    modules = {"plain": plain, "flat": done.model, "wide": wide}
    image = torch.randn(1, 3, SIDE, SIDE)
    return Networks(
        graphs={name: export(module, image) for name, module in modules.items()},
        macs={name: macs_of(module, image) for name, module in modules.items()},
        parameters={name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()},
        certificate=done.certificate,
    )


def macs_of(network: fx.GraphModule, image: torch.Tensor) -> int:
    """Return the multiply-accumulates for one image."""
    with torch.no_grad():
        propagate_shapes(network, image)
    return sketch(network, "").macs


def details(networks: Networks, measured: Measured) -> dict[str, Any]:
    """Return all figures of one depth as plain values."""
    return {
        "macs": networks.macs,
        "parameters": networks.parameters,
        "certified": {dtype: networks.certificate.worst(dtype) for dtype in networks.certificate.limits},
        "timings": [timing.to_dict() for timing in measured.timings],
        "times_as_fast_as_plain": [speedup.to_dict() for speedup in measured.speedups],
        "skipped": [skip.to_dict() for skip in measured.skipped],
        "interruptions": measured.interruptions,
    }


def judge(depth: int, measured: Measured, networks: Networks) -> list[Finding]:
    """Hold the speed-ups of the flat network against the claim, which names one depth and two backends."""
    if depth != CLAIMED_DEPTH:
        return []
    found = {s.backend: s for s in measured.speedups if s.subject == "flat"}
    return [finding(found[name], measured, networks) for name in CLAIMED_BACKENDS if name in found]


def finding(speedup: Speedup, measured: Measured, networks: Networks) -> Finding:
    """Return the README's row of one backend."""
    medians = {t.subject: t.median_ms for t in measured.timings if t.backend == speedup.backend}
    release = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}[speedup.backend]
    work = networks.macs["plain"] / networks.macs["flat"]
    return Finding(
        claim=f"Flat Juggler-ResNet-50 against ResNet-50, 224 px, batch 1, {release}: at least {CLAIMED}x",
        measured=f"{speedup.median:.2f}x ({medians['flat']:.1f} ms against {medians['plain']:.1f} ms; "
        f"{work:.2f}x fewer MACs)",
        n=f"{measured.rounds} rounds, {speedup.low:.2f} to {speedup.high:.2f}",
        reached=speedup.median >= CLAIMED,
    )


if __name__ == "__main__":
    main()

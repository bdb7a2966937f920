"""Flat equals wide: error at most 1e-12 in float64 and 1e-5 in float32, and the same class on every record.

Juggler-ResNet at full width, every depth, both stems, as it is drawn and with every weight and statistic
drawn anew, odd, even and mixed sizes, batch 1 (7 as well at the odd one): max|difference| / max|reference|
inside, on the border ring and at the output, from the certificates. Depths 34 and 50 have the same blocks,
so one certificate stands for both. Then the shipped detector, wide and flat, on every record of KDDTest+ on
every backend that works here: the likeliest class, and the class by the alarm rule, must be the same.
Needs the NSL-KDD files (JUGGLER_DATA, the cache, or a download).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import TRIALS, Finding, options, progress, write
from juggler.data import Records, load_record_set
from juggler.detect import Detector
from juggler.metrics import decide
from juggler.models import TrainedDetector, create
from juggler.models.networks.families._staged import BLOCK_COUNTS
from juggler.runtime import Artefact, open_session
from juggler.runtime.artefact import shipped
from juggler.runtime.deploy import deploy
from juggler.runtime.session import BACKENDS, Model
from juggler.transform import Flattened, flatten

LIMITS = {"float64": 1e-12, "float32": 1e-5}
# Even, so that the certificate adds odd and mixed sizes; the last stage's maps are then 2x2 and 3x3.
SIDES = {"imagenet": 48, "cifar": 24}
PARTS = ("inside", "border", "output")
RECORDS = 22_544


def main() -> None:
    """Certify every network, compare the detector's forms, write the result file."""
    parser = options(__doc__)
    parser.add_argument("--depths", type=int, nargs="+", default=sorted(BLOCK_COUNTS))
    parser.add_argument("--detector", type=Path, help="a .safetensors detector; the shipped one if absent")
    given = parser.parse_args()
    torch.manual_seed(0)
    depths = given.depths[:1] if given.quick else given.depths
    networks = list(certified(depths))
    detector = compare_detector(given.detector or shipped("nsl_kdd.safetensors"))
    findings = [*judge_networks(networks), judge_detector(detector)]
    write("exactness", __doc__, findings, {"networks": networks, "detector": detector}, quick=given.quick)


def certified(depths: list[int]) -> Iterator[dict[str, Any]]:
    """Flatten every network and yield what its certificate says."""
    first: dict[tuple[int, ...], int] = {}
    for depth in depths:
        first.setdefault(BLOCK_COUNTS[depth], depth)
    jobs = [(depth, stem) for depth in first.values() for stem in SIDES]
    with progress("certifying") as tell:
        for done, (depth, stem) in enumerate(jobs):
            tell(done, len(jobs))
            network = create(f"juggler_resnet{depth}", classes=1000, stem=stem).eval()
            flattened = flatten(network, torch.randn(1, 3, SIDES[stem], SIDES[stem]))
            same = [d for d in depths if BLOCK_COUNTS[d] == BLOCK_COUNTS[depth]]
            yield {"depths": same, "stem": stem, **described(flattened, sum(BLOCK_COUNTS[depth]))}
        tell(len(jobs), len(jobs))


def described(done: Flattened, blocks: int) -> dict[str, Any]:
    """Return a certificate as plain values: the worst of each part by weights and element type."""
    checks = done.certificate.checks
    kinds = [node.kind for node in done.flat_graph.nodes]
    errors = {
        f"{weights} {dtype}": {
            part: max(getattr(c, part) or 0.0 for c in checks if (c.weights, c.dtype) == (weights, dtype))
            for part in PARTS
        }
        for weights in ("actual", "randomised")
        for dtype in LIMITS
    }
    return {
        "nodes_wide": len(done.wide_graph.nodes),
        "nodes_flat": len(kinds),
        "blocks": blocks,
        "convolutions_flat": sum(kind.startswith("Conv2d") for kind in kinds),
        "relus_flat": kinds.count("ReLU"),
        # The stem's convolution and one a block, each with its ReLU, and nothing that joins two paths.
        "is_chain": kinds.count("ReLU") == sum(kind.startswith("Conv2d") for kind in kinds) == blocks + 1
        and all(len(node.inputs) <= 1 for node in done.flat_graph.nodes),
        "macs_wide": done.wide_graph.macs,
        "macs_flat": done.flat_graph.macs,
        "rewrites": len(done.rewrites),
        "shapes": sorted({c.shape for c in checks}),
        "skipped": list(done.certificate.skipped),
        "comparisons": len(checks),
        "errors": errors,
        "worst": {dtype: done.certificate.worst(dtype) for dtype in LIMITS},
        "passed": done.certificate.passed,
    }


def compare_detector(path: Path) -> dict[str, Any]:
    """Run both forms of the detector over all of KDDTest+ on every backend that works here."""
    detector = TrainedDetector.load(path)
    records = load_record_set("nsl_kdd").load("test")
    folder = TRIALS / "detector"
    deployed = deploy(detector, records, folder)
    certificate = deployed.flattened.certificate
    found: dict[str, Any] = {
        "records": len(records),
        "wide_sha256": certificate.wide_sha256,
        "certified": {dtype: certificate.worst(dtype) for dtype in LIMITS},
        "nodes_wide": len(deployed.flattened.wide_graph.nodes),
        "nodes_flat": len(deployed.flattened.flat_graph.nodes),
        "backends": {},
        "skipped": {},
    }
    names = BACKENDS.names()
    with progress("comparing the detector's forms") as tell:
        for done, name in enumerate(names):
            tell(done, len(names))
            status = BACKENDS.get(name).status()
            if not status.available:
                found["skipped"][name] = status.missing
                continue
            # The torch backends run the modules themselves, the others the exported graphs.
            takes_module = BACKENDS.get(name).takes == "module"
            wide, flat = (
                probabilities(form, module if takes_module else form.graph, name, records)
                for form, module in (
                    (deployed.wide, detector.network),
                    (deployed.flat, deployed.flattened.model),
                )
            )
            found["backends"][name] = agreement(wide, flat, detector.threshold)
        tell(len(names), len(names))
    return found


def probabilities(artefact: Artefact, network: Model, backend: str, records: Records) -> np.ndarray:
    """Return the class probabilities of one form on one backend, `[n, classes]`."""
    example = np.zeros((2, *artefact.encoder.shape), np.float32)
    with open_session(network, backend, example=example) as session:
        return Detector(artefact, session).probabilities(records)


def agreement(wide: np.ndarray, flat: np.ndarray, threshold: float) -> dict[str, Any]:
    """Count the records on which both forms say the same, and how far their scores are apart."""
    verdicts = decide(wide, threshold), decide(flat, threshold)
    return {
        "likeliest_class_agrees": int((wide.argmax(axis=1) == flat.argmax(axis=1)).sum()),
        "verdict_agrees": int((verdicts[0] == verdicts[1]).sum()),
        "alarms": int((verdicts[1] != 0).sum()),
        "largest_difference_of_probability": float(np.abs(wide - flat).max()),
    }


def judge_networks(networks: list[dict[str, Any]]) -> Iterator[Finding]:
    """Hold the worst errors, and the form of the flat graphs, against the claims."""
    covered = sorted({depth for network in networks for depth in network["depths"]})
    comparisons = sum(network["comparisons"] for network in networks)
    n = f"depths {', '.join(map(str, covered))}, both stems, {comparisons} comparisons"
    for dtype, limit in LIMITS.items():
        errors = [e for network in networks for key, e in network["errors"].items() if dtype in key]
        worst = {part: max(error[part] for error in errors) for part in PARTS}
        yield Finding(
            claim=f"Flat Juggler-ResNet equals wide in {dtype}: at most {limit:.0e}",
            measured=", ".join(f"{part} {value:.1e}" for part, value in worst.items()),
            n=n,
            reached=all(math.isfinite(value) and value <= limit for value in worst.values())
            and all(network["passed"] for network in networks),
        )
    yield Finding(
        claim="Flat Juggler-ResNet is a plain chain: convolution and ReLU, for the stem and for each block",
        measured=", ".join(
            f"{net['nodes_wide']} to {net['nodes_flat']} nodes at {'/'.join(map(str, net['depths']))}"
            for net in networks
            if net["stem"] == "imagenet"
        ),
        n=f"{len(networks)} graphs",
        reached=all(network["is_chain"] for network in networks),
    )


def judge_detector(found: dict[str, Any]) -> Finding:
    """Hold the classes of both forms against the claim: the same on all records, on every backend."""
    names, n = list(found["backends"]), found["records"]
    least = min(min(b["likeliest_class_agrees"], b["verdict_agrees"]) for b in found["backends"].values())
    return Finding(
        claim=f"The detector's flat form gives the wide one's class on all {RECORDS:,} records of KDDTest+",
        measured=f"{least:,} the same, likeliest class and verdict both, on {', '.join(names)}",
        n=f"{n:,} records, {len(names)} backends",
        reached=least == n == RECORDS,
    )


if __name__ == "__main__":
    main()

"""What OpenVINO compiled is read: all the work of the source is found again, or listed."""

from __future__ import annotations

from collections import Counter

import pytest

from juggler.predict.extract.kernels import ExtractedKernels, extract_kernels
from juggler.predict.graphs.random_networks import random_network

pytest.importorskip("openvino")


def families(extracted: ExtractedKernels) -> Counter[str]:
    return Counter(kernel.spec.family for kernel in extracted.kernels)


@pytest.mark.parametrize("seed", [2, 12, 15, 19, 24])
def test_all_work_is_found_again(seed: int) -> None:
    network = random_network(seed)
    extracted = extract_kernels(network.model, "openvino", batch=2, name=network.name)
    assert not extracted.uncovered
    assert sum(kernel.spec.macs for kernel in extracted.kernels) == 2 * network.macs
    by_onnxruntime = families(extract_kernels(network.model, batch=2))
    for family in ("conv", "depthwise", "pool", "dense", "concat", "global_pool"):
        assert families(extracted)[family] == by_onnxruntime[family]


def test_sums_and_activations_are_fused_as_it_fuses_them() -> None:
    extracted = extract_kernels(random_network(19).model, "openvino")
    convolutions = [kernel.spec for kernel in extracted.kernels if kernel.spec.family == "conv"]
    assert {"relu", "none"} <= {spec.activation for spec in convolutions}
    assert any(spec.adds for spec in convolutions) and all(spec.bias for spec in convolutions if spec.adds)
    assert extracted.kernels[0].spec.kind == "to_blocked"


def test_dense_layers_compiled_into_one_are_listed() -> None:
    network = random_network(6)
    extracted = extract_kernels(network.model, "openvino")
    (missed,) = extracted.uncovered
    assert (missed.op, missed.count) == ("Subgraph", 1) and missed.bytes > 4 * (64 * 256 + 256 * 256)
    assert sum(kernel.spec.macs for kernel in extracted.kernels) == network.macs - 64 * 256 - 256 * 256

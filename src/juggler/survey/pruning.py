"""Prune an ONNX graph in one shot, to see what it costs: the smallest weights of each layer become zero.

Nothing is trained afterwards. Pruning with fine-tuning loses less; this is what is to be had without.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from juggler.errors import ConfigError
from juggler.reading.onnx_files import read_onnx
from juggler.reading.request import Request
from juggler.runtime.onnx_graphs.editing import attributes_of, weights_of

PRUNED = ("Conv", "Gemm", "MatMul")


def pruned(graph: Path | bytes, density: float, block: tuple[int, int] = (1, 1)) -> bytes:
    """Return the graph with a share of each layer's weights kept, the largest ones, and the others zero.

    Args:
        graph: path or bytes of an ONNX model in float32.
        density: share that is kept, of weights or of blocks.
        block: rows and columns of the weight matrix `[inputs x taps, outputs]` that stay or go together, by
            the sum of their magnitudes.

    Raises:
        ConfigError: a density outside (0, 1], or an empty block.
    """
    if not 0 < density <= 1 or min(block) < 1:
        raise ConfigError(
            "prune a graph", f"density {density:g}, blocks of {block}", "Keep more than 0 and at most 1"
        )
    import onnx  # noqa: PLC0415  # an extra

    model: Any = read_onnx(graph, Request("prune a graph", "Export it again"))
    stored = weights_of(model.graph)
    done: set[str] = set()
    for node in model.graph.node:
        name = node.input[1] if node.op_type in PRUNED and len(node.input) > 1 else ""
        if name not in stored or name in done:
            continue
        weight = onnx.numpy_helper.to_array(stored[name])
        if weight.ndim < 2:
            continue
        outputs_first = node.op_type == "Conv" or _transposed(node)
        is_kept = keep_largest(_matrix(weight, outputs_first=outputs_first), density, block)
        back = is_kept.T if outputs_first else is_kept
        stored[name].CopyFrom(onnx.numpy_helper.from_array(back.reshape(weight.shape).copy(), name))
        done.add(name)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def keep_largest(
    matrix: NDArray[np.float32], density: float, block: tuple[int, int] = (1, 1)
) -> NDArray[np.float32]:
    """Return a weight matrix `[inputs, outputs]` with only the largest blocks kept; ties go to the first."""
    rows, columns = (math.ceil(size / side) for size, side in zip(matrix.shape, block, strict=True))
    padded = np.zeros((rows * block[0], columns * block[1]), np.float32)
    padded[: matrix.shape[0], : matrix.shape[1]] = np.abs(matrix)
    sums = padded.reshape(rows, block[0], columns, block[1]).sum(axis=(1, 3), dtype=np.float64)
    keep = np.zeros(sums.size, bool)
    keep[np.argsort(-sums.ravel(), kind="stable")[: math.ceil(density * sums.size)]] = True
    mask = np.kron(keep.reshape(sums.shape), np.ones(block, bool))[: matrix.shape[0], : matrix.shape[1]]
    return np.where(mask, matrix, np.float32(0))


def _matrix(weight: NDArray[np.float32], *, outputs_first: bool) -> NDArray[np.float32]:
    """Return weights as `[inputs x taps, outputs]`."""
    if outputs_first:
        return weight.reshape(weight.shape[0], -1).T
    return weight.reshape(-1, weight.shape[-1])


def _transposed(node: Any) -> bool:
    return node.op_type == "Gemm" and attributes_of(node).get("transB") == 1

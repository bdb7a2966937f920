"""Make the networks that the experiments race, as ONNX graphs whose speed means something.

Weights and batch-norm statistics are drawn at random: speed does not depend on them, but zeros or denormals
would change it. Batch norms are folded on export, in every network alike, for every runtime would fold them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
import torch
from torch import fx, nn

from juggler.errors import ParityError
from juggler.models import create
from juggler.reproduce.experiment import Prepared, Subject
from juggler.runtime.export import OPSET, export
from juggler.transform import flatten, trace
from juggler.transform.equivalence import randomise

CLASSES = 1000
IR_VERSION = 8  # the one that belongs to the opset; the newest is not read everywhere
FLATTEN_PX = 32  # the flat graph is the same whatever the size


def randomised(module: nn.Module, seed: int) -> fx.GraphModule:
    """Return the module's graph with every weight and statistic drawn anew, in evaluation mode."""
    return randomise(trace(module.eval()), torch.Generator().manual_seed(seed))


def exported(module: nn.Module, shape: tuple[int, ...]) -> Subject:
    """Return a module as a subject for inputs of `shape`, `[channels, height, width]`."""
    return Subject(export(module, torch.randn(1, *shape)), shape)


def bare_convolution(kernel: int, channels: int, side_px: int) -> Subject:
    """Write one convolution that keeps size and channels, without bias, straight as a graph.

    Tracing, exporting and checking take minutes where the weights have hundreds of megabytes, and a graph of
    one op needs none of it.
    """
    shape = (channels, channels, kernel, kernel)
    weight = np.random.default_rng(kernel).standard_normal(shape, dtype=np.float32)
    weight /= np.float32(np.sqrt(channels) * kernel)
    sizes = ["batch", channels, side_px, side_px]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["input", "weight"], ["output"], pads=[kernel // 2] * 4)],
        f"convolution {kernel}x{kernel}",
        [onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, sizes)],
        [onnx.helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, sizes)],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    opset = onnx.helper.make_opsetid("", OPSET)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    return Subject(model.SerializeToString(), (channels, side_px, side_px))


@lru_cache(maxsize=1)
def depth_networks(depth: int) -> tuple[dict[str, nn.Module], str]:
    """Make ResNet-k and Juggler-ResNet-k flat and wide; return them with what the certificate says.

    Raises:
        ParityError: the certificate does not pass.
    """
    plain = randomised(create(f"resnet{depth}", classes=CLASSES), seed=depth)
    wide = randomised(create(f"juggler_resnet{depth}", classes=CLASSES), seed=depth)
    flat, check = proved(wide, torch.randn(1, 3, FLATTEN_PX, FLATTEN_PX))
    return {"plain": plain, "flat": flat, "wide": wide}, check


def proved(wide: nn.Module, example: torch.Tensor, **options: Any) -> tuple[nn.Module, str]:
    """Flatten a network; return the flat one and a line that says how exact it is.

    Raises:
        ParityError: the certificate does not pass.
    """
    done = flatten(wide, example, **options)
    worst = {dtype: done.certificate.worst(dtype) for dtype in ("float64", "float32")}
    text = ", ".join(f"{dtype} {error:.1e}" for dtype, error in worst.items())
    if not done.certificate.passed or not done.rewrites:
        raise ParityError(
            "flatten a network for a race", f"it was not proved equal ({text})", "Report this as a fault"
        )
    return done.model, f"flat equals wide: largest error {text}, over {len(done.certificate.checks)} checks"


def prepare_depth(depth: int, side_px: int, names: tuple[str, ...]) -> Callable[[], Prepared]:
    """Return what makes the networks of one depth at one size, when it is called."""

    def prepare() -> Prepared:
        _, check = depth_networks(depth)
        return Prepared({name: _depth_subject(depth, side_px, name) for name in names}, (check,))

    return prepare


@lru_cache(maxsize=3)  # the networks of one depth and size
def _depth_subject(depth: int, side_px: int, name: str) -> Subject:
    modules, _ = depth_networks(depth)
    return exported(modules[name], (3, side_px, side_px))

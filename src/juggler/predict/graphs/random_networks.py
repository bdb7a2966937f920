"""Draw whole networks at random, to learn how kernels add up without any network that is tested on.

Each is a stem, some stages of one kind of block, and an end, in sizes from a few kernels to a hundred: plain
convolutions, residual blocks, depthwise ones, dense concatenations, gates. Weights are normal and small, so
that no number overflows or dwindles to a denormal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from juggler.count.geometry import macs_of
from juggler.runtime.onnx_graphs.builder import GraphBuilder

IR_VERSION = 8
KINDS = ("plain", "residual", "bottleneck", "depthwise", "inverted", "dense", "gated")
MOST_MACS = 4e10  # of a call
MOST_DENSE = 1 << 24  # weights of one dense layer
SIDES = (16, 24, 28, 32, 48, 56, 64, 96, 112, 128, 160, 192, 224)
TRIES = 100
CLASSES = (10, 100, 1000)


@dataclass(frozen=True)
class RandomNetwork:
    """A network.

    Attributes:
        name: that tells how to draw it again.
        model: ONNX bytes, with a free batch.
        shape: of its input, without the batch.
        macs: of one input.
    """

    name: str
    model: bytes
    shape: tuple[int, int, int]
    macs: int


@dataclass
class _Writer:
    """A graph being written, with the map that the next node reads."""

    rng: np.random.Generator
    channels: int
    side: int
    x: str = "input"
    macs: int = 0
    builder: GraphBuilder = field(default_factory=GraphBuilder)

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        count = len(self.builder.nodes)
        return self.builder.add_node(op, inputs, f"n{count}", f"v{count}", **attributes)

    def weight(self, *dims: int, scale: float = 1.0) -> str:
        return self.builder.add_weight(f"w{len(self.builder.weights)}", dims, scale)

    def conv(self, out: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: str = "Relu") -> str:
        """Add a convolution with padding, and what follows it; return the map, which is the next input."""
        fan_in = self.channels // groups * kernel * kernel
        weight = self.weight(out, self.channels // groups, kernel, kernel, scale=fan_in**-0.5)
        options = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
        self.x = self.node("Conv", self.x, weight, self.weight(out), group=groups, **options)
        self.side = (self.side - 1) // stride + 1
        self.macs += macs_of(self.side**2, self.channels, out, groups=groups, taps=kernel**2)
        self.channels = out
        if act:
            self.x = self.node(act, self.x)
        return self.x

    def pool(self) -> None:
        """Halve the map."""
        op = str(self.rng.choice(["MaxPool", "AveragePool"]))
        kernel = int(self.rng.choice([2, 3]))
        if self.side <= kernel:
            return
        pads = [kernel // 2] * 4 if kernel == 3 else [0] * 4
        self.x = self.node(op, self.x, kernel_shape=[kernel] * 2, strides=[2, 2], pads=pads)
        self.side = (self.side + 2 * pads[0] - kernel) // 2 + 1

    def block(self, kind: str, out: int, stride: int) -> None:
        """Add one block."""
        before, channels, side = self.x, self.channels, self.side
        if kind == "plain":
            self.conv(out, int(self.rng.choice([1, 3, 3, 5])), stride)
        elif kind == "dense":
            if stride > 1:
                self.pool()
                before, channels = self.x, self.channels
            new = self.conv(max(8, out // 4))
            self.x, self.channels = self.node("Concat", before, new, axis=1), channels + max(8, out // 4)
        elif kind == "depthwise":
            self.conv(self.channels, int(self.rng.choice([3, 5])), stride, self.channels)
            self.conv(out, 1)
        else:
            self._summed(kind, out, stride)
            if kind == "gated":
                self._gate()
            if (channels, side) == (self.channels, self.side):
                self.x = self.node("Add", self.x, before)
                if kind != "inverted":
                    self.x = self.node("Relu", self.x)

    def _summed(self, kind: str, out: int, stride: int) -> None:
        if kind == "inverted":
            middle = self.channels * int(self.rng.choice([3, 4, 6]))
            self.conv(middle, 1, act="Relu")
            self.conv(middle, 3, stride, middle)
            self.conv(out, 1, act="")
        elif kind == "bottleneck":
            middle = max(8, out // 4)
            self.conv(middle, 1)
            self.conv(middle, 3, stride)
            self.conv(out, 1, act="")
        else:
            self.conv(out, 3, stride)
            self.conv(out, 3, act="")

    def _gate(self) -> None:
        """Multiply the map by a number a channel, computed from its means."""
        ungated, side = self.x, self.side
        self.x, self.side = self.node("GlobalAveragePool", self.x), 1
        channels = self.channels
        self.conv(max(4, channels // 8), 1)
        self.conv(channels, 1, act="Sigmoid")
        self.x, self.side = self.node("Mul", ungated, self.x), side

    def dense(self, features: int, out: int, act: str) -> int:
        """Add a dense layer on `[batch, features]`."""
        weight = self.weight(out, features, scale=features**-0.5)
        self.x = self.node("Gemm", self.x, weight, self.weight(out), transB=1)
        self.macs += macs_of(1, features, out)
        if act:
            self.x = self.node(act, self.x)
        return out


def random_network(seed: int, batch: int = 1) -> RandomNetwork:
    """Return the network of a seed whose call at this batch takes no more than 40 billion MACs.

    Args:
        seed: of everything about it.
        batch: inputs at once.
    """
    for attempt in range(TRIES):
        writer, shape = _draw(np.random.default_rng([seed, attempt]))
        if writer.macs * batch <= MOST_MACS:
            break
    return RandomNetwork(f"drawn-{seed}-{attempt}", _to_onnx(writer, shape), shape, writer.macs)


def _draw(rng: np.random.Generator) -> tuple[_Writer, tuple[int, int, int]]:
    kind, side = str(rng.choice(KINDS)), int(rng.choice(SIDES))
    shape = (int(rng.choice([1, 3, 3, 3])), side, side)
    writer = _Writer(rng, shape[0], side)
    width = int(8 * 2 ** rng.uniform(0.0, 3.0)) // 8 * 8
    writer.conv(width, int(rng.choice([3, 3, 5, 7])), 2 if side > 64 else 1)
    for stage in range(int(rng.integers(1, 5))):
        out = min(1024, int(width * 2**stage * (4 if kind == "bottleneck" else 1)))
        for block in range(int(rng.integers(1, 6))):
            writer.block(
                kind, out, 2 if block == 0 and (stage or rng.random() < 0.3) and writer.side > 4 else 1
            )
        if rng.random() < 0.2:
            writer.pool()
    _write_end(writer)
    return writer, shape


def _write_end(writer: _Writer) -> None:
    """Add the end: a mean or the whole map, one to three dense layers, perhaps a softmax."""
    features = writer.channels * writer.side**2
    if writer.rng.random() < 0.7 or features > 1 << 15:
        writer.x, features = writer.node("GlobalAveragePool", writer.x), writer.channels
    writer.x = writer.node("Flatten", writer.x)
    for _ in range(int(writer.rng.choice([0, 0, 0, 1, 2]))):
        wide = int(2 ** writer.rng.integers(7, 13))
        features = writer.dense(features, min(wide, max(16, MOST_DENSE // features)), "Relu")
    writer.dense(features, int(writer.rng.choice(CLASSES)), "")
    if writer.rng.random() < 0.3:
        writer.x = writer.node("Softmax", writer.x, axis=-1)


def _to_onnx(writer: _Writer, shape: tuple[int, int, int]) -> bytes:
    ends = {"input": ("batch", *shape)}, {writer.x: ("batch", None)}
    return writer.builder.to_onnx("drawn", *ends, IR_VERSION)

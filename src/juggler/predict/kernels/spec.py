"""What one kernel does: enough to rebuild it as a network of one kernel, and to predict it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from juggler.checks import check_wholes
from juggler.errors import ConfigError
from juggler.nouns import Noun
from juggler.predict.kernels.sizes import CONVOLUTIONS, DENSE, DERIVED, WINDOWED

FAMILIES = (
    *("conv", "depthwise", "pool", "dense", "global_pool", "add", "elementwise", "norm", "concat", "softmax"),
    *("reorder", "recurrent", "int8_conv", "int8_dense", "int8_pass"),
)
LAYOUTS = ("nchw", "blocked")
# Where the kind decides what a kernel computes, and a wrong one would be taken for another; "" is the first.
KINDS = {
    "pool": ("max", "average", "padded_average"),
    "dense": ("gemm", "matmul", "product"),
    "global_pool": ("average", "max"),
    "norm": ("batch", "layer"),
    "reorder": ("to_blocked", "from_blocked", "transpose"),
    "recurrent": ("lstm", "gru", "rnn"),
    "int8_conv": ("linear", "integer"),
    "int8_dense": ("gemm", "matmul", "dynamic"),
    "int8_pass": ("quantize", "dequantize", "dynamic", "add"),
}
NUMBERS = ("batch", "in_channels", "out_channels", "height", "width", "groups")
PAIRS = {"kernel": 2, "stride": 2, "dilation": 2}  # numbers down and across
CATEGORIES = ("activation", "kind", "layout")
ACTIVATIONS = ("relu", "clip", "sigmoid", "tanh", "leakyrelu", "hardsigmoid")  # fused into kernels
FLAGS = ("bias", "adds", "cold")
WORD = re.compile(r"[a-z0-9_]*")


class Derived:
    """A whole number that follows from a kernel's fields, by the formula of its name in `sizes.DERIVED`."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._formula = DERIVED[name]

    def __get__(self, spec: KernelSpec | None, owner: type) -> int:
        if spec is None:
            raise AttributeError("it follows from the fields of one kernel")
        return int(self._formula(spec.family, spec.columns()))


@dataclass(frozen=True)
class KernelSpec(Noun):
    """One kernel: what the device runs as one piece after the runtime has fused the graph.

    Images are `[batch, channels, height, width]`. A dense kernel multiplies `[batch * height * width,
    in_channels]` by `[in_channels, out_channels]`; the kind `product` multiplies two activations, in `groups`
    heads. Softmax and layer norm go over the channels; `groups` of a concat is how many tensors it joins,
    of a recurrent layer how many directions it goes in, whose channels `out_channels` counts together, and
    its steps are the height. A `padded_average` is an average pool that counts its padding and rounds its
    size up: runtimes have no fast way for it. The families of int8 read and write one byte a number, but for
    what quantises, dequantises or gives its sums as they are.

    Attributes:
        family: one of `FAMILIES`.
        batch: inputs at once.
        in_channels: channels read, all groups together.
        out_channels: channels written.
        height: rows read.
        width: columns read.
        kernel: taps, down and across.
        stride: steps, down and across.
        dilation: distance of neighbouring taps, down and across.
        pads: zeros at the top, the left, the bottom and the right.
        groups: groups of channels that do not see each other.
        bias: whether a number a channel is added.
        activation: function fused into the kernel; `none` without.
        adds: whether another tensor is added to the result inside the kernel, before the activation.
        kind: which of a family: `max` or `average` pools, `relu` or `mul` elementwise, and so on.
        layout: `blocked` where its input is in the runtime's own order of channels.
        cold: whether the weights are out of the caches when it runs.
        out_height: rows written.
        out_width: columns written.
        macs: multiply-accumulates; zero for what only compares, adds or moves.
        operations: two a MAC, one a tap of a pool's window, one an element elsewhere.
        input_bytes: of all activations read, in float32.
        weight_bytes: of weights and biases, in float32.
        output_bytes: written, in float32.
        bytes: read and written, each once, in float32.
        im2col_bytes: of a convolution's unfolded input, in float32.

    Raises:
        ConfigError: the values make no kernel.
    """

    family: str
    batch: int
    in_channels: int
    out_channels: int
    height: int = 1
    width: int = 1
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    bias: bool = False
    activation: str = "none"
    adds: bool = False
    kind: str = ""
    layout: str = "nchw"
    cold: bool = False

    out_height = Derived()
    out_width = Derived()
    macs = Derived()
    operations = Derived()
    input_bytes = Derived()
    weight_bytes = Derived()
    output_bytes = Derived()
    bytes = Derived()
    im2col_bytes = Derived()

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            self._refuse(f"the family {self.family!r}", f"Choose from {', '.join(FAMILIES)}")
        task = self._task
        check_wholes({name: getattr(self, name) for name in (*NUMBERS, *PAIRS)}, task, lengths=PAIRS)
        check_wholes({"pads": self.pads}, task, least=0, lengths={"pads": 4})
        self._check_words()
        if self.family in (*CONVOLUTIONS, "recurrent") or self.kind == "product":
            inputs = 0 if self.family == "recurrent" else self.in_channels % self.groups
            if inputs or self.out_channels % self.groups:
                problem = f"{self.in_channels} channels in, {self.out_channels} out, {self.groups} groups"
                self._refuse(problem, "Make both multiples of the groups")
        elif self.family not in (*DENSE, "recurrent") and self.in_channels != self.out_channels:
            problem = f"{self.in_channels} channels in and {self.out_channels} out"
            self._refuse(problem, "Give both the same number")
        if self.family == "depthwise" and self.groups != self.in_channels:
            self._refuse(f"{self.groups} groups", f"Give it one a channel: {self.in_channels}")
        if self.family == "concat" and self.groups > self.in_channels:
            self._refuse(f"{self.groups} parts", f"Join at most {self.in_channels}, the channels")
        if self.family in WINDOWED and (self.out_height < 1 or self.out_width < 1):
            problem = f"an output of {self.out_height}x{self.out_width}"
            self._refuse(problem, "Give a larger input, a smaller kernel or more padding")

    def columns(self) -> dict[str, Any]:
        """Return the fields as a `KernelTable` names them: `kernel_height`, `pad_top` and so on."""
        flat: dict[str, Any] = {name: getattr(self, name) for name in (*NUMBERS, *FLAGS, *CATEGORIES)}
        for name in PAIRS:
            flat[f"{name}_height"], flat[f"{name}_width"] = getattr(self, name)
        for side, value in zip(("top", "left", "bottom", "right"), self.pads, strict=True):
            flat[f"pad_{side}"] = value
        return flat

    @cached_property
    def digest(self) -> str:
        """Return 16 digits that name this kernel: of the SHA-256 of its fields as sorted JSON."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def _task(self) -> str:
        return f"describe a kernel of the family {self.family!r}"

    def _check_words(self) -> None:
        for name in FLAGS:
            if type(getattr(self, name)) is not bool:
                self._refuse(f"{name} {getattr(self, name)!r}", "Give True or False")
        if self.layout not in LAYOUTS:
            self._refuse(f"the layout {self.layout!r}", f"Choose from {', '.join(LAYOUTS)}")
        if self.kind and self.kind not in KINDS.get(self.family, (self.kind,)):
            self._refuse(f"the kind {self.kind!r}", f"Choose from {', '.join(KINDS[self.family])}")
        for name in ("kind", "activation"):
            value = getattr(self, name)
            named = isinstance(value, str) and WORD.fullmatch(value) is not None
            if not named or (name == "activation" and not value):
                self._refuse(f"{name} {value!r}", "Give one lower-case word")

    def _refuse(self, problem: str, remedy: str) -> None:
        raise ConfigError(self._task, problem, remedy)

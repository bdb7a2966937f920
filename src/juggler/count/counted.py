"""What counting gives: one noun an operator, and all of them together."""

from __future__ import annotations

from dataclasses import dataclass

from juggler.count.geometry import Geometry
from juggler.nouns import Noun


@dataclass(frozen=True)
class OpCount(Noun):
    """What one operator costs, for the example's size and batch.

    Attributes:
        name: of the graph's node, or of the module, and the operator where there are several.
        module_path: of the module that it belongs to; empty for the network itself.
        operator: as torch names it: `aten.convolution`.
        kind: one of `juggler.count.work.KINDS`, or `uncounted`.
        macs: multiply-accumulates.
        additions: additions and subtractions outside of them.
        multiplications: multiplications and divisions outside of them.
        comparisons: comparisons, maxima, roundings.
        functions: evaluations of exp, tanh, erf, a root and the like.
        parameters: elements of the parameters that no operator before it has read.
        statistics: of the floating-point buffers likewise, such as the means and variances of a batch norm.
        weight_bytes: parameters and buffers read.
        input_bytes: activations read.
        output_bytes: activations written.
        live_bytes: all activations that are in memory while it runs.
        out_shape: sizes of what it gives.
        geometry: the sizes of the product that it is, where it is one.
        shared: whether the largest of its weights was read by an operator before it.
    """

    name: str
    module_path: str
    operator: str
    kind: str
    macs: int
    additions: int
    multiplications: int
    comparisons: int
    functions: int
    parameters: int
    statistics: int
    weight_bytes: int
    input_bytes: int
    output_bytes: int
    live_bytes: int
    out_shape: tuple[int, ...]
    geometry: Geometry | None = None
    shared: bool = False

    @property
    def operations(self) -> int:
        """Return all arithmetic: a MAC is two, everything else one."""
        return 2 * self.macs + self.additions + self.multiplications + self.comparisons + self.functions

    @property
    def moved_bytes(self) -> int:
        """Return what is read and written, each tensor once."""
        return self.weight_bytes + self.input_bytes + self.output_bytes

    @property
    def intensity(self) -> float:
        """Return operations a byte moved; 0 where nothing moves."""
        return self.operations / self.moved_bytes if self.moved_bytes else 0.0


@dataclass(frozen=True)
class Uncounted(Noun):
    """An operator whose work is not in the counts: its name, how often it ran, and where first."""

    operator: str
    times: int
    where: str


@dataclass(frozen=True)
class Counted(Noun):
    """What a network costs, for one size and batch.

    Attributes:
        ops: every operator, in the order in which they ran; views too, which cost nothing.
        uncounted: operators whose arithmetic is not counted; what they move is.
        how: `graph`: each operator belongs to a node of its graph; `run`: to the module that called it.
        note: why it was counted by running it, or on values.
        input_shapes: of what it was given.
        parameters: elements of all parameters, each once.
        statistics: elements of all floating-point buffers.
        param_bytes: all parameters and buffers, as they are held.
    """

    ops: tuple[OpCount, ...]
    uncounted: tuple[Uncounted, ...]
    how: str
    note: str
    input_shapes: tuple[tuple[int, ...], ...]
    parameters: int
    statistics: int
    param_bytes: int

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates of all operators."""
        return sum(op.macs for op in self.ops)

    @property
    def additions(self) -> int:
        """Return the additions outside of MACs."""
        return sum(op.additions for op in self.ops)

    @property
    def multiplications(self) -> int:
        """Return the multiplications outside of MACs."""
        return sum(op.multiplications for op in self.ops)

    @property
    def operations(self) -> int:
        """Return all arithmetic: a MAC is two, everything else one."""
        return sum(op.operations for op in self.ops)

    @property
    def moved_bytes(self) -> int:
        """Return what all operators read and write."""
        return sum(op.moved_bytes for op in self.ops)

    @property
    def activation_bytes(self) -> int:
        """Return what all operators write."""
        return sum(op.output_bytes for op in self.ops)

    @property
    def intensity(self) -> float:
        """Return operations a byte moved."""
        return self.operations / self.moved_bytes if self.moved_bytes else 0.0

    @property
    def peak_activation_bytes(self) -> int:
        """Return the most that activations take at once, the network's input among them."""
        return max((op.live_bytes for op in self.ops), default=0)

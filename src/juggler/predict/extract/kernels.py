"""Read the kernels that a runtime really runs: from its optimised graph, not from the layers of the source.

One file of `readers` reads one runtime. What a reader cannot describe as a kernel it lists; nothing is taken
for free but what moves no data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from juggler.errors import ConfigError
from juggler.lazy import renamed
from juggler.nouns import Noun
from juggler.predict.graphs.structure import graph_structure_of
from juggler.predict.kernels.spec import KernelSpec
from juggler.reading.request import Request
from juggler.registry import Registry
from juggler.runtime.onnx_graphs.structure import GraphStructure

if TYPE_CHECKING:
    from juggler.runtime.session import Model


@dataclass(frozen=True)
class NetworkKernel(Noun):
    """A kernel at its place in a network.

    Attributes:
        name: of the node, as the runtime has it.
        op: the runtime's own word for it.
        spec: what it does.
    """

    name: str
    op: str
    spec: KernelSpec


@dataclass(frozen=True)
class Uncovered(Noun):
    """Nodes that no kernel describes.

    Attributes:
        op: the runtime's word for them.
        name: the first of them.
        count: how many there are.
        bytes: what they read and write, together, as float32 and as far as it is known.
    """

    op: str
    name: str
    count: int
    bytes: int


@dataclass(frozen=True)
class ExtractedKernels(Noun):
    """What a runtime makes of a network at one batch.

    Attributes:
        network: its name.
        backend: the runtime.
        release: of the runtime that read it.
        shape: of the first input, the batch first.
        kernels: in the order in which they run.
        uncovered: what no kernel describes.
        free: nodes that only rename what they are given, or compute sizes; they cost an overhead.
    """

    network: str
    backend: str
    release: str
    shape: tuple[int, ...]
    kernels: tuple[NetworkKernel, ...]
    uncovered: tuple[Uncovered, ...]
    free: int

    @property
    def nodes(self) -> int:
        """Return how many nodes run."""
        return len(self.kernels) + self.free + sum(group.count for group in self.uncovered)

    @property
    def weight_bytes(self) -> int:
        """Return the bytes of all weights, in float32."""
        return sum(kernel.spec.weight_bytes for kernel in self.kernels)

    @property
    def largest_bytes(self) -> int:
        """Return the largest working set of one kernel beside its weights, in bytes."""
        return max((k.spec.input_bytes + k.spec.output_bytes for k in self.kernels), default=0)


class Reader(Protocol):
    """What reads the graphs of one runtime; offered as `READER`.

    Attributes:
        backend: the runtime, as `juggler.runtime.backends` calls it.
    """

    backend: str

    def read(self, structure: GraphStructure, *shapes: tuple[int, ...]) -> ExtractedKernels:
        """Let the runtime optimise the graph, and describe what it will run for inputs of these shapes.

        Raises:
            Unavailable: the runtime is not installed.
            ArtefactError: it cannot open the graph.
            ConfigError: the network takes another input.
        """
        ...


__getattr__ = renamed(
    __name__,
    {"read_kernels": f"{__name__}:extract_kernels", "Reading": f"{__name__}:ExtractedKernels"},
)

READERS: Registry[Reader] = Registry("reader", "juggler.predict.extract.runtimes", alias="juggler.readers")


def extract_kernels(
    model: Model | GraphStructure,
    backend: str = "onnxruntime",
    *,
    shape: tuple[int, ...] | None = None,
    batch: int = 1,
    name: str = "",
) -> ExtractedKernels:
    """Return the kernels that a runtime runs for a network.

    Args:
        model: path or bytes of an ONNX model, a module in evaluation mode, or what `graph_structure_of` gave.
        backend: the runtime.
        shape: of the input, without the batch; an ONNX model's own where absent.
        batch: inputs at once.
        name: of the network.

    Raises:
        ConfigError: no such reader, or a shape or batch that the network does not take.
        ArtefactError: no ONNX model, or none that the runtime can open.
        Unavailable: the runtime is not installed.
    """
    reader = READERS.get(backend)
    if batch < 1:
        raise ConfigError("read a network", f"a batch of {batch}", "Give 1 or more")
    # Nothing that a file says of its graph is sure to hold together, and each reader stumbles elsewhere.
    request = Request(f"read the kernels of {name or 'a network'}", "Export the network again")
    with request.refusing("graph that makes sense"):
        structure = (
            model if isinstance(model, GraphStructure) else graph_structure_of(model, shape or (), name)
        )
        return _extract(structure, reader, shape, batch)


def _extract(
    structure: GraphStructure, reader: Reader, shape: tuple[int, ...] | None, batch: int
) -> ExtractedKernels:
    sides = shape if shape is not None else structure.input_shape[1:]
    if any(side is None for side in sides):
        raise ConfigError(
            f"read {structure.name}",
            f"no size for its input {list(sides)}",
            "Give channels, height and width",
        )
    return reader.read(structure, (batch, *(int(side) for side in sides if side is not None)))


def group_by_op(missed: Iterable[tuple[str, str, int]]) -> tuple[Uncovered, ...]:
    """Return what was missed, `(op, name, bytes)` each, one entry an op."""
    nodes = list(missed)
    firsts = {op: name for op, name, _ in reversed(nodes)}
    sizes: Counter[str] = Counter()
    for op, _, size in nodes:
        sizes[op] += size
    counts = Counter(op for op, _, _ in nodes)
    return tuple(Uncovered(op, firsts[op], counts[op], sizes[op]) for op in counts)

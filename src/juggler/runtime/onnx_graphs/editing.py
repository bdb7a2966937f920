"""Read and edit ONNX graphs in place: attributes, weights by name, who makes and who uses a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes by name; texts as `str`, where bytes that are no UTF-8 are replaced."""
    from onnx import helper  # noqa: PLC0415  # heavy

    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {
        name: value.decode(errors="replace") if isinstance(value, bytes) else value
        for name, value in values.items()
    }


def weights_of(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Return the constants that the graph holds, by name: the messages themselves, not copies."""
    return {tensor.name: tensor for tensor in graph.initializer}


def makers_of(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Return the node that makes each value."""
    return {name: node for node in graph.node for name in node.output if name}


def uses_of(graph: onnx.GraphProto) -> Counter[str]:
    """Count how often each value is read by nodes, and once more where the graph gives it out."""
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(value.name for value in graph.output)
    return uses


def reads_of(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Return the names of all values that nodes read, graphs within them included."""
    names: set[str] = set()
    left = list(nodes)
    while left:
        node = left.pop()
        names.update(node.input)
        for attribute in node.attribute:
            for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                left.extend(graph.node)
                names.update(value.name for value in graph.output)
    return names


def true_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs without those that old models list for their weights."""
    weights = weights_of(graph)
    return [value for value in graph.input if value.name not in weights]


def declared_shape(value: Any) -> tuple[int | None, ...] | None:
    """Return the shape that a graph gives a value, None for each free size; None where its rank is free.

    Exporters write a free size as no number, as -1, and as 0.
    """
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim)


def replace_all(items: Any, new: Iterable[Any]) -> None:
    """Put others into a repeated field, such as a graph's nodes, in place of those that it holds."""
    others = list(new)
    del items[:]
    items.extend(others)

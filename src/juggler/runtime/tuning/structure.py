"""The structure of a small network: all that its latency depends on.

Ops and their configuration, the shapes of weights and inputs, and the wiring make a latency; names and the
values of weights do not, as long as they are no zeros and no denormals. So equal layers of different
networks have one structure, and share a latency.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn


def structure_of(module: fx.GraphModule, examples: Sequence[Tensor]) -> str:
    """Return a digest that two networks share if they differ in names and in the values of weights only.

    The element type of floats does not count, for every network is timed in float32. What the output does
    not need is left out, and the order of the listing does not count, the order of arguments does.

    Args:
        module: a graph of one output node.
        examples: one input each, of which shape and element type count.
    """
    order = _needed(module.graph)
    numbers = {node: f"%{index}" for index, node in enumerate(order)}
    parts: dict[int, str] = {}  # modules and tensors, by the order in which they are met
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    lines = [_kind(example) for example in examples]
    for node in order:
        if node.op == "placeholder":
            lines.append(f"input {inputs.index(node)}")
            continue
        what = _what(module, node, parts)
        lines.append(f"{node.op} {what} {_text(node.args, numbers)} {_text(node.kwargs, numbers)}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _needed(graph: fx.Graph) -> list[fx.Node]:
    """Return the nodes that the output needs, sources first, in an order that follows from the wiring."""
    output = next(node for node in reversed(graph.nodes) if node.op == "output")
    done: dict[fx.Node, None] = {}
    waiting = [(output, False)]
    while waiting:
        node, has_sources = waiting.pop()
        if has_sources:
            done[node] = None
        elif node not in done:
            sources = [(source, False) for source in node.all_input_nodes if source not in done]
            waiting += [(node, True), *reversed(sources)]
    return list(done)


def _what(module: fx.GraphModule, node: fx.Node, parts: dict[int, str]) -> str:
    """Name what a node calls: a part by its number and its settings, a function by its name."""
    if node.op == "call_module":
        part = module.get_submodule(str(node.target))
        return parts.setdefault(id(part), f"{len(parts)} {_settings(part)}")
    if node.op == "get_attr":
        value = _attribute(module, str(node.target))
        kind = _kind(value) if isinstance(value, Tensor) else repr(value)
        return parts.setdefault(id(value), f"{len(parts)} {kind}")
    if node.op == "call_function":
        return f"{getattr(node.target, '__module__', '')}.{getattr(node.target, '__name__', node.target)}"
    return str(node.target)


def _attribute(module: nn.Module, path: str) -> object:
    owner, _, name = path.rpartition(".")
    return getattr(module.get_submodule(owner), name)


def _settings(module: nn.Module) -> str:
    """Return classes, plain attributes and the shapes of tensors, of a module and all within it."""
    texts = []
    for part in module.modules():
        plain = sorted(
            f"{name}={value!r}"
            for name, value in vars(part).items()
            if not name.startswith("_") and name != "training" and _is_plain(value)
        )
        tensors = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
        shapes = [f"{name}:{_kind(tensor)}" for name, tensor in tensors]
        code = part.code if isinstance(part, fx.GraphModule) else ""
        texts.append(f"{type(part).__module__}.{type(part).__qualname__} {plain} {shapes} {code}")
    return "; ".join(texts)


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _kind(tensor: Tensor) -> str:
    dtype = "float" if tensor.is_floating_point() else str(tensor.dtype)
    return f"{dtype}{list(tensor.shape)}"


def _text(value: object, numbers: dict[fx.Node, str]) -> str:
    """Write an argument, with nodes as their numbers."""
    if isinstance(value, fx.Node):
        return numbers[value]
    if isinstance(value, slice):
        return f"slice{_text((value.start, value.stop, value.step), numbers)}"
    if isinstance(value, tuple | list):
        return f"({', '.join(_text(item, numbers) for item in value)})"
    if isinstance(value, dict):
        return f"({', '.join(f'{name}={_text(value[name], numbers)}' for name in sorted(value))})"
    if isinstance(value, torch.dtype) and value.is_floating_point:
        return "float"
    return repr(value)

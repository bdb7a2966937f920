"""The ways from a forward to a graph, and the check that every graph is held to.

Symbolically, with sizes left free; by example, with sizes known; by torch.export, where Python cannot be
followed any other way.
"""

from __future__ import annotations

import itertools
import keyword
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from juggler.errors import JugglerError, Refused
from juggler.transform.tracing.fx_tracers import ByExample, Symbolic, place
from juggler.transform.tracing.preparation import plain

_REMEDY = (
    "Take control flow that depends on the input's values out of forward, or flatten the submodules one by "
    "one"
)


def symbolically(network: nn.Module, inputs: tuple[Tensor, ...] | None) -> fx.GraphModule:
    """Trace by torch.fx, with every size left free.

    Raises:
        Refused: torch.fx cannot follow the forward; the message says where.
    """
    return _follow(network, Symbolic(None if inputs is None else len(inputs)))


def by_example(network: nn.Module, inputs: tuple[Tensor, ...]) -> fx.GraphModule:
    """Trace by torch.fx, with every size but the batch as it is for the inputs.

    Raises:
        Refused: what the forward does depends on what the inputs hold, or is made for one batch.
    """
    traced = _follow(network, ByExample(inputs))
    twice = _doubled(inputs)
    try:
        outputs = run(network, twice)
    except Refused:
        return traced  # the network itself takes no other batch
    check_outputs(traced, twice, outputs)
    return traced


def exported(network: nn.Module, inputs: tuple[Tensor, ...]) -> fx.GraphModule:
    """Trace by torch.export, with the batch free where the network allows it.

    Raises:
        Refused: torch.export cannot follow the forward; the message says where.
    """
    from juggler.transform.tracing.exported import from_exported  # noqa: PLC0415  # torch.export is slow to import

    free = tuple({0: torch.export.Dim.AUTO} if tensor.ndim else None for tensor in inputs)
    # A batch of 1 would be taken for a constant, so one of 2 is tried first.
    for arguments, sizes in ((_doubled(inputs), free), (inputs, None)):
        try:
            with torch.no_grad():
                return from_exported(
                    torch.export.export(network, arguments, dynamic_shapes=sizes, strict=False)
                )
        except JugglerError:
            raise
        except Exception as error:  # noqa: BLE001  # a forward may raise whatever it likes
            failed = error
    said = next(iter(str(failed).strip().splitlines()), repr(failed))
    raise Refused("trace the network", f"{said} {place(failed, network)}", _REMEDY) from failed


def _follow(network: nn.Module, tracer: Symbolic) -> fx.GraphModule:
    try:
        with torch.no_grad():
            graph = tracer.trace(network)
    except Exception as error:  # a forward may raise whatever it likes
        obstacle = (
            f"torch.fx could not follow {type(network).__name__}.forward {place(error, network)} ({error})"
        )
        raise Refused("trace the network", obstacle, _REMEDY) from error
    if isinstance(tracer, ByExample):
        tracer.forget_sizes()
    _rename_python_words(network, graph)
    return fx.GraphModule(network, graph, class_name=type(network).__name__)


def _rename_python_words(network: nn.Module, graph: fx.Graph) -> None:
    """Give parts that are named by a word of Python, which no code can spell, another name, in place."""
    for node in graph.nodes:
        if node.op not in ("call_module", "get_attr"):
            continue
        owner, path = network, []
        for name in str(node.target).split("."):
            word = f"{name}_" if keyword.iskeyword(name) else name
            holders: list[dict[str, Any]] = [vars(owner), owner._modules, owner._parameters, owner._buffers]
            for parts in holders:
                if word != name and name in parts:
                    parts[word] = parts.pop(name)
            path.append(word)
            owner = getattr(owner, word)
        node.target = ".".join(path)


def _doubled(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.cat([tensor, tensor]) if tensor.ndim else tensor for tensor in inputs)


def run(network: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    """Return what the network gives for copies of the inputs, in plain containers.

    Raises:
        Refused: it does not run on them.
    """
    try:
        with torch.no_grad():
            # A graph's call would print what its forward raises.
            call = network.forward if isinstance(network, fx.GraphModule) else network
            return plain(call(*(tensor.clone() for tensor in inputs)))
    except Exception as error:  # a forward may raise whatever it likes
        raise input_refusal(inputs, f"{error} ({place(error, network)})") from error


def input_refusal(inputs: tuple[Tensor, ...], obstacle: str) -> Refused:
    """Return the refusal of inputs that a network does not run on."""
    described = " and ".join(f"shape {tuple(tensor.shape)} and type {tensor.dtype}" for tensor in inputs)
    return Refused(
        "run the network on the example",
        f"an input of {described} gave: {obstacle}",
        "Pass an example of the shape and type that the network is made for",
    )


def check_outputs(traced: fx.GraphModule, inputs: tuple[Tensor, ...], expected: Any) -> None:
    """Refuse a graph that does not give what the network gave.

    Raises:
        Refused: it gives something else, or does not run.
    """
    outputs = run(traced, inputs)
    pairs = list(itertools.zip_longest(pytree.tree_leaves(outputs), pytree.tree_leaves(expected)))
    if all(_alike(output, reference) for output, reference in pairs):
        return
    raise Refused(
        "trace the network",
        f"its graph does not give what the network gave for a batch of {len(inputs[0])}: the network draws "
        "random numbers, keeps state between calls, or is made for one size of batch",
        "Take these out of forward",
    )


def _alike(output: object, reference: object) -> bool:
    if not isinstance(output, Tensor) or not isinstance(reference, Tensor):
        return type(output) is type(reference)
    if output.shape != reference.shape or output.dtype != reference.dtype:
        return False
    if not output.is_floating_point() or not output.numel():
        return torch.equal(output, reference)
    scale = reference.abs().nan_to_num(0.0, 0.0, 0.0).max().item()
    return torch.allclose(output, reference, rtol=1e-4, atol=1e-4 * scale, equal_nan=True)

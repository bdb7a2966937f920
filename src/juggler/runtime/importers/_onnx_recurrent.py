"""LSTM, GRU and RNN: walls. Torch's own modules run them, with their weights in torch's order."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from juggler.runtime.importers._onnx_graph import Handle, OnnxBuilder, Op, Unsupported, parameter

MODULES = {"GRU": nn.GRU, "LSTM": nn.LSTM, "RNN": nn.RNN}
# For each of torch's gates, its place among ONNX's: input, output, forget, cell; update, reset, hidden.
GATES = {"GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1), "RNN": (0,)}
ACTIVATIONS = {"GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "RNN": ["Tanh"]}


def _recurrent(build: OnnxBuilder, op: Op) -> None:
    """Build the module; outputs are `[steps, directions, batch, hidden]` and the last states."""
    weights, recurrent = build.constant(op, 1), build.constant(op, 2)
    directions, hidden = len(weights), op.get("hidden_size") or recurrent.shape[-1]
    _check(op, directions)
    biases = (
        build.constant(op, 3)
        if op.has_input(3)
        else np.zeros((directions, 2 * weights.shape[1]), weights.dtype)
    )
    module = MODULES[op.kind](weights.shape[2], hidden, bidirectional=directions == 2)
    order = np.concatenate([np.arange(gate * hidden, (gate + 1) * hidden) for gate in GATES[op.kind]])
    for at in range(directions):
        suffix = "_l0" + ("_reverse" if at else "")
        inner, outer = np.split(biases[at], 2)
        parts = {"weight_ih": weights[at], "weight_hh": recurrent[at], "bias_ih": inner, "bias_hh": outer}
        for name, values in parts.items():
            setattr(module, name + suffix, parameter(values[order]))
    value, states = build.value(op.inputs[0]), _states(build, op)
    is_reversed = op.get("direction", "forward") == "reverse"
    if is_reversed:
        value = build.add_function(torch.flip, value, (0,))
    name = build.add_part(op.name, module)
    both = build.graph.call_module(name, (value, states) if states is not None else (value,))
    _outputs(build, op, both, directions, hidden)
    if is_reversed and op.outputs[0]:
        build.function(op, torch.flip, build.values[op.outputs[0]], (0,))


def _check(op: Op, directions: int) -> None:
    """Refuse what torch's modules have not."""
    usual = ACTIVATIONS[op.kind] * directions
    if op.has_input(4):
        raise Unsupported("its sequences are of several lengths")
    if op.get("layout", 0):
        raise Unsupported("its batch comes first")
    if [name.title() for name in op.get("activations") or usual] != usual or op.get("clip"):
        raise Unsupported(f"its activations are {op.get('activations') or 'clipped'}")
    if op.has_input(7) or op.get("input_forget", 0):
        raise Unsupported("it has peepholes, or couples its gates")
    if op.kind == "GRU" and not op.get("linear_before_reset", 0):
        raise Unsupported("it resets before it multiplies, and torch does so behind")


def _states(build: OnnxBuilder, op: Op) -> Any:
    """Return the first states; None where they are zeros."""
    places = [5, 6] if op.kind == "LSTM" else [5]
    if not any(op.has_input(at) and not _is_zero(build, op.inputs[at]) for at in places):
        return None
    if not all(op.has_input(at) for at in places):
        raise Unsupported("it has the first of one state and not of the other")
    states = tuple(build.value(op.inputs[at]) for at in places)
    return states if op.kind == "LSTM" else states[0]


def _is_zero(build: OnnxBuilder, name: str) -> bool:
    return name in build.constants and not build.constants[name].any()


def _outputs(build: OnnxBuilder, op: Op, both: fx.Node, directions: int, hidden: int) -> None:
    values = build.add_function(operator.getitem, both, 0)
    if op.outputs[0]:
        split = build.add_function(torch.unflatten, values, -1, (directions, hidden))
        build.values[op.outputs[0]] = build.add_function(torch.permute, split, (0, 2, 1, 3))
    last = build.add_function(operator.getitem, both, 1) if any(op.outputs[1:]) else None
    for at, name in enumerate(op.outputs[1:]):
        if name and last is not None:
            is_pair = op.kind == "LSTM"
            build.values[name] = build.add_function(operator.getitem, last, at) if is_pair else last


RECURRENT_HANDLES: dict[str, Handle] = dict.fromkeys(MODULES, _recurrent)

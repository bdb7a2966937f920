"""From a program that torch.export captured to a graph that the algebra can read.

An exported program is one flat list of aten operators, its weights beside it. Here the operators that own
weights become torch's modules again, the others plain functions: see `juggler.transform.tracing.aten`, one
handle an operator. An operator without a handle stays a call of `torch.ops`, which runs and which no
rewrite enters. What depends on weights alone, such as a kernel made out of a direction and a norm, is
computed once.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from juggler.errors import Refused
from juggler.transform.tracing.assembly import Arguments, AtenBuilder, NoHandle, bound, name_of, operator_of
from juggler.transform.tracing.aten import HANDLES

ACTION = "read an exported program"
# Their results share no memory with anything else, so an op in place on one that only it reads is harmless.
_ARITHMETIC = {"add", "sub", "mul", "div", "cat", "mean", "matmul", "linear", "addmm", "convolution"}
_CONVS = {f"conv{kind}{d}d" for kind in ("", "_transpose") for d in (1, 2, 3)}
_NORMS = {"batch_norm", "layer_norm", "group_norm"}
_POOLS = {"max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"}
_ACTIVATIONS = {"relu", "hardtanh", "hardswish", "silu", "gelu", "sigmoid"}
_FRESH_RESULTS = _ARITHMETIC | _CONVS | _NORMS | _POOLS | _ACTIVATIONS
_CHECKS = ("_assert", "sym_constrain_range")


def from_exported(program: ExportedProgram) -> fx.GraphModule:
    """Return the program as a graph of torch's modules and functions, in evaluation mode.

    The program is not changed, and its weights are copied; those that two modules share stay shared. A
    batch that the program fixes is left free where a view keeps it: within the program's own contract that
    is the same function.

    Raises:
        Refused: it was captured in training mode, changes its own state, or holds control flow.
    """
    if _works_in_place_on_what_others_read(program.graph):
        with warnings.catch_warnings():  # torch copies its own tree of inputs, and warns of how it does
            warnings.simplefilter("ignore", FutureWarning)
            program = program.run_decompositions({})
    signature = program.graph_signature
    changed = {**signature.buffers_to_mutate, **signature.user_inputs_to_mutate}
    if changed:
        raise Refused(
            ACTION,
            f"it changes {', '.join(sorted(changed.values())[:3])} on every call",
            "Call eval() on the network before torch.export.export, and keep no state in it",
        )
    return _Reader(program).read()


def _works_in_place_on_what_others_read(graph: fx.Graph) -> bool:
    """Say whether an in-place op may be seen through another name of what it changes."""
    for node in graph.nodes:
        kind = operator_of(node)
        if kind is None or not kind._schema.is_mutable or not node.args or name_of(node) == "detach":
            continue
        changed = node.args[0]
        is_private = (
            isinstance(changed, fx.Node) and name_of(changed) in _FRESH_RESULTS and len(changed.users) == 1
        )
        if not is_private:
            return True
    return False


class _Reader:
    """Translates one program, node by node."""

    def __init__(self, program: ExportedProgram) -> None:
        self.program = program
        self.out = AtenBuilder()
        self.constants: dict[fx.Node, Any] = {}

    def read(self) -> fx.GraphModule:
        self._take_inputs()
        for node in self.program.graph.nodes:
            if node.op == "get_attr":
                self.constants[node] = _attribute(self.program.graph_module, str(node.target))
            elif node.op == "call_function":
                self._call(node)
            elif node.op == "output":
                self.out.graph.output(self._outputs(node))
            elif node.op != "placeholder":
                raise _refusal(node, f"calls {node.target}")
        read = self.out.finish("Exported")
        for node in read.graph.nodes:
            node.meta["stands_for"] = node.name
            node.meta["paths"] = (str(node.target),) if node.op == "call_module" else ()
        read.graph.eliminate_dead_code()
        read.recompile()
        return read

    def _take_inputs(self) -> None:
        """Make placeholders for the program's own inputs; weights come in where they are first read."""
        signature = self.program.graph_signature
        weights = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        fixed = {
            spec.arg.name: spec.arg.value for spec in signature.input_specs if hasattr(spec.arg, "value")
        }
        for node in self.program.graph.find_nodes(op="placeholder"):
            if node.name in weights:
                fqn = weights[node.name]
                held = self.program.state_dict.get(fqn, self.program.constants.get(fqn))
                self.constants[node] = self.out.weight_copy(held, fqn)
            elif node.name in fixed:
                self.constants[node] = fixed[node.name]
            else:
                self.out.values[node] = self.out.graph.placeholder(node.name)

    def _call(self, node: fx.Node) -> None:
        kind = operator_of(node)
        name = name_of(node)
        if kind is None and getattr(node.target, "__module__", "") not in ("_operator", "math", "torch"):
            raise _refusal(node, f"holds the control flow {node.target}")
        if name.startswith(_CHECKS):
            return
        if self._fold(node):
            return
        several: Any = self.out.values.get(node.all_input_nodes[0]) if node.all_input_nodes else None
        if node.target is operator.getitem and isinstance(several, tuple):
            self.out.values[node] = several[int(str(node.args[1]))]
            return
        if kind is not None:
            _check_evaluating(node, bound(node))
        try:
            self._handle(node, name)
        except NoHandle:
            arguments, options = (self._mapped(part) for part in (node.args, node.kwargs))
            self.out.values[node] = self.out.graph.call_function(_callable(node), arguments, options)

    def _handle(self, node: fx.Node, name: str) -> None:
        """Let the operator's handle build it.

        Raises:
            NoHandle: there is none for it, or not for it as it is used here.
        """
        if operator_of(node) is None or name not in HANDLES:
            raise NoHandle
        values = bound(node)
        held = {k: self.constants.get(v) for k, v in values.items() if isinstance(v, fx.Node)}
        arguments = Arguments(node, values, held, self._mapped)
        self.out.values[node] = HANDLES[name](self.out, arguments)

    def _fold(self, node: fx.Node) -> bool:
        """Compute a node that depends on weights alone; say whether it was one."""
        is_random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        if is_random or not all(source in self.constants for source in node.all_input_nodes):
            return False
        arguments: Any = fx.node.map_arg(node.args, lambda n: self.constants[n])
        options: Any = fx.node.map_arg(node.kwargs, lambda n: self.constants[n])
        with torch.no_grad():
            self.constants[node] = _callable(node)(*arguments, **options)
        return True

    def _mapped(self, part: Any) -> Any:
        """Return arguments with the nodes of the new graph in them."""
        return fx.node.map_arg(part, self._value)

    def _value(self, node: fx.Node) -> Any:
        if node not in self.out.values and node in self.constants:
            held = self.constants[node]
            if not isinstance(held, Tensor):
                return held
            self.out.values[node] = self.out.constant(held, node.name)
        value = self.out.values[node]
        if isinstance(value, tuple):
            raise _refusal(node, "gives several results of which one is read that its module does not give")
        return value

    def _outputs(self, node: fx.Node) -> Any:
        """Return the outputs as the network returned them, in tuples, lists and dicts."""
        values = [
            self._value(value) if isinstance(value, fx.Node) else value
            for value in node.args[0]  # type: ignore[union-attr]
        ]
        spec = self.program.call_spec.out_spec
        outputs = values if spec is None else pytree.tree_unflatten(values, spec)
        if isinstance(outputs, fx.Node) or type(outputs) in (tuple, list, dict):
            return outputs
        return values[0] if len(values) == 1 else tuple(values)  # a class of the network's own


def _callable(node: fx.Node) -> Callable[..., Any]:
    target = node.target
    if not callable(target):
        raise _refusal(node, f"calls {target}")
    return target


def _attribute(root: nn.Module, path: str) -> Any:
    for part in path.split("."):
        root = getattr(root, part)
    return root


def _check_evaluating(node: fx.Node, values: dict[str, Any]) -> None:
    training = values.get("training", False) or values.get("train", False)
    # A batch norm that keeps no statistics uses the batch's in evaluation mode as well: no handle takes it.
    if training is True and values.get("p", 1.0) and values.get("running_mean", True) is not None:
        raise Refused(
            ACTION,
            f"{node.name} was captured in training mode",
            "Call eval() on the network before torch.export.export",
        )


def _refusal(node: fx.Node, obstacle: str) -> Refused:
    stack = list(node.meta.get("nn_module_stack", {}).values())
    place = f" (in {stack[-1][0]})" if stack and stack[-1][0] else ""
    return Refused(
        ACTION,
        f"{node.name}{place} {obstacle}",
        "Take it out of forward, or flatten the submodules one by one",
    )

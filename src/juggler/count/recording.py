"""Watch every operator that a network runs: its work, its bytes, and the buffers that it keeps alive.

The watch is a dispatch mode in inference mode. There operators arrive whole: a linear layer is one, attention
is one. One that has a handle is counted as it is; one without is taken apart into those that it is made of,
until they have handles; what can neither be counted nor taken apart is written down as not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import TorchDispatchMode

from juggler.count.counted import OpCount
from juggler.count.handles.convolution import COMPLEX
from juggler.count.liveness import Step
from juggler.count.packed import Unpacker, is_packed, packed_in, unpacked, window_of
from juggler.count.work import Call, Handle, Work, all_handles, as_complex

UNCOUNTED = "uncounted"
BYTES = frozenset({torch.int8, torch.uint8, torch.qint8, torch.quint8})
_OF_ONE = {
    f"aten.{name}" for name in ("relu", "hardtanh", "leaky_relu", "silu", "gelu", "sigmoid", "hardswish")
}
_OF_TWO = {"aten.add", "aten.mul"}


@dataclass(frozen=True)
class Seen:
    """One operator, or one part of one, as it was seen: its name and what lives meanwhile come later."""

    place: str
    node: str
    part: str
    step: Step
    count: OpCount


class Weights:
    """The tensors that a network holds, by their buffers; each part of one is read first once."""

    def __init__(self) -> None:
        self._is_parameter: dict[int, bool] = {}
        self._unread: dict[int, list[tuple[int, int, int]]] = {}  # begin, end and elements, ends in bytes

    def __contains__(self, buffer: int) -> bool:
        return buffer in self._is_parameter

    def add(self, buffer: int, tensor: Tensor, *, is_parameter: bool) -> None:
        """Take up a parameter or a floating-point buffer; of any other, such as a counter, no elements."""
        self._is_parameter.setdefault(buffer, is_parameter)
        spans = self._unread.setdefault(buffer, [])
        if is_parameter or is_floating(tensor):
            spans.append((*_span(tensor), tensor.numel()))

    def read(self, buffer: int, tensor: Tensor) -> tuple[int, int]:
        """Return the parameters and the statistics that a tensor is the first to read of the buffer."""
        begin, end = _span(tensor)
        elements, rest = 0, []
        for first, last, count in self._unread[buffer]:
            low, high = max(begin, first), min(end, last)
            if low >= high:
                rest.append((first, last, count))
                continue
            pieces = [
                (at, to, count * (to - at) // (last - first)) for at, to in ((first, low), (high, last))
            ]
            elements += count - sum(part for *_, part in pieces)
            rest += [piece for piece in pieces if piece[0] < piece[1]]
        self._unread[buffer] = rest
        return (elements, 0) if self._is_parameter[buffer] else (0, elements)


def _span(tensor: Tensor) -> tuple[int, int]:
    """Return where a tensor begins and ends in its memory, in bytes."""
    size = tensor.element_size()
    begin = int(tensor.storage_offset()) * size
    steps = sum(
        int(sides - 1) * int(stride) for sides, stride in zip(tensor.shape, tensor.stride(), strict=True)
    )
    return begin, begin + (steps + 1) * size if tensor.numel() else begin


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types for its modes
    """Write down what is run while the mode is on.

    Attributes:
        place: what the next operators are called by: a graph's node; empty goes by the module.
        node: name of the graph's node that runs; empty where there is no graph.
        path: of the module that runs.
        seen: every operator, in order.
        sizes: bytes of each buffer.
        inputs: buffers of the network's inputs.
        outputs: of its outputs.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.place = self.node = self.path = ""
        self.seen: list[Seen] = []
        self.sizes: dict[int, int] = {}
        self.inputs: tuple[int, ...] = ()
        self.outputs: tuple[int, ...] = ()
        self.weights = Weights()
        self._handles: Mapping[str, Handle] = all_handles()
        # The weak references keep addresses from being given to other storages, and no memory alive.
        self._buffers: dict[int, tuple[int, StorageWeakRef]] = {}
        self._unpack = Unpacker()
        for tensor, is_parameter in weights_of(network, self._unpack):
            self.weights.add(self.buffer(tensor), tensor, is_parameter=is_parameter)

    def buffer(self, tensor: Tensor) -> int:
        """Return the number of the memory that the tensor lies in."""
        storage = tensor.untyped_storage()
        reference = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
        if reference.cdata not in self._buffers:
            number = len(self._buffers)
            self._buffers[reference.cdata] = (number, reference)
            self.sizes[number] = storage.nbytes()
        return self._buffers[reference.cdata][0]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler, which takes longer than all the counting

    def activations(self) -> dict[int, int]:
        """Return the bytes of each buffer that holds no weights."""
        return {number: size for number, size in self.sizes.items() if number not in self.weights}

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator, whole or taken apart, and note it."""
        options = kwargs or {}
        name = str(func.overloadpacket)
        handle = self._handles.get(name) or self._handles.get(name.removesuffix("_"))
        if handle is None and name in COMPLEX and any(t.is_complex() for t in tensors_in(args)):
            handle = COMPLEX[name]
        if handle is None and not func.is_view:
            with self:
                taken_apart = func.decompose(*args, **options)
            if taken_apart is not NotImplemented:
                return taken_apart
        arguments = self._with_unpacked(arguments_of(func, args, options))
        known = None if "out" in options else alike(name, arguments, args)
        result = func(*args, **options) if known is None else known
        outputs = tuple(tensors_in(result))
        if outputs:
            self._note(func, handle, arguments, outputs)
        return result

    def _with_unpacked(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments with what is packed in them: `weight`, `bias` and a convolution's window."""
        plain: dict[str, Any] = {}
        for name, value in arguments.items():
            if is_packed(value):
                plain |= self._unpack(value) | window_of(value)
            elif isinstance(value, list) and value and is_packed(value[0]):
                plain[name] = [tensor for packed in value for tensor in self._unpack(packed).values()]
            else:
                plain[name] = value
        return plain

    def _note(
        self, func: OpOverload, handle: Handle | None, arguments: dict[str, Any], outputs: tuple[Tensor, ...]
    ) -> None:
        tensors_of = {name: tuple(tensors_in(value)) for name, value in arguments.items()}
        reads = {name: tuple(map(self.buffer, tensors)) for name, tensors in tensors_of.items() if tensors}
        written = tuple(map(self.buffer, outputs))
        weights = frozenset(n for n, buffers in reads.items() if all(b in self.weights for b in buffers))
        call = Call(str(func.overloadpacket), arguments, outputs, weights)
        is_complex = any(t.is_complex() for tensors in (*tensors_of.values(), outputs) for t in tensors)
        read = {buffer for buffers in reads.values() for buffer in buffers}
        for real in self._work_of(func, handle, call, is_shared=set(written) <= read):
            work = as_complex(real, call.operator) if is_complex else real
            names = reads if work.reads is None else [name for name in work.reads if name in reads]
            self._write_down(call, work, {n: (tensors_of[n], reads[n]) for n in names}, written)

    def _work_of(
        self, func: OpOverload, handle: Handle | None, call: Call, *, is_shared: bool
    ) -> tuple[Work, ...]:
        """Return the parts of the operator's work; sharing its input's memory makes a copy a view."""
        is_view = is_shared and not func._schema.is_mutable
        if handle is None:
            if func.is_view:
                return (Work("view" if is_view else "move"),)
            return (Work(UNCOUNTED),)
        counted = handle(call)
        works = (counted,) if isinstance(counted, Work) else counted
        return tuple(
            replace(work, kind="view") if work.kind == "move" and is_view else work for work in works
        )

    def _write_down(
        self,
        call: Call,
        work: Work,
        reads: Mapping[str, tuple[tuple[Tensor, ...], tuple[int, ...]]],
        written: tuple[int, ...],
    ) -> None:
        parameters = statistics = weight_bytes = input_bytes = largest = 0
        shared = False
        output_bytes = sum(map(bytes_of, call.outputs)) if work.writes and work.kind != "view" else 0
        pairs = [pair for buffers in reads.values() for pair in zip(*buffers, strict=True)]
        for tensor, buffer in pairs:
            size = 0 if work.kind == "view" else bytes_of(tensor)
            if work.kind == "move":  # of a table, only the rows that are looked up
                size = min(size, output_bytes)
            if buffer not in self.weights:
                input_bytes += size
                continue
            weight_bytes += size
            if work.kind != "view":
                new = self.weights.read(buffer, tensor)
                parameters, statistics = parameters + new[0], statistics + new[1]
                if tensor.numel() > largest:
                    largest, shared = tensor.numel(), not any(new)
        step = Step(
            tuple(b for _, b in pairs if b not in self.weights),
            tuple(b for b in written if b not in self.weights) if work.writes else (),
        )
        count = OpCount(
            name="",
            module_path=self.path,
            operator=call.operator,
            kind=work.kind,
            macs=work.macs,
            additions=work.additions,
            multiplications=work.multiplications,
            comparisons=work.comparisons,
            functions=work.functions,
            parameters=parameters,
            statistics=statistics,
            weight_bytes=weight_bytes,
            input_bytes=input_bytes,
            output_bytes=output_bytes,
            live_bytes=0,
            out_shape=call.out,
            geometry=work.geometry,
            shared=shared,
        )
        self.seen.append(Seen(self.place or self.path, self.node, work.part, step, count))

    @contextmanager
    def following(self, network: nn.Module) -> Iterator[None]:
        """Keep the path of the module that runs, while the block does."""
        paths = {id(module): path for path, module in network.named_modules()}
        before: list[str] = []

        def enter(module: nn.Module, _: Any) -> None:
            before.append(self.path)
            self.path = paths.get(id(module), self.path)

        def leave(module: nn.Module, _: Any, __: Any) -> None:
            self.path = before.pop()

        handles = (
            hooks.register_module_forward_pre_hook(enter),
            hooks.register_module_forward_hook(leave, always_call=True),
        )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def held_by(network: nn.Module) -> Iterator[Tensor]:
    """Yield parameters, buffers, and tensors that are plain attributes of modules."""
    yield from network.parameters()
    yield from map(stored_part, network.buffers())
    for module in network.modules():
        yield from (stored_part(value) for value in vars(module).values() if isinstance(value, Tensor))


def stored_part(tensor: Tensor) -> Tensor:
    """Return the tensor itself, or the numbers that a sparse one stores."""
    if tensor.layout is torch.strided:
        return tensor
    return tensor._values() if tensor.is_sparse else tensor.values()


def weights_of(
    network: nn.Module, unpack: Callable[[Any], dict[str, Tensor]] = unpacked
) -> list[tuple[Tensor, bool]]:
    """Return all that a network holds, each tensor once, and whether it is a parameter: what is packed is."""
    held = {id(tensor): (tensor, _is_weight(tensor)) for tensor in held_by(network)}
    packed = [tensor for each in packed_in(network) for tensor in unpack(each).values()]
    return [
        *held.values(),
        *((tensor, True) for tensor in {id(tensor): tensor for tensor in packed}.values()),
    ]


def _is_weight(tensor: Tensor) -> bool:
    """Say whether a tensor is a parameter, or a buffer of weights in 8 bits, as torch keeps some."""
    return isinstance(tensor, nn.Parameter) or (tensor.dtype in BYTES and tensor.ndim > 1)


def is_floating(tensor: Tensor) -> bool:
    """Say whether a tensor holds real or complex numbers."""
    return tensor.is_floating_point() or tensor.is_complex()


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of an argument or a result, in lists and tuples too."""
    if isinstance(value, Tensor):
        yield stored_part(value)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from tensors_in(inner)


def arguments_of(func: OpOverload, args: tuple[Any, ...], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments by the names of the schema, defaults filled in."""
    defaults = _defaults(func)
    return {**defaults, **dict(zip(defaults, args, strict=False)), **options}


@cache
def _defaults(func: OpOverload) -> dict[str, Any]:
    return {argument.name: argument.default_value for argument in func._schema.arguments}


def alike(name: str, arguments: Mapping[str, Any], args: tuple[Any, ...]) -> Tensor | None:
    """Return what an operator gives whose shape is plain, on the meta device; None for all others.

    Torch works such shapes out in Python there, and imports its compiler for it: seconds, where all the
    counting takes less.
    """
    first = args[0] if args else None
    if not (isinstance(first, Tensor) and first.is_meta and first.is_contiguous()):
        return None
    kind = name.removesuffix("_")
    second: Any = args[1] if len(args) > 1 else None
    if kind == "aten.linear" and second.ndim == 2 and second.shape[1] == first.shape[-1]:
        return torch.empty((*first.shape[:-1], second.shape[0]), dtype=first.dtype, device="meta")
    if kind in _OF_TWO:
        is_like = isinstance(second, Tensor) and second.is_meta and second.is_contiguous()
        is_known = is_like and (second.shape, second.dtype) == (first.shape, first.dtype)
    else:
        is_norm = kind == "aten.batch_norm" and not arguments["training"]
        is_known = is_norm or (kind in _OF_ONE and first.is_floating_point())
    if not is_known:
        return None
    return first if name != kind else bare_like(first)


def bare_like(tensor: Tensor) -> Tensor:
    """Return a tensor of the same sizes, strides and type on the meta device.

    torch.empty_like is written in Python there, and imports what takes most of a second.
    """
    return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")


def bytes_of(tensor: Tensor) -> int:
    """Return the bytes of a tensor's elements; those that are one and the same in memory count once."""
    sizes = (size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or not size)
    return math.prod(sizes) * tensor.element_size()

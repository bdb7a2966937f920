"""Read the structure of an ONNX model and leave its weights where they are.

A model of 240 MB takes a second to parse, nearly all of it to copy weights, whose numbers have no part in how
long a network takes. This walks over the file's fields as they lie on the disk and steps over the content of
large tensors.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from juggler.errors import ConfigError
from juggler.reading.content import open_plain
from juggler.reading.messages import Buffer, field, fields, head
from juggler.reading.onnx_files import check_onnx
from juggler.reading.request import Request
from juggler.runtime.onnx_graphs.editing import declared_shape, true_inputs
from juggler.runtime.onnx_graphs.shape_inference import with_sizes

if TYPE_CHECKING:
    import onnx

_REMEDY = "Give an ONNX model, written whole"
SMALL_BYTES = 1024  # sizes, axes and limits are shorter than this, and weights that matter longer
GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9  # fields of ModelProto, GraphProto and TensorProto
CONTENT = frozenset({4, 5, 7, 9, 10, 11})  # the fields of TensorProto that hold its numbers


@dataclass(frozen=True)
class GraphStructure:
    """A graph whose large tensors are empty.

    Attributes:
        model: the structure, with the input's sizes as the file has them; never changed.
        name: of the network.
    """

    model: onnx.ModelProto
    name: str

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Return the first input's shape; None where a size is free."""
        return declared_shape(self.inputs[0]) or ()

    @property
    def inputs(self) -> list[Any]:
        """Return the inputs that are no weights."""
        return true_inputs(self.model.graph)

    def shapes_for(self, shapes: Sequence[tuple[int, ...]], batch: int = 1) -> tuple[tuple[int, ...], ...]:
        """Return the whole shape of each input, the batch among it.

        Args:
            shapes: one an input, in their order, without the batch; one of as many sizes as the input has is
                taken as it is. Inputs without one keep the sizes that the file gives them.
            batch: inputs at once, where the file leaves that free.

        Raises:
            ConfigError: there are more shapes than inputs, or a size is neither in the file nor given.
        """
        if len(shapes) > len(self.inputs):
            raise ConfigError(
                f"read {self.name} for {len(shapes)} shapes",
                f"it has {len(self.inputs)} inputs: {', '.join(value.name for value in self.inputs)}",
                "Give at most one shape for each",
            )
        whole = []
        for index, value in enumerate(self.inputs):
            declared = declared_shape(value)
            if index < len(shapes):
                shape = shapes[index]
                whole.append(
                    shape if declared is not None and len(shape) == len(declared) else (batch, *shape)
                )
            elif declared is None or None in declared[1:]:
                raise ConfigError(
                    f"read {self.name}",
                    f"it leaves sizes of its input {value.name!r} free: {declared and list(declared)}",
                    "Give --shape, once for each input: its sizes without the batch",
                )
            else:
                whole.append(tuple(batch if size is None else size for size in declared))
        return tuple(whole)

    def sized(self, *shapes: tuple[int, ...]) -> onnx.ModelProto:
        """Return a copy for inputs of these shapes, `[batch, ...]`, every size in between inferred.

        Raises:
            ConfigError: the network takes other shapes, or another number of inputs.
        """
        import onnx  # noqa: PLC0415  # heavy

        task = f"read {self.name} for an input of {', '.join(str(list(shape)) for shape in shapes)}"
        if len(self.inputs) != len(shapes):
            raise ConfigError(task, f"it has {len(self.inputs)} inputs", "Give one shape for each")
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        del model.graph.value_info[:]
        inputs = {value.name: value.type.tensor_type.shape.dim for value in model.graph.input}
        for value, shape in zip(self.inputs, shapes, strict=True):
            declared = declared_shape(value)
            if declared is None:
                declared = (None,) * len(shape)
            pairs = zip(declared, shape, strict=False)
            if len(declared) != len(shape) or any(fixed not in (None, size) for fixed, size in pairs):
                raise ConfigError(
                    task,
                    f"{value.name!r} takes {['any' if size is None else size for size in declared]}",
                    "Give its own shape and batch, or export it with a free batch",
                )
            del inputs[value.name][:]
            for size in shape:
                inputs[value.name].add().dim_value = size
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")
        try:
            return with_sizes(model)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError) as error:
            raise ConfigError(task, str(error).splitlines()[0], "Give the shape it was made for") from error


def read_structure(graph: Path | bytes) -> onnx.ModelProto:
    """Return the model with every tensor of more than 1 KiB emptied: dims, type and name stay.

    External data are not opened.

    Raises:
        ArtefactError: the file is missing, cut off, or no ONNX model.
    """
    request = Request(f"read the structure of {_name(graph)}", _REMEDY)
    check_onnx(graph, request)
    try:
        if isinstance(graph, bytes):
            return _parse(graph)
        with (
            open_plain(graph, request) as file,
            closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as mapped,
        ):
            return _parse(mapped)
    except (OSError, ValueError) as error:
        raise request.refusal(str(error)) from error


def with_tensors(model: bytes, tensors: Iterable[tuple[str, list[int], int, bytes]]) -> bytes:
    """Return a serialised model with constants added: name, dims, ONNX's element type and content of each.

    What is appended to a message of protocol buffers is merged into it, so no weight is copied twice.
    """
    import onnx  # noqa: PLC0415  # heavy

    pieces = [model]
    for name, dims, kind, content in tensors:
        tensor = onnx.TensorProto(name=name, dims=dims, data_type=kind).SerializeToString()
        tensor += head(RAW_DATA, len(content))
        initializer = head(INITIALIZER, len(tensor) + len(content)) + tensor
        pieces += [head(GRAPH, len(initializer) + len(content)) + initializer, content]
    return b"".join(pieces)


def _parse(buffer: Buffer) -> onnx.ModelProto:
    import onnx  # noqa: PLC0415  # heavy
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # noqa: PLC0415

    slim = bytearray()
    for number, begin, inside, after in fields(buffer):
        slim += field(GRAPH, _slim_graph(buffer, inside, after)) if number == GRAPH else buffer[begin:after]
    try:
        model = onnx.ModelProto.FromString(bytes(slim))
    except DecodeError as error:
        raise ValueError("no protocol buffer of a model") from error
    if not model.graph.node:
        raise ValueError("a graph without a node")
    return model


def _slim_graph(buffer: Buffer, start: int, end: int) -> bytes:
    slim = bytearray()
    for number, begin, inside, after in fields(buffer, start, end):
        if number == INITIALIZER and after - inside > SMALL_BYTES:
            slim += field(INITIALIZER, _slim_tensor(buffer, inside, after))
        else:
            slim += buffer[begin:after]
    return bytes(slim)


def _slim_tensor(buffer: Buffer, start: int, end: int) -> bytes:
    parts = fields(buffer, start, end)
    return b"".join(buffer[begin:after] for number, begin, _, after in parts if number not in CONTENT)


def _name(graph: Path | bytes) -> str:
    return "ONNX bytes" if isinstance(graph, bytes) else str(graph)

"""What an ONNX file asks of whoever runs it: its operators, and the files that its weights lie in.

Read off the messages, without the onnx package, which the base install lacks.
"""

from __future__ import annotations

import mmap
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from juggler.reading.content import open_plain
from juggler.reading.messages import Buffer, fields
from juggler.reading.onnx_files import check_onnx
from juggler.reading.request import Request

# Numbers of fields, after onnx.proto.
_MODEL_GRAPH, _MODEL_TRAINING, _MODEL_FUNCTION = 7, 20, 25
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_SPARSE = 1, 5, 15
_NODE_ATTRIBUTE, _NODE_OPERATOR, _NODE_DOMAIN = 5, 4, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSES = (5, 10), (6, 11), (22, 23)
_TENSOR_EXTERNAL = 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_DEEP = 80
STANDARD_DOMAINS = ("", "ai.onnx")


@dataclass
class OnnxContents:
    """What the messages of a model say.

    Attributes:
        operators: names of its operators, those of other domains with the domain before a colon.
        external: places of the files that hold weights, as the model names them.
        functions: how many functions of its own it has.
    """

    operators: set[str] = field(default_factory=set)
    external: set[str] = field(default_factory=set)
    functions: int = 0


def read_contents(source: Path | bytes, request: Request) -> OnnxContents:
    """Return what a model asks for; graphs within its nodes count too, and weights are stepped over.

    Raises:
        JugglerError: of the request's kind: it is no ONNX model.
    """
    check_onnx(source, request)
    contents = OnnxContents()
    with request.refusing("ONNX model"):
        if isinstance(source, bytes):
            _read_model(source, contents)
            return contents
        with (
            open_plain(source, request) as file,
            closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as mapped,
        ):
            _read_model(mapped, contents)
    return contents


def check_external(source: Path | bytes, request: Request) -> None:
    """Refuse weights in other files, unless they are plain files in the model's own folder or below it.

    A link, symbolic or hard, may stand for any file of whoever opens the model; bytes have no folder.

    Raises:
        JugglerError: of the request's kind: names the file.
    """
    for place in sorted(read_contents(source, request).external):
        if isinstance(source, bytes):
            raise request.refusal(f"its weights lie in another file, {place!r}, and bytes have no folder")
        parts = Path(place).parts
        if not place or Path(place).is_absolute() or ".." in parts:
            raise request.refusal(f"its weights lie in {place!r}, which leads out of its folder")
        _check_plain(Path(source).parent, parts, request)


def _check_plain(folder: Path, parts: tuple[str, ...], request: Request) -> None:
    for count in range(1, len(parts) + 1):
        file = folder.joinpath(*parts[:count])
        try:
            status = file.lstat()
        except (OSError, ValueError) as error:
            fault = getattr(error, "strerror", None) or str(error)
            raise request.refusal(f"its weights in {file} cannot be read ({fault})") from error
        is_last = count == len(parts)
        if stat.S_ISLNK(status.st_mode) or (is_last and status.st_nlink > 1):
            raise request.refusal(f"{file}, which holds weights of it, is a link")
        if is_last and not stat.S_ISREG(status.st_mode):
            raise request.refusal(f"{file}, which holds weights of it, is no plain file")


def _read_model(buffer: Buffer, contents: OnnxContents) -> None:
    for number, _, start, end in fields(buffer):
        if number == _MODEL_GRAPH:
            _read_graph(buffer, start, end, contents, 0)
        elif number == _MODEL_TRAINING:
            for inner, _, at, stop in fields(buffer, start, end):
                if inner in (1, 2):
                    _read_graph(buffer, at, stop, contents, 0)
        elif number == _MODEL_FUNCTION:
            contents.functions += 1
            for inner, _, at, stop in fields(buffer, start, end):
                if inner == 7:
                    _read_node(buffer, at, stop, contents, 0)


def _read_graph(buffer: Buffer, start: int, end: int, contents: OnnxContents, depth: int) -> None:
    if depth > _DEEP:
        raise ValueError(f"graphs more than {_DEEP} deep")
    for number, _, at, stop in fields(buffer, start, end):
        if number == _GRAPH_NODE:
            _read_node(buffer, at, stop, contents, depth)
        elif number == _GRAPH_TENSOR:
            contents.external |= set(_locations(buffer, at, stop))
        elif number == _GRAPH_SPARSE:
            _read_sparse(buffer, at, stop, contents)


def _read_node(buffer: Buffer, start: int, end: int, contents: OnnxContents, depth: int) -> None:
    operator = domain = ""
    for number, _, at, stop in fields(buffer, start, end):
        if number == _NODE_OPERATOR:
            operator = buffer[at:stop].decode()
        elif number == _NODE_DOMAIN:
            domain = buffer[at:stop].decode()
        elif number == _NODE_ATTRIBUTE:
            for inner, _, begin, finish in fields(buffer, at, stop):
                if inner in _ATTRIBUTE_GRAPHS:
                    _read_graph(buffer, begin, finish, contents, depth + 1)
                elif inner in _ATTRIBUTE_TENSORS:
                    contents.external |= set(_locations(buffer, begin, finish))
                elif inner in _ATTRIBUTE_SPARSES:
                    _read_sparse(buffer, begin, finish, contents)
    contents.operators.add(operator if domain in STANDARD_DOMAINS else f"{domain}:{operator}")


def _read_sparse(buffer: Buffer, start: int, end: int, contents: OnnxContents) -> None:
    for number, _, at, stop in fields(buffer, start, end):
        if number in (1, 2):  # its values and their places, tensors both
            contents.external |= set(_locations(buffer, at, stop))


def _locations(buffer: Buffer, start: int, end: int) -> Iterator[str]:
    """Yield the place of a tensor's data, where it lies in another file."""
    for number, _, at, stop in fields(buffer, start, end):
        if number == _TENSOR_EXTERNAL:
            entry = {part: buffer[begin:finish] for part, _, begin, finish in fields(buffer, at, stop)}
            if entry.get(_ENTRY_KEY) == b"location":
                yield entry.get(_ENTRY_VALUE, b"").decode()

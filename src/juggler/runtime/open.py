"""Open a session on a network, whatever form the network is in and whatever the backend takes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from juggler.errors import ArtefactError, ConfigError, Unavailable
from juggler.reading.onnx_contents import check_external
from juggler.reading.request import Request
from juggler.runtime.precision import check_precision
from juggler.runtime.session import BACKENDS, Backend, Model, Session, Source, label_of

EMBED = "Give an ONNX model with its weights in it, or in plain files of its own beside it"


def open_session(
    model: Model,
    backend: str = "onnxruntime",
    *,
    example: object = None,
    threads: int | None = None,
    precision: str = "float32",
) -> Session:
    """Open a session on a network, converting it to what the backend takes.

    Args:
        model: path or bytes of an ONNX model, or a module in evaluation mode.
        backend: a backend's name.
        example: inputs of the module, a tensor or an array or a tuple of them, batch first; modules need
            it, ONNX models carry their shapes themselves.
        threads: cores that one call may use; None leaves it to the backend.
        precision: `float32`, `bfloat16`, or `int8` for a graph that `runtime.int8` has written. Arrays
            go in and come out as ever.

    Raises:
        Unavailable: the backend cannot work here, or not in that precision; the message says what to do.
        ArtefactError: the file is missing or is no ONNX model.
        ConfigError: no such backend, or options that cannot work.
    """
    chosen = BACKENDS.get(backend)
    if threads is not None and threads < 1:
        raise ConfigError(f"open {backend}", f"threads={threads}", "Give 1 or more, or leave it out")
    check_precision(precision)
    require(chosen)
    return chosen.open(source_for(chosen.takes, model, example), threads=threads, precision=precision)


def require(backend: Backend) -> None:
    """Do nothing where the backend is available.

    Raises:
        Unavailable: it is not; the message says what is missing and what to do.
    """
    status = backend.status()
    if not status.available:
        raise Unavailable(
            f"open a session on {backend.name}", f"{status.missing}", f"To mend it: {status.remedy}"
        )


def source_for(takes: Literal["onnx", "module"], model: Model, example: object = None) -> Source:
    """Return the network in the form that a backend takes.

    Raises:
        ArtefactError: the file is missing or empty.
        ConfigError: a module without an example.
    """
    graph: Path | bytes
    if isinstance(model, str | Path | bytes):
        graph = _checked(model)
        if takes == "onnx":
            return Source(graph=graph)
        from juggler.runtime.modules import from_graph  # noqa: PLC0415  # torch only where it is needed

        return from_graph(graph)
    if example is None:
        raise ConfigError(
            "open a session on a module", "no example input", "Pass example=torch.randn(1, ...)"
        )
    if takes == "onnx":
        from juggler.runtime.export import export  # noqa: PLC0415

        return Source(graph=export(model, example))
    from juggler.runtime.modules import from_module  # noqa: PLC0415

    return from_module(model, example)


def _checked(model: str | Path | bytes) -> Path | bytes:
    """Return bytes or a path that hold something."""
    if isinstance(model, bytes):
        if not model:
            raise ArtefactError("open an ONNX model", "no bytes", "Export the network again")
        check_external(model, Request(f"open {label_of(model)}", EMBED))
        return model
    path = Path(model)
    if not path.is_file():
        raise ArtefactError(f"open {path}", "there is no such file", "Give the path of an .onnx file")
    if path.stat().st_size == 0:
        raise ArtefactError(f"open {path}", "the file is empty", "Export the network again")
    check_external(path, Request(f"open {path}", EMBED))
    return path

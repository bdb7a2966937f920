"""One way to run a network, whatever runs it: numpy in, numpy out.

A `Backend` says truthfully whether it can work here and opens sessions; a `Session` checks what it is given
and runs it. A session belongs to one thread at a time.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from juggler.errors import ArtefactError, ConfigError, Unavailable
from juggler.nouns import Noun, TensorSpec
from juggler.registry import Registry

if TYPE_CHECKING:
    from torch import nn

Array: TypeAlias = npt.NDArray[Any]
Model: TypeAlias = "str | Path | bytes | nn.Module"

WORKSHOP = "pip install 'juggler[train]'"


@dataclass(frozen=True)
class BackendStatus(Noun):
    """Whether a backend can work on this machine.

    Attributes:
        available: whether a session can be opened.
        version: release of what runs the networks, where it is installed.
        missing: what is not there, where it is not available.
        remedy: the command, or the step, that mends it.
    """

    available: bool
    version: str | None = None
    missing: str | None = None
    remedy: str | None = None


@dataclass(frozen=True)
class Source:
    """What a backend opens: an ONNX graph, or a module whose ends are described.

    Attributes:
        graph: path or bytes of an ONNX model; None where `module` is given.
        module: module in evaluation mode; None where `graph` is given.
        inputs: the module's inputs.
        outputs: the module's outputs.
    """

    graph: Path | bytes | None = None
    module: nn.Module | None = None
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


class Session(ABC):
    """Run one network on one backend; a context manager.

    Attributes:
        backend: the backend's name.
        inputs: what `run` takes; `None` in a shape is a size free at run time.
        outputs: what it returns.
    """

    def __init__(self, backend: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self.backend, self.inputs, self.outputs = backend, inputs, outputs
        self._is_open = True
        # Shapes and element types that passed last: a stream of equal shapes pays for two comparisons.
        self._accepted: list[tuple[object, object]] = [(None, None)] * len(inputs)

    def run(self, *arrays: Array) -> tuple[Array, ...]:
        """Run the network on one array an input; return one new array an output.

        Raises:
            ConfigError: wrong number of arrays, element type or shape, or the session is closed.
        """
        if not self._is_open or len(arrays) != len(self.inputs):
            raise self._refusal(len(arrays))
        for index, array in enumerate(arrays):
            if type(array) is not np.ndarray or (array.shape, array.dtype) != self._accepted[index]:
                self._check(index, array)
        return self._run(arrays)

    def close(self) -> None:
        """Free what the session holds; closing twice is no error."""
        if self._is_open:
            self._is_open = False
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _run(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        """Run arrays that passed the checks."""

    @abstractmethod
    def _close(self) -> None:
        """Let go of the network."""

    def _check(self, index: int, array: object) -> None:
        spec = self.inputs[index]
        asked = f"run {self.backend} on input {spec.name!r}"
        if not isinstance(array, np.ndarray):
            raise ConfigError(asked, f"a {type(array).__name__}", "Give a numpy array")
        if array.dtype != np.dtype(spec.dtype):
            raise ConfigError(
                asked,
                f"elements of type {array.dtype}, not {spec.dtype}",
                f"Use array.astype({spec.dtype!r})",
            )
        fits = array.ndim == len(spec.shape) and all(
            size > 0 and wanted in (None, size) for size, wanted in zip(array.shape, spec.shape, strict=True)
        )
        if not fits:
            wanted = "[" + ", ".join("any" if size is None else str(size) for size in spec.shape) + "]"
            raise ConfigError(
                asked, f"shape {list(array.shape)}", f"Give shape {wanted}, with at least one of each"
            )
        self._accepted[index] = (array.shape, array.dtype)

    def _refusal(self, count: int) -> ConfigError:
        if not self._is_open:
            return ConfigError(f"run {self.backend}", "the session is closed", "Open a new session")
        names = ", ".join(spec.name for spec in self.inputs)
        return ConfigError(
            f"run {self.backend}", f"{count} arrays", f"Give {len(self.inputs)}, in this order: {names}"
        )


class Backend(Protocol):
    """What runs networks; each file of `juggler.runtime.backends` offers one as `BACKEND`.

    Attributes:
        name: as the file is called.
        takes: whether `open` wants a `Source` with a graph or with a module.
    """

    name: str
    takes: Literal["onnx", "module"]

    def status(self) -> BackendStatus:
        """Say whether it can work here; never raises, and imports nothing heavy."""
        ...

    def open(self, source: Source, *, threads: int | None) -> Session:
        """Open a session; None leaves the number of threads to the backend."""
        ...


class Importer(Protocol):
    """What turns another format into a graph module; offered as `IMPORTER`."""

    name: str

    def load(self, source: Path | bytes) -> nn.Module:
        """Read the network as a torch.fx graph module of plain torch modules, in evaluation mode."""
        ...


BACKENDS: Registry[Backend] = Registry("backend", "juggler.runtime.backends")
IMPORTERS: Registry[Importer] = Registry("importer", "juggler.runtime.importers")


def open_session(
    model: Model, backend: str = "onnxruntime", *, example: object = None, threads: int | None = None
) -> Session:
    """Open a session on a network, converting it to what the backend takes.

    Args:
        model: path or bytes of an ONNX model, or a module in evaluation mode.
        backend: a backend's name.
        example: inputs of the module, a tensor or an array or a tuple of them, batch first; modules need
            it, ONNX models carry their shapes themselves.
        threads: cores that one call may use; None leaves it to the backend.

    Raises:
        Unavailable: the backend cannot work here; the message holds the command that mends it.
        ArtefactError: the file is missing or is no ONNX model.
        ConfigError: no such backend, or options that cannot work.
    """
    chosen = BACKENDS.get(backend)
    if threads is not None and threads < 1:
        raise ConfigError(f"open {backend}", f"threads={threads}", "Give 1 or more, or leave it out")
    require(chosen)
    return chosen.open(source_for(chosen.takes, model, example), threads=threads)


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


def status_of(packages: Mapping[str, str], remedy: str) -> BackendStatus:
    """Return the status of what needs only packages, without importing them.

    Args:
        packages: distribution names by import name; the first one's release is the backend's.
        remedy: the command that installs them.
    """
    missing = [name for name in packages if not is_installed(name)]
    release = release_of(next(iter(packages.values())))
    if missing:
        return BackendStatus(False, release, f"not installed: {', '.join(missing)}", remedy)
    return BackendStatus(True, release)


def is_installed(package: str) -> bool:
    """Say whether a package can be found; it is not imported."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # a blocked or half-removed package
        return False


def release_of(distribution: str) -> str | None:
    """Return the installed release of a distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def owned(array: Array) -> Array:
    """Return the array, or a copy where it is read-only or not in C order: runtimes share its memory."""
    if array.flags.writeable and array.flags.c_contiguous:
        return array
    return np.array(array, order="C")


def _checked(model: str | Path | bytes) -> Path | bytes:
    """Return bytes or a path that hold something."""
    if isinstance(model, bytes):
        if not model:
            raise ArtefactError("open an ONNX model", "no bytes", "Export the network again")
        return model
    path = Path(model)
    if not path.is_file():
        raise ArtefactError(f"open {path}", "there is no such file", "Give the path of an .onnx file")
    if path.stat().st_size == 0:
        raise ArtefactError(f"open {path}", "the file is empty", "Export the network again")
    return path

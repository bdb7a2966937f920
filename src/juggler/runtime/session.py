"""One way to run a network, whatever runs it: numpy in, numpy out.

A `Backend` says truthfully whether it can work here and opens sessions; a `Session` checks what it is given
and runs it. A session belongs to one thread at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from juggler.errors import ConfigError
from juggler.lazy import renamed
from juggler.nouns import TensorSpec
from juggler.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from juggler.packages import BackendStatus

Array: TypeAlias = npt.NDArray[Any]
Model: TypeAlias = "str | Path | bytes | nn.Module"


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
        action = f"run {self.backend} on input {spec.name!r}"
        if not isinstance(array, np.ndarray):
            raise ConfigError(action, f"a {type(array).__name__}", "Give a numpy array")
        if array.dtype != np.dtype(spec.dtype):
            raise ConfigError(
                action,
                f"elements of type {array.dtype}, not {spec.dtype}",
                f"Use array.astype({spec.dtype!r})",
            )
        fits = array.ndim == len(spec.shape) and all(
            size > 0 and expected in (None, size)
            for size, expected in zip(array.shape, spec.shape, strict=True)
        )
        if not fits:
            shape = "[" + ", ".join("any" if size is None else str(size) for size in spec.shape) + "]"
            raise ConfigError(
                action, f"shape {list(array.shape)}", f"Give shape {shape}, with at least one of each"
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

    def precisions(self) -> tuple[str, ...]:
        """Name the precisions that it has on this machine, `float32` first; none where it cannot work.

        What it runs networks with may be imported for it.
        """
        ...

    def open(self, source: Source, *, threads: int | None, precision: str = "float32") -> Session:
        """Open a session; None leaves the number of threads to the backend.

        Arrays go in and come out as the source has them, whatever the precision. `int8` takes a graph that
        is quantised already.

        Raises:
            Unavailable: it does not have that precision on this machine.
        """
        ...


class Importer(Protocol):
    """What turns another format into a graph module; offered as `IMPORTER`.

    Attributes:
        name: of the format that it reads, and of its file.
    """

    name: str

    def load(self, source: Path | bytes) -> nn.Module:
        """Read the network as a torch.fx graph module of plain torch modules, in evaluation mode."""
        ...


BACKENDS: Registry[Backend] = Registry("backend", "juggler.runtime.backends", alias="juggler.backends")
IMPORTERS: Registry[Importer] = Registry("importer", "juggler.runtime.importers", alias="juggler.importers")


def label_of(graph: Path | bytes) -> str:
    """Return what an error calls a graph: its path, or that it came as bytes."""
    return "ONNX bytes" if isinstance(graph, bytes) else str(graph)


def owned(array: Array) -> Array:
    """Return the array, or a copy where it is read-only or not in C order: runtimes share its memory."""
    if array.flags.writeable and array.flags.c_contiguous:
        return array
    return np.array(array, order="C")


__getattr__ = renamed(
    __name__,
    {
        name: f"juggler.packages:{name}"
        for name in ("BackendStatus", "is_installed", "release_of", "status_of")
    },
)

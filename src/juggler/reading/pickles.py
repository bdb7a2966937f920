"""Read the data in a pickle without unpickling: no name that it holds is ever imported or called.

A pickle is a program for a small stack machine. The archives of CIFAR hold pickles of dictionaries, lists,
text, numbers and numpy arrays; for these few opcodes are enough. `pickletools.genops` splits the program up,
and each of those few is carried out on plain values. numpy's own names are taken as words that say what the
arguments after them mean. Any other opcode, and any other name, is refused, as is a program of more steps,
more marks or more bytes than any such archive has: a mark is one byte in the file and eighty in memory.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from juggler.errors import DataError
from juggler.reading.request import MALFORMED

# The names as numpy 1 and 2 and both Pythons write them, and what each is taken to mean.
_MEANINGS = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy.core.numeric _frombuffer": "buffer",
    "numpy._core.numeric _frombuffer": "buffer",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "bytes",
}
_ELEMENT = re.compile(r"[iu][1248]")
_MAX_CALLS = 64  # such a file has half a dozen; many could blow a small file up
_MAX_AXES, _MAX_SIZE = 4, 1 << 31
_MAX_STEPS = 2_000_000  # CIFAR-100's part of 50,000 pictures takes 250,000
_MAX_MARKS = 64  # lists within lists
_PLAIN = (
    "BININT BININT1 BININT2 LONG1 STRING BINSTRING SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
)
_PUSHED = frozenset(_PLAIN.split())
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


class _Refusal(Exception):  # noqa: N818  # as `Refused`
    """What the pickle holds that is not read."""


@dataclass(frozen=True)
class _Meaning:
    """A name of numpy's, as a word."""

    what: str


@dataclass
class _Made:
    """What would be made of a name and arguments, and the state it would be given."""

    what: str
    arguments: tuple[Any, ...]
    state: tuple[Any, ...] | None = None


def read_pickle(data: bytes, origin: str) -> dict[str, Any]:
    """Return the dictionary in a pickle, its arrays still as they were written: see `array_of`.

    Raises:
        DataError: it is cut short, no dictionary, or holds anything but plain data and numpy arrays.
    """
    machine = _Machine(len(data))
    try:
        for number, (opcode, argument, position) in enumerate(pickletools.genops(data)):
            if number >= _MAX_STEPS:
                raise _Refusal(f"more than {_MAX_STEPS:,} steps")
            machine.step(opcode.name, argument, position or 0)
        if not isinstance(machine.result, dict):
            raise _Refusal(f"a {type(machine.result).__name__} where a dictionary belongs")
    except _Refusal as refusal:
        raise _error(origin, str(refusal)) from None
    except (*MALFORMED, MemoryError) as error:
        raise _error(origin, f"it is no whole pickle ({error})") from error
    return machine.result


def array_of(value: object, origin: str) -> NDArray[Any]:
    """Return an array of whole numbers that `read_pickle` found.

    Raises:
        DataError: it is no such array, or holds more or fewer bytes than its shape says.
    """
    try:
        if not isinstance(value, _Made):
            raise _Refusal(f"a {type(value).__name__} where an array belongs")
        if value.what == "buffer":
            raw, element, shape, order = value.arguments
        elif value.what == "array" and value.state is not None:
            _, shape, element, fortran, raw = value.state
            order = "F" if fortran else "C"
        else:
            raise _Refusal(f"a numpy {value.what} where an array belongs")
        if not isinstance(raw, bytes | bytearray | str):
            raise _Refusal(f"an array whose content is a {type(raw).__name__}")
        content = raw.encode("latin-1") if isinstance(raw, str) else raw
        dtype, sizes = _element(element), _sizes(shape)
        if math.prod(sizes) * dtype.itemsize != len(content):
            raise _Refusal(f"an array of shape {sizes} with {len(content)} bytes")
        return np.frombuffer(content, dtype).reshape(sizes, order="F" if order == "F" else "C")
    except _Refusal as refusal:
        raise _error(origin, str(refusal)) from None
    except (*MALFORMED, MemoryError) as error:
        raise _error(origin, f"an array that makes no sense ({error})") from error


def _element(record: object) -> np.dtype[Any]:
    """Return the element type that was written, whole numbers only."""
    if not isinstance(record, _Made) or record.what != "dtype":
        raise _Refusal("an array without an element type")
    code = record.arguments[0]
    order = record.state[1] if record.state is not None else "|"
    # Only text is looked at: tuples within tuples within tuples could be endless once written out.
    if not isinstance(code, str) or not isinstance(order, str):
        raise _Refusal("an element type that is no text")
    if not _ELEMENT.fullmatch(code) or order not in ("|", "<", ">", "="):
        raise _Refusal(f"an array of {code[:20]!r} elements")
    return np.dtype(code if order == "|" else order + code)


def _sizes(shape: object) -> tuple[int, ...]:
    """Return the sizes of an array, each a number from 0."""
    if not isinstance(shape, tuple) or len(shape) > _MAX_AXES:
        raise _Refusal("an array without a shape")
    sizes = tuple(size for size in shape if isinstance(size, int) and 0 <= size <= _MAX_SIZE)
    if len(sizes) != len(shape):
        raise _Refusal("an array with sizes that are none")
    return sizes


def _error(origin: str, fault: str) -> DataError:
    return DataError(
        f"read {origin}",
        fault,
        "Only dictionaries, lists, text, numbers and numpy arrays are read: nothing is unpickled",
    )


class _Machine:
    """The stack machine, with plain values on its stack and nothing that acts."""

    def __init__(self, size: int) -> None:
        self.result: object = None
        self._bytes_left = 2 * size  # text that stands for bytes is at most twice as long as they
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._calls = 0

    def step(self, name: str, argument: Any, position: int) -> None:
        """Carry one opcode out, or refuse it."""
        if name in _PUSHED:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise _Refusal(f"the opcode {name} at byte {position}")

    def stop(self, _: object) -> None:
        """Take the result off the stack, which must then be empty."""
        self.result = self._stack.pop()
        if self._stack or self._below:
            raise _Refusal("more than one value")

    def mark(self, _: object) -> None:
        """Begin to collect values."""
        if len(self._below) >= _MAX_MARKS:
            raise _Refusal(f"more than {_MAX_MARKS} marks within each other")
        self._below.append(self._stack)
        self._stack = []

    def collected(self) -> list[Any]:
        """Return the values since the mark."""
        values, self._stack = self._stack, self._below.pop()
        return values

    def extend(self, values: list[Any]) -> None:
        """Append to the list on the stack."""
        target = self._stack[-1]
        if not isinstance(target, list):
            raise _Refusal(f"values appended to a {type(target).__name__}")
        target.extend(values)

    def update(self, values: list[Any]) -> None:
        """Set keys and values, by turns, in the dictionary on the stack."""
        target = self._stack[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise _Refusal(f"keys set in a {type(target).__name__}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | bytes):
                raise _Refusal(f"a {type(key).__name__} as a key")
            target[key.decode("latin-1") if isinstance(key, bytes) else key] = value

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def pop(self, count: int) -> list[Any]:
        """Take the topmost values off the stack, the lowest first."""
        if len(self._stack) < count:
            raise _Refusal("fewer values than it asks for")
        values = self._stack[-count:]
        del self._stack[-count:]
        return values

    def keep(self, number: int | None) -> None:
        """Remember the value on the stack by a number, the next one where none is given."""
        self._memo[len(self._memo) if number is None else number] = self._stack[-1]

    def recall(self, number: Any) -> None:
        """Put a remembered value on the stack."""
        self._stack.append(self._memo[number])

    def name(self, name: object) -> None:
        """Put what a name of numpy's means on the stack; refuse all others, unimported."""
        if not isinstance(name, str) or name not in _MEANINGS:
            shown = name.replace(" ", ".")[:80] if isinstance(name, str) else "that is no text"
            raise _Refusal(f"the name {shown}, which no picture needs")
        self._stack.append(_Meaning(_MEANINGS[name]))

    def name_on_stack(self, _: object) -> None:
        """Do as `name`, the module and the name taken off the stack."""
        module, name = self.pop(2)
        both = isinstance(module, str) and isinstance(name, str)
        self.name(f"{module} {name}" if both else None)

    def call(self, _: object) -> None:
        """Note what would be made of a name and its arguments; text that stands for bytes becomes them."""
        meaning, arguments = self.pop(2)
        self._calls += 1
        if not isinstance(meaning, _Meaning) or not isinstance(arguments, tuple) or self._calls > _MAX_CALLS:
            raise _Refusal(f"call number {self._calls}, of a {type(meaning).__name__}")
        if meaning.what != "bytes":
            self._stack.append(_Made(meaning.what, arguments))
            return
        text, encoding = arguments
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise _Refusal("bytes written in another way than numpy's")
        self._bytes_left -= len(text)
        if self._bytes_left < 0:
            raise _Refusal("the same bytes over and over")
        self._stack.append(text.encode("latin-1"))

    def build(self, _: object) -> None:
        """Note the state that what was made would be given."""
        (state,) = self.pop(1)
        target = self._stack[-1]
        if not isinstance(target, _Made) or not isinstance(state, tuple):
            raise _Refusal(f"a state for a {type(target).__name__}")
        target.state = state


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "STOP": _Machine.stop,
    "MARK": _Machine.mark,
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "APPEND": lambda machine, _: machine.extend(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.collected()),
    "SETITEM": lambda machine, _: machine.update(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.collected()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.collected())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop(3))),
    "BINPUT": _Machine.keep,
    "LONG_BINPUT": _Machine.keep,
    "MEMOIZE": _Machine.keep,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_on_stack,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
}

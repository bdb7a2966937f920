"""Lazy faces (PEP 562): a room offers names without importing the files that hold them.

    __getattr__, __dir__ = face(__name__, {"juggler.data.encode": ["Encoder"]})

The base install has neither torch nor onnx, and a command line that lists its verbs imports no numpy: the
file of a name is imported when the name is first asked for.
"""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from juggler.errors import Unavailable

T = TypeVar("T")


def face(
    room: str, homes: Mapping[str, Sequence[str]], former: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a room.

    Args:
        room: its dotted name, `__name__`.
        homes: the dotted names of files, each with the names that it holds.
        former: names of the last release that still work, see `renamed`.

    Raises:
        Unavailable: by `__getattr__`, where a package that the name needs is not installed.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home_of:
            return renamed(room, former or {}, stacklevel=3)(name)
        try:
            return getattr(importlib.import_module(home_of[name]), name)
        except ModuleNotFoundError as error:
            package = str(error.name).partition(".")[0]
            if package == "juggler":
                raise
            from juggler.extras import install_command  # noqa: PLC0415  # only on this way out

            remedy = f"Install the workshop: {install_command('train')}"
            raise Unavailable(f"use {room}.{name}", f"{package} is not installed", remedy) from error

    return get, lambda: sorted(sys.modules[room].__all__)


def renamed_keywords(new_names: Mapping[str, str]) -> Callable[[type[T]], type[T]]:
    """Return a class decorator: keywords and attributes of the last release still work, with a warning.

    Args:
        new_names: by old name.
    """

    def warn(cls: type, name: str) -> None:
        warnings.warn(
            f"{name} of {cls.__name__} is now {new_names[name]}; the old name goes with the next release",
            DeprecationWarning,
            stacklevel=3,
        )

    def decorate(cls: type[T]) -> type[T]:
        make = cls.__init__

        @functools.wraps(make)
        def make_by_either(self: T, *values: Any, **fields: Any) -> None:
            for name in new_names.keys() & fields.keys():
                warn(cls, name)
                # After the loop of `dataclasses.replace` both are there: the old one is what was changed.
                fields[new_names[name]] = fields.pop(name)
            make(self, *values, **fields)

        def reader(name: str) -> property:
            def get(self: T) -> Any:
                warn(cls, name)
                return getattr(self, new_names[name])

            return property(get)

        cls.__init__ = make_by_either  # type: ignore[assignment]
        for name in new_names:
            setattr(cls, name, reader(name))
        return cls

    return decorate


def renamed(module: str, new_names: Mapping[str, str], stacklevel: int = 2) -> Callable[[str], Any]:
    """Return a `__getattr__` by which names of the last release still work, each with a warning.

    Args:
        module: the dotted name of the module that had them, `__name__`.
        new_names: by old name, `dotted.module:Name`.
        stacklevel: of the warning.
    """

    def get(name: str) -> Any:
        if name not in new_names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, new_name = new_names[name].partition(":")
        warnings.warn(
            f"{module}.{name} is now {home}.{new_name}; the old name goes with the next release",
            DeprecationWarning,
            stacklevel=stacklevel,
        )
        return getattr(importlib.import_module(home), new_name)

    return get

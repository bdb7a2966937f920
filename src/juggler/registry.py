"""Plug-ins found by file name, imported on request.

One new file in a plug-in folder is one new plug-in: the file `runtime/backends/openvino.py` holds the
backend `openvino` under the one name `BACKEND`. There is no second list to edit. Packages of third
parties add theirs through entry points: the group `juggler.runtime.backends`, which is the folder's dotted
name, and an entry `name = "module:OBJECT"`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar, cast

from juggler.errors import ConfigError, Unavailable

T = TypeVar("T")


def normalise(name: str) -> str:
    """Return the name as plug-in files spell it: `nsl-kdd` and `nsl_kdd` are the same."""
    return name.strip().lower().replace("-", "_")


class Registry(Generic[T]):
    """Find the plug-ins of one kind.

    Args:
        kind: the singular, such as `backend`; each file offers its plug-in as `BACKEND`.
        package: dotted name of the folder, such as `juggler.runtime.backends`; the group of entry points too.
        alias: the group's name in release 0.1.0, such as `juggler.backends`, which still counts.
    """

    def __init__(self, kind: str, package: str, *, alias: str | None = None) -> None:
        self.kind, self.package, self.group, self.alias = kind, package, package, alias

    def names(self) -> tuple[str, ...]:
        """Return the names of all plug-ins, sorted; none of them is imported."""
        return tuple(sorted({*self._files(), *self._entry_points()}))

    def get(self, name: str) -> T:
        """Import and return the plug-in.

        Raises:
            ConfigError: no plug-in has that name; the message lists those there are.
            Unavailable: another package's entry point cannot be loaded.
        """
        stem = normalise(name)
        if stem in self._files():
            return cast(T, getattr(importlib.import_module(f"{self.package}.{stem}"), self.kind.upper()))
        points = self._entry_points()
        if stem in points:
            return cast(T, self._load(points[stem]))
        close = get_close_matches(stem, self.names(), n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise ConfigError(
            f"find the {self.kind} {name!r}", "there is none", f"{hint}There are: {', '.join(self.names())}"
        )

    def __iter__(self) -> Iterator[tuple[str, T]]:
        """Yield each name with its plug-in, importing them all."""
        for name in self.names():
            yield name, self.get(name)

    def _load(self, point: EntryPoint) -> object:
        try:
            return point.load()
        except (ImportError, AttributeError) as error:
            raise Unavailable(
                f"load the {self.kind} {point.name!r}",
                f"the entry point {point.value!r} of another package fails ({error})",
                "Reinstall, upgrade or remove that package",
            ) from error

    def _files(self) -> frozenset[str]:
        folder = importlib.import_module(self.package)
        return frozenset(m.name for m in pkgutil.iter_modules(folder.__path__) if not m.name.startswith("_"))

    def _entry_points(self) -> dict[str, EntryPoint]:
        # The group's own name last: it wins where a package declares the same plug-in under both.
        groups = [self.group] if self.alias is None else [self.alias, self.group]
        return {normalise(point.name): point for group in groups for point in entry_points(group=group)}

"""What is installed: packages, their releases, and whether a plug-in can work on this machine."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from juggler.nouns import Noun

if TYPE_CHECKING:
    pass


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

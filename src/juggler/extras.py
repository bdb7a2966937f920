"""How to install an extra, said for the way in which this copy of juggler was installed."""

from __future__ import annotations

import functools
import json
import shlex
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from urllib.parse import unquote, urlsplit

PUBLISHED = "pip install 'juggler"


def install_command(*extras: str) -> str:
    """Return the shell command that adds extras to this installation.

    What was installed from a folder of sources is installed from there again, editable where it was, for no
    package index need have it: `cd ~/juggler && pip install -e '.[train]'`. Everything else comes from the
    index: `pip install 'juggler[train]'`.

    Args:
        extras: names of extras, as pyproject.toml has them.
    """
    names = ",".join(extras)
    return f"{_start()}[{names}]'"


def upgrade_command() -> str:
    """Return the shell command that brings a newer release, or newer sources where it came from some."""
    folder, is_editable = _checkout()
    if folder is None:
        return "pip install --upgrade juggler"
    return f"cd {_quoted(folder)} && git pull && pip install {'-e ' if is_editable else ''}."


def portable(text: str) -> str:
    """Return a text without the folder that `install_command` names, for files that others will read."""
    return text.replace(f"{_start()}[", f"{PUBLISHED}[")


def _start() -> str:
    """Return the command up to the extras."""
    folder, is_editable = _checkout()
    if folder is None:
        return PUBLISHED
    return f"cd {_quoted(folder)} && pip install {'-e ' if is_editable else ''}'."


@functools.cache
def _checkout() -> tuple[Path | None, bool]:
    """Return the folder of sources that juggler was installed from, and whether they are what runs."""
    try:
        text = Distribution.from_name("juggler").read_text("direct_url.json")
    except (PackageNotFoundError, OSError, UnicodeDecodeError):
        text = None
    return checkout_of(text)


def checkout_of(direct_url: str | None) -> tuple[Path | None, bool]:
    """Return the folder of sources that an installer noted, None where there is none, and whether editable.

    Args:
        direct_url: text of the file `direct_url.json` (PEP 610) beside the installed metadata; None where it
            is missing, as it is for a package from an index.
    """
    try:
        record = json.loads(direct_url or "{}")
        folder = Path(unquote(urlsplit(record["url"]).path))
        is_editable = record["dir_info"].get("editable") is True  # a KeyError: an archive, or a repository
        is_checkout = urlsplit(record["url"]).scheme == "file" and (folder / "pyproject.toml").is_file()
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError):
        return None, False
    return (folder, is_editable) if is_checkout else (None, False)


def _quoted(folder: Path) -> str:
    """Return the folder as a shell takes it, short where it lies below the user's own."""
    try:
        rest = folder.relative_to(Path.home())
    except (ValueError, RuntimeError):  # elsewhere; or nobody's home
        return shlex.quote(str(folder))
    return "~" if rest == Path() else f"~/{shlex.quote(str(rest))}"

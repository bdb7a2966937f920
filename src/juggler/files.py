"""Write files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from juggler.errors import ConfigError


def write_atomically(path: Path, content: bytes) -> Path:
    """Write beside the target, flush to the disk, move into place; return the path.

    After a crash at any moment there is the old file or the new one, whole. The folder is made where it
    is missing.

    Raises:
        ConfigError: the file cannot be written; the old one, if any, stays.
    """
    with whole_file(path) as file:
        file.write(content)
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to, which takes the target's place once the block has ended well.

    Raises:
        ConfigError: the file cannot be written; the old one, if any, stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:64]}.", dir=path.parent)
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        _flush_folder(path.parent)
    except OSError as error:
        raise ConfigError(
            f"write {path}",
            error.strerror or type(error).__name__,
            "Name a file in a folder that you may write to and that has room",
        ) from error


def _flush_folder(folder: Path) -> None:
    """Make the new name outlive a power cut, where the file system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

"""Write files whole or not at all, and clear away what killed writers left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from juggler.errors import ConfigError

STALE_S = 60.0
SCRATCH, LOCK = "juggler-", ".lock"
_swept: set[Path] = set()


def write_atomically(path: Path, content: bytes) -> Path:
    """Write beside the target, flush to the disk, move into place; return the path.

    After a crash at any moment there is the old file or the new one, whole. The folder is made where it
    is missing. What killed writers of the same file left beside it is removed once a process.

    Raises:
        ConfigError: the file cannot be written; the old one, if any, stays.
    """
    with whole_file(path) as file:
        file.write(content)
    return path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to, which takes the target's place once the block has ended well.

    Raises:
        ConfigError: the file cannot be written; the old one, if any, stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:64]}.", dir=path.parent)
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                _lock(handle)
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


def sweep(path: Path) -> None:
    """Remove what killed writers of a file left beside it, once a process; who still writes keeps his.

    A writer holds a lock on what he writes, which the system takes from the dead. What is younger than a
    minute is left too, for its writer may be about to lock it.
    """
    if path in _swept:
        return
    _swept.add(path)
    left = re.compile(rf"{re.escape(f'.{path.name[:64]}.')}[a-z0-9_]{{8}}")
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if left.fullmatch(entry.name) and entry.is_file(follow_symlinks=False) and _is_dead(entry.path):
                Path(entry.path).unlink(missing_ok=True)


@contextlib.contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """Make a folder for the block, and remove it and those that killed processes left.

    Args:
        parent: where; None is the system's place for such.
    """
    root = parent or Path(tempfile.gettempdir())
    sweep_folders(root)
    folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=root))
    try:
        with lock_folder(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def lock_folder(folder: Path) -> BinaryIO:
    """Lock a folder whose name begins with `juggler-` against `sweep_folders`, until the file is closed."""
    file = (folder / LOCK).open("wb")
    _lock(file.fileno())
    return file


def sweep_folders(root: Path) -> None:
    """Remove this user's folders that killed processes left below a folder; see `sweep`."""
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        for entry in entries:
            is_ours = entry.name.startswith(SCRATCH) and entry.is_dir(follow_symlinks=False)
            if is_ours and entry.stat().st_uid == os.getuid() and _is_dead(Path(entry.path, LOCK)):
                shutil.rmtree(entry.path, ignore_errors=True)


def _lock(handle: int) -> None:
    with contextlib.suppress(OSError):  # some file systems have none: then nothing is swept there either
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_dead(path: str | Path) -> bool:
    """Say whether nobody holds the lock of a file that is older than a minute."""
    with contextlib.suppress(OSError):
        if time.time() - Path(path).stat().st_mtime < STALE_S:
            return False
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(handle)
        return True
    return False


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

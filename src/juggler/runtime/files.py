"""Write files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from juggler.errors import ConfigError


def write_atomically(path: Path, content: bytes) -> Path:
    """Write beside the target, flush to the disk, then move into place; return the path.

    Raises:
        ConfigError: the folder is missing or the file cannot be written; the old file, if any, stays.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _not_written(path, error) from error
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        part.replace(path)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _not_written(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"write {path}", f"{error.strerror or error}", "Choose a folder that exists and has room"
    )

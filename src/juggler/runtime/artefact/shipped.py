"""The files that ship with the package: the detector for NSL-KDD, wide (to flatten) and flat (to run)."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from juggler.errors import ArtefactError


def shipped(name: str) -> Path:
    """Return the path of a shipped file, such as `nsl_kdd.onnx` or `nsl_kdd.safetensors`.

    Raises:
        ArtefactError: the package holds no such file.
    """
    folder = Path(str(resources.files("juggler"))) / "shipped"
    path = folder / name
    if not path.is_file():
        there = sorted(item.name for item in folder.glob("*") if not item.name.startswith("_"))
        raise ArtefactError(
            f"open the shipped {name}",
            "the package does not hold it",
            f"Reinstall juggler. It holds: {', '.join(there) or 'nothing'}",
        )
    return path

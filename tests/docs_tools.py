"""The scripts of tools/docs as modules."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tools" / "docs"


def docs_tool(name: str) -> ModuleType:
    """Return a script of tools/docs as a module; the scripts import one another from their own folder."""
    before = sys.path.copy()
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = before

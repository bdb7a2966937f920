"""The paper's figures and tables on an NVIDIA GPU; torch and numpy are enough, for juggler comes along."""

import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec("juggler") is None:
    sys.path.append(str(Path(__file__).resolve().parents[2] / "src"))

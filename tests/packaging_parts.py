"""Build the wheel and the sdist, and install the wheel where nothing is but what it asks for."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
NOT_SOURCE = (".*", "build", "dist", "runs", "benchmarks")  # beside the sources; none goes into a package


def build(folder: Path) -> tuple[Path, Path]:
    """Build an sdist of a clean copy of this checkout, and a wheel of that sdist, as an installer would.

    Returns:
        The wheel and the sdist, in the folder.
    """
    copy = folder / "checkout"
    shutil.copytree(ROOT, copy, ignore=_without_what_was_made)
    sdist = _call_backend("build_sdist", copy, folder)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return _call_backend("build_wheel", folder / sdist.name.removesuffix(".tar.gz"), folder), sdist


def _without_what_was_made(folder: str, names: list[str]) -> set[str]:
    """Return the names in a folder that a clean checkout lacks, or that no package is made of."""
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")(folder, names)
    return left_out | (shutil.ignore_patterns(*NOT_SOURCE)(folder, names) if Path(folder) == ROOT else set())


def _call_backend(hook: str, source: Path, folder: Path) -> Path:
    """Call a hook of PEP 517 without an environment of its own, for which a package index would be needed."""
    code = f"from setuptools import build_meta; print(build_meta.{hook}({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.splitlines()[-1]


def required_by(name: str) -> dict[str, Distribution]:
    """Return what a distribution needs here without extras, and what that needs in turn, by name."""
    closure: dict[str, Distribution] = {}
    open_names = [name]
    while open_names:
        for line in Distribution.from_name(open_names.pop()).requires or ():
            requirement = Requirement(line)
            key = canonicalize_name(requirement.name)
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if applies and key not in closure:
                closure[key] = Distribution.from_name(requirement.name)
                open_names.append(requirement.name)
    return closure


def make_environment(wheel: Path, folder: Path) -> Path:
    """Make an environment of a wheel and of what it needs, and return its `bin`.

    What it needs is linked from this environment, file by file, so nothing is downloaded and nothing else is
    in reach; the wheel is installed by pip, which fails where a requirement is missing.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for distribution in required_by("juggler").values():
        for source, target in _files(distribution, packages):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source)
    pip = [sys.executable, "-m", "pip", "--python", str(folder), "--isolated", "--disable-pip-version-check"]
    for arguments in (["install", "--quiet", "--no-index", str(wheel)], ["check"]):
        done = subprocess.run([*pip, *arguments], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "bin"


def _files(distribution: Distribution, packages: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files of a distribution within its folder of packages, and where their links go."""
    for file in distribution.files or ():
        if ".." not in file.parts:  # a program of its own
            yield Path(str(file.locate())).absolute(), packages / file

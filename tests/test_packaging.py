"""The wheel holds what it needs, and alone, with nothing but what it asks for, it detects and says the rest.

The environment is a real one of an empty folder: unlike in `test_light`, nothing of the workshop is there.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import packaging_parts
from commands import Outcome, examples
from juggler.cli.app import VERBS
from juggler.data import load_set
from juggler.data.format import to_csv
from juggler.predict import Store
from made_up_captures import BEGIN_NS, Frame, ethernet, pcap, udp
from made_up_samples import MACHINE, samples

SOURCE = packaging_parts.ROOT / "src" / "juggler"
PREDICTOR = next(SOURCE.rglob("*.predictor"))
HINT = "pip install 'juggler["


@dataclass(frozen=True)
class Installed:
    """A wheel in an environment of its own, with the files that the verbs' examples name."""

    wheel: Path
    sdist: Path
    programs: Path
    folder: Path

    def __call__(self, *words: str) -> Outcome:
        """Run the program, with no other package, data set or network in reach."""
        environment = {
            **{"PATH": os.environ["PATH"], "HOME": str(self.folder), "COLUMNS": "240"},
            **{"OMP_NUM_THREADS": "1", "JUGGLER_OFFLINE": "1"},
        }
        done = subprocess.run(
            [self.programs / "juggler", *words],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("packaging")
    wheel, sdist = packaging_parts.build(folder)
    programs = packaging_parts.make_environment(wheel, folder / "environment")
    (folder / "home").mkdir()
    write_files(folder / "home")
    return Installed(wheel, sdist, programs, folder / "home")


def write_files(folder: Path) -> None:
    """Make the files that examples name: records, graphs, a campaign and predictors."""
    records = load_set("synthetic").load("test")
    for name in ("records.csv", "mine.csv"):
        (folder / name).write_bytes(to_csv(records))
    (folder / "normal.csv").write_bytes(to_csv(records.take(np.flatnonzero(records.attacks == "normal"))))
    frame = ethernet(udp("10.0.0.1", "10.0.0.2", (5000, 53)))
    (folder / "capture.pcap").write_bytes(pcap([Frame(frame, BEGIN_NS)]))
    (folder / "capture.pcapng.gz").write_bytes(gzip.compress((folder / "capture.pcap").read_bytes()))
    with Store.open(folder / "lab.db", create=True) as store:
        store.add_machine(MACHINE)
        for sample in samples(90):
            store.add(sample, "one")
    copies = {".onnx": SOURCE / "shipped" / "nsl_kdd.onnx", ".predictor": PREDICTOR}
    words = {word for name in VERBS.names() for line in examples(name) for word in line}
    for path in (folder / word for word in words if Path(word).suffix in copies):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(copies[path.suffix], path)


def test_the_wheel_and_the_sdist_hold_every_file_of_the_package(installed: Installed) -> None:
    files = [path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    expected = {str(path.relative_to(SOURCE.parent)) for path in files if path.suffix != ".md"}
    kinds = {Path(name).suffix or Path(name).name for name in expected}
    assert kinds >= {".py", ".typed", ".html", ".toml", ".safetensors", ".onnx", ".json", ".predictor"}
    with zipfile.ZipFile(installed.wheel) as archive:
        assert {n for n in archive.namelist() if ".dist-info/" not in n} == expected
    with tarfile.open(installed.sdist) as archive:
        within = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in expected} | {"README.md", "LICENSE", "pyproject.toml"} <= within
    assert not {name for name in within if name.startswith("tests")}


def test_nothing_but_what_it_asks_for_is_there(installed: Installed) -> None:
    code = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
    done = subprocess.run(
        [installed.programs / "python", "-I", "-c", code], capture_output=True, text=True, check=True
    )
    names = {packaging_parts.canonicalize_name(name) for name in done.stdout.split()}
    assert names == {"juggler", *packaging_parts.required_by("juggler")}
    assert not names & {"torch", "onnx", "scipy", "safetensors"}


def test_it_detects(installed: Installed) -> None:
    installed("detect", "records.csv", "--out", "alerts.json").check(0, "2,900 records", "0 bad rows")
    lines = (installed.folder / "alerts.json").read_text(encoding="utf-8").splitlines()
    assert lines and {json.loads(line)["event_type"] for line in lines} == {"alert"}


@pytest.mark.parametrize("verb", VERBS.names())
def test_every_verb_works_or_says_what_to_install(installed: Installed, verb: str) -> None:
    outcomes = [installed(*line) for line in examples(verb)]
    for done in outcomes:
        done.check(done.code)
        assert done.code == 0 or done.err.strip(), "it says why not"
        assert done.code != 5 or HINT in done.err, done.err
    assert any(done.code in (0, 5) for done in outcomes), [done.err for done in outcomes]

"""The base install detects: without the workshop's packages its verbs work, and the others say why not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from commands import Outcome, Workshop, environment
from juggler.extras import install_command

BLOCKED = (
    *("torch", "onnx", "onnxscript", "openvino", "lightning_fabric", "safetensors", "matplotlib", "jinja2"),
    *("scipy", "sklearn", "xgboost"),
)
SCRIPT = """
import contextlib, io, json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

BLOCKED = set(json.loads(sys.argv[1]))
sys.meta_path.insert(0, Absent())

def run(arguments):
    from juggler.cli.app import main
    sys.argv, out, err, code = ["juggler", *arguments], io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
    return code, out.getvalue(), err.getvalue()

import juggler
outcomes = [run(line) for line in json.loads(sys.argv[2])]
loaded = sorted(BLOCKED & {name.partition(".")[0] for name in sys.modules})
try:
    juggler.flatten
    face = "flatten is there"
except juggler.errors.JugglerError as error:
    face = str(error)
print(json.dumps({"outcomes": outcomes, "loaded": loaded, "face": face}))
"""
LINES = {
    "detect": ["detect", "{csv}", "--artefact", "{artefact}", "--out", "alerts.json"],
    "info": ["info", "{artefact}"],
    "info json": ["info", "{artefact}", "--json"],
    "evaluate": ["evaluate", "{artefact}", "{wide}", "--set", "synthetic", "--parts", "test"],
    "doctor": ["doctor"],
    "doctor json": ["doctor", "--json"],
    "flatten": ["flatten", "juggler_resnet18"],
    "train": ["train", "synthetic"],
    "demo": ["demo"],
    "measure": ["measure", "resnet18", "--shape", "3,32,32"],
    "measure artefact": ["measure", "{artefact}", "--rounds", "2", "--backends", "onnxruntime,torch_eager"],
    "openvino": ["detect", "{csv}", "--artefact", "{artefact}", "--backend", "openvino"],
    "help": ["--help"],
}


class Light:
    """What one process without the workshop's packages did."""

    def __init__(self, workshop: Workshop, folder: Path) -> None:
        paths = {"csv": workshop.csv, "artefact": workshop.artefact, "wide": workshop.wide}
        lines = [[part.format(**paths) for part in line] for line in LINES.values()]
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT, json.dumps(BLOCKED), json.dumps(lines)],
            capture_output=True,
            cwd=folder,
            env=environment(HOME=str(folder), XDG_CACHE_HOME=str(folder)),
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        found = json.loads(done.stdout.decode())
        self.folder, self.loaded, self.face = folder, found["loaded"], found["face"]
        self.outcomes = {
            name: Outcome(*outcome) for name, outcome in zip(LINES, found["outcomes"], strict=True)
        }


@pytest.fixture(scope="module")
def light(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Light:
    return Light(workshop, tmp_path_factory.mktemp("light"))


def test_nothing_blocked_was_loaded(light: Light) -> None:
    assert light.loaded == []
    assert install_command("train") in light.face


def test_detect_writes_alerts(light: Light) -> None:
    light.outcomes["detect"].check(0, "2,900 records", "0 bad rows")
    lines = (light.folder / "alerts.json").read_text(encoding="utf-8").splitlines()
    assert lines and {json.loads(line)["event_type"] for line in lines} == {"alert"}


def test_info_prints_the_certificate(light: Light, workshop: Workshop) -> None:
    assert workshop.deployed.flat.sha256 in light.outcomes["info"].check(0).out
    assert json.loads(light.outcomes["info json"].check(0).out)["certificate"]["checks"]


def test_evaluate_scores_both_forms_and_says_synthetic(light: Light) -> None:
    out = light.outcomes["evaluate"].check(0).out
    assert "SYNTHETIC" in out
    assert "detector, onnxruntime, test" in out and "detector-wide, onnxruntime, test" in out


def test_doctor_names_what_is_missing_and_the_command(light: Light) -> None:
    assert install_command("train") in light.outcomes["doctor"].check(0).out
    found = {f["part"]: f for f in json.loads(light.outcomes["doctor json"].check(0).out)}
    assert found["backend onnxruntime"]["works"]
    for part in ("torch (training and flattening)", "backend torch_eager", "backend openvino"):
        assert not found[part]["works"]
        assert "not installed" in found[part]["missing"]
        assert found[part]["remedy"]


@pytest.mark.parametrize("verb", ["flatten", "train", "demo", "measure", "openvino"])
def test_the_rest_says_what_to_install(light: Light, verb: str) -> None:
    light.outcomes[verb].check(5, "not installed", install_command("train"))


def test_an_artefact_is_measured_on_what_there_is(light: Light) -> None:
    out = light.outcomes["measure artefact"].check(0).out
    assert "onnxruntime" in out
    assert "torch_eager was not run: not installed: torch" in out


def test_help_needs_no_workshop(light: Light) -> None:
    assert "Exit codes" in light.outcomes["help"].check(0).out

"""No dependency looks a host up or leaves a file behind: tried in a network with nothing in it but a sink."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from juggler import privacy

SHIPPED = Path(privacy.__file__).parent / "shipped" / "nsl_kdd.onnx"
SECONDS = 30  # ONNX Runtime begins after ten

# Runs in namespaces of its own (user, network, mount); a sink on loopback prints what is looked up.
INSIDE = f"""
import fcntl, os, socket, struct, subprocess, sys, threading, time
control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(control, 0x8914, struct.pack("16sh22x", b"lo", 0x49))  # SIOCSIFFLAGS: up, loopback, running
subprocess.run(["mount", "--bind", sys.argv[1], "/etc/resolv.conf"], check=True)
sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sink.bind(("127.0.0.1", 53))

def listen():
    while True:
        print("LOOKED UP", sink.recv(2000)[12:80], flush=True)

threading.Thread(target=listen, daemon=True).start()
program = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE)
try:
    print("ENDED", program.wait({SECONDS}), flush=True)
except subprocess.TimeoutExpired:
    program.kill()
print("DONE", flush=True)
"""

WORKSHOP = f"""
import juggler, time
import numpy as np
from juggler.runtime import open_session
for backend in ("onnxruntime", "openvino"):
    session = open_session({str(SHIPPED)!r}, backend)
import nncf, openvino
print("READY", flush=True)
time.sleep({SECONDS})
"""
LOUD = "import socket; socket.getaddrinfo('example.invalid', 80)"


def can_isolate() -> bool:
    command = ["unshare", "-rnm", "true"]
    return shutil.which("unshare") is not None and subprocess.run(command, check=False).returncode == 0


def run_isolated(home: Path, program: list[str]) -> tuple[str, list[str]]:
    """Return what was looked up and said, and the files that are new in an empty home."""
    names = home.parent / "resolv.conf"
    names.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    home.mkdir()
    inherited = {name: value for name, value in os.environ.items() if name not in (*privacy.SWITCHES, "CI")}
    places = {"HOME": home, "XDG_CACHE_HOME": home / ".cache", "XDG_CONFIG_HOME": home / ".config"}
    environment = inherited | {name: str(place) for name, place in places.items()}
    command = ["unshare", "-rnm", sys.executable, "-c", INSIDE, str(names), *program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert "DONE" in done.stdout, done.stderr
    return done.stdout, sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


needs_namespaces = pytest.mark.skipif(not can_isolate(), reason="unshare -rnm is not allowed here")


@needs_namespaces
def test_the_sink_hears_a_program_that_looks_a_host_up(tmp_path):
    said, _ = run_isolated(tmp_path / "home", [sys.executable, "-c", LOUD])
    assert "LOOKED UP b'\\x07example\\x07invalid" in said


@needs_namespaces
def test_detect_on_an_idle_stream_is_silent(tmp_path):
    detect = "from juggler.cli.app import main; main()"
    program = [sys.executable, "-c", detect, "detect", "-", "--artefact", str(SHIPPED)]
    said, files = run_isolated(tmp_path / "home", program)
    assert said.split() == ["DONE"], said  # it was still reading when it was stopped
    assert files == []


@needs_namespaces
def test_every_runtime_is_silent(tmp_path):
    said, files = run_isolated(tmp_path / "home", [sys.executable, "-c", WORKSHOP])
    assert "READY" in said
    assert "LOOKED UP" not in said
    assert files == []


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    privacy.silence()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_a_user_may_allow_it(monkeypatch):
    monkeypatch.setenv(privacy.ALLOW, "1")
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    privacy.silence()
    assert "ORT_DISABLE_TELEMETRY" not in os.environ

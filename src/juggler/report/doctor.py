"""The state of an installation: packages, backends, meters, plug-ins, data, the shipped detector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from juggler.clock.power import CPU, GPU, METERS
from juggler.data import SETS, DataNotFound, Source, load_set
from juggler.errors import JugglerError
from juggler.extras import install_command
from juggler.nouns import Noun
from juggler.packages import is_installed, release_of
from juggler.runtime import BACKENDS, Artefact
from juggler.runtime.artefact import shipped
from juggler.runtime.machine import machine

_WORKSHOP = {
    "torch": "training and flattening",
    "lightning_fabric": "training",
    "safetensors": "checkpoints",
    "onnx": "export",
    "matplotlib": "reports",
    "jinja2": "reports",
}


@dataclass(frozen=True)
class Finding(Noun):
    """One thing that was looked at.

    Attributes:
        part: what it is.
        works: whether it can be used.
        release: its version or state, where it has one.
        missing: what is missing, where it does not work.
        remedy: the command that mends it.
    """

    part: str
    works: bool
    release: str | None = None
    missing: str | None = None
    remedy: str | None = None


def examine() -> tuple[Finding, ...]:
    """Look at everything; nothing is downloaded and no network is run but the shipped detector's."""
    return (*_machine(), *_packages(), *_backends(), *_meters(), *_detector(), *_data_sets())


def _machine() -> Iterator[Finding]:
    here = machine()
    yield Finding("juggler", True, version("juggler"))
    yield Finding("machine", True, f"{here.cpu}, {here.cores} cores, {here.memory_gib:.0f} GiB")
    yield Finding("python", True, here.python)


def _packages() -> Iterator[Finding]:
    for module, purpose in _WORKSHOP.items():
        part = f"{module} ({purpose})"
        if not is_installed(module):
            yield Finding(part, False, None, "not installed", install_command("train"))
            continue
        yield Finding(part, True, release_of(module.replace("_", "-")))


def _backends() -> Iterator[Finding]:
    for name in BACKENDS.names():
        try:
            status = BACKENDS.get(name).status()
        except JugglerError as error:  # another package's, and broken
            yield Finding(f"backend {name}", False, None, error.found, error.remedy)
            continue
        yield Finding(f"backend {name}", status.available, status.version, status.missing, status.remedy)


def _meters() -> Iterator[Finding]:
    """Say of every energy meter which devices it can read; without one, energy is modelled."""
    for name in METERS.names():
        try:
            states = {device: METERS.get(name).status(device) for device in (CPU, GPU)}
        except JugglerError as error:  # another package's, and broken
            yield Finding(f"energy meter {name}", False, None, error.found, error.remedy)
            continue
        able = [device for device, status in states.items() if status.available]
        first = states[able[0] if able else CPU]
        release = " ".join(filter(None, [first.version, f"reads {' and '.join(able)}"])) if able else None
        yield Finding(f"energy meter {name}", bool(able), release, first.missing, first.remedy)


def _detector() -> Iterator[Finding]:
    part = "shipped detector"
    try:
        artefact = Artefact.load(shipped("nsl_kdd.onnx"))
        passed = artefact.fields.certificate is not None and artefact.fields.certificate.passed
        yield Finding(
            part, passed, f"{artefact.name}, {artefact.fields.form}", "its certificate", "Reinstall"
        )
    except JugglerError as error:
        yield Finding(part, False, None, error.found, error.remedy)


def _data_sets() -> Iterator[Finding]:
    """Say which data sets are at hand; whether one could be downloaded is not tried."""
    for name in SETS.names():
        data_set = load_set(name, Source(offline=True))
        try:
            records = data_set.load(data_set.parts[-1])
        except DataNotFound as error:
            remedy = "it is downloaded when needed; or point JUGGLER_DATA at a folder or zip that holds it"
            published = bool(data_set.provenance.sha256)  # else there is nothing to download
            yield Finding(
                f"data set {name}", False, None, "not on this machine", remedy if published else error.remedy
            )
        except JugglerError as error:
            yield Finding(f"data set {name}", False, None, error.found, error.remedy)
        else:
            yield Finding(
                f"data set {name}",
                True,
                "made by the package" if data_set.synthetic else Path(records.source).name,
            )

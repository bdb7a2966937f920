"""Plug-ins of another package are found by name through its entry points, and held to the same contracts."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import juggler
from commands import environment
from juggler.data import SETS
from juggler.detect import SINKS
from juggler.errors import ConfigError
from juggler.registry import Registry, normalise
from juggler.runtime import BACKENDS

TESTS = Path(__file__).parent
SOURCE = Path(juggler.__file__).parent.parent
GROUPS_OF_0_1_0 = {
    "backends",
    "experiments",
    "families",
    "handles",
    "importers",
    "learners",
    "meters",
    "phasers",
    "quantizers",
    "readers",
    "rules",
    "schemas",
    "sets",
    "sinks",
    "verbs",
}
MODULE = '''
"""A package of someone else's, with one plug-in of each kind."""
from dataclasses import replace
from typing import Annotated

import typer

from juggler.data import load_set
from juggler.alerts.sinks.null import NullSink
from juggler.runtime.backends.onnxruntime import BACKEND as ONNXRUNTIME
from juggler.packages import BackendStatus


class Echo:
    """Runs on ONNX Runtime under another name."""

    name, takes = "echo_runtime", "onnx"

    def status(self):
        return BackendStatus(True, "1")

    def precisions(self):
        return ("float32",)

    def open(self, source, *, threads, precision="float32"):
        return ONNXRUNTIME.open(source, threads=threads, precision=precision)


class LoudSink(NullSink):
    name = "loud"


def greet(name: Annotated[str, typer.Argument(help="Whom.")] = "world") -> None:
    """Greet.

    Example: juggler greet-all you
    """
    typer.echo(f"hello {name}")


BACKEND = Echo()
SET = replace(load_set("synthetic"), name="field_trial")
SINK = LoudSink
VERB = greet
'''
RULE = '''
"""A rule and a family: these need torch."""
from juggler.models.networks.families.plain import FAMILY as PLAIN
from juggler.transform import Proposal
from juggler.transform.algebra.values import Identity


class DropIdentity:
    "`identity(x) -> x`: an op that computes its own input is no op."

    name = "drop_nothing"
    source = "definition of the identity"
    tried = False

    def propose(self, term, expression):
        if isinstance(term.value, Identity):
            yield Proposal(((term, term.reads[0]),))


RULE = DropIdentity()
FAMILY = {"strangers_net": next(iter(PLAIN.values()))}
'''
ENTRY_POINTS = """
[juggler.rules]
drop-nothing = strangers_rules:RULE
[juggler.families]
strangers = strangers_rules:FAMILY
[juggler.backends]
echo-runtime = strangers:BACKEND
onnxruntime = strangers:BACKEND
broken = strangers:NO_SUCH_OBJECT
[juggler.sets]
field-trial = strangers:SET
[juggler.sinks]
loud = strangers:SINK
broken = strangers:NO_SUCH_OBJECT
[juggler.verbs]
greet-all = strangers:VERB
gone = no_such_package_anywhere:VERB
"""
PROBE = """
import json, sys
import numpy as np
import torch
from torch import nn
import contracts_rules
from juggler.data import SETS
from juggler.detect import open_sink
from juggler.models import create, names
from juggler.runtime import BACKENDS, open_session
from juggler.transform import flatten
from juggler.transform import rules

contracts_rules.check_rule("drop_nothing", rules().get("drop-nothing"))
done = flatten(contracts_rules.randomised(contracts_rules.Branches()), torch.randn(1, 3, 9, 9))
network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()).eval()
example = torch.randn(2, 1, 4, 4)
with open_session(network, "echo-runtime", example=example) as session:
    difference = float(np.abs(session.run(example.numpy())[0] - network(example).detach().numpy()).max())
print(json.dumps({
    "certified": done.certificate.passed,
    "rules": rules().names(),
    "difference": difference,
    "own": BACKENDS.get("onnxruntime").name,
    "set": [SETS.get("field-trial").name, len(SETS.get("field_trial").load("test"))],
    "sink": type(open_sink("loud")).__name__,
    "network": type(create("strangers-net")).__name__,
    "listed": "strangers_net" in names(),
    "kinds": {r.kind: list(r.names()) for r in (BACKENDS, SETS)},
}))
"""


def registries() -> Iterator[Registry[object]]:
    """Yield every registry of the package, from the files that make one."""
    for path in sorted((SOURCE / "juggler").rglob("*.py")):
        if " Registry(" not in path.read_text(encoding="utf-8"):
            continue
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        module = importlib.import_module(name)
        for value in vars(module).values():
            if isinstance(value, Registry):
                yield value
            elif inspect.isfunction(value) and str(value.__annotations__.get("return")).startswith(
                "Registry["
            ):
                yield value()


REGISTRIES = list(registries())


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install another package: two modules, and a dist-info with entry points."""
    site = tmp_path_factory.mktemp("site")
    (site / "strangers.py").write_text(MODULE, encoding="utf-8")
    (site / "strangers_rules.py").write_text(RULE, encoding="utf-8")
    info = site / "strangers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    return site


def python(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(PYTHONPATH=f"{site}:{TESTS}:{SOURCE}"),
        cwd=site,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def program(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python(site, "-c", "from juggler.cli.app import main; main()", *arguments)


def test_plug_ins_of_another_package_work_like_the_house_s_own(strangers: Path) -> None:
    done = python(strangers, "-c", PROBE)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["certified"] and "drop_nothing" in found["rules"] and "fuse_vertical" in found["rules"]
    assert found["difference"] < 1e-5
    assert found["own"] == "onnxruntime", "another package cannot take the name of the house's own plug-in"
    assert found["set"] == ["field_trial", 2900]
    assert found["sink"] == "LoudSink"
    assert found["listed"]
    assert {"echo_runtime", "onnxruntime", "torch_eager"} <= {*found["kinds"]["backend"]}
    assert {"field_trial", "nsl_kdd", "synthetic"} <= {*found["kinds"]["set"]}


def test_a_verb_of_another_package_is_a_command(strangers: Path) -> None:
    done = program(strangers, "greet-all", "you")
    assert (done.returncode, done.stdout) == (0, "hello you\n"), done.stderr
    assert "no_such_package_anywhere" in done.stderr, "the broken verb is named"
    helped = program(strangers, "--help")
    assert "greet-all" in helped.stdout and "detect" in helped.stdout


def test_a_broken_plug_in_says_whose_it_is(strangers: Path) -> None:
    probe = "from juggler.detect import open_sink; open_sink('broken')"
    done = python(strangers, "-c", probe)
    assert "Unavailable: load the sink 'broken'" in done.stderr
    assert "strangers:NO_SUCH_OBJECT" in done.stderr
    examined = {
        finding["part"]: finding for finding in json.loads(program(strangers, "doctor", "--json").stdout)
    }
    assert "strangers:NO_SUCH_OBJECT" in examined["backend broken"]["missing"]
    assert examined["backend echo_runtime"]["works"] and examined["backend onnxruntime"]["works"]


@pytest.mark.parametrize(
    ("registry", "asked", "meant"),
    [(BACKENDS, "onnx-runtime", "onnxruntime"), (SETS, "NSL-KD", "nsl_kdd"), (SINKS, "evee", "eve")],
)
def test_an_unknown_name_is_met_with_the_nearest(registry: Registry[object], asked: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"Did you mean '{meant}'") as error:
        registry.get(asked)
    assert all(name in error.value.remedy for name in registry.names())


def test_a_name_like_no_other_lists_those_there_are() -> None:
    with pytest.raises(ConfigError) as error:
        SINKS.get("zzzzzz")
    assert "Did you mean" not in error.value.remedy
    assert error.value.remedy == "There are: eve, null"
    assert normalise(" NSL-KDD ") == "nsl_kdd"
    assert SETS.get("NSL-KDD") is SETS.get("nsl_kdd")


def test_a_group_is_the_folder_and_those_of_0_1_0_still_count() -> None:
    assert {f"juggler.{name}" for name in GROUPS_OF_0_1_0} <= {registry.alias for registry in REGISTRIES}
    groups = [group for registry in REGISTRIES for group in (registry.group, registry.alias) if group]
    assert len(groups) == len(set(groups)), "two kinds never read the same group"
    assert all(registry.group == registry.package for registry in REGISTRIES)


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.group)
def test_entry_points_are_found_by_either_name_of_their_group(
    registry: Registry[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "strangers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n", encoding="utf-8")
    points = f"[{registry.group}]\nnew-name = json:loads\nboth = json:loads\n"
    if registry.alias:
        points += f"[{registry.alias}]\nold-name = json:dumps\nboth = json:dumps\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert {"new_name", "both"} <= {*registry.names()}
    assert registry.get("new-name") is registry.get("both") is json.loads
    assert not registry.alias or registry.get("old-name") is json.dumps

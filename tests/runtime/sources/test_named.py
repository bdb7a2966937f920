"""Sources: factories of the user's own, files and names, and what is said where they cannot be opened."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from juggler.errors import ConfigError
from juggler.models import create
from juggler.models.networks import checkpoint
from juggler.runtime.export import export
from juggler.runtime.sources.factory import is_factory
from juggler.runtime.sources.named import contenders, open_module, open_with_example

NETS = """
import torch
from torch import nn

WIDTH = 3
READY = nn.Sequential(nn.Conv2d(1, 2, 3))

class Net(nn.Module):
    def __init__(self, width=4, name="plain", *, sizes=(3, 3), deep=None):
        super().__init__()
        self.seen = (width, name, sizes, deep)
        self.conv = nn.Conv2d(3, width, sizes)

    def forward(self, x):
        return self.conv(x)

class Shelf:
    make = staticmethod(lambda: Net(5))

def double():
    return Net().double()

def late():
    import nets_helper_of_this_test
    return nets_helper_of_this_test.make()

def broken():
    raise KeyError("no such layer")

def leaving():
    raise SystemExit(3)

def nothing():
    return {"conv": 1}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in a folder with a module `nets_of_this_test` in it."""
    (tmp_path / "nets_of_this_test.py").write_text(NETS, encoding="utf-8")
    (tmp_path / "nets_helper_of_this_test.py").write_text("from nets_of_this_test import Net as make\n")
    (tmp_path / "wanting_of_this_test.py").write_text("import a_package_that_nobody_has\n")
    (tmp_path / "wrong_of_this_test.py").write_text("def f(:\n")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.endswith("_of_this_test")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_factory_of_the_current_directory_is_called() -> None:
    before = list(sys.path)
    network = open_module("nets_of_this_test:Net")
    assert isinstance(network.conv, nn.Conv2d) and not network.training
    assert network.seen == (4, "plain", (3, 3), None)
    assert sys.path == before


@pytest.mark.usefixtures("folder")
def test_its_arguments_are_literals() -> None:
    found = open_module("nets_of_this_test:Net(width=6, name='a:b', sizes=(1, 5), deep=[None, True])")
    assert found.seen == (6, "a:b", (1, 5), [None, True])


@pytest.mark.usefixtures("folder")
def test_a_factory_may_be_an_attribute_or_a_network_or_import_more() -> None:
    assert open_module("nets_of_this_test:Shelf.make").conv.out_channels == 5
    assert isinstance(open_module("nets_of_this_test:READY"), nn.Sequential)
    assert open_module("nets_of_this_test:late").conv.out_channels == 4


@pytest.mark.usefixtures("folder")
def test_the_example_has_the_type_of_the_network() -> None:
    module, example = open_with_example("nets_of_this_test:double", (3, 8, 8))
    assert example.dtype == torch.float64 and module(example).shape == (1, 4, 6, 6)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("nowhere_of_this_test:Net", "there is no module nowhere_of_this_test"),
        ("nets_of_this_test.deeper:Net", "there is no module nets_of_this_test.deeper"),
        ("wanting_of_this_test:Net", "No module named 'a_package_that_nobody_has'"),
        ("wrong_of_this_test:f", "importing wrong_of_this_test raised SyntaxError"),
        ("nets_of_this_test:Nat", "nets_of_this_test has no Nat.*It has: .*Net"),
        ("nets_of_this_test:WIDTH", "WIDTH is a int, which cannot be called"),
        ("nets_of_this_test:broken", "broken raised KeyError: 'no such layer'"),
        ("nets_of_this_test:leaving", "leaving raised SystemExit: 3"),
        ("nets_of_this_test:nothing", "it gave a dict, no torch.nn.Module"),
        ("nets_of_this_test:Net(width=8, colour=1)", "Net raised TypeError: .*colour"),
        ("nets_of_this_test:Net(8)", "no names"),
        ("nets_of_this_test:Net(**{'width': 8})", "no names"),
        ("nets_of_this_test:Net(width=open('x', 'w'))", "is no literal"),
        ("nets_of_this_test:Net(width=WIDTH)", "width=WIDTH is no literal"),
        ("nets_of_this_test:Net(width=1)(deep=2)", "arguments"),
        ("nets_of_this_test:Net(", "no module and a factory"),
        ("nets_of_this_test:1", "no module and a factory"),
    ],
)
def test_what_is_wrong_with_a_factory_is_said(source: str, reason: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=reason):
        open_module(source)
    assert not (folder / "x").exists()


def test_files_are_opened_by_their_ending(tmp_path: Path) -> None:
    network = create("juggler_resnet18").eval()
    small = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).eval()
    x = torch.randn(1, 3, 6, 6)
    checkpoint.save(tmp_path / "wide.safetensors", network)
    export(small, x, tmp_path / "small.onnx")
    torch.export.save(torch.export.export(small, (x,)), tmp_path / "small.pt2")
    assert type(open_module(str(tmp_path / "wide.safetensors"))) is type(network)
    for name in ("small.onnx", "small.pt2"):
        torch.testing.assert_close(open_module(str(tmp_path / name))(x), small(x))


def test_what_cannot_be_opened_names_what_can(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"pickled")
    with pytest.raises(ConfigError, match=r"ending is unknown.*package\.module:factory.*\.pt2"):
        open_module(str(tmp_path / "weights.pth"))
    with pytest.raises(ConfigError, match=r"juggler_resnet18.*package\.module:factory"):
        open_module("resnet_of_nobody")


def test_what_is_written_as_a_factory() -> None:
    assert is_factory("a.b:c") and is_factory("a:b(c='d')")
    assert not is_factory("resnet18") and not is_factory("C:\\nets\\a.onnx") and not is_factory("a/b.onnx")


@pytest.mark.usefixtures("folder")
def test_contenders_are_named_as_they_were_given() -> None:
    sources = ["nets_of_this_test:Net", "nets_of_this_test:Net(width=7)"]
    found, shapes = contenders(sources, "3,8,8", flat=False)
    assert list(found) == sources and shapes == ((3, 8, 8),)


def test_types_are_given_once_for_each_input() -> None:
    for dtypes, words in ((["float8"], "'float8'"), (["int64", "int64"], "2 for 1 inputs")):
        with pytest.raises(ConfigError, match=words):
            contenders(["resnet18"], "3,8,8", flat=False, dtypes=dtypes)

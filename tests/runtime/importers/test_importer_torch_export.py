"""Archives of torch.export: networks come back; whatever loading would run or unpickle is refused."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import fx, nn

from juggler.errors import ArtefactError, Refused
from juggler.runtime import IMPORTERS
from juggler.runtime.importers import _comparison as comparison
from juggler.runtime.importers import torch_export
from juggler.runtime.importers.torch_export import IMPORTER, MODEL


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 5),
    ).eval()


def archive(*, free: bool = True) -> bytes:
    axes = {0: torch.export.Dim("batch"), 2: 2 * torch.export.Dim("half", min=4)} if free else None
    program = torch.export.export(network(), (torch.randn(2, 3, 12, 8),), dynamic_shapes=(axes,))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def whole() -> bytes:
    return archive()


@pytest.mark.parametrize("free", [True, False])
def test_a_network_comes_back(free: bool, tmp_path: Path) -> None:
    path = tmp_path / "network.pt2"
    path.write_bytes(archive(free=free))
    found = IMPORTERS.get("torch_export").load(path)
    assert [type(part) for part in found.children()][:3] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    for batch in (1, 3):
        x = torch.randn(batch, 3, 12, 8)
        torch.testing.assert_close(found(x), network()(x), rtol=0, atol=0)


def rewritten(content: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """Return the archive with its records changed, stored as torch stores them."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        root = file.namelist()[0].partition("/")[0]
        records = {name.partition("/")[2]: file.read(name) for name in file.namelist()}
    change(records)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for name, record in records.items():
            file.writestr(f"{root}/{name}", record)
    return buffer.getvalue()


class Run:
    """What a pickle of this class does when it is read is to write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def evil_examples(records: dict[str, bytes], mark: Path) -> None:
    buffer = io.BytesIO()
    torch.save(((Run(mark),), {}), buffer)
    records["data/sample_inputs/model.pt"] = buffer.getvalue()


def evil_weight(records: dict[str, bytes], mark: Path) -> None:
    config = json.loads(records["data/weights/model_weights_config.json"])
    config["config"]["0.weight"]["use_pickle"] = True
    buffer = io.BytesIO()
    torch.save(Run(mark), buffer)
    records["data/weights/weight_0"] = buffer.getvalue()
    records["data/weights/model_weights_config.json"] = json.dumps(config).encode()


def evil_object(records: dict[str, bytes], mark: Path) -> None:
    config = {
        "config": {
            "it": {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": False, "tensor_meta": None}
        }
    }
    records["data/constants/model_constants_config.json"] = json.dumps(config).encode()
    records["data/constants/opaque_obj_0"] = pickle.dumps(Run(mark))


def evil_legacy_weights(records: dict[str, bytes], mark: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"0.weight": Run(mark)}, buffer)
    records["data/weights/model.pt"] = buffer.getvalue()


def evil_size(records: dict[str, bytes], mark: Path) -> None:
    text = records[MODEL].decode()
    first = text.index('"expr_str": "') + len('"expr_str": "')
    end = text.index('"', first)
    records[MODEL] = (text[:first] + f"__import__('pathlib').Path('{mark}').touch()" + text[end:]).encode()


def evil_text_in_a_size(records: dict[str, bytes], mark: Path) -> None:
    text = records[MODEL].decode()
    first = text.index('"expr_str": "') + len('"expr_str": "')
    end = text.index('"', first)
    inner = f"__import__('pathlib').Path('{mark}').touch()"
    records[MODEL] = (text[:first] + f"Max('''{inner}''')" + text[end:]).encode()


def evil_library(records: dict[str, bytes], mark: Path) -> None:
    records["data/aotinductor/model/run.so"] = b"\x7fELF"


def evil_tree(records: dict[str, bytes], mark: Path) -> None:
    program = json.loads(records[MODEL])
    signature = program["graph_module"]["module_call_graph"][0]["signature"]
    context = json.dumps(
        {"default_factory_module": "antigravity", "default_factory_name": "x", "dict_context": []}
    )
    spec = {"type": "collections.defaultdict", "context": context, "children_spec": []}
    signature["in_spec"] = json.dumps([1, spec])
    records[MODEL] = json.dumps(program).encode()


def evil_operator(records: dict[str, bytes], mark: Path) -> None:
    records[MODEL] = records[MODEL].replace(b"torch.ops.aten.relu.default", b"torch.hub.load")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (evil_examples, "example inputs"),
        (evil_weight, "0.weight would be unpickled"),
        (evil_object, "opaque_obj_0"),
        (evil_legacy_weights, "data/weights/model.pt"),
        (evil_size, "run as Python"),
        (evil_text_in_a_size, "run as Python"),
        (evil_library, "data/aotinductor/model/run.so"),
        (evil_tree, "look up"),
        (evil_operator, "torch.hub.load"),
    ],
)
def test_what_loading_would_run_is_refused(
    change: Callable[[dict[str, bytes], Path], None], reason: str, whole: bytes, tmp_path: Path
) -> None:
    mark = tmp_path / "it_ran"
    with pytest.raises(ArtefactError, match=reason):
        IMPORTER.load(rewritten(whole, lambda records: change(records, mark)))
    assert not mark.exists()


def test_a_rewritten_archive_without_a_change_is_taken(whole: bytes) -> None:
    x = torch.randn(1, 3, 12, 8)
    assert torch.equal(IMPORTER.load(rewritten(whole, lambda records: None))(x), network()(x))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_what_is_no_archive_is_named(content: bytes) -> None:
    with pytest.raises(ArtefactError, match=r"no archive of torch\.export"):
        IMPORTER.load(content)


def test_another_archive_of_torch_is_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt2"
    torch.save({"weight": torch.ones(2)}, path)
    with pytest.raises(ArtefactError, match=r"weights\.pt2"):
        IMPORTER.load(path)
    with pytest.raises(ArtefactError, match="cannot be read"):
        IMPORTER.load(tmp_path / "nowhere.pt2")


@pytest.mark.parametrize(
    "size",
    ["9**9**9**9", "1 << 10**12", "Pow(Integer(9), Integer(9999999))", "-" * 5000 + "1"],
    ids=["powers", "shift", "power", "long"],
)
def test_sizes_are_sums_and_products_only(size: str, whole: bytes) -> None:
    """A power of powers would hang, and a shift would take all memory."""

    def change(records: dict[str, bytes]) -> None:
        text = records[MODEL].decode()
        first = text.index('"expr_str": "') + len('"expr_str": "')
        records[MODEL] = (text[:first] + size + text[text.index('"', first) :]).encode()

    with pytest.raises(ArtefactError, match="a size is given as"):
        IMPORTER.load(rewritten(whole, change))


def test_a_packed_archive_is_refused(whole: bytes) -> None:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(whole)) as plain,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(ArtefactError, match="packed"):
        IMPORTER.load(buffer.getvalue())


def test_an_archive_is_compared_with_its_own_program(whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = comparison.source_checks(IMPORTER.load(whole))
    assert check.passed
    assert check.runtime.startswith("torch ")
    monkeypatch.setattr(torch_export, "from_exported", lambda program: fx.symbolic_trace(nn.Hardtanh()))
    with pytest.raises(Refused, match="differs from the file in torch"):
        IMPORTER.load(whole)

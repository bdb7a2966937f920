"""Every reader of files from outside: what a good file is, how it is changed, and the call that reads it."""

# mypy: disallow-untyped-calls=False
from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzz import mutations
from fuzz.mutations import Mutation


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes:
        name: of the reader.
        file: what its file is called; `{}` stands for nothing, the call is given the path.
        seeds: makes good files, as bytes.
        call: reads one.
        changes: how a file is changed, besides what is done to all.
    """

    name: str
    file: str
    seeds: Callable[[], list[bytes]]
    call: Callable[[Path], Any]
    changes: Sequence[Mutation]


TARGETS: dict[str, Target] = {}


def target(
    name: str, file: str, seeds: Callable[[], list[bytes]], *changes: Mutation
) -> Callable[[Callable[[Path], Any]], Callable[[Path], Any]]:
    """Register a reader: the function that is decorated reads one file."""

    def register(call: Callable[[Path], Any]) -> Callable[[Path], Any]:
        TARGETS[name] = Target(name, file, seeds, call, changes)
        return call

    return register


def changed(chosen: Target, seeds: Sequence[bytes], number: int, seed: int) -> bytes:
    """Return the file of a number: always the same one for a target, its seeds and a seed."""
    draw = Random(f"{seed}/{chosen.name}/{number}")
    data = draw.choice(seeds)
    chance = draw.random()
    if chance < 0.02:
        return mutations.large(draw, data)
    if chance < 0.15:
        return mutations.ends(draw, data)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        try:
            data = draw.choice((*chosen.changes, *chosen.changes, mutations.plain))(draw, data)
        except Exception:  # what was changed before may no longer be of the format
            data = mutations.plain(draw, data)
    return data[: mutations.LARGEST]


def source_file(*parts: str) -> bytes:
    """Return a file that the package ships."""
    import juggler  # noqa: PLC0415

    return Path(juggler.__file__).parent.joinpath(*parts).read_bytes()


def saved(write: Callable[[Path], Any], name: str = "file") -> bytes:
    """Return what a function writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path)
        return path.read_bytes()


# Plain values


def _hierarchies() -> list[bytes]:
    return [source_file("cost", "devices", f"{name}.toml") for name in ("eyeriss", "tpu_like", "this_cpu")]


@target("device TOML", "device.toml", _hierarchies, mutations.lines)
def _(path: Path) -> None:
    from juggler.cost.hardware.hierarchy import read_hierarchy  # noqa: PLC0415

    read_hierarchy(path)


@target("plan", "plan.toml", lambda: [source_file("models", "plans", "nsl_kdd.toml")], mutations.lines)
def _(path: Path) -> None:
    from juggler.models.detector.plan import Plan  # noqa: PLC0415

    Plan.read(path)


@target(
    "classifier plan", "plan.toml", lambda: [source_file("models", "plans", "pictures.toml")], mutations.lines
)
def _(path: Path) -> None:
    from juggler.models.classifier.training import ClassifierPlan  # noqa: PLC0415

    ClassifierPlan.read(path)


@target("recipe", "recipe.toml", lambda: [b"epochs = 3\nlearning_rate = 0.1\nseed = 4\n"], mutations.lines)
def _(path: Path) -> None:
    from juggler.models.train.recipe import Recipe  # noqa: PLC0415

    Recipe.read(path)


def _nouns() -> list[bytes]:
    from juggler.runtime.artefact import shipped  # noqa: PLC0415
    from juggler.runtime.onnx_graphs.metadata import split  # noqa: PLC0415

    _, metadata = split(shipped("nsl_kdd.onnx").read_bytes())
    return [metadata["juggler.certificate"].encode()]


@target("certificate", "certificate.json", _nouns, mutations.json_text)
def _(path: Path) -> None:
    from juggler.nouns import Certificate  # noqa: PLC0415
    from juggler.reading.content import read_text  # noqa: PLC0415
    from juggler.reading.request import Request  # noqa: PLC0415

    Certificate.from_json(read_text(path, Request("read it", "Write it again"), mutations.LARGEST))


def _networks() -> list[bytes]:
    import made_up_device  # noqa: PLC0415

    network = made_up_device.reading(1, 1)
    timed = made_up_device.timed(network, 3.0, np.random.default_rng(0))
    return [json.dumps([timed.to_dict()]).encode()]


@target("timed networks", "networks.json", _networks, mutations.json_text)
def _(path: Path) -> None:
    from juggler.predict.campaign.networks import kept_networks  # noqa: PLC0415

    kept_networks(path)


def _points() -> list[bytes]:
    row = {"network": "a", "batch": 1, "paper_ms": None, "measured_ms": 1.0}
    return [json.dumps({"networks": [row | {"predicted_ms": 1.0, "low_ms": 0.5, "high_ms": 2.0}]}).encode()]


@target("points", "points.json", _points, mutations.json_text)
def _(path: Path) -> None:
    from juggler.predict.fit.evidence import read_points  # noqa: PLC0415

    read_points(path)


def _cells() -> list[bytes]:
    import made_up_results  # noqa: PLC0415

    return [cell.to_json().encode() for cell in made_up_results.table2().cells[:2]]


@target("cell", "cells.json", _cells, mutations.json_text)
def _(path: Path) -> None:
    from juggler.reproduce.store import Store  # noqa: PLC0415

    Store(path.parent).read(path)


@target("installation", "direct_url.json", lambda: [b'{"url": "file:///a", "dir_info": {"editable": true}}'],
        mutations.json_text)  # fmt: skip
def _(path: Path) -> None:
    from juggler.extras import checkout_of  # noqa: PLC0415

    checkout_of(path.read_text(encoding="utf-8", errors="replace"))


# Arrays and tensors


@target("inputs", "inputs.npy", lambda: [saved(lambda p: np.save(p, np.zeros((3, 2, 4, 4), np.float32)), "x.npy")],  # noqa: E501
        mutations.npy)  # fmt: skip
def _(path: Path) -> None:
    from juggler.runtime.sources.named import read_inputs  # noqa: PLC0415

    read_inputs(path, (2, 4, 4))


def _fitted() -> list[bytes]:
    from contracts_learners import convolutions  # noqa: PLC0415
    from juggler.predict.learning.learner import LEARNERS, save  # noqa: PLC0415

    fitted = LEARNERS.get("polynomial").fit(*convolutions(60), seed=0)
    return [saved(lambda path: save(path, "polynomial", fitted), "a.npz")]


@target("learner", "learner.npz", _fitted, mutations.archive)
def _(path: Path) -> None:
    from juggler.predict.learning.learner import load  # noqa: PLC0415

    load(path)


def _predictors() -> list[bytes]:
    return [source_file("predict", "devices", "xeon-onnxruntime.predictor")]


@target("predictor", "a.predictor", _predictors, mutations.archive)
def _(path: Path) -> None:
    from juggler.predict.predictor.predictor import Predictor  # noqa: PLC0415

    Predictor.load(path)


def _checkpoints() -> list[bytes]:
    from juggler.models import create  # noqa: PLC0415
    from juggler.models.networks.checkpoint import save  # noqa: PLC0415

    return [saved(lambda path: save(path, create("juggler_tabular")))]


@target("checkpoint", "network.safetensors", _checkpoints, mutations.tensors)
def _(path: Path) -> None:
    from juggler.models.networks.checkpoint import load  # noqa: PLC0415

    load(path)


@target("detector", "detector.safetensors", lambda: [source_file("shipped", "nsl_kdd.safetensors")],
        mutations.tensors)  # fmt: skip
def _(path: Path) -> None:
    from juggler.models.detector.protocol import TrainedDetector  # noqa: PLC0415

    TrainedDetector.load(path)


# Databases


def _databases() -> list[bytes]:
    import made_up_device  # noqa: PLC0415

    def write(path: Path) -> None:
        with made_up_device.fill(path, 30) as store:
            store.connection.execute("PRAGMA journal_mode = DELETE")

    return [saved(write, "lab.db")]


@target("campaign", "lab.db", _databases, mutations.plain, mutations.ends)
def _(path: Path) -> None:
    from juggler.predict.campaign.store.samples import Store  # noqa: PLC0415

    with Store.open(path) as store:
        store.samples()
        store.machines()
        store.campaigns()
        store.floors()


@target("salvage", "lab.db", _databases, mutations.plain)
def _(path: Path) -> None:
    from juggler.predict.campaign.store.samples import Store, salvage  # noqa: PLC0415

    with Store.open(path.parent / "new.db", create=True) as store:
        salvage(path, store)


def _caches() -> list[bytes]:
    from juggler.runtime.tuning.latency_cache import Latency, LatencyCache, Place  # noqa: PLC0415

    def write(path: Path) -> None:
        fields = {name: "a" for name in Place.__dataclass_fields__} | {"threads": 1}
        LatencyCache(path).put({"a": Latency(1.0)}, Place(**fields))  # type: ignore[arg-type]

    return [saved(write, "prices.sqlite")]


@target("latencies", "prices.sqlite", _caches, mutations.plain, mutations.ends)
def _(path: Path) -> None:
    from juggler.runtime.tuning.latency_cache import LatencyCache, Place  # noqa: PLC0415

    fields = {name: "a" for name in Place.__dataclass_fields__} | {"threads": 1}
    with warnings.catch_warnings(action="ignore"):
        LatencyCache(path).get(["a"], Place(**fields))  # type: ignore[arg-type]


# Pictures and records


def _cifar() -> Any:
    from juggler.data.sets.cifar10 import SET  # noqa: PLC0415

    return SET


def _pickles() -> list[bytes]:
    import made_pictures  # noqa: PLC0415

    files = made_pictures.official_files(_cifar(), "python")
    return [files["batches.meta"], files["test_batch"]]


@target("pickle", "batch", _pickles, mutations.pickled)
def _(path: Path) -> None:
    import made_pictures  # noqa: PLC0415
    from juggler.errors import DataError  # noqa: PLC0415

    layout = made_pictures.form_of(_cifar(), "python").layout
    content = path.read_bytes()
    try:
        layout.class_names(content, "a test")
    except DataError:
        [*layout.batches(content, "a test")]


def _archives() -> list[bytes]:
    import made_pictures  # noqa: PLC0415

    return [made_pictures.packed({"file": b"x" * 3000, "other": b"y"}, "folder")]


@target("tar", "archive.tar.gz", _archives, mutations.compressed)
def _(path: Path) -> None:
    from juggler.reading.tars import members  # noqa: PLC0415

    members(path.read_bytes(), "folder", ["file"], "a test")


def _tables() -> list[bytes]:
    import made_pictures  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        home = made_pictures.write_parquet(Path(folder), _cifar())
        return [next(home.glob("test-*")).read_bytes()]


@target("picture table", "test-00000-of-00001.parquet", _tables, mutations.plain, mutations.ends)
def _(path: Path) -> None:
    layout = _cifar().parquet
    home = path.parent / "cifar10"
    home.mkdir(exist_ok=True)
    shutil.copy(path, home / path.name)
    [*layout.batches([home / path.name])]


def _layers() -> list[bytes]:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    columns = {name: np.ones(50) for name in ("batchsize", "matsize", "channels_in", "timeUsed_median")}
    return [
        saved(partial(parquet.write_table, pa.table(columns), compression=kind))
        for kind in ("snappy", "zstd")
    ]


@target("table", "table.parquet", _layers, mutations.ends, mutations.plain)
def _(path: Path) -> None:
    from juggler.reading.request import Request  # noqa: PLC0415
    from juggler.reading.tables import open_table  # noqa: PLC0415

    with open_table(path, Request("read it", "Fetch it again")) as table:
        table.read()


def _pictures() -> list[bytes]:
    import made_pictures  # noqa: PLC0415

    images, _ = made_pictures.drawn(1, 1)
    return [made_pictures.compressed(images[0], kind) for kind in ("PNG", "PNG", "JPEG", "WEBP", "BMP")]


@target("picture", "picture.png", _pictures, mutations.png)
def _(path: Path) -> None:
    from juggler.data.readers.decode import rgb, square  # noqa: PLC0415

    rgb(path.read_bytes(), "a picture")
    square(path.read_bytes(), "a picture", 8)


def _zips() -> list[bytes]:
    import zipfile  # noqa: PLC0415

    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/KDDTest+.txt", b"0,tcp\n" * 100)
        archive.writestr("b.json", b"{}")
    return [content.getvalue()]


@target("zip of data", "data.zip", _zips, mutations.archive)
def _(path: Path) -> None:
    from juggler.data.source import RemoteFile, Source  # noqa: PLC0415

    digest = hashlib.sha256(b"0,tcp\n" * 100).hexdigest()
    file = RemoteFile("KDDTest+.txt", digest, (), max_bytes=mutations.MIB)
    Source(path, cache=path.parent, offline=True).fetch(file)


def _records() -> list[bytes]:
    import small_detector  # noqa: PLC0415

    return [small_detector.as_bytes(small_detector.traffic(30, 0)), gzip.compress(b"0,tcp\n")]


@target("records", "records.csv", _records, mutations.lines)
def _(path: Path) -> None:
    from juggler.data import SCHEMAS  # noqa: PLC0415
    from juggler.data.parse import read  # noqa: PLC0415

    read(path, SCHEMAS.get("nsl_kdd"), strict=False)


@target("detection", "records.csv", _records, mutations.lines)
def _(path: Path) -> None:
    from juggler.detect import detect, open_sink  # noqa: PLC0415
    from juggler.runtime.artefact import Artefact, shipped  # noqa: PLC0415

    with open_sink("eve", path.parent / "alerts.json") as sink:
        detect(Artefact.load(shipped("nsl_kdd.onnx"), threads=1), path, sink)
    assert all(json.loads(line) for line in (path.parent / "alerts.json").read_text().splitlines())


# Networks


def _graphs() -> list[bytes]:
    import onnx  # noqa: PLC0415
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    def value(name: str, *shape: Any) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    weights = {
        "w": np.ones((4, 3, 3, 3), np.float32),
        "v": np.ones((2, 4), np.float32),
        "s": np.array([0, -1], np.int64),
        "r": np.array([1, 1, 2, 2], np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Resize", ["b", "", "r"], ["c"], mode="nearest"),
        helper.make_node("MaxPool", ["c"], ["d"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Reshape", ["e", "s"], ["f"]),
        helper.make_node("Gemm", ["f", "v"], ["y"], transB=1),
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", [value("x", 1, 3, 8, 8)], [value("y", 1, 2)], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return [model.SerializeToString()]


@target("ONNX import", "model.onnx", _graphs, mutations.messages)
def _(path: Path) -> None:
    from juggler.runtime.importers.onnx import IMPORTER  # noqa: PLC0415

    IMPORTER.load(path)


@target("ONNX structure", "model.onnx", _graphs, mutations.messages)
def _(path: Path) -> None:
    from juggler.predict.extract.kernels import extract_kernels  # noqa: PLC0415
    from juggler.runtime.onnx_graphs.ends import ends  # noqa: PLC0415

    extract_kernels(path, batch=1, name="a network")
    ends(path)


@target("ONNX session", "model.onnx", _graphs, mutations.messages)
def _(path: Path) -> None:
    from juggler.runtime.open import open_session  # noqa: PLC0415

    open_session(path, threads=1).close()


@target("standard", "model.onnx", _graphs, mutations.messages)
def _(path: Path) -> None:
    from juggler.survey.opening import standard_of  # noqa: PLC0415

    standard_of(path)


def _artefacts() -> list[bytes]:
    return [source_file("shipped", "nsl_kdd.onnx")]


def _resealed(draw: Random, data: bytes) -> bytes:
    """Change a field or the graph of an artefact, and write the digest that fits."""
    from juggler.errors import JugglerError  # noqa: PLC0415
    from juggler.runtime.artefact import seal  # noqa: PLC0415
    from juggler.runtime.onnx_graphs.metadata import join, split  # noqa: PLC0415

    try:
        rest, fields = split(data)
        fields.pop("juggler.sha256", None)
        if fields and draw.random() < 0.8:
            key = draw.choice([*fields])
            text = mutations.json_text(draw, fields[key].encode("utf-8", "surrogatepass"))
            fields[key] = text.decode("utf-8", "replace")
        else:
            rest = mutations.messages(draw, rest)
        return seal(join(rest, fields))
    except (JugglerError, UnicodeEncodeError):
        return mutations.plain(draw, data)


@target("artefact", "detector.onnx", _artefacts, _resealed, _resealed, mutations.messages)
def _(path: Path) -> None:
    import small_detector  # noqa: PLC0415
    from juggler.detect.detector import Detector  # noqa: PLC0415
    from juggler.runtime.artefact import Artefact  # noqa: PLC0415

    artefact = Artefact.load(path, threads=1)
    artefact.describe()
    Detector(artefact).alarms(small_detector.records(5, 1))


def _exported() -> list[bytes]:
    import torch  # noqa: PLC0415
    from torch import nn  # noqa: PLC0415

    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval()
    sizes = ({0: torch.export.Dim("b", min=1, max=64)},)
    program = torch.export.export(module, (torch.randn(2, 4),), dynamic_shapes=sizes)
    return [saved(lambda path: torch.export.save(program, path), "a.pt2")]


@target("torch.export", "network.pt2", _exported, mutations.archive)
def _(path: Path) -> None:
    from juggler.runtime.importers.torch_export import IMPORTER  # noqa: PLC0415

    IMPORTER.load(path)


def cached_seeds(chosen: Target, folder: Path) -> list[bytes]:
    """Return the seeds of a target, made once and kept in a folder."""
    home = folder / chosen.name.replace(" ", "-")
    if not home.is_dir():
        part = Path(tempfile.mkdtemp(dir=folder))
        for number, seed in enumerate(chosen.seeds()):
            (part / f"{number:03}").write_bytes(seed)
        part.replace(home)
    return [path.read_bytes() for path in sorted(home.iterdir())]

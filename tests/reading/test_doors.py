"""Nothing is read from outside but through the doors of `juggler.reading`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import juggler

ROOT = Path(juggler.__file__).parent
# What takes bytes from outside and asks for memory, time or trust as they say.
FORBIDDEN = re.compile(
    r"""
    json\.loads? | tomllib\.\w+ | yaml\.\w+
    | (?:pickle|pickletools|marshal|shelve|cloudpickle|joblib|dill)\.\w+
    | tarfile\.\w+ | gzip\.\w+ | bz2\.\w+ | lzma\.\w+ | zipfile\.(?:ZipFile|Path) | shutil\.unpack_archive
    | numpy\.(?:load|fromfile|loadtxt|genfromtxt|memmap) | numpy\.lib\.format\.\w+ | sqlite3\.connect
    | safetensors\.(?:safe_open|deserialize) | safetensors\.\w+\.load(?:_file)?
    | pyarrow\.parquet\.(?:ParquetFile|ParquetDataset|read_\w+) | pyarrow\.(?:ipc|orc|feather|json)\.\w+
    | PIL\.Image\.open | onnx\.load\w* | onnx\.\w+\.FromString | [\w.]*\.ParseFromString
    | torch\.load | torch\.jit\.load | torch\.export\.load | torch\.package\.\w+
    | xml\.[\w.]*\.(?:i?parse|fromstring)
    | eval | exec | builtins\.eval
    """,
    re.VERBOSE,
)
# Where it may be, and why.
ALLOWED = {
    "juggler.extras": {"json.loads": "the note of this very installation; it lies below the doors"},
    "juggler.data.picture_cache": {"numpy.memmap": "of a file with this very header, size and digest"},
    "juggler.runtime.export": {"onnx.load_from_string": "what torch has just written"},
    "juggler.runtime.int8.quantizers.onnxruntime": {"onnx.load": "what ONNX Runtime has just written"},
    "juggler.runtime.int8.quantization": {"onnx.load": "what ONNX Runtime has just written"},
    "juggler.runtime.int8.certified": {"onnx.load_from_string": "what was quantised just before"},
    "juggler.runtime.onnx_graphs.structure": {"onnx.ModelProto.FromString": "after `check_onnx`"},
    "juggler.reproduce.counting": {"onnx.load_from_string": "what was exported just before"},
    "juggler.runtime.importers.torch_export": {
        "torch.load": "weights alone, to see whether they are",
        "torch.export.load": "after every part of the archive was looked at",
        "json.loads": "within torch's own reader, under limits of its own",
        "zipfile.ZipFile": "names and packing alone, of an archive whose size was looked at",
    },
}


def dotted(node: ast.expr) -> str:
    """Return `a.b.c` of an expression; empty where it is another."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def aliases(tree: ast.AST) -> dict[str, str]:
    """Return what a file calls what it imports."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def doors(source: str) -> Iterator[str]:
    """Yield what a file reads with, but for what it writes itself in the same breath."""
    tree = ast.parse(source)
    names = aliases(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        first, dot, rest = dotted(node.func).partition(".")
        name = f"{names.get(first, first)}{dot}{rest}"
        inner = node.args[0] if node.args else None
        is_round_trip = isinstance(inner, ast.Call) and dotted(inner.func) == "json.dumps"
        is_writing = any(isinstance(part, ast.Constant) and part.value == "w" for part in node.args)
        if FORBIDDEN.fullmatch(name) and not is_round_trip and not is_writing:
            yield name


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_reader_goes_through_a_door():
    used = {}
    for path in ROOT.rglob("*.py"):
        if path.relative_to(ROOT).parts[0] != "reading" and (
            names := {*doors(path.read_text(encoding="utf-8"))}
        ):
            used[module_of(path)] = names
    beside = {module: names - {*ALLOWED.get(module, ())} for module, names in used.items()}
    assert {module: names for module, names in beside.items() if names} == {}
    for module, names in ALLOWED.items():
        assert {*names} <= used.get(module, set()), f"{module} no longer needs its exception"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import json\njson.loads(text)", ["json.loads"]),
        ("import json as as_json\nas_json.load(file)", ["json.load"]),
        ("from json import loads\nloads(text)", ["json.loads"]),
        ("import json\njson.loads(json.dumps(facts))", []),
        ("import numpy as np\nnp.load(path)", ["numpy.load"]),
        ("from pyarrow import parquet\nparquet.ParquetFile(path)", ["pyarrow.parquet.ParquetFile"]),
        ("import pyarrow.parquet as pq\npq.read_table(path)", ["pyarrow.parquet.read_table"]),
        ("import zipfile\nzipfile.ZipFile(path, 'w')", []),
        ("import zipfile\nzipfile.ZipFile(path)", ["zipfile.ZipFile"]),
        ("import safetensors.torch\nsafetensors.torch.load_file(p)", ["safetensors.torch.load_file"]),
        ("def f():\n    import pickle\n    pickle.loads(x)", ["pickle.loads"]),
        ("model.ParseFromString(content)", ["model.ParseFromString"]),
        ("from PIL import Image\nImage.open(path)", ["PIL.Image.open"]),
        ("from juggler.reading.documents import parse_json\nparse_json(text, request)", []),
        ("eval(text)", ["eval"]),
    ],
)
def test_doors_are_seen(source, names):
    assert [*doors(source)] == names

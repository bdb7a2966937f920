"""Read archives of torch.export as torch.fx graphs of plain torch modules, and run nothing that they hold.

`torch.export.load` of torch 2.13 unpickles what an archive asks it to unpickle, and falls back to the full
unpickler where the restricted one refuses; it evaluates expressions of sizes as Python, imports modules that
the tree of inputs names, and opens compiled libraries. An ordinary archive of a network needs none of that:
its weights are plain bytes, its graph is JSON. So the archive is looked through first, and refused where
loading it would do more than read.
"""

from __future__ import annotations

import ast
import io
import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import fx
from torch._export.serde.serialize import SerializeError
from torch.export.pt2_archive._package import PT2ArchiveReader

from juggler.errors import ArtefactError
from juggler.runtime.importers._comparison import compare_with_program, record_checks
from juggler.transform.tracing.exported import from_exported

MODEL, EXAMPLES = "models/model.json", "data/sample_inputs/model.pt"
_PLAIN = re.compile(
    r"models/model\.json|data/(weights|constants)/model_\1_config\.json|data/weights/weight_\d+"
    r"|data/constants/tensor_\d+|data/sample_inputs/model\.pt|archive_format|archive_version|byteorder"
    r"|version|\.data/\w+|extra/.*"
)
_OPERATORS = re.compile(r"torch\.ops\.(aten|prims)\.\w+\.\w+|_operator\.\w+|math\.\w+|torch\._?sym_\w+")
_SIZES = frozenset(
    "Add Mul Max Min Mod Integer Symbol FloorDiv CleanDiv CeilDiv PythonMod ModularIndexing".split()  # noqa: SIM905
)
_CONTAINERS = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"})
_OPERATIONS = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Div, ast.Mod)
LONGEST_SIZE, LARGEST_POWER = 2_000, 4  # characters of an expression; a small power is a product
REMEDY = "Save the network again with torch.export.save, as plain tensors and torch's own operators"


class TorchExportImporter:
    """Turns archives of torch.export into graph modules."""

    name = "torch_export"

    def load(self, source: Path | bytes) -> fx.GraphModule:
        """Read the network as a graph module in evaluation mode.

        Raises:
            ArtefactError: the file cannot be read, is no archive of torch.export, or loading it would run or
                unpickle something; the message names it.
            Refused: the program was captured in training mode, or holds control flow; or what was read
                computes something else than the program itself.
        """
        what = "a torch.export archive" if isinstance(source, bytes) else str(source)
        content = source if isinstance(source, bytes) else _read(source)
        for danger in _dangers(content, what):
            raise ArtefactError(f"open {what}", danger, REMEDY)
        try:
            program = torch.export.load(io.BytesIO(content))
        except (*_BROKEN, SerializeError, NotImplementedError) as error:
            raise ArtefactError(f"open {what}", f"torch cannot read it ({_first(error)})", REMEDY) from error
        network = from_exported(program)
        record_checks(network, compare_with_program(network, program, source))
        return network


_BROKEN = (RuntimeError, AssertionError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtefactError(f"open {path}", f"it cannot be read ({error.strerror})", REMEDY) from error


def _dangers(content: bytes, what: str) -> Iterator[str]:
    """Yield what loading the archive would do beyond reading it; the reader is the one that torch uses."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            packed = [
                entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED
            ]
        if packed:  # torch stores; what is packed may be of any size
            yield f"it holds {packed[0]} packed, of which torch's own archives hold nothing"
            return
        reader = PT2ArchiveReader(io.BytesIO(content))
        names = reader.get_file_names()
        if MODEL not in names:
            yield "it holds no exported program"
            return
        yield from (f"it holds {name}" for name in names if not _PLAIN.fullmatch(name))
        for name in names:
            if name.endswith("_config.json"):
                yield from _pickles(json.loads(reader.read_bytes(name)))
        if EXAMPLES in names and not _is_plain_pickle(reader.read_bytes(EXAMPLES)):
            yield "its example inputs are more than tensors and would be unpickled"
        yield from _in_program(json.loads(reader.read_bytes(MODEL)))
    except _BROKEN as error:
        raise ArtefactError(
            f"open {what}", f"no archive of torch.export ({_first(error)})", REMEDY
        ) from error


def _pickles(config: Any) -> Iterator[str]:
    for name, payload in config["config"].items():
        if payload["use_pickle"] is not False:
            yield f"{name} would be unpickled"


def _is_plain_pickle(content: bytes) -> bool:
    """Say whether torch's restricted unpickler takes it; where it does not, torch would use the full one."""
    try:
        if content:
            torch.load(io.BytesIO(content), weights_only=True)
    except (pickle.UnpicklingError, *_BROKEN):
        return False
    return True


def _in_program(value: Any, key: str = "") -> Iterator[str]:
    """Yield what in the program's JSON is more than a graph."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _in_program(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _in_program(inner, key)
    elif key in ("target", "as_operator") and isinstance(value, str) and not _OPERATORS.fullmatch(value):
        # Of arguments that are names of symbols torch speaks as `target` nowhere: these are operators.
        yield f"it calls {value}, which is no operator of torch's own"
    elif key == "expr_str" and not _is_size(value):
        yield f"a size is given as {str(value)[:60]!r}, which would be run as Python"
    elif key in ("in_spec", "out_spec", "treespec") and isinstance(value, str) and not _is_tree(value):
        yield "its inputs or outputs are of classes that loading would look up"


def _is_size(text: Any) -> bool:
    """Say whether an expression is made of numbers, named sizes, sums, products and quotients alone.

    A power of powers never ends, and a shift takes all memory there is.
    """
    if not isinstance(text, str) or len(text) > LONGEST_SIZE:
        return False
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return False
    return _is_arithmetic(tree)


def _is_arithmetic(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and abs(node.value) < 1 << 63
    if isinstance(node, ast.UnaryOp):
        return _is_arithmetic(node.operand)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, _OPERATIONS) and _is_arithmetic(node.left) and _is_arithmetic(node.right)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and _is_call(node, node.func.id)


def _is_call(node: ast.Call, name: str) -> bool:
    """Say whether a call is one of those that sizes are written with, on such arguments as they take."""
    if name == "Pow":
        return _is_small_power(node.args)
    named = all(isinstance(k.value, ast.Constant) and isinstance(k.value.value, bool) for k in node.keywords)
    if name == "Symbol":  # the one name that takes a text, which it does not evaluate
        first = node.args[0] if len(node.args) == 1 else None
        text = first.value if isinstance(first, ast.Constant) else None
        return named and isinstance(text, str) and text.isidentifier()
    return name in _SIZES and named and all(map(_is_arithmetic, node.args))


def _is_small_power(arguments: list[ast.expr]) -> bool:
    """Say whether it is one named size, by itself a few times."""
    if len(arguments) != 2:
        return False
    base, exponent = arguments
    if isinstance(exponent, ast.Call) and len(exponent.args) == 1:  # Integer(2)
        exponent = exponent.args[0]
    is_name = isinstance(base, ast.Call) and isinstance(base.func, ast.Name) and base.func.id == "Symbol"
    value = exponent.value if isinstance(exponent, ast.Constant) else None
    return is_name and _is_arithmetic(base) and isinstance(value, int) and 0 <= value <= LARGEST_POWER


def _is_tree(text: str) -> bool:
    """Say whether a tree of inputs is of Python's own containers, with plain keys."""
    try:
        return all(_is_container(part) for part in json.loads(text) if not isinstance(part, int))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


def _is_container(spec: Any) -> bool:
    context = spec["context"]
    keys = json.loads(context) if isinstance(context, str) else context
    plain = keys is None or (isinstance(keys, list) and all(isinstance(key, str | int) for key in keys))
    return plain and spec["type"] in _CONTAINERS and all(map(_is_container, spec["children_spec"]))


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


IMPORTER = TorchExportImporter()

"""From what a user names on the command line to networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from juggler.errors import ConfigError
from juggler.reading.request import Request
from juggler.runtime.open import open_session
from juggler.runtime.session import IMPORTERS, Model
from juggler.runtime.sources.factory import from_factory, is_factory

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMATS = {".onnx": "onnx", ".pt2": "torch_export"}
SOURCES = "package.module:factory, or a .safetensors, .pt2 or .onnx file"


def parse_shape(text: str) -> tuple[int, ...]:
    """Return `3,224,224` as numbers.

    Raises:
        ConfigError: it is something else.
    """
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise ConfigError("read the shape", repr(text), "Give channels,height,width, such as 3,224,224")
    return shape


def parse_sizes(text: str) -> list[int]:
    """Return `1,8,64` as numbers.

    Raises:
        ConfigError: it is something else.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError("read the batch sizes", repr(text), "Give numbers, such as 1,8,64") from error


def open_module(model: str) -> nn.Module:
    """Return the network that a source stands for, in evaluation mode.

    A source is `package.module:factory`, which runs that code: see `juggler.runtime.sources.factory`; a
    checkpoint of ours (.safetensors); an archive of torch.export (.pt2) or an ONNX file, out of which
    nothing is run; or a network's name.

    Raises:
        ArtefactError: the file cannot be read.
        ConfigError: the factory gave no network, or it is neither a file nor a name; the message lists the
            names.
    """
    path = Path(model)
    if is_factory(model) and not path.exists():
        return from_factory(model)
    from juggler.models import create, names  # noqa: PLC0415  # torch only where it is needed
    from juggler.models.networks import checkpoint  # noqa: PLC0415  # torch only where it is needed

    if path.suffix == ".safetensors":
        return checkpoint.load(path)[0]
    if path.suffix in FORMATS:
        return IMPORTERS.get(FORMATS[path.suffix]).load(path)
    if path.exists():
        raise ConfigError(f"open {model}", "its ending is unknown", f"Give {SOURCES}")
    if model not in names():
        raise ConfigError(
            f"open {model}",
            "neither a file nor a network's name",
            f"Networks: {', '.join(names())}. Or give {SOURCES}",
        )
    return create(model).eval()


def open_with_example(model: str, shape: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    """Return the network as `open_module` does, with a random input, `[1, *shape]`, that it is seen to take.

    The input is of the network's own element type.

    Raises:
        ArtefactError: the file cannot be read.
        ConfigError: it is neither a file nor a name, or does not take an input of that shape.
    """
    path = Path(model)
    if path.suffix == ".onnx" and not is_factory(model):
        from juggler.runtime.importers.onnx import IMPORTER  # noqa: PLC0415  # needs torch

        module: nn.Module = IMPORTER.load(path, shapes=[(1, *shape)])
    else:
        module = open_module(model)
    import torch  # noqa: PLC0415  # after the names were checked, for it takes seconds

    from juggler.runtime.modules import try_example  # noqa: PLC0415

    types = (p.dtype for p in module.parameters() if p.is_floating_point())
    example = torch.randn(1, *shape, dtype=next(types, torch.float32))
    try_example(module, (example,))
    return module, example


def read_inputs(path: Path, shape: tuple[int, ...]) -> Tensor:
    """Return real inputs out of a .npy file, `[n, *shape]`, in float32; nothing in it is unpickled.

    Raises:
        ConfigError: it cannot be read, or holds something else.
    """
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415  # torch only where it is needed

    from juggler.reading.arrays import read_npy  # noqa: PLC0415

    asked, remedy = (
        f"read inputs from {path}",
        f"Save an array [n, {', '.join(map(str, shape))}] with numpy.save",
    )
    array = read_npy(path, Request(asked, remedy, ConfigError))
    fits = array.ndim == len(shape) + 1 and array.shape[1:] == shape
    if not fits or not len(array) or array.dtype.kind not in "fiu":
        raise ConfigError(asked, f"it holds {array.shape} of {array.dtype}", remedy)
    return torch.from_numpy(np.array(array, dtype=np.float32))


def contenders(
    models: Sequence[str], shape: str | None, *, flat: bool
) -> tuple[dict[str, Model], tuple[int, ...]]:
    """Return the networks to measure by name, and their input's shape without the batch.

    Args:
        models: sources, as `open_module` takes them.
        shape: `channels,height,width`, or `None` to take it from the first ONNX file.
        flat: add the flat form of each that is no ONNX file, under its name and ` flat`.

    Raises:
        ConfigError: no shape is given and none can be read.
    """
    networks: dict[str, Model] = {}
    files = {model: Path(model) for model in models if Path(model).suffix == ".onnx"}
    size = parse_shape(shape) if shape else _shape_of(files)
    stems = [model if is_factory(model) else Path(model).stem for model in models]
    for model, stem in zip(models, stems, strict=True):
        name = stem if stems.count(stem) == 1 else model
        if model in files:
            networks[name] = files[model]
            continue
        module, example = open_with_example(model, size)
        networks[name] = module
        if flat:
            from juggler.transform import flatten  # noqa: PLC0415

            networks[f"{name} flat"] = flatten(module, example).model
    return networks, size


def _shape_of(files: dict[str, Path]) -> tuple[int, ...]:
    for path in files.values():
        with open_session(path) as session:
            sides = session.inputs[0].shape[1:]
        if all(side is not None for side in sides):
            return tuple(side for side in sides if side is not None)
    raise ConfigError("measure", "no input shape", "Give --shape channels,height,width, such as 3,224,224")

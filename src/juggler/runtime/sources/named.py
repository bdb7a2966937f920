"""From what a user names on the command line to networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from juggler.errors import ConfigError
from juggler.reading.request import Request
from juggler.runtime.open import open_session
from juggler.runtime.session import IMPORTERS, Model
from juggler.runtime.sources.factory import from_factory, is_factory

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMATS = {".onnx": "onnx", ".pt2": "torch_export"}
ELEMENT_TYPES = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
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
        raise ConfigError(
            "read the shape", repr(text), "Give --shape channels,height,width, such as 3,224,224"
        )
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

    request, remedy = (
        f"read inputs from {path}",
        f"Save an array [n, {', '.join(map(str, shape))}] with numpy.save",
    )
    array = read_npy(path, Request(request, remedy, ConfigError))
    fits = array.ndim == len(shape) + 1 and array.shape[1:] == shape
    if not fits or not len(array) or array.dtype.kind not in "fiu":
        raise ConfigError(request, f"it holds {array.shape} of {array.dtype}", remedy)
    return torch.from_numpy(np.array(array, dtype=np.float32))


def contenders(
    models: Sequence[str],
    shape: str | Sequence[str] | None,
    *,
    flat: bool,
    dtypes: Sequence[str] = (),
) -> tuple[dict[str, Model], tuple[tuple[int, ...], ...]]:
    """Return the networks to measure by name, and the shape of each of their inputs without the batch.

    Args:
        models: sources, as `open_module` takes them.
        shape: `channels,height,width`, one an input, or None to take them from the first ONNX file.
        flat: add the flat form of each that is no ONNX file, under its name and ` flat`.
        dtypes: element types of the inputs, one an input; none is the networks' own.

    Raises:
        ConfigError: no shape is given and none can be read, or there is no such element type.
    """
    networks: dict[str, Model] = {}
    files = {model: Path(model) for model in models if Path(model).suffix == ".onnx"}
    shapes = (
        tuple(map(parse_shape, [shape] if isinstance(shape, str) else shape)) if shape else _shapes_of(files)
    )
    _check_types(dtypes, len(shapes))
    stems = [model if is_factory(model) else Path(model).stem for model in models]
    for model, stem in zip(models, stems, strict=True):
        name = stem if stems.count(stem) == 1 else model
        if model in files:
            networks[name] = files[model]
            continue
        module, example = _open_with_examples(model, shapes, dtypes)
        networks[name] = module
        if flat:
            from juggler.transform import flatten  # noqa: PLC0415

            networks[f"{name} flat"] = flatten(module, example).model
    return networks, shapes


def _open_with_examples(
    model: str, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str]
) -> tuple[nn.Module, Any]:
    """Return a network with what it is seen to take: a tensor, or a tuple of them for several inputs."""
    if len(shapes) == 1 and not dtypes:
        return open_with_example(model, shapes[0])
    import torch  # noqa: PLC0415  # torch only where it is needed

    from juggler.runtime.measure.contenders import drawn_input  # noqa: PLC0415
    from juggler.runtime.modules import try_example  # noqa: PLC0415

    module = open_module(model)
    types = dtypes or ("float32",) * len(shapes)
    pairs = zip(shapes, types, strict=True)
    example = tuple(torch.from_numpy(drawn_input((1, *shape), dtype, 0)) for shape, dtype in pairs)
    try_example(module, example)
    return module, example if len(example) > 1 else example[0]


def _check_types(dtypes: Sequence[str], inputs: int) -> None:
    strange = [name for name in dtypes if name not in ELEMENT_TYPES]
    if strange or len(dtypes) not in (0, inputs):
        problem = repr(strange[0]) if strange else f"{len(dtypes)} for {inputs} inputs"
        raise ConfigError(
            "read the element types", problem, f"Give one an input, of {', '.join(ELEMENT_TYPES)}"
        )


def _shapes_of(files: dict[str, Path]) -> tuple[tuple[int, ...], ...]:
    for path in files.values():
        with open_session(path) as session:
            shapes = [spec.shape[1:] for spec in session.inputs]
        if all(side is not None for sides in shapes for side in sides):
            return tuple(tuple(side for side in sides if side is not None) for sides in shapes)
    raise ConfigError("measure", "no input shape", "Give --shape channels,height,width, such as 3,224,224")

"""From what a user names to the structure of a network, as quickly as that can be had."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from juggler.errors import ConfigError
from juggler.predict.graphs.structure import graph_structure_of
from juggler.runtime.onnx_graphs.structure import GraphStructure
from juggler.runtime.sources.named import open_with_example

if TYPE_CHECKING:
    from torch import nn

IMAGE = (3, 224, 224)


def open_graph_structure(model: str, shape: tuple[int, ...] | None) -> tuple[GraphStructure, tuple[int, ...]]:
    """Return a network's structure and its input's shape without the batch.

    Args:
        model: an ONNX file, of which no weight is read; or a source as `juggler.runtime.sources.named`
            takes it.
        shape: of the input; None takes an ONNX file's own, and 3,224,224 of other networks.

    Raises:
        ConfigError: it is neither a file nor a name, or does not take an input of that shape.
        ArtefactError: the file cannot be read.
    """
    path = Path(model)
    if path.suffix != ".onnx":
        image_shape = shape or IMAGE
        if path.exists() or not _is_named(model):
            module, _ = open_with_example(model, image_shape)
            return graph_structure_of(module, image_shape, path.stem if path.exists() else model), image_shape
        return graph_structure_of(weightless(model), image_shape, model), image_shape
    structure = graph_structure_of(path, ())
    if shape is not None:
        return structure, shape
    sides = structure.input_shape[1:]
    if not sides or any(side is None for side in sides):
        problem = f"no size of its own for its input {list(sides)}"
        raise ConfigError(f"predict {model}", problem, "Give --shape channels,height,width")
    return structure, tuple(side for side in sides if side is not None)


def weightless(name: str) -> nn.Module:
    """Return a network by name whose weights take no memory: each is one number, seen at every place.

    To draw the weights of ResNet-152 takes seconds and 240 MB, and none of them is ever read.

    Raises:
        ConfigError: there is no such network.
    """
    import torch  # noqa: PLC0415  # heavy

    from juggler.models import create  # noqa: PLC0415

    with torch.device("meta"):
        module = create(name).eval()
    for index, (path, value) in enumerate([*module.named_parameters(), *module.named_buffers()]):
        owner, _, attribute = path.rpartition(".")
        # Numbers differ, for the exporter looks for weights that are the same.
        number = torch.tensor(1 + index % 997, dtype=value.dtype).expand(value.shape)
        part = module.get_submodule(owner)
        if attribute in part._parameters:
            part.register_parameter(attribute, torch.nn.Parameter(number, requires_grad=False))
        else:
            part.register_buffer(attribute, number)
    return module


def _is_named(model: str) -> bool:
    from juggler.models import names  # noqa: PLC0415  # torch only where it is needed

    return model in names()

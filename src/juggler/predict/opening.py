"""From what a user names to the structure of a network, as quickly as that can be had."""

from __future__ import annotations

from pathlib import Path

from juggler.errors import ConfigError
from juggler.predict.skeleton import Skeleton, skeleton_of
from juggler.runtime.named import open_with_example

IMAGE = (3, 224, 224)


def open_skeleton(model: str, shape: tuple[int, ...] | None) -> tuple[Skeleton, tuple[int, ...]]:
    """Return a network's structure and its input's shape without the batch.

    Args:
        model: an ONNX file, of which no weight is read; or a source as `juggler.runtime.named` takes it.
        shape: of the input; None takes an ONNX file's own, and 3,224,224 of other networks.

    Raises:
        ConfigError: it is neither a file nor a name, or does not take an input of that shape.
        ArtefactError: the file cannot be read.
    """
    path = Path(model)
    if path.suffix != ".onnx":
        own = shape or IMAGE
        module, _ = open_with_example(model, own)
        return skeleton_of(module, own, path.stem if path.exists() else model), own
    skeleton = skeleton_of(path, ())
    if shape is not None:
        return skeleton, shape
    sides = skeleton.input_shape[1:]
    if not sides or any(side is None for side in sides):
        found = f"no size of its own for its input {list(sides)}"
        raise ConfigError(f"predict {model}", found, "Give --shape channels,height,width")
    return skeleton, tuple(side for side in sides if side is not None)

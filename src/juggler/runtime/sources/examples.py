"""Inputs for a network that a user names: of the shapes and types that he gives, and of random values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from juggler.errors import ConfigError
from juggler.runtime.sources.named import parse_shape

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGE = (3, 224, 224)
FLOATING = ("float32", "float64", "float16", "bfloat16", "complex64", "complex128")
INTEGER = ("int64", "int32", "int16", "int8", "uint8", "bool")
ELEMENT_TYPES = (*FLOATING, *INTEGER)


def parse_shapes(texts: str | Sequence[str] | None) -> tuple[tuple[int, ...], ...]:
    """Return `["3,224,224", "12"]` as numbers, one shape an input; none where none is given.

    Raises:
        ConfigError: one is something else.
    """
    return tuple(map(parse_shape, [texts] if isinstance(texts, str) else texts or ()))


def parse_types(names: Sequence[str] | None, inputs: int) -> tuple[str | None, ...]:
    """Return an element type for each input: one given stands for all of them, none given is None for each.

    Raises:
        ConfigError: there is no such type, or another number of types than of inputs.
    """
    types = list(names or ())
    for name in types:
        if name not in ELEMENT_TYPES:
            raise ConfigError("read the element type", repr(name), f"Choose from {', '.join(ELEMENT_TYPES)}")
    if len(types) not in (0, 1, inputs):
        raise ConfigError(
            "read the element types", f"{len(types)} for {inputs} inputs", "Give one for all, or one for each"
        )
    return tuple(types) if len(types) == inputs else (types[0] if types else None,) * inputs


def random_inputs(
    network: nn.Module, shapes: Sequence[tuple[int, ...]], types: Sequence[str | None] = (), *, batch: int = 1
) -> tuple[Tensor, ...]:
    """Return a random input for each shape, `[batch, *shape]`: normal numbers, or 0 and 1 of integers.

    Args:
        network: whose own element type is taken where none is given.
        shapes: without the batch.
        types: names of element types, see `parse_types`.
        batch: inputs at once.
    """
    import torch  # noqa: PLC0415  # after names were checked, for it takes seconds

    floating = (p.dtype for p in network.parameters() if p.is_floating_point() or p.is_complex())
    default = next(floating, torch.float32)
    inputs = []
    for shape, name in zip(shapes, types or (None,) * len(shapes), strict=True):
        kind = default if name is None else getattr(torch, name)
        if kind.is_floating_point or kind.is_complex:
            inputs.append(torch.randn(batch, *shape, dtype=kind))
        else:
            inputs.append(torch.randint(2, (batch, *shape)).to(kind))
    return tuple(inputs)


def is_graph(model: str) -> bool:
    """Say whether a source is an ONNX file, which is read as it is."""
    return Path(model).suffix == ".onnx"

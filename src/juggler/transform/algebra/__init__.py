"""The algebra of what is linear, tensors in and tensors out; it knows nothing of graphs or modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.transform.algebra.border_bias import bias_map, with_ones_channel
    from juggler.transform.algebra.composition import border_class, compose, follow, split_bias
    from juggler.transform.algebra.conv import (
        Conv,
        NotFusible,
        add,
        densify,
        fold_scale_shift,
        identity,
        relative_error,
        scale_shift,
        stack,
    )

__all__ = [
    "Conv",
    "NotFusible",
    "add",
    "bias_map",
    "border_class",
    "compose",
    "densify",
    "fold_scale_shift",
    "follow",
    "identity",
    "relative_error",
    "scale_shift",
    "split_bias",
    "stack",
    "with_ones_channel",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.transform.algebra.border_bias": ["bias_map", "with_ones_channel"],
        "juggler.transform.algebra.composition": ["border_class", "compose", "follow", "split_bias"],
        "juggler.transform.algebra.conv": [
            "Conv",
            "NotFusible",
            "add",
            "densify",
            "fold_scale_shift",
            "identity",
            "relative_error",
            "scale_shift",
            "stack",
        ],
    },
)

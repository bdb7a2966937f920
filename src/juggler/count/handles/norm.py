"""Norms. What is done once a channel or once a group is left out where it is folded before inference."""

from __future__ import annotations

from math import prod

from juggler.count.work import Call, Handle, Work


def _batch_norm(call: Call) -> Work:
    """Count a batch norm: in inference one multiplication and one addition an element.

    Scale and shift are worked out beforehand, once a channel. Where statistics are those of the input, as in
    an instance norm, there are the mean, the differences and the sum of their squares beside it.
    """
    elements = call.elements("input")
    is_input_normalised = bool(call.arguments.get("training", call.arguments.get("use_input_stats", False)))
    if is_input_normalised:
        return Work("norm", additions=4 * elements, multiplications=2 * elements)
    return Work("norm", additions=elements, multiplications=elements)


def _normalised(elements: int, rows: int, scaled: bool, shifted: bool) -> Work:
    """Return the work of norms that work out mean and variance of each row.

    The mean, the differences, the squares and their sum; the division by the root; scale and shift.
    """
    return Work(
        "norm",
        additions=(3 + shifted) * elements,
        multiplications=(2 + scaled) * elements,
        functions=rows,
    )


def _layer_norm(call: Call) -> Work:
    elements = call.elements("input")
    rows = elements // max(prod(call["normalized_shape"]), 1)
    return _normalised(elements, rows, call.has("weight"), call.has("bias"))


def _group_norm(call: Call) -> Work:
    elements = call.elements("input")
    groups = call.arguments.get("group", call.arguments.get("num_groups"))
    rows = call.size("input")[0] * int(groups or 1)
    return _normalised(elements, rows, call.has("weight"), call.has("bias"))


def _rms_norm(call: Call) -> Work:
    """Count the squares and their sum, the division by the root, and the scale."""
    elements = call.elements("input")
    rows = elements // max(prod(call["normalized_shape"]), 1)
    scaled = int(call.has("weight"))
    return Work("norm", additions=elements, multiplications=(2 + scaled) * elements, functions=rows)


def _weight_norm(call: Call) -> Work:
    """Count a weight worked out of a direction and a length: squares, sum, root, ratio, product."""
    elements, lengths = call.elements("v"), call.elements("g")
    return Work("norm", additions=elements, multiplications=2 * elements + lengths, functions=lengths)


HANDLES: dict[str, Handle] = {
    **dict.fromkeys(
        (
            "aten.batch_norm",
            "aten.native_batch_norm",
            "aten._native_batch_norm_legit",
            "aten.cudnn_batch_norm",
            "aten._native_batch_norm_legit_no_training",
            "aten._batch_norm_no_update",
        ),
        _batch_norm,
    ),
    **dict.fromkeys(("aten.layer_norm", "aten.native_layer_norm"), _layer_norm),
    **dict.fromkeys(("aten.group_norm", "aten.native_group_norm"), _group_norm),
    **dict.fromkeys(("aten.rms_norm", "aten._fused_rms_norm"), _rms_norm),
    "aten._weight_norm_interface": _weight_norm,
}

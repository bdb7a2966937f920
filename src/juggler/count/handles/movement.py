"""What moves data and computes nothing: copies, concatenation, padding, gathering, filling.

Views need no handle: that an operator gives another name to its input stands in its schema.
"""

from __future__ import annotations

from juggler.count.work import Call, Handle, Work

_COPIES = (
    *("clone", "copy", "_to_copy", "to", "contiguous", "type_as", "lift_fresh_copy", "view_copy"),
    *("cat", "stack", "repeat", "repeat_interleave", "expand_copy", "roll", "flip", "rot90"),
    *("constant_pad_nd", "pad", "tril", "triu", "diag_embed", "block_diag"),
    *("reflection_pad1d", "reflection_pad2d", "reflection_pad3d"),
    *("replication_pad1d", "replication_pad2d", "replication_pad3d"),
    *("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle", "im2col"),
)
_GATHERS = (
    *("embedding", "index", "index_select", "gather", "take", "masked_select", "nonzero", "one_hot"),
    *("scatter", "slice_scatter", "select_scatter", "index_put", "_unsafe_index", "_unsafe_index_put"),
    *("index_copy", "masked_scatter", "where", "masked_fill", "max_unpool2d", "max_unpool3d"),
    *("_unsafe_masked_index", "_local_scalar_dense"),
)
_FILLS = (
    *("zeros", "ones", "full", "eye", "arange", "linspace", "scalar_tensor"),
    *("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"),
    *("fill", "zero", "zero_", "tril_indices", "triu_indices"),
    *("_efficientzerotensor", "lift_fresh", "lift"),
)
_RENAMED = ("detach", "alias")  # in place, where a schema does not say that they only rename
_RESERVED = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")
_IDENTITIES = ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "_unsafe_view")


def _move(_: Call) -> Work:
    return Work("move")


def _reserve(_: Call) -> Work:
    """Count nothing, bytes neither: memory is set aside or named anew, and not touched."""
    return Work("view")


def _scatter_add(call: Call) -> Work:
    """Count one addition for each element that is added somewhere."""
    source = "src" if "src" in call.arguments else "source"
    return Work("move", additions=call.elements(source))


def _bag(call: Call) -> Work:
    """Count one addition for each number of each vector that goes into a bag."""
    features = call.size("weight")[-1]
    return Work("reduce", additions=call.elements("indices") * features)


def _col2im(call: Call) -> Work:
    """Count one addition for each element of the columns."""
    return Work("move", additions=call.elements("self"))


HANDLES: dict[str, Handle] = {
    **{f"aten.{name}": _move for name in (*_COPIES, *_GATHERS, *_FILLS, *_IDENTITIES)},
    **{f"aten.{name}": _reserve for name in (*_RESERVED, *_RENAMED)},
    **dict.fromkeys(("aten.scatter_add", "aten.index_add"), _scatter_add),
    "aten._embedding_bag": _bag,
    "aten._embedding_bag_forward_only": _bag,
    "aten.col2im": _col2im,
}

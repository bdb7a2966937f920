"""What moves data and computes nothing: copies, concatenation, padding, gathering, filling.

Views need no handle: that an operator gives another name to its input stands in its schema.
"""

from __future__ import annotations

from juggler.count.work import Call, Handle, Work

_COPIES = ("clone", "copy", "_to_copy", "to", "contiguous", "type_as", "lift_fresh_copy", "view_copy")
_JOINS = ("cat", "stack", "repeat", "repeat_interleave", "expand_copy", "roll", "flip", "rot90")
_PADS = (
    *("constant_pad_nd", "pad", "tril", "triu", "diag_embed", "block_diag"),
    *(f"{kind}_pad{d}d" for kind in ("reflection", "replication") for d in (1, 2, 3)),
)
_SHUFFLES = ("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle", "im2col")
_GATHERS = ("embedding", "index", "index_select", "gather", "take", "masked_select", "nonzero", "one_hot")
_SCATTERS = ("scatter", "slice_scatter", "select_scatter", "index_put", "_unsafe_index_put", "index_copy")
_CHOICES = ("masked_scatter", "where", "masked_fill", "max_unpool2d", "max_unpool3d")
_UNSAFE = ("_unsafe_index", "_unsafe_masked_index", "_local_scalar_dense")
_FILLS = ("zeros", "ones", "full", "eye", "arange", "linspace", "scalar_tensor", "fill", "zero", "zero_")
_FILLS_LIKE = ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")
_CONSTANTS = ("tril_indices", "triu_indices", "_efficientzerotensor", "lift_fresh", "lift")
_PARTS = ("complex", "_conj_physical", "conj_physical")
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


_MOVES = (
    _COPIES,
    _JOINS,
    _PADS,
    _SHUFFLES,
    _GATHERS,
    _SCATTERS,
    _CHOICES,
    _UNSAFE,
    _FILLS,
    _FILLS_LIKE,
    _CONSTANTS,
    _IDENTITIES,
    _PARTS,
)
HANDLES: dict[str, Handle] = {
    **{f"aten.{name}": _move for names in _MOVES for name in names},
    **{f"aten.{name}": _reserve for name in (*_RESERVED, *_RENAMED)},
    **dict.fromkeys(("aten.scatter_add", "aten.index_add"), _scatter_add),
    "aten._embedding_bag": _bag,
    "aten._embedding_bag_forward_only": _bag,
    "aten.col2im": _col2im,
}

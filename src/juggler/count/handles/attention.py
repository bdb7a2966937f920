"""Attention: the usual hole in counts. Two products and a softmax, counted as the two parts they are.

Between the parts the scores stay where they are computed, as in every fused kernel, so no bytes of theirs
are counted.
"""

from __future__ import annotations

from math import prod

from juggler.count.geometry import Geometry
from juggler.count.handles.reduction import softmax_of
from juggler.count.work import Call, Handle, Work


def _attend(call: Call) -> tuple[Work, ...]:
    """Count softmax(Q Kᵀ / √e + mask) V, for Q of `[..., l, e]`, K of `[..., s, e]`, V of `[..., s, v]`.

    All l x s scores count, whatever a mask hides. Where fewer heads of K and V serve all of Q's, the work is
    that of Q's.
    """
    *outer, queries, features = call.size("query")
    keys, values = call.size("key")[-2], call.size("value")[-1]
    heads = prod(outer[1:])
    scores = prod(outer) * queries * keys
    mask = next((name for name in ("attn_mask", "attn_bias") if call.has(name)), None)
    soft = softmax_of(scores)
    batch = outer[0] if outer else 1
    return (
        Work(
            "attention",
            macs=scores * features,
            additions=soft.additions + (scores if mask else 0),
            multiplications=soft.multiplications + scores,  # the scale
            comparisons=soft.comparisons,
            functions=soft.functions,
            geometry=Geometry.matmul(queries, features, keys, heads=heads, batch=batch) if scores else None,
            part="scores",
            reads=("query", "key", *([mask] if mask else [])),
            writes=False,
        ),
        Work(
            "attention",
            macs=scores * values,
            geometry=Geometry.matmul(queries, keys, values, heads=heads, batch=batch) if scores else None,
            part="values",
            reads=("value",),
        ),
    )


HANDLES: dict[str, Handle] = dict.fromkeys(
    (
        "aten.scaled_dot_product_attention",
        "aten._scaled_dot_product_flash_attention",
        "aten._scaled_dot_product_flash_attention_for_cpu",
        "aten._scaled_dot_product_efficient_attention",
        "aten._scaled_dot_product_cudnn_attention",
        "aten._scaled_dot_product_fused_attention_overrideable",
    ),
    _attend,
)

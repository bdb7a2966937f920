"""Handles of what multiplies: convolutions, matrices, einsum, attention, recurrent layers; in int8 too.

What an int8 operator rounds and scales inside of itself is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from juggler.count.geometry import Geometry
from juggler.count.handles.quantized import recurrent_work
from juggler.count.work import Work
from juggler.runtime.counting.node import Handle, Node, Shape

ABSENT = 99  # the place of an input that an operator has not
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _convolution(read: int, weight: int, bias: int, *, transposed: bool = False) -> Handle:
    """Return the handle of a convolution whose input, weight and bias stand at these places."""

    def handle(node: Node) -> Work:
        size, kernel = node.size(read), node.size(weight)[2:]
        dimensions = len(kernel)
        strides = node.attributes.get("strides") or [1] * dimensions
        dilations = node.attributes.get("dilations") or [1] * dimensions
        pads = _pads(node, size[2:], kernel, strides, dilations)
        begins, ends = pads[:dimensions], pads[dimensions:]
        padding, sides = [min(pair) for pair in zip(begins, ends, strict=True)], size[2:]
        if not transposed:  # uneven padding is as good as a larger input: each result costs the same
            uneven = [abs(begin - end) for begin, end in zip(begins, ends, strict=True)]
            sides = tuple(side + more for side, more in zip(sides, uneven, strict=True))
        arguments: dict[str, int | Shape] = {"input": (*size[:2], *sides), "weight": weight, "bias": bias}
        work: Work = node.work(
            "aten.convolution",
            arguments,
            stride=list(strides),
            padding=padding,
            dilation=list(dilations),
            groups=int(node.attributes.get("group", 1)),
            transposed=transposed,
        )
        return work

    return handle


def _pads(
    node: Node, size: Shape, kernel: Shape, strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    """Return the padding at all begins, then at all ends."""
    rule = node.attributes.get("auto_pad", "NOTSET")
    if not rule.startswith("SAME"):
        return (
            [0] * (2 * len(kernel))
            if rule == "VALID"
            else list(node.attributes.get("pads") or [0] * (2 * len(kernel)))
        )
    total = [
        max(0, (-(-side // step) - 1) * step + gap * (taps - 1) + 1 - side)
        for side, taps, step, gap in zip(size, kernel, strides, dilations, strict=True)
    ]
    less = [pad // 2 for pad in total]
    more = [pad - half for pad, half in zip(total, less, strict=True)]
    return less + more if rule == "SAME_UPPER" else more + less


def _product(left: int, right: int, bias: int | None = None, *, turned: bool = False) -> Handle:
    """Return the handle of a product of matrices, `[..., m, k] x [..., k, n]`, of operands at these places.

    Args:
        left: place of the left operand.
        right: place of the right one.
        bias: place of what is added.
        turned: whether attributes say which operands are transposed.
    """

    def handle(node: Node) -> Work | tuple[Work, ...]:
        a, b = node.size(left), node.size(right)
        if turned and node.attributes.get("transA"):
            a = (*a[:-2], *a[:-3:-1])
        if turned and node.attributes.get("transB"):
            b = (*b[:-2], *b[:-3:-1])
        additions = (
            prod(node.out) if bias is not None and node.has(bias) and node.attributes.get("beta", 1.0) else 0
        )
        return replace(
            _matmul(a, b, node.out, right in node.weights, left in node.weights), additions=additions
        )

    return handle


def _matmul(a: Shape, b: Shape, out: Shape, right_is_weight: bool, left_is_weight: bool) -> Work:
    """Return the work of `a` times `b`, which broadcast before their last two sizes as in numpy."""
    m = a[-2] if len(a) > 1 else 1
    k = a[-1]
    n = b[-1] if len(b) > 1 else 1
    heads = prod(out) // max(m * n, 1)
    macs = heads * m * k * n
    if not macs:
        return Work("matmul")
    if right_is_weight and not left_is_weight:
        if prod(b[:-2]) == 1:  # one matrix for all positions
            batch = a[0] if len(a) > 1 else 1
            return Work(
                "linear", macs, geometry=Geometry.linear(k, n, positions=heads * m // batch, batch=batch)
            )
        return Work("linear", macs, geometry=_grouped(heads, m, k, n, prod(b[:-2])))
    if left_is_weight and not right_is_weight:
        return Work("linear", macs, geometry=_grouped(heads, n, k, m, prod(a[:-2])))
    return Work("matmul", macs, geometry=Geometry.matmul(m, k, n, heads=heads))


def _grouped(heads: int, rows: int, ins: int, outs: int, matrices: int) -> Geometry:
    """Return linear layers side by side, each with a matrix of its own, for `heads` products in all."""
    return Geometry("linear", rows * heads // matrices, matrices * ins, matrices * outs, groups=matrices)


def _einsum(node: Node) -> Work | tuple[Work, ...]:
    """Count a sum of products by its letters: a multiplication for each choice of all of them.

    Of more than two operands the order is the runtime's own choice: they are multiplied from left to right.
    """
    text = node.attributes["equation"].replace(" ", "")
    terms, _, result = text.partition("->")
    letters = terms.split(",")
    if "." in text or len(letters) > 2:
        return ()
    sizes = {
        letter: side
        for place, term in enumerate(letters)
        for letter, side in zip(term, node.size(place), strict=True)
    }
    if "->" not in text:
        result = "".join(sorted(letter for letter in sizes if terms.count(letter) == 1))
    every = prod(sizes.values())
    summed = prod(side for letter, side in sizes.items() if letter not in result)
    if len(letters) == 1:
        return Work("reduce", additions=every if summed > 1 else 0)
    if summed == 1:
        return Work("elementwise", multiplications=every)
    left, right = (set(term) for term in letters)
    sides = {
        "shared": left & right & set(result),
        "m": left - right,
        "n": right - left,
    }
    heads, m, n = (prod(sizes[letter] for letter in group) for group in sides.values())
    k = every // max(heads * m * n, 1)
    weights = 1 in node.weights, 0 in node.weights
    return _matmul((heads, m, k), (heads, k, n), (heads, m, n), *weights)


def _attention(node: Node) -> tuple[Work, ...]:
    """Count ONNX's Attention: Q, K and V of four sizes, or of three with the heads in the last one."""
    queries, keys, values = (node.size(place) for place in range(3))
    if len(queries) == 3:
        heads, pairs = (int(node.attributes[name]) for name in ("q_num_heads", "kv_num_heads"))
        queries, keys, values = (
            (size[0], count, size[1], size[2] // count)
            for size, count in ((queries, heads), (keys, pairs), (values, pairs))
        )
    if node.has(4):  # keys and values of before stand in front of the new ones
        keys = (*keys[:2], keys[2] + node.size(4)[2], keys[3])
        values = (*values[:2], keys[2], values[3])
    return _attended(node, (queries, keys, values), 3)


def _multi_head_attention(node: Node) -> tuple[Work, ...]:
    """Count ONNX Runtime's: queries, keys and values `[batch, length, heads x size]`."""
    heads = int(node.attributes["num_heads"])
    sizes = [node.size(place) for place in range(3)]
    if any(len(size) != 3 for size in sizes):
        return ()
    return _attended(node, [(size[0], heads, size[1], size[2] // heads) for size in sizes], 5)


def _fused_attention(weight: int) -> Handle:
    """Return the handle of ONNX Runtime's Attention: one linear layer for all three, then the attention."""

    def handle(node: Node) -> tuple[Work, ...]:
        batch, length, features = node.size(0)
        outs, heads = node.size(weight)[-1], int(node.attributes["num_heads"])
        layer = replace(
            _matmul((batch, length, features), (features, outs), (batch, length, outs), True, False),
            additions=batch * length * outs,
            part="projections",
            writes=False,
        )
        size = (batch, heads, length, outs // 3 // heads)
        return (layer, *(replace(work, reads=()) for work in _attended(node, [size] * 3, ABSENT)))

    return handle


def _attended(node: Node, factors: Sequence[Shape], mask: int) -> tuple[Work, ...]:
    """Return the two parts of attention by the sizes `[batch, heads, length, size]` of its three factors."""
    inputs: dict[str, int | Shape] = dict(zip(("query", "key", "value"), factors, strict=True))
    first, last = node.work("aten.scaled_dot_product_attention", inputs | {"attn_mask": mask})
    masks = (str(mask),) if node.has(mask) else ()
    return replace(first, reads=("0", "1", *masks)), replace(last, reads=("2",))


def _recurrent(gates: int) -> Handle:
    """Return the handle of recurrent layers: a product with the inputs, and one with the state, each step."""

    def handle(node: Node) -> tuple[Work, ...]:
        first, second, ins = node.size(0)
        steps, batch = (second, first) if node.attributes.get("layout") else (first, second)
        directions, states = node.size(2)[0], int(node.attributes.get("hidden_size", node.size(2)[-1]))
        outs = gates * states
        of_inputs = Geometry.linear(ins, directions * outs, positions=steps, batch=batch)
        of_states = Geometry(
            "linear",
            batch,
            directions * states,
            directions * outs,
            groups=directions,
            in_size=(steps,),
            out_size=(steps,),
        )
        each = recurrent_work(steps * batch * directions, gates, states, 0)
        if not node.has(3):
            each = replace(each, additions=each.additions - 2 * outs * steps * batch * directions)
        rest = tuple(str(place) for place in range(2, len(node.inputs)))
        return (
            Work("linear", of_inputs.macs, geometry=of_inputs, part="inputs", reads=("0", "1"), writes=False),
            replace(each, macs=of_states.macs, geometry=of_states, part="states", reads=rest),
        )

    return handle


def _packed_product(node: Node) -> Work:
    """Count a product with weights of a few bits: K and N stand in the attributes, for they are packed."""
    k, n = int(node.attributes["K"]), int(node.attributes["N"])
    rows = node.elements(0) // max(k, 1)
    return Work("linear", rows * k * n, geometry=Geometry.linear(k, n, batch=rows))


def _then(handle: Handle, comparisons: int = 1) -> Handle:
    """Return the handle of an operator with an activation in it, which costs a comparison a result."""

    def counted(node: Node) -> Work:
        work = handle(node)
        assert isinstance(work, Work)  # noqa: S101
        return replace(work, comparisons=work.comparisons + comparisons * prod(node.out))

    return counted


HANDLES: dict[str, Handle] = {
    "Conv": _convolution(0, 1, 2),
    "ConvInteger": _convolution(0, 1, ABSENT),
    "QLinearConv": _convolution(0, 3, 8),
    "ConvTranspose": _convolution(0, 1, 2, transposed=True),
    "com.microsoft.FusedConv": _then(_convolution(0, 1, 2)),
    "Gemm": _product(0, 1, 2, turned=True),
    "com.microsoft.FusedGemm": _then(_product(0, 1, 2, turned=True)),
    "com.microsoft.QGemm": _product(0, 3, 6, turned=True),
    "MatMul": _product(0, 1),
    "com.microsoft.FusedMatMul": _product(0, 1, turned=True),
    "MatMulInteger": _product(0, 1),
    "QLinearMatMul": _product(0, 3),
    "com.microsoft.DynamicQuantizeMatMul": _product(0, 1, 4),
    "com.microsoft.MatMulIntegerToFloat": _product(0, 1, 6),
    "com.microsoft.MatMulNBits": _packed_product,
    "Einsum": _einsum,
    "Attention": _attention,
    "com.microsoft.MultiHeadAttention": _multi_head_attention,
    "com.microsoft.Attention": _fused_attention(1),
    "com.microsoft.QAttention": _fused_attention(1),
    **{op: _recurrent(gates) for op, gates in GATES.items()},
    "com.microsoft.DynamicQuantizeLSTM": _recurrent(4),
}

"""Linear layers and products of matrices and vectors; an einsum arrives as these."""

from __future__ import annotations

from math import prod

from juggler.count.geometry import Geometry
from juggler.count.work import Call, Handle, Work


def _linear(call: Call) -> Work:
    """Count `x Wᵀ + b` for x of `[..., in]`."""
    weight = call.size("weight")
    outs, ins = (weight[0], weight[1]) if len(weight) > 1 else (1, weight[0])
    before = call.size("input")[:-1]
    elements = prod(call.out)
    macs = elements * ins
    geometry = None
    if macs:
        geometry = Geometry.linear(ins, outs, positions=prod(before[1:]), batch=before[0] if before else 1)
    return Work("linear", macs=macs, additions=elements if call.has("bias") else 0, geometry=geometry)


def _matrices(left: str, right: str, added: str | None = None) -> Handle:
    """Return the handle of `[m, k] x [k, n]`, to which a third may be added."""

    def handle(call: Call) -> Work:
        (m, k), (_, n) = call.size(left), call.size(right)
        geometry = None
        kind = "matmul"
        if m * k * n:
            kind, geometry = _of_two(call, (left, right), (m, k, n), 1)
        return Work(kind, macs=m * k * n, additions=_added(call, added), geometry=geometry)

    return handle


def _of_two(
    call: Call, names: tuple[str, str], sizes: tuple[int, int, int], count: int
) -> tuple[str, Geometry]:
    """Return whether so many products are linear layers, with a weight, or products of two activations."""
    m, k, n = sizes
    is_weight = tuple(name in call.weights for name in names)
    if is_weight[0] == is_weight[1]:
        return "matmul", Geometry.matmul(m, k, n, heads=count)
    rows, outs = (m, n) if is_weight[1] else (n, m)
    return "linear", Geometry("linear", rows, count * k, count * outs, groups=count)


def _batches(left: str, right: str, added: str | None = None) -> Handle:
    """Return the handle of `[b, m, k] x [b, k, n]`."""

    def handle(call: Call) -> Work:
        (b, m, k), (_, _, n) = call.size(left), call.size(right)
        kind, geometry = "matmul", None
        if b * m * k * n:
            kind, geometry = _of_two(call, (left, right), (m, k, n), b)
        return Work(kind, macs=b * m * k * n, additions=_added(call, added), geometry=geometry)

    return handle


def _added(call: Call, added: str | None) -> int:
    """Return the additions of what is added to a product, nothing where it is multiplied by zero."""
    return prod(call.out) if added is not None and call.arguments.get("beta", 1) != 0 else 0


def _summed_batches(call: Call) -> Work:
    """Count the sum of a batch of products and one matrix."""
    (b, m, k), (_, _, n) = call.size("batch1"), call.size("batch2")
    return Work(
        "matmul",
        macs=b * m * k * n,
        additions=_added(call, "self"),
        geometry=Geometry.matmul(m, b * k, n) if b * m * k * n else None,
    )


def _vector(left: str, right: str, added: str | None = None) -> Handle:
    """Return the handle of `[m, k] x [k]`, or of `[k] x [k]`."""

    def handle(call: Call) -> Work:
        m, k = (1, *call.size(left))[-2:]
        geometry = Geometry.linear(k, m) if m * k else None
        if geometry is not None and not {left, right} & call.weights:
            geometry = Geometry.matmul(m, k, 1)
        kind = "linear" if geometry is not None and geometry.kind == "linear" else "matmul"
        return Work(kind, macs=m * k, additions=_added(call, added), geometry=geometry)

    return handle


def _outer_added(call: Call) -> Work:
    """Count a matrix and the outer product of two vectors."""
    return Work("matmul", macs=prod(call.out), additions=0)


def _trilinear(call: Call) -> Work:
    """Count the sum over products of three, which is what a bilinear layer is."""
    expanded = [list(call.size(name)) for name in ("i1", "i2", "i3")]
    for sizes, where in zip(expanded, ("expand1", "expand2", "expand3"), strict=True):
        for place in call[where]:
            sizes.insert(place, 1)
    full = prod(max(sizes) for sizes in zip(*expanded, strict=True))
    return Work("matmul", macs=full, multiplications=full)


def _distances(call: Call) -> Work:
    """Count the Euclidean distances of all pairs: differences, squares summed, roots."""
    pairs, features = prod(call.out), call.size("x1")[-1]
    return Work("matmul", macs=pairs * features, additions=pairs * features, functions=pairs)


def _sparse(call: Call) -> Work:
    """Count a sparse matrix times a dense one: each number that is stored meets a row."""
    stored = call["mat1"]._nnz() if call["mat1"].is_sparse else call.elements("mat1")
    return Work("matmul", macs=stored * call.size("mat2")[-1], additions=_added(call, "self"))


HANDLES: dict[str, Handle] = {
    "aten.linear": _linear,
    "aten.mm": _matrices("self", "mat2"),
    "aten._int_mm": _matrices("self", "mat2"),
    "aten.addmm": _matrices("mat1", "mat2", "self"),
    "aten.bmm": _batches("self", "mat2"),
    "aten.baddbmm": _batches("batch1", "batch2", "self"),
    "aten.addbmm": _summed_batches,
    "aten.mv": _vector("self", "vec"),
    "aten.addmv": _vector("mat", "vec", "self"),
    "aten.dot": _vector("self", "tensor"),
    "aten.vdot": _vector("self", "other"),
    "aten.addr": _outer_added,
    "aten._sparse_addmm": _sparse,
    "aten._trilinear": _trilinear,
    **dict.fromkeys(("aten._euclidean_dist", "aten._cdist_forward"), _distances),
}

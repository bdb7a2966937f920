"""What makes one number of many: sums, means, variances, maxima, norms; and softmax, which is built on them.

Every sum is counted from an accumulator at zero: n numbers are n additions.
"""

from __future__ import annotations

from math import inf, prod

from juggler.count.work import Call, Handle, Work


def _elements(call: Call) -> int:
    return call.elements("self")


def _sum(call: Call) -> Work:
    return Work("reduce", additions=_elements(call))


def _mean(call: Call) -> Work:
    return Work("reduce", additions=_elements(call), multiplications=prod(call.out))


def _variance(call: Call) -> Work:
    """Count the mean, the differences from it, and the mean of their squares."""
    elements, results = _elements(call), prod(call.out)
    roots = results if "std" in call.operator else 0
    return Work("reduce", additions=3 * elements, multiplications=elements + 2 * results, functions=roots)


def _compare(call: Call) -> Work:
    if call.has("other"):  # torch.max of two tensors goes by the same name
        return Work("elementwise", comparisons=prod(call.out))
    return Work("reduce", comparisons=_elements(call))


def _minmax(call: Call) -> Work:
    return Work("reduce", comparisons=2 * _elements(call))


def _product(call: Call) -> Work:
    return Work("reduce", multiplications=_elements(call))


def _norm(call: Call) -> Work:
    """Count a norm: the second by squares and a root, the first by absolute values, others by powers."""
    elements, results = _elements(call), prod(call.out)
    order = call.arguments.get("ord", call.arguments.get("p"))
    order = 2 if order is None else order
    if order == 2:
        return Work("reduce", additions=elements, multiplications=elements, functions=results)
    if order == 1:
        return Work("reduce", additions=elements, comparisons=elements)
    if order in (inf, -inf):
        return Work("reduce", comparisons=2 * elements)
    return Work("reduce", additions=elements, comparisons=elements, functions=elements + results)


def _logsumexp(call: Call) -> Work:
    """Count the maximum, the differences from it, their exponentials, the sum, its logarithm, the maximum."""
    elements, results = _elements(call), prod(call.out)
    return Work(
        "reduce",
        additions=2 * elements + results,
        comparisons=elements,
        functions=elements + results,
    )


def softmax_of(elements: int) -> Work:
    """Return the work of a softmax: maximum, differences, exponentials, sum, division."""
    return Work(
        "softmax",
        additions=2 * elements,
        multiplications=elements,
        comparisons=elements,
        functions=elements,
    )


def _softmax(call: Call) -> Work:
    return softmax_of(_elements(call))


def _log_softmax(call: Call) -> Work:
    """Count the maximum, the differences, their exponentials, the sum, its logarithm, and one difference."""
    elements = _elements(call)
    dim = call["dim"]
    rows = elements // max(call.size("self")[dim], 1) if call.size("self") else 1
    return Work(
        "softmax",
        additions=3 * elements,
        comparisons=elements,
        functions=elements + rows,
    )


HANDLES: dict[str, Handle] = {
    **dict.fromkeys(("aten.sum", "aten.nansum", "aten.cumsum", "aten.count_nonzero"), _sum),
    "aten.mean": _mean,
    **dict.fromkeys(("aten.var", "aten.var_mean", "aten.std", "aten.std_mean"), _variance),
    **dict.fromkeys(
        (
            "aten.amax",
            "aten.amin",
            "aten.max",
            "aten.min",
            "aten.argmax",
            "aten.argmin",
            "aten.any",
            "aten.all",
            "aten.cummax",
            "aten.cummin",
        ),
        _compare,
    ),
    "aten.aminmax": _minmax,
    **dict.fromkeys(("aten.prod", "aten.cumprod"), _product),
    **dict.fromkeys(("aten.linalg_vector_norm", "aten.norm"), _norm),
    "aten.logsumexp": _logsumexp,
    **dict.fromkeys(("aten._softmax", "aten._safe_softmax"), _softmax),
    "aten._log_softmax": _log_softmax,
}

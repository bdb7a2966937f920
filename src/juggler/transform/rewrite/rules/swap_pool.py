"""Average first and convolve afterwards: a 1x1 convolution and an average commute."""

from __future__ import annotations

from collections.abc import Iterator

from juggler.transform.algebra.conv import Conv
from juggler.transform.algebra.values import GlobalPool, Pool
from juggler.transform.rewrite.expression import Answer, Expression, Proposal, Term
from juggler.transform.rewrite.rule import between, only_read, replacement


class SwapPool:
    """`pool(conv1x1(x)) -> conv1x1(pool(x))`: on as many fewer pixels as the pool leaves."""

    name = "swap_pool"
    source = "linearity: the average acts on space alone, a 1x1 convolution on channels alone"
    tried = False

    def propose(self, term: Term, expression: Expression) -> Iterator[Answer]:
        """Return the two in the other order, if that saves work."""
        before = only_read(term, expression)
        if before is None or not isinstance(term.value, Pool | GlobalPool) or not _is_point(before.value):
            return
        conv, pool = before.value, term.value
        pads = isinstance(pool, Pool) and any(pool.padding)
        if pads and isinstance(conv, Conv) and conv.bias is not None:
            return  # what the pool averages at the border is the bias and zeros
        shape = (term.shape[0], before.reads[0].channels, *term.shape[2:])
        pooled = between(term, pool, before.reads, shape)
        after = replacement(term, before.value, (pooled,), (before, term))  # type: ignore[arg-type]
        if after.macs < before.macs:
            yield Proposal(((term, after),))


def _is_point(value: object) -> bool:
    if not isinstance(value, Conv) or not value.kernel:
        return False
    return {*value.kernel, *value.stride} == {1} and set(value.padding) == {0}


RULE = SwapPool()

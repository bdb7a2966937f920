"""Carry a bias that leaks into zero padding by a map that is added; exact at one size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from juggler.transform.algebra.border_bias import bias_map
from juggler.transform.algebra.composition import BIAS_LEAK, border_class, split_bias
from juggler.transform.algebra.conv import Conv, NotFusible
from juggler.transform.algebra.values import Pool, Scale, Shift, Sum, Value
from juggler.transform.rewrite.expression import Answer, Expression, Proposal, Term
from juggler.transform.rewrite.rule import between, only_read, replacement


class BorderMap:
    """`conv2(conv1(x) + b) -> conv'(x) + map`: what zero padding leaves of the bias is a constant map."""

    name = "border_map"
    source = "linearity; the border that Juggler-ResNet Eq. 5-7 leave out"
    tried = True

    def propose(self, term: Term, expression: Expression) -> Iterator[Answer]:
        """Return the fused convolution and its map, or a map carried past what follows it."""
        if isinstance(term.value, Sum):
            yield from _past_sum(term, expression)
        before = only_read(term, expression)
        if before is None or term.value is None:
            return
        if isinstance(before.value, Shift) and isinstance(term.value, Conv | Scale | Pool | Shift):
            yield _past(before, before.value, term, term.value)
        elif isinstance(before.value, Conv) and isinstance(term.value, Conv):
            yield from _leaking(before, before.value, term, term.value)


def _leaking(before: Term, first: Conv, term: Term, second: Conv) -> Iterator[Answer]:
    if len(first.kernel) != len(second.kernel) or border_class(first, second) != BIAS_LEAK:
        return
    split = split_bias(first, second)
    if isinstance(split, NotFusible):
        return
    linear, carried = split
    fused = between(term, linear, before.reads, term.shape)
    fused.paths = (*before.paths, *term.paths)
    shift = Shift(bias_map(carried, second, before.shape[2:]))
    yield Proposal(((term, replacement(term, shift, (fused,), (before, term))),))


def _past(before: Term, shift: Shift, term: Term, value: Value) -> Proposal:
    """Let what follows act on the map once and for all: `f(x + m)` is `f(x) + (f without its bias)(m)`."""
    if isinstance(value, Shift):
        both = Shift(shift.map + value.map)
        return Proposal(((term, replacement(term, both, before.reads, (before, term))),))
    bare = value
    if isinstance(value, Conv):
        bare = replace(value, bias=None)
    elif isinstance(value, Scale):
        bare = replace(value, shift=None)
    applied = between(term, value, before.reads, term.shape)
    return Proposal(((term, replacement(term, Shift(bare(shift.map)), (applied,), (before, term))),))


def _past_sum(term: Term, expression: Expression) -> Iterator[Answer]:
    shifted = [r for r in term.reads if isinstance(r.value, Shift) and expression.is_private(r)]
    if not shifted:
        return
    total = sum(r.value.map for r in shifted if isinstance(r.value, Shift))
    reads = tuple(r.reads[0] if r in shifted else r for r in term.reads)
    if len(set(reads)) < len(reads):
        return
    bare = between(term, Sum(), reads, term.shape)
    yield Proposal(((term, replacement(term, Shift(total), (bare,), (*shifted, term))),))  # type: ignore[arg-type]


RULE = BorderMap()

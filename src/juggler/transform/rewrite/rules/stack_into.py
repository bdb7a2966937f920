"""Convolutions of one input whose outputs are stacked are one convolution."""

from __future__ import annotations

from collections.abc import Iterator

from juggler.transform.algebra.conv import Conv, Impossible, geometry, stack
from juggler.transform.algebra.values import Stack
from juggler.transform.rewrite.expression import Answer, Expression, Proposal, Term
from juggler.transform.rewrite.rule import between, made


class StackInto:
    """`cat(one(x), other(x))` is one convolution with the rows of both."""

    name = "stack_into"
    source = "Juggler-ResNet III-C3, Fig. 6, without the addition"
    tried = False

    def propose(self, term: Term, expression: Expression) -> Iterator[Answer]:
        """Return the stack with two neighbours of equal geometry and one input made one."""
        if not isinstance(term.value, Stack):
            return
        for at in range(len(term.reads) - 1):
            one, other = term.reads[at : at + 2]
            if one.reads != other.reads or one is other:
                continue
            if not (isinstance(one.value, Conv) and isinstance(other.value, Conv)):
                continue
            if geometry(one.value) != geometry(other.value) or one.value.groups != 1:
                continue
            value = stack([one.value, other.value])
            if isinstance(value, Impossible):
                continue
            shape = (one.shape[0], one.channels + other.channels, *one.shape[2:])
            joined = between(term, value, one.reads, shape)
            reads = (*term.reads[:at], joined, *term.reads[at + 2 :])
            yield Proposal(((term, made(term, Stack(), reads, (one, other, term))),))
            return


RULE = StackInto()

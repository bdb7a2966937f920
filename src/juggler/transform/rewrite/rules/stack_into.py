"""Convolutions of one input whose outputs are stacked are one convolution."""

from __future__ import annotations

from collections.abc import Iterator

from juggler.transform.algebra.conv import Conv, NotFusible, geometry, stack
from juggler.transform.algebra.values import Stack
from juggler.transform.rewrite.expression import Answer, Expression, Proposal, Term
from juggler.transform.rewrite.rule import between, replacement


class StackInto:
    """`cat(conv1(x), conv2(x)) -> conv'(x)`: one kernel has the rows of both."""

    name = "stack_into"
    source = "Juggler-ResNet III-C3, Fig. 6, without the addition"
    tried = False

    def propose(self, term: Term, expression: Expression) -> Iterator[Answer]:
        """Return the stack with two neighbours of equal geometry and one input made one."""
        if not isinstance(term.value, Stack):
            return
        for at in range(len(term.reads) - 1):
            left, right = term.reads[at : at + 2]
            if left.reads != right.reads or left is right:
                continue
            if not (isinstance(left.value, Conv) and isinstance(right.value, Conv)):
                continue
            if geometry(left.value) != geometry(right.value) or left.value.groups != 1:
                continue
            value = stack([left.value, right.value])
            if isinstance(value, NotFusible):
                continue
            shape = (left.shape[0], left.channels + right.channels, *left.shape[2:])
            joined = between(term, value, left.reads, shape)
            reads = (*term.reads[:at], joined, *term.reads[at + 2 :])
            yield Proposal(((term, replacement(term, Stack(), reads, (left, right, term))),))
            return


RULE = StackInto()

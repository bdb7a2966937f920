"""Fold a batch norm, or any scale and shift by constants, into the convolution before or after it."""

from __future__ import annotations

from collections.abc import Iterator

from juggler.transform.algebra.composition import follow
from juggler.transform.algebra.conv import NotFusible
from juggler.transform.algebra.values import Scale
from juggler.transform.rewrite.expression import Answer, Expression, Term
from juggler.transform.rewrite.rule import instead, only_read, refused


class FoldScale:
    """`scale(conv(x)) -> conv'(x)`: the kernel's rows are scaled; for `conv(scale(x))` its columns."""

    name = "fold_scale"
    source = "Juggler-ResNet III-C1, Eq. 2-4"
    tried = False

    def propose(self, term: Term, expression: Expression) -> Iterator[Answer]:
        """Return the convolution with the scale inside."""
        before = only_read(term, expression)
        if before is None or before.value is None or term.value is None:
            return
        if not isinstance(term.value, Scale) and not isinstance(before.value, Scale):
            return
        value = follow(before.value, term.value, before.channels)
        if isinstance(value, NotFusible):
            yield refused((before, term), value)
        elif value is not None:
            yield instead(term, value, before.reads, (before, term))


RULE = FoldScale()

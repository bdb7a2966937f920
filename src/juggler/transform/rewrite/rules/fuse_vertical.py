"""Fuse two linear things, one after another, into one (Juggler-ResNet III-C2, Eq. 5-7)."""

from __future__ import annotations

from collections.abc import Iterator

from juggler.transform.algebra.composition import BIAS_LEAK, border_class, follow
from juggler.transform.algebra.conv import Conv, NotFusible
from juggler.transform.algebra.values import Scale
from juggler.transform.rewrite.expression import Answer, Expression, Term
from juggler.transform.rewrite.rule import instead, only_read, refused


class FuseVertical:
    """`conv2(conv1(x)) -> conv'(x)`: where the taps form a kernel and the border is exact."""

    name = "fuse_vertical"
    source = "Juggler-ResNet III-C2, Eq. 5-7"
    tried = False

    def propose(self, term: Term, expression: Expression) -> Iterator[Answer]:
        """Return the composed value; a bias that leaks into padding is another rule's."""
        before = only_read(term, expression)
        if before is None or before.value is None or term.value is None:
            return
        first, second = before.value, term.value
        if isinstance(first, Scale) or isinstance(second, Scale):
            return
        value = follow(first, second, before.channels)
        if isinstance(value, NotFusible):
            both = isinstance(first, Conv) and isinstance(second, Conv)
            if not (both and border_class(first, second) == BIAS_LEAK):  # type: ignore[arg-type]
                yield refused((before, term), value)
        elif value is not None:
            yield instead(term, value, before.reads, (before, term))


RULE = FuseVertical()

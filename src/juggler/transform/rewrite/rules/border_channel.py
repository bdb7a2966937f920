"""Carry a bias that leaks into zero padding by a channel of ones; exact at every size."""

from __future__ import annotations

from collections.abc import Iterator

from juggler.transform.algebra.border_bias import with_ones_channel
from juggler.transform.algebra.composition import BIAS_LEAK, border_class
from juggler.transform.algebra.conv import Conv, NotFusible
from juggler.transform.algebra.values import OnesChannel
from juggler.transform.rewrite.expression import Answer, Expression, Proposal, Term
from juggler.transform.rewrite.rule import between, only_read, refused, replacement


class BorderChannel:
    """`conv2(conv1(x) + b) -> conv'(cat(x, 1))`: a channel of ones carries the bias to the border."""

    name = "border_channel"
    source = "linearity; the border that Juggler-ResNet Eq. 5-7 leave out"
    tried = False

    def propose(self, term: Term, expression: Expression) -> Iterator[Answer]:
        """Return the fused convolution of the input with ones appended."""
        before = only_read(term, expression)
        if before is None or not isinstance(before.value, Conv) or not isinstance(term.value, Conv):
            return
        first, second = before.value, term.value
        if len(first.kernel) != len(second.kernel) or border_class(first, second) != BIAS_LEAK:
            return
        value = with_ones_channel(first, second)
        if isinstance(value, NotFusible):
            yield refused((before, term), value)
            return
        source = before.reads[0]
        shape = (source.shape[0], source.channels + 1, *source.shape[2:])
        ones = between(term, OnesChannel(), (source,), shape)
        yield Proposal(((term, replacement(term, value, (ones,), (before, term))),))


RULE = BorderChannel()

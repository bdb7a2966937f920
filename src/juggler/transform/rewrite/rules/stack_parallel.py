"""Parallel convolutions of one input become one, whose channels are split again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from juggler.transform.algebra.conv import Conv, NotFusible, geometry, stack
from juggler.transform.algebra.values import Elementwise, Part
from juggler.transform.rewrite.expression import Answer, Expression, Proposal, Term
from juggler.transform.rewrite.rule import between, replacement


class StackParallel:
    """`conv1(x), conv2(x) -> split(conv'(x))`: also behind one activation, where all have the same."""

    name = "stack_parallel"
    source = "Juggler-ResNet III-C3, Fig. 6, without the addition"
    tried = True

    def propose(self, term: Term, expression: Expression) -> Iterator[Answer]:
        """Propose one convolution for all that read `term` with equal geometry."""
        alike: dict[object, list[Term]] = defaultdict(list)
        for user in expression.users(term):
            if isinstance(user.value, Conv) and user.value.groups == 1 and user.value.kernel:
                alike[geometry(user.value)].append(user)
        for convs in alike.values():
            if len(convs) > 1:
                yield from _stacked(convs, expression)


def _stacked(convs: Sequence[Term], expression: Expression) -> Iterator[Answer]:
    convs = sorted(convs, key=lambda conv: conv.order)
    value = stack([conv.value for conv in convs if isinstance(conv.value, Conv)])
    if isinstance(value, NotFusible):
        return
    sizes = tuple(conv.channels for conv in convs)
    shape = (convs[0].shape[0], sum(sizes), *convs[0].shape[2:])
    stacked = between(convs[0], value, convs[0].reads, shape)
    stacked.paths = tuple(path for conv in convs for path in conv.paths)
    tails = _tails(convs, expression)
    source, olds = stacked, list(convs)
    if tails is not None and tails[0].value is not None:
        source, olds = between(convs[0], tails[0].value, (stacked,), shape), tails
    news = [replacement(old, Part(sizes, i), (source,), (old,)) for i, old in enumerate(olds)]
    for new in news:
        new.position = convs[0].position  # all pieces are there as soon as the one convolution is
    yield Proposal(tuple(zip(olds, news, strict=True)))


def _tails(convs: Sequence[Term], expression: Expression) -> list[Term] | None:
    """Return the activation behind each convolution, where all have one and it is the same."""
    if not all(expression.is_private(conv) for conv in convs):
        return None
    tails = [expression.users(conv)[0] for conv in convs]
    keys = {tail.value.key if isinstance(tail.value, Elementwise) else None for tail in tails}
    return tails if len(keys) == 1 and None not in keys else None


RULE = StackParallel()

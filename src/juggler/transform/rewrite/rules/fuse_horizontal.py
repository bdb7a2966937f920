"""Fuse what is linear in one input and added up (Juggler-ResNet III-C3, Fig. 6).

The paper keeps a bare shortcut in the blocks that keep their shape (Fig. 4a) and leaves its fusion to the
reader: the shortcut is a convolution with a single one per channel, a normalised one with its scale there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch.nn import functional as F

from juggler.transform.algebra.composition import follow
from juggler.transform.algebra.conv import Conv, NotFusible, add, fold_scale_shift, identity
from juggler.transform.algebra.values import OnesChannel, Pool, Scale, Sum, Value
from juggler.transform.rewrite.expression import Answer, Expression, Proposal, Term
from juggler.transform.rewrite.rule import between, refused, replacement

DEPTH = 6  # values one after another that a branch is followed back; bounds the search in long chains


@dataclass(frozen=True)
class Branch:
    """One summand as a single value of something further back.

    Attributes:
        source: what it is a function of.
        value: the function; `None` where it is the source itself.
        through: terms that went into it.
        with_ones: it reads the source with a channel of ones appended.
    """

    source: Term
    value: Value | None
    through: tuple[Term, ...]
    with_ones: bool = False


class FuseHorizontal:
    """`conv1(x) + conv2(x) -> conv'(x)`: the smaller kernel sits in the centre of the larger."""

    name = "fuse_horizontal"
    source = "Juggler-ResNet III-C3, Fig. 6; normalised identity: RepVGG (Ding et al. 2021), section 3.3"
    tried = False

    def propose(self, term: Term, expression: Expression) -> Iterator[Answer]:
        """Return the sum with two of its parts made one."""
        if not isinstance(term.value, Sum):
            return
        branches = [list(_branches(read, expression)) for read in term.reads]
        for i, j in combinations(range(len(branches)), 2):
            pair = _nearest(branches[i], branches[j])
            if pair is None:
                yield from _wall_between(term.reads[i], term.reads[j])
                continue
            value = _sum_of(*pair)
            if isinstance(value, NotFusible):
                yield refused((term.reads[i], term.reads[j], term), value)
                continue
            yield _proposal(term, (i, j), pair, value)


def _proposal(term: Term, at: tuple[int, int], pair: tuple[Branch, Branch], value: Value) -> Proposal:
    ones = next((b for b in pair if b.with_ones), None)
    source = pair[0].source
    if ones is not None:
        source = next(t for t in ones.through if isinstance(t.value, OnesChannel))
    others = [read for k, read in enumerate(term.reads) if k not in at]
    through = (*pair[0].through, *pair[1].through, term)
    if not others:
        return Proposal(((term, replacement(term, value, (source,), through)),))
    joined = between(term, value, (source,), term.shape)
    joined.paths = tuple(path for t in through[:-1] for path in t.paths)
    return Proposal(((term, replacement(term, Sum(), (joined, *others), (term,))),))


def _branches(term: Term, expression: Expression) -> Iterator[Branch]:
    """Yield the term as a function of itself, of what it reads, of what that reads, and so on."""
    yield Branch(term, None, ())
    value: Value | None = None
    through: tuple[Term, ...] = ()
    for _ in range(DEPTH):
        if len(term.reads) != 1 or term.value is None or not expression.is_private(term):
            return
        if isinstance(term.value, OnesChannel):
            yield Branch(term.reads[0], value, (term, *through), with_ones=True)
            return
        if not isinstance(term.value, Conv | Scale | Pool):
            return
        value = term.value if value is None else _followed(term, value)
        if value is None:
            return
        through = (term, *through)
        term = term.reads[0]
        yield Branch(term, value, through)


def _followed(term: Term, value: Value) -> Value | None:
    if term.value is None:
        return None
    first = term.value
    if isinstance(first, Pool) and isinstance(value, Scale):
        first = first.as_conv(term.channels, value.scale)
    both = follow(first, value, term.channels)
    return None if isinstance(both, NotFusible) else both


def _nearest(left: list[Branch], right: list[Branch]) -> tuple[Branch, Branch] | None:
    """Return the two branches from the nearest source that they share."""
    places = {branch.source: branch for branch in reversed(right)}
    for branch in left:
        if branch.source in places:
            return branch, places[branch.source]
    return None


def _wall_between(left: Term, right: Term) -> Iterator[Answer]:
    if isinstance(left.value, Conv) and isinstance(right.value, Conv):
        yield refused(
            (left, right),
            NotFusible(
                f"{left.label} reads {left.reads[0].label} and {right.label} reads {right.reads[0].label}: "
                "something that is not linear lies between, a wall",
                "Train with a fusible block instead, whose branches have no activation inside",
            ),
        )


def _sum_of(left: Branch, right: Branch) -> Value | NotFusible:
    """Return the sum of two branches of one source as one value."""
    if isinstance(right.value, Conv) and not isinstance(left.value, Conv):
        left, right = right, left
    channels = left.source.channels
    if isinstance(left.value, Conv):
        like = _with_ones(left.value) if right.with_ones and not left.with_ones else left.value
        value = _like(right, channels, like)
        if isinstance(value, NotFusible):
            return value
        if left.with_ones and not right.with_ones:
            value = _with_ones(value)
        return add(like, value)
    pooled = next((b.value for b in (left, right) if isinstance(b.value, Pool)), None)
    if pooled is not None:
        return NotFusible("an average beside a shortcut is no less work as a convolution", "Nothing to do")
    return _scales(left, right, channels)


def _like(branch: Branch, channels: int, like: Conv) -> Conv | NotFusible:
    """Return the branch as a convolution that can be added to `like`."""
    if isinstance(branch.value, Conv):
        return branch.value
    if isinstance(branch.value, Pool):
        return branch.value.as_conv(channels, like.weight)
    if like.out_channels != channels or set(like.stride) != {1}:
        return NotFusible("the convolution changes the shape, so the sum broadcasts", "Nothing to do")
    shortcut = identity(channels, like.groups, like)
    if isinstance(branch.value, Scale):
        shortcut = fold_scale_shift(shortcut, branch.value.scale, branch.value.shift_or_zeros())
    return shortcut


def _with_ones(conv: Conv) -> Conv:
    """Return the convolution reading one more channel, which it ignores."""
    sides = (0, 0) * len(conv.kernel)
    return replace(conv, weight=F.pad(conv.weight, (*sides, 0, 1)))


def _scales(left: Branch, right: Branch, channels: int) -> Value | NotFusible:
    """Add scales and bare shortcuts of one source."""
    scales = [b.value for b in (left, right) if isinstance(b.value, Scale)]
    if not scales:
        return NotFusible("a map added to itself is one addition either way", "Nothing to do")
    total = torch.stack([s.scale for s in scales]).sum(0) + (2 - len(scales))
    shifts = [s.shift for s in scales if s.shift is not None]
    return Scale(total, torch.stack(shifts).sum(0) if shifts else None, scales[0].rank)


RULE = FuseHorizontal()

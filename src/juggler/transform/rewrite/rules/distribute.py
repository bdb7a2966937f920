"""Push a scale through a sum or a stack into its parts, where each part can take it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from juggler.transform.algebra.composition import scale_after
from juggler.transform.algebra.values import Scale, Stack, Sum, Value
from juggler.transform.rewrite.expression import Answer, Expression, Proposal, Term
from juggler.transform.rewrite.rule import only_read, replacement


class Distribute:
    """`scale(a + b) -> scale(a) + scale'(b)`: the shift counts once; likewise piece by piece of a stack."""

    name = "distribute"
    source = "linearity"
    tried = False

    def propose(self, term: Term, expression: Expression) -> Iterator[Answer]:
        """Return the sum or the stack of the scaled parts, if not one of them needs a scale of its own."""
        before = only_read(term, expression)
        if before is None or not isinstance(term.value, Scale):
            return
        if isinstance(before.value, Sum):
            scales = _copies(term.value, len(before.reads))
        elif isinstance(before.value, Stack) and term.value.rank > 0:
            scales = _pieces(term.value, [part.channels for part in before.reads])
        else:
            return
        if not all(expression.is_private(part) for part in before.reads):
            return
        scaled = [_scaled(part, scale) for part, scale in zip(before.reads, scales, strict=True)]
        parts = tuple(part for part in scaled if part is not None)
        if len(parts) == len(scaled):
            yield Proposal(((term, replacement(term, before.value, parts, (before, term))),))


def _scaled(part: Term, scale: Scale) -> Term | None:
    if part.value is None:
        return None
    value = scale_after(part.value, scale)
    if value is None or not isinstance(value, Value):
        return None
    return replace(replacement(part, value, part.reads, (part,)), stands_for="")


def _copies(scale: Scale, count: int) -> list[Scale]:
    return [scale, *(Scale(scale.scale, None, scale.rank) for _ in range(count - 1))]


def _pieces(scale: Scale, sizes: list[int]) -> list[Scale]:
    shifts = torch.split(scale.shift_or_zeros(), sizes)
    return [Scale(s, t, scale.rank) for s, t in zip(torch.split(scale.scale, sizes), shifts, strict=True)]


RULE = Distribute()

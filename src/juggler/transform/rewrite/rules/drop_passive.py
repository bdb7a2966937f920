"""Drop what computes its own input: nn.Identity, dropout in evaluation mode, a sum or a stack of one."""

from __future__ import annotations

from collections.abc import Iterator

from juggler.transform.algebra.values import Identity, Stack, Sum
from juggler.transform.rewrite.expression import Answer, Expression, Proposal, Term


class DropPassive:
    """`identity(x) -> x`: an op that computes its own input is no op."""

    name = "drop_passive"
    source = "definition of dropout in evaluation mode"
    tried = False

    def propose(self, term: Term, expression: Expression) -> Iterator[Answer]:
        """Let the input through."""
        if isinstance(term.value, Identity | Sum | Stack) and len(term.reads) == 1:
            yield Proposal(((term, term.reads[0]),))


RULE = DropPassive()

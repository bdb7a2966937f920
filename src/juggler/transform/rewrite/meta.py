"""An expression in shapes alone, on torch's meta device: what a proposal would cost, before any number."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from juggler.transform.algebra.values import Value
from juggler.transform.rewrite.expression import CostDelta, Expression, Proposal, Term


def abstract(expression: Expression) -> Expression:
    """Return a copy whose values keep shapes and no numbers."""
    return _copied(expression)[0]


class MetaExpression:
    """A copy of an expression in shapes alone that is kept in step with it.

    Attributes:
        expression: the copy.
    """

    def __init__(self, expression: Expression) -> None:
        self.expression, self._twins = _copied(expression)
        self._originals = {twin: term for term, twin in self._twins.items()}

    def twin(self, term: Term) -> Term:
        """Return the copy of a term."""
        return self._twins[term]

    def originals(self, terms: Sequence[Term]) -> tuple[Term, ...]:
        """Return the terms of which these are copies."""
        return tuple(self._originals[term] for term in terms)

    def follow(self, proposal: Proposal, delta: CostDelta, added: Sequence[Term]) -> bool:
        """Put a proposal in place here too; say whether the copy is in step with what was made there.

        Args:
            proposal: in terms of the copy.
            delta: of this proposal, here.
            added: the new terms of the expression itself.
        """
        if [type(term.value) for term in added] != [type(term.value) for term in delta.added]:
            return False
        self.expression.replace(proposal, delta)
        self._twins.update(zip(added, delta.added, strict=True))
        self._originals.update(zip(delta.added, added, strict=True))
        return True


def _copied(expression: Expression) -> tuple[Expression, dict[Term, Term]]:
    twins: dict[Term, Term] = {}
    for term in (*expression.inputs, *expression.terms()):
        if term not in twins:
            value = None if term.value is None else _bare(term.value)
            reads = tuple(twins[read] for read in term.reads)
            twins[term] = dataclasses.replace(term, value=value, reads=reads)
    copy = Expression([twins[t] for t in expression.inputs], [twins[t] for t in expression.outputs])
    return copy, twins


def _bare(value: Value) -> Value:
    """Return the value with its tensors on the meta device."""
    fields: dict[str, Any] = {
        field.name: getattr(value, field.name).to("meta")
        for field in dataclasses.fields(value)
        if isinstance(getattr(value, field.name), Tensor)
    }
    return dataclasses.replace(value, **fields) if fields else value

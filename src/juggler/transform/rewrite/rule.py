"""What a rewriting rule is: it looks at one term and proposes; it never touches the expression.

The engine (`juggler.transform.rewrite.fusing`) weighs a proposal, compares it in float64 with what stood
there, and only then puts it in place. So a rule is short, and a wrong rule does no harm. No rule knows a
pattern of some network: each is one operation of the algebra.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from juggler.lazy import renamed
from juggler.registry import Registry
from juggler.transform.algebra.conv import NotFusible
from juggler.transform.algebra.values import Value
from juggler.transform.rewrite.expression import Answer, Expression, Proposal, Term

MOST_PATHS = 8  # enough to name a result by what they have in common; all of them would grow without end


class Rule(Protocol):
    """Look at one term of an expression and say what could stand there.

    The first line of a rule's docstring is an equation, and then words: "`bn(conv(x)) -> conv'(x)`: ...".

    Attributes:
        name: the file's name.
        source: paper section, equation or figure that the rule follows.
        tried: it saves no work, and whether it saves time depends on the device: it is left out unless
            forms are priced, and then makes a form of its own.
    """

    name: str
    source: str
    tried: bool

    def propose(self, term: Term, expression: Expression) -> Iterator[Answer]:
        """Yield proposals that end in `term`, or the terms concerned and why there is none."""
        ...


def rules() -> Registry[Rule]:
    """Return the registry of rules: one file in `juggler/transform/rewrite/rules` each, or an entry point."""
    return Registry("rule", "juggler.transform.rewrite.rules", alias="juggler.rules")


def instead(old: Term, value: Value, reads: tuple[Term, ...], through: tuple[Term, ...]) -> Proposal:
    """Propose one value in the place of `old`; `through` are all the terms that go into it."""
    return Proposal(((old, replacement(old, value, reads, through)),))


def replacement(old: Term, value: Value, reads: tuple[Term, ...], through: tuple[Term, ...]) -> Term:
    """Return a new term that gives the map of `old`."""
    paths = tuple(dict.fromkeys(path for term in through for path in term.paths))
    return Term(
        value,
        reads,
        old.shape,
        label=old.label,
        position=old.position,
        stands_for=old.stands_for,
        paths=paths if len(paths) <= MOST_PATHS else (*paths[: MOST_PATHS - 1], paths[-1]),
    )


def between(old: Term, value: Value, reads: tuple[Term, ...], shape: tuple[int, ...]) -> Term:
    """Return a new term on the way to the map of `old`, which is no map of the wide network."""
    return Term(value, reads, shape, label=f"{old.label}_part", position=old.position, paths=old.paths)


def only_read(term: Term, expression: Expression) -> Term | None:
    """Return what the term reads, where it is one term and is a value of the expression."""
    if len(term.reads) != 1 or term.reads[0].value is None:
        return None
    return term.reads[0] if term.reads[0] in expression else None


def refused(terms: tuple[Term, ...], why: NotFusible) -> Answer:
    """Return the answer that says why there is no proposal."""
    return terms, why


__getattr__ = renamed(__name__, {"made": "juggler.transform.rewrite.rule:replacement"})

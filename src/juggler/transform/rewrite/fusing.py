"""The engine: rules over an expression, each proposal weighed and checked before it is put in place.

Terms wait in a queue. What a proposal makes, and what reads it, is looked at again; nothing else is. So the
search takes time in proportion to the number of terms. Proposals are weighed in shapes alone: a kernel is
worked out only once it is wanted.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from juggler.nouns import Refusal, Rewrite
from juggler.transform.algebra.conv import Conv, Impossible, relative_error
from juggler.transform.algebra.values import Pool, Scale, Shift, Value
from juggler.transform.rewrite.expression import Balance, Expression, Proposal, Term, evaluate, leaves
from juggler.transform.rewrite.meta import Shadow
from juggler.transform.rewrite.rule import Rule

LIMITS = {"float64": 1e-12, "float32": 1e-5}  # of one rewrite, of a whole network in float32


class Gate(Protocol):
    """What a form is after: which proposals are wanted, and which of several comes first."""

    def objection(self, balance: Balance) -> Impossible | None:
        """Say why a proposal is not wanted."""
        ...

    def rank(self, balance: Balance) -> tuple[int, int]:
        """Return a key that is the less the better."""
        ...


class LessWork:
    """Refuse what raises the multiply-accumulates (the warning of Juggler-ResNet section II-C)."""

    def objection(self, balance: Balance) -> Impossible | None:
        """Say by how much the work would rise."""
        before, after = balance.macs_before, balance.macs_after
        if after <= before:
            return None
        return Impossible(
            f"exact, but it does not pay: the work would rise from {before:,} to {after:,} "
            f"multiply-accumulates ({after / max(before, 1):.2f} times)",
            "flatten(..., policy='always') does it all the same",
        )

    def rank(self, balance: Balance) -> tuple[int, int]:
        """Save work first, then ops."""
        return balance.macs_after - balance.macs_before, len(balance.made) - len(balance.gone)


class FewestOps:
    """Refuse nothing."""

    def objection(self, balance: Balance) -> Impossible | None:
        """Say nothing."""
        return None

    def rank(self, balance: Balance) -> tuple[int, int]:
        """Save ops first, then work."""
        return len(balance.made) - len(balance.gone), balance.macs_after - balance.macs_before


@dataclass(frozen=True)
class Way:
    """A proposal that is wanted.

    Attributes:
        rule: whose it is.
        number: which of the rule's answers, from 0.
        proposal: in shapes alone where there is a shadow, else as it is.
        balance: what it takes away and what it adds.
    """

    rule: Rule
    number: int
    proposal: Proposal
    balance: Balance


@dataclass
class Fusing:
    """One run of rules over one expression, in place.

    Attributes:
        expression: what is rewritten.
        rules: tried in this order on each term.
        gate: what the form is after.
        check: compare each proposal with what stands there; needs numbers, not only shapes.
        on_rewrite: called with each rewrite as it is made.
    """

    expression: Expression
    rules: Sequence[Rule]
    gate: Gate = field(default_factory=LessWork)
    check: bool = True
    on_rewrite: Callable[[Rewrite], None] | None = None
    rewrites: list[Rewrite] = field(default_factory=list)
    _refused: dict[tuple[str, tuple[Term, ...]], Refusal] = field(default_factory=dict)
    _shadow: Shadow | None = None

    def __post_init__(self) -> None:
        if self.check:
            self._shadow = Shadow(self.expression)

    def run(self) -> tuple[Refusal, ...]:
        """Rewrite until no rule applies; return what was refused in what remains."""
        waiting = deque(self.expression.terms())
        queued = set(waiting)
        while waiting:
            term = waiting.popleft()
            queued.discard(term)
            if term not in self.expression:
                continue
            for other in self._visit(term):
                if other in self.expression and other not in queued:
                    waiting.append(other)
                    queued.add(other)
        return tuple(self.remaining().values())

    def remaining(self) -> dict[tuple[Term, ...], Refusal]:
        """Return what was refused of terms that are still there."""
        return {
            terms: refusal
            for (_, terms), refusal in self._refused.items()
            if all(term in self.expression for term in terms)
        }

    def _visit(self, term: Term) -> list[Term]:
        """Apply the best of what the rules propose for a term; return what must be looked at again."""
        for way in self._ways(term):
            proposal, balance = way.proposal, way.balance
            if self._shadow is not None:
                answer = next(
                    itertools.islice(way.rule.propose(term, self.expression), way.number, None), None
                )
                if not isinstance(answer, Proposal):  # the numbers say otherwise than the shapes
                    if answer is not None:
                        self._refuse(way.rule, *answer)
                    continue
                proposal, balance = answer, self.expression.balance(answer)
            error = _error(proposal, balance, self.expression, len(self.rewrites)) if self.check else 0.0
            if not error <= LIMITS["float64"]:
                self._refuse(way.rule, balance.gone, _wrong(error))
                continue
            self._apply(way.rule, proposal, balance, error)
            if self._shadow is not None and not self._shadow.follow(way.proposal, way.balance, balance.made):
                self._shadow = Shadow(self.expression)
            return self._around(proposal, balance)
        return []

    def _ways(self, term: Term) -> Iterator[Way]:
        """Yield the proposals that are wanted for a term, the best first; keep what was refused."""
        shadow = self._shadow
        seen, expression = (
            (term, self.expression) if shadow is None else (shadow.twin(term), shadow.expression)
        )
        ways: list[tuple[tuple[int, ...], int, Way]] = []
        for rule in self.rules:
            for number, answer in enumerate(rule.propose(seen, expression)):
                if isinstance(answer, Proposal):
                    balance = expression.balance(answer)
                    objection = _still_read(balance, expression) or self.gate.objection(balance)
                    if objection is None:
                        # A rule that is tried goes first: the form is about what it brings.
                        rank = (-1 if rule.tried else 0, *self.gate.rank(balance))
                        ways.append((rank, len(ways), Way(rule, number, answer, balance)))
                        continue
                    terms, why = balance.gone, objection
                else:
                    terms, why = answer
                self._refuse(rule, terms if shadow is None else shadow.originals(terms), why)
        return (way for *_, way in sorted(ways, key=lambda found: found[:2]))

    def _around(self, proposal: Proposal, balance: Balance) -> list[Term]:
        """Return the terms for which something may have changed."""
        new = dict.fromkeys((*balance.made, *(new for _, new in proposal.gives)))
        users = (user for term in new for user in self.expression.users(term))
        return [*balance.made, *users, *(read for term in balance.made for read in term.reads)]

    def _refuse(self, rule: Rule, terms: tuple[Term, ...], why: Impossible) -> None:
        names = tuple(term.label for term in terms)
        self._refused[rule.name, terms] = Refusal(rule.name, names, why.reason, why.remedy)

    def _apply(self, rule: Rule, proposal: Proposal, balance: Balance, error: float) -> None:
        self.expression.replace(proposal, balance)
        rewrite = Rewrite(
            rule.name,
            rule.source,
            tuple(term.label for term in balance.gone),
            ", ".join(dict.fromkeys(new.label for _, new in proposal.gives)),
            balance.macs_before,
            balance.macs_after,
            error,
        )
        self.rewrites.append(rewrite)
        if self.on_rewrite is not None:
            self.on_rewrite(rewrite)


def _still_read(balance: Balance, expression: Expression) -> Impossible | None:
    """Refuse what would compute a map twice because something else reads it as well."""
    heavy = [term for term in balance.kept if term.value is not None]
    if not heavy:
        return None
    others = [user.label for user in expression.users(heavy[0]) if user not in balance.gone]
    return Impossible(
        f"the output of {heavy[0].label} is also read by {', '.join(others) or 'something outside'}, so it "
        "must stay",
        "Nothing to do, unless that reader can go",
    )


def _wrong(error: float) -> Impossible:
    return Impossible(
        f"rolled back: max|difference| / max|reference| is {error:.3g} in float64",
        "The rule is wrong here: leave it out with use=[...], and report it",
    )


def _error(proposal: Proposal, balance: Balance, expression: Expression, seed: int) -> float:
    """Compute what stands there and what is proposed from the same maps; return the relative error."""
    sources = leaves(proposal.gives, expression)
    generator = torch.Generator().manual_seed(seed)
    known = {
        term: torch.randn(shape, generator=generator, dtype=torch.float64)
        for term, shape in _probes(sources, balance).items()
    }
    try:
        old = evaluate([old for old, _ in proposal.gives], known)
        new = evaluate([new for _, new in proposal.gives], known)
    except RuntimeError:  # the two do not take the same maps
        return float("inf")
    return max(relative_error(one, other) for one, other in zip(old, new, strict=True))


def _probes(sources: Sequence[Term], balance: Balance) -> dict[Term, tuple[int, ...]]:
    """Return the shapes to try: small, odd and even, and larger than every kernel, where that is possible."""
    values = [term.value for term in (*balance.gone, *balance.made)]
    sized = any(isinstance(v, Shift) or _acts_on_last_axis(v) for v in values)
    if sized or len({term.shape[2:] for term in sources}) > 1:
        return {term: (1, *term.shape[1:]) for term in sources}
    reach = _reach(balance)
    return {
        term: (2, *term.shape[1:2], *(min(side, reach + i) for i, side in enumerate(term.shape[2:])))
        for term in sources
    }


def _acts_on_last_axis(value: Value | None) -> bool:
    return (isinstance(value, Conv) and not value.kernel) or (isinstance(value, Scale) and value.rank == 0)


def _reach(balance: Balance) -> int:
    """Return a side on which every kernel of old and new fits with room."""
    total, step = 5, 1
    for term in balance.gone:
        if isinstance(term.value, Conv | Pool) and term.value.kernel:
            dilation = term.value.dilation[0] if isinstance(term.value, Conv) else 1
            total += step * dilation * (max(term.value.kernel) - 1)
            step *= max(term.value.stride)
    return total

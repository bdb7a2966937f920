"""The engine: rules over an expression, each proposal weighed and checked before it is put in place.

Terms wait in a queue. What a proposal makes, and what reads it, is looked at again; nothing else is. So the
search takes time in proportion to the number of terms. Proposals are weighed in shapes alone: a kernel is
worked out only once it is wanted.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from juggler.errors import first_line
from juggler.nouns import Refusal, Rewrite
from juggler.transform.algebra.conv import Conv, NotFusible, relative_error
from juggler.transform.algebra.values import Pool, Scale, Shift, Value
from juggler.transform.rewrite.expression import (
    Answer,
    CostDelta,
    Expression,
    Proposal,
    Term,
    evaluate,
    leaves,
)
from juggler.transform.rewrite.meta import MetaExpression
from juggler.transform.rewrite.rule import Rule

LIMITS = {"float64": 1e-12, "float32": 1e-5}  # of one rewrite, of a whole network in float32


class Criterion(Protocol):
    """What a form is after: which proposals are wanted, and which of several comes first."""

    def objection(self, delta: CostDelta) -> NotFusible | None:
        """Say why a proposal is not wanted."""
        ...

    def rank(self, delta: CostDelta) -> tuple[int, int]:
        """Return a key that is the less the better."""
        ...


class LessWork:
    """Refuse what raises the multiply-accumulates (the warning of Juggler-ResNet section II-C)."""

    def objection(self, delta: CostDelta) -> NotFusible | None:
        """Say by how much the work would rise."""
        before, after = delta.macs_before, delta.macs_after
        if after <= before:
            return None
        return NotFusible(
            f"exact, but it does not pay: the work would rise from {before:,} to {after:,} "
            f"multiply-accumulates ({after / max(before, 1):.2f} times)",
            "flatten(..., policy='always') does it all the same",
        )

    def rank(self, delta: CostDelta) -> tuple[int, int]:
        """Save work first, then ops."""
        return delta.macs_after - delta.macs_before, len(delta.added) - len(delta.removed)


class FewestOps:
    """Refuse nothing."""

    def objection(self, delta: CostDelta) -> NotFusible | None:
        """Say nothing."""
        return None

    def rank(self, delta: CostDelta) -> tuple[int, int]:
        """Save ops first, then work."""
        return len(delta.added) - len(delta.removed), delta.macs_after - delta.macs_before


@dataclass(frozen=True)
class Candidate:
    """A proposal that is wanted.

    Attributes:
        rule: whose it is.
        number: which of the rule's answers, from 0.
        proposal: in shapes alone where there is a meta expression, else as it is.
        delta: what it removes and what it adds.
    """

    rule: Rule
    number: int
    proposal: Proposal
    delta: CostDelta


@dataclass
class Fusing:
    """One run of rules over one expression, in place.

    Attributes:
        expression: what is rewritten.
        rules: tried in this order on each term.
        criterion: what the form is after.
        check: compare each proposal with what stands there; needs numbers, not only shapes.
        on_rewrite: called with each rewrite as it is made.
        most: rewrites after which it stops; `None` goes on until nothing is left to do.
    """

    expression: Expression
    rules: Sequence[Rule]
    criterion: Criterion = field(default_factory=LessWork)
    check: bool = True
    on_rewrite: Callable[[Rewrite], None] | None = None
    most: int | None = None
    rewrites: list[Rewrite] = field(default_factory=list)
    _refused: dict[tuple[str, tuple[Term, ...]], Refusal] = field(default_factory=dict)
    _meta: MetaExpression | None = None

    def __post_init__(self) -> None:
        if self.check:
            self._meta = MetaExpression(self.expression)

    def run(self) -> tuple[Refusal, ...]:
        """Rewrite until no rule applies; return what was refused in what remains."""
        waiting = deque(self.expression.terms())
        queued = set(waiting)
        while waiting and (self.most is None or len(self.rewrites) < self.most):
            term = waiting.popleft()
            queued.discard(term)
            if term not in self.expression:
                continue
            for neighbour in self._visit(term):
                if neighbour in self.expression and neighbour not in queued:
                    waiting.append(neighbour)
                    queued.add(neighbour)
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
        for candidate in self._candidates(term):
            proposal, delta = candidate.proposal, candidate.delta
            if self._meta is not None:
                answers = _proposals(candidate.rule, term, self.expression)
                answer = next(itertools.islice(answers, candidate.number, None), None)
                if not isinstance(answer, Proposal):  # the numbers say otherwise than the shapes
                    if answer is not None:
                        self._refuse(candidate.rule, *answer)
                    continue
                proposal, delta = answer, self.expression.delta(answer)
            error = _error(proposal, delta, self.expression, len(self.rewrites)) if self.check else 0.0
            if not error <= LIMITS["float64"]:
                self._refuse(candidate.rule, delta.removed, _wrong(error))
                continue
            self._apply(candidate.rule, proposal, delta, error)
            if self._meta is not None and not self._meta.follow(
                candidate.proposal, candidate.delta, delta.added
            ):
                self._meta = MetaExpression(self.expression)
            return self._around(proposal, delta)
        return []

    def _candidates(self, term: Term) -> Iterator[Candidate]:
        """Yield the proposals that are wanted for a term, the best first; keep what was refused."""
        meta = self._meta
        seen, expression = (term, self.expression) if meta is None else (meta.twin(term), meta.expression)
        candidates: list[tuple[tuple[int, ...], int, Candidate]] = []
        for rule in self.rules:
            for number, answer in enumerate(_proposals(rule, seen, expression)):
                if isinstance(answer, Proposal):
                    delta = expression.delta(answer)
                    objection = _still_read(delta, expression) or self.criterion.objection(delta)
                    if objection is None:
                        # A rule that is tried goes first: the form is about what it brings.
                        rank = (-1 if rule.tried else 0, *self.criterion.rank(delta))
                        candidates.append((rank, len(candidates), Candidate(rule, number, answer, delta)))
                        continue
                    terms, why = delta.removed, objection
                else:
                    terms, why = answer
                self._refuse(rule, terms if meta is None else meta.originals(terms), why)
        return (candidate for *_, candidate in sorted(candidates, key=lambda entry: entry[:2]))

    def _around(self, proposal: Proposal, delta: CostDelta) -> list[Term]:
        """Return the terms for which something may have changed."""
        new = dict.fromkeys((*delta.added, *(new for _, new in proposal.replacements)))
        users = (user for term in new for user in self.expression.users(term))
        return [*delta.added, *users, *(read for term in delta.added for read in term.reads)]

    def _refuse(self, rule: Rule, terms: tuple[Term, ...], why: NotFusible) -> None:
        names = tuple(term.label for term in terms)
        self._refused[rule.name, terms] = Refusal(rule.name, names, why.reason, why.remedy)

    def _apply(self, rule: Rule, proposal: Proposal, delta: CostDelta, error: float) -> None:
        self.expression.replace(proposal, delta)
        rewrite = Rewrite(
            rule.name,
            rule.source,
            tuple(term.label for term in delta.removed),
            ", ".join(dict.fromkeys(new.label for _, new in proposal.replacements)),
            delta.macs_before,
            delta.macs_after,
            error,
        )
        self.rewrites.append(rewrite)
        if self.on_rewrite is not None:
            self.on_rewrite(rewrite)


def _proposals(rule: Rule, term: Term, expression: Expression) -> Iterator[Answer]:
    """Yield what a rule proposes; a rule that raises has nothing more to say of the term."""
    try:
        yield from rule.propose(term, expression)
    except Exception as error:  # noqa: BLE001  # a rule may be anybody's, and a wrong one does no harm
        reason = f"the rule raised {type(error).__name__}: {first_line(error)}"
        yield (term,), NotFusible(reason, "Leave the rule out with use=[...], and report it")


def _still_read(delta: CostDelta, expression: Expression) -> NotFusible | None:
    """Refuse what would compute a map twice because something else reads it as well."""
    heavy = [term for term in delta.retained if term.value is not None]
    if not heavy:
        return None
    others = [user.label for user in expression.users(heavy[0]) if user not in delta.removed]
    return NotFusible(
        f"the output of {heavy[0].label} is also read by {', '.join(others) or 'something outside'}, so it "
        "must stay",
        "Nothing to do, unless that reader can go",
    )


def _wrong(error: float) -> NotFusible:
    return NotFusible(
        f"rolled back: max|difference| / max|reference| is {error:.3g} in float64",
        "The rule is wrong here: leave it out with use=[...], and report it",
    )


def _error(proposal: Proposal, delta: CostDelta, expression: Expression, seed: int) -> float:
    """Compute what stands there and what is proposed from the same maps; return the relative error."""
    sources = leaves(proposal.replacements, expression)
    generator = torch.Generator().manual_seed(seed)
    known = {
        term: torch.randn(shape, generator=generator, dtype=torch.float64)
        for term, shape in _probes(sources, delta).items()
    }
    try:
        old = evaluate([old for old, _ in proposal.replacements], known)
        new = evaluate([new for _, new in proposal.replacements], known)
    except Exception:  # noqa: BLE001  # the two do not take the same maps, or a value computes nothing
        return math.inf
    errors = [relative_error(reference, tensor) for reference, tensor in zip(old, new, strict=True)]
    return math.nan if any(map(math.isnan, errors)) else max(errors)


def _probes(sources: Sequence[Term], delta: CostDelta) -> dict[Term, tuple[int, ...]]:
    """Return the shapes to try: small, odd and even, and larger than every kernel, where that is possible."""
    values = [term.value for term in (*delta.removed, *delta.added)]
    sized = any(isinstance(v, Shift) or _acts_on_last_axis(v) for v in values)
    if sized or len({term.shape[2:] for term in sources}) > 1:
        return {term: (1, *term.shape[1:]) for term in sources}
    reach = _reach(delta)
    return {
        term: (2, *term.shape[1:2], *(min(side, reach + i) for i, side in enumerate(term.shape[2:])))
        for term in sources
    }


def _acts_on_last_axis(value: Value | None) -> bool:
    return (isinstance(value, Conv) and not value.kernel) or (isinstance(value, Scale) and value.rank == 0)


def _reach(delta: CostDelta) -> int:
    """Return a side on which every kernel of old and new fits with room."""
    total, step = 5, 1
    for term in delta.removed:
        if isinstance(term.value, Conv | Pool) and term.value.kernel:
            dilation = term.value.dilation[0] if isinstance(term.value, Conv) else 1
            total += step * dilation * (max(term.value.kernel) - 1)
            step *= max(term.value.stride)
    return total

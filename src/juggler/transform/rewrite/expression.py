"""A region as an algebraic expression: terms that read terms, rewritten until nothing is left to do.

A term is a value and what it reads. An expression owns its terms and knows who reads whom, so that each
question a rule asks takes the same time however large the expression is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from juggler.transform.algebra.conv import NotFusible
from juggler.transform.algebra.values import OnesChannel, Value, describe, macs, parameter_count


@dataclass(eq=False)
class Term:
    """A value, and the terms that it reads.

    Attributes:
        value: what is computed; `None` for what enters the expression from outside.
        reads: terms it reads, in order.
        shape: of the map it gives for the example, `[batch, channels, *space]`.
        label: the name by which a person knows it.
        origin: graph node that computes it as it stands; `None` for what a rule has made.
        position: graph node in whose place it is computed.
        stands_for: name of the wide network's map that this is; empty where it is none of them.
        paths: paths of the modules that went into it.
    """

    value: Value | None
    reads: tuple[Term, ...]
    shape: tuple[int, ...]
    label: str = ""
    origin: fx.Node | None = None
    position: fx.Node | None = None
    stands_for: str = ""
    paths: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """Return the channels of the map: axis 1, or the last where there is no space."""
        return self.shape[1] if len(self.shape) > 1 else 1

    @property
    def order(self) -> int:
        """Return where in the wide network it is computed; -1 for what enters from outside."""
        return -1 if self.position is None else int(self.position.meta["order"])

    def __call__(self, *maps: Tensor) -> Tensor:
        """Compute the term from what it reads."""
        if self.value is None:
            raise TypeError(f"{self.label} enters the expression from outside")
        return self.value(*maps)

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates of this term alone."""
        return 0 if self.value is None else macs(self.value, self.reads[0].shape, self.shape)


@dataclass(frozen=True, eq=False)
class Proposal:
    """What a rule puts in the place of terms: each old term and the new one that gives the same map."""

    replacements: tuple[tuple[Term, Term], ...]


Answer = Proposal | tuple[tuple[Term, ...], NotFusible]


@dataclass(frozen=True)
class CostDelta:
    """What a proposal removes and what it adds.

    Attributes:
        removed: old terms that nothing would read any more, in order.
        added: new terms, in order of computation.
        retained: old terms that were read on the way and stay, because something else reads them too.
    """

    removed: tuple[Term, ...]
    added: tuple[Term, ...]
    retained: tuple[Term, ...]

    @property
    def macs_before(self) -> int:
        """Return the multiply-accumulates that go."""
        return sum(term.macs for term in self.removed)

    @property
    def macs_after(self) -> int:
        """Return the multiply-accumulates that come."""
        return sum(term.macs for term in self.added)


@dataclass(eq=False)
class Expression:
    """Terms from inputs to outputs.

    Attributes:
        inputs: terms that enter from outside.
        outputs: terms that something outside reads.
    """

    inputs: list[Term]
    outputs: list[Term]
    _users: dict[Term, list[Term]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._outputs = set(self.outputs)
        for term in self.terms():
            self._enter(term)

    def _enter(self, term: Term) -> None:
        self._users.setdefault(term, [])
        for read in dict.fromkeys(term.reads):
            self._users.setdefault(read, []).append(term)

    def __contains__(self, term: Term) -> bool:
        """Say whether the term belongs to the expression as it is now."""
        return term in self._users

    def users(self, term: Term) -> list[Term]:
        """Return the terms that read this one."""
        return self._users[term]

    def is_output(self, term: Term) -> bool:
        """Say whether something outside reads the term."""
        return term in self._outputs

    def is_private(self, term: Term) -> bool:
        """Say whether exactly one term reads this one, and nothing outside."""
        return term not in self._outputs and len(self._users[term]) == 1

    def terms(self) -> list[Term]:
        """Return all terms that the outputs need, in order of computation."""
        return ordered(self.outputs)

    def delta(self, proposal: Proposal) -> CostDelta:
        """Return what would go and what would come."""
        added = [
            t for t in ordered((new for _, new in proposal.replacements), stop=self._users) if t not in self
        ]
        read = {r for term in added for r in term.reads if r in self}
        read.update(new for _, new in proposal.replacements if new in self)
        dying: dict[Term, None] = {}
        waiting = [old for old, _ in proposal.replacements]
        retained: dict[Term, None] = {}
        olds = set(waiting)
        while waiting:
            term = waiting.pop()
            if term in dying or term.value is None:
                continue
            needed = term in read or (
                term not in olds and (self.is_output(term) or any(u not in dying for u in self.users(term)))
            )
            if needed:
                if term not in read:
                    retained[term] = None
                continue
            dying[term] = None
            waiting.extend(term.reads)
        retained = {term: None for term in retained if term not in dying}
        return CostDelta(tuple(reversed(dying)), tuple(added), tuple(retained))

    def replace(self, proposal: Proposal, delta: CostDelta) -> None:
        """Put the new terms in the place of the old ones."""
        for term in delta.added:
            self._enter(term)
        for old, new in proposal.replacements:
            for user in list(self._users[old]):
                user.reads = tuple(new if read is old else read for read in user.reads)
                if user not in self._users[new]:
                    self._users[new].append(user)
            self._users[old] = []
            if old in self._outputs:
                self._outputs.discard(old)
                self._outputs.add(new)
                self.outputs[self.outputs.index(old)] = new
        for term in reversed(delta.removed):
            del self._users[term]
            for read in dict.fromkeys(term.reads):
                if read in self._users:
                    self._users[read].remove(term)

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates of all terms."""
        return sum(term.macs for term in self.terms())

    @property
    def numbers(self) -> int:
        """Return how many numbers all terms keep."""
        return sum(parameter_count(term.value) for term in self.terms() if term.value is not None)

    def signature(self) -> tuple[Any, ...]:
        """Return the expression without its numbers: equal for two of the same cost."""
        terms = self.terms()
        index = {term: i for i, term in enumerate(terms)}
        described = [
            ("input", term.shape)
            if term.value is None
            else (describe(term.value), tuple(index[read] for read in term.reads))
            for term in terms
        ]
        return (*described, tuple(index[term] for term in self.outputs))


def ordered(terms: Iterable[Term], stop: Iterable[Term] = ()) -> list[Term]:
    """Return the terms and all that they read, each after what it reads; `stop` is given and not entered."""
    borders = stop if isinstance(stop, dict | set) else set(stop)
    done: dict[Term, None] = {}
    stack: list[tuple[Term, bool]] = [(term, False) for term in reversed(list(terms))]
    while stack:
        term, entered = stack.pop()
        if term in done:
            continue
        if entered or term in borders:
            done[term] = None
            continue
        stack.append((term, True))
        stack.extend((read, False) for read in reversed(term.reads) if read not in done)
    return list(done)


def evaluate(terms: Sequence[Term], known: dict[Term, Tensor]) -> list[Tensor]:
    """Compute terms from maps that are known."""
    values = dict(known)
    with torch.no_grad():
        for term in ordered(terms, stop=set(known)):
            if term not in values:
                values[term] = term(*(values[read] for read in term.reads))
    return [values[term] for term in terms]


def leaves(replacements: Iterable[tuple[Term, Term]], expression: Expression) -> list[Term]:
    """Return what the new terms of a proposal read of the expression; ones channels are seen through."""
    sources: dict[Term, None] = {}
    for _, new in replacements:
        for term in ordered([new], stop=expression._users):
            if term in expression:
                sources[term.reads[0] if isinstance(term.value, OnesChannel) else term] = None
    return list(sources)

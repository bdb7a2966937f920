"""Keep of a plan what passes: by halves, the regions and the rewrites in them that fail are found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from juggler.nouns import Decision, Refusal, Rewrite
from juggler.transform.plan.forms import AS_IT_IS, Recipe
from juggler.transform.plan.policy import Plan

MOST_TRIALS = 24  # enough to find one region among thousands, or a few among hundreds
Passes = Callable[[Plan], bool]


def largest_part(plan: Plan, counts: Mapping[str, int], passes: Passes, most: int = MOST_TRIALS) -> Plan:
    """Return the plan with as many of its rewrites as pass together; what is not tried in time is left out.

    Args:
        plan: fails as a whole.
        counts: how many rewrites each region came to, by the name of its first op.
        passes: carries a plan out and says whether the certificate passes.
        most: plans that are tried.
    """
    left = _Trials(plan, passes, most)
    retained: dict[str, Recipe] = {}
    suspects = [tuple(counts)]
    while suspects:
        part = suspects.pop()
        recipes = {name: plan.chosen[name] for name in part}
        if len(part) < len(counts) and left.try_(retained | recipes):
            retained |= recipes
        elif len(part) > 1:
            middle = len(part) // 2
            suspects += [part[middle:], part[:middle]]
        elif prefix := _prefix(part[0], counts[part[0]], retained, left):
            retained[part[0]] = prefix
    return replace(plan, chosen=retained)


class _Trials:
    """Try parts of a plan, a limited number of them."""

    def __init__(self, plan: Plan, passes: Passes, most: int) -> None:
        self.plan, self.passes, self.left = plan, passes, most

    def try_(self, chosen: dict[str, Recipe]) -> bool:
        """Say whether a part passes; what comes too late does not."""
        self.left -= 1
        return self.left >= 0 and self.passes(replace(self.plan, chosen=chosen))


def _prefix(name: str, count: int, retained: dict[str, Recipe], trials: _Trials) -> Recipe | None:
    """Return the recipe of a region that fails, stopped before the rewrite that makes it fail."""
    passing, failing = 0, count
    while failing - passing > 1:
        middle = (passing + failing) // 2
        stopped = replace(trials.plan.chosen[name], most=middle)
        if trials.try_(retained | {name: stopped}):
            passing = middle
        else:
            failing = middle
    return replace(trials.plan.chosen[name], most=passing) if passing else None


def rolled_back_rewrites(
    before: Mapping[str, Sequence[Rewrite]], after: Mapping[str, Sequence[Rewrite]]
) -> tuple[Rewrite, ...]:
    """Return what was done before and is not done any more, region by region."""
    return tuple(
        rewrite for name, rewrites in before.items() for rewrite in rewrites[len(after.get(name, ())) :]
    )


def rollback_refusal(rolled_back: Sequence[Rewrite], count: int, errors: str) -> Refusal:
    """Return the refusal that says which rewrites were taken back and why.

    Args:
        rolled_back: what was taken back.
        count: how many there were.
        errors: what the certificate of the whole said.
    """
    share = "all" if len(rolled_back) == count else f"{len(rolled_back)} of {count}"
    return Refusal(
        "certificate",
        tuple(rewrite.result for rewrite in rolled_back),
        f"{share} rewrites were rolled back: each passed its own check, the whole network did not ({errors})",
        "Look for ops that work in place on a tensor that is read elsewhere, and for numbers beyond what "
        "float32 holds",
    )


def revised_decisions(
    decisions: Mapping[str, Decision],
    before: Mapping[str, Sequence[Rewrite]],
    after: Mapping[str, Sequence[Rewrite]],
) -> tuple[Decision, ...]:
    """Return the decisions with what became of regions whose rewrites were taken back."""
    revised = []
    for name, decision in decisions.items():
        revised.append(decision)
        remaining, count = after.get(name, ()), len(before.get(name, ()))
        if len(remaining) < count:
            saved = sum(rewrite.macs_before - rewrite.macs_after for rewrite in remaining)
            text = f"{count - len(remaining)} of {count} rewrites were rolled back: the certificate failed"
            revised[-1] = replace(
                decision,
                form=decision.form if remaining else AS_IT_IS,
                macs_after=decision.macs_before - saved,
                latency_after_ms=None if remaining else decision.latency_before_ms,
                reason=text,
            )
    return tuple(revised)

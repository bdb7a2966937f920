"""Which form each region takes: the policies, and the answer in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx

from juggler.errors import ConfigError
from juggler.nouns import Decision, Refusal
from juggler.transform.forms import (
    AS_IT_IS,
    WHOLLY,
    Form,
    Recipe,
    abstract,
    forms,
    network_of,
    recipes,
    undominated,
)
from juggler.transform.fusing import Fusing
from juggler.transform.regions import Lifting, Region, expression_of, regions
from juggler.transform.rule import Rule

Policy = Literal["work", "always", "never", "measure", "model"]
POLICIES = ("work", "always", "never", "measure", "model")
Cost = Callable[[fx.GraphModule, tuple[Tensor, ...]], float]


@dataclass(frozen=True)
class Plan:
    """What is to be done: each region that is rewritten, by its first op, and the form it takes."""

    policy: str
    cuts: tuple[str, ...]
    chosen: dict[str, Recipe]
    decisions: tuple[Decision, ...]
    refusals: tuple[Refusal, ...] = ()


def check_policy(policy: str, cost: Cost | None) -> None:
    """Do nothing where the policy is known and has what it needs.

    Raises:
        ConfigError: it is not, or a cost function is missing.
    """
    if policy not in POLICIES:
        raise ConfigError(
            "flatten with a policy", f"{policy!r}", f"Choose one of {', '.join(map(repr, POLICIES))}"
        )
    if policy in ("measure", "model") and cost is None:
        raise ConfigError(
            f"flatten with policy {policy!r}",
            "no cost function",
            "Pass cost=function(network, inputs) -> milliseconds, or call juggler.flatten, which brings a timer",
        )


def plan(
    traced: fx.GraphModule,
    lifting: Lifting,
    rules: Sequence[Rule],
    policy: Policy,
    cost: Cost | None,
    dtype: torch.dtype,
) -> Plan:
    """Decide for each region of a graph which form it takes."""
    if policy == "never":
        return Plan(policy, (), {}, ())
    known = recipes(rules)
    cuts, refusals = _cuts(lifting, known)
    chosen: dict[str, Recipe] = {}
    decisions = []
    for region in regions(lifting, cuts):
        form, decision = _decide(region, known, policy, cost, traced, dtype)
        if form.recipe.rules:
            chosen[next(iter(region.ops)).name] = form.recipe
        if decision is not None:
            decisions.append(decision)
    return Plan(policy, tuple(node.name for node in cuts), chosen, tuple(decisions), tuple(refusals))


def _cuts(lifting: Lifting, known: dict[str, Recipe]) -> tuple[list[fx.Node], list[Refusal]]:
    """Return the sums and stacks that no rule ever touches: what they join can be decided apart.

    With them what the rules said against touching them.
    """
    widest = list(known.values())[-1]
    cuts: list[fx.Node] = []
    refusals: list[Refusal] = []
    for region in regions(lifting):
        runs = [
            Fusing(abstract(expression_of(region)), recipe.rules, recipe.gate, check=False)
            for recipe in (known[WHOLLY], widest)
        ]
        for run in runs:
            run.run()
        for term in runs[1].expression.terms():
            if term.origin in region.ops and len(set(term.reads)) > 1:
                cuts.append(term.origin)
        said = runs[0].remaining().items()
        refusals += [refusal for terms, refusal in said if all(t.origin or t.stands_for for t in terms)]
    return cuts, refusals


def _decide(
    region: Region,
    known: dict[str, Recipe],
    policy: Policy,
    cost: Cost | None,
    traced: fx.GraphModule,
    dtype: torch.dtype,
) -> tuple[Form, Decision | None]:
    expression = expression_of(region)
    wanted = [r for r in known.values() if cost is not None or "," not in r.name]
    found = forms(expression, wanted)
    first = found[0]
    if len(found) == 1:
        return first, None
    if policy == "work":
        best = min(found, key=lambda form: (form.macs, len(form.expression.terms())))
        return best, _decision(region, first, best, None, "least work")
    if policy == "always":
        best = next((f for f in found if f.name == WHOLLY), found[-1])
        return best, _decision(region, first, best, None, "whatever is exact is fused")
    left = undominated(found)
    if len(left) == 1:
        return left[0], _decision(region, first, left[0], None, "no more of anything than in any other form")
    if first not in left:
        left.insert(0, first)
    prices = _prices(left, cost, traced, dtype)
    best = min(left, key=lambda form: prices[form])
    others = ", ".join(f"{form.name} {prices[form]:.3g}" for form in left if form is not best)
    said = "measured" if policy == "measure" else "priced"
    return best, _decision(region, first, best, prices, f"{said}: {prices[best]:.3g} ms against {others}")


def _prices(
    found: Sequence[Form], cost: Cost | None, traced: fx.GraphModule, dtype: torch.dtype
) -> dict[Form, float]:
    """Ask the cost function for every form; all at once where it can race them."""
    networks = [network_of(form, traced, dtype) for form in found]
    race: Any = getattr(cost, "race", None)
    if race is not None:
        return dict(zip(found, race(networks), strict=True))
    if cost is None:
        raise TypeError("no cost function")
    return {form: cost(*network) for form, network in zip(found, networks, strict=True)}


def _decision(
    region: Region, before: Form, after: Form, prices: dict[Form, float] | None, reason: str
) -> Decision | None:
    if prices is None and len(region.ops) < 2:
        return None
    return Decision(
        region.name,
        after.name,
        before.macs,
        after.macs,
        None if prices is None else prices.get(before),
        None if prices is None else prices[after],
        reason,
    )


__all__ = ["AS_IT_IS", "POLICIES", "Cost", "Plan", "Policy", "check_policy", "plan"]

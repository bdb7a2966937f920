"""Which form each region takes: the policies, and the answer in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx

from juggler.errors import ConfigError
from juggler.nouns import Decision, Refusal
from juggler.transform.graph.regions import Lifting, Region, expression_of, regions
from juggler.transform.plan.forms import (
    WHOLLY,
    Form,
    Recipe,
    forms,
    network_of,
    undominated,
)
from juggler.transform.rewrite.fusing import Fusing
from juggler.transform.rewrite.meta import abstract

Policy = Literal["work", "always", "never", "measure", "model"]
POLICIES = ("work", "always", "never", "measure", "model")
ALIKE = 0.03  # prices that differ by less are one price: the form of less work is taken
Cost = Callable[[fx.GraphModule, tuple[Tensor, ...]], float]


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        cuts: sums and stacks that belong to no region.
        chosen: how each region that is rewritten is made, by the name of its first op.
        decisions: a line a region, by the name of its first op.
        refusals: what rules said against touching the cuts.
    """

    cuts: tuple[str, ...]
    chosen: dict[str, Recipe]
    decisions: dict[str, Decision]
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
            "Pass cost=function(network, inputs) -> milliseconds, or use juggler.flatten, which has a timer",
        )


@dataclass(frozen=True)
class Planner:
    """Decide for each region of a graph which form it takes.

    Attributes:
        traced: the graph; activations of it are copied into what is priced.
        known: how each form is made.
        policy: see `flatten`.
        cost: see `flatten`.
        dtype: element type in which forms are priced.
    """

    traced: fx.GraphModule
    known: dict[str, Recipe]
    policy: Policy
    cost: Cost | None
    dtype: torch.dtype

    def plan(self, lifting: Lifting) -> Plan:
        """Decide for every region."""
        if self.policy == "never":
            return Plan((), {}, {})
        cuts, refusals = _cuts(lifting, self.known)
        chosen: dict[str, Recipe] = {}
        decisions: dict[str, Decision] = {}
        for region in regions(lifting, cuts):
            form, decision = self.decide(region)
            if form.recipe.rules:
                chosen[region.first] = form.recipe
            if decision is not None:
                decisions[region.first] = decision
        return Plan(tuple(node.name for node in cuts), chosen, decisions, tuple(refusals))

    def decide(self, region: Region) -> tuple[Form, Decision | None]:
        """Return the form that a region takes, and the line that says why."""
        recipes = [r for r in self.known.values() if self.cost is not None or "," not in r.name]
        candidates = forms(expression_of(region), recipes)
        first = candidates[0]
        if len(candidates) == 1:
            return first, None
        if self.policy == "work":
            best = min(candidates, key=lambda form: (form.macs, len(form.expression.terms())))
            return best, _decision(region, first, best, None, "least work")
        if self.policy == "always":
            best = next((f for f in candidates if f.name == WHOLLY), candidates[-1])
            return best, _decision(region, first, best, None, "whatever is exact is fused")
        left = undominated(candidates)
        if len(left) == 1:
            reason = "no more of anything than in any other form"
            return left[0], _decision(region, first, left[0], None, reason)
        return self._cheapest(region, first, left)

    def _cheapest(self, region: Region, first: Form, left: list[Form]) -> tuple[Form, Decision | None]:
        if first not in left:
            left.insert(0, first)
        prices = self._prices(left)
        limit = min(prices.values()) * (1.0 + ALIKE)
        best = min(
            (form for form in left if prices[form] <= limit),
            key=lambda form: (form.macs, len(form.expression.terms()), prices[form]),
        )
        others = ", ".join(f"{form.name} {prices[form]:.3g}" for form in left if form is not best)
        said = "measured" if self.policy == "measure" else "priced"
        reason = f"{said}: {prices[best]:.3g} ms against {others}"
        return best, _decision(region, first, best, prices, reason)

    def _prices(self, candidates: Sequence[Form]) -> dict[Form, float]:
        """Ask the cost function for every form; all at once where it can race them."""
        networks = [network_of(form, self.traced, self.dtype) for form in candidates]
        race: Any = getattr(self.cost, "race", None)
        if race is not None:
            return dict(zip(candidates, race(networks), strict=True))
        if self.cost is None:
            raise TypeError("no cost function")
        return {form: self.cost(*network) for form, network in zip(candidates, networks, strict=True)}


def _cuts(lifting: Lifting, known: dict[str, Recipe]) -> tuple[list[fx.Node], list[Refusal]]:
    """Return the sums and stacks that no rule ever touches: what they join can be decided apart.

    With them what the rules said against touching them.
    """
    widest = list(known.values())[-1]
    cuts: list[fx.Node] = []
    refusals: list[Refusal] = []
    for region in regions(lifting):
        runs = [
            Fusing(abstract(expression_of(region)), recipe.rules, recipe.criterion, check=False)
            for recipe in (known[WHOLLY], widest)
        ]
        for run in runs:
            run.run()
        left = [{t.origin for t in run.expression.terms() if len(set(t.reads)) > 1} for run in runs]
        cuts += [node for node in region.ops if all(node in joints for joints in left)]
        said = runs[0].remaining().items()
        refusals += [refusal for terms, refusal in said if all(t.origin or t.stands_for for t in terms)]
    return cuts, refusals


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
        _finite(prices, before),
        _finite(prices, after),
        reason,
    )


def _finite(prices: dict[Form, float] | None, form: Form) -> float | None:
    """Return a form's price; `None` where nobody asked, or where the backend cannot run it."""
    price = math.inf if prices is None else prices.get(form, math.inf)
    return price if math.isfinite(price) else None

"""Carry a plan out: rewrite each region of a graph as it was decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import fx

from juggler.nouns import Refusal, Rewrite
from juggler.transform.graph.insertion import place
from juggler.transform.graph.regions import Lifting, expression_of, regions
from juggler.transform.graph.writing import Writer
from juggler.transform.plan.policy import Plan
from juggler.transform.rewrite.fusing import Fusing


@dataclass(frozen=True)
class Rewritten:
    """A graph after rewriting, what was done to it, and what was not."""

    network: fx.GraphModule
    rewrites: tuple[Rewrite, ...]
    refusals: tuple[Refusal, ...]


def carry_out(
    planned: Plan, work: fx.GraphModule, lifting: Lifting, report: Callable[[Rewrite], None] | None = None
) -> Rewritten:
    """Rewrite the regions of a graph, in place and each as it was planned.

    Args:
        planned: what was decided, for this graph or for one of the same nodes.
        work: the graph, in float64.
        lifting: its ops as the algebra sees them; emptied on the way, so that weights go as soon as they
            have been rewritten.
        report: called with each rewrite as it is made.
    """
    refusals = [*lifting.refusals, *planned.refusals]
    rewrites: list[Rewrite] = []
    by_name = {node.name: node for node in work.graph.nodes}
    waiting = regions(lifting, [by_name[name] for name in planned.cuts])
    lifting.linear.clear()
    lifting.walls.clear()
    writer = Writer(work, work)
    waiting.reverse()
    while waiting:
        region = waiting.pop()
        recipe = planned.chosen.get(next(iter(region.ops)).name)
        if recipe is None:
            continue
        run = Fusing(expression_of(region), recipe.rules, recipe.criterion, on_rewrite=report)
        refusals += run.run()
        rewrites += run.rewrites
        if run.rewrites:
            place(run.expression, region, writer)
    for node in reversed(work.graph.nodes):
        if node.op == "get_attr" and not node.users:
            work.graph.erase_node(node)
    work.delete_all_unused_submodules()
    work.graph.lint()
    work.recompile()
    return Rewritten(work, tuple(rewrites), tuple(dict.fromkeys(refusals)))

"""Carry a plan out: rewrite each region of a graph as it was decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import fx

from juggler.errors import JugglerError, Refused, first_line
from juggler.nouns import Refusal, Rewrite
from juggler.transform.graph.insertion import place
from juggler.transform.graph.regions import Lifting, expression_of, regions
from juggler.transform.graph.writing import Writer
from juggler.transform.plan.policy import Plan
from juggler.transform.rewrite.fusing import Fusing

LEAVE_IT = "flatten(..., policy='never') leaves everything as it is; report it with the network, if you can"


@dataclass(frozen=True)
class Rewritten:
    """A graph after rewriting.

    Attributes:
        network: the graph.
        by_region: what was done, in order, by the name of each region's first op.
        refusals: what was not.
    """

    network: fx.GraphModule
    by_region: dict[str, tuple[Rewrite, ...]]
    refusals: tuple[Refusal, ...]

    @property
    def rewrites(self) -> tuple[Rewrite, ...]:
        """Return all that was done, in order."""
        return tuple(rewrite for rewrites in self.by_region.values() for rewrite in rewrites)


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

    Raises:
        Refused: a region cannot be rewritten; the message names it.
    """
    refusals = [*lifting.refusals, *planned.refusals]
    by_region: dict[str, tuple[Rewrite, ...]] = {}
    by_name = {node.name: node for node in work.graph.nodes}
    waiting = regions(lifting, [by_name[name] for name in planned.cuts])
    lifting.linear.clear()
    lifting.walls.clear()
    writer = Writer(work, work)
    waiting.reverse()
    replaced: dict[fx.Node, fx.Node] = {}
    while waiting:
        region = waiting.pop().reading(replaced)
        recipe = planned.chosen.get(region.first)
        if recipe is None:
            continue
        try:
            run = Fusing(
                expression_of(region), recipe.rules, recipe.criterion, on_rewrite=report, most=recipe.most
            )
            refusals += run.run()
            if run.rewrites:
                by_region[region.first] = tuple(run.rewrites)
                replaced |= place(run.expression, region, writer)
        except JugglerError:
            raise
        except Exception as error:
            cause = f"{type(error).__name__} in the region {region.name}: {first_line(error)}"
            raise Refused("rewrite the network", cause, LEAVE_IT) from error
    for node in reversed(work.graph.nodes):
        if node.op == "get_attr" and not node.users:
            work.graph.erase_node(node)
    work.delete_all_unused_submodules()
    work.graph.lint()
    work.recompile()
    return Rewritten(work, by_region, tuple(dict.fromkeys(refusals)))

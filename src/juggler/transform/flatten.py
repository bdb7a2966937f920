"""`flatten`: from the network that was trained to the fastest one that computes the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx, nn

from juggler.errors import ConfigError, Refused
from juggler.nouns import Certificate, Decision, GraphSummary, Refusal, Rewrite
from juggler.transform.equivalence import certify
from juggler.transform.graph.regions import lift_all
from juggler.transform.plan.forms import recipes
from juggler.transform.plan.policy import Cost, Plan, Planner, Policy, check_policy
from juggler.transform.plan.rewriting import Rewritten, carry_out
from juggler.transform.rewrite.rule import Rule, rules
from juggler.transform.tracing.casting import in_type
from juggler.transform.tracing.graph import View, propagate_shapes, summarise, trace


@dataclass(frozen=True)
class Flattened:
    """What `flatten` gives.

    Attributes:
        model: the flat network, in evaluation mode and in the element type of the wide one.
        rewrites: what was done, in order; each was checked by itself before it was kept.
        refusals: what was not done, why, and what would allow it.
        certificate: proof that the flat network is the wide one.
        wide_graph: the graph before, as plain nouns.
        flat_graph: the graph after.
        decisions: which form each linear region took, and why.
    """

    model: fx.GraphModule
    rewrites: tuple[Rewrite, ...]
    refusals: tuple[Refusal, ...]
    certificate: Certificate
    wide_graph: GraphSummary
    flat_graph: GraphSummary
    decisions: tuple[Decision, ...] = ()

    @property
    def wide_sketch(self) -> GraphSummary:
        """Return `wide_graph`, by its name in release 0.1.0."""
        return _renamed("wide_sketch", self.wide_graph)

    @property
    def flat_sketch(self) -> GraphSummary:
        """Return `flat_graph`, by its name in release 0.1.0."""
        return _renamed("flat_sketch", self.flat_graph)


def _renamed(name: str, graph: GraphSummary) -> GraphSummary:
    new_name = name.replace("sketch", "graph")
    text = f"Flattened.{name} is now Flattened.{new_name}; the old name goes with the next release"
    warnings.warn(text, DeprecationWarning, stacklevel=3)
    return graph


def flatten(
    model: nn.Module,
    example: Tensor,
    *,
    inputs: Tensor | None = None,
    policy: Policy = "work",
    cost: Cost | None = None,
    use: Sequence[Rule] | None = None,
    on_rewrite: Callable[[Rewrite], None] | None = None,
) -> Flattened:
    """Rewrite a network into the plainest one that computes the same function, and prove it.

    Works on any network that torch.fx can trace; `model` itself is never changed. The algebra runs in
    float64 and is cast once at the end.

    Args:
        model: network in evaluation mode.
        example: one input, `[batch, channels, *space]`, of the network's element type.
        inputs: real inputs, `[n, channels, *space]`, on which the predicted class must agree.
        policy: `work` takes the form of each linear region that has the least multiply-accumulates;
            `always` fuses whatever is exact; `never` leaves everything as it is; `measure` and `model` ask
            `cost` for every form that no other beats in all respects, and take the cheapest.
        cost: price of a small network for these inputs, milliseconds where it is a timer. Its method `race`,
            where it has one, gets all forms of a region at once.
        use: rules to use; all registered ones by default.
        on_rewrite: called with each rewrite as it is made.

    Returns:
        The flat network with its rewrites, refusals and certificate. A rewrite that fails its own check
        is rolled back and listed in the refusals. Should the whole network fail although each rewrite
        passed, all of them are rolled back.

    Raises:
        Refused: the network is in training mode, cannot be traced, or does not run on the example.
    """
    check_policy(policy, cost)
    _check_example(model, example)
    wide = trace(model, example)
    chosen = tuple(use) if use is not None else tuple(rule for _, rule in rules())
    propagate_shapes(wide, example)
    planned: list[Plan] = []

    def rewrite(network: fx.GraphModule, report: Callable[[Rewrite], None] | None = None) -> Rewritten:
        work = in_type(network, torch.float64)
        lifting = lift_all(View(work))
        if not planned:
            planner = Planner(work, recipes(chosen), policy, cost, example.dtype)
            planned.append(planner.plan(lifting))
        return carry_out(planned[0], work, lifting, report)

    done = rewrite(wide, on_rewrite)
    certificate = certify(
        wide, done.network, example, reflatten=lambda redrawn: rewrite(redrawn).network, inputs=inputs
    )
    if not certificate.passed and done.rewrites:
        return _rolled_back(model, example, inputs, done, certificate)
    flat = done.network  # in the example's element type by now
    name = type(model).__name__
    return Flattened(
        flat,
        done.rewrites,
        done.refusals,
        certificate,
        summarise(wide, name, example),
        summarise(flat, f"{name}, flat", example),
        planned[0].decisions,
    )


def _rolled_back(
    model: nn.Module,
    example: Tensor,
    inputs: Tensor | None,
    done: Rewritten,
    certificate: Certificate,
) -> Flattened:
    """Return the network as it was, with the refusal that says why."""
    refusal = Refusal(
        "certificate",
        tuple(r.result for r in done.rewrites),
        "all rewrites were rolled back: each passed its own check, the whole network did not (float64 "
        f"{certificate.worst('float64'):.3g}, float32 {certificate.worst('float32'):.3g}, classes agree "
        f"on {certificate.classes_agreed} of {certificate.classes_compared})",
        "Look for ops that work in place on a tensor that is read elsewhere, and for weights that are not "
        "finite",
    )
    plain = flatten(model, example, inputs=inputs, policy="never")
    return replace(plain, rewrites=(), refusals=(refusal, *done.refusals))


def _check_example(model: nn.Module, example: Tensor) -> None:
    if not isinstance(example, Tensor) or not example.is_floating_point() or example.ndim < 2:
        obstacle = f"a {type(example).__name__}"
        if isinstance(example, Tensor):
            obstacle += f" of shape {tuple(example.shape)} and type {example.dtype}"
        raise ConfigError(
            "flatten the network", f"the example is {obstacle}", "Pass one input: torch.randn(1, 3, 224, 224)"
        )
    types = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if types - {example.dtype}:
        raise Refused(
            "flatten the network",
            f"its weights are {sorted(map(str, types))} and the example is {example.dtype}",
            "Bring both to one element type, for instance model.float()",
        )
    bad = [
        name
        for name, p in model.state_dict().items()
        if p.is_floating_point() and not torch.isfinite(p).all()
    ]
    if bad:
        raise Refused(
            "flatten the network",
            f"weights that are not finite: {', '.join(bad[:3])}",
            "Train it again; a network with NaN computes nothing that could be compared",
        )

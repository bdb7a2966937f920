"""`flatten`: from the network that was trained to the fastest one that computes the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx, nn

from juggler.errors import ConfigError, Refused
from juggler.nouns import Certificate, Decision, GraphSummary, Refusal, Rewrite
from juggler.transform.equivalence import certify, is_layer
from juggler.transform.graph.regions import Lifting, lift_all
from juggler.transform.plan.bisection import (
    largest_part,
    revised_decisions,
    rollback_refusal,
    rolled_back_rewrites,
)
from juggler.transform.plan.forms import Recipe, recipes
from juggler.transform.plan.policy import Cost, Plan, Planner, Policy, check_policy
from juggler.transform.plan.rewriting import Rewritten, carry_out
from juggler.transform.rewrite.rule import Rule, rules
from juggler.transform.tracing.casting import in_type
from juggler.transform.tracing.graph import View, propagate_shapes, summarise, trace
from juggler.transform.tracing.preparation import check_network


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
        rolled_back: rewrites that were made and taken back, since the whole network failed with them; empty
            as a rule.
    """

    model: fx.GraphModule
    rewrites: tuple[Rewrite, ...]
    refusals: tuple[Refusal, ...]
    certificate: Certificate
    wide_graph: GraphSummary
    flat_graph: GraphSummary
    decisions: tuple[Decision, ...] = ()
    rolled_back: tuple[Rewrite, ...] = ()

    @property
    def is_proved(self) -> bool:
        """Say whether the flat network is the wide one; whether that is the file's is another row."""
        return replace(self.certificate, source=()).passed

    @property
    def warning(self) -> str:
        """Return what must not be overlooked, a rollback or a proof that fails; else an empty text."""
        if not self.is_proved:
            return "NOT CERTIFIED: the certificate does not pass, nothing is proved of this network"
        if not self.rolled_back:
            return ""
        count = len(self.rolled_back)
        return (
            f"ROLLED BACK: {count} of {count + len(self.rewrites)} rewrites failed the certificate and were "
            "taken back; what is left is certified"
        )

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
        passed, those with which it fails are sought by halves and rolled back, and `rolled_back` has them.

    Raises:
        ConfigError: no network, no such policy, or an example that is none.
        Refused: the network is in training mode, cannot be traced, or does not run on the example.
    """
    check_policy(policy, cost)
    check_network(model)
    _check_example(model, example)
    wide = trace(model, example)
    chosen = tuple(use) if use is not None else tuple(rule for _, rule in rules())
    propagate_shapes(wide, example)
    work = _Rewriting(wide, example, inputs)
    work.plan(recipes(chosen), policy, cost)
    done, certificate = work.carried_out(work.planned, on_rewrite)
    first, before = certificate, done.by_region
    if not certificate.passed and before:
        counts = {region: len(rewrites) for region, rewrites in before.items()}
        del done  # large networks should not be held more often than needed
        part = largest_part(work.planned, counts, lambda plan: work.carried_out(plan)[1].passed)
        done, certificate = work.carried_out(part)
    flat = done.network  # in the example's element type by now
    rolled_back = rolled_back_rewrites(before, done.by_region)
    refusals = done.refusals
    if rolled_back:
        count = sum(map(len, before.values()))
        refusals = (rollback_refusal(rolled_back, count, _errors(first)), *refusals)
    name = type(model).__name__
    return Flattened(
        flat,
        done.rewrites,
        refusals,
        certificate,
        summarise(wide, name, example),
        summarise(flat, f"{name}, flat", example),
        revised_decisions(work.planned.decisions, before, done.by_region),
        rolled_back,
    )


class _Rewriting:
    """A network that is rewritten by one plan, whole or in part, as often as it takes.

    Attributes:
        planned: what was decided.
    """

    planned: Plan

    def __init__(self, wide: fx.GraphModule, example: Tensor, inputs: Tensor | None) -> None:
        self._wide, self._example, self._inputs = wide, example, inputs
        self._lifted: tuple[fx.GraphModule, Lifting] | None = None

    def plan(self, known: dict[str, Recipe], policy: Policy, cost: Cost | None) -> None:
        """Decide the form of every region; what was lifted for it serves the first rewriting."""
        self._lifted = work, lifting = _lifted(self._wide)
        self.planned = Planner(work, known, policy, cost, self._example.dtype).plan(lifting)

    def carried_out(
        self, plan: Plan, report: Callable[[Rewrite], None] | None = None
    ) -> tuple[Rewritten, Certificate]:
        """Rewrite the network by the plan, or a part of it, and compare."""
        lifted, self._lifted = self._lifted or _lifted(self._wide), None
        done = carry_out(plan, *lifted, report)
        del lifted

        def reflatten(redrawn: fx.GraphModule) -> fx.GraphModule:
            return carry_out(plan, *_lifted(redrawn)).network

        certificate = certify(
            self._wide, done.network, self._example, reflatten=reflatten, inputs=self._inputs
        )
        return done, certificate


def _lifted(network: fx.GraphModule) -> tuple[fx.GraphModule, Lifting]:
    work = in_type(network, torch.float64)
    return work, lift_all(View(work))


def _errors(certificate: Certificate) -> str:
    worst = ", ".join(
        f"{dtype} {certificate.worst(dtype):.3g} where {limit:.3g} is allowed"
        for dtype, limit in sorted(certificate.limits.items(), reverse=True)
    )
    return f"{worst}; classes agree on {certificate.classes_agreed} of {certificate.classes_compared}"


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
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
        if tensor.is_floating_point() and not _is_sound(name, tensor, model)
    ]
    if bad:
        raise Refused(
            "flatten the network",
            f"weights that are not finite: {', '.join(bad[:3])}",
            "Train it again; a network with NaN computes nothing that could be compared",
        )


def _is_sound(name: str, tensor: Tensor, model: nn.Module) -> bool:
    """Say whether a weight is finite; a constant of somebody's own may be infinite, as a mask is."""
    owner = model.get_submodule(name.rpartition(".")[0])
    is_constant = not isinstance(tensor, nn.Parameter) and not is_layer(owner)
    return not bool(tensor.isnan().any()) if is_constant else bool(tensor.isfinite().all())

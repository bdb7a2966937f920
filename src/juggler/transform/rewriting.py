"""The engine: put each proposal of each rule in place, check it, take it back where it is wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from juggler.errors import ConfigError
from juggler.nouns import Refusal, Rewrite
from juggler.transform.algebra import Conv, Impossible
from juggler.transform.rule import PassThrough, Proposal, Rule, Site
from juggler.transform.trace import View, label, macs_of, propagate_shapes, shape_of

Policy = Literal["work", "always"]
LIMITS = {"float64": 1e-12, "float32": 1e-5}
_MODULES: dict[int, type[nn.Conv1d | nn.Conv2d | nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


@dataclass
class Rewriting:
    """One run of the rules over one graph, in float64 and in place.

    Attributes:
        traced: graph that is rewritten.
        example: input, float64, that gives the shapes.
        rules: rules in the order in which they are tried, again and again until none applies.
        policy: `work` refuses a fusion that raises the multiply-accumulates (the paper's section II-C
            warning); `always` fuses whatever is exact.
        on_rewrite: called with each rewrite as it is made.
    """

    traced: fx.GraphModule
    example: Tensor
    rules: tuple[Rule, ...]
    policy: Policy = "work"
    on_rewrite: Callable[[Rewrite], None] | None = None
    rewrites: list[Rewrite] = field(default_factory=list)
    failed: dict[tuple[str, tuple[str, ...]], Refusal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.policy not in ("work", "always"):
            raise ConfigError("flatten with a policy", f"{self.policy!r}", "Choose 'work' or 'always'")

    def run(self) -> tuple[Refusal, ...]:
        """Rewrite until no rule applies; return what was refused in what remains."""
        propagate_shapes(self.traced, self.example)
        while True:
            refusals: dict[tuple[str, tuple[str, ...]], Refusal] = {}
            before = len(self.rewrites)
            for rule in self.rules:
                self._apply_everywhere(rule, refusals)
            if len(self.rewrites) == before:
                break
        self.traced.delete_all_unused_submodules()
        self.traced.graph.lint()
        self.traced.recompile()
        return tuple({**refusals, **self.failed}.values())

    def _apply_everywhere(self, rule: Rule, refusals: dict[tuple[str, tuple[str, ...]], Refusal]) -> None:
        """Apply one rule to every site of the graph as it stands; a changed graph is read anew."""
        changed = True
        while changed:
            changed = False
            view = View(self.traced)
            gone: set[fx.Node] = set()
            for site in list(rule.sites(view)):
                key = (rule.name, tuple(n.name for n in site.nodes))
                if gone.intersection((*site.nodes, site.source)) or key in self.failed or key in refusals:
                    continue
                proposal = self._objection(site, view) or rule.propose(site, view)
                outcome = self._decide(rule, site, view, proposal)
                if isinstance(outcome, Refusal):
                    refusals[key] = outcome
                    continue
                gone.update(site.nodes)
                self.rewrites.append(outcome)
                changed = True
                if self.on_rewrite is not None:
                    self.on_rewrite(outcome)

    def _objection(self, site: Site, view: View) -> Impossible | None:
        """Say what in the graph around the site stands against any rewrite of it."""
        for node in site.nodes[:-1]:
            others = [label(user) for user in node.users if user not in site.nodes]
            if others:
                return Impossible(
                    f"the output of {label(node)} is also read by {', '.join(others)}, so it must stay",
                    "Nothing to do, unless that reader can go",
                )
        if view.changed_in_place(site.source):
            return Impossible(
                f"{label(site.source)} is overwritten in place while others still read it",
                "Build the activation that reads it with inplace=False",
            )
        return None

    def _decide(self, rule: Rule, site: Site, view: View, proposal: Proposal) -> Rewrite | Refusal:
        names = tuple(label(n) for n in site.nodes)
        if isinstance(proposal, Impossible):
            return Refusal(rule.name, names, proposal.reason, proposal.remedy)
        before = sum(macs_of(n, view.module(n)) for n in site.nodes)
        after = self._macs(proposal, site)
        if after > before and self.policy == "work":
            return Refusal(
                rule.name,
                names,
                f"exact, but it does not pay: the work would rise from {before:,} to {after:,} "
                f"multiply-accumulates ({after / max(before, 1):.2f} times)",
                "flatten(..., policy='always') does it all the same",
            )
        error = self._error(proposal, site, view)
        if not error <= LIMITS["float64"]:
            refusal = Refusal(
                rule.name,
                names,
                f"rolled back: max|difference| / max|reference| is {error:.3g} in float64",
                "A module computes something else than the class it inherits from: keep it, or write a rule "
                "for it",
            )
            self.failed[rule.name, tuple(n.name for n in site.nodes)] = refusal
            return refusal
        result = self._replace(site, proposal)
        return Rewrite(rule.name, rule.source, names, label(result), before, after, error)

    def _macs(self, proposal: Conv | PassThrough, site: Site) -> int:
        if isinstance(proposal, PassThrough):
            return 0
        return int(torch.Size(shape_of(site.nodes[-1])).numel()) * int(proposal.weight[0].numel())

    def _error(self, proposal: Conv | PassThrough, site: Site, view: View) -> float:
        """Run what stands there and what is proposed on one odd-sized input; return the relative error."""
        x = self._probe(proposal, site)
        values: dict[fx.Node, Any] = {site.source: x.clone()}
        args: Any
        kwargs: Any
        with torch.no_grad():
            try:
                for node in site.nodes:
                    args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: values[n])
                    values[node] = _run(node, view, args, kwargs)
            # What stands there does not do what its class does, or reads more than the site's source.
            except (RuntimeError, TypeError, KeyError):
                return float("inf")
            proposed = x if isinstance(proposal, PassThrough) else proposal(x)
        return relative_error(values[site.nodes[-1]], proposed)

    def _probe(self, proposal: Conv | PassThrough, site: Site) -> Tensor:
        """Return an input for the check: small, of odd and even sides, and larger than every kernel."""
        generator = torch.Generator().manual_seed(len(self.rewrites))
        shape = shape_of(site.source)
        if isinstance(proposal, Conv):
            reach = [d * (k - 1) for d, k in zip(proposal.dilation, proposal.kernel, strict=True)]
            shape = (2, shape[1], *(r + 5 + i for i, r in enumerate(reach)))
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def _replace(self, site: Site, proposal: Conv | PassThrough) -> fx.Node:
        """Put the proposal where the site's last node stands and take the site out."""
        graph, last = self.traced.graph, site.nodes[-1]
        if isinstance(proposal, PassThrough):
            result = site.source
        else:
            paths = tuple(p for n in site.nodes for p in n.meta.get("paths", ()))
            target = self._name(site, paths)
            self.traced.add_submodule(target, build(proposal))
            with graph.inserting_after(last):
                result = graph.call_module(target, (site.source,))
            result.meta.update(shape=last.meta["shape"], stands_for=last.meta["stands_for"], paths=paths)
        last.replace_all_uses_with(result)
        for node in reversed(site.nodes):
            graph.erase_node(node)
        return result

    def _name(self, site: Site, paths: Sequence[str]) -> str:
        """Name a result by what its parts have in common: `layer1.0.conv1`, ... -> `layer1_0_flat`."""
        split = [path.split(".") for path in paths]
        common = [p[0] for p in itertools.takewhile(lambda p: len(set(p)) == 1, zip(*split, strict=False))]
        stem = "_".join(common if common and len(paths) > 2 else split[0]) + "_flat"
        own = {str(n.target) for n in site.nodes}
        taken = {name for name, _ in self.traced.named_children() if name not in own}
        return next(
            name for i in range(len(taken) + 1) if (name := f"{stem}_{i}" if i else stem) not in taken
        )


def _run(node: fx.Node, view: View, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Compute what the node computes, whatever kind of node it is."""
    module = view.module(node)
    if module is not None:
        return module(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    if callable(node.target):
        return node.target(*args, **kwargs)
    raise TypeError(f"{node.op} computes nothing")


def relative_error(reference: Tensor, other: Tensor) -> float:
    """Return max|difference| / max|reference|; infinite where shapes differ, NaN where a value is NaN.

    Elementwise ratios explode near zero and say nothing. A reference that is zero everywhere allows
    nothing but zeros.
    """
    if reference.shape != other.shape:
        return float("inf")
    if reference.numel() == 0:
        return 0.0
    difference = (reference.double() - other.double()).abs().max().item()
    scale = reference.double().abs().max().item()
    if scale == 0.0:
        return 0.0 if difference == 0.0 else float("inf")
    return difference / scale


def build(conv: Conv) -> nn.Module:
    """Return torch's own module for a convolution value."""
    module = _MODULES[len(conv.kernel)](
        conv.in_channels,
        conv.out_channels,
        conv.kernel,  # type: ignore[arg-type]  # torch wants the tuple's length in its type
        stride=conv.stride,  # type: ignore[arg-type]
        padding=conv.padding,  # type: ignore[arg-type]
        dilation=conv.dilation,  # type: ignore[arg-type]
        groups=conv.groups,
        bias=conv.bias is not None,
        dtype=conv.weight.dtype,
        device="meta",
    )
    module.weight = nn.Parameter(conv.weight)
    if conv.bias is not None:
        module.bias = nn.Parameter(conv.bias)
    return module.eval()

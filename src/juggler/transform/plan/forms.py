"""The forms that a region can take: as it is, partly fused, wholly fused, and with what is worth a try.

Forms are made of shapes alone, on torch's meta device, so that none costs anything until it is chosen.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from juggler.transform.algebra.values import Value
from juggler.transform.graph.writing import Writer
from juggler.transform.rewrite.expression import Expression
from juggler.transform.rewrite.fusing import Criterion, FewestOps, Fusing, LessWork
from juggler.transform.rewrite.meta import abstract
from juggler.transform.rewrite.rule import Rule

AS_IT_IS, LESS_WORK, WHOLLY = "as it is", "less work", "wholly fused"


@dataclass(frozen=True)
class Recipe:
    """How a form is made: its name, the rules, what they are held to, and their most rewrites."""

    name: str
    rules: tuple[Rule, ...]
    criterion: Criterion
    most: int | None = None


@dataclass(frozen=True)
class Form:
    """A form of a region, in shapes: what it is called, how it is made, what it is."""

    name: str
    recipe: Recipe
    expression: Expression

    @property
    def macs(self) -> int:
        """Return its multiply-accumulates."""
        return self.expression.macs


def recipes(rules: Sequence[Rule]) -> dict[str, Recipe]:
    """Return the recipes of all forms by name; each rule that is `tried` makes forms of its own."""
    base = tuple(rule for rule in rules if not rule.tried)
    tried = tuple(rule for rule in rules if rule.tried)
    known = [Recipe(AS_IT_IS, (), FewestOps())]
    criteria: tuple[tuple[str, Criterion], ...] = ((LESS_WORK, LessWork()), (WHOLLY, FewestOps()))
    for name, criterion in criteria:
        known.append(Recipe(name, base, criterion))
        known += [Recipe(f"{name}, {rule.name}", _with(base, rule), criterion) for rule in tried]
        if len(tried) > 1:
            known.append(Recipe(f"{name}, {' and '.join(r.name for r in tried)}", (*tried, *base), criterion))
    return {recipe.name: recipe for recipe in known}


def _with(base: tuple[Rule, ...], rule: Rule) -> tuple[Rule, ...]:
    """Put a tried rule first, so that it comes before what the base would do in its place."""
    return (rule, *base)


def forms(expression: Expression, recipes: Sequence[Recipe]) -> list[Form]:
    """Return the forms of an expression that differ; the expression itself is not changed."""
    by_signature: dict[object, Form] = {}
    for recipe in recipes:
        copy = abstract(expression)
        if recipe.rules:
            Fusing(copy, recipe.rules, recipe.criterion, check=False).run()
        key = copy.signature()
        known = by_signature.get(key)
        if known is None:
            by_signature[key] = Form(recipe.name, recipe, copy)
        elif known.name == AS_IT_IS and not known.recipe.rules:
            # Rules that change nothing are still run, for they say what they refuse.
            by_signature[key] = dataclasses.replace(known, recipe=recipe)
    return list(by_signature.values())


def undominated(candidates: Sequence[Form]) -> list[Form]:
    """Leave out each form that another beats: no more work, no more numbers, no more ops of any kind."""
    measures = [(form.macs, form.expression.numbers, _kinds(form.expression)) for form in candidates]

    def beats(first: int, second: int) -> bool:
        (macs, numbers, kinds), (macs2, numbers2, kinds2) = measures[first], measures[second]
        return (
            macs <= macs2 and numbers <= numbers2 and kinds <= kinds2 and measures[first] != measures[second]
        )

    count = range(len(candidates))
    return [candidates[i] for i in count if not any(beats(j, i) for j in count if j != i)]


def _kinds(expression: Expression) -> Counter[str]:
    return Counter(type(term.value).__name__ for term in expression.terms() if term.value is not None)


def network_of(
    form: Form, originals: nn.Module, dtype: torch.dtype
) -> tuple[fx.GraphModule, tuple[Tensor, ...]]:
    """Write a form as a network of its own with random weights, and inputs for it: something to be priced."""
    root = fx.GraphModule(nn.Module(), fx.Graph(), class_name="Region")
    generator = torch.Generator().manual_seed(0)
    writer, nodes = Writer(root, originals), {}
    inputs = []
    for i, term in enumerate(form.expression.inputs):
        nodes[term] = root.graph.placeholder(f"x{i}")
        inputs.append(torch.randn(term.shape, generator=generator).to(dtype))
    for term in form.expression.terms():
        if term.value is not None:
            reads = [nodes[read] for read in term.reads]
            nodes[term] = writer.write(_randomised(term.value, dtype, generator), reads, "op", term.shape)
    root.graph.output(tuple(nodes[term] for term in form.expression.outputs))
    root.recompile()
    return root.eval(), tuple(inputs)


def _randomised(value: Value, dtype: torch.dtype, generator: torch.Generator) -> Value:
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        tensor = getattr(value, field.name)
        if isinstance(tensor, Tensor):
            spread = tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 1.0
            fields[field.name] = (torch.randn(tensor.shape, generator=generator) * spread).to(dtype)
    return dataclasses.replace(value, **fields) if fields else value

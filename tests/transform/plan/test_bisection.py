"""What fails the certificate is found by halves and taken back; the rest is kept, and is loud."""

import pytest
import torch
from torch import nn

from juggler.transform import flatten
from juggler.transform.algebra.values import Elementwise
from juggler.transform.plan.bisection import largest_part
from juggler.transform.plan.forms import AS_IT_IS, Recipe
from juggler.transform.plan.policy import Plan
from juggler.transform.rewrite.expression import Proposal
from juggler.transform.rewrite.fusing import LessWork
from juggler.transform.rewrite.rule import rules


class Lie:
    """Drops a clamp: right for the small numbers of its own check, wrong in the network."""

    name, source, tried = "lie", "none", False

    def propose(self, term, expression):
        if isinstance(term.value, Elementwise) and "Hardtanh" in term.value.key:
            yield Proposal(((term, term.reads[0]),))


def block(activation):
    return nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), activation)


def test_the_rewrites_that_pass_are_kept():
    activations = (nn.ReLU(), nn.Hardtanh(-50, 50), nn.ReLU(), nn.ReLU())
    network = nn.Sequential(*map(block, activations)).eval()
    network[1][0].weight.data.mul_(1e4)
    x = torch.randn(1, 4, 9, 9)
    done = flatten(network, x, use=[*(rule for _, rule in rules()), Lie()])
    assert done.certificate.passed
    assert [r.rule for r in done.rolled_back] == ["lie"]
    assert [r.rule for r in done.rewrites] == ["fold_scale"] * 4
    assert "1 of 5 rewrites were rolled back" in done.refusals[0].reason
    assert done.warning.startswith("ROLLED BACK: 1 of 5 rewrites")
    assert any("rolled back" in decision.reason for decision in done.decisions)
    assert torch.allclose(network(x), done.model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bad", [set(), {"r0"}, {"r5"}, {"r2", "r7"}, {f"r{i}" for i in range(8)}])
def test_all_regions_but_the_bad_ones_are_retained(bad):
    plan = Plan((), {f"r{i}": Recipe(AS_IT_IS, (), LessWork()) for i in range(8)}, {})
    tried = []

    def passes(part):
        tried.append(part)
        return not bad & set(part.chosen)

    part = largest_part(plan, dict.fromkeys(plan.chosen, 1), passes)
    assert set(part.chosen) == set(plan.chosen) - bad
    assert len(tried) <= 24


def test_a_region_is_stopped_before_the_rewrite_that_fails():
    plan = Plan((), {"r": Recipe(AS_IT_IS, (), LessWork())}, {})
    part = largest_part(plan, {"r": 9}, lambda part: (part.chosen["r"].most or 9) <= 5)
    assert part.chosen["r"].most == 5


def test_what_is_not_tried_in_time_is_left_out():
    plan = Plan((), {f"r{i}": Recipe(AS_IT_IS, (), LessWork()) for i in range(64)}, {})
    part = largest_part(plan, dict.fromkeys(plan.chosen, 1), lambda part: False, most=5)
    assert part.chosen == {}

"""Whatever is linear, however it is wired: every form of it is the same function, at the border as well."""

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from contracts_rules import randomised
from juggler.transform import View, flatten, rules, trace
from juggler.transform.algebra.composition import BIAS_LEAK, CLEAN, KERNEL_LEAK, border_class
from juggler.transform.algebra.values import Conv, GlobalPool, Pad, Pool, Scale, Stack, Sum, Transposed
from juggler.transform.graph.lift import lift
from juggler.transform.graph.regions import expression_of, lift_all, regions
from juggler.transform.plan.forms import forms, recipes
from juggler.transform.tracing.graph import propagate_shapes

CHANNELS = 4
STEPS = [
    "conv1",
    "conv3",
    "conv3 bias",
    "depthwise",
    "grouped",
    "dilated",
    "padded first",
    "unpadded",
    "asymmetric",
    "norm",
    "scale",
    "shift",
    "pool",
    "identity",
    "relu",
    "sum",
    "cat",
    "transposed",
    "pad",
]


def step(kind):
    c = CHANNELS
    return {
        "conv1": lambda: nn.Conv2d(c, c, 1),
        "conv3": lambda: nn.Conv2d(c, c, 3, padding=1, bias=False),
        "conv3 bias": lambda: nn.Conv2d(c, c, 3, padding=1),
        "depthwise": lambda: nn.Conv2d(c, c, 3, padding=1, groups=c),
        "grouped": lambda: nn.Conv2d(c, c, 3, padding=1, groups=2, bias=False),
        "dilated": lambda: nn.Conv2d(c, c, 3, padding=2, dilation=2),
        "padded first": lambda: nn.Conv2d(c, c, 1, padding=1),
        "unpadded": lambda: nn.Conv2d(c, c, 3),
        "asymmetric": lambda: nn.Conv2d(c, c, (3, 1), padding=(1, 0)),
        "norm": lambda: nn.BatchNorm2d(c),
        "pool": lambda: nn.AvgPool2d(3, 1, 1),
        "identity": nn.Identity,
        "relu": nn.ReLU,
        "transposed": lambda: nn.ConvTranspose2d(c, c, 3, padding=1),
        "pad": lambda: nn.ZeroPad2d(1),
        "mix": lambda: nn.Conv2d(2 * c, c, 1),
    }[kind]()


class Wired(nn.Module):
    """Each step reads one or two maps made before; maps of another size are cut to fit."""

    def __init__(self, plan):
        super().__init__()
        self.plan = plan
        made = {f"m{i}": step("mix" if kind == "cat" else kind) for i, (kind, _, _) in enumerate(plan)
                if kind not in ("sum", "scale", "shift")}  # fmt: skip
        self.steps = nn.ModuleDict(made)

    def forward(self, x):
        maps = [x]
        for i, (kind, one, other) in enumerate(self.plan):
            a, b = maps[one % len(maps)], maps[other % len(maps)]
            if kind in ("sum", "cat") and a.shape != b.shape:
                b = a
            if kind == "sum":
                maps.append(a + b)
            elif kind == "scale":
                maps.append(a * 0.5)
            elif kind == "shift":
                maps.append(a - 0.25)
            elif kind == "cat":
                maps.append(self.steps[f"m{i}"](torch.cat((a, b), 1)))
            else:
                maps.append(self.steps[f"m{i}"](a))
        return maps[-1], maps[len(maps) // 2]


plans = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=8
)
chains = st.lists(st.sampled_from(STEPS), min_size=2, max_size=6).map(
    lambda kinds: [(kind, i, max(i - 2, 0)) for i, kind in enumerate(kinds)]
)
quickly = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def price(seed):
    """Price forms at random, the same for the same form: each way must be right, whichever is taken."""
    generator = torch.Generator().manual_seed(seed)
    return lambda network, inputs: float(torch.rand(1, generator=generator))


@quickly
@given(
    plan=st.one_of(plans, chains),
    policy=st.sampled_from(["work", "always", "model"]),
    seed=st.integers(0, 99),
)
def test_any_wiring_of_linear_steps_is_rewritten_exactly(plan, policy, seed):
    assume(sum(kind == "unpadded" for kind, _, _ in plan) < 5)  # 11 x 10 pixels are used up otherwise
    network = randomised(Wired(plan), seed)
    x = torch.randn(1, CHANNELS, 11, 10)
    done = flatten(network, x, policy=policy, cost=price(seed) if policy == "model" else None)
    assert done.certificate.passed, done.certificate
    assert done.certificate.worst("float64") < 1e-12
    wanted, found = network(x), done.model(x)
    for one, other in zip(wanted, found, strict=True):
        assert torch.allclose(one, other, atol=1e-3 * one.abs().max().item())
    if policy == "work":
        assert done.flat_graph.macs <= done.wide_graph.macs


def lifted(network, *shape):
    x = torch.randn(shape)
    traced = trace(network.eval(), x)
    propagate_shapes(traced, x)
    view = View(traced)
    return [lift(node, view) for node in traced.graph.nodes], lift_all(view), x


@pytest.mark.parametrize(
    ("module", "shape", "kind"),
    [
        (nn.Conv1d(3, 4, 3), (1, 3, 9), Conv),
        (nn.Conv2d(3, 4, 3, groups=1, dilation=2, stride=2), (1, 3, 9, 9), Conv),
        (nn.Conv3d(3, 4, 1), (1, 3, 4, 4, 4), Conv),
        (nn.Linear(3, 4), (2, 3), Conv),
        (nn.Linear(3, 4), (2, 5, 3), Conv),
        (nn.ConvTranspose2d(3, 4, 2, stride=2), (1, 3, 4, 4), Transposed),
        (nn.BatchNorm1d(3), (2, 3), Scale),
        (nn.BatchNorm2d(3), (1, 3, 4, 4), Scale),
        (nn.AvgPool2d(2, padding=1), (1, 3, 4, 4), Pool),
        (nn.AdaptiveAvgPool2d(1), (1, 3, 4, 4), GlobalPool),
        (nn.ZeroPad2d((1, 2, 3, 4)), (1, 3, 4, 4), Pad),
    ],
)
def test_a_lifted_module_is_the_module(module, shape, kind):
    network = randomised(nn.Sequential(module))
    ops, _, x = lifted(network, *shape)
    value = ops[1].value
    assert isinstance(value, kind)
    assert torch.allclose(value(x), network(x), atol=1e-5)


class Functions(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.rand(1, 3, 1, 1))

    def forward(self, x):
        x = (x - self.mean) / 0.5 * 2 + self.mean
        x = F.pad(x, (1, 1, 1, 1))
        return torch.cat((F.avg_pool2d(x, 3, stride=1), x.mean((2, 3), keepdim=True).expand(-1, -1, 4, 4)), 1)


def test_functions_are_lifted_too():
    ops, found, _ = lifted(Functions(), 1, 3, 4, 4)
    kinds = [type(op.value).__name__ for op in ops if op is not None]
    assert kinds == ["Scale"] * 4 + ["Pad", "Pool", "GlobalPool", "Stack"]
    assert len(regions(found)) == 1, "they hang together by the map that two of them read"


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 3), CLEAN),
        (nn.Conv2d(2, 2, 1, bias=False), nn.Conv2d(2, 2, 3, padding=1), CLEAN),
        (nn.Conv2d(2, 2, 3, padding=2, bias=False), nn.Conv2d(2, 2, 3, padding=1), CLEAN),
        (nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 3, padding=1), BIAS_LEAK),
        (nn.Conv2d(2, 2, 3, padding=1, bias=False), nn.Conv2d(2, 2, 3, padding=1), KERNEL_LEAK),
        (nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1), KERNEL_LEAK),
    ],
)
def test_border_classes_are_named(first, second, found):
    ops, _, _ = lifted(nn.Sequential(first, second), 1, 2, 9, 9)
    assert border_class(ops[1].value, ops[2].value) == found


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("way", ["border_channel", "border_map"])
def test_a_leaking_bias_is_carried_either_way(way, stride):
    network = nn.Sequential(
        nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1), nn.ReLU(),
    )  # fmt: skip
    network = randomised(network)
    cheap = {"border_channel": "pad", "border_map": "add"}[way]

    def cost(form, inputs):
        convs = sum("op" in str(node.target) for node in form.graph.nodes if node.op == "call_module")
        return convs - 0.5 * any(cheap in node.name for node in form.graph.nodes)

    done = flatten(network, torch.randn(1, 4, 9, 8), policy="model", cost=cost)
    assert way in {rewrite.rule for rewrite in done.rewrites}
    assert sum(node.kind.startswith("Conv") for node in done.flat_graph.nodes) == 1
    assert done.certificate.passed
    assert done.certificate.worst("float64") < 1e-12
    assert max(check.border for check in done.certificate.checks) < 1e-5
    sizes = {check.shape[2:] for check in done.certificate.checks}
    assert (len(sizes) > 1) == (way == "border_channel"), "a map is of one size, and the certificate says so"
    assert bool(done.certificate.skipped) == (way == "border_map")


def heavy_ops(network, inputs):
    return sum(10.0 if node.op == "call_module" else 1.0 for node in network.graph.nodes)


def test_parallel_convolutions_are_one_with_its_activation():
    class Parallel(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.three = (nn.Conv2d(4, n, 1) for n in (2, 3, 5))

        def forward(self, x):
            return F.relu(self.one(x)), F.relu(self.two(x)), F.relu(self.three(x)) * 2

    network = randomised(Parallel())
    done = flatten(network, torch.randn(1, 4, 8, 8), policy="model", cost=heavy_ops)
    kinds = [node.kind for node in done.flat_graph.nodes]
    assert kinds.count("Conv2d 1x1") == 1
    assert kinds.count("relu") == 1
    assert done.certificate.passed


def test_no_form_is_made_twice_and_none_holds_numbers():
    network = randomised(nn.Sequential(nn.Conv2d(4, 4, 1, padding=1), nn.Conv2d(4, 4, 3), nn.ReLU()))
    _, found, _ = lifted(network, 1, 4, 8, 8)
    (region,) = regions(found)
    made = forms(expression_of(region), list(recipes([rule for _, rule in rules()]).values()))
    assert [form.name for form in made] == ["as it is", "less work"]
    tensors = [t.value.weight for form in made for t in form.expression.terms() if isinstance(t.value, Conv)]
    assert all(weight.is_meta for weight in tensors)


def test_what_no_form_touches_cuts_a_region():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
            self.norm = nn.BatchNorm2d(4)

        def forward(self, x):
            return self.norm(self.left(x) + self.right(F.relu(x)))

    done = flatten(randomised(Residual()), torch.randn(1, 4, 8, 8))
    assert [r.rule for r in done.rewrites] == ["distribute"], "a norm goes through the sum into both"
    assert sum(isinstance(op.value, Sum | Stack) for op in lifted(Residual(), 1, 4, 8, 8)[0] if op) == 1

"""Every model is followed, or refused with the reason and the place; the user's own is never changed."""

import copy
import dataclasses
import warnings
from collections import namedtuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from juggler.errors import ConfigError, Refused
from juggler.transform import flatten, summarise, trace
from juggler.transform.tracing.graph import propagate_shapes

IMAGE = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def small(*more):
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), *more).eval()


def same(model, traced, *inputs):
    with torch.no_grad():
        torch.testing.assert_close(traced(*inputs), model(*inputs))


class Head(nn.Module):
    """Reads sizes in Python, as many heads do."""

    def __init__(self):
        super().__init__()
        self.body, self.last = small(), nn.Linear(4, 5)

    def forward(self, x):
        x = self.body(x)
        batch, channels, height, _ = x.shape
        if height % 2:
            x = F.pad(x, (0, 1, 0, 1))
        if channels != self.last.in_features:
            raise ValueError("wrong channels")
        x = x.reshape(batch, channels, -1).mean(-1)
        return self.last(x.view(x.size(0), x.size(-1)))


def test_branches_on_sizes_are_followed_for_the_example():
    model = Head().eval()
    with pytest.raises(Refused, match="control flow"):
        trace(model)
    traced = trace(model, IMAGE)
    for batch in (1, 3):
        same(model, traced, torch.randn(batch, 3, 8, 8))
    odd = trace(model, IMAGE[..., :7, :7])
    assert any(node.target is F.pad for node in odd.graph.nodes)
    assert not any(node.target is F.pad for node in traced.graph.nodes)
    assert {node.op for node in traced.graph.nodes} >= {"call_module"}


def test_sizes_stay_free_where_nothing_asks_for_them():
    model = small(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    traced = trace(model, IMAGE)
    same(model, traced, torch.randn(2, 3, 13, 11))


class Loops(nn.Module):
    """Unpacks a split, asks for types, makes positions, and rolls by halves."""

    def forward(self, x):
        parts = [part * 2 for part in x.split(2, dim=1)]
        x = torch.cat(parts, dim=1).to(x.dtype)
        if x.dim() == 4 and x.is_floating_point() and len(x.shape) == 4:
            x = x + torch.arange(x.shape[-1], dtype=x.dtype, device=x.device)
        a, b = torch.chunk(x, 2, dim=-1)
        for row in range(x.size(2)):
            a = a + b[..., row : row + 1, :]
        return torch.softmax(a.flatten(1), dim=-1, dtype=torch.float32)


def test_what_python_asks_of_a_tensor_is_answered_by_the_example():
    model, x = Loops().eval(), torch.randn(1, 4, 6, 6)
    traced = trace(model, x)
    same(model, traced, x)
    same(model, traced, torch.randn(5, 4, 6, 6))
    # Neither the constant nor the casts hold the graph to float32.
    assert traced.double()(x.double()).dtype == torch.float64


class Depends(nn.Module):
    def forward(self, x):
        if x.sum() > 0:  # the line that the message names
            return x
        return -x


def test_control_flow_on_values_is_refused_with_its_place():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(nn.ReLU(), Depends())).eval()
    with pytest.raises(Refused, match="depends on what a tensor holds") as caught:
        trace(model, IMAGE)
    assert "in 1.1, " in caught.value.found
    assert "test_tracing.py:" in caught.value.found
    assert "`if x.sum() > 0:  # the line that the message names`" in caught.value.found
    with pytest.raises(Refused, match=r"in 1\.1, .*test_tracing\.py"):
        trace(model)


def test_random_numbers_are_refused():
    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.randn_like(x)

    with pytest.raises(Refused, match="draws random numbers"):
        trace(Noisy().eval(), IMAGE)


@pytest.mark.parametrize(
    ("example", "kind", "words"),
    [
        (torch.randn(1, 4, 8, 8), Refused, r"shape \(1, 4, 8, 8\).*in 0"),
        (torch.randn(2, 3), Refused, r"shape \(2, 3\)"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.long), Refused, "type torch.int64"),
        (torch.randn(1, 3, 8, 8).double(), Refused, "type torch.float64"),
        ([[1.0, 2.0]], ConfigError, "a list"),
        ((IMAGE, 3), ConfigError, "a tuple of int"),
        ((), ConfigError, "a tuple"),
        (7, ConfigError, "a int"),
        (IMAGE.to("meta"), Refused, "on meta and the weights are on cpu"),
    ],
)
def test_a_wrong_example_is_refused(example, kind, words):
    with pytest.raises(kind, match=words):
        trace(small(), example)


@pytest.mark.parametrize("example", [[[1.0]], 7, None, torch.zeros(1, 3, 8, 8, dtype=torch.long)])
def test_flatten_refuses_a_wrong_example(example):
    with pytest.raises(ConfigError, match="example"):
        flatten(small(), example)


def test_what_is_no_module_is_refused():
    with pytest.raises(ConfigError, match="function"):
        trace(lambda x: x)


def test_a_model_on_meta_is_refused():
    with pytest.raises(Refused, match="on the device meta"):
        trace(small().to("meta"), IMAGE.to("meta"))
    partly = small()
    partly[0].to("meta")
    with pytest.raises(Refused, match=r"0\.bias is on the device meta"):
        trace(partly, IMAGE)


def test_training_mode_is_refused():
    model = small()
    model[1].train()
    with pytest.raises(Refused, match=r"training mode \(1.*model\.eval\(\)"):
        trace(model, IMAGE)


def test_lazy_modules_are_refused_until_they_have_run():
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU()).eval()
    with pytest.raises(Refused, match=r"lazy modules.*: 0"):
        trace(model, IMAGE)
    model(IMAGE)
    same(model, trace(model, IMAGE), IMAGE)


def test_a_torch_jit_module_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.trace(small(), IMAGE)
    for model in (scripted, nn.Sequential(scripted)):
        with pytest.raises(Refused, match=r"torch\.jit module"):
            trace(model, IMAGE)


def test_what_cannot_be_copied_is_refused():
    model = small()
    model.lines = (line for line in "ab")
    with pytest.raises(Refused, match="cannot be copied"):
        trace(model, IMAGE)


def test_hooks_are_refused_by_name():
    model = small()

    def double(module, inputs, output):
        return output * 2

    handle = model[0].register_forward_hook(double)
    with pytest.raises(Refused, match=r"0 \(.*double\)"):
        trace(model, IMAGE)
    handle.remove()
    same(model, trace(model, IMAGE), IMAGE)


def parametrized():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1))
    parametrizations.weight_norm(model[0])
    parametrizations.spectral_norm(model[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(model[2])
    prune.l1_unstructured(model[2], "bias", amount=0.5)
    return model.eval()


def test_computed_weights_become_plain_ones():
    model = parametrized()
    model(IMAGE)  # weight norm now holds a tensor with a history, which torch will not copy
    traced = trace(model, IMAGE)
    same(model, traced, IMAGE)
    kinds = [type(module) for module in traced.children()]
    assert kinds == [nn.Conv2d] * 3
    assert all(set(dict(module.named_parameters())) == {"weight", "bias"} for module in traced.children())
    assert "parametrizations" in dict(model[0].named_children())
    done = flatten(model, IMAGE)
    assert done.certificate.passed


def test_a_shared_module_is_traced_once_a_call():
    conv = nn.Conv2d(3, 3, 3, padding=1)
    model = nn.Sequential(conv, nn.ReLU(), conv).eval()
    traced = trace(model, IMAGE)
    same(model, traced, IMAGE)
    calls = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    assert len(calls) == 3
    assert traced.get_submodule(calls[0]) is traced.get_submodule(calls[2])


class Aliased(nn.Module):
    def forward(self, x):
        x = x * 1.0
        view = x[:, :1]
        view.add_(1.0)
        return F.relu_(x) + x


def test_an_in_place_operator_on_an_alias_is_followed():
    model, given = Aliased().eval(), IMAGE.clone()
    same(model, trace(model, given), IMAGE)
    assert torch.equal(given, IMAGE)


class InPlace(nn.Module):
    def forward(self, x):
        return x.relu_()


def test_an_example_is_not_overwritten():
    given = IMAGE.clone()
    trace(InPlace().eval(), given)
    assert torch.equal(given, IMAGE)


def test_double_precision_and_channels_last_are_traced_as_they_are():
    model = small().double()
    traced = trace(model, IMAGE.double())
    same(model, traced, IMAGE.double())
    assert {p.dtype for p in traced.parameters()} == {torch.float64}
    last = small().to(memory_format=torch.channels_last)
    traced = trace(last, IMAGE.to(memory_format=torch.channels_last))
    same(last, traced, IMAGE)
    assert flatten(last, IMAGE).certificate.passed


Pair = namedtuple("Pair", "one other")


@dataclasses.dataclass
class Result:
    logits: torch.Tensor
    hidden: torch.Tensor | None = None


class Many(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.conv, self.wrap = nn.Conv2d(3, 4, 1), wrap

    def forward(self, x):
        y = self.conv(x)
        return self.wrap(y, y.mean((2, 3)))


@pytest.mark.parametrize(
    ("wrap", "wanted"),
    [
        (lambda a, b: (a, [b]), lambda a, b: (a, [b])),
        (lambda a, b: {"map": a, "mean": b}, lambda a, b: {"map": a, "mean": b}),
        (Pair, lambda a, b: (a, b)),
        (Result, lambda a, b: {"logits": a, "hidden": b}),
        (lambda a, b: Result(a), lambda a, b: {"logits": a}),
    ],
)
def test_several_outputs_come_out_in_plain_containers(wrap, wanted):
    model = Many(wrap).eval()
    traced = trace(model, IMAGE)
    y = model.conv(IMAGE)
    torch.testing.assert_close(traced(IMAGE), wanted(y, y.mean((2, 3))))
    propagate_shapes(traced, IMAGE)
    assert next(node for node in traced.graph.nodes if node.target == "conv").meta["shape"] == (1, 4, 8, 8)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x, y, scale=None, *rest):
        x = self.conv(x) + self.conv(y)
        if scale is not None:
            x = x * scale
        return x + sum(rest)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_several_inputs_are_traced_as_the_example_has_them(count):
    model = Two().eval()
    inputs = (IMAGE, IMAGE.flip(0), *(torch.full((1, 1, 1, 1), float(i)) for i in range(2, count)))
    traced = trace(model, inputs)
    same(model, traced, *inputs)
    assert sum(node.op == "placeholder" for node in traced.graph.nodes) == count
    propagate_shapes(traced, inputs)
    assert summarise(traced, "two").macs == 2 * 8 * 8 * 3 * 4


def test_inputs_with_defaults_keep_them_where_no_example_says_otherwise():
    traced = trace(Two().eval())
    assert [node.name for node in traced.graph.nodes if node.op == "placeholder"] == ["x", "y"]


def state_of(model):
    """Return everything of a model that tracing could touch."""
    return {
        "values": {name: value.clone() for name, value in model.state_dict().items()},
        "identities": {name: id(p) for name, p in model.named_parameters()},
        "grads": {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None},
        "requires_grad": {name: p.requires_grad for name, p in model.named_parameters()},
        "training": {name: module.training for name, module in model.named_modules()},
        "classes": {name: type(module) for name, module in model.named_modules()},
        "attributes": {name: sorted(vars(module)) for name, module in model.named_modules()},
        "hooks": {
            name: (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
            for name, m in model.named_modules()
        },
    }


@pytest.mark.parametrize("make", [Head, parametrized, lambda: small(nn.Conv2d(4, 4, 1), Depends())])
def test_nothing_of_the_users_model_is_changed(make):
    model = make()
    outputs = model(IMAGE)
    outputs.sum().backward()
    for module in model.modules():
        module.register_full_backward_hook(lambda module, into, out: None)
    next(model.parameters()).requires_grad_(False)
    model.eval()
    before = state_of(model)
    for attempt in (trace, flatten):
        try:
            attempt(model, IMAGE)
        except Refused as refused:
            assert "depends on what a tensor holds" in refused.found or attempt is flatten
    after = state_of(model)
    torch.testing.assert_close(after.pop("values"), before.pop("values"), rtol=0, atol=0)
    torch.testing.assert_close(after.pop("grads"), before.pop("grads"), rtol=0, atol=0)
    assert after == before
    with torch.no_grad():
        assert torch.equal(model(IMAGE), outputs)
    copy.deepcopy(model.state_dict())


class PythonWords(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({"for": nn.Conv2d(3, 4, 1), "class": nn.BatchNorm2d(4)})
        self.add_module("lambda", nn.ReLU())
        self.register_buffer("is", torch.ones(1))

    def forward(self, x):
        return getattr(self, "lambda")(self.parts["class"](self.parts["for"](x))) * getattr(self, "is")


def test_parts_that_are_named_by_words_of_python_get_other_names():
    network = PythonWords().eval()
    x = torch.randn(1, 3, 5, 5)
    assert flatten(network, x).certificate.passed
    assert torch.equal(trace(network)(x), network(x))
    assert set(network.parts) == {"for", "class"}, "the model itself is never changed"


UNREADABLE = {
    "lazy": lambda: nn.LazyConv2d(8, 3),
    "device meta": lambda: nn.Conv2d(3, 4, 3, device="meta"),
    "quantised": lambda: torch.ao.nn.quantized.dynamic.Linear(8, 3),
    "one element type": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3).half()),
    "not finite": lambda: nn.PReLU(init=float("nan")),
}


@pytest.mark.filterwarnings("ignore")  # torch's own, about what it will drop
@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_refused_by_name(name):
    with pytest.raises(Refused, match=name):
        flatten(nn.Sequential(UNREADABLE[name]()).eval(), torch.randn(1, 3, 8, 8))


def test_an_example_without_a_batch_is_compared_as_it_is():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    certificate = flatten(network, torch.randn(3, 8, 8)).certificate
    assert certificate.passed
    assert {check.shape for check in certificate.checks} == {(3, 8, 8)}

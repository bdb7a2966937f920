"""The public `flatten`: what it adds to the exact rewriting; no test judges a duration."""

from __future__ import annotations

import inspect
import math
from pathlib import Path

import pytest
import torch
from torch import fx, nn

import juggler
from juggler.clock.race import Ratio
from juggler.digest import weights_sha256
from juggler.errors import ConfigError, JugglerError, Refused
from juggler.nouns import Decision
from juggler.runtime.tuning.flattening import (
    WHOLE,
    OriginalComparison,
    _decided_by_race,
    _Exact,
    compare_with_original,
    flatten,
)
from juggler.runtime.tuning.latency_cache import LatencyCache
from juggler.runtime.tuning.timer import Timer
from juggler.transform import Flattened
from juggler.transform import flatten as exact
from juggler.transform.plan.policy import POLICIES

X = torch.randn(1, 6, 9, 9)


def branches(channels: int = 6) -> nn.Module:
    """Two blocks: a bottleneck, which to merge raises the work, and parallel branches."""

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.three = nn.Conv2d(channels, channels, 3, padding=1)
            self.one = nn.Conv2d(channels, channels, 1)
            self.norm = nn.BatchNorm2d(channels)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.three(x) + self.one(x) + self.norm(x))

    torch.manual_seed(0)
    bottleneck = nn.Sequential(
        nn.Conv2d(channels, 2, 1, bias=False), nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, channels, 1)
    )
    network = nn.Sequential(bottleneck, nn.ReLU(), Branches()).eval()
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.5)
    return network


def quick(backend: str = "onnxruntime") -> Timer:
    return Timer(backend, threads=1, rounds=2, seconds=0.02, cache=LatencyCache.in_memory())


def macs(module: fx.GraphModule, examples: tuple[torch.Tensor, ...]) -> float:
    """Price a form by the numbers that its weights hold."""
    return float(sum(p.numel() for p in module.parameters()))


def verdict(done: Flattened) -> Decision:
    return next(decision for decision in done.decisions if decision.region == WHOLE)


def test_it_is_the_public_name() -> None:
    assert juggler.flatten is flatten
    own, theirs = (inspect.signature(f).parameters for f in (flatten, exact))
    assert set(theirs) <= set(own)
    assert set(own) - set(theirs) == {"backend", "threads"}


@pytest.mark.parametrize("policy", ["work", "always", "never"])
def test_without_a_clock_it_is_the_exact_rewriting(policy) -> None:
    network = branches()
    done, plain = flatten(network, X, policy=policy), exact(network, X, policy=policy)
    assert (done.rewrites, done.refusals, done.decisions) == (plain.rewrites, plain.refusals, plain.decisions)
    assert weights_sha256(done.model) == weights_sha256(plain.model)
    assert not any(decision.region == WHOLE for decision in done.decisions)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "torch_eager"])
def test_forms_are_measured_and_the_whole_is_held_against_the_original(backend: str) -> None:
    network = branches()
    before = weights_sha256(network)
    done = flatten(network, X, policy="measure", backend=backend, threads=1, cost=quick(backend))
    assert done.certificate.passed
    assert weights_sha256(network) == before
    found = verdict(done)
    assert backend in found.reason
    assert "95 % interval" in found.reason
    assert found.latency_before_ms is not None
    assert 0.0 < found.latency_before_ms < math.inf
    torch.testing.assert_close(done.model(X), network(X), rtol=1e-4, atol=1e-4)
    if found.form == "flat":
        assert any(d.latency_after_ms is not None for d in done.decisions if d.region != WHOLE)
        assert done.decisions[-1] is found
    else:
        assert done.rewrites == ()


def test_its_own_timer_keeps_prices(elsewhere: Path) -> None:
    done = flatten(branches(), X, policy="measure", threads=1)
    assert done.certificate.passed
    assert (elsewhere / "juggler" / "prices.sqlite").is_file()


def test_a_cost_function_is_asked_instead(elsewhere: Path) -> None:
    asked: list[int] = []

    def cost(module: fx.GraphModule, examples: tuple[torch.Tensor, ...]) -> float:
        asked.append(len(examples))
        return macs(module, examples)

    done = flatten(branches(), X, policy="model", cost=cost)
    assert asked
    assert done.certificate.passed
    assert not any(decision.region == WHOLE for decision in done.decisions)
    assert list(elsewhere.rglob("prices.sqlite")) == []


def held(low: float, median: float, high: float) -> OriginalComparison:
    return OriginalComparison(2.0, 2.0 * median, Ratio(median, low, high))


def test_a_slower_network_is_handed_back() -> None:
    network = branches()
    done = exact(network, X, policy="always")
    assert done.rewrites
    kept = _decided_by_race(_Exact(network, X, None, None), done, "onnxruntime", held(1.02, 1.1, 1.2))
    assert kept.rewrites == ()
    assert kept.certificate.passed
    assert kept.flat_graph.macs == kept.wide_graph.macs == done.wide_graph.macs
    refusal, decision = kept.refusals[0], verdict(kept)
    assert "slower than what onnxruntime makes of the original" in refusal.reason
    assert "1.100 times as long (95 % interval 1.020 to 1.200)" in refusal.reason
    assert 'policy="work"' in refusal.remedy
    assert (decision.form, decision.latency_after_ms) == ("as it is", 2.0)
    assert decision.macs_after == decision.macs_before


@pytest.mark.parametrize("ends", [(0.5, 0.6, 0.7), (0.99, 1.05, 1.2), (1.0, 1.1, 1.2)])
def test_a_network_that_may_be_faster_is_kept(ends: tuple[float, float, float]) -> None:
    network = branches()
    done = exact(network, X)
    kept = _decided_by_race(_Exact(network, X, None, None), done, "onnxruntime", held(*ends))
    assert kept.rewrites == done.rewrites
    decision = verdict(kept)
    assert (decision.form, decision.latency_after_ms) == ("flat", 2.0 * ends[1])
    assert Decision.from_json(decision.to_json()) == decision


def test_what_the_backend_cannot_run_is_said_and_is_no_price() -> None:
    class Unfit:
        unfit = {"a structure": "no such op"}  # noqa: RUF012  # as an instance has it

        def __call__(self, module: fx.GraphModule, examples: tuple[torch.Tensor, ...]) -> float:
            return math.inf

    done = flatten(branches(), X, policy="measure", threads=1, cost=Unfit())
    assert any("no such op" in refusal.reason for refusal in done.refusals)
    for decision in done.decisions:
        decision.to_json()  # which knows no infinity


def test_double_precision_is_held_in_single() -> None:
    network = branches().double()
    done = flatten(network, X.double(), policy="measure", threads=1, cost=quick())
    assert done.certificate.passed
    assert verdict(done).latency_before_ms is not None


def test_a_network_is_held_against_itself() -> None:
    found = compare_with_original(branches(), branches(), X, threads=1, rounds=3)
    assert 0.0 < found.ratio.low <= found.ratio.median <= found.ratio.high
    assert min(found.wide_ms, found.flat_ms) > 0.0
    assert str(round(found.ratio.median, 3)) in str(found)


def test_a_network_without_linear_regions_is_not_raced(elsewhere: Path) -> None:
    done = flatten(nn.Sequential(nn.ReLU(), nn.Conv2d(6, 6, 3)).eval(), X, policy="measure")
    assert done.rewrites == ()
    assert not any(decision.region == WHOLE for decision in done.decisions)


def test_bad_options_are_refused_by_name() -> None:
    network = branches()
    with pytest.raises(ConfigError, match="There are: onnxruntime, openvino"):
        flatten(network, X, policy="measure", backend="gpu")
    with pytest.raises(ConfigError, match="gpu"):
        flatten(network, X, backend="gpu")
    with pytest.raises(ConfigError) as caught:
        flatten(network, X, policy="fastest")  # type: ignore[arg-type]
    assert all(policy in str(caught.value) for policy in POLICIES)
    with pytest.raises(ConfigError, match="cost"):
        flatten(network, X, policy="model")
    with pytest.raises(ConfigError, match="threads=0"):
        flatten(network, X, policy="measure", threads=0)
    with pytest.raises(Refused, match="training mode"):
        flatten(network.train(), X, policy="measure", cost=macs)


@pytest.mark.parametrize(
    ("module", "example"),
    [
        (nn.Sequential(nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d()), torch.randn(1, 3, 8, 8)),
        (nn.Sequential(nn.Conv2d(3, 4, 3, device="meta")), torch.randn(1, 3, 8, 8)),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), torch.zeros(1, 1, 8, 8)),
    ],
)
def test_whatever_goes_wrong_is_a_refusal(module: nn.Module, example: torch.Tensor) -> None:
    with pytest.raises(JugglerError) as caught:
        juggler.flatten(module.eval(), example)
    assert caught.value.found and caught.value.remedy


def test_a_fault_within_the_rewriting_names_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise IndexError("out of range\n\nWhile executing %conv_1 : [num_users=1] = call_module")

    monkeypatch.setattr(juggler.transform, "flatten", fail)
    with pytest.raises(Refused, match="at node conv_1: IndexError: out of range"):
        juggler.flatten(nn.Sequential(nn.Conv2d(3, 4, 3)).eval(), torch.randn(1, 3, 8, 8))

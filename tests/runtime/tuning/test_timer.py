"""The timer: one price a structure, kept, raced; no test judges a duration."""

from __future__ import annotations

import copy
import gc
import math
import sqlite3
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import fx, nn

from juggler.digest import weights_sha256
from juggler.errors import ConfigError, Unavailable
from juggler.runtime.session import Session
from juggler.runtime.tuning.latency_cache import Latency, LatencyCache
from juggler.runtime.tuning.structure import structure_of
from juggler.runtime.tuning.timer import FEWEST_ROUNDS, HEAT_ROUNDS, Timer, _latency

X = torch.zeros(1, 3, 9, 9)  # shapes count only: the timer draws its own inputs


def graph(module: nn.Module) -> fx.GraphModule:
    return fx.symbolic_trace(nn.Sequential(module).eval())


def convs(*channels: int, kernel: int = 3) -> fx.GraphModule:
    pairs = pairwise(channels)
    return graph(nn.Sequential(*(nn.Conv2d(a, b, kernel, padding=kernel // 2) for a, b in pairs)))


def quick(cache: LatencyCache | None = None, **options) -> Timer:
    own = cache or LatencyCache.in_memory()
    return Timer(**{"threads": 1, "rounds": 3, "seconds": 0.05, "cache": own} | options)


class Branches(nn.Module):
    """Two convolutions of one input, added: the second is the first again, or one of its own."""

    def __init__(self, *, shared: bool = False, swapped: bool = False) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = self.a if shared else nn.Conv2d(3, 4, 1)
        self.swapped = swapped

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.swapped:  # computed in the other order, added in the same
            right = self.b(x)
            return self.a(x) + right
        return self.a(x) + self.b(x)


class Twice(nn.Module):
    """One convolution twice, or two that are alike."""

    def __init__(self, *, shared: bool) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 3, 3, padding=1)
        self.b = self.a if shared else nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x) + self.b(x)


class Wired(nn.Module):
    """Apply a function, with a tensor of the network's own beside the input."""

    def __init__(self, function) -> None:
        super().__init__()
        self.register_buffer("scale", torch.rand(3, 1, 1))
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x, self.scale)


def test_names_weights_and_element_types_do_not_count() -> None:
    torch.manual_seed(0)
    one = graph(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.unused, self.norm, self.wall = (
                nn.Conv2d(3, 4, 3),
                nn.Linear(9, 9),
                nn.BatchNorm2d(4),
                nn.ReLU(),
            )

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.wall(self.norm(self.first(image)))

    other = graph(Named())
    assert structure_of(one, (X,)) == structure_of(other, (torch.rand(X.shape),))
    assert structure_of(one, (X,)) == structure_of(other.double(), (X.double(),))
    dead = copy.deepcopy(one)
    with dead.graph.inserting_after(next(iter(dead.graph.nodes))):
        dead.graph.call_function(torch.neg, (next(iter(dead.graph.nodes)),))
    assert structure_of(dead, (X,)) == structure_of(one, (X,))
    assert structure_of(graph(Branches()), (X,)) == structure_of(graph(Branches(swapped=True)), (X,))


def test_whatever_may_change_the_speed_counts() -> None:
    torch.manual_seed(0)
    wide = torch.zeros(2, 3, 9, 9)
    forms = [
        (convs(3, 4), X),
        (convs(3, 4), wide),
        (convs(3, 4), torch.zeros(1, 3, 9, 8)),
        (convs(3, 5), X),
        (convs(3, 4, 5), X),
        (convs(3, 4, kernel=1), X),
        *((graph(nn.Conv2d(3, 3, 3, **options)), X) for options in ({}, {"groups": 3}, {"bias": False})),
        *((graph(nn.Conv2d(3, 3, 3, **options)), X) for options in ({"dilation": 2}, {"stride": 2})),
        (graph(nn.ConvTranspose2d(3, 3, 3)), X),
        (graph(nn.AvgPool2d(3)), X),
        (graph(nn.AvgPool2d(3, count_include_pad=False)), X),
        *((graph(Twice(shared=shared)), X) for shared in (True, False)),
        (graph(Wired(lambda x, s: x * s)), X),
        (graph(Wired(lambda x, s: x + s)), X),
        (graph(Wired(lambda x, s: x[:, :, 1:] * s)), X),
        (graph(Wired(lambda x, s: x[:, :, 2:] * s)), X),
        (graph(Wired(lambda x, s: nn.functional.pad(x * s, (1, 1, 0, 0)))), X),
        (graph(Wired(lambda x, s: nn.functional.pad(x * s, (0, 0, 1, 1)))), X),
        (graph(Wired(lambda x, s: torch.cat([x, x * s], dim=1))), X),
        (graph(Wired(lambda x, s: torch.cat([x * s, x], dim=1))), X),
        (graph(Wired(lambda x, s: (x * s).transpose(1, 2))), X),
        (graph(Wired(lambda x, s: (x * s).transpose(dim0=1, dim1=3))), X),
    ]
    digests = [structure_of(module, (x,)) for module, x in forms]
    assert len({*digests}) == len(forms)
    again = [structure_of(copy.deepcopy(module), (x,)) for module, x in forms]
    assert again == digests


def test_a_long_chain_has_a_structure() -> None:
    chain = fx.symbolic_trace(nn.Sequential(*(nn.ReLU() for _ in range(5000))))
    assert len(structure_of(chain, (X,))) == 64


def open_sessions() -> set[int]:
    return {id(s) for s in gc.get_objects() if issubclass(type(s), Session) and s._is_open}


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "torch_eager"])
def test_forms_are_priced_on_every_backend(backend: str) -> None:
    timer = quick(backend=backend)
    if not timer.place.release:
        pytest.fail("a backend that is here has a release")
    others = open_sessions()
    double = convs(3, 4, 5).double()
    forms = [(double, (X.double(),)), (graph(Branches()), (X,)), (convs(3, 4, 5), (X,))]
    before = [weights_sha256(module) for module, _ in forms]
    prices = timer.race(forms)
    assert all(0.0 < price < math.inf for price in prices)
    assert prices[0] == prices[2]  # of one structure
    assert timer.race([forms[1], forms[0]]) == (prices[1], prices[0])
    assert timer(*forms[1]) == prices[1]
    assert [weights_sha256(module) for module, _ in forms] == before
    assert open_sessions() <= others


def test_several_inputs_and_zero_weights_are_no_matter() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return self.conv(a) + b

    module = fx.symbolic_trace(Two().eval())
    nn.init.zeros_(module.get_submodule("conv").weight)
    assert 0.0 < quick()(module, (X, X)) < math.inf


def test_a_price_is_kept_for_the_next_timer(tmp_path: Path) -> None:
    path = tmp_path / "prices.sqlite"
    forms = [(convs(3, 4), (X,)), (convs(3, 4, 4), (X,))]
    prices = quick(LatencyCache(path)).race(forms)
    assert quick(LatencyCache(path)).race(forms[::-1]) == prices[::-1]  # timed anew they would differ
    assert quick(LatencyCache(path))(*forms[0]) == prices[0]
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT latency_ms, low_ms, high_ms, rounds, threads FROM prices"
        ).fetchall()
    assert len(rows) == 4  # each among its rivals, and by itself
    assert {row[0] for row in rows} == {*prices}
    assert all(row[0] <= row[1] <= row[2] and row[3] == 3 and row[4] == 1 for row in rows)
    others = quick(LatencyCache(path), threads=2).race(forms)
    assert others != prices


def test_another_field_of_rivals_is_another_race() -> None:
    timer = quick()
    a, b, c = ((convs(3, n), (X,)) for n in (4, 5, 6))
    first = timer.race([a, b])
    assert timer.race([b, a, c])[:2] != (first[1], first[0])
    assert timer.race([a, b]) == first


def test_a_form_that_cannot_run_costs_infinity() -> None:
    timer = quick()
    broken = graph(Wired(lambda x, s: torch.linalg.eigvals(x.mean(0).mean(0)).real + s))
    good = (convs(3, 4), (X,))
    prices = timer.race([good, (broken, (X,))])
    assert 0.0 < prices[0] < math.inf
    assert prices[1] == math.inf
    assert timer.race([good, (broken, (X,))]) == prices
    assert timer(broken, (X,)) == math.inf


def test_who_is_clearly_slower_is_sent_off_early() -> None:
    timer = quick(rounds=12, seconds=5.0)
    calls = dict.fromkeys(("a", "b"), lambda: time.sleep(0.001)) | {"slow": lambda: time.sleep(0.02)}
    found = timer._raced(calls, 12)
    assert {name: own.size for name, own in found.items()} == {"a": 12, "b": 12, "slow": HEAT_ROUNDS}
    assert timer._raced({"slow": calls["slow"]}, 7)["slow"].size == 7
    assert timer._raced(calls, 0)["slow"].size == FEWEST_ROUNDS


def test_a_price_is_the_shortest_call() -> None:
    price = _latency(np.array([3.0, 1.0, 2.0, 2.5, 4.0]))
    assert price == Latency(1.0, 1.0, 4.0, 5)


def test_what_cannot_be_timed_is_refused() -> None:
    with pytest.raises(ConfigError, match="There are: onnxruntime, openvino"):
        Timer("gpu")
    for options in ({"rounds": 0}, {"seconds": 0.0}, {"threads": 0}):
        with pytest.raises(ConfigError, match="Give 1 or more"):
            quick(**options)


def test_a_backend_that_is_not_here_says_so() -> None:
    from juggler.runtime.session import BACKENDS  # noqa: PLC0415

    absent = [name for name, backend in BACKENDS if not backend.status().available]
    for name in absent:
        with pytest.raises(Unavailable, match="To mend it"):
            Timer(name)
    assert absent or len(BACKENDS.names()) > 0

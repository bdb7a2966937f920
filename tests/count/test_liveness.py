"""Liveness: against a plain simulation, and on networks whose peak is known by hand."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from juggler.count.liveness import Step, live_bytes
from juggler.count.network import count

BUFFERS = st.tuples(*[st.integers(0, 6)] * 2)


def simulated(steps, sizes, given_, kept):
    """Hold buffers in a set, step by step, and drop each after its last use."""
    alive, peaks = set(given_), []
    for place, step in enumerate(steps):
        alive |= {*step.reads, *step.writes}
        peaks.append(alive)
        later = {b for other in steps[place + 1 :] for b in (*other.reads, *other.writes)} | set(kept)
        alive = {buffer for buffer in alive if buffer in later}
    return tuple(sum(sizes.get(buffer, 0) for buffer in held) for held in peaks)


@given(
    st.lists(st.tuples(BUFFERS, BUFFERS), max_size=12),
    st.lists(st.integers(0, 1000), min_size=5, max_size=5),
    st.sets(st.integers(0, 6)),
)
def test_liveness_is_what_a_simulation_holds(pairs, bytes_of_each, inputs):
    steps = [Step(reads, writes) for reads, writes in pairs]
    sizes = dict(enumerate(bytes_of_each))  # buffers 5 and 6 are weights: they take nothing
    used = {buffer for step in steps for buffer in (*step.reads, *step.writes)}
    # What is read before it was written was there from the start only if it was given.
    first_read = {b for b in used if _read_first(steps, b)}
    there = inputs & used | first_read
    found = live_bytes(steps, sizes, inputs=there, outputs=steps[-1].writes if steps else ())
    assert found == simulated(steps, sizes, there, steps[-1].writes if steps else ())


def _read_first(steps, buffer):
    place = next(step for step in steps if buffer in (*step.reads, *step.writes))
    return buffer in place.reads


def test_a_chain_holds_two_maps_at_a_time():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 4, 1), nn.Conv2d(4, 1, 1)).eval()
    found = count(network, torch.randn(1, 1, 10, 10))
    assert [op.live_bytes for op in found.ops] == [4 * 300, 4 * 600, 4 * 500]
    assert found.peak_activation_bytes == 4 * 600


def test_a_shortcut_is_held_until_it_is_added():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Conv2d(2, 8, 1), nn.Conv2d(8, 2, 1)

        def forward(self, x):
            return x + self.other(self.one(x))

    found = count(Residual().eval(), torch.randn(1, 2, 10, 10))
    assert [op.live_bytes for op in found.ops] == [4 * 1000, 4 * 1200, 4 * 600]


def test_in_place_takes_no_more_and_views_share():
    network = nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(200, 10)
    ).eval()
    found = count(network, torch.randn(1, 1, 10, 10))
    assert [op.live_bytes for op in found.ops] == [4 * 300, 4 * 200, 4 * 200, 4 * 210]
    apart = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU()).eval()
    assert [op.live_bytes for op in count(apart, torch.randn(1, 1, 10, 10)).ops] == [4 * 300, 4 * 400]


def test_outputs_are_kept_to_the_end():
    class Two(nn.Module):
        def forward(self, x):
            y = x.exp()
            return y, {"later": y.sum(dim=1).exp()}

    found = count(Two().eval(), torch.randn(10, 10))
    assert [op.live_bytes for op in found.ops] == [800, 440, 480]


def test_nothing_runs_nothing_lives():
    assert live_bytes([], {}, inputs=(1,), outputs=(1,)) == ()

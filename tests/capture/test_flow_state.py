import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from juggler.capture.flow_state import Sorted, merged, parts


def made_up(seed: int, n: int) -> Sorted:
    draw = np.random.default_rng(seed)
    return Sorted(
        numbers=np.arange(1, n + 1),
        times_us=np.cumsum(draw.integers(0, 1 << 30, n)),
        times_ns=draw.integers(0, 1 << 60, n),
        side=draw.integers(0, 2, n),
        sizes=draw.integers(20, 65_536, n),
        transport_bytes=draw.integers(0, 65_000, n),
        payload_bytes=draw.integers(0, 65_000, n),
        icmp_type=draw.integers(0, 255, n),
        icmp_code=draw.integers(0, 255, n),
        flags=draw.integers(0, 256, n),
        wrong=draw.random(n) < 0.2,
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(2, 40), st.data())
def test_a_flow_in_two_parts_is_the_flow_to_the_bit(seed, n, data):
    packets, cut = made_up(seed, n), data.draw(st.integers(1, n - 1))
    opener = np.array([1])
    one = parts(packets, np.array([0]), opener)
    two = parts(packets, np.array([0, cut]), np.array([1, 1]))
    joined = merged({k: v[:1] for k, v in two.items()}, {k: v[1:] for k, v in two.items()})
    for name, values in one.items():
        assert np.array_equal(joined[name], values), name

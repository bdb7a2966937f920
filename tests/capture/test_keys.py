import io
from dataclasses import replace

import numpy as np

from juggler.capture.files import frames_of
from juggler.capture.frames import Account
from juggler.capture.keys import Hasher, keys_of
from juggler.capture.packets import Packets, decode
from made_up_captures import BEGIN_NS, Frame, ethernet, icmp, pcap, tcp, udp


def packets(*frames: bytes) -> Packets:
    data = pcap([Frame(ethernet(frame), BEGIN_NS) for frame in frames])
    (block,) = frames_of(io.BytesIO(data), Account())
    return decode(block, Account())


def test_both_ways_share_a_key_and_nothing_else_does():
    a, b = "10.0.0.1", "10.0.0.2"
    several = packets(
        tcp(a, b, (1, 2)), tcp(b, a, (2, 1)), tcp(a, b, (2, 1)), udp(a, b, (1, 2)),
        tcp("fd00::1", "fd00::2", (1, 2)),
        icmp(a, b, 8), icmp(b, a, 0), icmp(a, b, 13), tcp(a, a, (1, 2)), tcp(a, a, (2, 1)),
    )  # fmt: skip
    hashes = keys_of(several, Hasher(1)).hashes.tolist()
    same = [(i, j) for i in range(len(hashes)) for j in range(i) if hashes[i] == hashes[j]]
    assert same == [(1, 0), (6, 5), (9, 8)]
    tagged = replace(several, vlan=np.full(len(several), 7))
    assert not {*keys_of(tagged, Hasher(1)).hashes.tolist()} & {*hashes}


def test_the_key_of_the_hash_is_drawn_anew_for_every_table():
    some = packets(tcp("10.0.0.1", "10.0.0.2", (1, 2)))
    assert len({int(keys_of(some, Hasher()).hashes[0]) for _ in range(5)}) == 5


def test_hashes_spread_evenly_over_keys_that_differ_little():
    words = [np.zeros(1 << 16, np.int64) for _ in range(9)] + [np.arange(1 << 16)]
    hashes = Hasher(3)(words)
    assert len(np.unique(hashes)) == 1 << 16
    buckets = np.bincount((hashes >> np.uint64(56)).astype(int), minlength=256)
    assert buckets.min() > 0 and buckets.max() < 8 * 256

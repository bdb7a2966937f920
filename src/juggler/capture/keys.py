"""Which packets belong together: the five-tuple, the same both ways, and its VLAN, hashed with a secret."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from juggler.capture.frames import Ints
from juggler.capture.packets import ICMP, ICMP6, Packets

_ICMP_REQUEST = {0: 8, 14: 13, 16: 15, 18: 17, 9: 10}
_ICMP6_REQUEST = {129: 128, 131: 130, 132: 130, 134: 133, 136: 135, 140: 139}
"""The type of the message that each answers (RFC 792, 950, 1256, 4443, 4861)."""
_WORDS = 10


@dataclass(frozen=True)
class Keys:
    """The key of each packet of a block.

    Attributes:
        hashes: `[n]`; equal for packets of one conversation. Two conversations share one with a probability
            of 2^-64 a pair, whoever chose them, as long as the multipliers are secret.
        upward: `[n]`, whether the packet goes from the lower endpoint to the higher one.
        low: `[n, 4]`, the address of the lower endpoint.
        high: `[n, 4]`, that of the higher one.
        low_port: `[n]`; for ICMP, the type of the request.
        high_port: `[n]`; for ICMP, the same.
    """

    hashes: NDArray[np.uint64]
    upward: NDArray[np.bool_]
    low: NDArray[np.uint32]
    high: NDArray[np.uint32]
    low_port: Ints
    high_port: Ints


class Hasher:
    """Hash keys by two multilinear functions of 32 bits each (Carter and Wegman 1979; Lemire and Kaser 2014).

    A function of that family maps two different keys to one value with a probability of 2^-32, over the
    choice of its multipliers. They are drawn anew for every run, so nobody can prepare traffic that collides.

    Args:
        seed: draws the multipliers, for tests; None takes them from the system.
    """

    def __init__(self, seed: int | None = None) -> None:
        entropy = secrets.randbits(128) if seed is None else seed
        self._multipliers = np.random.default_rng(entropy).integers(
            0, 1 << 64, (2, _WORDS + 1), np.uint64, endpoint=False
        )

    def __call__(self, words: list[NDArray[Any]]) -> NDArray[np.uint64]:
        """Return the hashes of keys, given as columns of 32-bit words."""
        halves = []
        for first, *rest in self._multipliers:
            total = np.full(len(words[0]), first)
            for multiplier, word in zip(rest, words, strict=True):
                total += word.astype(np.uint64) * multiplier
            halves.append(total >> np.uint64(32))
        return halves[0] << np.uint64(32) | halves[1]


def keys_of(packets: Packets, hasher: Hasher) -> Keys:
    """Return the keys of packets; protocol and VLAN are part of a key, ICMP types where others have ports."""
    source_port, destination_port = _ports(packets)
    source, destination = _pairs(packets.sources), _pairs(packets.destinations)
    upward = _at_most((*source, source_port), (*destination, destination_port))
    low = np.where(upward[:, None], packets.sources, packets.destinations)
    high = np.where(upward[:, None], packets.destinations, packets.sources)
    low_port = np.where(upward, source_port, destination_port)
    high_port = np.where(upward, destination_port, source_port)
    hashes = hasher(
        [*low.T, *high.T, low_port << 16 | high_port, packets.protocol << 16 | packets.vlan],
    )
    return Keys(hashes, upward, low, high, low_port, high_port)


def _ports(packets: Packets) -> tuple[Ints, Ints]:
    source, destination = packets.source_port, packets.destination_port
    for protocol, requests in ((ICMP, _ICMP_REQUEST), (ICMP6, _ICMP6_REQUEST)):
        rows = np.flatnonzero(packets.protocol == protocol)
        if rows.size:
            table = np.arange(256)
            table[list(requests)] = list(requests.values())
            source, destination = source.copy(), destination.copy()
            source[rows] = destination[rows] = table[packets.source_port[rows] & 255]
    return source, destination


def _pairs(addresses: NDArray[np.uint32]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    wide = addresses.astype(np.uint64)
    return wide[:, 0] << np.uint64(32) | wide[:, 1], wide[:, 2] << np.uint64(32) | wide[:, 3]


def _at_most(left: tuple[NDArray[Any], ...], right: tuple[NDArray[Any], ...]) -> NDArray[np.bool_]:
    """Say for each row whether the left tuple comes before the right one, or is equal."""
    less, equal = np.zeros(len(left[0]), bool), np.ones(len(left[0]), bool)
    for a, b in zip(left, right, strict=True):
        less |= equal & (a < b)
        equal &= a == b
    return less | equal

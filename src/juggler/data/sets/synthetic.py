"""A synthetic set with the columns of NSL-KDD, made by the package itself: for trials, never for claims.

Floods leave half-open connections, scans are refused, password guessing fails logins, and some attack types
occur in the test part only. A few attacks are stealthy (the traffic of a normal record) and a few normal
records noisy (the traffic of an attack), so that no detector can get all of them right.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from juggler.data.dataset import FoldedSet, Provenance, Records, Schema, check_choice
from juggler.data.schemas.nsl_kdd import FOLDS, SCHEMA
from juggler.data.sets._profiles import PROFILES, TRAFFIC, Profile, Range
from juggler.data.source import Source

_SEEDS = {"train": 20_001, "test": 20_002}
_STEALTHY, _NOISY = 0.04, 0.005
_WINDOW, _HISTORY = 511, 255  # caps of the counts: within two seconds, and over the last connections
_PROVENANCE = Provenance(
    name="synthetic",
    synthetic=True,
    citation="made by juggler (data/sets/synthetic.py); its scores say nothing about real traffic",
    licence="Apache-2.0",
    sha256={},
)


@dataclass(frozen=True)
class Synthetic(FoldedSet):
    """The data set, the same on every call."""

    name: str = "synthetic"
    synthetic: bool = True
    schema: Schema = SCHEMA
    parts: tuple[str, ...] = ("train", "test")
    provenance: Provenance = _PROVENANCE
    held_out: tuple[tuple[str, ...], ...] = FOLDS

    def at(self, source: Source) -> Synthetic:
        """Return the same set: it has no files to look for."""
        return self

    def load(self, part: str) -> Records:
        """Make the records of `train` or `test`.

        Raises:
            ConfigError: there is no such part.
        """
        check_choice("load a part of synthetic", part, self.parts)
        return _make(part)


def _make(part: str) -> Records:
    """Draw the rows of every profile, mix them, and give some the traffic of others."""
    rng = np.random.default_rng(_SEEDS[part])
    columns: list[dict[str, NDArray[np.float64]]] = []
    names: list[str] = []
    for profile in PROFILES:
        n = profile.train_rows if part == "train" else profile.test_rows
        columns.append(_rows(profile, n, rng))
        names += [profile.attack] * n
    columns_of = {name: np.concatenate([rows[name] for rows in columns]) for name in SCHEMA.all_features}
    attacks = np.array(names, dtype=object)
    _disguise(columns_of, attacks != "normal", rng)
    order = rng.permutation(len(attacks))
    numbers = np.stack([columns_of[name][order] for name in SCHEMA.numeric])
    codes = np.stack([columns_of[name][order] for name in SCHEMA.categorical]).astype(np.int16)
    digest = hashlib.sha256(numbers.tobytes() + codes.tobytes()).hexdigest()
    lines = np.arange(1, len(attacks) + 1)
    return Records(SCHEMA, numbers, codes, attacks[order], lines, f"synthetic/{part}", digest)


def _rows(profile: Profile, n: int, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Draw `n` rows of a profile, every column `[n]`."""
    traffic = TRAFFIC[profile.traffic]
    count = _log_uniform(profile.count, n, rng)
    host_count = _log_uniform(profile.host_count, n, rng)
    same, host_same = _share(traffic.same_srv, n, rng), _share(traffic.host_same_srv, n, rng)
    serror, rerror = _share(traffic.serror, n, rng), _share(traffic.rerror, n, rng)
    logged_in = (rng.random(n) < profile.logged_in).astype(np.float64)
    rows = {name: np.zeros(n) for name in SCHEMA.all_features}
    rows |= {
        "duration": _log_uniform(profile.duration_s, n, rng),
        "protocol_type": _word("protocol_type", profile.protocol, n, rng),
        "service": _word("service", profile.services, n, rng),
        "flag": _word("flag", profile.flags, n, rng),
        "src_bytes": _log_uniform(profile.src_bytes, n, rng),
        "dst_bytes": _log_uniform(profile.dst_bytes, n, rng),
        "logged_in": logged_in,
        "num_failed_logins": rng.integers(0, profile.failed_logins + 1, n).astype(np.float64),
        "count": np.minimum(count, _WINDOW),
        "srv_count": np.clip(np.round(count * same), 1, _WINDOW),
        "same_srv_rate": same,
        "diff_srv_rate": np.round((1 - same) * rng.uniform(0.1, 1, n), 2),
        "srv_diff_host_rate": np.round(rng.beta(0.3, 2, n), 2),
        "dst_host_count": np.minimum(host_count, _HISTORY),
        "dst_host_srv_count": np.clip(np.round(host_count * host_same), 1, _HISTORY),
        "dst_host_same_srv_rate": host_same,
        "dst_host_diff_srv_rate": np.round((1 - host_same) * rng.uniform(0, 0.5, n), 2),
        "dst_host_same_src_port_rate": np.round(rng.beta(0.4, 3, n), 2),
        "dst_host_srv_diff_host_rate": np.round(rng.beta(0.3, 4, n), 2),
    }
    for name, share in (("serror_rate", serror), ("rerror_rate", rerror)):
        for column in (name, f"srv_{name}", f"dst_host_{name}", f"dst_host_srv_{name}"):
            rows[column] = np.clip(np.round(share + rng.normal(0, 0.02, n) * (share > 0), 2), 0, 1)
    return rows


def _disguise(
    columns_of: dict[str, NDArray[np.float64]], is_attack: NDArray[np.bool_], rng: np.random.Generator
) -> None:
    """Give some attacks the traffic of normal records, and some normal records that of attacks."""
    attacks, normals = np.flatnonzero(is_attack), np.flatnonzero(~is_attack)
    stealthy = rng.choice(attacks, round(_STEALTHY * len(attacks)), replace=False)
    noisy = rng.choice(normals, round(_NOISY * len(normals)), replace=False)
    like_normal, like_attack = rng.choice(normals, len(stealthy)), rng.choice(attacks, len(noisy))
    for values in columns_of.values():
        taken, of_attacks = values[like_normal], values[like_attack]
        values[stealthy], values[noisy] = taken, of_attacks


def _log_uniform(limits: Range, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    low, high = math.log1p(limits[0]), math.log1p(limits[1])
    values: NDArray[np.float64] = np.expm1(rng.uniform(low, high, n))
    return values.round()


def _share(limits: Range, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.round(rng.uniform(*limits, n), 2)


def _word(column: str, words: str, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    codes = [SCHEMA.code_of[column][word] for word in words.split()]
    return rng.choice(np.array(codes, dtype=np.float64), n)


SET = Synthetic()

"""Read boosted trees as xgboost writes them, to see that they hold together before xgboost opens them.

Xgboost trusts its files: an index beyond an array, or a child that is its own parent, ends the process. Its
format is Universal Binary JSON (ubjson.org, draft 12); only what it writes is read here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

KINDS = {"i": ("b", "i1"), "U": ("B", "u1"), "I": ("h", "i2"), "l": ("i", "i4"), "L": ("q", "i8")}
KINDS |= {"d": ("f", "f4"), "D": ("d", "f8")}
SINGLE = {ord(kind): struct.Struct(f">{code}") for kind, (code, _) in KINDS.items()}
MANY = {kind: np.dtype(f">{code}") for kind, (_, code) in KINDS.items()}
DEEPEST = 32
NODES = ("left_children", "right_children", "parents", "split_indices", "split_conditions", "default_left")


def check_booster(content: bytes) -> None:
    """Refuse a booster whose trees point beyond themselves, or to columns that it does not have.

    Raises:
        ValueError: it is no booster of trees, or its parts do not fit together.
    """
    value, end = _value(content, 0, 0)
    if end != len(content):
        raise ValueError("bytes behind its end")
    learner = value["learner"]
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree" or int(learner["learner_model_param"]["num_target"]) != 1:
        raise ValueError("no trees of one target")
    columns = int(learner["learner_model_param"]["num_feature"])
    trees = booster["model"]["trees"]
    if len(trees) != int(booster["model"]["gbtree_model_param"]["num_trees"]):
        raise ValueError("another number of trees than it says")
    if len(booster["model"]["tree_info"]) != len(trees) or any(booster["model"]["tree_info"]):
        raise ValueError("trees of several classes")
    if [tree["id"] for tree in trees] != list(range(len(trees))):
        raise ValueError("trees out of their order")
    _check_trees(trees, columns)


def _check_trees(trees: list[dict[str, Any]], columns: int) -> None:
    """Check all trees at once, their nodes numbered on from one to the next."""
    counts = np.array([int(tree["tree_param"]["num_nodes"]) for tree in trees])
    for name in (*NODES, "split_type"):
        if [len(tree[name]) for tree in trees] != counts.tolist():
            raise ValueError("a tree whose arrays differ in length")
    wide = any(int(tree["tree_param"]["size_leaf_vector"]) > 1 for tree in trees)
    parts = {name: np.concatenate([tree[name] for tree in trees]) for name in (*NODES, "split_type")}
    if counts.min() < 1 or wide or parts["split_type"].any():
        raise ValueError("a tree without nodes, of several answers, or of categories")
    first, at = np.repeat(np.cumsum(counts) - counts, counts), np.arange(counts.sum())
    inner = parts["left_children"] != -1
    children = np.stack([parts["left_children"], parts["right_children"]])[:, inner] + first[inner]
    # A child comes after its parent, and each node but the first is a child once: no way leads back.
    is_within = (children > at[inner]) & (children < (first + np.repeat(counts, counts))[inner])
    once = np.array_equal(np.sort(children.ravel()), at[at != first])
    if not (is_within.all() and once and (parts["right_children"][~inner] == -1).all()):
        raise ValueError("a tree whose nodes do not hang together")
    split = parts["split_indices"]
    if (split < 0).any() or (split[inner] >= columns).any():
        raise ValueError("a tree that asks for columns that there are not")
    if not np.isfinite(parts["split_conditions"][~inner]).all():
        raise ValueError("a leaf that is no number")


def _value(content: bytes, at: int, depth: int) -> tuple[Any, int]:
    """Return the value that begins at a place, and where it ends."""
    if depth > DEEPEST:
        raise ValueError("deeper than a booster is")
    kind, at = content[at], at + 1
    if kind in SINGLE:
        return SINGLE[kind].unpack_from(content, at)[0], at + SINGLE[kind].size
    if kind in READERS:
        return READERS[kind](content, at, depth)
    if kind not in b"TF":
        raise ValueError(f"a value of the kind {kind}")
    return kind == ord("T"), at


def _mapping(content: bytes, at: int, depth: int) -> tuple[dict[str, Any], int]:
    values: dict[str, Any] = {}
    while content[at : at + 1] != b"}":
        name, at = _text(content, at, depth)
        values[name], at = _value(content, at, depth + 1)
    return values, at + 1


def _list(content: bytes, at: int, depth: int) -> tuple[Any, int]:
    kind = ""
    if content[at : at + 1] == b"$":
        kind, at = content[at + 1 : at + 2].decode("latin-1"), at + 2
    if content[at : at + 1] == b"#":
        count, at = _value(content, at + 1, depth + 1)
        if not isinstance(count, int) or not 0 <= count <= len(content):
            raise ValueError("a list longer than the file")
        if kind:
            return _numbers(content, at, kind, count)
    else:
        count = None
    values: list[Any] = []
    while len(values) != count and not (count is None and content[at : at + 1] == b"]"):
        value, at = _value(content, at, depth + 1)
        values.append(value)
    return values, at + (count is None)


def _text(content: bytes, at: int, depth: int) -> tuple[str, int]:
    length, at = _value(content, at, depth + 1)
    if not isinstance(length, int) or not 0 <= length <= len(content) - at:
        raise ValueError("a text longer than the file")
    return content[at : at + length].decode("utf-8"), at + length


def _numbers(content: bytes, at: int, kind: str, count: int) -> tuple[Any, int]:
    if kind not in MANY:
        raise ValueError(f"a list of the kind {kind!r}")
    numbers = MANY[kind]
    end = at + count * numbers.itemsize
    if end > len(content):
        raise ValueError("a list that is cut off")
    return np.frombuffer(content, numbers, count, at), end


READERS: dict[int, Callable[[bytes, int, int], tuple[Any, int]]] = {
    ord("{"): _mapping,
    ord("["): _list,
    ord("S"): _text,
}

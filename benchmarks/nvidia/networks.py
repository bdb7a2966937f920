"""The networks that `run.py` races: drawn, calibrated, flattened and proved beside the GPU's first races.

The flat network is made by `juggler.transform.flatten` on the CPU, and nothing runs whose certificate does
not pass. That takes up to a minute for the deepest one, so every depth has a process of its own, and the GPU
is busy with Tables II and III meanwhile.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from juggler.count import count
from juggler.errors import Refused
from juggler.models import create
from juggler.nouns import Certificate
from juggler.transform import flatten, trace

UNFOLDED = "plain, norms kept"
SUBJECTS = ("plain", "flat", "wide")
CALIBRATION = (8, 3, 64, 64)  # 32 values a channel in the last stage: none has variance 0
FOLDING_LIMIT = 1e-4  # relative, float32; folding moves rounding, no more


@dataclass(frozen=True)
class Networks:
    """The contenders of one depth, on the CPU, in evaluation mode.

    Attributes:
        depth: 18, 34, 50, 101 or 152.
        modules: by name: `plain`, `flat`, `wide` without batch norms, and `plain, norms kept`.
        macs: multiply-accumulates for one image, by side in pixels, by name.
        certificate: of the flat network: whether it passed, and the worst relative error by element type.
        prepare_s: how long making and proving took.
    """

    depth: int
    modules: dict[str, nn.Module]
    macs: dict[int, dict[str, int]]
    certificate: dict[str, Any]
    prepare_s: float


@dataclass(frozen=True)
class Recipe:
    """How to make the networks of a depth."""

    depth: int
    sides_px: tuple[int, ...]
    width: float
    classes: int
    flatten_side_px: int


class Preparation:
    """Make the networks of every depth, beside whatever else runs; ask for them when they are needed.

    Args:
        recipes: one a depth, the most important first.
        workers: processes; 0 makes them in this one, when they are asked for.
    """

    def __init__(self, recipes: Iterable[Recipe], workers: int) -> None:
        self._recipes = {recipe.depth: recipe for recipe in recipes}
        self._made: dict[int, Networks] = {}
        self._pool: ProcessPoolExecutor | None = None
        self._futures: dict[int, Future[bytes]] = {}
        if workers and self._recipes:
            threads = max(1, (cores() - 1) // workers)
            # A process that has touched CUDA cannot be forked.
            self._pool = ProcessPoolExecutor(
                workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=torch.set_num_threads,
                initargs=(threads,),
            )
            longest_first = sorted(self._recipes.values(), key=lambda recipe: -recipe.depth)
            self._futures = {recipe.depth: self._pool.submit(packed, recipe) for recipe in longest_first}

    def networks(self, depth: int) -> Networks:
        """Return the networks of a depth; wait for every depth first, so that races have the CPU alone."""
        for future in self._futures.values():
            future.exception()
        if depth not in self._made:
            if depth in self._futures:
                # The pool is ours and so are its bytes: nothing from outside is unpickled.
                self._made[depth] = pickle.loads(self._futures[depth].result())  # noqa: S301
            else:
                self._made[depth] = make(self._recipes[depth])
        return self._made[depth]

    def close(self) -> None:
        """Stop what still runs."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def packed(recipe: Recipe) -> bytes:
    """Make the networks in a process of its own; bytes, because shared tensors end with their maker."""
    return pickle.dumps(make(recipe))


def make(recipe: Recipe) -> Networks:
    """Draw the networks of a depth, flatten the one that can be, fold the norms of the others.

    Raises:
        Refused: the certificate does not pass, or folding changed a network.
    """
    start_s, side = time.perf_counter(), recipe.flatten_side_px
    torch.manual_seed(recipe.depth)
    plain = drawn(f"resnet{recipe.depth}", recipe)
    wide = drawn(f"juggler_resnet{recipe.depth}", recipe)
    example = torch.randn(1, 3, side, side)
    done = flatten(wide, example)
    if not done.certificate.passed:
        raise Refused(f"flatten depth {recipe.depth}", "its certificate does not pass", "Report this")
    modules: dict[str, fx.GraphModule] = {
        "plain": folded(plain, example),
        "flat": done.model,
        "wide": folded(wide, example),
        UNFOLDED: plain,
    }
    return Networks(
        depth=recipe.depth,
        macs={
            px: {name: module_macs(part, (1, 3, px, px)) for name, part in modules.items()}
            for px in recipe.sides_px
        },
        modules={name: bare(module) for name, module in modules.items()},
        certificate=summary(done.certificate),
        prepare_s=round(time.perf_counter() - start_s, 1),
    )


def drawn(name: str, recipe: Recipe) -> fx.GraphModule:
    """Draw a network at random and give its norms the statistics of noise, so that fp16 does not overflow.

    Speed does not depend on the weights, but zeros, denormals or infinities would change it, and with fresh
    statistics a sum of 50 residuals leaves the range of float16.
    """
    network = create(name, classes=recipe.classes, width=recipe.width)
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(CALIBRATION))
    for norm in norms:
        norm.momentum = 0.1
    return trace(network.eval())


def folded(traced: fx.GraphModule, example: Tensor) -> fx.GraphModule:
    """Return a copy with every batch norm folded into the convolution before it, and checked.

    Raises:
        Refused: the copy computes something else.
    """
    network = copy.deepcopy(traced)
    parts = dict(network.named_modules())
    for node in list(network.graph.nodes):
        norm = parts.get(str(node.target)) if node.op == "call_module" else None
        source = node.args[0] if isinstance(norm, _BatchNorm) else None
        conv = parts.get(str(source.target)) if isinstance(source, fx.Node) else None
        if not isinstance(source, fx.Node) or not isinstance(norm, _BatchNorm) or len(source.users) > 1:
            continue
        if not isinstance(conv, nn.Conv2d):
            continue
        parent, _, leaf = str(source.target).rpartition(".")
        setattr(network.get_submodule(parent), leaf, fuse_conv_bn_eval(conv, norm))
        node.replace_all_uses_with(source)
        network.graph.erase_node(node)
    network.graph.lint()
    network.recompile()
    network.delete_all_unused_submodules()
    with torch.no_grad():
        error = difference(network(example), traced(example))
    if not error <= FOLDING_LIMIT:
        raise Refused("fold batch norms", f"the output moved by {error:.2g}", "Report this")
    return network.eval()


def difference(one: Tensor, reference: Tensor) -> float:
    """Return the largest difference relative to the largest value; NaN where either is not finite."""
    one, reference = one.detach().double(), reference.detach().double()
    if not bool(torch.isfinite(one).all() and torch.isfinite(reference).all()):
        return float("nan")
    return float((one - reference).abs().max() / reference.abs().max().clamp_min(1e-30))


def module_macs(module: nn.Module, shape: Sequence[int]) -> int:
    """Return the multiply-accumulates of any module for one input of the shape, batch included."""
    return count(copy.deepcopy(module).eval(), torch.empty(tuple(shape), device="meta")).macs


def bare(traced: fx.GraphModule) -> fx.GraphModule:
    """Return a graph module that can be pickled and needs no gradients."""
    graph = copy.deepcopy(traced.graph)
    for node in graph.nodes:
        node.type = None  # a postponed annotation is a text, which fx cannot write into an import
    return fx.GraphModule(traced, graph).eval().requires_grad_(False)


def summary(certificate: Certificate) -> dict[str, Any]:
    """Return what the result file says of a certificate."""
    worst = {dtype: certificate.worst(dtype) for dtype in certificate.limits}
    return {"passed": certificate.passed, "worst": worst, "limits": dict(certificate.limits)}

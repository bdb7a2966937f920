"""The graph search is linear in the number of nodes: log-log slope at most 1.1 from 100 to 10,000 nodes.

Three kinds of chains of layers of 2 channels on 4 x 4 maps: `walls` (3x3 convolution, batch norm, ReLU: many
small regions), `branches` (3x3 beside 1x1 beside batch norm, added, ReLU), and `linear` (1x1 convolutions and
batch norms: one region as long as the network, which becomes one convolution). The search is what flattening
does between tracing and the certificate: lifting the ops, deciding on a form for each region, rewriting with
each rewrite checked in float64, writing the graph. Sizes take turns; the slope is that of a straight line
through the logarithms of the shortest times. Times are seconds of one core, in which neighbours do not count.
Tracing and the shapes of all maps are timed beside it.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from benchmarks.common import Finding, options, progress, write
from juggler.transform import rules, trace
from juggler.transform.graph.regions import lift_all
from juggler.transform.plan.forms import recipes
from juggler.transform.plan.policy import Planner
from juggler.transform.plan.rewriting import carry_out
from juggler.transform.tracing.graph import View, propagate_shapes

LIMIT = 1.1
SIZES, QUICK_SIZES = (100, 316, 1000, 3162, 10_000), (100, 316, 1000)
REPEATS, QUICK_REPEATS = 3, 1
CHANNELS, SIDE = 2, 4
EXAMPLE = torch.zeros(1, CHANNELS, SIDE, SIDE)
SEARCH = ("lift", "plan", "rewrite")  # the phases that are the search
BESIDE = ("trace", "shapes")


def main() -> None:
    """Search every chain, fit the slopes, write the result file."""
    parser = options(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", help=f"nodes of the chains ({SIZES})")
    parser.add_argument("--chains", nargs="+", default=list(CHAINS), choices=list(CHAINS))
    given = parser.parse_args()
    sizes = given.sizes or (QUICK_SIZES if given.quick else SIZES)
    repeats = QUICK_REPEATS if given.quick else REPEATS
    torch.set_num_threads(1)
    jobs = list(itertools.product(range(repeats), given.chains, sizes))
    shortest: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    found: dict[tuple[str, int], dict[str, int]] = {}
    with progress("searching") as tell:
        for done, (_, name, size) in enumerate(jobs):
            tell(done, len(jobs))
            seconds, found[name, size] = searched(CHAINS[name](size))
            own = shortest[name, size]
            own |= {phase: min(took, own.get(phase, took)) for phase, took in seconds.items()}
        tell(len(jobs), len(jobs))
    details = {name: described(name, sizes, shortest, found) for name in given.chains}
    findings = [finding(name, chain) for name, chain in details.items()]
    settings = {"channels": CHANNELS, "side_px": SIDE, "repeats": repeats, "policy": "work"}
    write("graph_search", __doc__, findings, {**settings, "chains": details}, quick=given.quick)


def searched(network: nn.Module) -> tuple[dict[str, float], dict[str, int]]:
    """Search one network; return the seconds of each phase, and the nodes before and after."""
    seconds: dict[str, float] = {}

    def timed(phase: str, work: Callable[[], Any]) -> Any:
        start_s = time.process_time()
        result = work()
        seconds[phase] = time.process_time() - start_s
        return result

    traced: fx.GraphModule = timed("trace", lambda: trace(network, EXAMPLE))
    work = copy.deepcopy(traced).double()
    timed("shapes", lambda: propagate_shapes(work, EXAMPLE.double()))
    lifting = timed("lift", lambda: lift_all(View(work)))
    known = recipes(tuple(rule for _, rule in rules()))
    planner = Planner(work, known, "work", None, EXAMPLE.dtype)
    plan = timed("plan", lambda: planner.plan(lifting))
    done = timed("rewrite", lambda: carry_out(plan, work, lifting))
    nodes = {"nodes_before": len(traced.graph.nodes), "nodes_after": len(done.network.graph.nodes)}
    return seconds, {**nodes, "rewrites": len(done.rewrites), "refusals": len(done.refusals)}


def walls(size: int) -> nn.Module:
    """Return convolution, batch norm, ReLU, again and again: so many nodes."""
    generator = torch.Generator().manual_seed(size)
    layers: list[nn.Module] = []
    for _ in range(size // 3):
        layers += [conv(3, generator), norm(generator), nn.ReLU()]
    return nn.Sequential(*layers).eval()


def linear(size: int) -> nn.Module:
    """Return 1x1 convolutions and batch norms, and nothing between them: so many nodes."""
    generator = torch.Generator().manual_seed(size)
    layers: list[nn.Module] = []
    for _ in range(size // 2):
        layers += [conv(1, generator), norm(generator)]
    return nn.Sequential(*layers).eval()


class Branches(nn.Module):
    """Add a 3x3 and a 1x1 convolution and a batch norm of one input: 6 nodes, the ReLU included."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.three, self.one, self.norm = conv(3, generator), conv(1, generator), norm(generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum, rectified."""
        return torch.relu(self.three(x) + self.one(x) + self.norm(x))


def branches(size: int) -> nn.Module:
    """Return blocks of parallel branches: so many nodes."""
    generator = torch.Generator().manual_seed(size)
    return nn.Sequential(*(Branches(generator) for _ in range(size // 6))).eval()


CHAINS: dict[str, Callable[[int], nn.Module]] = {"walls": walls, "branches": branches, "linear": linear}


def conv(kernel: int, generator: torch.Generator) -> nn.Conv2d:
    """Return a convolution; one of 1x1 turns the channels, so that a product of thousands stays finite."""
    made = nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=kernel // 2)
    drawn = torch.randn(CHANNELS, CHANNELS, generator=generator)
    with torch.no_grad():
        if kernel == 1:
            made.weight.copy_(torch.linalg.qr(drawn).Q[..., None, None])
        made.bias.copy_(0.1 * drawn[0])  # type: ignore[union-attr]  # it has one
    return made


def norm(generator: torch.Generator) -> nn.BatchNorm2d:
    """Return a batch norm that changes little, and something in every statistic."""
    made = nn.BatchNorm2d(CHANNELS)
    with torch.no_grad():
        for tensor in (made.weight, made.bias, made.running_mean, made.running_var):
            tensor.add_(0.1 * (torch.rand(CHANNELS, generator=generator) - 0.5))  # type: ignore[union-attr]
    return made


def described(
    name: str,
    sizes: list[int] | tuple[int, ...],
    shortest: dict[tuple[str, int], dict[str, float]],
    found: dict[tuple[str, int], dict[str, int]],
) -> dict[str, Any]:
    """Return what one kind of chain took, size by size, and the slope of each phase."""
    points = list(_points(name, sizes, shortest, found))
    nodes = [point["nodes_before"] for point in points]
    slopes = {p: slope(nodes, [point["seconds"][p] for point in points]) for p in (*SEARCH, *BESIDE)}
    return {
        "slope": slope(nodes, [point["search_s"] for point in points]),
        "slopes_of_phases": slopes,
        "points": points,
    }


def _points(
    name: str,
    sizes: list[int] | tuple[int, ...],
    shortest: dict[tuple[str, int], dict[str, float]],
    found: dict[tuple[str, int], dict[str, int]],
) -> Iterator[dict[str, Any]]:
    for size in sizes:
        seconds = shortest[name, size]
        search_s = sum(seconds[phase] for phase in SEARCH)
        us_per_node = search_s / found[name, size]["nodes_before"] * 1e6
        yield {**found[name, size], "search_s": search_s, "us_per_node": us_per_node, "seconds": seconds}


def slope(nodes: list[int], seconds: list[float]) -> float:
    """Return the slope of the logarithms: 1 for what is linear, 2 for what is quadratic."""
    return float(np.polyfit(np.log(nodes), np.log(seconds), 1)[0])


def finding(name: str, chain: dict[str, Any]) -> Finding:
    """Hold one kind of chain against the claim."""
    first, last = chain["points"][0], chain["points"][-1]
    return Finding(
        claim=f"The graph search is linear in the nodes ({name}): log-log slope at most {LIMIT}",
        measured=f"slope {chain['slope']:.2f}; {last['nodes_before']:,} nodes in {last['search_s']:.1f} s, "
        f"{first['us_per_node']:.0f} us a node at {first['nodes_before']:,}, {last['us_per_node']:.0f} us at "
        f"{last['nodes_before']:,}",
        n=f"{len(chain['points'])} sizes, shortest times",
        reached=chain["slope"] <= LIMIT,
    )


if __name__ == "__main__":
    main()

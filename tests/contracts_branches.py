"""Blocks of branches drawn at random, all structures and options, and what each must be: one convolution."""

import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import Tensor, nn

from contracts_rules import randomised
from juggler.models.branches import STRUCTURES, Branched
from juggler.models.branches.fusible import BESIDE
from juggler.models.layers.annealing import anneal

NAMES = sorted(STRUCTURES)
ASYMMETRIC = {"juggler", "repvgg", "mobileone", "expandnet"}


@st.composite
def levers(
    draw: st.DrawFn,
    kernel: object = 3,
    dilation: int = 1,
    expansions: tuple[float, ...] = (0.5, 1.0, 2.0, 2.5),
) -> dict[str, object]:
    """Draw options of the fusible structure that go with a kernel."""
    possible = {*BESIDE}
    if isinstance(kernel, tuple) and 1 in kernel:
        possible -= {"horizontal", "vertical"}
    if kernel == 1:
        possible = set()
    if dilation > 1:
        possible -= {"average"}
    beside = st.lists(st.sampled_from(sorted(possible)), unique=True) if possible else st.just([])
    return {
        "expansion": draw(st.sampled_from(expansions)),
        "branches": draw(beside),
        "identity": draw(st.sampled_from(["bare", "norm"])),
        "start": draw(st.sampled_from(["kaiming", "identity"])),
        "activations": draw(st.booleans()),
    }


@st.composite
def blocks(draw: st.DrawFn, names: list[str] = NAMES) -> Branched:
    """Draw a block of any structure, geometry and options that it allows, all its numbers drawn anew.

    Annealed activations are straight lines by then, as at the end of training.
    """
    name = draw(st.sampled_from(names))
    groups = draw(st.sampled_from([1, 1, 2, 4]))
    into, out = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    sides = [3, 5, 1, (1, 3), (5, 3)] if name in ASYMMETRIC else [3, 5, (3, 5)]
    kernel = draw(st.sampled_from(sides))
    assume(kernel != 1 or name in {"juggler", "mobileone", "expandnet"})
    stride = draw(st.sampled_from([1, 1, 2, (2, 1)]))
    dilation = 1 if name == "dbb" else draw(st.sampled_from([1, 1, 2]))
    norm = draw(st.sampled_from([True, True, False]))
    # Narrower than that a chain can be less work than what it is flat.
    options = draw(levers(kernel, dilation, (2.0, 2.5))) if name == "juggler" else {}
    block = STRUCTURES[name](
        into,
        out,
        kernel,
        stride,
        dilation=dilation,
        groups=groups,
        norm=norm,
        bias=draw(st.booleans()),
        **options,
    )
    anneal(block, 1.0)
    branched: Branched = randomised(block, seed=draw(st.integers(0, 99)))
    return branched


def as_convolution(block: Branched) -> tuple[Tensor, Tensor]:
    """Return the kernel, without groups, and the bias that the block shows inside a map of zeros."""
    g = block.geometry
    reach = [d * (k - 1) + 1 for d, k in zip(g.dilation, g.kernel, strict=True)]
    x = torch.zeros(1, g.in_channels, *(4 * r + 8 for r in reach), dtype=torch.float64, requires_grad=True)
    y = block(x)
    where = [side // 2 for side in y.shape[2:]]
    pixel = y[0, :, where[0], where[1]]
    starts = [s * q - p for s, q, p in zip(g.stride, where, g.padding, strict=True)]
    window = [slice(a, a + r, d) for a, r, d in zip(starts, reach, g.dilation, strict=True)]
    rows = [torch.autograd.grad(value, x, retain_graph=True)[0][0] for value in pixel]
    outside = sum(float(row.abs().sum() - row[(slice(None), *window)].abs().sum()) for row in rows)
    assert abs(outside) < 1e-9, "the block reads nothing outside the kernel that it stands for"
    return torch.stack([row[(slice(None), *window)] for row in rows]), pixel.detach()


def flat_kernel(network: nn.Module) -> nn.Conv2d:
    """Return the one convolution of a flat block."""
    (conv,) = (part for part in network.modules() if isinstance(part, nn.Conv2d))
    return conv

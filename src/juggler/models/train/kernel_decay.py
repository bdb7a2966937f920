"""Weight decay on what blocks of branches stand for, rather than on their branches.

Decay of every branch punishes a kernel for how it is written down: the same kernel, spread over two
branches, costs half as much. Decay of the equivalent kernel does not know the branches, and what is deployed
has small weights, which int8 likes. Source: the code of Ding et al., "RepVGG" (CVPR 2021).

To find a kernel costs a good part of a pass where maps are small. Decay is slow, so the blocks take turns,
each at every fourth step with four times the weight. Source: Karras et al., "Analyzing and Improving the
Image Quality of StyleGAN" (CVPR 2020), section 3.1, on lazy regularisation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from juggler.models.branches import Branched
from juggler.models.branches.equivalent import equivalent_kernel

TURNS = 4
"""Steps over which all blocks are decayed once."""


def in_turn(blocks: Sequence[Branched], step: int) -> Sequence[Branched]:
    """Return the blocks whose turn it is at a step; they count `TURNS` times."""
    return blocks[step % TURNS :: TURNS]


def branched(module: nn.Module) -> list[Branched]:
    """Return the blocks of branches of a network, the outermost ones."""
    if isinstance(module, Branched):
        return [module]
    return [block for child in module.children() for block in branched(child)]


def kernel_penalty(blocks: Sequence[Branched]) -> Tensor:
    """Return half the sum of squares of the blocks' equivalent kernels, `[]`, differentiable."""
    return torch.stack([equivalent_kernel(block).square().sum() for block in blocks]).sum() / 2

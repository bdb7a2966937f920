"""What a network is made of, against integers counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from juggler.reproduce.counting import count
from juggler.reproduce.modules import BLOCKS, INPUT_CHANNELS, SIDE_PX
from juggler.reproduce.networks import randomised
from juggler.runtime.export import export

# Table II of the paper: its "FLOPs" are multiply-accumulates at batch 32, in 10^9.
PUBLISHED_GMACS = {
    "vgg": 118.3,
    "basicblock": 118.4,
    "basicblock+": 92.16,
    "bottleneck": 112.4,
    "bottleneck+": 135.04,
}


def graph_of(module, shape):
    return export(randomised(module, seed=0), torch.randn(1, *shape))


def test_a_chain_is_counted_by_hand():
    chain = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )
    found = count(graph_of(chain, (3, 8, 8)), (3, 8, 8))
    assert found.macs == 4 * 8 * 8 * 3 * 9 + 4 * 5
    assert found.parameters == 4 * 3 * 9 + 4 + 4 * 5 + 5
    assert found.kernels == 4  # convolution with norm and ReLU, two pools, linear layer
    maps = (3 * 64 + 4 * 64) + (4 * 64 + 4 * 16) + (4 * 16 + 4) + (4 + 5)
    assert found.moved_bytes == 4 * (maps + found.parameters)


def test_a_shortcut_is_no_kernel_but_one_map_more_to_read():
    class Block(nn.Module):
        def __init__(self, shortcut):
            super().__init__()
            self.conv, self.shortcut = nn.Conv2d(4, 4, 3, padding=1), shortcut

        def forward(self, x):
            return torch.relu(self.conv(x) + x if self.shortcut else self.conv(x))

    chain, block = (count(graph_of(Block(one), (4, 6, 6)), (4, 6, 6)) for one in (False, True))
    assert block.kernels == chain.kernels == 1
    assert block.moved_bytes - chain.moved_bytes == 4 * 4 * 6 * 6


def test_the_size_that_is_asked_for_counts_and_not_the_one_of_the_export():
    graph = graph_of(nn.Sequential(nn.Conv2d(1, 1, 1)), (1, 4, 4))
    assert count(graph, (1, 4, 4)).macs == 16


@pytest.mark.parametrize("name", BLOCKS)
def test_the_blocks_have_the_work_that_the_paper_publishes(name):
    shape = (INPUT_CHANNELS[name], SIDE_PX, SIDE_PX)
    found = count(graph_of(BLOCKS[name](), shape), shape)
    assert found.macs * 32 / 1e9 == pytest.approx(PUBLISHED_GMACS[name], rel=0.006)

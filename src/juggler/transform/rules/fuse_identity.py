"""Fuse a shortcut, bare or with a batch norm of its own, into the convolution beside it.

The paper keeps a bare shortcut in the blocks that keep their shape (Fig. 4a) and leaves its fusion to
the reader: the shortcut is a convolution with a single one per channel.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import fx
from torch.nn.modules.batchnorm import _BatchNorm

from juggler.transform.algebra import Impossible, add, fold_scale_shift, identity
from juggler.transform.rule import Proposal, Site, is_convolution, read_convolution, read_norm
from juggler.transform.trace import View, shape_of


class FuseIdentity:
    """`conv(x) + x` and `conv(x) + bn(x)` are one convolution."""

    name = "fuse_identity"
    source = "Juggler-ResNet III-B, Fig. 4(a); normalised identity: RepVGG (Ding et al. 2021), section 3.3"

    def sites(self, view: View) -> Iterator[Site]:
        """Yield each addition of a convolution and its own input."""
        for node in view.nodes():
            if not view.is_addition(node):
                continue
            one, other = (a for a in node.args if isinstance(a, fx.Node))
            for conv, branch in ((one, other), (other, one)):
                if not is_convolution(view.module(conv)):
                    continue
                source = conv.all_input_nodes[0]
                if branch is source:
                    yield Site((conv, node), source)
                elif isinstance(view.module(branch), _BatchNorm) and branch.all_input_nodes == [source]:
                    yield Site((conv, branch, node), source)

    def propose(self, site: Site, view: View) -> Proposal:
        """Return the convolution with the shortcut inside."""
        conv = read_convolution(site.nodes[0], view)
        if isinstance(conv, Impossible):
            return conv
        if conv.in_channels != conv.out_channels or shape_of(site.nodes[0]) != shape_of(site.source):
            return Impossible("the convolution changes the shape, so the sum broadcasts", "Nothing to do")
        shortcut = identity(conv.in_channels, conv.groups, conv)
        if len(site.nodes) == 3:
            norm = read_norm(site.nodes[1], view)
            if isinstance(norm, Impossible):
                return norm
            shortcut = fold_scale_shift(shortcut, *norm)
        return add(conv, shortcut)


RULE = FuseIdentity()

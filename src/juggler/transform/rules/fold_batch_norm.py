"""Fold a batch norm into the convolution before it (Juggler-ResNet III-C1, Eq. 2-4)."""

from __future__ import annotations

from collections.abc import Iterator

from torch.nn.modules.batchnorm import _BatchNorm

from juggler.transform.algebra import Impossible, fold_scale_shift
from juggler.transform.rule import Proposal, Site, convolution_before, read_convolution, read_norm
from juggler.transform.trace import View


class FoldBatchNorm:
    """`bn(conv(x))` is one convolution: its rows scaled, its bias moved."""

    name = "fold_batch_norm"
    source = "Juggler-ResNet III-C1, Eq. 2-4"

    def sites(self, view: View) -> Iterator[Site]:
        """Yield each convolution that a batch norm reads."""
        for node in view.nodes():
            if isinstance(view.module(node), _BatchNorm):
                yield from convolution_before(node, view)

    def propose(self, site: Site, view: View) -> Proposal:
        """Return the convolution with the batch norm inside."""
        conv, norm = read_convolution(site.nodes[0], view), read_norm(site.nodes[1], view)
        if isinstance(conv, Impossible):
            return conv
        if isinstance(norm, Impossible):
            return norm
        return fold_scale_shift(conv, *norm)


RULE = FoldBatchNorm()

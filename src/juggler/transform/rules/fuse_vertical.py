"""Fuse two convolutions, one after another, into one (Juggler-ResNet III-C2, Eq. 5-7)."""

from __future__ import annotations

from collections.abc import Iterator

from juggler.transform.algebra import Impossible, compose
from juggler.transform.rule import Proposal, Site, convolution_before, is_convolution, read_convolution
from juggler.transform.trace import View


class FuseVertical:
    """`second(first(x))` is one convolution where its taps form a kernel and its border is exact."""

    name = "fuse_vertical"
    source = "Juggler-ResNet III-C2, Eq. 5-7"

    def sites(self, view: View) -> Iterator[Site]:
        """Yield each pair of convolutions of which the second reads the first."""
        for node in view.nodes():
            if is_convolution(view.module(node)):
                yield from convolution_before(node, view)

    def propose(self, site: Site, view: View) -> Proposal:
        """Return the composed convolution."""
        first, second = (read_convolution(node, view) for node in site.nodes)
        if isinstance(first, Impossible):
            return first
        if isinstance(second, Impossible):
            return second
        return compose(first, second)


RULE = FuseVertical()

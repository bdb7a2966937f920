"""Fuse convolutions of one input whose outputs are added (Juggler-ResNet III-C3, Fig. 6)."""

from __future__ import annotations

from collections.abc import Iterator

from juggler.transform.algebra import Impossible, add
from juggler.transform.rule import Proposal, Site, is_convolution, read_convolution
from juggler.transform.trace import View, label


class FuseHorizontal:
    """`one(x) + other(x)` is one convolution, the smaller kernel in the centre of the larger."""

    name = "fuse_horizontal"
    source = "Juggler-ResNet III-C3, Fig. 6"

    def sites(self, view: View) -> Iterator[Site]:
        """Yield each addition of two convolutions; whether they share their input is judged later."""
        for node in view.nodes():
            if not view.is_addition(node) or len(node.all_input_nodes) != 2:
                continue
            one, other = node.all_input_nodes
            if is_convolution(view.module(one)) and is_convolution(view.module(other)):
                yield Site((one, other, node), one.all_input_nodes[0])

    def propose(self, site: Site, view: View) -> Proposal:
        """Return the sum of the two convolutions."""
        one_node, other_node, _ = site.nodes
        if one_node.all_input_nodes != other_node.all_input_nodes:
            return Impossible(
                f"{label(one_node)} reads {label(one_node.all_input_nodes[0])} and {label(other_node)} reads "
                f"{label(other_node.all_input_nodes[0])}: something that is not linear lies between, a wall",
                "Train with a fusible block instead, whose branches have no activation inside",
            )
        one, other = read_convolution(one_node, view), read_convolution(other_node, view)
        if isinstance(one, Impossible):
            return one
        if isinstance(other, Impossible):
            return other
        return add(one, other)


RULE = FuseHorizontal()

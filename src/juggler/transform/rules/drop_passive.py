"""Drop what computes its own input: nn.Identity, and dropout in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from juggler.transform.rule import PassThrough, Proposal, Site
from juggler.transform.trace import View


class DropPassive:
    """An op that computes its own input is no op."""

    name = "drop_passive"
    source = "definition of dropout in evaluation mode"

    def sites(self, view: View) -> Iterator[Site]:
        """Yield each identity and each dropout."""
        for node in view.nodes():
            if isinstance(view.module(node), nn.Identity | _DropoutNd):
                yield Site((node,), node.all_input_nodes[0])

    def propose(self, site: Site, view: View) -> Proposal:
        """Let the input through."""
        return PassThrough()


RULE = DropPassive()

"""Training-time branches of the literature, one class a structure: each is one convolution once it is flat.

They are plain torch modules, sums of branches of a few common parts. None has a flag for deployment or code
of its own to fuse: `juggler.flatten` finds what is linear. None has an activation behind it: put one there.
"""

from collections.abc import Callable, Mapping

from juggler.models.branches.chain import Chain, ExpandedConv, restate
from juggler.models.branches.fusible import FusibleStructure
from juggler.models.branches.geometry import Geometry
from juggler.models.branches.literature import ACBlock, DiverseBranchBlock, MobileOneBlock, RepVGGBlock
from juggler.models.branches.parts import Branched, Sum, start_as_identity

STRUCTURES: Mapping[str, Callable[..., Branched]] = {
    "juggler": FusibleStructure,
    "repvgg": RepVGGBlock,
    "acnet": ACBlock,
    "dbb": DiverseBranchBlock,
    "mobileone": MobileOneBlock,
    "expandnet": ExpandedConv,
}
"""What `juggler.widen` can put in a convolution's place, by name."""

__all__ = [
    "STRUCTURES",
    "ACBlock",
    "Branched",
    "Chain",
    "DiverseBranchBlock",
    "ExpandedConv",
    "FusibleStructure",
    "Geometry",
    "MobileOneBlock",
    "RepVGGBlock",
    "Sum",
    "restate",
    "start_as_identity",
]

"""Exact rewriting: GraphModule in, GraphModule out, proved or refused.

- `flatten` rewrites a network into the plainest one that computes the same, with a certificate;
- `algebra` composes convolutions as values, tensors in, tensors out;
- `rules/` holds one rule a file: what to look for and what to put there;
- `rewriting` puts proposals in place, checks each and takes wrong ones back;
- `equivalence` compares two networks map by map and issues the certificate.
"""

from juggler.digest import weights_sha256
from juggler.transform.algebra import Conv, Impossible
from juggler.transform.equivalence import certify
from juggler.transform.flatten import Flattened, flatten
from juggler.transform.rule import PassThrough, Proposal, Rule, Site, rules
from juggler.transform.trace import View, sketch, trace

__all__ = [
    "Conv",
    "Flattened",
    "Impossible",
    "PassThrough",
    "Proposal",
    "Rule",
    "Site",
    "View",
    "certify",
    "flatten",
    "rules",
    "sketch",
    "trace",
    "weights_sha256",
]

"""Exact rewriting: GraphModule in, GraphModule out, proved or refused.

- `flatten` rewrites a network into the one that computes the same at the least cost, with a certificate;
- `trace`, `lift`, `regions` find what is linear, and write each region as an `expression` of `values`;
- `algebra`, `composition`, `leaks` say what two of them make together, tensors in, tensors out;
- `rules/` holds one operation of that algebra a file; `fusing` applies them, each weighed and checked;
- `forms`, `planning` decide which form of a region pays; `placing`, `writing` put it back into the graph;
- `equivalence` compares two networks map by map and issues the certificate.
"""

from juggler.digest import weights_sha256
from juggler.transform.algebra import Conv, Impossible
from juggler.transform.equivalence import certify
from juggler.transform.expression import Expression, Proposal, Term
from juggler.transform.flatten import Flattened, flatten
from juggler.transform.planning import POLICIES, Cost, Policy
from juggler.transform.rule import Rule, rules
from juggler.transform.trace import View, sketch, trace

__all__ = [
    "POLICIES",
    "Conv",
    "Cost",
    "Expression",
    "Flattened",
    "Impossible",
    "Policy",
    "Proposal",
    "Rule",
    "Term",
    "View",
    "certify",
    "flatten",
    "rules",
    "sketch",
    "trace",
    "weights_sha256",
]

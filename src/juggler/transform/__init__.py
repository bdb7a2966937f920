"""Exact rewriting: GraphModule in, GraphModule out, proved or refused.

- `flatten` rewrites a network into the one that computes the same at the least cost, with a certificate;
- `tracing/` makes a graph of a module; `graph/` finds where it is linear, lifts each region out of it as an
  expression, and puts the rewritten one back;
- `algebra/` says what two linear operations make together, tensors in, tensors out;
- `rewrite/` holds the engine and its rules, one operation of that algebra a file, each weighed and checked;
- `plan/` decides which form of a region pays;
- `equivalence` compares two networks map by map and issues the certificate.
"""

from juggler.digest import weights_sha256
from juggler.lazy import renamed
from juggler.transform.algebra.conv import Conv, NotFusible
from juggler.transform.equivalence import certify
from juggler.transform.flatten import Flattened, flatten
from juggler.transform.plan.policy import POLICIES, Cost, Policy
from juggler.transform.rewrite.expression import Expression, Proposal, Term
from juggler.transform.rewrite.rule import Rule, rules
from juggler.transform.tracing.graph import View, summarise, trace

__all__ = [
    "POLICIES",
    "Conv",
    "Cost",
    "Expression",
    "Flattened",
    "NotFusible",
    "Policy",
    "Proposal",
    "Rule",
    "Term",
    "View",
    "certify",
    "flatten",
    "rules",
    "summarise",
    "trace",
    "weights_sha256",
]

__getattr__ = renamed(
    __name__,
    {
        "Impossible": "juggler.transform.algebra.conv:NotFusible",
        "sketch": "juggler.transform.tracing.graph:summarise",
    },
)

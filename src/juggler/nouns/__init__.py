"""The nouns that cross rooms: frozen, checked when made, written to and read from JSON, free of torch."""

from juggler.lazy import renamed
from juggler.nouns.alert import Alert
from juggler.nouns.measured import Machine, Timing
from juggler.nouns.network import GraphNode, GraphSummary, TensorSpec
from juggler.nouns.noun import Noun
from juggler.nouns.progress import Progress, ReportProgress, as_stage, ignore_progress
from juggler.nouns.proof import Certificate, Check, Decision, Quantization, Refusal, Rewrite, SourceCheck
from juggler.nouns.skipped import Skipped

__all__ = [
    "Alert",
    "Certificate",
    "Check",
    "Decision",
    "GraphNode",
    "GraphSummary",
    "Machine",
    "Noun",
    "Progress",
    "Quantization",
    "Refusal",
    "ReportProgress",
    "Rewrite",
    "Skipped",
    "SourceCheck",
    "TensorSpec",
    "Timing",
    "as_stage",
    "ignore_progress",
]

__getattr__ = renamed(__name__, {"GraphSketch": "juggler.nouns.network:GraphSummary"})

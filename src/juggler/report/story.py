"""What a report tells: one frozen record of a run, every part of it optional but the title."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from juggler.errors import ConfigError
from juggler.nouns import Alert, Certificate, Decision, GraphSummary, Machine, Refusal, Rewrite, Timing

if TYPE_CHECKING:
    from juggler.metrics import Scores
    from juggler.runtime import Speedup
    from juggler.runtime.measure.attribution import Attribution


@dataclass(frozen=True)
class Story:
    """Hold everything that one report shows; a part that is empty is left out of the page.

    Attributes:
        title: what the report is about, in a few words.
        summary: one line under the title.
        notices: what a reader must not miss, such as `SYNTHETIC DATA`; shown as banners on top.
        wide: the network before flattening.
        flat: the network after.
        rewrites: what flattening did.
        refusals: what it did not do, and why.
        decisions: which form each linear region took, and why.
        rolled_back: rewrites that were made and taken back; said on top of the page.
        certificate: how far the flat network was proved equal.
        attribution: what each step from eager to int8 adds.
        timings: measured latencies; the first subject is what the others are compared with.
        speedups: paired ratios of the same race, with their 95 % intervals.
        scores: detection scores with the label of what was scored, such as `flat, onnxruntime, Test+`.
        class_names: names of the rows and columns of the confusion matrices, in their order.
        alerts: the page shows the 20 that hold most alarms.
        machine: where the timings were measured.
        provenance: where things come from (data set, seed, digest, command), shown as they are.
    """

    title: str
    summary: str = ""
    notices: tuple[str, ...] = ()
    wide: GraphSummary | None = None
    flat: GraphSummary | None = None
    rewrites: tuple[Rewrite, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    decisions: tuple[Decision, ...] = ()
    rolled_back: tuple[Rewrite, ...] = ()
    certificate: Certificate | None = None
    attribution: Attribution | None = None
    timings: tuple[Timing, ...] = ()
    speedups: tuple[Speedup, ...] = ()
    scores: tuple[tuple[str, Scores], ...] = ()
    class_names: tuple[str, ...] = ()
    alerts: tuple[Alert, ...] = ()
    machine: Machine | None = None
    provenance: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a story that cannot be told.

        Raises:
            ConfigError: there is no title, or a confusion matrix does not fit the class names.
        """
        if not self.title.strip():
            raise ConfigError("make a report", "the title is empty", "Say in a few words what it is about")
        for name in (
            "notices",
            "rewrites",
            "refusals",
            "decisions",
            "rolled_back",
            "timings",
            "speedups",
            "scores",
            "class_names",
            "alerts",
        ):
            object.__setattr__(self, name, _as_tuple(name, getattr(self, name)))
        for label, scores in self.scores:
            sizes = {len(scores.confusion), *map(len, scores.confusion)}
            if scores.confusion and self.class_names and sizes != {len(self.class_names)}:
                raise ConfigError(
                    f"show the confusion matrix of {label!r}",
                    f"it has sides of {sorted(sizes)}, but there are {len(self.class_names)} class names",
                    "Give `class_names` in the order of the matrix, one for each row",
                )


def _as_tuple(name: str, value: object) -> tuple[object, ...]:
    """Return any sequence as a tuple; a lone string is a slip that would be shown letter by letter."""
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise ConfigError(
            f"make a report with {name}",
            f"a {type(value).__name__}",
            f"Give a tuple or a list, such as {name}=(...,)",
        )
    return tuple(value)

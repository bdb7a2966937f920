"""One network, flattened, as a page: graph, decisions, certificate, and where its speed comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from juggler.report.html import write
from juggler.report.story import Story

if TYPE_CHECKING:
    from juggler.runtime.measure.attribution import Attribution
    from juggler.transform import Flattened


def write_flattened(source: str, done: Flattened, attribution: Attribution | None, path: str | Path) -> Path:
    """Write the page and return its path.

    Args:
        source: what the network was opened from.
        done: what `flatten` gave.
        attribution: where its speed comes from, where that was measured.
        path: where to write.

    Raises:
        ConfigError: nothing can be written there.
    """
    before, after = done.wide_graph, done.flat_graph
    warning = f"{done.warning}. " if done.warning else ""
    story = Story(
        title=f"{Path(source).name}, flattened",
        summary=f"{warning}{len(before.nodes)} ops and {before.macs:,} multiply-accumulates before, "
        f"{len(after.nodes)} and {after.macs:,} after",
        wide=before,
        flat=after,
        rewrites=done.rewrites,
        refusals=done.refusals,
        decisions=done.decisions,
        certificate=done.certificate,
        attribution=attribution,
        machine=attribution.machine if attribution else None,
        provenance={"source": Path(source).name, "command": "juggler flatten"},
    )
    return write(story, path)

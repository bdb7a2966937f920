"""Draw the README's picture: the shipped detector as it was trained, and flat.

Run it as `python -m benchmarks.pages.readme_picture`; it writes docs/wide-and-flat.svg.
"""

from __future__ import annotations

import re

import torch

from benchmarks.common import ROOT
from juggler.models import TrainedDetector
from juggler.report import draw_graphs, standalone
from juggler.runtime.artefact import shipped
from juggler.transform import flatten

TARGET = ROOT / "docs" / "wide-and-flat.svg"
CAPTION, MARGIN = 30, 22
PLACE = re.compile(r"[MLQ ](\d+\.\d) \d+\.\d")


def main() -> None:
    """Write both graphs, one above the other, as one SVG file that follows the reader's light or dark."""
    detector = TrainedDetector.load(shipped("nsl_kdd.safetensors"))
    done = flatten(detector.network, torch.zeros(1, *detector.encoder.shape))
    graphs = {"wide, as it was trained": done.wide_graph, "flat, the same function": done.flat_graph}
    drawings = draw_graphs(*graphs.values()).svgs
    width = round(max(float(x) for drawing in drawings for x in PLACE.findall(drawing))) + MARGIN
    parts, top = [], 0
    for (caption, graph), drawing in zip(graphs.items(), drawings, strict=True):
        full, height = (
            int(float(side)) for side in drawing.split('viewBox="0 0 ', 1)[1].split('"')[0].split()
        )
        words = f"{caption}: {len(graph.nodes)} ops, {graph.macs:,} multiply-accumulates"
        parts.append(f'<text x="8" y="{top + 20}" font-size="15" fill="var(--muted)">{words}</text>')
        nested = drawing.replace("<svg ", f'<svg y="{top + CAPTION}" width="{full}" height="{height}" ', 1)
        parts.append(nested)
        top += CAPTION + height
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" '
        'font-family="system-ui, sans-serif" role="img" aria-label="The shipped detector, wide and flat">'
    )
    TARGET.write_text(standalone(f"{head}{''.join(parts)}</svg>"), encoding="utf-8")
    print(TARGET)


if __name__ == "__main__":
    main()

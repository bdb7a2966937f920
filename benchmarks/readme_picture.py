"""Draw the README's picture: the shipped detector as it was trained, and flat.

Run it as `python benchmarks/readme_picture.py`; it writes docs/wide-and-flat.svg.
"""

from __future__ import annotations

from pathlib import Path

import torch

from juggler.models import TrainedDetector
from juggler.report import draw_graphs
from juggler.runtime.artefact.shipped import shipped
from juggler.transform import flatten

TARGET = Path(__file__).parent.parent / "docs" / "wide-and-flat.svg"
WIDTH, CAPTION = 1120, 30


def main() -> None:
    """Write both graphs, one above the other, as one SVG file."""
    detector = TrainedDetector.load(shipped("nsl_kdd.safetensors"))
    done = flatten(detector.network, torch.zeros(1, *detector.encoder.shape))
    sketches = {"wide, as it was trained": done.wide_sketch, "flat, the same function": done.flat_sketch}
    parts, top = [], 0
    for (caption, sketch), drawing in zip(
        sketches.items(), draw_graphs(*sketches.values()).svgs, strict=True
    ):
        height = int(float(drawing.split('viewBox="0 0 ', 1)[1].split('"', 1)[0].split()[1]))
        words = f"{caption}: {len(sketch.nodes)} ops, {sketch.macs:,} multiply-accumulates"
        parts.append(f'<text x="8" y="{top + 20}" font-size="15" fill="#5a6576">{words}</text>')
        nested = drawing.replace("<svg ", f'<svg y="{top + CAPTION}" width="{WIDTH}" height="{height}" ', 1)
        parts.append(nested)
        top += CAPTION + height
    TARGET.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" '
        f'font-family="system-ui, sans-serif"><rect width="{WIDTH}" height="{top}" fill="#ffffff"/>'
        + "".join(parts)
        + "</svg>\n",
        encoding="utf-8",
    )
    print(TARGET)


if __name__ == "__main__":
    main()

"""What the shared captures come to, written down: `python tests/golden_captures.py` writes it anew.

Only counts and sums are kept; nothing of the captures themselves.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from juggler.capture.files import read_frames
from juggler.capture.flows import flows_of
from juggler.capture.frames import Account
from juggler.capture.header_features import HeaderFeatures
from juggler.capture.services import in_schema
from juggler.data.records import join
from juggler.data.schemas.nsl_kdd import SCHEMA

FILE = Path(__file__).parent / "capture" / "golden_captures.json"
FOLDER = Path(os.environ.get("JUGGLER_DATA", ".")) / "captures"


def values_of(path: Path) -> dict[str, Any]:
    """Return the account of a capture and the sums of its records."""
    account, features = Account(), HeaderFeatures()
    records = join(
        [
            features.records(flows.take(in_schema(flows)))
            for flows in flows_of(read_frames(path, account), account, seed=1)
        ]
    )
    words = {name: list(records.words(name)) for name in SCHEMA.categorical}
    return {
        "frames": account.received,
        "balanced": account.balanced,
        "dropped": dict(sorted(account.dropped.items())),
        "flows": len(records),
        "sums": {n: round(float(np.sum(v)), 6) for n, v in zip(SCHEMA.numeric, records.numbers, strict=True)},
        "words": {name: {w: column.count(w) for w in sorted({*column})} for name, column in words.items()},
    }


if __name__ == "__main__":
    names = sorted(p.relative_to(FOLDER).as_posix() for p in FOLDER.glob("*/*.pcap*"))
    FILE.write_text(json.dumps({name: values_of(FOLDER / name) for name in names}, indent=1) + "\n")

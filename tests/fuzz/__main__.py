"""Read hostile files for so many minutes, and say what came of it: `make fuzz MINUTES=30`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from fuzz.driver import CPU_S, MEMORY_MIB, fuzz
from fuzz.targets import TARGETS


def main() -> None:
    """Run the fuzzer, write the result, and leave with 1 where something ended as nothing should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", default="", help="names, with commas; all where it is empty")
    parser.add_argument("--out", type=Path, help="write the result here, as JSON")
    options = parser.parse_args()
    names = [name for name in options.targets.split(",") if name] or sorted(TARGETS)
    with tempfile.TemporaryDirectory() as folder:
        outcome = fuzz(
            names,
            options.minutes * 60,
            seeds=Path(folder),
            seed=options.seed,
            told=lambda line: print(line, flush=True),
        )
    rows = {
        name: {**sorted_counts(outcome.counts.get(name, {})), "most_cpu_s": outcome.most_cpu_s.get(name, 0.0),
               "most_mib": outcome.most_mib.get(name, 0.0)}
        for name in names
    }  # fmt: skip
    files = sum(sum(counts.values()) for counts in outcome.counts.values())
    result = {
        "claim": "a malformed file of up to 32 MB ends in an error of the house, within 10 s and 1 GB",
        "date": datetime.now(UTC).date().isoformat(),
        "minutes": round(outcome.seconds / 60, 1),
        "seed": options.seed,
        "limits": {"cpu_s": CPU_S, "mib": MEMORY_MIB},
        "files": files,
        "readers": rows,
        "faults": outcome.faults,
    }
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{files:,} files, {len(names)} readers, {len(outcome.faults)} faults")
    sys.exit(bool(outcome.faults))


def sorted_counts(counts: dict[str, int]) -> dict[str, int]:
    """Return counts in a fixed order."""
    return {how: counts[how] for how in sorted(counts)}


if __name__ == "__main__":
    main()

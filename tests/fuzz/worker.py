"""One process that reads one hostile file after another, and reports each before it begins.

    python -m fuzz.worker SEEDS SEED FIRST TARGET [TARGET ...]

It goes round the targets until it is killed. Every line on its standard output is a JSON list: `["start",
target, number]` before a file, `["end", how, cpu_s, grown_mib, detail]` after it.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from itertools import count
from pathlib import Path

from fuzz.targets import TARGETS, cached_seeds, changed

MEMORY_MIB = 1024
SPARE = 3 << 30
"""Bytes of address space above what is mapped at the start: who asks for more is seen, and harms nobody."""


def main() -> None:
    """Read files until killed."""
    folder, seed, first, *names = sys.argv[1:]
    warnings.simplefilter("ignore")
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    from juggler.errors import JugglerError  # noqa: PLC0415

    seeds = {name: cached_seeds(TARGETS[name], Path(folder)) for name in names}
    for name in names:  # what a reader imports is not the file's doing
        _read(name, seeds[name][0], JugglerError)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + SPARE, mapped + SPARE))
    for number in count(int(first)):
        for name in names:
            data = changed(TARGETS[name], seeds[name], number, int(seed))
            print(json.dumps(["start", name, number]), file=out)
            Path("/proc/self/clear_refs").write_text("5")  # the peak of memory begins anew
            before, begun = _memory_mib("VmRSS"), time.process_time()
            how, detail = _read(name, data, JugglerError)
            cpu_s, grown = time.process_time() - begun, _memory_mib("VmHWM") - before
            print(json.dumps(["end", how, round(cpu_s, 3), round(grown), detail]), file=out)


def _read(name: str, data: bytes, refusal: type[Exception]) -> tuple[str, str]:
    """Read one file; return how that ended, and the traceback of what should not be."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    path = folder / TARGETS[name].file
    path.write_bytes(data)
    try:
        TARGETS[name].call(path)
    except refusal as error:
        text = str(error)
        return ("refused", "") if text.isprintable() else ("unprintable", ascii(text)[:300])
    except Exception:  # whatever it is, it is what is looked for
        return "exception", traceback.format_exc()[-3000:]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return "read", ""


def _memory_mib(field: str) -> float:
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{field}:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()

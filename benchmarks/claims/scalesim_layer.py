"""Run one product through `scalesim` and print what it reports.

scalesim_golden.py calls it in the environment of scalesim. Takes a JSON object as its one argument:
m, k, n, rows, columns, dataflow (ws, is or os). It imports nothing of juggler, for that environment holds
scalesim alone. Memory is estimated, not simulated against a bandwidth
(InterfaceBandwidth CALC), so nothing stalls.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
import tempfile
import time
from pathlib import Path

CONFIG = """[general]
run_name = layer

[architecture_presets]
ArrayHeight: {rows}
ArrayWidth: {columns}
IfmapSramSzkB: 1024
FilterSramSzkB: 1024
OfmapSramSzkB: 1024
IfmapOffset: 0
FilterOffset: 100000000
OfmapOffset: 200000000
Bandwidth: 10
Dataflow: {dataflow}
MemoryBanks: 1
ReadRequestBuffer: 32
WriteRequestBuffer: 32

[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2

[sparsity]
SparsitySupport: false
SparseRep: ellpack_block
OptimizedMapping: false
BlockSize: 8
RandomNumberGeneratorSeed: 40

[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""
# Custom layouts are off, but the file is read: twenty factors of 1.
LAYOUT = "1," * 20


def main() -> None:
    """Simulate the product of the first argument, print its figures as one line of JSON."""
    from scalesim.scale_sim import scalesim  # noqa: PLC0415  # its import is not what is timed

    layer = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "layer.cfg").write_text(CONFIG.format(**layer), encoding="ascii")
        (folder / "layer.csv").write_text(
            f"Layer name,M,N,K,\nlayer,{layer['m']},{layer['n']},{layer['k']},\n", encoding="ascii"
        )
        (folder / "layout.csv").write_text(f"Layer name,{LAYOUT}\nlayer,{LAYOUT}\n", encoding="ascii")
        start_s = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            simulator = scalesim(
                save_disk_space=True,
                verbose=False,
                config=str(folder / "layer.cfg"),
                topology=str(folder / "layer.csv"),
                layout=str(folder / "layout.csv"),
                input_type_gemm=True,
            )
            simulator.run_scale(top_path=str(folder))
        seconds = time.perf_counter() - start_s
        compute = report(folder, "COMPUTE_REPORT.csv")
        access = report(folder, "DETAILED_ACCESS_REPORT.csv")
    print(
        json.dumps(
            {
                "seconds": seconds,
                "total_cycles": integer(compute, "Total Cycles"),
                "stall_cycles": integer(compute, "Stall Cycles"),
                "utilisation": float(compute["Overall Util %"]) / 100,
                "mapping_efficiency": float(compute["Mapping Efficiency %"]) / 100,
                "ifmap_reads": integer(access, "SRAM IFMAP Reads"),
                "filter_reads": integer(access, "SRAM Filter Reads"),
                "ofmap_writes": integer(access, "SRAM OFMAP Writes"),
            }
        )
    )


def report(folder: Path, name: str) -> dict[str, str]:
    """Return the one row of a report."""
    (path,) = folder.rglob(name)
    with path.open(encoding="utf-8", newline="") as file:
        heads, row = list(csv.reader(file))[:2]
    return {head.strip(): value.strip() for head, value in zip(heads, row, strict=False)}


def integer(row: dict[str, str], name: str) -> int:
    """Return a whole number of a report."""
    return round(float(row[name]))


if __name__ == "__main__":
    main()

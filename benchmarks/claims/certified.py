"""Networks that others wrote are certified with every rewrite kept, from torch and through their ONNX file.

One network of each family of pytorchcv that was once rolled back or is built in an unusual way, at its
native size, with random weights and every statistic of its batch norms drawn. Each is flattened as it is, and
again as it is read back from the ONNX file that torch's exporter writes; counted are the rewrites that were
kept, and those that were rolled back because the whole network failed its certificate. --families all takes
one network of every family there is.

One file a network is kept in runs/certified, and a run goes on where the last one stopped.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from benchmarks.claims.counts_networks import families
from benchmarks.claims.others_networks import Network
from benchmarks.common import ROOT, Finding, options, progress, write
from juggler.errors import JugglerError
from juggler.files import write_atomically
from juggler.runtime.importers.onnx import IMPORTER
from juggler.runtime.tuning.flattening import flatten

RUNS = ROOT / "runs" / "certified"
OPSET = 17
NAMED = (
    *("inceptionresnetv2", "polynet", "nasnet", "ibnresnet", "sknet", "resnesta", "bagnet", "airnet", "drn"),
    *("dla", "hardnet", "fishnet", "peleenet", "vovnet", "selecsls", "mixnet", "proxylessnas", "fbnet"),
)


def main() -> None:
    """Flatten every network both ways, judge, write the result file."""
    parser = options(__doc__)
    parser.add_argument("--families", nargs="+", default=list(NAMED), help="or all")
    parser.add_argument("--again", action="store_true", help="flatten what has a result already")
    asked = parser.parse_args()
    every = "all" in asked.families
    chosen = [net for net in families() if every or net.family in asked.families]
    chosen = chosen[:2] if asked.quick else chosen
    results = []
    with progress("certifying") as tell:
        for done, network in enumerate(chosen):
            tell(done, len(chosen))
            results.append(result_of(network, again=asked.again))
        tell(len(chosen), len(chosen))
    details = {"batch": 1, "dtype": "float32", "opset": OPSET, "networks": results}
    write("certified", __doc__, list(judge(results)), details, quick=asked.quick, packages=("pytorchcv",))


def result_of(network: Network, *, again: bool) -> dict[str, Any]:
    """Return what came of one network, from its file where there is one."""
    path = RUNS / f"{network.name}.json"
    if again or not path.is_file():
        result: dict[str, Any] = {"network": network.name, "family": network.family, "shape": network.shape}
        torch.manual_seed(0)
        module, example = drawn(network.make()), torch.randn(1, *network.shape)
        result["torch"] = outcome(module, example)
        result["onnx"] = through_onnx(module, example)
        write_atomically(path, f"{json.dumps(result, indent=1)}\n".encode())
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def drawn(network: nn.Module) -> nn.Module:
    """Return the network in evaluation mode with the statistics of its batch norms drawn."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            module.running_mean.normal_(0.0, 0.1)
            module.running_var.uniform_(0.8, 1.25)  # type: ignore[union-attr]
    return network.eval()


def outcome(module: nn.Module, example: torch.Tensor) -> dict[str, Any]:
    """Flatten one network and say what its certificate says."""
    begun = time.perf_counter()
    try:
        done = flatten(module, example)
    except JugglerError as error:
        return {"certified": False, "refused": str(error)}
    certificate = done.certificate
    return {
        "certified": certificate.passed,
        "rewrites": len(done.rewrites),
        "rolled_back": len(done.rolled_back),
        "worst": {dtype: certificate.worst(dtype) for dtype in certificate.limits},
        "limits": certificate.limits,
        "nodes": [len(done.wide_graph.nodes), len(done.flat_graph.nodes)],
        "seconds": time.perf_counter() - begun,
    }


def through_onnx(module: nn.Module, example: torch.Tensor) -> dict[str, Any]:
    """Export a network as its owner would, read the file, and flatten what was read."""
    file = io.BytesIO()
    try:
        torch.onnx.export(
            module,
            (example,),
            file,  # type: ignore[arg-type]  # the exporter that most files were written by takes it
            dynamo=False,
            opset_version=OPSET,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
        )
        return outcome(IMPORTER.load(file.getvalue()), example)
    except JugglerError as error:
        return {"certified": False, "refused": str(error)}


def judge(results: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Hold both ways against the claim."""
    for way, words in (("torch", "from torch"), ("onnx", "through an ONNX file")):
        certified = [r for r in results if r[way]["certified"] and not r[way]["rolled_back"]]
        rewrites = sum(r[way].get("rewrites", 0) for r in results)
        back = sum(r[way].get("rolled_back", 0) for r in results)
        worst = max((r[way]["worst"]["float64"] for r in certified), default=float("nan"))
        yield Finding(
            claim=f"Networks of pytorchcv, {words}: all certified, no rewrite rolled back",
            measured=f"{len(certified)} of {len(results)} certified, {rewrites:,} rewrites kept and {back} "
            f"rolled back, float64 differs by {worst:.1e} at most",
            n=f"{len(results)} networks, {len({r['family'] for r in results})} families",
            reached=len(certified) == len(results),
        )


if __name__ == "__main__":
    main()

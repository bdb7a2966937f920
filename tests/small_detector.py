"""Made-up traffic, and the graph of a small network, for the tests of detection."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from juggler.data import SCHEMAS, Records, parse_block

SCHEMA = SCHEMAS.get("nsl_kdd")


def traffic(rows: int, seed: int) -> list[str]:
    """Return rows of 43 columns: normal traffic, a SYN flood, scans, password guesses, a root shell."""
    draw = np.random.default_rng(seed)
    lines = []
    for attack in draw.choice(
        ["normal", "neptune", "portsweep", "guess_passwd", "rootkit"], rows, p=[0.55, 0.2, 0.15, 0.08, 0.02]
    ):
        row = {c.name: c.vocabulary[0] if c.kind == "categorical" else "0" for c in SCHEMA.columns}
        row |= {"protocol_type": "tcp", "service": "http", "flag": "SF"}
        few, many, share = (
            str(draw.integers(1, 9)),
            str(draw.integers(150, 500)),
            f"{draw.integers(0, 10) / 100}",
        )
        row |= {"src_bytes": str(draw.integers(100, 4000)), "dst_bytes": str(draw.integers(200, 9000))}
        row |= {"count": few, "srv_count": few, "same_srv_rate": "1.00", "dst_host_count": few}
        if attack in ("neptune", "portsweep"):
            row |= {
                "src_bytes": "0",
                "dst_bytes": "0",
                "count": many,
                "srv_count": few,
                "same_srv_rate": share,
            }
            row |= {"service": str(draw.choice(["private", "telnet", "smtp"])), "dst_host_count": "255"}
        if attack == "neptune":
            row |= {
                "flag": "S0",
                "serror_rate": "1.00",
                "srv_serror_rate": "1.00",
                "dst_host_serror_rate": "1.00",
            }
        if attack == "portsweep":
            row |= {"flag": "REJ", "rerror_rate": "1.00", "srv_rerror_rate": "1.00", "diff_srv_rate": "0.90"}
        if attack == "guess_passwd":
            row |= {
                "service": "telnet",
                "flag": "RSTO",
                "src_bytes": "125",
                "dst_bytes": "179",
                "duration": few,
            }
        if attack == "rootkit":
            row |= {
                "service": "ftp_data",
                "duration": many,
                "dst_bytes": "0",
                "dst_host_same_src_port_rate": "1.00",
            }
        lines.append(",".join([*row.values(), str(attack), "21"]))
    return lines


def as_bytes(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def records(rows: int, seed: int) -> Records:
    found, bad = parse_block(as_bytes(traffic(rows, seed)), SCHEMA)
    assert not bad
    return found


def graph_of(weight: np.ndarray, bias: np.ndarray, shape: tuple[int, int, int]) -> bytes:
    """Return an ONNX graph of one linear layer with a free batch."""
    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["output"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", len(bias)])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())

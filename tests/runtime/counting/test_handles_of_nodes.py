"""Handles of single ONNX nodes against integers counted by hand, and what a file's tensors are."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from juggler.count.work import KINDS
from juggler.runtime.counting.elementwise import HANDLES as ELEMENTWISE
from juggler.runtime.counting.node import Node
from juggler.runtime.counting.products import HANDLES as PRODUCTS
from juggler.runtime.counting.stored import bytes_of, roles, shape_of, stored_in

# operator, attributes, shapes read, shape written, stored places: MACs, additions, multiplications,
# comparisons, functions.
NODES = {
    "a sum of three": ("Sum", {}, [(4, 5)] * 3, (4, 5), (), (0, 40, 0, 0, 0)),
    "a mean of three": ("Mean", {}, [(4, 5)] * 3, (4, 5), (), (0, 40, 20, 0, 0)),
    "a clip of one bound": ("Clip", {}, [(4, 5), ()], (4, 5), (), (0, 0, 0, 20, 0)),
    "a maximum": ("Max", {}, [(4, 5), (5,)], (4, 5), (), (0, 0, 0, 20, 0)),
    "softsign": ("Softsign", {}, [(6,)], (6,), (), (0, 6, 6, 6, 0)),
    "quantising": ("QuantizeLinear", {}, [(6,), (), ()], (6,), (), (0, 6, 6, 18, 0)),
    "max pool": ("MaxPool", {"kernel_shape": [3, 2]}, [(1, 2, 8, 8)], (1, 2, 6, 7), (), (0, 0, 0, 84 * 6, 0)),
    "global average": ("GlobalAveragePool", {}, [(2, 3, 4, 4)], (2, 3, 1, 1), (), (0, 96, 6, 0, 0)),
    "mean": ("ReduceMean", {}, [(2, 3, 4)], (2, 1, 1), (), (0, 24, 2, 0, 0)),
    "length": ("ReduceL2", {}, [(2, 3, 4)], (2, 1, 1), (), (0, 24, 24, 0, 2)),
    "norm of a layer": (
        "LayerNormalization",
        {"axis": -1},
        [(2, 5), (5,), (5,)],
        (2, 5),
        (1, 2),
        (0, 40, 30, 0, 2),
    ),
    "bilinear": ("Resize", {"mode": "linear"}, [(1, 2, 3, 3)], (1, 2, 6, 6), (), (0, 288, 288, 0, 0)),
    "nearest": ("Resize", {}, [(1, 2, 3, 3)], (1, 2, 6, 6), (), (0, 0, 0, 0, 0)),
    "added where": (
        "ScatterND",
        {"reduction": "add"},
        [(9, 4), (3, 1), (3, 4)],
        (9, 4),
        (),
        (0, 12, 0, 0, 0),
    ),
    "attention": (
        "Attention",
        {},
        [(2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6)],
        (2, 3, 5, 6),
        (),
        (6 * 35 * 4 + 6 * 35 * 6, 2 * 210, 2 * 210, 210, 210),
    ),
    "attention of few keys": (
        "Attention",
        {"q_num_heads": 4, "kv_num_heads": 2},
        [(1, 5, 8), (1, 7, 4), (1, 7, 4)],
        (1, 5, 8),
        (),
        (2 * 4 * 35 * 2, 280, 280, 140, 140),
    ),
    "the runtime's attention": (
        "com.microsoft.Attention",
        {"num_heads": 2},
        [(1, 5, 8), (8, 24), (24,)],
        (1, 5, 8),
        (1, 2),
        (5 * 8 * 24 + 2 * 2 * 25 * 4, 5 * 24 + 100, 100, 50, 50),
    ),
    "four bits": (
        "com.microsoft.MatMulNBits",
        {"K": 32, "N": 10, "bits": 4, "block_size": 32},
        [(3, 32), (10, 1, 16), (10,)],
        (3, 10),
        (1, 2),
        (3 * 320, 0, 0, 0, 0),
    ),
    "a weight on the left": ("MatMul", {}, [(5, 4), (2, 4, 3)], (2, 5, 3), (0,), (2 * 60, 0, 0, 0, 0)),
    "an outer product": ("Einsum", {"equation": "i,j->ij"}, [(3,), (4,)], (3, 4), (), (0, 0, 12, 0, 0)),
    "a lonely einsum": ("Einsum", {"equation": "bij->bi"}, [(2, 3, 4)], (2, 3), (), (0, 24, 0, 0, 0)),
}


@pytest.mark.parametrize("case", NODES.values(), ids=NODES)
def test_work_of_a_node(case):
    op, attributes, inputs, out, weights, wanted = case
    node = Node(op, attributes, tuple(inputs), (out,), frozenset(weights))
    works = (PRODUCTS | ELEMENTWISE)[op](node)
    works = works if isinstance(works, tuple) else (works,)
    units = ("macs", "additions", "multiplications", "comparisons", "functions")
    assert tuple(sum(getattr(work, unit) for work in works) for unit in units) == wanted
    for work in works:
        assert work.kind in KINDS
        assert work.geometry is None or work.geometry.macs == work.macs


def test_products_of_a_weight_are_layers_and_others_are_not():
    for places, kind in (((1,), "linear"), ((0,), "linear"), ((), "matmul"), ((0, 1), "matmul")):
        node = Node("MatMul", {}, ((6, 4), (4, 3)), ((6, 3),), frozenset(places))
        work = PRODUCTS["MatMul"](node)
        assert (work.kind, work.geometry.kind) == (kind, kind)


def test_operators_are_ones_of_onnx_or_of_a_runtime():
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    for op in PRODUCTS | ELEMENTWISE:
        assert op in known or op.startswith("com.microsoft.") or op == "SimplifiedLayerNormalization", op


def test_bytes_go_by_the_type_of_elements():
    assert [bytes_of(7, kind) for kind in (TensorProto.FLOAT, TensorProto.INT8, TensorProto.FLOAT16)] == [
        28,
        7,
        14,
    ]
    assert bytes_of(7, TensorProto.INT4) == 4, "two in a byte"
    assert bytes_of(7, TensorProto.STRING) == 0


def test_tensors_of_branches_are_stored_too():
    make = helper.make_tensor_value_info
    weight = helper.make_tensor("inner", TensorProto.FLOAT, [2, 2], [1.0] * 4)
    branch = helper.make_graph(
        [helper.make_node("MatMul", ["x", "inner"], ["b"])], "branch", [], [make("b", 1, None)], [weight]
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    ends = [make("c", TensorProto.BOOL, []), make("x", 1, [2, 2])], [make("y", 1, None)]
    stored = stored_in(helper.make_model(helper.make_graph([node], "g", *ends)))
    assert roles(stored, "parameter") == 4
    assert shape_of(ends[0][1].type) == (2, 2)
    assert shape_of(ends[1][0].type) is None

"""ONNX files counted by their shapes, against integers worked out by hand and against torch's own network."""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static
from torch import nn

from juggler.count.network import count
from juggler.errors import ArtefactError, ConfigError, JugglerError
from juggler.runtime.counting import count_graph

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def file(nodes, inputs, stored=(), *, domains=(), opset=17) -> bytes:
    """Return a model whose last node gives its answer; weights are named by their shapes."""
    weights = [
        numpy_helper.from_array(np.asarray(value), name)
        if not isinstance(value, tuple)
        else numpy_helper.from_array(np.ones(value, np.float32), name)
        for name, value in dict(stored).items()
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(nodes[-1].output[0], FLOAT, None)],
        weights,
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 8
    return model.SerializeToString()


def single(op, inputs, stored=(), *, domain="", outputs=1, opset=17, **attributes) -> bytes:
    """Return a model of one node, which reads its inputs and then what is stored."""
    names = [*inputs, *dict(stored)]
    node = helper.make_node(op, names, [f"y{i}" for i in range(outputs)], domain=domain, **attributes)
    return file([node], inputs, stored, domains=(domain,) if domain else (), opset=opset)


def x(*shape, kind=FLOAT):
    return {"x": (kind, ["n", *shape])}


def i8(*shape):
    return np.ones(shape, np.int8)


ONE_F, ONE_U = np.float32(0.1), np.uint8(3)
CASES = {
    # file, shape, batch: MACs, parameters, bytes of parameters
    "grouped convolution": (
        single("Conv", x(8, "h", "w"), {"w": (12, 2, 3, 3), "b": (12,)}, group=4, pads=[1] * 4),
        ((8, 5, 6),),
        3,
        (3 * 30 * 12 * 2 * 9, 12 * 18 + 12, 4 * 228),
    ),
    "uneven padding": (
        single("Conv", x(2, "h", "w"), {"w": (4, 2, 3, 3)}, pads=[0, 0, 1, 1], strides=[2, 2]),
        ((2, 8, 8),),
        1,
        (16 * 4 * 18, 72, 288),
    ),
    "same padding": (
        single("Conv", x(2, "h", "w"), {"w": (4, 2, 4, 4)}, auto_pad="SAME_UPPER", strides=[2, 2]),
        ((2, 7, 7),),
        1,
        (16 * 4 * 32, 128, 512),
    ),
    "transposed convolution": (
        single("ConvTranspose", x(8, "h", "w"), {"w": (8, 2, 4, 4)}, group=4, strides=[2, 2], pads=[1] * 4),
        ((8, 16, 16),),
        1,
        (256 * 8 * 2 * 16, 256, 1024),
    ),
    "gemm of a transposed weight": (
        single("Gemm", x(20), {"w": (30, 20), "b": (30,)}, transB=1),
        ((20,),),
        5,
        (5 * 600, 630, 2520),
    ),
    "tokens times a weight": (
        single("MatMul", x("t", 16), {"w": (16, 32)}),
        ((10, 16),),
        2,
        (20 * 512, 512, 2048),
    ),
    "a weight for each head": (
        single("MatMul", x(3, "t", 8), {"w": (3, 8, 5)}),
        ((3, 7, 8),),
        2,
        (2 * 3 * 7 * 40, 120, 480),
    ),
    "einsum": (
        single("Einsum", x("t", 6), {"w": (6, 4, 5)}, equation="bti,iho->btho"),
        ((7, 6),),
        2,
        (14 * 120, 120, 480),
    ),
    "lstm": (
        single(
            "LSTM",
            {"x": (FLOAT, ["t", "n", 5])},
            {"w": (2, 24, 5), "r": (2, 24, 6), "b": (2, 48)},
            hidden_size=6,
            direction="bidirectional",
        ),
        ((7, 3, 5),),
        3,
        (21 * 2 * 24 * 11, 2 * (24 * 11 + 48), 8 * (264 + 48)),
    ),
    "gru": (
        single("GRU", {"x": (FLOAT, ["t", "n", 5])}, {"w": (1, 18, 5), "r": (1, 18, 6)}, hidden_size=6),
        ((7, 3, 5),),
        1,
        (21 * 18 * 11, 18 * 11, 4 * 198),
    ),
    "plain recurrent": (
        single("RNN", {"x": (FLOAT, ["t", "n", 5])}, {"w": (1, 6, 5), "r": (1, 6, 6)}, hidden_size=6),
        ((7, 3, 5),),
        1,
        (21 * 6 * 11, 66, 264),
    ),
    "embedding": (
        file(
            [
                helper.make_node("Gather", ["table", "x"], ["e"]),
                helper.make_node("MatMul", ["e", "w"], ["y"]),
            ],
            x("t", kind=INT64),
            {"table": (100, 16), "w": (16, 4)},
        ),
        ((9,),),
        2,
        (18 * 64, 1600 + 64, 4 * 1664),
    ),
    "int8 product": (
        single("MatMulInteger", x("t", 8, kind=TensorProto.UINT8), {"w": i8(8, 4)}),
        ((5, 8),),
        1,
        (160, 32, 32),
    ),
    "int8 convolution": (
        single("ConvInteger", x(3, "h", "w", kind=TensorProto.UINT8), {"w": i8(4, 3, 3, 3)}),
        ((3, 6, 6),),
        1,
        (16 * 4 * 27, 108, 108),
    ),
    "quantised convolution": (
        single(
            "QLinearConv",
            x(3, "h", "w", kind=TensorProto.UINT8),
            {
                "xs": ONE_F,
                "xz": ONE_U,
                "w": i8(4, 3, 3, 3),
                "ws": np.ones(4, np.float32),
                "wz": np.zeros(4, np.int8),
                "ys": ONE_F,
                "yz": ONE_U,
                "b": np.ones(4, np.int32),
            },
        ),
        ((3, 6, 6),),
        1,
        (16 * 4 * 27, 108 + 4, 108 + 16),
    ),
    "quantised product": (
        single(
            "QLinearMatMul",
            x(8, kind=TensorProto.UINT8),
            {
                "xs": ONE_F,
                "xz": ONE_U,
                "w": i8(8, 4),
                "ws": ONE_F,
                "wz": np.int8(0),
                "ys": ONE_F,
                "yz": ONE_U,
            },
        ),
        ((8,),),
        6,
        (6 * 32, 32, 32),
    ),
    "weights that are dequantised": (
        file(
            [
                helper.make_node("DequantizeLinear", ["w", "s", "z"], ["d"]),
                helper.make_node("Transpose", ["d"], ["t"]),
                helper.make_node("MatMul", ["x", "t"], ["y"]),
            ],
            x(8),
            {"w": i8(4, 8), "s": ONE_F, "z": np.int8(0)},
        ),
        ((8,),),
        2,
        (64, 32, 32),
    ),
    "a runtime's own int8": (
        single(
            "QGemm",
            x(8, kind=TensorProto.UINT8),
            {
                "xs": ONE_F,
                "xz": ONE_U,
                "w": i8(4, 8),
                "ws": ONE_F,
                "wz": np.int8(0),
                "b": np.ones(4, np.int32),
            },
            domain="com.microsoft",
            transB=1,
        ),
        ((8,),),
        3,
        (3 * 32, 36, 32 + 16),
    ),
    "batch norm": (
        single("BatchNormalization", x(6, "h"), {"s": (6,), "b": (6,), "m": (6,), "v": (6,)}),
        ((6, 4),),
        1,
        (0, 12, 4 * 24),
    ),
    "settings are no parameters": (
        single(
            "Resize", x(2, "h", "w"), {"roi": np.zeros(0, np.float32), "scales": np.float32([1, 1, 2, 2])}
        ),
        ((2, 4, 4),),
        1,
        (0, 0, 0),
    ),
}


@pytest.mark.parametrize(("model", "shapes", "batch", "wanted"), CASES.values(), ids=CASES)
def test_each_kind_of_node_is_counted(model, shapes, batch, wanted):
    counted = count_graph(model, shapes, batch=batch)
    assert (counted.macs, counted.parameters, counted.param_bytes) == wanted
    assert counted.uncounted == ()
    assert sum(op.parameters for op in counted.ops) == counted.parameters
    for op in counted.ops:
        assert op.geometry is None or op.geometry.macs == op.macs


class Attends(nn.Module):
    """Attention written out, a table of places, and a residual."""

    def __init__(self):
        super().__init__()
        self.places = nn.Parameter(torch.randn(1, 10, 16))
        self.norm, self.qkv, self.out = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, x):
        y = x + self.places
        q, k, v = self.qkv(self.norm(y)).view(x.shape[0], 10, 3, 4, 4).permute(2, 0, 3, 1, 4).unbind(0)
        scores = torch.softmax(q @ k.transpose(2, 3) * 0.5, -1)
        return y + self.out((scores @ v).transpose(1, 2).reshape(x.shape[0], 10, 16))


class Tagger(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.layer, self.head = kind(5, 6, 2, batch_first=True, bidirectional=True), nn.Linear(12, 3)

    def forward(self, x):
        return self.head(self.layer(x)[0])


NETWORKS = {
    "convolutions": (
        lambda: nn.Sequential(
            *(nn.Conv2d(3, 8, 3, 2, 1), nn.Hardswish(), nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8)),
            *(nn.AvgPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear"), nn.ConvTranspose2d(8, 4, 2, 2)),
            *(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5), nn.Softmax(-1)),
        ),
        (3, 16, 16),
    ),
    "one dimension": (
        lambda: nn.Sequential(nn.Conv1d(4, 6, 5, padding=2), nn.GELU(), nn.Conv1d(6, 2, 1)),
        (4, 20),
    ),
    "three dimensions": (lambda: nn.Sequential(nn.Conv3d(2, 4, 3, padding=1), nn.ReLU()), (2, 5, 6, 7)),
    "attention": (Attends, (10, 16)),
    "lstm": (lambda: Tagger(nn.LSTM), (7, 5)),
    "gru": (lambda: Tagger(nn.GRU), (7, 5)),
}


def exported(network, shape, **options) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.randn(1, *shape),),
            buffer,
            dynamo=False,
            opset_version=17,
            input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
            **options,
        )
    return buffer.getvalue()


@pytest.mark.parametrize(("make", "shape"), NETWORKS.values(), ids=NETWORKS)
def test_a_file_costs_what_its_network_does_in_torch(make, shape):
    torch.manual_seed(0)
    network = make().eval()
    original = count(network, torch.empty(2, *shape, device="meta"))
    counted = count_graph(exported(network, shape), [shape], batch=2)
    assert counted.uncounted == ()
    assert (counted.macs, counted.parameters) == (original.macs, original.parameters)
    units = ("additions", "multiplications", "comparisons", "functions")
    work = [
        {unit: sum(getattr(op, unit) for op in found.ops) for unit in units} for found in (counted, original)
    ]
    if make is not Attends:  # the scale of scores is folded otherwise
        assert work[0] == work[1]
    assert {shape[0] for shape in counted.input_shapes} == {2}


def test_modules_that_an_exporter_names_have_their_rows():
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Flatten(), nn.Linear(144, 2)
    ).eval()
    paths = [op.module_path for op in count_graph(exported(network, (3, 8, 8)), [(3, 8, 8)]).ops]
    assert paths == ["0.0", "0.1", "1", "2"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    ).eval()
    path = tmp_path_factory.mktemp("int8") / "plain.onnx"
    path.write_bytes(exported(network, (3, 12, 12)))
    return path


class Reader(CalibrationDataReader):
    def __init__(self):
        self.left = 2

    def get_next(self):
        self.left -= 1
        return {"x": np.random.default_rng(0).random((1, 3, 12, 12), np.float32)} if self.left >= 0 else None


@pytest.mark.parametrize("way", ["dynamic", "QDQ", "QOperator"])
def test_an_int8_file_has_the_work_and_the_weights_of_its_original(plain, way):
    path = plain.with_name(f"{way}.onnx")
    if way == "dynamic":
        quantize_dynamic(plain, path)
    else:
        quantize_static(plain, path, Reader(), quant_format=QuantFormat[way])
    counted = count_graph(path, [(3, 12, 12)])
    assert counted.macs == 144 * 8 * 27 + 80
    assert counted.parameters == 8 * 27 + 8 + 80 + 10
    assert counted.param_bytes == 216 + 80 + 4 * 18, "weights of one byte, biases of four"
    assert counted.uncounted == ()
    weights = [op for op in counted.ops if op.geometry is not None]
    assert sum(op.weight_bytes for op in weights) <= counted.param_bytes + 200  # and their scales


def test_what_is_not_known_is_listed_and_the_rest_is_counted():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("TopK", ["a", "k"], ["v", "i"]),
        helper.make_node("Mystery", ["v"], ["m"], domain="of.mine"),
    ]
    model = file(nodes, x(3, 8, 8), {"w": (4, 3, 3, 3), "k": np.int64([2])}, domains=("of.mine",))
    counted = count_graph(model, [(3, 8, 8)])
    assert counted.macs == 36 * 4 * 27
    assert [(u.operator, u.times) for u in counted.uncounted] == [
        ("onnx.TopK", 1),
        ("onnx.of.mine.Mystery", 1),
    ]


def test_sizes_that_depend_on_values_are_taken_from_a_run_and_said_so():
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("Cast", ["where"], ["float"], to=FLOAT),
        helper.make_node("MatMul", ["w", "float"], ["y"]),
    ]
    counted = count_graph(file(nodes, x(6), {"w": (5, 2)}), [(6,)], batch=4)
    assert counted.macs == 5 * 2 * 24, "no normal number is zero"
    assert "random values" in counted.note and "NonZero" in counted.note
    assert counted.uncounted == ()


def branching(limit) -> bytes:
    """Return a file that multiplies by one of two matrices, as its largest number says."""
    make = helper.make_tensor_value_info
    branches = {}
    for name, rows in (("then_branch", 8), ("else_branch", 2)):
        weight = numpy_helper.from_array(np.ones((4, rows), np.float32), f"w{rows}")
        inner = helper.make_node("MatMul", ["x", f"w{rows}"], [f"b{rows}"])
        branches[name] = helper.make_graph([inner], name, [], [make(f"b{rows}", FLOAT, None)], [weight])
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "limit"], ["c"]),
        helper.make_node("If", ["c"], ["y"], **branches),
    ]
    return file(nodes, x(4), {"limit": np.float32(limit)})


@pytest.mark.parametrize(("limit", "rows"), [(-9, 8), (9, 2)])
def test_a_branch_is_the_one_that_a_run_takes_and_said_so(limit, rows):
    counted = count_graph(branching(limit), [(4,)], batch=3)
    assert counted.macs == 3 * 4 * rows
    assert counted.parameters == 4 * 8 + 4 * 2, "both are in the file"
    assert "Of 1 branches" in counted.note
    assert counted.uncounted == ()


def test_what_might_never_end_is_not_run():
    make = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [make("i", INT64, []), make("go", TensorProto.BOOL, [])],
        [make("on", TensorProto.BOOL, [])],
    )
    nodes = [
        helper.make_node("Loop", ["", "forever"], [], body=body),
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    counted = count_graph(file(nodes, x(4), {"w": (4, 4), "forever": np.bool_(True)}), [(4,)])
    assert counted.macs == 16
    assert {u.operator for u in counted.uncounted} == {"onnx.Loop", "onnx.NonZero"}


def test_sizes_that_the_graph_works_out_cost_nothing():
    class Tiles(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.layer = nn.Parameter(torch.randn(1, 1, 8)), nn.Linear(8, 4)

        def forward(self, x):
            return self.layer(torch.cat([self.first.expand(x.shape[0], -1, -1), x], 1))

    counted = count_graph(exported(Tiles().eval(), (6, 8)), [(6, 8)], batch=3)
    assert counted.macs == 3 * 7 * 32
    assert counted.parameters == 8 + 36
    assert counted.note == ""
    assert not any(op.operator in ("onnx.Shape", "onnx.Gather", "onnx.Where") for op in counted.ops)


def test_two_layers_of_one_weight_have_it_once():
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("MatMul", ["a", "w"], ["y"])]
    counted = count_graph(file(nodes, x(8), {"w": (8, 8)}), [(8,)])
    assert [(op.parameters, op.shared) for op in counted.ops] == [(64, False), (0, True)]
    assert counted.parameters == 64


def test_live_memory_follows_views():
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Flatten", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Add", ["c", "b"], ["y"]),
    ]
    counted = count_graph(file(nodes, x(2, 5)), [(2, 5)])
    assert [op.live_bytes for op in counted.ops] == [80, 40, 80, 120]
    assert counted.peak_activation_bytes == 120


def test_several_inputs_and_sizes_of_the_file():
    inputs = {"x": (FLOAT, ["n", 4]), "z": (FLOAT, [-1, 6])}
    nodes = [
        helper.make_node("Concat", ["x", "z"], ["c"], axis=1),
        helper.make_node("MatMul", ["c", "w"], ["y"]),
    ]
    model = file(nodes, inputs, {"w": (10, 3)})
    assert count_graph(model, batch=2).macs == 2 * 30
    assert count_graph(model, [(4,), (6,)]).input_shapes == ((1, 4), (1, 6))
    assert count_graph(model, [(5, 4), (5, 6)]).macs == 5 * 30, "a shape of as many sizes is taken whole"
    with pytest.raises(ConfigError, match="it has 2 inputs"):
        count_graph(model, [(4,), (6,), (1,)])
    with pytest.raises(ConfigError, match="takes"):
        count_graph(model, [(4,), (7,)])


def test_bad_files_are_told(tmp_path):
    with pytest.raises(ConfigError, match="--shape"):
        count_graph(single("Relu", x("h", "w")))
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(ArtefactError):
        count_graph(tmp_path / "bad.onnx")
    with pytest.raises(ConfigError, match="no operator"):
        count_graph(file([helper.make_node("Constant", [], ["y"], value_float=1.0)], x(1)))


@pytest.mark.parametrize("name", ["quantised convolution", "lstm", "einsum", "a runtime's own int8"])
def test_altered_files_end_in_counts_or_in_errors_of_ours(name):
    model, shapes, batch, _ = CASES[name]
    rng = np.random.default_rng(0)
    for _ in range(60):
        altered = bytearray(model)
        for place in rng.integers(0, len(model), 3):
            altered[place] = rng.integers(256)
        with contextlib.suppress(JugglerError):
            assert count_graph(bytes(altered), shapes, batch=batch).ops


def test_functions_of_the_file_are_written_out():
    double = helper.make_function(
        "of.mine",
        "Double",
        ["a", "w"],
        ["b"],
        [helper.make_node("MatMul", ["a", "w"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    model = onnx.load_from_string(
        file(
            [helper.make_node("Double", ["x", "w"], ["y"], domain="of.mine")],
            x(8),
            {"w": (8, 8)},
            domains=("of.mine",),
        )
    )
    model.functions.append(double)
    assert count_graph(model.SerializeToString(), [(8,)]).macs == 64

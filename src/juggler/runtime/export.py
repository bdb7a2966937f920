"""Write a module as an ONNX graph with a free batch, proved equal to the module before it is given out."""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import onnx
import torch
from torch import nn
from torch.jit import TracerWarning  # type: ignore[attr-defined]

from juggler.errors import ConfigError, JugglerError, first_line
from juggler.files import write_atomically
from juggler.nouns import TensorSpec
from juggler.runtime.modules import Ends, as_tuple, check_evaluating, ends_of, examples, is_plain, result_of
from juggler.runtime.onnx_graphs.constants import fold_constants
from juggler.runtime.parity import LIMIT, check_parity

OPSET = 17  # the newest that the tracing exporter writes without converting; every runtime here reads it
PARITY_LIMIT = LIMIT
LARGEST_BYTES = 2**31 - 2**20  # protocol buffers end at 2 GiB; what is no weight needs a little
CONSTANT = "results are registered as constants"  # of the tracer's warnings: a tensor made of Python numbers
NODE = re.compile(r"[Nn]ode[:\s]+[`'%]?(?:name: )?[`'\"]?(\w+)")
ASKED = "export a module"


@overload
def export(
    module: nn.Module,
    example: object,
    path: None = None,
    *,
    metadata: Mapping[str, str] = ...,
    parity_limit: float = ...,
) -> bytes: ...
@overload
def export(
    module: nn.Module,
    example: object,
    path: str | Path,
    *,
    metadata: Mapping[str, str] = ...,
    parity_limit: float = ...,
) -> Path: ...


def export(
    module: nn.Module,
    example: object,
    path: str | Path | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    parity_limit: float = PARITY_LIMIT,
) -> bytes | Path:
    """Export a module to ONNX; the first size of every input and output is free.

    One input is called `input`, one output `output`; several are numbered, and the outputs of a dict are
    called by its keys. A network that was read from an ONNX file keeps the names and the free sizes that it
    has there; where a size cannot stay free, a `RuntimeWarning` says so. The module is not changed. The
    tracing exporter is used: for a plain chain it writes exactly Conv, Relu, ... Flatten and Gemm, where
    the newer one writes reductions and reshapes; what it cannot trace goes to the newer one.

    Args:
        module: in evaluation mode, with float32 parameters.
        example: a tensor or an array or a tuple of them, batch first.
        path: where to write; written whole or not at all. None returns the bytes.
        metadata: texts to keep in the model's metadata.
        parity_limit: what ONNX Runtime's answers may differ by, of their largest value. A network that rounds
            worse in float32 is allowed four times its own rounding: see `juggler.runtime.parity`.

    Returns:
        The path, or the bytes where no path was given.

    Raises:
        ConfigError: training mode, parameters that are not float32 or take more than 2 GiB, or a module that
            cannot be exported, such as one that branches on what its input holds.
        ParityError: ONNX Runtime computes something else from the graph, at batch 1 or 3.
    """
    if not 0.0 < parity_limit < 1.0:
        raise ConfigError(
            ASKED, f"parity_limit={parity_limit}", "Give a share of the largest value, such as 1e-5"
        )
    copied, inputs = _copy_for_export(module, example)
    result = result_of(copied, inputs)
    ends, plain = ends_of(copied, inputs, result), copied if is_plain(result) else _Tuple(copied).eval()
    try:
        model = _to_onnx(plain, inputs, ends, metadata or {})
        check_parity(plain, inputs, ends.inputs, model, limit=parity_limit)
    except JugglerError:
        fixed = _with_sizes(ends, inputs)
        if fixed == ends:
            raise
        model = _to_onnx(plain, inputs, fixed, metadata or {})
        check_parity(plain, inputs, fixed.inputs, model, limit=parity_limit)
        lost = ", ".join(f"{spec.name} {list(spec.shape[1:])}" for spec in fixed.inputs)
        text = f"sizes that were free in the file it came from are fixed in the graph written: {lost}"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    return model if path is None else write_atomically(Path(path), model)


class _Tuple(nn.Module):
    """A network that returns its tensors as a tuple, whatever it wraps them in."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return as_tuple(self.network(*inputs))


def _with_sizes(ends: Ends, inputs: Sequence[torch.Tensor]) -> Ends:
    """Return ends of which at most the batch is free."""
    fixed = tuple(
        TensorSpec(spec.name, (*spec.shape[:1], *value.shape[1:]), spec.dtype)
        for spec, value in zip(ends.inputs, inputs, strict=True)
    )
    if fixed == ends.inputs:
        return ends
    batch_only = (
        TensorSpec(spec.name, (*spec.shape[:1], *(0,) * len(spec.shape[1:])), spec.dtype)
        for spec in ends.outputs
    )
    return Ends(fixed, tuple(batch_only))


def draft(module: nn.Module, example: object) -> bytes:
    """Return a module's ONNX graph without the proof that it computes the same: to time, never to give out.

    Args:
        module: as for `export`.
        example: as for `export`.

    Raises:
        ConfigError: as `export`.
    """
    copied, inputs = _copy_for_export(module, example)
    result = result_of(copied, inputs)
    plain = copied if is_plain(result) else _Tuple(copied).eval()
    return _to_onnx(plain, inputs, ends_of(copied, inputs, result), {})


def outline(module: nn.Module, example: object) -> onnx.ModelProto:
    """Return a module's ONNX graph without its weights: they are inputs of the graph, by their own names.

    The module is neither copied nor changed, and no weight is read; two that share memory are one input.

    Args:
        module: in evaluation mode.
        example: as for `export`.

    Raises:
        ConfigError: training mode, or a module that the tracing exporter cannot write.
    """
    check_evaluating(module, "outline a module")
    inputs = examples(example)
    ends = ends_of(module, inputs, result_of(module, inputs))
    try:
        model = _trace(module, inputs, ends, weights=False)
    except Exception as error:  # an exporter of torch's may raise whatever it likes
        reason = f"torch's tracing exporter cannot write it ({_reason(error)})"
        raise ConfigError("outline a module", reason, "Export it with its weights") from error
    fold_constants(model)
    return model


def _copy_for_export(module: nn.Module, example: object) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    check_evaluating(module, ASKED)
    _check_weights(module)
    try:
        copied = copy.deepcopy(module).cpu().requires_grad_(False)
    except Exception as error:  # a module of the user's may copy itself as it likes
        raise ConfigError(
            ASKED,
            f"it cannot be copied ({first_line(error)})",
            "Give a module as it was before torch.jit",
        ) from error
    return copied, examples(example)


def _check_weights(module: nn.Module) -> None:
    size = 0
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if torch.nn.parameter.is_lazy(value):
            raise ConfigError(ASKED, f"{name} does not know its size yet", "Run the network once on an input")
        if value.is_meta:
            raise ConfigError(ASKED, f"{name} is on the device meta, without values", "Load its weights")
        if value.is_floating_point() and value.dtype != torch.float32:
            raise ConfigError(
                ASKED, f"{name} is {value.dtype}", "Cast it first: copy.deepcopy(module).float()"
            )
        size += value.numel() * value.element_size()
    if size > LARGEST_BYTES:
        raise ConfigError(
            ASKED,
            f"its weights take {size / 2**30:.2f} GiB, and an ONNX file in one piece holds 2 GiB",
            "Export its parts one by one, or make it smaller",
        )


def _to_onnx(
    module: nn.Module, inputs: tuple[torch.Tensor, ...], ends: Ends, metadata: Mapping[str, str]
) -> bytes:
    return _clean(_write(module, inputs, ends), ends, metadata)


def _write(module: nn.Module, inputs: tuple[torch.Tensor, ...], ends: Ends) -> onnx.ModelProto:
    try:
        return _trace(module, inputs, ends)
    except Exception as error:  # noqa: BLE001  # an exporter of torch's may raise whatever it likes
        first = error
    try:
        return _capture(module, inputs, ends)
    except Exception as error:  # as above
        raise ConfigError(
            ASKED,
            f"neither exporter of torch can write it ({_reason(first)}; {_reason(error)})",
            "Replace the op that is named, or give an example of the right shape",
        ) from error


def _free_axes(ends: Ends) -> dict[str, dict[int, str]]:
    """Return the free sizes by end and axis, each with a name: that of the batch is one for all."""
    return {
        spec.name: {
            axis: "batch" if axis == 0 else f"{spec.name}_{axis}"
            for axis, size in enumerate(spec.shape)
            if size is None
        }
        for spec in (*ends.inputs, *ends.outputs)
    }


def _trace(
    module: nn.Module, inputs: tuple[torch.Tensor, ...], ends: Ends, *, weights: bool = True
) -> onnx.ModelProto:
    buffer: Any = io.BytesIO()  # accepted, though torch annotates paths only
    with _silence() as caught:
        torch.onnx.export(
            module,
            inputs,
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=[spec.name for spec in ends.inputs],
            output_names=[spec.name for spec in ends.outputs],
            dynamic_axes=_free_axes(ends),
            export_params=weights,
            do_constant_folding=weights,
        )
    frozen = [str(warning.message) for warning in caught if CONSTANT not in str(warning.message)]
    if frozen:
        # A branch or a number that depends on the input was frozen as the example has it.
        raise RuntimeError(frozen[0])
    return onnx.load_from_string(buffer.getvalue())


def _capture(module: nn.Module, inputs: tuple[torch.Tensor, ...], ends: Ends) -> onnx.ModelProto:
    # A batch of 1 would be taken for a constant: repeat it, where it is free.
    free = [spec.shape[:1] == (None,) for spec in ends.inputs]
    batched = tuple(
        value.repeat_interleave(2, dim=0) if value.shape[0] == 1 and is_free else value
        for value, is_free in zip(inputs, free, strict=True)
    )
    batch = torch.export.Dim("batch")
    with _silence():
        program = torch.onnx.export(
            module,
            batched,
            dynamo=True,
            verbose=False,
            opset_version=OPSET + 1,  # the oldest that this exporter writes without converting
            input_names=[spec.name for spec in ends.inputs],
            output_names=[spec.name for spec in ends.outputs],
            dynamic_shapes=_dynamic_shapes(module, ends, batch),
        )
    if program is None:
        raise RuntimeError("torch's exporter returned nothing")
    return program.model_proto


def _dynamic_shapes(module: nn.Module, ends: Ends, batch: Any) -> tuple[Any, ...]:
    sizes = tuple(
        {
            axis: batch if axis == 0 else torch.export.Dim.DYNAMIC
            for axis, size in enumerate(spec.shape)
            if size is None
        }
        for spec in ends.inputs
    )
    kinds = {parameter.kind for parameter in inspect.signature(module.forward).parameters.values()}
    return (sizes,) if inspect.Parameter.VAR_POSITIONAL in kinds else sizes  # one `*inputs` takes them all


def _clean(model: onnx.ModelProto, ends: Ends, metadata: Mapping[str, str]) -> bytes:
    """Fold constants, drop what tells of the machine (source paths in traces), add the metadata."""
    fold_constants(model)
    for item in [model.graph, *model.graph.node, *model.graph.input, *model.graph.output]:
        item.doc_string = ""
        del item.metadata_props[:]
    for value in [*model.graph.value_info, *model.graph.initializer]:
        del value.metadata_props[:]
    model.doc_string = ""
    _keep_inputs(model.graph, ends)
    onnx.helper.set_model_props(model, dict(metadata))
    try:
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
    except Exception as error:  # of onnx and protocol buffers, which share no base
        raise ConfigError(
            ASKED, f"torch wrote no valid model ({_reason(error)})", "Replace the op that is named"
        ) from error
    return content


def _keep_inputs(graph: onnx.GraphProto, ends: Ends) -> None:
    """Declare inputs that nothing reads: the exporters drop them, and whoever feeds the file has them."""
    declared = {value.name: value for value in graph.input}
    if {*declared} == {spec.name for spec in ends.inputs}:
        return
    free = _free_axes(ends)
    values = [
        declared.get(spec.name)
        or onnx.helper.make_tensor_value_info(
            spec.name,
            onnx.helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)),
            [free[spec.name].get(axis, size) for axis, size in enumerate(spec.shape)],
        )
        for spec in ends.inputs
    ]
    del graph.input[:]
    graph.input.extend(values)


@contextlib.contextmanager
def _silence() -> Iterator[list[warnings.WarningMessage]]:
    """Keep torch's exporters quiet; yield the list of the tracer's warnings."""
    logger = logging.getLogger("torch.onnx")
    before, switch = logger.level, torch._C._jit_set_onnx_log_enabled
    logger.setLevel(logging.CRITICAL)
    # The tracing exporter turns this log on always (it tests a function for truth), and then prints the
    # whole graph past Python's own streams when it fails.
    torch._C._jit_set_onnx_log_enabled = lambda enabled: None
    try:
        with (
            warnings.catch_warnings(record=True) as caught,
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", TracerWarning)
            # Those of torch's own modules do not count: they know what they do.
            TracerWarning.ignore_lib_warnings()  # type: ignore[no-untyped-call]
            yield caught
    finally:
        torch._C._jit_set_onnx_log_enabled = switch
        logger.setLevel(before)


def _reason(error: BaseException) -> str:
    """Return why an exporter failed: the first line of what went wrong at its root, and the node's name."""
    texts = [str(error)]
    while error.__cause__ is not None:
        error = error.__cause__
        texts.append(str(error))
    node = next((match[1] for text in texts if (match := NODE.search(text))), None)
    line = first_line(error)
    return f"{line}, at node {node}" if node and node not in line else line

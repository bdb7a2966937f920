"""Write a module as an ONNX graph with a free batch, proved equal to the module before it is given out."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, overload

import numpy as np
import onnx
import torch
from torch import nn
from torch.jit import TracerWarning  # type: ignore[attr-defined]

from juggler.errors import ConfigError, JugglerError, ParityError, first_line
from juggler.files import write_atomically
from juggler.runtime.backends.onnxruntime import BACKEND as ONNX_RUNTIME
from juggler.runtime.modules import check_evaluating, end_names, examples, outputs_of, try_example
from juggler.runtime.onnx_graphs.constants import fold_constants
from juggler.runtime.session import Source

OPSET = 17  # the newest that the tracing exporter writes without converting; every runtime here reads it
PARITY_LIMIT = 1e-5
PARITY_BATCHES = (1, 3)


@overload
def export(
    module: nn.Module, example: object, path: None = None, *, metadata: Mapping[str, str] = ...
) -> bytes: ...
@overload
def export(
    module: nn.Module, example: object, path: str | Path, *, metadata: Mapping[str, str] = ...
) -> Path: ...


def export(
    module: nn.Module,
    example: object,
    path: str | Path | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
) -> bytes | Path:
    """Export a module to ONNX; the first size of every input and output is free.

    One input is called `input`, one output `output`; several are numbered. The module is not changed. The
    tracing exporter is used: for a plain chain it writes exactly Conv, Relu, ... Flatten and Gemm, where
    the newer one writes reductions and reshapes; what it cannot trace goes to the newer one.

    Args:
        module: in evaluation mode, with float32 parameters.
        example: a tensor or an array or a tuple of them, batch first.
        path: where to write; written whole or not at all. None returns the bytes.
        metadata: texts to keep in the model's metadata.

    Returns:
        The path, or the bytes where no path was given.

    Raises:
        ConfigError: training mode, parameters that are not float32, or a module that cannot be exported,
            such as one that branches on what its input holds.
        ParityError: ONNX Runtime computes something else from the graph, at batch 1 or 3.
    """
    copied, inputs = _copy_for_export(module, example)
    model = _to_onnx(copied, inputs, metadata or {})
    _check_parity(copied, inputs, model)
    return model if path is None else write_atomically(Path(path), model)


def draft(module: nn.Module, example: object) -> bytes:
    """Return a module's ONNX graph without the proof that it computes the same: to time, never to give out.

    Args:
        module: as for `export`.
        example: as for `export`.

    Raises:
        ConfigError: as `export`.
    """
    return _to_onnx(*_copy_for_export(module, example), {})


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
    outputs = try_example(module, inputs)
    ends = end_names("input", len(inputs)), end_names("output", len(outputs))
    try:
        model = _trace(module, inputs, *ends, weights=False)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = f"torch's tracing exporter cannot write it ({first_line(error)})"
        raise ConfigError("outline a module", reason, "Export it with its weights") from error
    fold_constants(model)
    return model


def _copy_for_export(module: nn.Module, example: object) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    check_evaluating(module, "export a module")
    copied = copy.deepcopy(module).cpu().requires_grad_(False)
    _check_precision(copied)
    return copied, examples(example)


def _to_onnx(module: nn.Module, inputs: tuple[torch.Tensor, ...], metadata: Mapping[str, str]) -> bytes:
    names = end_names("input", len(inputs)), end_names("output", len(try_example(module, inputs)))
    return _clean(_write(module, inputs, *names), metadata)


def _check_precision(module: nn.Module) -> None:
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_floating_point() and value.dtype != torch.float32:
            raise ConfigError(
                "export a module", f"{name} is {value.dtype}", "Cast it first: copy.deepcopy(module).float()"
            )


def _write(
    module: nn.Module, inputs: tuple[torch.Tensor, ...], input_names: list[str], output_names: list[str]
) -> onnx.ModelProto:
    try:
        return _trace(module, inputs, input_names, output_names)
    except (RuntimeError, ValueError, TypeError) as error:  # torch's exporter errors are RuntimeErrors
        first = error
    try:
        return _capture(module, inputs, input_names, output_names)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ConfigError(
            "export a module",
            f"neither exporter of torch can write it ({first_line(first)}; {first_line(error)})",
            "Replace the op that is named, or give an example of the right shape",
        ) from error


def _trace(
    module: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    input_names: list[str],
    output_names: list[str],
    *,
    weights: bool = True,
) -> onnx.ModelProto:
    buffer: Any = io.BytesIO()  # accepted, though torch annotates paths only
    with _silence() as caught:
        torch.onnx.export(
            module,
            inputs,
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=input_names,
            output_names=output_names,
            dynamic_axes={name: {0: "batch"} for name in [*input_names, *output_names]},
            export_params=weights,
            do_constant_folding=weights,
        )
    if caught:
        # A branch or a number that depends on the input was frozen as the example has it.
        raise RuntimeError(str(caught[0].message))
    return onnx.load_from_string(buffer.getvalue())


def _capture(
    module: nn.Module, inputs: tuple[torch.Tensor, ...], input_names: list[str], output_names: list[str]
) -> onnx.ModelProto:
    # A batch of 1 would be taken for a constant: repeat it.
    batched = tuple(value.repeat_interleave(2, dim=0) if value.shape[0] == 1 else value for value in inputs)
    with _silence():
        program = torch.onnx.export(
            module,
            batched,
            dynamo=True,
            verbose=False,
            opset_version=OPSET + 1,  # the oldest that this exporter writes without converting
            input_names=input_names,
            output_names=output_names,
            dynamic_shapes=tuple({0: torch.export.Dim("batch")} for _ in batched),
        )
    if program is None:
        raise RuntimeError("torch's exporter returned nothing")
    return program.model_proto


def _clean(model: onnx.ModelProto, metadata: Mapping[str, str]) -> bytes:
    """Fold constants, drop what tells of the machine (source paths in traces), add the metadata."""
    fold_constants(model)
    for item in [model.graph, *model.graph.node, *model.graph.input, *model.graph.output]:
        item.doc_string = ""
        del item.metadata_props[:]
    for value in [*model.graph.value_info, *model.graph.initializer]:
        del value.metadata_props[:]
    model.doc_string = ""
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _check_parity(module: nn.Module, inputs: tuple[torch.Tensor, ...], model: bytes) -> None:
    """Compare the graph on ONNX Runtime with the module on random inputs."""
    generator = torch.Generator().manual_seed(0)
    request = "export a module and compare the graph with it"
    remedy = "Nothing was written. Look for sizes or values that the module computes from its example"
    try:
        with ONNX_RUNTIME.open(Source(graph=model), threads=None) as session:
            for batch in PARITY_BATCHES:
                batch_inputs = tuple(_like(value, batch, generator) for value in inputs)
                expected = outputs_of(module, batch_inputs)
                outputs = session.run(*(value.numpy() for value in batch_inputs))
                for want, have in zip(expected, outputs, strict=True):
                    error = _relative_error(want.numpy(), have)
                    if not error <= PARITY_LIMIT:
                        text = f"a relative error of {error:.3g} at batch {batch}, beyond {PARITY_LIMIT:g}"
                        raise ParityError(request, text, remedy)
    except ParityError:
        raise
    except JugglerError as error:
        raise ParityError(request, f"the graph does not run ({error.found})", remedy) from error


def _like(value: torch.Tensor, batch: int, generator: torch.Generator) -> torch.Tensor:
    """Draw an input of the example's kind: normal if it is floating, else rows of the example."""
    if value.is_floating_point():
        return torch.randn((batch, *value.shape[1:]), generator=generator, dtype=value.dtype)
    return value[torch.randint(value.shape[0], (batch,), generator=generator)]


def _relative_error(expected: Any, outputs: Any) -> float:
    if expected.shape != outputs.shape or not np.isfinite(expected).all():
        return float("inf")
    scale = float(np.abs(expected).max()) or 1.0
    return float(np.abs(expected - outputs).max()) / scale


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

"""NNCF, OpenVINO's tool: scales from the ranges of each feature, biases mended for what rounding shifts.

It quantises the ONNX graph itself, not OpenVINO's own form of it: the result stays one file that every
backend opens, with the metadata that it had, where OpenVINO's form is two files with no place for them.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from juggler.extras import install_command
from juggler.packages import BackendStatus, status_of
from juggler.runtime.session import Array

QUIET = "NNCF_CI"  # with it in the environment while it is imported, NNCF reports nothing to its makers
LOGGER = "nncf"


class Nncf:
    """Writes QDQ graphs with `nncf.quantize`."""

    name = "nncf"
    backend = "openvino"

    def status(self) -> BackendStatus:
        """Say whether NNCF, and the onnx package, which it needs for such graphs, are installed."""
        return status_of({"nncf": "nncf", "onnx": "onnx", "openvino": "openvino"}, install_command("int8"))

    def quantize(
        self,
        model: Any,
        feeds: Sequence[dict[str, Array]],
        *,
        float_layers: Sequence[str],
        reduce_range: bool,
    ) -> Any:
        """Calibrate and quantise; NNCF's own choice of symmetric scales, which OpenVINO runs fastest."""
        with _silence():
            import nncf  # noqa: PLC0415
            from nncf.quantization.advanced_parameters import (  # noqa: PLC0415
                AdvancedQuantizationParameters,
                OverflowFix,
            )

            return nncf.quantize(
                model,
                nncf.Dataset(list(feeds)),
                subset_size=len(feeds),
                ignored_scope=nncf.IgnoredScope(names=list(float_layers)) if float_layers else None,
                advanced_parameters=AdvancedQuantizationParameters(
                    overflow_fix=OverflowFix.ENABLE if reduce_range else OverflowFix.DISABLE
                ),
            )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep NNCF from printing bars, from logging, and from reporting its use."""
    before = os.environ.get(QUIET)
    os.environ[QUIET] = before or "1"
    logger = logging.getLogger(LOGGER)
    was_disabled, logger.disabled = logger.disabled, True
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.disabled = was_disabled
        if before is None:
            del os.environ[QUIET]


QUANTIZER = Nncf()

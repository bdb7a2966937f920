"""Write a flat network as ONNX, in float32 and in int8, its certificate in the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from juggler.files import write_atomically
from juggler.runtime.export import export
from juggler.runtime.int8.certified import CERTIFICATE, quantize_certified

if TYPE_CHECKING:
    from torch import Tensor

    from juggler.transform import Flattened


def ship(done: Flattened, example: Tensor, path: str | Path, *, int8: Tensor | None = None) -> Iterator[str]:
    """Write `PATH`, and `PATH-int8.onnx` where inputs to calibrate on are given; yield a line a file.

    Args:
        done: what `flatten` gave.
        example: one input, batch first.
        path: where to write the network in float32.
        int8: real inputs, `[n, ...]`; some of them are held out to compare the answers on.

    Raises:
        ConfigError: inputs that cannot work, or a network that cannot be exported.
        Refused: int8 is not near enough to float32.
        ParityError: ONNX Runtime computes something else than the network.
    """
    path = Path(path)
    flat = export(done.model, example, path, metadata={CERTIFICATE: done.certificate.to_json()})
    yield str(flat)
    if int8 is None:
        return
    found = quantize_certified(flat, int8.numpy())
    record = found.record
    written = write_atomically(path.with_name(f"{path.stem}-int8.onnx"), found.graph)
    noise = "the same answers" if record.signal_to_noise_db is None else f"{record.signal_to_noise_db:.0f} dB"
    classes = (
        f", {record.classes_agreed} of {record.classes_compared} classes" if record.classes_compared else ""
    )
    yield f"{written} (int8: {noise}{classes}, on {record.checked} inputs held out)"

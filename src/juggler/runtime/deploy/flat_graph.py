"""Prove a flat network and write it as ONNX, in float32 and in int8, its certificate in the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from torch import Tensor, nn

from juggler.errors import Refused
from juggler.files import write_atomically
from juggler.nouns import Rewrite
from juggler.runtime.export import export
from juggler.runtime.int8.certified import CERTIFICATE, quantize_certified
from juggler.transform import Flattened, flatten


def flatten_proved(
    network: nn.Module, inputs: Tensor, subject: str, on_rewrite: Callable[[Rewrite], None] | None = None
) -> Flattened:
    """Flatten a network that is to be deployed, and refuse it where the proof fails.

    Args:
        network: as trained.
        inputs: real inputs, `[n, ...]`, on which the flat network must give the wide one's class.
        subject: what is deployed, for the refusal.
        on_rewrite: called with each rewrite as it is made.

    Raises:
        Refused: the certificate does not pass, or the network cannot be flattened.
    """
    flattened = flatten(network, inputs[:1].clone(), inputs=inputs, on_rewrite=on_rewrite)
    if not flattened.certificate.passed:
        raise Refused(
            f"deploy {subject}",
            "its certificate does not pass",
            "See the certificate's checks; a network that overflows in float32 is the usual cause",
        )
    return flattened


def export_flat(flattened: Flattened, example: Tensor, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return a flat network as ONNX, with its certificate and other metadata in it.

    Raises:
        ConfigError: a network that cannot be exported.
        ParityError: ONNX Runtime computes something else than the network.
    """
    proof = {CERTIFICATE: flattened.certificate.to_json()}
    return export(flattened.model, example, metadata=proof | dict(metadata or {}))


def ship(
    flattened: Flattened, example: Tensor, path: str | Path, *, int8: Tensor | None = None
) -> Iterator[str]:
    """Write `PATH`, and `PATH-int8.onnx` where inputs to calibrate on are given; yield a line a file.

    Args:
        flattened: what `flatten` gave.
        example: one input, batch first.
        path: where to write the network in float32.
        int8: real inputs, `[n, ...]`; some of them are held out to compare the answers on.

    Raises:
        ConfigError: inputs that cannot work, or a network that cannot be exported.
        Refused: int8 is not near enough to float32.
        ParityError: ONNX Runtime computes something else than the network.
    """
    path = write_atomically(Path(path), export_flat(flattened, example))
    yield str(path)
    if int8 is None:
        return
    quantized = quantize_certified(path, int8.numpy())
    record = quantized.record
    int8_path = write_atomically(path.with_name(f"{path.stem}-int8.onnx"), quantized.graph)
    noise = "the same answers" if record.signal_to_noise_db is None else f"{record.signal_to_noise_db:.0f} dB"
    classes = (
        f", {record.classes_agreed} of {record.classes_compared} classes" if record.classes_compared else ""
    )
    yield f"{int8_path} (int8: {noise}{classes}, on {record.checked} inputs held out)"

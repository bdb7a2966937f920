"""Read and write an ONNX model's metadata without the onnx package.

An ONNX file is one protobuf message, `ModelProto`; its metadata are the repeated field 14, each entry a
message of a key (field 1) and a value (field 2). Everything else is carried over byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping

from juggler.errors import ArtefactError
from juggler.reading.messages import field, fields

METADATA_FIELD = 14
KEY_FIELD, VALUE_FIELD = 1, 2
MOST_FIELDS = 100_000  # of the model itself, which has a dozen


def split(model: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the model without its metadata, and the metadata.

    Raises:
        ArtefactError: the bytes are no protobuf message, or end too early.
    """
    rest, metadata = [], {}
    try:
        for count, (number, start, content, end) in enumerate(fields(model)):
            if count >= MOST_FIELDS:
                raise ValueError(f"more than {MOST_FIELDS:,} fields")
            if number != METADATA_FIELD:
                rest.append(model[start:end])
                continue
            entry = {part: model[begin:stop] for part, _, begin, stop in fields(model, content, end)}
            metadata[entry.get(KEY_FIELD, b"").decode()] = entry.get(VALUE_FIELD, b"").decode()
    except UnicodeDecodeError as error:
        raise _damaged("its metadata are no text") from error
    except ValueError as error:
        raise _damaged(str(error)) from error
    return b"".join(rest), metadata


def join(model: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return the model with these metadata in place of its own."""
    rest, _ = split(model)
    entries = [
        field(METADATA_FIELD, field(KEY_FIELD, key.encode()) + field(VALUE_FIELD, text.encode()))
        for key, text in metadata.items()
    ]
    return rest + b"".join(entries)


def _damaged(reason: str) -> ArtefactError:
    return ArtefactError(
        "read an ONNX model", f"it is damaged, cut short, or something else: {reason}", "Export it again"
    )

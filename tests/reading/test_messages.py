"""The wire format of protocol buffers: what is written is read again, and damage is said."""

from __future__ import annotations

import onnx
import pytest

from juggler.reading.messages import field, fields

MESSAGE = field(1, b"key") + b"\x10\x96\x01" + b"\x1d" + bytes(4) + b"\x21" + bytes(8) + field(15, b"x" * 300)


def test_fields_are_read_as_they_were_written():
    assert [number for number, *_ in fields(MESSAGE)] == [1, 2, 3, 4, 15]
    (_, _, content, end), *_ = fields(MESSAGE)
    assert MESSAGE[content:end] == b"key"
    assert b"".join(MESSAGE[start:end] for _, start, _, end in fields(MESSAGE)) == MESSAGE
    assert [number for number, *_ in fields(b"??" + MESSAGE + b"??", 2, 2 + len(MESSAGE))] == [1, 2, 3, 4, 15]


def test_it_reads_what_the_protobuf_package_writes():
    model = onnx.ModelProto(producer_name="a name", ir_version=9)
    written = model.SerializeToString()
    texts = {number: written[content:end] for number, _, content, end in fields(written)}
    assert texts[onnx.ModelProto.PRODUCER_NAME_FIELD_NUMBER] == b"a name"


@pytest.mark.parametrize("length", range(1, len(MESSAGE)))
def test_a_message_cut_off_ends_at_a_field_or_is_refused(length):
    ends = {end for *_, end in fields(MESSAGE)}
    if length in ends:
        assert list(fields(MESSAGE[:length])) == [part for part in fields(MESSAGE) if part[3] <= length]
    else:
        with pytest.raises(ValueError, match=r"does not end|ends within a number"):
            list(fields(MESSAGE[:length]))


@pytest.mark.parametrize("damaged", [b"\x0b", b"\x02\x00", b"\xff" * 11])
def test_what_is_no_message_is_refused(damaged):
    with pytest.raises(ValueError, match=r"begins no field|does not end|within a number"):
        list(fields(damaged))

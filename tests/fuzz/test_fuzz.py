"""A short run of the fuzzer, which `make fuzz MINUTES=30` does at length; and the fuzzer itself."""

from __future__ import annotations

import json
from random import Random

import pytest

from fuzz import mutations
from fuzz.driver import Outcome, fuzz, signature_of
from fuzz.targets import TARGETS, Target, changed

SECONDS = 25.0


def test_no_reader_ends_in_anything_but_an_error_of_the_house(tmp_path):
    outcome = fuzz(sorted(TARGETS), SECONDS, seeds=tmp_path)
    assert outcome.faults == {}
    assert {*outcome.counts} == {*TARGETS}
    ends = sum(
        (counts for counts in outcome.counts.values()), start=type(next(iter(outcome.counts.values())))()
    )
    assert ends["refused"] > 0 < ends["read"]


def test_a_number_gives_the_same_file_again():
    target = Target("a", "a.json", lambda: [b'{"a": [1, 2]}'], lambda path: None, (mutations.json_text,))
    files = [changed(target, target.seeds(), number, 7) for number in range(300)]
    assert files == [changed(target, target.seeds(), number, 7) for number in range(300)]
    assert len({*files}) > 150
    assert max(map(len, files)) <= mutations.LARGEST


@pytest.mark.parametrize(
    "name", ["plain", "ends", "lines", "json_text", "npy", "tensors", "archive", "messages", "png", "pickled"]
)
def test_a_mutation_takes_any_bytes(name):
    mutation = getattr(mutations, name)
    for number in range(40):
        draw = Random(number)
        assert isinstance(mutation(draw, draw.randbytes(draw.randrange(200))), bytes)


def test_a_message_keeps_its_lengths_right():
    inner = mutations._field(1, 2, b"abc") + mutations._field(2, 0, b"\x05")
    parts = mutations._fields(mutations._field(7, 2, inner))
    assert parts == [(7, 2, inner)]
    assert mutations._fields(inner) == [(1, 2, b"abc"), (2, 0, b"\x05")]
    assert mutations._fields(b"\xff\xff") == []


def test_faults_are_counted_by_what_they_have_in_common():
    outcome = Outcome()
    trace = 'File "/x/juggler/data/parse.py", line 5\nValueError: 1'
    outcome.add("a", 1, "exception", trace)
    outcome.add("a", 2, "exception", trace.replace("1", "2"))
    outcome.add("a", 3, "refused", "")
    assert [fault["times"] for fault in outcome.faults.values()] == [2]
    assert "data/parse.py" in signature_of(trace)
    json.dumps(outcome.faults)

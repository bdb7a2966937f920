"""`juggler sign`, and what `juggler detect --trust` takes."""

from __future__ import annotations

import shutil

from juggler.runtime.artefact import shipped


def test_a_plant_takes_only_what_the_owner_signed(program, elsewhere):
    shutil.copy(shipped("nsl_kdd.onnx"), elsewhere / "a.onnx")
    (elsewhere / "records.csv").write_bytes(b"")
    detect = ("detect", "records.csv", "--artefact", "a.onnx", "--trust", "plant.key.pub", "--sink", "null")
    program("sign", "--new-key", "plant.key").check(0)
    program(*detect).check(4, "it is not signed")
    assert program("sign", "a.onnx", "--key", "plant.key").check(0).out.strip().endswith("a.onnx.signature")
    assert "trust" not in program(*detect).err
    (elsewhere / "a.onnx").write_bytes((elsewhere / "a.onnx").read_bytes() + b"\x72\x00")
    program(*detect).check(4, "changed after it was signed")


def test_what_is_lacking_is_told(program, elsewhere):
    program("sign").check(2, "no artefact")
    program("sign", "missing.onnx").check(2, "no key")
    program("sign", "missing.onnx", "--key", "missing.key").check(4, "missing.onnx")

import dataclasses

import pytest

from juggler.errors import ArtefactError
from juggler.nouns import Alert, Certificate, Check, Skipped


def certificate(**changes):
    check = Check("actual", "float64", (1, 3, 7, 9), 1e-15, None, 2e-15)
    base = Certificate("a", "b", (check,), 3, 3, {"float64": 1e-12}, {"torch": "x"}, ("8x8",))
    return dataclasses.replace(base, **changes)


def test_a_noun_survives_json():
    assert Certificate.from_json(certificate().to_json()) == certificate()
    alert = Alert(
        1, "2026-01-01T00:00:00.000000+0000", "opened", "dos", 0.9, 0.5, 1, 1, 1, weighed={"flag": 0.2}
    )
    assert Alert.from_json(alert.to_json()) == alert


@pytest.mark.parametrize("text", ["[]", "{", "{}", '{"nonsense": 1}'])
def test_a_noun_refuses_what_it_is_not(text):
    with pytest.raises(ArtefactError, match="read a Certificate"):
        Certificate.from_json(text)


def test_a_certificate_passes_only_within_its_limits():
    assert certificate().passed
    assert not certificate(checks=()).passed
    assert not certificate(classes_agreed=2).passed
    bad = Check("actual", "float64", (1,), 1e-15, 1e-3, 0.0)
    assert not certificate(checks=(bad,)).passed
    assert certificate(checks=(bad,)).worst("float64") == 1e-3


@pytest.mark.parametrize("field", ["inside", "border", "output"])
def test_nan_never_passes(field):
    bad = dataclasses.replace(Check("actual", "float64", (1,), 0.0, 0.0, 0.0), **{field: float("nan")})
    assert not certificate(checks=(bad,)).passed
    with pytest.raises(ValueError, match="JSON"):
        certificate(checks=(bad,)).to_json()


@pytest.mark.parametrize(
    ("written", "skipped"),
    [
        ({"what": "bfloat16 on openvino", "why": "no AMX"}, Skipped("bfloat16 on openvino", "no AMX")),
        ({"title": "VGG16", "why": "not here", "remedy": "pip"}, Skipped("VGG16", "not here", "pip")),
        (
            {"backend": "tensorrt", "missing": "no GPU", "remedy": "use one", "precision": None},
            Skipped("tensorrt", "no GPU", "use one"),
        ),
        (
            {"backend": "torch_eager", "missing": "no kernels", "remedy": "x", "precision": "int8"},
            Skipped("torch_eager in int8", "no kernels", "x"),
        ),
    ],
)
def test_what_0_1_0_wrote_of_what_it_skipped_is_read(written, skipped):
    assert Skipped.from_dict(written) == skipped == Skipped.from_json(skipped.to_json())
    with pytest.warns(DeprecationWarning, match="is now reason"):
        assert skipped.missing == skipped.reason

import pytest

from juggler.survey import Amount
from juggler.survey.verdict import array_of, chosen_precision, compromise, front, pick, verdict, why
from made_up_survey import made_up, made_up_survey


def quoted(top1):
    return Amount(top1, "quoted", "somebody")


def test_the_least_energy_times_cycles_within_three_points_is_recommended():
    accurate = made_up("accurate", quoted(80.0), 2000, (30.0, 90.0))
    close = made_up("close", quoted(77.0), 1000, (30.0, 90.0))
    cheap = made_up("cheap", quoted(76.9), 10, (1.0, 3.0))
    assert pick([accurate, close, cheap]).name == "close"
    for one in (accurate, close, cheap):
        one.cycles_on.update(accurate=2000, close=2000, cheap=2000)
    lines = verdict([accurate, close, cheap], 128)
    assert lines[0].startswith("Take close on an array of 16 × 8, weight-stationary, at 8 bits")
    assert "3.0 points below the most accurate, accurate" in lines[0]
    assert "was not measured" in lines[0]


def test_what_another_beats_in_everything_is_not_on_the_front():
    found = made_up_survey().networks[:2]
    assert [one.name for one in front(found)] == ["best"]
    even = made_up("even", quoted(75.5), 1000)
    assert len(front([made_up("twin", quoted(75.5), 1000), even])) == 2, "equals do not beat each other"


@pytest.mark.parametrize(("lost", "bits"), [(0.9, 8), (1.1, 32)])
def test_a_width_that_loses_more_than_a_point_is_not_chosen(lost, bits):
    one = made_up("net", quoted(70.0), 9, loss=Amount(lost, "measured", "pictures"))
    assert chosen_precision(one).bits == bits


def test_one_array_for_all_has_the_least_geometric_mean():
    # On its own array each takes 1; a takes 2 on b's, b takes 8 on a's: means are sqrt(8) and sqrt(2).
    a, b = (made_up(name, quoted(70.0), 1) for name in "ab")
    a.cycles_on.update(a=1, b=2)
    b.cycles_on.update(a=8, b=1)
    owner, mean = compromise([a, b])
    assert owner.name == "b"
    assert mean == pytest.approx(2**0.5)


def test_the_reason_is_told_where_a_kind_takes_more_than_its_share():
    assert why(made_up("net", quoted(1.0), 9)) == (
        "60 % of its cycles go to linear layers, which do 10 % of its work: at batch 1 they pass one row "
        "through an array that has to be filled for it."
    )
    assert array_of(made_up("net", quoted(1.0), 9)) == "16 × 8, weight-stationary"


def test_without_accuracies_nothing_is_recommended():
    unknown = [made_up(name, Amount.none("none"), 9) for name in "ab"]
    for one in unknown:
        one.cycles_on.update(a=9, b=9)
    lines = verdict(unknown, 128)
    assert "none can be recommended" in lines[0]
    assert not any("Take " in line for line in lines)


def test_measured_losses_and_networks_without_accuracy_are_named():
    text = " ".join(made_up_survey().verdict)
    assert "Measured points of top-1 accuracy lost at 8 bits: best +0.5." in text
    assert "no accuracy of theirs is known: unknown." in text
    assert "Beaten on all three by another: beaten" in text
    assert "8 bits take 4.0 times less energy than 32 bits" in text

"""Experiments, raced for real on small networks; and all that the paper's own say without being run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from torch import nn

from juggler.errors import ConfigError, Unavailable
from juggler.reproduce.counting import count
from juggler.reproduce.experiment import EXPERIMENTS, Pair, Prepared, Race, Scale
from juggler.reproduce.experiments.merge_penalty import EXPERIMENT as MERGE_PENALTY
from juggler.reproduce.networks import exported, randomised
from juggler.reproduce.results import Published, Reproduction
from juggler.reproduce.run import Options, experiments, reproduce

SCALES = [Scale(False, ("onnxruntime", "torch_compile")), Scale(True, ("onnxruntime", "torch_compile"))]


@dataclass
class Small:
    """Two tiny networks in two cells; counts how often it made them."""

    name: str = "small"
    title: str = "Small: two networks"
    paper_rounds: int = 7
    minutes: float = 0.01
    memory: bool = False
    published: tuple[Published, ...] = (Published("one", "a machine", "latency_ms", 1.0, "nowhere"),)
    made: list[str] = field(default_factory=list)

    def races(self, scale):
        return [self.race(batch) for batch in (1, 2)]

    def race(self, batch):
        def prepare():
            self.made.append(f"batch {batch}")
            one = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU())
            two = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1))
            subjects = {
                "one": exported(randomised(one, 0), (2, 8, 8)),
                "two": exported(randomised(two, 0), (2, 9, 9)),
            }
            return Prepared(subjects, ("drawn",))

        pairs = (Pair("two", "one"), Pair("two", "two", 2, 1))
        return Race(
            f"batch {batch}",
            {"batch": batch},
            prepare,
            pairs,
            1.0,
            batches=(1, batch)[-batch:],
            memory=batch == 1 and self.memory,
        )


@pytest.fixture
def small(monkeypatch):
    one = Small()
    monkeypatch.setattr(EXPERIMENTS, "get", lambda name: one)
    return one


QUICK = Options(most_rounds=6, warmup_s=0.01, ceiling_sides=(32,), copy_bytes=4096)
OPTIONS = replace(QUICK, backends=("onnxruntime", "torch_eager"))


def test_a_run_races_keeps_and_reports(small, tmp_path):
    small.memory, told = True, []
    (result,) = reproduce(["small"], tmp_path, OPTIONS, progress=told.append)
    assert Reproduction.from_json(result.to_json()) == result
    first, second = result.cells
    assert [(r.subject, r.backend, r.batch) for r in first.rows] == [
        ("one", "onnxruntime", 1),
        ("one", "torch_eager", 1),
        ("two", "onnxruntime", 1),
        ("two", "torch_eager", 1),
    ]
    row = first.rows[0]
    assert 0.0 < row.min_ms <= row.median_ms <= row.p95_ms <= row.p99_ms
    assert row.gmac_per_s == pytest.approx(first.shapes["one"].macs / row.median_ms / 1e6)
    assert row.ceiling_share == pytest.approx(2 * row.gmac_per_s / first.ceilings["float32"])
    assert row.process_mib is not None
    assert first.rounds >= 6
    assert first.checks == ("drawn",)
    assert {(c.subject, c.batch, c.against_batch) for c in first.comparisons} == {("two", 1, 1)}
    assert {(c.subject, c.batch, c.against, c.against_batch) for c in second.comparisons} == {
        ("two", 1, "one", 1),
        ("two", 2, "one", 2),
        ("two", 2, "two", 1),
    }
    assert result.published == small.published
    assert result.bandwidth_gb_per_s > 0.0
    assert told[0].stage == "Small, batch 1"
    assert all(0.0 <= each.done <= each.total for each in told)


def test_a_run_that_was_stopped_goes_on_where_it_was(small, tmp_path):
    def stop(progress):
        if "batch 2" in progress.stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(reproduce(["small"], tmp_path, OPTIONS, progress=stop))
    assert small.made == ["batch 1"]
    (whole,) = reproduce(["small"], tmp_path, OPTIONS)
    assert small.made == ["batch 1", "batch 2"]
    (again,) = reproduce(["small"], tmp_path, OPTIONS)
    assert small.made == ["batch 1", "batch 2"]
    assert again.cells == whole.cells
    list(reproduce(["small"], tmp_path, replace(QUICK, backends=("onnxruntime",))))
    assert len(small.made) == 4, "another set of backends is another figure"


def test_fresh_measures_again(small, tmp_path):
    list(reproduce(["small"], tmp_path, OPTIONS))
    list(reproduce(["small"], tmp_path, replace(OPTIONS, fresh=True)))
    assert len(small.made) == 4


def test_what_cannot_be_asked_for_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="table4"):
        list(reproduce(["table4"], tmp_path))
    with pytest.raises(ConfigError, match="minutes"):
        Options(minutes=0.0)
    with pytest.raises(ConfigError, match="threads"):
        Options(threads=0)
    with pytest.raises(ConfigError, match="abacus"):
        list(reproduce(["table2"], tmp_path, Options(backends=("abacus",))))
    with pytest.raises(Unavailable, match="tensorrt"):
        list(reproduce(["table2"], tmp_path, Options(backends=("tensorrt",))))


def test_all_is_every_experiment_in_the_paper_s_order():
    assert list(experiments(["all"]))[:5] == ["table2", "table3", "merge_penalty", "fig8", "fig9"]
    assert set(experiments(["all"])) == set(EXPERIMENTS.names())
    assert list(experiments(["merge-penalty", "merge_penalty"])) == ["merge_penalty"]


@pytest.mark.parametrize("scale", SCALES, ids=["default", "paper"])
@pytest.mark.parametrize("name", EXPERIMENTS.names())
def test_an_experiment_is_well_formed(name, scale):
    one = EXPERIMENTS.get(name)
    assert one.name == name
    assert one.minutes > 0
    races = one.races(scale)
    assert len({race.name for race in races}) == len(races) > 0
    for race in races:
        assert race.weight > 0
        assert race.batches
        assert all(isinstance(value, int) for value in race.case.values())
        assert "torch_compile" not in (race.backends or ()) or scale.paper
    for value in one.published:
        assert value.value > 0
        assert value.source


def test_together_they_take_less_than_half_an_hour():
    assert sum(one.minutes for _, one in EXPERIMENTS) < 30


def test_the_paper_s_batches_are_asked_for_by_name():
    small, large = (EXPERIMENTS.get("table2").races(scale)[0].batches for scale in SCALES)
    assert (small, large) == ((1,), (32,))


@pytest.mark.parametrize(("race", "growth"), [(0, 25 / 18), (1, 144 / 17)], ids=["basicblock", "bottleneck"])
def test_merging_outright_is_exact_and_makes_the_block_grow(race, growth):
    """The paper counts 1.39 and 2.76; a 3x3 of 4C to 4C is 144 C^2 against the bottleneck's 17 C^2."""
    prepared = MERGE_PENALTY.races(SCALES[0])[race].prepare()
    before, after = (count(one.graph, one.shape) for one in prepared.subjects.values())
    assert "flat equals wide" in prepared.checks[0]
    assert after.macs / before.macs == pytest.approx(growth, rel=1e-6)
    assert after.kernels == 1

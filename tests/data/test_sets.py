import numpy as np
import pytest

import contracts_data
import made_pictures
from juggler import data
from juggler.errors import ConfigError, DataError

OUTSIDE = [pytest.mark.data]
SETS = [
    pytest.param(name, marks=[] if data_set.synthetic else OUTSIDE, id=name)
    for name, data_set in data.SETS
    if not data.is_pictures(data_set)
]
PICTURE_SETS = [name for name, data_set in data.SETS if data.is_pictures(data_set)]


@pytest.mark.parametrize("check", contracts_data.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SETS)
def test_contract(name, check):
    check(data.load_set(name))


@pytest.mark.parametrize("check", contracts_data.PICTURE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", PICTURE_SETS)
def test_contract_of_pictures(name, check, tmp_path):
    assert name in made_pictures.STOCK, "say in made_pictures.STOCK how a small copy of this set is made"
    check(data.load_set(name, made_pictures.STOCK[name](tmp_path)))


def test_records_are_asked_for_where_only_they_will_do():
    assert data.load_record_set("synthetic") is data.load_set("synthetic")
    with pytest.raises(ConfigError, match="it holds pictures"):
        data.load_record_set("cifar10")


def test_a_name_that_no_set_has_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="nsl_kdd, synthetic"):
        data.load_set("cicids")


def test_schema_knows_every_attack_and_survives_json():
    schema = data.SCHEMAS.get("nsl_kdd")
    assert (len(schema.all_features), len(schema.header_features)) == (41, 28)
    assert (len(schema.attack_classes), len(schema.unseen)) == (40, 17)  # 39 attacks and normal
    assert [len(schema.column[name].vocabulary) for name in schema.categorical] == [3, 70, 11]
    disputed = {"worm": "dos", "httptunnel": "r2l", "ps": "u2r", "sqlattack": "u2r", "xterm": "u2r"}
    assert {attack: schema.class_of(attack) for attack in disputed} == disputed
    assert data.Schema.from_json(schema.to_json()) == schema
    with pytest.raises(DataError, match="'slowloris'"):
        schema.class_of("slowloris")


@pytest.mark.data
@pytest.mark.parametrize(
    ("part", "counts"),
    [
        ("train", [67343, 45927, 11656, 995, 52]),
        ("test", [9711, 7460, 2421, 2885, 67]),
        ("test-21", [2152, 4344, 2402, 2885, 67]),
    ],
)
def test_nsl_kdd_has_the_published_rows(part, counts):
    nsl_kdd = data.load_set("nsl-kdd")
    records = nsl_kdd.load(part)
    assert np.bincount(records.classes()).tolist() == counts
    assert records.unknown() == {}
    assert records.sha256 == nsl_kdd.provenance.sha256[part]
    assert records.unseen().sum() == {"train": 0, "test": 3750, "test-21": 3740}[part]


@pytest.mark.data
def test_nsl_kdd_folds_hold_out_the_stated_types():
    held = []
    for i in range(3):
        split = data.load_set("nsl-kdd").fold(i, seed=0)
        held.append({*split.validation.labels()} - {*split.train.labels()})
    assert {"back", "satan", "guess_passwd", "rootkit"} <= held[0]
    assert {"smurf", "portsweep", "warezmaster", "loadmodule"} <= held[1]
    assert {"teardrop", "nmap", "warezclient", "buffer_overflow"} <= held[2]


def test_records_take_words_and_columns():
    records = data.load_set("synthetic").load("test")
    some = records.take(records["duration"] > 100)
    assert 0 < len(some) < len(records)
    assert (some.columns["duration"] > 100).all()
    assert {*some.words("protocol_type")} <= {"tcp", "udp", "icmp"}
    assert type(data.load_set("synthetic").training().take([1, 2])) is data.TrainRecords
    with pytest.raises(ConfigError, match="no_such"):
        records["no_such"]
    unlabelled = data.Records(records.schema, records.numbers, records.codes, None, records.lines)
    with pytest.raises(DataError, match="no attack names"):
        unlabelled.classes()
    with pytest.raises(DataError, match="no attack names"):
        data.TrainRecords.of(unlabelled)

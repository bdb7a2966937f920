import re
from importlib import resources

import pytest

from juggler.cost.hardware.hierarchy import (
    LEVELS,
    Hierarchy,
    cache_bytes,
    device,
    devices,
    parse_hierarchy,
    quantity,
    read_hierarchy,
)
from juggler.errors import ConfigError

EYERISS = (resources.files("juggler.cost") / "devices" / "eyeriss.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", devices())
def test_a_shipped_device_is_whole(name):
    found = device(name)
    assert tuple(level.name for level in found.levels) == LEVELS
    assert re.search(r"(19|20)\d\d", found.source), "a source has a year"
    prices = [found.energy_per_bit(level) for level in LEVELS]
    assert prices == sorted(prices, reverse=True), "what is further away costs no less"
    held = [level.capacity_bytes for level in found.levels if level.capacity_bytes is not None]
    assert held == sorted(held, reverse=True), "what is further away holds no less"
    assert Hierarchy.from_json(found.to_json()) == found


def test_the_devices_that_are_asked_for():
    assert {"eyeriss", "tpu_like", "this_cpu"} <= {*devices()}
    assert device("TPU-like").name == "TPU-like"
    eyeriss = device("eyeriss")
    assert [eyeriss.level(level).energy for level in LEVELS] == [200, 6, 2, 1]
    assert (eyeriss.energy_unit, eyeriss.mac_energy) == ("MAC", 1)
    assert eyeriss.words("buffer") == 65536
    assert eyeriss.words("dram") == float("inf")
    chip = device("eyeriss_chip")
    assert [chip.level(level).energy for level in LEVELS] == [460, 15, 4, 1]
    assert (chip.energy_unit, chip.mac_energy) == ("pJ", 2)


def test_an_unknown_device_is_refused():
    with pytest.raises(ConfigError, match="Did you mean 'eyeriss'"):
        device("eyeris")
    with pytest.raises(ConfigError, match="tpu_like"):
        device("abacus")
    with pytest.raises(ConfigError, match="There are: dram, buffer, array, register"):
        device("eyeriss").level("L7")


def test_a_file_of_ones_own_is_read(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(EYERISS.replace('"200 MAC"', '"300 MAC"'), encoding="utf-8")
    assert read_hierarchy(path).level("dram").energy == 300


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "register"', 'name = "dram"', "level 'dram'.*twice"),
        ('name = "register"', 'name = "regs"', "level 'regs'.*none of the levels"),
        ('energy = "200 MAC"', 'energy = "200 parsec"', "level 'dram'.*'parsec' is not a unit of energy"),
        ('energy = "200 MAC"', 'energy = "200"', "has no unit"),
        ('energy = "200 MAC"', "energy = 200", "number with its unit"),
        ('energy = "200 MAC"', 'energy = "-200 MAC"', "below 0"),
        ('energy = "200 MAC"', 'energy = "1e999 MAC"', "too large"),
        ('energy = "200 MAC"', 'energy = "200 pJ"', "pJ, where mac is MAC"),
        ('energy = "200 MAC"', "", "level 'dram'.*energy is missing"),
        ('"128 KiB"', '"128 KiX"', "level 'buffer'.*'KiX' is not a unit of capacity"),
        ('"128 KiB"', '"-128 KiB"', "level 'buffer'.*below 0"),
        ("word_bits = 16", "word_bits = -16", "word_bits is -16"),
        ("word_bits = 16", "word_bits = true", "word_bits is True"),
        ("rows = 16", "rows = 0", "rows is 0"),
        ("rows = 16", "row = 16", "Did you mean 'rows'"),
        ('origin = "quoted"', 'origin = "hearsay"', "measured, modelled, quoted"),
        ('what = "DRAM"', 'what = ""', "what is ''"),
        ('mac = "1 MAC"', "", "mac is missing"),
        ("rows = 16", "rows = ", "not TOML"),
    ],
)
def test_a_file_that_describes_no_device_is_refused(old, new, said):
    assert old in EYERISS
    with pytest.raises(ConfigError, match=said) as refusal:
        parse_hierarchy(EYERISS.replace(old, new, 1), "mine.toml")
    assert "mine.toml" in str(refusal.value)


@pytest.mark.parametrize("level", LEVELS)
def test_a_missing_level_is_named(level):
    tables = EYERISS.split("[[levels]]")
    text = "[[levels]]".join(table for table in tables if f'name = "{level}"' not in table)
    with pytest.raises(ConfigError, match=f"the level {level} is missing"):
        parse_hierarchy(text, "mine.toml")


def test_levels_that_are_no_list_are_refused():
    head = EYERISS.split("[[levels]]")[0]
    with pytest.raises(ConfigError, match=r"\[\[levels\]\]"):
        parse_hierarchy(f"{head}\nlevels = 3\n", "mine.toml")
    with pytest.raises(ConfigError, match="Check the path"):
        read_hierarchy("/no/such/file.toml")


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [
        ("2 KiB", "capacity", 2048),
        ("1.5nJ", "energy", 1500),
        (" 3e2 fJ ", "energy", 0.3),
        (".5 GB/s", "bandwidth", 0.5),
        ("1 GiB/s", "bandwidth", 1.073741824),
    ],
)
def test_quantities_are_read_with_their_units(text, kind, number):
    assert quantity(text, kind, "here")[0] == pytest.approx(number)


def test_the_caches_of_a_machine_are_read(tmp_path):
    for index, (level, kind, size) in enumerate(
        [
            ("1", "Instruction", "64K"),
            ("1", "Data", "48K"),
            ("2", "Unified", "2048K"),
            ("4", "Unified", "128M"),
        ]
    ):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (folder / name).write_text(f"{text}\n", encoding="ascii")
    (tmp_path / "index9").mkdir()
    assert cache_bytes(1, tmp_path) == 48 * 1024
    assert cache_bytes(2, tmp_path) == 2048 * 1024
    assert cache_bytes(4, tmp_path) == 128 * 1024**2
    assert cache_bytes(3, tmp_path) is None

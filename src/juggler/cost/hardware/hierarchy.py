"""Memory hierarchies from small TOML files: what each level holds, and what a word from it costs.

Four levels, outermost first: `dram`, `buffer` (shared by all elements), `array` (from element to element) and
`register` (inside one). A file in `cost/devices` is a device of its name; any other path is read the same
way. Every quantity is text with its unit, such as "108 KiB", "15 pJ" or "25.6 GB/s".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

from juggler.errors import ConfigError
from juggler.nouns import Noun
from juggler.reading.content import read_text
from juggler.reading.documents import TOML_LIMITS, parse_toml
from juggler.reading.request import Request
from juggler.registry import normalise

LEVELS = ("dram", "buffer", "array", "register")
ORIGINS = ("measured", "modelled", "quoted")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS: dict[str, dict[str, float]] = {
    "capacity": {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 1e3, "MB": 1e6, "GB": 1e9},
    "energy": {"fJ": 1e-3, "pJ": 1.0, "nJ": 1e3, "MAC": 1.0},
    "bandwidth": {"MB/s": 1e-3, "GB/s": 1.0, "TB/s": 1e3, "MiB/s": 2**20 / 1e9, "GiB/s": 2**30 / 1e9},
}
_DEVICE = {"name", "source", "origin", "word_bits", "accumulator_bits", "rows", "columns", "mac", "levels"}
_LEVEL = {"name", "what", "capacity", "cache", "sums", "energy", "word_bits", "bandwidth"}


@dataclass(frozen=True)
class Level(Noun):
    """One level of memory.

    Attributes:
        name: one of `LEVELS`.
        what: what it is on this device: `global buffer`, `L2`.
        energy: of one access of `word_bits`, in the hierarchy's `energy_unit`.
        word_bits: bits of an access.
        capacity_bytes: all of it; of registers those of one element; None is without bound or meaning.
        gb_per_s: bandwidth in 10^9 bytes a second, None where it is not known.
        sum_bytes: how much of the capacity can hold partial sums; None is all of it.
    """

    name: str
    what: str
    energy: float
    word_bits: int
    capacity_bytes: int | None = None
    gb_per_s: float | None = None
    sum_bytes: int | None = None


@dataclass(frozen=True)
class Hierarchy(Noun):
    """A device's processing elements and its memory; the figures are as good as their source.

    Attributes:
        name: of the device.
        source: where the figures come from.
        origin: `measured`, `modelled` or `quoted`: the weakest of them.
        energy_unit: `pJ`, or `MAC` where energies are multiples of one multiply-accumulate of this device.
        word_bits: bits of its numbers.
        accumulator_bits: bits of its partial sums.
        rows: of processing elements.
        columns: of processing elements.
        mac_energy: of one multiply-accumulate of such numbers, in `energy_unit`.
        levels: outermost first.
    """

    name: str
    source: str
    origin: str
    energy_unit: str
    word_bits: int
    accumulator_bits: int
    rows: int
    columns: int
    mac_energy: float
    levels: tuple[Level, ...]

    def level(self, name: str) -> Level:
        """Return a level by its name.

        Raises:
            ConfigError: there is none of that name.
        """
        for level in self.levels:
            if level.name == name:
                return level
        raise ConfigError(
            f"read the level {name!r} of {self.name}", "there is none", f"There are: {', '.join(LEVELS)}"
        )

    def words(self, name: str) -> float:
        """Return how many of the device's numbers a level holds; infinity where it has no bound."""
        capacity = self.level(name).capacity_bytes
        return math.inf if capacity is None else capacity * 8 / self.word_bits

    def energy_per_bit(self, name: str) -> float:
        """Return the energy of one bit from a level, in `energy_unit`."""
        level = self.level(name)
        return level.energy / level.word_bits


def devices() -> tuple[str, ...]:
    """Return the names of the devices that the package ships, sorted."""
    folder = resources.files("juggler.cost") / "devices"
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def device(name: str) -> Hierarchy:
    """Return a device of the package by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    file_name, known = normalise(name), devices()
    if file_name not in known:
        close = get_close_matches(file_name, known, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else "Read a file of your own by its path. "
        raise ConfigError(
            f"find the device {name!r}", "there is none", f"{hint}There are: {', '.join(known)}"
        )
    text = (resources.files("juggler.cost") / "devices" / f"{file_name}.toml").read_text(encoding="utf-8")
    return parse_hierarchy(text, f"{file_name}.toml")


def read_hierarchy(path: str | Path) -> Hierarchy:
    """Read a device from a file.

    Raises:
        ConfigError: it cannot be read, is not TOML, or describes no device; the message says where.
    """
    request = Request(f"read the device {path}", "Check the path", ConfigError)
    text = read_text(path, request, TOML_LIMITS.size)
    return parse_hierarchy(text, str(path))


def parse_hierarchy(text: str, place: str) -> Hierarchy:
    """Read a device from TOML text.

    Args:
        text: the file's content.
        place: what to call it in errors.

    Raises:
        ConfigError: it is not TOML, or describes no device; the message names the field.
    """
    values = parse_toml(text, Request(f"read the device {place}", "Mend that line", ConfigError))
    _check_names(values, _DEVICE, place)
    word_bits = _positive_integer(values, "word_bits", place)
    mac, unit = _energy(values, "mac", place)
    if _text(values, "origin", place) not in ORIGINS:
        raise ConfigError(
            f"read {place}, origin", f"{values['origin']!r}", f"Choose from {', '.join(ORIGINS)}"
        )
    return Hierarchy(
        _text(values, "name", place),
        _text(values, "source", place),
        values["origin"],
        unit,
        word_bits,
        _positive_integer(values, "accumulator_bits", place) if "accumulator_bits" in values else word_bits,
        _positive_integer(values, "rows", place),
        _positive_integer(values, "columns", place),
        mac,
        _levels(values, unit, word_bits, place),
    )


def _levels(values: Mapping[str, Any], unit: str, word_bits: int, place: str) -> tuple[Level, ...]:
    tables = values.get("levels", [])
    if not isinstance(tables, list) or not all(isinstance(level, dict) for level in tables):
        raise ConfigError(f"read {place}, levels", "no list of tables", "Write each level under [[levels]]")
    levels: dict[str, Level] = {}
    for number, table in enumerate(tables, start=1):
        here = f"{place}, level {table.get('name', number)!r}"
        _check_names(table, _LEVEL, here)
        name = _text(table, "name", here)
        if name not in LEVELS or name in levels:
            twice = "is there twice" if name in levels else "is none of the levels"
            raise ConfigError(f"read {here}", f"it {twice}", f"Have one each of: {', '.join(LEVELS)}")
        energy, its_unit = _energy(table, "energy", here)
        if its_unit != unit:
            raise ConfigError(
                f"read {here}, energy", f"{its_unit}, where mac is {unit}", f"Give all of them in {unit}"
            )
        bits = _positive_integer(table, "word_bits", here) if "word_bits" in table else word_bits
        bandwidth = quantity(table["bandwidth"], "bandwidth", here)[0] if "bandwidth" in table else None
        what = _text(table, "what", here)
        sums = round(quantity(table["sums"], "capacity", here)[0]) if "sums" in table else None
        levels[name] = Level(name, what, energy, bits, _capacity(table, here), bandwidth, sums)
    missing = [name for name in LEVELS if name not in levels]
    if missing:
        raise ConfigError(
            f"read the device {place}",
            f"the level {', '.join(missing)} is missing",
            f"Add a table [[levels]] for each of: {', '.join(LEVELS)}",
        )
    return tuple(levels[name] for name in LEVELS)


def quantity(value: object, kind: str, place: str) -> tuple[float, str]:
    """Read text such as "15 pJ": the number in the kind's first unit of 1, and the unit that was written.

    Args:
        value: the text.
        kind: `capacity` (to bytes), `energy` (to pJ, or multiples of a MAC) or `bandwidth` (to GB/s).
        place: where it stands, for the error.

    Raises:
        ConfigError: no number, a unit that there is not, or a number below 0.
    """
    units = _UNITS[kind]
    match = re.fullmatch(r"\s*([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*(\S*)\s*", str(value))
    if not isinstance(value, str) or match is None:
        raise ConfigError(
            f"read {place}, {kind}", f"{value!r}", f"Write a number with its unit, one of: {', '.join(units)}"
        )
    number, unit = float(match[1]), match[2]
    if unit not in units:
        said = f"{unit!r} is not a unit of {kind}" if unit else f"{value!r} has no unit"
        raise ConfigError(f"read {place}, {kind}", said, f"Use one of: {', '.join(units)}")
    if not 0 <= number < math.inf:
        raise ConfigError(f"read {place}, {kind}", f"{value!r} is below 0 or too large", "Give 0 or more")
    return number * units[unit], unit


def _energy(table: Mapping[str, Any], name: str, place: str) -> tuple[float, str]:
    if name not in table:
        raise ConfigError(f"read {place}", f"{name} is missing", f'Add {name} = "2 pJ"')
    value, unit = quantity(table[name], "energy", f"{place}, {name}" if name != "energy" else place)
    return value, "MAC" if unit == "MAC" else "pJ"


def _capacity(table: Mapping[str, Any], place: str) -> int | None:
    """Return the capacity: this machine's own where the level is one of its caches and it says so."""
    if "cache" in table:
        size = cache_bytes(_positive_integer(table, "cache", place))
        if size is not None:
            return size
    if "capacity" not in table:
        return None
    return round(quantity(table["capacity"], "capacity", place)[0])


def cache_bytes(level: int, caches: Path = CACHES) -> int | None:
    """Return the size of a data cache of this machine's first core; None where Linux does not say."""
    for folder in sorted(caches.glob("index*")):
        try:
            where, kind, size = (
                (folder / name).read_text(encoding="ascii").strip() for name in ("level", "type", "size")
            )
        except OSError:
            continue
        if where == str(level) and kind in ("Data", "Unified") and re.fullmatch(r"\d+[KM]", size):
            return int(size[:-1]) << (20 if size.endswith("M") else 10)
    return None


def _text(table: Mapping[str, Any], name: str, place: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"read {place}", f"{name} is {value!r}", f'Add {name} = "..."')
    return value


def _positive_integer(table: Mapping[str, Any], name: str, place: str) -> int:
    value = table.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"read {place}", f"{name} is {value!r}", f"Give {name} as a whole number from 1")
    return value


def _check_names(table: Mapping[str, Any], known: Iterable[str], place: str) -> None:
    names = sorted(known)
    for name in table:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            raise ConfigError(
                f"read {place}", f"there is no field {name!r}", f"{hint}Fields: {', '.join(names)}"
            )

"""Who takes part in the study: variants and levers as variants.toml has them, and the ablation of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from juggler.errors import ConfigError
from juggler.models.toml_file import check_fields, read_toml, table

FILE = Path(__file__).parent / "variants.toml"
PAPERS, WINNER = "juggler_paper", "juggler"
SETS = ("winner", "winner anywhere", "winner inside")
GROUPS = ("table5", "fig7", "front", "gaps", "ablation", "more")
"""`gaps` are shown in no other table; `more` is every lever outside of the winner, alone: to find it with."""


@dataclass(frozen=True)
class Lever:
    """One thing that is done to win accuracy.

    Attributes:
        name: its key in the file.
        label: as it is shown.
        source: the paper that it comes from.
        options: of the network.
        recipe: fields of the recipe.
        teacher: whether it needs one.
        anywhere: whether any network can have it.
    """

    name: str
    label: str
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    teacher: bool = False
    anywhere: bool = False


@dataclass(frozen=True)
class Variant:
    """One way to come to a network.

    Attributes:
        name: its key in the file.
        label: as it is shown; `{depth}` stands for the depth.
        network: the network's name, likewise.
        options: of the network, those of its levers included.
        recipe: fields of the recipe, those of its levers included.
        levers: their names.
        teacher: whether it has one.
        groups: what it is run for.
        against: variants that its gap is taken to.
        sized: `thinned` or `widened` where its widths are searched for, see widths.py.
        once: whether it has no depth.
        rate_times: factor on the recipe's rate.
    """

    name: str
    label: str
    network: str
    options: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    levers: tuple[str, ...] = ()
    teacher: bool = False
    groups: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    sized: str = ""
    once: bool = False
    rate_times: float = 1.0

    def title(self, depth: int) -> str:
        """Return the label at a depth."""
        return self.label.replace("{depth}", str(depth))


@dataclass(frozen=True)
class Cast:
    """Everyone in the study.

    Attributes:
        variants: by name, those of the ablation included.
        levers: by name.
        winner: names of the winner's levers.
        teacher: name of the teacher's network and its seed.
    """

    variants: Mapping[str, Variant]
    levers: Mapping[str, Lever]
    winner: tuple[str, ...]
    teacher: Mapping[str, Any]

    def chosen(self, groups: Sequence[str] = (), only: Sequence[str] = ()) -> tuple[Variant, ...]:
        """Return the variants named, or else those of the groups; all but `more` where neither is given.

        Raises:
            ConfigError: there is no such variant or group.
        """
        for name, known in (*((g, GROUPS) for g in groups), *((n, tuple(self.variants)) for n in only)):
            if name not in known:
                raise ConfigError(f"run {name!r}", "there is none", f"There are: {', '.join(known)}")
        if only:
            return tuple(self.variants[name] for name in only)
        wanted = set(groups or GROUPS[:-1])
        return tuple(one for one in self.variants.values() if wanted & set(one.groups))


def read_cast(path: Path = FILE) -> Cast:
    """Read the file, and make the ablation's variants of its levers.

    Raises:
        ConfigError: it cannot be read, or a name in it is not known.
    """
    source = f"the variants {path.name}"
    values = read_toml(path, "the variants")
    check_fields(values, ("winner", "levers", "teacher", "variants"), source)
    levers = {name: _lever(name, own, source) for name, own in table(values, "levers", source).items()}
    winner = tuple(values.get("winner", ()))
    variants = {
        name: _variant(name, own, levers, winner, source)
        for name, own in table(values, "variants", source).items()
    }
    for needed in (PAPERS, WINNER):
        if needed not in variants:
            raise ConfigError(f"read {source}", f"it has no variant {needed}", "Add it")
    for one in variants.values():
        for name in one.against:
            if name not in variants:
                raise ConfigError(f"read {source}", f"{one.name} is against {name!r}", "Name a variant")
    variants |= _ablation(variants[PAPERS], levers, winner)
    return Cast(variants, levers, winner, table(values, "teacher", source))


def pulled(base: Variant, levers: Sequence[Lever]) -> Variant:
    """Return the variant with levers; a later one has the last word."""
    options, recipe = dict(base.options), dict(base.recipe)
    for lever in levers:
        options |= lever.options
        recipe |= lever.recipe
    return replace(
        base,
        options=options,
        recipe=recipe,
        levers=(*base.levers, *(lever.name for lever in levers)),
        teacher=base.teacher or any(lever.teacher for lever in levers),
    )


def _ablation(papers: Variant, levers: Mapping[str, Lever], winner: Sequence[str]) -> dict[str, Variant]:
    """Return the paper's network with each lever alone, and the winner without each of its own."""
    found = {}
    for lever in levers.values():
        group = "ablation" if lever.name in winner else "more"
        start = replace(
            papers,
            name=f"with_{lever.name}",
            label=f"paper + {lever.label}",
            groups=(group,),
            against=(PAPERS,),
        )
        found[start.name] = pulled(start, [lever])
    for out in winner:
        start = replace(
            papers,
            name=f"without_{out}",
            label=f"all - {levers[out].label}",
            groups=("ablation",),
            against=(WINNER,),
        )
        found[start.name] = pulled(start, [levers[name] for name in winner if name != out])
    return found


def _lever(name: str, values: Mapping[str, Any], source: str) -> Lever:
    check_fields(values, [key for key in Lever.__dataclass_fields__ if key != "name"], f"{source}, {name}")
    return Lever(name=name, **values)


def _variant(
    name: str, values: Mapping[str, Any], levers: Mapping[str, Lever], winner: Sequence[str], source: str
) -> Variant:
    told = f"{source}, {name}"
    check_fields(
        values, [key for key in Variant.__dataclass_fields__ if key not in ("name", "teacher")], told
    )
    own: dict[str, Any] = {
        key: tuple(v) if key in ("groups", "against") else v for key, v in values.items() if key != "levers"
    }
    return pulled(Variant(name=name, **own), _named(values.get("levers", ()), levers, winner, told))


def _named(
    wanted: str | Sequence[str], levers: Mapping[str, Lever], winner: Sequence[str], source: str
) -> list[Lever]:
    """Return the levers that a list of names, or one of `SETS`, stands for."""
    if isinstance(wanted, str) and wanted not in SETS:
        raise ConfigError(
            f"read {source}", f"levers is {wanted!r}", f"Give a list, or one of {', '.join(SETS)}"
        )
    names = winner if isinstance(wanted, str) else wanted
    for name in names:
        if name not in levers:
            raise ConfigError(
                f"read {source}", f"there is no lever {name!r}", f"There are: {', '.join(levers)}"
            )
    found = [levers[name] for name in names]
    if wanted == "winner anywhere":
        return [lever for lever in found if lever.anywhere]
    return [lever for lever in found if not lever.anywhere] if wanted == "winner inside" else found

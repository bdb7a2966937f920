"""The tables of the page but Table V: gaps, the ablation, latencies, and what falls short."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from benchmarks.accuracy.gaps import PARITY_POINTS
from benchmarks.accuracy.scale import LEAST_SEEDS, PAPERS_EPOCHS
from benchmarks.accuracy.summary import interval
from benchmarks.common import Finding
from benchmarks.pages.blocks import table

Values = Mapping[str, Any]


def percent(spread: Values | None, *, bold: bool = False) -> str:
    """Return mean and sd of accuracies in per cent, with n."""
    if spread is None:
        return ""
    sd = "" if spread["sd"] is None else f" ± {100 * spread['sd']:.2f}"
    mean = f"{100 * spread['mean']:.2f}"
    return f"{f'**{mean}**' if bold else mean}{sd} ({spread['n']})"


def points(gap: Values | None) -> str:
    """Return a gap in points with its interval."""
    return "" if gap is None else f"{gap['mean']:+.2f} ({interval(gap)})"


def gap_of(study: Values, name: str, against: str, depth: int, part: str = "test") -> Values | None:
    """Return the gap of one variant to another."""
    wanted = (name, against, depth)
    found = (g for g in study["gaps"] if (g["variant"], g["against"], g["depth"]) == wanted)
    one = next(found, None)
    return one[part] if one else None


def latency_of(front: Values | None, name: str, depth: int) -> Values | None:
    """Return a network's place in the race."""
    rows = front["networks"] if front else []
    return next((row for row in rows if (row["variant"], row["depth"]) == (name, depth)), None)


def gap_table(study: Values) -> str:
    """Return the gaps between the variants that the study compares, comparable recipes first."""
    labels = {(one["variant"], one["depth"]): one["label"] for one in study["variants"]}
    rows = [
        [
            labels[g["variant"], g["depth"]],
            labels.get((g["against"], g["depth"]), g["against"]),
            "yes" if g["same_recipe"] else "no",
            points(g["test"]),
            points(g["validation"]),
            str(g["test"]["n"]),
            "yes" if g["parity"] else "no",
        ]
        for g in sorted(study["gaps"], key=lambda g: (not g["same_recipe"], g["depth"]))
        if not set(_groups(study, g)) <= {"ablation", "more"}
    ]
    parity = f"lower end at least {PARITY_POINTS}"
    return table(["network", "against", "same recipe", "test", "validation", "seeds", parity], rows)


def _groups(study: Values, gap: Values) -> Sequence[str]:
    return next(one["groups"] for one in study["variants"] if one["variant"] == gap["variant"])


def ablation(study: Values) -> str:
    """Return what each lever does alone, and what is lost without it."""
    rows = []
    for depth in study["scale"]["depths"]:
        for name, lever in study["levers"].items():
            alone = gap_of(study, f"with_{name}", "juggler_paper", depth)
            without = gap_of(study, f"without_{name}", "juggler", depth)
            chosen_by = gap_of(study, f"with_{name}", "juggler_paper", depth, "validation")
            left = gap_of(study, f"without_{name}", "juggler", depth, "validation")
            if alone or without:
                gap = alone or without or {}
                rows.append(
                    [
                        *(
                            str(depth),
                            lever["label"],
                            lever["source"],
                            "yes" if name in study["winner"] else "no",
                        ),
                        *(points(alone), points(chosen_by), points(without), points(left), str(gap["n"])),
                    ]
                )
    head = [
        *("depth", "lever", "source", "in the winner", "paper's network with it alone, test", "validation"),
        *("all levers without it, test", "validation", "seeds"),
    ]
    return table(head, rows) if rows else ""


def front_table(study: Values, front: Values) -> str:
    """Return accuracy beside latency, the fastest first."""
    rows = []
    for one in sorted(front["networks"], key=lambda row: row["latency_ms"]):
        found = variant_of(study, one["variant"], one["depth"])
        if found is None or "front" not in found["groups"]:
            continue
        gain = one.get("times_as_fast")
        told = f"{gain['median']:.2f} ({gain['low']:.2f} to {gain['high']:.2f})" if gain else ""
        rows.append(
            [
                *(
                    found["label"],
                    percent(found.get("flat_test_accuracy"), bold=True),
                    f"{one['latency_ms']:.3f}",
                ),
                *(f"{one['p95_ms']:.3f}", told, f"{one['macs'] / 1e6:,.1f}", f"{one['parameters']:,}"),
            ]
        )
    head = [
        *(
            "network, flat",
            "test (n)",
            "latency (ms)",
            "p95 (ms)",
            "times as fast as ResNet (95 %)",
            "MACs (M)",
        ),
        "parameters",
    ]
    return table(head, rows)


def variant_of(study: Values, name: str, depth: int) -> Values | None:
    """Return a variant's row of the study, where it has been run."""
    found = (one for one in study["variants"] if (one["variant"], one["depth"]) == (name, depth))
    one = next(found, None)
    return one if one is not None and "test_accuracy" in one else None


def shortfalls(study: Values, front: Values | None) -> Iterator[str]:
    """Yield what the study falls short of, each a sentence."""
    scale, runs = study["scale"], study["runs"]
    if runs["finished"] < runs["wanted"]:
        yield f"{runs['wanted'] - runs['finished']} of {runs['wanted']} runs are not finished."
    fewest = min(study["asked"].values())
    if fewest < LEAST_SEEDS:
        yield f"{fewest} seeds are too few to order networks by."
    if scale["epochs"] < PAPERS_EPOCHS:
        yield f"{scale['epochs']} epochs, where the paper has {PAPERS_EPOCHS}."
    if scale["width"] != 1.0 or scale["subset"]:
        pictures = f"{scale['subset']:,} pictures" if scale["subset"] else "all pictures"
        yield f"The networks are {scale['width']:g} times as wide as the paper's and learn from {pictures}."
    if scale["data"] != "cifar100":
        yield (
            "The paper's Fig. 7 is of CIFAR-100; this study is of CIFAR-10."
            if scale["data"] == "cifar10"
            else (f"The paper's data are CIFAR-10 and CIFAR-100; this study is of {scale['data']}.")
        )
    for one in study["variants"]:
        for failed in one["failed"]:
            yield f"{one['label']} failed, {failed}."
    for finding in study["findings"]:
        if not finding["reached"]:
            yield f"Missed: {finding['claim']}. Measured: {finding['measured']} ({finding['n']})."
    yield from circumstances(study)
    yield from not_taken_away(study)
    yield from ahead(study, front)


def circumstances(study: Values) -> Iterator[str]:
    """Yield what differs between runs besides variant and seed, and what hides because it does not differ."""
    labels = {(one["variant"], one["depth"]): one["label"] for one in study["variants"]}
    teachers = sorted({taught for one in study["variants"] for taught in one.get("teacher_accuracy", ())})
    if len(teachers) == 1:
        yield "All seeds have the same teacher: what is due to its own luck does not show in the intervals."
    if len(teachers) > 1:
        right = " and ".join(f"{100 * taught:.2f} %" for taught in teachers)
        yield (
            f"{len(teachers)} teachers by one plan, trained on different machines and right on {right} of "
            "validation: what is due to their luck hardly shows in the intervals."
        )
    mixed: dict[str, list[str]] = {}
    for gap in study["gaps"]:
        if gap["mixed"]:
            sides = (labels[gap[side], gap["depth"]] for side in ("variant", "against"))
            share = f"{len(gap['mixed'])} of {gap['test']['n']} seeds"
            mixed.setdefault(share, []).append(" to ".join(sides))
    if mixed:
        gaps = (f"    - {share}:\n{_nested(names)}" for share, names in sorted(mixed.items()))
        yield (
            f"In {sum(map(len, mixed.values()))} of {len(study['gaps'])} gaps the two sides of some seeds "
            "had different machines, or different teachers, where floating point alone makes another run:\n"
            + "\n".join(gaps)
        )


def _nested(names: Sequence[str]) -> str:
    return "\n".join(f"        - {name}" for name in names)


def not_taken_away(study: Values) -> Iterator[str]:
    """Yield the levers of the winner without which it has not been run."""
    for depth in study["scale"]["depths"]:
        missing = [
            study["levers"][name]["label"]
            for name in study["winner"]
            if gap_of(study, f"without_{name}", "juggler", depth) is None
        ]
        if missing and variant_of(study, "juggler", depth) is not None:
            yield f"Not run: Juggler-ResNet-{depth} with all levers but one of these: {', '.join(missing)}."


def ahead(study: Values, front: Values | None) -> Iterator[str]:
    """Yield which networks are at least as fast as the flat Juggler-ResNet and more often right."""
    for depth in study["scale"]["depths"]:
        ours, place = variant_of(study, "juggler", depth), latency_of(front, "juggler", depth)
        if ours is None or place is None or front is None:
            yield f"Whether flat Juggler-ResNet-{depth} lies on the front has not been measured."
            continue
        for other in study["variants"]:
            theirs = latency_of(front, other["variant"], other["depth"])
            if "front" not in other["groups"] or theirs is None or "test_accuracy" not in other:
                continue
            if other["variant"] == "juggler" or theirs["latency_ms"] > 1.02 * place["latency_ms"]:
                continue
            gap = lead(other, ours)
            if gap is not None and gap > 0:
                yield (
                    f"{other['label']} is {gap:.2f} points more accurate than Juggler-ResNet-{depth} with "
                    f"levers, at {theirs['latency_ms']:.3f} ms against {place['latency_ms']:.3f} ms."
                )


def lead(one: Values, other: Values) -> float | None:
    """Return by how many points a variant is more accurate than another over the seeds that both have."""
    own, theirs = (
        dict(zip(row["seeds"], row["flat_test_accuracy"]["values"], strict=True)) for row in (one, other)
    )
    both = own.keys() & theirs.keys()
    return fmean(100 * (own[seed] - theirs[seed]) for seed in both) if both else None


def on_front(study: Values, front: Values | None) -> list[Finding]:
    """Hold the flat Juggler-ResNet's place against the claim that it lies on the front."""
    if front is None:
        return []
    rivals = [line for line in ahead(study, front) if " more accurate than " in line]
    unknown = [line for line in ahead(study, front) if line not in rivals]
    raced = len({row["raced_as"] for row in front["networks"]})
    return [
        Finding(
            claim="No network as fast is more accurate than the flat Juggler-ResNet with levers",
            measured="; ".join(line.rstrip(".") for line in (*rivals, *unknown)) or "none is",
            n=f"{raced} networks in one race, {front['rounds']} rounds",
            reached=not rivals and not unknown,
        )
    ]

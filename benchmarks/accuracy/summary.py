"""All runs of a study as one result: means over the seeds, gaps, curves, and what they say of the claims."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.accuracy.gaps import PARITY_POINTS, Gap, Spread, seeds_told
from benchmarks.accuracy.scale import LEAST_SEEDS, PAPERS_EPOCHS, Asked, Scale
from benchmarks.accuracy.variants import Cast, Variant
from benchmarks.common import Finding

CURVES = ("accuracy_train", "accuracy_validation", "loss_train", "loss_validation")
PAIRS = {
    ("juggler", "resnet_levers"): "all training levers on both sides",
    ("juggler", "resnet_pooled"): "all training levers and the max-pools on both sides",
    ("juggler_inside", "resnet"): "levers in the structure alone",
}
"""Whose recipes are the same, held against the claim of parity, and what each has of the levers."""
INSIDE = ("linear_by", "kernel_decay", "seed")
"""Fields of a recipe that act on the structure alone, or that all runs have."""
Key = tuple[str, int]
Runs = Mapping[Key, Mapping[int, Mapping[str, Any]]]
"""Results by variant and depth, and by seed within."""


def gathered(results: Sequence[Mapping[str, Any]]) -> Runs:
    """Return results by variant, depth and seed."""
    found: dict[Key, dict[int, Mapping[str, Any]]] = defaultdict(dict)
    for result in results:
        found[result["variant"], result["depth"]][result["seed"]] = result
    return found


def summarised(
    scale: Scale, cast: Cast, results: Sequence[Mapping[str, Any]], asked: Asked
) -> dict[str, Any]:
    """Return everything that the report shows, as plain values.

    Args:
        scale: of the study.
        cast: who takes part.
        results: of the runs that are finished.
        asked: how many seeds of each variant the study has.
    """
    runs = gathered(results)
    keys = [(name, depth) for depth in scale.depths for name in cast.variants if (name, depth) in runs]
    good = {key: finished(runs[key]) for key in keys}
    first = next((run for own in good.values() for run in own.values()), {})
    machines = machines_of(results)
    wanted = sum(n * (1 if cast.variants[name].once else len(scale.depths)) for name, n in asked.items())
    return {
        "scale": scale.to_dict(),
        "scale_words": f"{scale.words}, {seeds_told(asked.values())}",
        "asked": dict(asked),
        "ran_on": machines,
        "runs": {"wanted": wanted, "finished": len(results)},
        "winner": list(cast.winner),
        "levers": {
            name: {"label": lever.label, "source": lever.source} for name, lever in cast.levers.items()
        },
        "notes": list(first.get("notes", [])),
        "pictures": {
            "trained_on": first.get("pictures"),
            "sha256": first.get("pictures_sha256"),
            "tested_on": first.get("test", {}).get("pictures"),
            "test_sha256": first.get("test", {}).get("sha256"),
        },
        "variants": [
            row(cast.variants[name], depth, runs[name, depth], good.get(("resnet", depth), {}))
            | {"ran_on": [machines.index(run["machine"]) for run in good[name, depth].values()]}
            for name, depth in keys
        ],
        "gaps": list(gaps(cast, good)),
        "curves": {
            f"{name}-{depth}": drawn
            for name, depth in keys
            if "fig7" in cast.variants[name].groups
            and (drawn := curves(list(good[name, depth].values()))) is not None
        },
    }


def machines_of(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the machines that runs were done on, each once, in the order in which they came."""
    found: list[dict[str, Any]] = []
    for result in results:
        found += [] if result["machine"] in found else [result["machine"]]
    return found


def circumstances(run: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what may differ between runs by one seed besides the variant: the machine and the teacher."""
    teacher = run["teacher"] and run["teacher"]["accuracy_validation"]
    return run["machine"]["cpu"], run["machine"]["accelerator"], teacher


def finished(runs: Mapping[int, Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """Return the runs that did not fail, by seed, in order."""
    return {seed: runs[seed] for seed in sorted(runs) if "failed" not in runs[seed]}


def row(
    variant: Variant,
    depth: int,
    runs: Mapping[int, Mapping[str, Any]],
    resnets: Mapping[int, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return one variant at one depth."""
    good = finished(runs)
    about: dict[str, Any] = {
        "variant": variant.name,
        "label": variant.title(depth),
        "depth": depth,
        "once": variant.once,
        "groups": list(variant.groups),
        "levers": list(variant.levers),
        "teacher": variant.teacher,
        "failed": [f"seed {seed}: {run['failed']}" for seed, run in runs.items() if "failed" in run],
    }
    if not good:
        return about
    those = list(good.values())
    one = those[0]
    relative = [
        run["training_s"] / resnets[seed]["training_s"] for seed, run in good.items() if seed in resnets
    ]
    return about | {
        "network": one["plan"]["network"],
        "recipe": one["plan"]["recipe"],
        "seeds": list(good),
        "epochs": one["plan"]["recipe"]["epochs"],
        "test_accuracy": spread([run["test"]["accuracy"] for run in those]),
        "flat_test_accuracy": spread([run["flat"]["test_accuracy"] for run in those]),
        "test_loss": spread([run["test"]["loss"] for run in those]),
        "validation_accuracy": spread([run["scores"]["accuracy_validation"] for run in those]),
        "train_accuracy": spread([run["scores"]["accuracy_train"] for run in those]),
        "teacher_accuracy": [run["teacher"]["accuracy_validation"] for run in those if run["teacher"]],
        "training_s": spread([run["training_s"] for run in those]),
        "training_relative": spread(relative) if relative else None,
        "macs": one["flat"]["macs"],
        "wide_macs": one["flat"]["wide_macs"],
        "certified": sum(run["flat"]["certified"] for run in those),
        "worst_float64": max(run["flat"]["float64"] for run in those),
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return values over the seeds, summarised, as plain values."""
    return {**Spread.of(values).to_dict(), "values": list(values)}


def gaps(cast: Cast, runs: Runs) -> Iterator[dict[str, Any]]:
    """Yield the gap of each variant to those it is against, on the test part, and on validation."""
    for (name, depth), own in runs.items():
        for against in cast.variants[name].against:
            other = runs.get((against, depth), {})
            test = Gap.between(accuracies(own, "test"), accuracies(other, "test"))
            chosen_by = Gap.between(accuracies(own, "validation"), accuracies(other, "validation"))
            if test is not None and chosen_by is not None:
                yield {
                    "variant": name,
                    "against": against,
                    "depth": depth,
                    "same_recipe": is_same_recipe(own, other),
                    "parity": test.is_parity,
                    "mixed": mixed(own, other),
                    "test": test.to_dict(),
                    "validation": chosen_by.to_dict(),
                }


def mixed(ours: Mapping[int, Mapping[str, Any]], theirs: Mapping[int, Mapping[str, Any]]) -> list[int]:
    """Return the seeds whose two runs were done on different machines, or had different teachers."""

    def differ(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
        return one[:-1] != other[:-1] or (None not in (one[-1], other[-1]) and one[-1] != other[-1])

    both = sorted(ours.keys() & theirs.keys())
    return [seed for seed in both if differ(circumstances(ours[seed]), circumstances(theirs[seed]))]


def is_same_recipe(
    ours: Mapping[int, Mapping[str, Any]],
    theirs: Mapping[int, Mapping[str, Any]],
    aside: Sequence[str] = INSIDE,
) -> bool:
    """Say whether two variants differ in nothing but the network and fields of the recipe left aside."""
    told = []
    for runs in (ours, theirs):
        plan = next(iter(runs.values()))["plan"]
        own = {name: value for name, value in plan["recipe"].items() if name not in aside}
        told.append((own, plan.get("teacher")))
    return told[0] == told[1]


def accuracies(runs: Mapping[int, Mapping[str, Any]], part: str) -> dict[int, float]:
    """Return accuracies by seed: of the flat network on the test part, of the wide one on validation."""
    if part == "test":
        return {seed: run["flat"]["test_accuracy"] for seed, run in runs.items()}
    return {seed: run["scores"]["accuracy_validation"] for seed, run in runs.items()}


def curves(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return what Fig. 7 shows: mean and sd over the seeds after every epoch, and the gap.

    Of runs that were put back from a result file (see recall.py) only the means that it told are known: the
    curves are those of whichever runs are more, and None where none are known.
    """
    told: dict[str, Any] | None = next((run["curves"] for run in runs if "curves" in run), None)
    runs = [run for run in runs if "epochs" in run]
    if told is not None and told["n"] >= len(runs):
        return told
    if not runs:
        return None
    epochs = min(len(run["epochs"]) for run in runs)
    found: dict[str, list[list[float]]] = {
        name: [[run["epochs"][i][name] for run in runs] for i in range(epochs)] for name in CURVES
    }
    found["gap"] = [
        [run["epochs"][i]["accuracy_train"] - run["epochs"][i]["accuracy_validation"] for run in runs]
        for i in range(epochs)
    ]
    plain = {name: [Spread.of(values) for values in rows] for name, rows in found.items()}
    return {"n": len(runs)} | {
        name: {"mean": [s.mean for s in rows], "sd": [s.sd or 0.0 for s in rows]}
        for name, rows in plain.items()
    }


def judge(details: Mapping[str, Any]) -> list[Finding]:
    """Hold the study against the claims."""
    scale = details["scale"]
    findings = [found for depth in scale["depths"] for found in parities(details, depth)]
    rows = [one for one in details["variants"] if "test_accuracy" in one]
    runs = sum(one["test_accuracy"]["n"] for one in rows)
    certified = sum(one["certified"] for one in rows)
    apart = max(
        (
            abs(flat - wide)
            for one in rows
            for flat, wide in zip(
                one["flat_test_accuracy"]["values"], one["test_accuracy"]["values"], strict=True
            )
        ),
        default=0.0,
    )
    findings.append(
        Finding(
            claim="Every flat network is certified, and as right on the test part as its wide one",
            measured=f"{certified} of {runs} certified; at most {100 * apart:.2f} points apart",
            n=f"{runs} runs",
            reached=runs > 0 and certified == runs and apart <= 0.0005,
        )
    )
    done = details["runs"]
    least = min((one["test_accuracy"]["n"] for one in rows), default=0)
    findings.append(
        Finding(
            claim=f"Every variant over at least {LEAST_SEEDS} seeds, all runs finished",
            measured=f"at least {least} seeds; {done['finished']} of {done['wanted']} runs",
            n=f"{scale['epochs']} epochs (the paper: {PAPERS_EPOCHS})",
            reached=least >= LEAST_SEEDS and done["finished"] >= done["wanted"],
        )
    )
    return findings


def parities(details: Mapping[str, Any], depth: int) -> Iterator[Finding]:
    """Hold the gaps of the networks with levers to ResNets of the same recipe against the claim of parity."""
    for (name, against), words in PAIRS.items():
        found = next(
            (
                g
                for g in details["gaps"]
                if (g["variant"], g["against"], g["depth"]) == (name, against, depth)
            ),
            None,
        )
        gap = found["test"] if found else None
        yield Finding(
            claim=f"Flat Juggler-ResNet-{depth} gives nothing away to ResNet-{depth}, same recipe, "
            f"{words}: gap 0.0 points, lower end of its 95 % interval at least {PARITY_POINTS}",
            measured="not run" if gap is None else f"{gap['mean']:+.2f} points",
            n="0 seeds"
            if gap is None
            else "; ".join([f"{gap['n']} seeds, {interval(gap)}", *details["notes"]]),
            reached=gap is not None and found is not None and found["parity"],
        )


def interval(gap: Mapping[str, Any]) -> str:
    """Return a gap's interval in words."""
    return "no interval" if gap["low"] is None else f"{gap['low']:+.2f} to {gap['high']:+.2f}"

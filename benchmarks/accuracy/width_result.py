"""Width pays: a flat network that was trained wide is more accurate than the same trained plain.

Reads the runs of width_study.py that are finished, however many those are, and writes two result files:
benchmarks/results/width_study_runs.jsonl, a line a run with its plan, its curves and the norms of its
gradients, and width_study.json, with rates, means and gaps. Lines of runs whose folders are elsewhere stay.
The figures are of the test part, which was read once a finished run.

    python -m benchmarks.accuracy.width_result                  # of the runs that are finished
    python -m benchmarks.accuracy.width_result --restore        # puts runs back, to go on elsewhere
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.accuracy.gaps import PARITY_POINTS, Gap
from benchmarks.accuracy.one_run import RESULT
from benchmarks.accuracy.scale import PAPERS_EPOCHS
from benchmarks.accuracy.summary import (
    INSIDE,
    accuracies,
    finished,
    gathered,
    interval,
    is_same_recipe,
    machines_of,
    mixed,
    row,
)
from benchmarks.accuracy.variants import Cast, read_cast
from benchmarks.accuracy.width_study import FOLDER, Part, Result, better_rate, read_parts
from benchmarks.common import RESULTS, Finding, write
from juggler.cli.console import ERRORS
from juggler.errors import ConfigError
from juggler.files import write_atomically
from juggler.models import ClassifierPlan
from juggler.nouns import Machine

NAME = "width_study"
RUNS_FILE = f"{NAME}_runs.jsonl"
LOW_ENDS = {
    ("juggler", "plain_pooled"): 0.0,
    ("juggler", "resnet_pooled"): PARITY_POINTS,
    ("plain_pooled", "resnet_pooled"): PARITY_POINTS,
}
"""What the lower end of a gap's interval is to reach, in points."""
LEARNT = 0.85
"""Accuracy of the ordinary ResNet from which on the networks have learnt something."""
Runs = Mapping[int, Result]


def main() -> None:
    """Write the result files, or put runs back from one of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--folder", type=Path, default=FOLDER, help="where the runs are kept (runs/width)")
    add("--restore", action="store_true", help="put back runs of which only the result file is left")
    options = parser.parse_args()
    path = RESULTS / RUNS_FILE
    if options.restore:
        ERRORS.print(f"{restore(read_runs(path), options.folder)} runs are put back in {options.folder}")
        return
    results = merged(read_runs(path), finished_runs(options.folder))
    if not results:
        raise ConfigError(
            f"report on the study in {options.folder}",
            "no run is finished",
            "Run `python -m benchmarks.accuracy.width_study`",
        )
    write_runs(path, results)
    parts, cast = read_parts(), read_cast()
    details = summarised(parts, cast, results)
    where = Machine.from_dict(results[-1]["machine"]), max(result["date"] for result in results)
    write(NAME, __doc__, [*judge(parts, cast, details)], details, quick=False, measured=where)


def finished_runs(folder: Path) -> list[Result]:
    """Return the results of the study's runs in a folder."""
    results = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob(f"*/{RESULT}"))]
    return [result for result in results if "part" in result]


def read_runs(path: Path) -> list[Result]:
    """Return the runs of a result file, none where there is none."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_runs(path: Path, results: Iterable[Result]) -> None:
    """Write the runs, a line each."""
    write_atomically(path, "".join(f"{json.dumps(result)}\n" for result in results).encode())


def merged(*groups: Iterable[Result]) -> list[Result]:
    """Return runs in the order of part, seed, variant and rate; of two that are the same the later."""
    runs = {
        (result["part"], result["seed"], result["variant"], rate_of(result)): result
        for results in groups
        for result in results
    }
    return [runs[place] for place in sorted(runs)]


def rate_of(result: Result) -> float:
    """Return the learning rate of a run."""
    return float(result["plan"]["recipe"]["rate"])


def restore(results: Iterable[Result], folder: Path) -> int:
    """Write results to the folders of their runs where they are missing; count them."""
    count = 0
    for result in results:
        digest = ClassifierPlan.from_dict(result["plan"]).digest[:8]
        path = folder / f"{result['variant']}-{result['depth']}-{result['seed']}-{digest}" / RESULT
        if not path.is_file():
            write_atomically(path, f"{json.dumps(result, indent=1)}\n".encode())
            count += 1
    return count


def summarised(parts: Sequence[Part], cast: Cast, results: Sequence[Result]) -> dict[str, Any]:
    """Return everything that is shown of the study, as plain values."""
    machines = machines_of(results)
    return {
        "ran_on": machines,
        "commits": sorted({result["commit"] for result in results if result["commit"]}),
        "notes": next((list(result["notes"]) for result in results if "notes" in result), []),
        "parts": {
            part.name: summary_of(part, cast, [r for r in results if r["part"] == part.name], machines)
            for part in parts
        },
    }


def summary_of(
    part: Part, cast: Cast, results: Sequence[Result], machines: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return one part: the rates that were chosen, and the runs at those."""
    depth = part.scale.depths[0]
    rates = {name: rates_of(part, name, results) for name in part.seeds}
    at_rate = [result for result in results if rate_of(result) == rates[result["variant"]]["rate"]]
    runs = {name: finished(of_depth) for (name, _), of_depth in gathered(at_rate).items()}
    rows = [
        row(cast.variants[name], depth, runs[name], runs.get("resnet", {}))
        | {"ran_on": [machines.index(run["machine"]) for run in runs[name].values()]}
        for name in part.seeds
        if runs.get(name)
    ]
    return {
        "scale": part.scale.to_dict(),
        "scale_words": part.scale.words,
        "teacher": part.teacher,
        "teachers": teachers_of(results),
        "rates": rates,
        "seeds": dict(part.seeds),
        "failed": [
            f"{result['variant']}, seed {result['seed']}, rate {rate_of(result):g}: {result['failed']}"
            for result in results
            if "failed" in result
        ],
        "variants": rows,
        "gaps": list(gaps_of(part, runs)),
    }


def rates_of(part: Part, name: str, results: Sequence[Result]) -> dict[str, Any]:
    """Return which rate a variant has, and how right it was on validation by each on seed 0."""
    first = {rate_of(r): r for r in results if (r["variant"], r["seed"]) == (name, 0)}
    return {
        "rate": better_rate(part, [first.get(rate) for rate in part.rates]),
        "validation_accuracy": {
            f"{rate:g}": first[rate]["scores"]["accuracy_validation"]
            for rate in part.rates
            if rate in first and "failed" not in first[rate]
        },
    }


def teachers_of(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the teacher files that taught, each once: one, unless the study went on elsewhere."""
    teachers = {
        result["teacher_sha256"]: result["teacher"]["accuracy_validation"]
        for result in results
        if result.get("teacher_sha256")
    }
    return [
        {"weights_sha256": sha256, "validation_accuracy": accuracy} for sha256, accuracy in teachers.items()
    ]


def gaps_of(part: Part, runs: Mapping[str, Runs]) -> Iterator[dict[str, Any]]:
    """Yield the gaps of the part, on the test part and on validation, over the seeds that both sides have."""
    for first, second in part.gaps:
        ours, theirs = runs.get(first, {}), runs.get(second, {})
        test = Gap.between(accuracies(ours, "test"), accuracies(theirs, "test"))
        validation = Gap.between(accuracies(ours, "validation"), accuracies(theirs, "validation"))
        if test is not None and validation is not None:
            yield {
                "variant": first,
                "against": second,
                "depth": part.scale.depths[0],
                "same_recipe_but_rate": is_same_recipe(ours, theirs, aside=(*INSIDE, "rate")),
                "mixed": mixed(ours, theirs),
                "other_teachers": other_teachers(ours, theirs),
                "test": test.to_dict(),
                "validation": validation.to_dict(),
            }


def other_teachers(ours: Runs, theirs: Runs) -> list[int]:
    """Return the seeds whose two sides were taught from different files."""
    return [
        seed
        for seed in sorted(ours.keys() & theirs.keys())
        if None not in (pair := (ours[seed]["teacher_sha256"], theirs[seed]["teacher_sha256"]))
        and pair[0] != pair[1]
    ]


def judge(parts: Sequence[Part], cast: Cast, details: Mapping[str, Any]) -> Iterator[Finding]:
    """Hold the study against the claims."""
    for part in parts:
        summary, depth = details["parts"][part.name], part.scale.depths[0]
        for first, second in part.gaps:
            if (first, second) in LOW_ENDS:
                yield gap_finding(cast, summary, (first, second), depth, details["notes"])
        if "resnet" in part.seeds:
            yield learnt_finding(summary, depth)
    yield completeness(details)


def gap_finding(
    cast: Cast, summary: Mapping[str, Any], pair: tuple[str, str], depth: int, notes: Sequence[str]
) -> Finding:
    """Hold a gap against what its lower end is to reach."""
    gaps = [g["test"] for g in summary["gaps"] if (g["variant"], g["against"]) == pair]
    least, titles = LOW_ENDS[pair], [cast.variants[name].title(depth) for name in pair]
    what = "more accurate than" if least == 0 else "as accurate as"
    claim = f"Flat, {titles[0]} is {what} {titles[1]}: lower end of the gap's 95 % interval"
    claim = f"{claim} {'above' if least == 0 else 'at least'} {least:g} points, each at its better rate"
    if not gaps:
        return Finding(claim, "not run", "0 seeds", reached=False)
    words = "; ".join([f"{gaps[0]['n']} seeds, {interval(gaps[0])}", *notes])
    low = gaps[0]["low"]
    reached = low is not None and (low > least if least == 0 else low >= least)
    return Finding(claim, f"{gaps[0]['mean']:+.2f} points", words, reached)


def learnt_finding(summary: Mapping[str, Any], depth: int) -> Finding:
    """Hold the ordinary ResNet against what it is to have learnt."""
    claim = f"The ordinary ResNet-{depth} is at least {LEARNT:.0%} accurate at this scale"
    rows = [row["flat_test_accuracy"] for row in summary["variants"] if row["variant"] == "resnet"]
    if not rows:
        return Finding(claim, "not run", "0 seeds", reached=False)
    return Finding(
        claim, f"{rows[0]['mean']:.2%}", f"{rows[0]['n']} seeds", reached=rows[0]["mean"] >= LEARNT
    )


def completeness(details: Mapping[str, Any]) -> Finding:
    """Say how many runs are finished, and how many of their flat networks are certified."""
    summaries = details["parts"].values()
    expected = sum(sum(summary["seeds"].values()) for summary in summaries)
    rows = [row for summary in summaries for row in summary["variants"]]
    runs = sum(row["test_accuracy"]["n"] for row in rows)
    certified = sum(row["certified"] for row in rows)
    epochs = " and ".join(str(summary["scale"]["epochs"]) for summary in summaries)
    return Finding(
        claim="Every run of the study of width is finished, and its flat network certified",
        measured=f"{runs} of {expected} finished, {certified} certified",
        n=f"{epochs} epochs (the paper: {PAPERS_EPOCHS})",
        reached=runs == certified == expected,
    )


if __name__ == "__main__":
    main()

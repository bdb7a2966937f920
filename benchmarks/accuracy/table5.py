"""Table V of the paper, as this study has it: Markdown and CSV, the published values beside and labelled."""

from __future__ import annotations

import csv
import io
from typing import Any

from benchmarks.accuracy.tables import Values, gap_of, latency_of, percent, points
from benchmarks.pages.blocks import table

# Table V of the paper, accuracy in per cent after 120 epochs: CIFAR-10, CIFAR-100.
PUBLISHED = {
    ("resnet", 18): (94.49, 73.92),
    ("juggler_paper", 18): (93.52, 72.52),
    ("resnet", 34): (94.63, 75.86),
    ("juggler_paper", 34): (93.12, 74.85),
    ("resnet", 50): (94.90, 76.52),
    ("juggler_paper", 50): (93.42, 74.73),
    ("resnet", 101): (94.73, 76.85),
    ("juggler_paper", 101): (93.62, 75.47),
    ("resnet", 152): (94.36, 77.52),
    ("juggler_paper", 152): (92.95, 75.61),
}
NAMES = {"resnet": "ResNet-{}", "juggler_paper": "Juggler-ResNet-{}, as in the paper"}
COLUMNS = (
    *("depth", "variant", "network", "published_cifar10", "published_cifar100", "test_accuracy", "test_sd"),
    *("validation_accuracy", "validation_sd", "n", "gap_to_resnet_points", "gap_low", "gap_high"),
    *("epochs", "training_relative", "macs", "latency_ms", "note"),
)


def table5_rows(study: Values, front: Values | None) -> list[dict[str, Any]]:
    """Return the rows of Table V, by the names of `COLUMNS`; those of depths that were not run, too."""
    found = [_row(one, study, front) for one in study["variants"] if "table5" in one["groups"]]
    known = {(one["variant"], one["depth"]) for one in found}
    found += [
        {"depth": depth, "variant": name, "network": NAMES[name].format(depth)} | _published(name, depth)
        for name, depth in PUBLISHED
        if (name, depth) not in known
    ]
    order = list(dict.fromkeys(one["variant"] for one in study["variants"]))
    once = {one["variant"] for one in study["variants"] if one["once"]}
    return sorted(
        found,
        key=lambda one: (
            one["variant"] in once,
            one["depth"],
            order.index(one["variant"]) if one["variant"] in order else len(order),
        ),
    )


def _row(one: Values, study: Values, front: Values | None) -> dict[str, Any]:
    name, depth = one["variant"], one["depth"]
    gap = gap_of(study, name, "resnet", depth)
    latency = latency_of(front, name, depth)
    base = {"depth": depth, "variant": name, "network": one["label"]} | _published(name, depth)
    if "test_accuracy" not in one:
        return base
    return base | {
        "test_accuracy": one["flat_test_accuracy"]["mean"],
        "test_sd": one["flat_test_accuracy"]["sd"],
        "validation_accuracy": one["validation_accuracy"]["mean"],
        "validation_sd": one["validation_accuracy"]["sd"],
        "n": one["test_accuracy"]["n"],
        "gap_to_resnet_points": gap["mean"] if gap else None,
        "gap_low": gap["low"] if gap else None,
        "gap_high": gap["high"] if gap else None,
        "epochs": one["epochs"],
        "training_relative": one["training_relative"]["mean"] if one["training_relative"] else None,
        "macs": one["macs"],
        "latency_ms": latency["latency_ms"] if latency else None,
        "note": "; ".join(study["notes"]),
    }


def _published(name: str, depth: int) -> dict[str, Any]:
    here = PUBLISHED.get((name, depth))
    return {"published_cifar10": here[0], "published_cifar100": here[1]} if here else {}


def table5_csv(study: Values, front: Values | None) -> str:
    """Return Table V as CSV: accuracies as fractions, published ones in per cent."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: "" if value is None else value for key, value in row.items()}
        for row in table5_rows(study, front)
    )
    return text.getvalue()


def table5(study: Values, front: Values | None) -> str:
    """Return Table V in Markdown."""
    rows = []
    for one in table5_rows(study, front):
        depth = "" if one["variant"] in ("vgg16", "alexnet") else str(one["depth"])
        published = [
            f"{one[f'published_{s}']:.2f}" if f"published_{s}" in one else "" for s in ("cifar10", "cifar100")
        ]
        if "n" not in one:
            rows.append([depth, one["network"], *published, "not run", "", "", "", "", ""])
            continue
        gap = {"mean": one["gap_to_resnet_points"], "low": one["gap_low"], "high": one["gap_high"]}
        test = {"mean": one["test_accuracy"], "sd": one["test_sd"], "n": one["n"]}
        validation = {"mean": one["validation_accuracy"], "sd": one["validation_sd"], "n": one["n"]}
        rows.append(
            [
                *(depth, one["network"], *published, percent(test, bold=True), percent(validation)),
                "" if gap["mean"] is None else points(gap),
                "" if one["training_relative"] is None else f"{one['training_relative']:.2f}",
                f"{one['macs'] / 1e6:,.1f}",
                "" if one["latency_ms"] is None else f"{one['latency_ms']:.3f}",
            ]
        )
    head = [
        *(
            "depth",
            "network",
            "published, CIFAR-10",
            "published, CIFAR-100",
            "test, flat (n)",
            "validation (n)",
        ),
        *("gap to ResNet (95 %)", "training time / ResNet's", "MACs, flat (M)", "latency (ms)"),
    ]
    return table(head, rows)

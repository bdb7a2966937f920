"""Training runs within 15 % of a bare PyTorch loop that does the same work.

`juggler.models.fit` against the loop that one would write by hand: the same ResNet, batch, SGD, cosine,
augmentation by kornia in batches on the device, and the same uint8 pictures there. Both do one epoch a
round, in an order drawn anew, so that what the machine does meanwhile falls on both. Beside them fit trains
the wide Juggler-ResNets: what they cost over the ResNet. Pictures are random: what they show changes no
speed. An epoch is timed without making the network and without validation. Not to be run beside anything
else.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import kornia.augmentation
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.accuracy.scale import Scale, add_flags, plan_of, scale_of
from benchmarks.accuracy.variants import read_cast
from benchmarks.common import Finding, write
from juggler.cli.console import bar
from juggler.clock.interval import median_interval
from juggler.data import Standard, TrainPictures
from juggler.models import ClassifierPlan, create, fit
from juggler.nouns import Progress

ROUNDS, LEAST_ROUNDS = 9, 5
LIMIT = 0.85  # of the bare loop's pictures a second
COUNT = {"cpu": 2_048, "gpu": 50_000}
CLASSES = 10
CONTENDERS = {"fit": "resnet", "wide": "juggler_paper", "levers": "juggler_inside"}
Epoch = Callable[[], float]
"""Does an epoch and returns the seconds that it took."""


def main() -> None:
    """Time epochs in turns, write the result file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_flags(parser)
    parser.add_argument("--quick", action="store_true", help="a short trial, written to build/benchmarks")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"at least {LEAST_ROUNDS}")
    parser.add_argument("--count", type=int, help="pictures an epoch")
    given = parser.parse_args()
    scale = scale_of(given)
    rounds = LEAST_ROUNDS if given.quick else max(LEAST_ROUNDS, given.rounds)
    count = given.count or (512 if given.quick else COUNT[scale.preset])
    taken = timed(dict(contenders(scale, count)), rounds)
    details = {
        "scale": scale.to_dict(),
        "depth": scale.depths[0],
        "pictures": count,
        "rounds": rounds,
        "seconds_an_epoch": {name: values.tolist() for name, values in taken.items()},
        "pictures_per_s": {name: count / float(np.median(values)) for name, values in taken.items()},
    }
    write(
        "accuracy_throughput",
        __doc__,
        judge(taken, details),
        details,
        quick=given.quick,
        packages=("kornia",),
    )


def contenders(scale: Scale, count: int) -> Iterator[tuple[str, Epoch]]:
    """Yield who takes part, by name: the bare loop, and fit with each network."""
    cast, depth = read_cast(), scale.depths[0]
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    labels = draw.integers(0, CLASSES, count).astype(np.int64)
    pictures = TrainPictures(images, labels, tuple(map(str, range(CLASSES))), "random", "", ())
    standard = Standard.fit(pictures)
    for name, variant in CONTENDERS.items():
        plan = plan_of(cast.variants[variant], depth, 0, scale=scale, cast=cast, widths={})
        yield name, partial(by_fit, plan, pictures, standard)
        if name == "fit":
            yield "bare", bare_loop(plan, pictures, standard)


def by_fit(plan: ClassifierPlan, pictures: TrainPictures, standard: Standard) -> float:
    """Train an epoch by `fit`; return its seconds."""
    network = network_of(plan)
    recipe = dataclasses.replace(plan.learner.recipe, epochs=1, warmup_epochs=0.0)
    history = fit(network, pictures.images, pictures.labels, recipe, standard=standard)
    return history.epochs[0].duration_s


def network_of(plan: ClassifierPlan) -> nn.Module:
    """Return a plan's network, its weights drawn."""
    return create(plan.learner.network, classes=CLASSES, **plan.learner.options)


def bare_loop(plan: ClassifierPlan, pictures: TrainPictures, standard: Standard) -> Epoch:
    """Return the loop that one would write by hand; it shares nothing with `fit` but torch and kornia."""
    recipe = plan.learner.recipe
    on_gpu = recipe.accelerator in ("gpu", "cuda", "auto") and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    images, labels = (
        torch.from_numpy(pictures.images).to(device),
        torch.from_numpy(pictures.labels).to(device),
    )
    mean = torch.tensor(standard.mean, device=device).view(1, 3, 1, 1) * 255
    sd = torch.tensor(standard.sd, device=device).view(1, 3, 1, 1) * 255
    augment = nn.Sequential(
        kornia.augmentation.RandomHorizontalFlip(p=0.5),
        kornia.augmentation.RandomCrop((32, 32), padding=recipe.random_crop, cropping_mode="slice", p=1.0),
    )

    def epoch() -> float:
        network = network_of(plan).to(device).train()
        network.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stubs lack it
        optimizer = torch.optim.SGD(
            network.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=True,
        )
        steps = -(-len(images) // recipe.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        began = time.monotonic()
        for rows in torch.split(torch.randperm(len(images), device=device), recipe.batch_size):
            x = augment((images[rows].float() - mean) / sd).contiguous(memory_format=layout)
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16-mixed"):
                loss = F.cross_entropy(network(x), labels[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        if on_gpu:
            torch.cuda.synchronize()
        return time.monotonic() - began

    return epoch


def timed(epochs: dict[str, Epoch], rounds: int) -> dict[str, np.ndarray[Any, Any]]:
    """Do an epoch of each a round, in an order drawn anew; the first round warms up."""
    draw, names = np.random.default_rng(0), list(epochs)
    taken: dict[str, list[float]] = {name: [] for name in names}
    with bar(f"{len(names)} contenders, {rounds} rounds") as report:
        for turn in range(rounds + 1):
            for place, index in enumerate(draw.permutation(len(names))):
                seconds = epochs[names[index]]()
                if turn > 0:
                    taken[names[index]].append(seconds)
                report(Progress("race", turn * len(names) + place + 1, (rounds + 1) * len(names), "turns"))
    return {name: np.array(values) for name, values in taken.items()}


def judge(taken: dict[str, np.ndarray[Any, Any]], details: dict[str, Any]) -> list[Finding]:
    """Hold fit's throughput against the bare loop's, and state what the wide networks cost."""
    rates, n = (
        details["pictures_per_s"],
        f"{details['rounds']} rounds of an epoch of {details['pictures']:,} pictures",
    )
    ratio, low, high = compared(taken["bare"], taken["fit"])
    depth = details["depth"]
    findings = [
        Finding(
            claim=f"Training ResNet-{depth} within 15 % of a bare PyTorch loop's pictures a second",
            measured=f"{ratio:.3f} times the bare loop's ("
            f"{rates['fit']:,.0f} against {rates['bare']:,.0f} a second)",
            n=f"{n}, {low:.3f} to {high:.3f}",
            reached=ratio >= LIMIT,
        )
    ]
    words = {"wide": "as in the paper", "levers": "with the levers in the structure"}
    for name, which in words.items():
        times, low, high = compared(taken[name], taken["fit"])
        findings.append(
            Finding(
                claim=f"What the wide Juggler-ResNet-{depth} {which} costs in training over ResNet-{depth}",
                measured=f"{times:.2f} times as long an epoch ({rates[name]:,.0f} pictures a second)",
                n=f"{n}, {low:.2f} to {high:.2f}",
                reached=True,  # stated, not claimed
            )
        )
    return findings


def compared(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> tuple[float, float, float]:
    """Return the median over the rounds of a / b, with its 95 % interval."""
    pairs = a / b
    return float(np.median(pairs)), *median_interval(pairs)


if __name__ == "__main__":
    main()

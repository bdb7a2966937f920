"""Say how the present machine differs from the one that a predictor was fitted on."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from juggler.nouns import Machine
from juggler.runtime.machine import machine

if TYPE_CHECKING:
    from juggler.predict.predictor.predictor import Predictor


def differences(predictor: Predictor, here: Machine | None = None) -> tuple[str, ...]:
    """Return what differs and changes latencies: the processor, the accelerator, cores, the runtime.

    Args:
        predictor: whose machine is compared.
        here: the present machine; None looks.
    """
    present, there = here or machine(), predictor.machine
    release = present.packages.get(predictor.backend, "none")
    pairs = {
        "processor": (there.cpu, present.cpu),
        "accelerator": (there.accelerator or "none", present.accelerator or "none"),
        predictor.backend: (predictor.release, release),
    }
    changes = [f"{what} {now}, not {then}" for what, (then, now) in pairs.items() if then != now]
    if present.cores < predictor.threads:
        changes.append(f"{present.cores} cores, not the {predictor.threads} that kernels were timed with")
    return tuple(changes)


def warning(predictor: Predictor, here: Machine | None = None) -> str:
    """Return what to tell who predicts on another machine; empty on the same, and once recalibrated."""
    changes = differences(predictor, here)
    if not changes or predictor.corrected:
        return ""
    what = "; ".join(changes)
    return f"this machine is not the predictor's: {what}. --recalibrate mends it in a minute"


def predictor_digest(predictor: Predictor) -> str:
    """Return 16 digits that name a predictor."""
    fields = [predictor.name, predictor.fitted_at, predictor.backend, predictor.threads, predictor.precision]
    text = json.dumps([*fields, predictor.machine.to_dict()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

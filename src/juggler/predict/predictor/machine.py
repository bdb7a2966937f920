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
    own, there = here or machine(), predictor.machine
    release = own.packages.get(predictor.backend, "none")
    pairs = {
        "processor": (there.cpu, own.cpu),
        "accelerator": (there.accelerator or "none", own.accelerator or "none"),
        predictor.backend: (predictor.release, release),
    }
    found = [f"{what} {now}, not {then}" for what, (then, now) in pairs.items() if then != now]
    if own.cores < predictor.threads:
        found.append(f"{own.cores} cores, not the {predictor.threads} that kernels were timed with")
    return tuple(found)


def warning(predictor: Predictor, here: Machine | None = None) -> str:
    """Return what to tell who predicts on another machine; empty on the same, and once recalibrated."""
    found = differences(predictor, here)
    if not found or predictor.corrected:
        return ""
    what = "; ".join(found)
    return f"this machine is not the predictor's: {what}. --recalibrate mends it in a minute"


def predictor_digest(predictor: Predictor) -> str:
    """Return 16 digits that name a predictor."""
    fields = [predictor.name, predictor.fitted_at, predictor.backend, predictor.threads, predictor.precision]
    text = json.dumps([*fields, predictor.machine.to_dict()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

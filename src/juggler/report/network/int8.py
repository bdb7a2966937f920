"""Say in words how near an int8 graph is to float32."""

from __future__ import annotations

from juggler.nouns import Quantization
from juggler.report.kit import units


def int8_figures(quantization: Quantization) -> str:
    """Return one line: `int8 34.2 dB (at least 20.0), 99.4 % of 500 classes kept`."""
    noise = quantization.signal_to_noise_db
    text = "int8 exact" if noise is None else f"int8 {units.decimal(noise, 1)} dB"
    text += f" (at least {units.decimal(quantization.least_db, 1)})"
    if not quantization.classes_compared:
        return text
    share = units.with_percent_sign(quantization.classes_agreed / quantization.classes_compared)
    return f"{text}, {share} of {units.count(quantization.classes_compared)} classes kept"


def int8_note(quantization: Quantization) -> str:
    """Return a sentence: what quantised it, on how many inputs, how near it is, what stayed in float32."""
    by = f"{units.clean(quantization.tool)} {units.clean(quantization.release)}"
    spared = f"; in float32: {units.clean(', '.join(quantization.spared))}" if quantization.spared else ""
    return (
        f"Quantised by {by} on {units.count(quantization.calibrated)} inputs; "
        f"on {units.count(quantization.checked)} others: {int8_figures(quantization)}{spared}."
    )

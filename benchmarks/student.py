"""Student's t: how far a mean of few lies from the truth."""

from __future__ import annotations

# 97.5 %, by degrees of freedom from 1.
_QUANTILES = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
)


def quantile(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t; beyond 20 degrees of freedom that of 20, which is wider."""
    return _QUANTILES[min(freedom, len(_QUANTILES)) - 1]

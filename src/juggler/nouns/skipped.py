"""What was asked for and not done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from juggler.lazy import renamed_keywords
from juggler.nouns.noun import Noun

_EARLIER = {"backend": "what", "title": "what", "why": "reason", "missing": "reason"}


@renamed_keywords(_EARLIER)
@dataclass(frozen=True)
class Skipped(Noun):
    """What was asked for and not done: a backend that cannot work here, a network that does not open.

    Attributes:
        what: what was asked for, such as `openvino in bfloat16`.
        reason: why it was not done.
        remedy: what mends it; empty where nothing does.
    """

    what: str
    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.what} was not run: {'; '.join(filter(None, (self.reason, self.remedy)))}"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build it from what `to_dict` gave, or from the nouns that release 0.1.0 had in its place."""
        fields = {_EARLIER.get(name, name): value for name, value in values.items()}
        precision = fields.pop("precision", None)
        if precision:
            fields["what"] = f"{fields['what']} in {precision}"
        return super().from_dict(fields)

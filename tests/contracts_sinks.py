"""What every sink must pass, the schema of EVE records, and a sample alert."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from juggler.alerts.sink import Sink
from juggler.nouns import Alert

EVE = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).parent / "detect" / "eve_alert.schema.json").read_text(encoding="utf-8"))
)


def valid(line: str) -> dict[str, Any]:
    """Return a line of an EVE file; raise where the schema refuses it."""
    record: dict[str, Any] = json.loads(line)
    EVE.validate(record)
    return record


def alert(identity: int = 1, **changes: Any) -> Alert:
    fields: dict[str, Any] = {
        "identity": identity,
        "timestamp": "2024-01-02T03:04:05.000006+01:00",
        "state": "opened",
        "attack_class": "dos",
        "score": 0.9987,
        "threshold": 0.12,
        "count": 1,
        "first_record": 7,
        "last_record": 7,
        "protocol": "tcp",
        "service": "http",
        "weighed": {"serror_rate": 0.41},
    }
    return Alert(**(fields | changes))


def check_sink(kind: type[Sink], name: str, target: Path) -> None:
    """Open, write an opened and a closed alert of each class, count them, and close twice; then again."""
    assert kind.name == name
    for _ in range(2):
        with kind.open(target) as sink:
            assert sink.written == 0
            for identity, attack_class in enumerate(("dos", "probe", "r2l", "u2r", "unheard_of"), start=1):
                for state in ("opened", "closed"):
                    sink.write(alert(identity, attack_class=attack_class, state=state))
            sink.write(alert(protocol="", service="", weighed={}))
            assert sink.written == 11
        sink.close()

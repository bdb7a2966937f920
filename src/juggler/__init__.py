"""Train wide, deploy flat, know what it costs before you buy the hardware, watch the network with it.

The rooms, in the order in which data flows through them:

- `juggler.data`       bytes -> arrays: data sets, schemas, encoders
- `juggler.models`     arrays -> a trained wide network: blocks, families, recipes, the training loop
- `juggler.transform`  exact rewriting of torch.fx graphs, proved or refused
- `juggler.runtime`    export, artefacts, and one `Session` over every backend
- `juggler.detect`     records -> alerts; no torch in the process
- `juggler.report`     tables, figures, one-file HTML
- `juggler.cost`       a gauge to hold at any point: so far, the clock

Below them: `metrics` (scores and the one alarm rule), `registry` (plug-ins), `nouns` and `errors`.

The names below are looked up when first used, so that `import juggler` needs neither torch nor onnx. What
bears the name of a room is not among them: `from juggler.detect import detect`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from juggler.data import Encoder, load_set
    from juggler.detect import Detector, evaluate
    from juggler.models import Plan, TrainedDetector, create, train_detector
    from juggler.models.widen import widen
    from juggler.nouns import Certificate
    from juggler.runtime import Artefact, open_session
    from juggler.runtime.deploy import deploy
    from juggler.runtime.export import export
    from juggler.runtime.flattening import flatten
    from juggler.runtime.measure import measure

_HOMES = {
    "Artefact": "runtime",
    "Certificate": "nouns",
    "Detector": "detect",
    "Encoder": "data",
    "Plan": "models",
    "TrainedDetector": "models",
    "create": "models",
    "deploy": "runtime.deploy",
    "evaluate": "detect",
    "export": "runtime.export",
    "flatten": "runtime.flattening",
    "load_set": "data",
    "measure": "runtime.measure",
    "open_session": "runtime",
    "train_detector": "models",
    "widen": "models.widen",
}

__all__ = [
    "Artefact",
    "Certificate",
    "Detector",
    "Encoder",
    "Plan",
    "TrainedDetector",
    "create",
    "deploy",
    "evaluate",
    "export",
    "flatten",
    "load_set",
    "measure",
    "open_session",
    "train_detector",
    "widen",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        from juggler.errors import Unavailable  # noqa: PLC0415  # only on this way out
        from juggler.extras import install_command  # noqa: PLC0415

        if str(error.name).startswith("juggler"):
            raise
        remedy = f"Install the workshop: {install_command('train')}"
        raise Unavailable(f"use juggler.{name}", f"{error.name} is not installed", remedy) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

"""Train wide, deploy flat, know what it costs before you buy the hardware, watch the network with it.

The rooms, in the order in which data flows through them:

- `juggler.data`       bytes -> arrays: data sets, schemas, encoders
- `juggler.models`     arrays -> a trained wide network: blocks, families, recipes, the training loop
- `juggler.transform`  exact rewriting of torch.fx graphs, proved or refused
- `juggler.runtime`    export, artefacts, and one `Session` over every backend
- `juggler.detect`     records -> alarms; no torch in the process
- `juggler.alerts`     alarms -> alerts: aggregation, and the sinks that take them
- `juggler.report`     tables, figures, one-file HTML
- `juggler.survey`, `juggler.reproduce`   what any network costs, and the papers' tables and figures

Gauges, to be held at any point: `clock` (what it takes), `count` and `cost` (what it should cost), `predict`
(what it will take). Below them: `metrics` (scores and the one alarm rule), `registry` (plug-ins), `nouns` and
`errors`.

The names below are looked up when first used, so that `import juggler` needs neither torch nor onnx. What
bears the name of a room is not among them: `from juggler.detect import detect`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face
from juggler.moved import install
from juggler.privacy import silence

if TYPE_CHECKING:
    from juggler.data import Encoder, load_set
    from juggler.detect import Detector, evaluate
    from juggler.models import Plan, TrainedDetector, create, train_detector
    from juggler.models.widen import widen
    from juggler.nouns import Certificate
    from juggler.runtime import Artefact, open_session
    from juggler.runtime.deploy import deploy
    from juggler.runtime.export import export
    from juggler.runtime.measure.speed import measure
    from juggler.runtime.tuning.flattening import flatten

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

silence()  # before anything that reports home is imported
install()  # modules that have moved since the last release are found by their old names

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.data": ["Encoder", "load_set"],
        "juggler.detect": ["Detector", "evaluate"],
        "juggler.models": ["Plan", "TrainedDetector", "create", "train_detector"],
        "juggler.models.widen": ["widen"],
        "juggler.nouns": ["Certificate"],
        "juggler.runtime": ["Artefact", "open_session"],
        "juggler.runtime.deploy": ["deploy"],
        "juggler.runtime.export": ["export"],
        "juggler.runtime.tuning.flattening": ["flatten"],
        "juggler.runtime.measure.speed": ["measure"],
    },
)

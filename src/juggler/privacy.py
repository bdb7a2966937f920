"""Keep the house quiet: no dependency talks to the network, or keeps a number of its user, unless he says so.

ONNX Runtime looks a vendor's host up ten seconds after its first session and keeps a device id in the user's
cache; OpenVINO reports that it was imported. In a plant each of them is an incident. `JUGGLER_TELEMETRY=1`
leaves both as their makers ship them.
"""

from __future__ import annotations

import os
import sys

ALLOW = "JUGGLER_TELEMETRY"
# Read by a package when it is imported: what the user has set himself stays.
SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
# OpenVINO and NNCF report through this package, which has no switch but a file in the user's home; without it
# both use stubs of their own.
REPORTERS = ("openvino_telemetry",)


def silence() -> None:
    """Switch the telemetry of dependencies off, for this process and those that it starts.

    It must come before they are imported: `import juggler` does it first.
    """
    if os.environ.get(ALLOW) == "1":
        return
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    for package in REPORTERS:
        sys.modules.setdefault(package, None)  # type: ignore[arg-type]  # Python's own sign for "do not import"

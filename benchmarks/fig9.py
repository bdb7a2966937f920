"""Throughput over batch size: flat Juggler-ResNet-152 stays above ResNet-152 (Fig. 9).

The same as `juggler reproduce fig9`, and with the same options: see `--help`.
"""

from __future__ import annotations

import sys

from juggler.cli.app import main

if __name__ == "__main__":
    sys.argv[1:1] = ["reproduce", "fig9"]
    main()

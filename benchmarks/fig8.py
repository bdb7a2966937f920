"""Flat Juggler-ResNet is about twice as fast as the ResNet of its depth, on every runtime (Fig. 8).

The same as `juggler reproduce fig8`, and with the same options: see `--help`. `speedups.py` holds what it
measures against the project's claims.
"""

from __future__ import annotations

import sys

from juggler.cli.app import main

if __name__ == "__main__":
    sys.argv[1:1] = ["reproduce", "fig8"]
    main()

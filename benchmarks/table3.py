"""A 3x3 convolution does more multiply-accumulates a second than a 1x1 (Table III).

The same as `juggler reproduce table3`, and with the same options: see `--help`.
"""

from __future__ import annotations

import sys

from juggler.cli.app import main

if __name__ == "__main__":
    sys.argv[1:1] = ["reproduce", "table3"]
    main()

"""Of blocks with about the same work, the plain stack of 3x3 convolutions computes fastest (Table II).

The same as `juggler reproduce table2`, and with the same options: see `--help`.
"""

from __future__ import annotations

import sys

from juggler.cli.app import main

if __name__ == "__main__":
    sys.argv[1:1] = ["reproduce", "table2"]
    main()

"""To merge an ordinary basicblock or bottleneck outright makes it slower (section II-C).

The same as `juggler reproduce merge-penalty`, and with the same options: see `--help`.
"""

from __future__ import annotations

import sys

from juggler.cli.app import main

if __name__ == "__main__":
    sys.argv[1:1] = ["reproduce", "merge-penalty"]
    main()

"""The process that works while faults happen: ``python -m tests.faults.client SCENARIO ...``.

It says when it begins, and ends with 1 if the store was not available, which a fault may cause.
"""

from __future__ import annotations

import sys
from pathlib import Path

from firstedge.graph.errors import StoreUnavailable
from tests.faults.scenarios import SCENARIOS

READY = "ready"


def main(name: str, url: str, folder: str, patience: str) -> None:
    """Do the work of a scenario."""
    print(READY, flush=True)
    try:
        SCENARIOS[name].work(url, Path(folder), float(patience))
    except StoreUnavailable as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])

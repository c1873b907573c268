"""Writes to an embedded store whose files may not grow beyond a limit, as on a full disk.

Run by tests/graph/test_ladybug_store.py, in a process of its own because of the limit. Prints the
number of the write that failed and the error.
"""

import resource
import signal
import sys
from itertools import count

from contracts.killed_writer import SIZES, events_of, write_nodes

from firstedge.graph.errors import StoreError
from firstedge.graph.ladybug_store import LadybugStore
from firstedge.graph.schema import Schema


def main(path: str, limit: int) -> None:
    """Write until the limit, in bytes, is reached."""
    signal.signal(
        signal.SIGXFSZ, signal.SIG_IGN
    )  # so that writing fails, as it does on a full disk
    with LadybugStore(path, Schema()) as store:
        write_nodes(store)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        for n in count(SIZES.index(2000), len(SIZES)):
            try:
                store.write("events", events_of(n), note=("done", str(n)))
            except StoreError as error:
                print(n, error)
                return


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

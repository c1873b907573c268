"""Writes to a store until it is killed, and prints the number of each write that has returned.

Run by tests/graph/test_ladybug_store.py. Write n has the events of `keys_of(n)` and a note that
counts it.
"""

import sys

import pyarrow as pa

from firstedge.graph import ladybug_pending
from firstedge.graph.ladybug_store import LadybugStore
from firstedge.graph.schema import Schema
from firstedge.graph.store import COLUMNS

SIZES = (1, 1500, 3, 2000)  # few rows and many rows are written in different ways
NODES = 50


def keys_of(write: int) -> range:
    """The keys of the events of a write."""
    return range(write * 2000, write * 2000 + SIZES[write % len(SIZES)])


def events_of(write: int) -> pa.Table:
    """The events of a write."""
    return events_with(keys_of(write))


def events_with(keys: range) -> pa.Table:
    """Events of these keys."""
    columns = {
        "user": [f"u{key % NODES}" for key in keys],
        "target": [f"i{key % NODES}" for key in keys],
        "kind": ["view" if key % 3 else "purchase" for key in keys],
        "time": list(keys),
        "seq": list(keys),
        "weight": [1.0] * len(keys),
        "key": [f"key-{key:020}" for key in keys],
    }
    return pa.table(columns, schema=COLUMNS["events"])


def write_nodes(store: LadybugStore) -> None:
    """The users and items that the events refer to."""
    store.write("users", pa.table({"id": [f"u{n}" for n in range(NODES)]}))
    store.write("items", pa.table({"id": [f"i{n}" for n in range(NODES)]}))


def main(path: str) -> None:
    """Go on where the last run was killed."""
    ladybug_pending.FOLD_TABLES = 3
    store = LadybugStore(path, Schema())
    write_nodes(store)
    done = int(store.read_note("done") or 0)
    print(done, flush=True)
    while True:
        written = store.write("events", events_of(done), note=("done", str(done + 1)))
        assert written.new == len(keys_of(done))
        done += 1
        print(done, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

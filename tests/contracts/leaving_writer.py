"""Writes to a store, and ends without closing it: all is in the log, in a transaction a write.

Run by tests/graph/test_ladybug_store.py. Write n has the events of `left_keys(n)`, an item with a
long text, and a note that counts it.
"""

import os
import sys

import pyarrow as pa
from contracts.killed_writer import events_with, write_nodes

from firstedge.graph.ladybug_store import LadybugStore
from firstedge.graph.schema import ItemNames, Schema

WRITES = 6
TEXTS = Schema(item=ItemNames(text="{text}"))
LONG = 10_000  # characters, more than a page of the database


def left_keys(write: int) -> range:
    """The keys of the events of a write: as few as are written to the log row by row."""
    return range(write * 500, (write + 1) * 500)


def long_text(write: int) -> str:
    """The text of the item of a write."""
    return chr(ord("a") + write) * LONG


def main(path: str) -> None:
    """Write, and end."""
    with LadybugStore(path, TEXTS) as store:
        write_nodes(store)
    store = LadybugStore(path, TEXTS)
    for n in range(WRITES):
        store.write("items", pa.table({"id": [f"long {n}"], "text": [long_text(n)]}))
        store.write("events", events_with(left_keys(n)), note=("done", str(n + 1)))
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])

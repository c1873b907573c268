"""A file into the embedded store: events a second, and the seconds of importing it once more.

    python -m benchmarks.import_files [--events 1000000] [--json]

`import_rate.py` holds the store's part of it against a plain loop.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from firstedge.graph.schema import Schema
from firstedge.graph.store import open_store
from firstedge.loaders.importer import import_files
from firstedge.loaders.mapping import parse_mappings

MAPPING = """
[[import]]
name = "events"
path = "events.csv"
users = { id = "user", country = "country" }
items = { id = "item", title = "title", price = "price:float" }
events = { user = "user", target = "item", time = "time", kind = { column = "action" } }
"""


def write_csv(path: Path, events: int) -> None:
    """Events of 1 user per 10 events and 20,000 items, popular ones more often."""
    draw = np.random.default_rng(7)
    users = draw.integers(0, max(events // 10, 1), events)
    items = (20_000 * draw.power(0.3, events)).astype(np.int64)
    seconds = pa.array(np.sort(draw.integers(1_700_000_000, 1_730_000_000, events)))

    def label(prefix: str, numbers: np.ndarray) -> pa.Array:
        return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")

    table = pa.table(
        {
            "user": label("u", users),
            "item": label("i", items),
            "country": pa.array(["CN", "DE", "FR", "GB"]).take(pa.array(users % 4)),
            "title": label("Product number ", items),
            "price": pa.array((items % 997) / 10),
            "time": seconds.cast(pa.timestamp("s")),
            "action": pa.array(["view", "purchase"]).take(pa.array(items % 2)),
        }
    )
    pacsv.write_csv(table, path)


def timed(events: int) -> Iterator[tuple[str, float]]:
    """Name and figure of each measurement."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "events.csv"
        write_csv(path, events)
        mappings = parse_mappings(MAPPING, folder=folder)
        with open_store(str(folder / "files.lbug"), Schema.parse(MAPPING)) as store:
            start = time.perf_counter()
            report = import_files(store, mappings)
            seconds = time.perf_counter() - start
            yield "events", report.files[0].new_events
            yield "seconds", seconds
            yield "events_per_second", events / seconds
            start = time.perf_counter()
            import_files(store, mappings)
            yield "seconds_again", time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = dict(timed(given.events))
    if given.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name.replace('_', ' '):24}{figure:14,.1f}")


if __name__ == "__main__":
    main()

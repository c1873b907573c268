"""Files into the embedded store: events a second, against a plain loop of one row at a time.

    python -m benchmarks.import_files [--events 1000000] [--sample 100] [--json]

The plain loop is what one writes first: csv.DictReader, then for each row the user, the item and
the event by a write of their own. It is timed on a sample of the same file.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from firstedge.graph.schema import Schema
from firstedge.graph.store import COLUMNS, open_store
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


def import_plainly(url: str, path: Path, rows: int) -> None:
    """One row at a time."""
    with open_store(url) as store, path.open(newline="") as file:
        for number, row in enumerate(islice(csv.DictReader(file), rows)):
            user = {"id": row["user"], "country": row["country"]}
            item = {"id": row["item"], "title": row["title"], "price": float(row["price"])}
            when = datetime.fromisoformat(row["time"]).replace(tzinfo=UTC)
            event = {
                "user": row["user"],
                "target": row["item"],
                "kind": row["action"],
                "time": int(when.timestamp() * 1000),
                "seq": number,
                "weight": None,
                "key": str(number),
            }
            store.write("users", pa.Table.from_pylist([user]))
            store.write("items", pa.Table.from_pylist([item]))
            store.write("events", pa.Table.from_pylist([event], schema=COLUMNS["events"]))


def timed(events: int, sample: int) -> Iterator[tuple[str, float]]:
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
        start = time.perf_counter()
        import_plainly(str(folder / "plain.lbug"), path, sample)
        plain = sample / (time.perf_counter() - start)
        yield "plain_loop_per_second", plain
        yield "ratio", events / seconds / plain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--sample", type=int, default=100, help="rows of the plain loop")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = dict(timed(given.events, given.sample))
    if given.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name.replace('_', ' '):24}{figure:14,.1f}")


if __name__ == "__main__":
    main()

"""What is done to a database while faults happen: each scenario must end as if there were none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import pyarrow as pa
from pyarrow import csv

from firstedge.graph.schema import Schema
from firstedge.graph.store import COLUMNS, open_store
from firstedge.loaders.importer import fingerprint, import_files
from firstedge.loaders.job import ImportOptions
from firstedge.loaders.mapping import ImportMapping, load_mappings
from firstedge.loaders.snapshot import read_snapshot
from tests.faults.publish import Publish

ITEMS, USERS = 120, 200


class Scenario(Protocol):
    """Work that may be cut off anywhere, is then started again, and ends in one state.

    To add one: write the class, and put an instance into `SCENARIOS`.
    """

    name: str

    def prepare(self, url: str, folder: Path) -> None:
        """Bring an empty database to where the work begins, and files into an empty folder."""

    def work(self, url: str, folder: Path, patience: float) -> None:
        """Do it, from wherever it is to the end; what is printed goes to `check`.

        Run in a process of its own, which is killed. A store that is not available is the one
        error that may end it; `patience` is for `open_store`.
        """

    def check(self, url: str, folder: Path, printed: str, finished: bool) -> None:
        """Assert that nothing is lost, doubled or half there; if finished, that all is."""


def draw_events(number: int, seed: int) -> pa.Table:
    """Events with distinct keys and times."""
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "user": [f"u{row:04}" for row in rng.integers(0, USERS, number)],
            "target": [f"i{row:04}" for row in rng.integers(0, ITEMS, number)],
            "kind": np.array(["view", "purchase"])[rng.integers(0, 2, number)],
            "time": 1_700_000_000_000 + 1000 * np.arange(number),
            "seq": np.arange(number) % 3,
            "weight": rng.integers(1, 9, number) / 2,
            "key": [f"e{row:06}" for row in range(number)],
        },
        schema=COLUMNS["events"],
    )


class Import:
    """Files into the store, in chunks that take a fraction of a second each."""

    name: ClassVar[str] = "import"
    events: ClassVar[int] = 1_000
    chunk: ClassVar[int] = 100
    bad: ClassVar[int] = 40  # rows of an item that there is not

    schema_text: ClassVar[str] = """
[[import]]
name = "items"
path = "items.csv"
[import.items]
id = "id"

[[import]]
name = "events"
path = "events.csv"
[import.events]
user = "user"
target = "target"
kind = [{ column = "kind" }]
time = { column = "time", format = "ms" }
seq = "seq"
weight = "weight"
key = ["key"]
"""

    def prepare(self, url: str, folder: Path) -> None:
        rows = draw_events(self.events, seed=3)
        at = np.linspace(0, self.events - 1, self.bad).astype(int)
        targets = np.array(rows["target"].to_pylist(), object)
        targets[at] = "nowhere"
        csv.write_csv(rows.set_column(1, "target", pa.array(targets)), folder / "events.csv")
        ids = pa.table({"id": [f"i{row:04}" for row in range(ITEMS)]})
        csv.write_csv(ids, folder / "items.csv")
        (folder / "shop.toml").write_text(self.schema_text)

    def work(self, url: str, folder: Path, patience: float) -> None:
        options = ImportOptions(rejects=folder / "rejects", chunk_rows=self.chunk)
        with open_store(url, Schema(), patience=patience) as store:
            report = import_files(store, self._mappings(folder), options)
        print(json.dumps([[one.rejected, one.new_events, one.duplicates] for one in report.files]))

    def check(self, url: str, folder: Path, printed: str, finished: bool) -> None:
        mapping = self._mappings(folder)[1]
        expected = self._expected(folder)
        with open_store(url, Schema()) as store:
            note = store.read_note(f"import/events/{fingerprint(mapping, store.schema)}")
            found = [tuple(row.values()) for row in store.read_events().to_pylist()]
            counts = store.counts()
        done = json.loads(note)["rows"] if note else 0
        here = {row[-1]: row for row in found}
        assert len(here) == len(found), "an event is there twice"
        assert all(expected[key] == row for key, row in here.items()), "an event was altered"
        lost = [key for key in expected if int(key[-6:]) < done and key not in here]
        assert not lost, f"the note says that {done} rows are done, and {lost[:3]} are not there"
        if not finished:
            return
        assert here == expected
        assert counts["items"] == ITEMS
        # A row that is rejected for its item has brought its user all the same.
        assert counts["users"] == len(csv.read_csv(folder / "events.csv")["user"].unique())
        rejected = csv.read_csv(folder / "rejects" / "events.csv")
        assert rejected.num_rows == self.bad
        assert json.loads(printed.splitlines()[-1]) == [
            [{}, 0, 0],
            [{"unknown item": self.bad}, len(expected), 0],
        ]

    def _mappings(self, folder: Path) -> tuple[ImportMapping, ...]:
        return load_mappings(folder / "shop.toml")

    def _expected(self, folder: Path) -> Mapping[str, tuple[object, ...]]:
        rows = csv.read_csv(folder / "events.csv").to_pylist()
        return {
            f"events:{row['key']}": (*list(row.values())[:-1], f"events:{row['key']}")
            for row in rows
            if row["target"] != "nowhere"
        }


class Read:
    """Whole snapshots, again and again, of a graph that does not change."""

    name: ClassVar[str] = "read"
    events: ClassVar[int] = 15_000
    reads: ClassVar[int] = 5

    def prepare(self, url: str, folder: Path) -> None:
        with open_store(url, Schema()) as store:
            store.write("users", pa.table({"id": [f"u{row:04}" for row in range(USERS)]}))
            store.write("items", pa.table({"id": [f"i{row:04}" for row in range(ITEMS)]}))
            rows = draw_events(self.events, seed=4)
            for start in range(0, self.events, 10_000):
                store.write("events", rows.slice(start, 10_000))
            snapshot = read_snapshot(store)
        assert len(snapshot.histories.targets) == self.events
        assert not snapshot.skipped
        (folder / "fingerprint").write_text(snapshot.fingerprint)

    def work(self, url: str, folder: Path, patience: float) -> None:
        with open_store(url, Schema(), patience=patience) as store:
            for _ in range(self.reads):
                print(read_snapshot(store).fingerprint, flush=True)

    def check(self, url: str, folder: Path, printed: str, finished: bool) -> None:
        expected = (folder / "fingerprint").read_text()
        with open_store(url, Schema()) as store:
            assert read_snapshot(store).fingerprint == expected, "reading changed the graph"
        lines = printed.splitlines()
        assert set(lines) <= {expected}, "a read gave another graph"
        if finished:
            assert len(lines) == self.reads


SCENARIOS: dict[str, Scenario] = {one.name: one for one in (Import(), Read(), Publish())}

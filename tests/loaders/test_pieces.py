"""A store without memory for many rows at a time gets fewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from firstedge.graph.errors import StoreFull
from firstedge.graph.ladybug_store import LadybugStore
from firstedge.graph.schema import Schema
from firstedge.graph.store import Written
from firstedge.loaders.importer import import_events, import_items
from firstedge.loaders.pieces import PieceWriter


class SmallStore(LadybugStore):
    """Refuses more than `most` rows at a time."""

    most = 300

    def write(self, table: Any, rows: pa.Table, note: Any = None) -> Written:
        self.tried = [*getattr(self, "tried", []), rows.num_rows]
        if rows.num_rows > self.most:
            raise StoreFull("no memory")
        return super().write(table, rows, note)


def events(number: int) -> pa.Table:
    """Every hundredth on an item that there is not."""
    return pa.table(
        {
            "user": [f"u{n % 7}" for n in range(number)],
            "target": ["nowhere" if n % 100 == 99 else f"i{n % 5}" for n in range(number)],
            "kind": ["view"] * number,
            "key": [f"k{n:05}" for n in range(number)],
        }
    )


def test_an_import_goes_on_in_halves_of_what_was_refused(tmp_path: Path) -> None:
    with SmallStore(tmp_path / "small.lbug", Schema()) as store:
        import_items(store, {"id": [f"i{n}" for n in range(5)]})
        report = import_events(store, events(2000))
        kept = sorted(store.read_events()["key"].to_pylist())
    assert kept == [f"k{n:05}" for n in range(2000) if n % 100 != 99]
    assert report.rejected == {"unknown item": 20}
    assert store.tried[-8:] == [250] * 8
    assert [n for n in store.tried if n > 300] == [2000, 1000, 500]


def test_orphans_keep_their_places(tmp_path: Path) -> None:
    with SmallStore(tmp_path / "small.lbug", Schema()) as store:
        store.write("users", pa.table({"id": ["u"]}))
        store.write("items", pa.table({"id": ["i"]}))
        rows = events(700).select(["kind", "key"]).append_column("user", pa.array(["u"] * 700))
        rows = rows.append_column("target", pa.array(["i", "lost"] * 350))
        for name, type_ in (("time", pa.int64()), ("seq", pa.int64()), ("weight", pa.float64())):
            rows = rows.append_column(name, pa.nulls(700, type_))
        assert PieceWriter(store).write("events", rows).tolist() == list(range(1, 700, 2))


def test_a_store_without_memory_for_a_few_rows_is_full(tmp_path: Path) -> None:
    with SmallStore(tmp_path / "small.lbug", Schema()) as store:
        store.most = 10
        with pytest.raises(StoreFull):
            import_items(store, {"id": [f"i{n}" for n in range(500)]})
        assert store.tried == [500, 250, 125, 62]

"""The embedded store's index in memory, against a naive one, and where hashes agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from contracts.graph_store import event, events, users

from firstedge.graph import ladybug_index, ladybug_nodes
from firstedge.graph.ladybug_index import HashIndex
from firstedge.graph.ladybug_store import LadybugStore
from firstedge.graph.schema import Schema


def test_it_finds_what_a_list_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladybug_index, "_MERGE", 40)
    rng = np.random.default_rng(4)
    pairs = [(int(h), row) for row, h in enumerate(rng.integers(0, 300, 200))]
    index = HashIndex(*_columns(pairs))
    for turn in range(30):
        more = [(int(h), 200 + 10 * turn + n) for n, h in enumerate(rng.integers(0, 300, 10))]
        index.add(*_columns(more))
        pairs += more
        asked = rng.integers(0, 400, 25).astype(np.uint64)
        positions, rows = index.find(asked)
        found = sorted(zip(positions.tolist(), rows.tolist(), strict=True))
        assert found == sorted(
            (at, row) for at, one in enumerate(asked.tolist()) for h, row in pairs if h == one
        )


def _columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    hashes, rows = zip(*pairs, strict=True)
    return np.array(hashes, np.uint64), np.array(rows, np.int64)


def test_ids_of_one_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_hash(column: pa.ChunkedArray) -> np.ndarray:
        return np.full(len(column), 7, np.uint64)

    monkeypatch.setattr(ladybug_nodes, "hashes_of", one_hash)
    with LadybugStore(tmp_path / "shop.lbug", Schema()) as store:
        store.write("users", users("a", "b"))
        assert store.write("users", users("b", "c")).new == 1
        store.write("items", users("i"))
        store.write("events", events(event("a", "i", key="of a"), event("c", "i", key="of c")))
        assert store.read("users", ["c", "b", "nobody"])["id"].to_pylist() == ["b", "c"]
        assert store.read_events(["c"])["key"].to_pylist() == ["of c"]
        assert store.read_events(["b"]).num_rows == 0


def test_many_rows_and_few_rows_find_each_other(tmp_path: Path) -> None:
    many = [f"u{n}" for n in range(1_500)]
    with LadybugStore(tmp_path / "shop.lbug", Schema()) as store:
        store.write("items", users("i"))
        for turn in range(3):  # copied, and inserted, in turn
            store.write("users", users(*(f"{turn} {id_}" for id_ in many)))
            store.write("users", users(f"few {turn}"))
            assert store.read("users", [f"{turn} u7", f"few {turn}"]).num_rows == 2
            bulk = [event(f"{turn} {id_}", "i", key=f"{turn} {id_}") for id_ in many]
            assert store.write("events", events(*bulk)).new == 1_500
            assert store.write("events", events(bulk[7])).known == 1
            one = event(f"few {turn}", "i", key=f"few {turn}")
            assert store.write("events", events(one, bulk[8])).new == 1
            assert store.write("events", events(one, *bulk)).known == 1_501
        assert store.counts()["users"] == 4_503
        assert store.counts()["events.purchase"] == 4_503

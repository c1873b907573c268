"""What only the embedded store does: files, locks, kills, full disks, and its pending tables."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from bisect import bisect
from collections import namedtuple
from pathlib import Path
from typing import Any

import ladybug
import pyarrow as pa
import pytest
from contracts.graph_store import SHOP, event, events, items, keys, stored, users
from contracts.killed_writer import NODES, events_of, keys_of, write_nodes
from contracts.leaving_writer import TEXTS, WRITES, left_keys, long_text

from firstedge.graph import ladybug_link, ladybug_log, ladybug_pending
from firstedge.graph.errors import (
    DataError,
    SchemaError,
    StoreError,
    StoreLocked,
    StoreUnavailable,
    StoreUnsupported,
)
from firstedge.graph.ladybug_store import LadybugStore
from firstedge.graph.schema import Kind, Schema, UserNames
from firstedge.graph.store import open_store

TESTS = Path(__file__).parent.parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.lbug"


def child(module: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process that runs a module of tests/."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        text=True,
    )


def filled(path: Path, writes: int = 4) -> None:
    with LadybugStore(path, Schema()) as store:
        write_nodes(store)
        for n in range(writes):
            store.write("events", events_of(n))


# Opening


def test_a_path_opens_an_embedded_store(path: Path) -> None:
    with open_store(str(path)) as store:
        assert isinstance(store, LadybugStore)
        assert store.url == str(path)
        assert repr(store) == f"LadybugStore({str(path)!r})"


def test_reading_needs_a_file(path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="there is no store"):
        LadybugStore(path, Schema(), read_only=True)
    assert not path.exists()


def test_a_path_must_be_a_file_in_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="is a folder"):
        LadybugStore(tmp_path, Schema())
    with pytest.raises(StoreUnavailable, match="is no folder"):
        LadybugStore(tmp_path / "none" / "shop.lbug", Schema())


def test_another_file_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"id,name\n" * 1000)
    with pytest.raises(StoreUnsupported, match="not a store"):
        LadybugStore(path, Schema())
    assert path.read_bytes() == b"id,name\n" * 1000


def test_another_version_is_refused_with_advice(path: Path) -> None:
    filled(path)
    data = bytearray(path.read_bytes())
    data[4:12] = (99).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(StoreUnsupported, match=r"another version.*99.*export"):
        LadybugStore(path, Schema())


@pytest.mark.parametrize("left", [1, 5000, 100_000])
def test_a_truncated_file_is_refused_with_advice(path: Path, left: int) -> None:
    filled(path)
    os.truncate(path, left)
    with pytest.raises(StoreUnavailable, match=r"damaged.*backup"):
        LadybugStore(path, Schema())


def test_names_that_are_one_to_the_database_are_refused(path: Path) -> None:
    with pytest.raises(SchemaError, match=r"'Bought'|'BOUGHT'"):
        LadybugStore(path, Schema(kind={"a": Kind(type="Bought"), "b": Kind(type="BOUGHT")}))
    with pytest.raises(SchemaError, match="'item'"):
        LadybugStore(path, Schema(user=UserNames(label="item")))
    with pytest.raises(SchemaError, match="firstedge's own"):
        LadybugStore(path, Schema(user=UserNames(label="_firstedge")))
    assert not path.exists()


# Locks


def test_one_writer_at_a_time(path: Path) -> None:
    with LadybugStore(path, Schema()):
        for read_only in (True, False):
            with pytest.raises(StoreLocked, match="one process writes it at a time"):
                LadybugStore(path, Schema(), read_only=read_only)


def test_several_readers_but_no_writer_beside_them(path: Path) -> None:
    filled(path)
    with (
        LadybugStore(path, Schema(), read_only=True) as one,
        LadybugStore(path, Schema(), read_only=True) as two,
    ):
        assert one.counts() == two.counts()
        with pytest.raises(StoreLocked):
            LadybugStore(path, Schema())
    LadybugStore(path, Schema()).close()


def test_another_process_holds_the_store(path: Path) -> None:
    writer = child("contracts.killed_writer", path)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "0\n"
    with pytest.raises(StoreLocked):
        LadybugStore(path, Schema())
    writer.kill()
    writer.communicate()
    LadybugStore(path, Schema()).close()


def test_a_store_for_reading_cannot_be_written(path: Path) -> None:
    filled(path)
    with LadybugStore(path, Schema(), read_only=True) as store:
        with pytest.raises(StoreError, match="open it without read_only"):
            store.write("users", users("new"))
        with pytest.raises(StoreError, match="read"):
            store.write_note("a", "b")
        assert store.counts()["users"] == NODES


def test_a_closed_store_says_so(path: Path) -> None:
    store = LadybugStore(path, Schema())
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.counts()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.write("users", users("u"))


# Kills and full disks


def kill_writers(path: Path, kills: int) -> None:
    """Kill a writer again and again, and hold what it wrote against what it said."""
    seed = int(os.environ.get("SEED", time.time_ns() % 1000))
    print(f"SEED={seed}")
    draw = random.Random(seed)
    for _ in range(kills):
        writer = child("contracts.killed_writer", path)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(draw.uniform(0.1, 2))
        writer.kill()
        returned = [int(line) for line in writer.communicate()[0].split()]
        with LadybugStore(path, Schema()) as store:
            done = int(store.read_note("done") or 0)
            assert done >= max(returned, default=0)
            expected = sorted(f"key-{key:020}" for n in range(done) for key in keys_of(n))
            assert keys(store) == expected
            assert sum(store.counts().values()) == len(expected) + 2 * NODES


def test_a_kill_loses_and_doubles_nothing(path: Path) -> None:
    kill_writers(path, 3)


@pytest.mark.soak
def test_many_kills_lose_and_double_nothing(path: Path) -> None:
    kill_writers(path, 100)


class LeftStore:
    """A store that was not closed, which can be opened again and again with another log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log_path = path.with_name(path.name + ".wal")
        child("contracts.leaving_writer", path).communicate()
        self.data, self.log = path.read_bytes(), self.log_path.read_bytes()
        commits = re.finditer(re.escape(ladybug_log._COMMIT), self.log)
        self.ends = [commit.end() for commit in commits]  # two transactions a write

    def log_is(self, log: bytes) -> None:
        self.path.write_bytes(self.data)
        self.log_path.write_bytes(log)

    def writes(self, read_only: bool = False) -> int:
        """How many writes of `leaving_writer` are there, each of them whole."""
        with LadybugStore(self.path, TEXTS, read_only=read_only) as store:
            done = int(store.read_note("done") or 0)
            assert keys(store) == [f"key-{key:020}" for n in range(done) for key in left_keys(n)]
            found = store.read("items").to_pylist()
            texts = {row["id"]: row["text"] for row in found if row["id"].startswith("long")}
            for n in range(done):
                assert texts.pop(f"long {n}") == long_text(n)
            assert texts in ({}, {f"long {done}": long_text(done)})
        return done


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> LeftStore:
    return LeftStore(tmp_path_factory.mktemp("left") / "shop.lbug")


def test_what_was_written_is_there_though_nobody_closed_the_store(left: LeftStore) -> None:
    left.log_is(left.log)
    assert left.ends[-1] == len(left.log)
    assert len(left.ends) == 2 * WRITES
    assert left.writes() == WRITES


def test_a_log_that_is_torn_has_what_was_committed(left: LeftStore) -> None:
    draw = random.Random(3)
    cuts = [3, 20, 25, 30, *(draw.randrange(50, len(left.log)) for _ in range(6))]
    cuts += [left.ends[5] + beside for beside in (-26, -25, -20, -1, 1, 7, 8, 9, 24, 25, 26, 60)]
    for cut in cuts:
        torn = left.log[:cut]
        committed = bisect(left.ends, cut) // 2
        left.log_is(torn)
        if cut in (25, left.ends[5] - 25, left.ends[5] + 25):  # where a record ends
            assert left.writes(read_only=True) == committed
        else:
            with pytest.raises(StoreUnavailable, match="once for writing, which mends it"):
                left.writes(read_only=True)
        assert left.log_path.read_bytes() == torn
        assert left.writes() == committed
        assert left.writes() == committed


def test_the_end_that_a_lost_block_leaves_is_left_out(left: LeftStore) -> None:
    left.log_is(left.log[: left.ends[7] + 200] + bytes(4096))
    assert left.writes() == 4


def test_nothing_is_dropped_for_damage_before_the_end(left: LeftStore) -> None:
    log, end = left.log, left.ends[5]
    rotten = log[: end - 100] + b"rot" + log[end - 97 :]
    last = log.rindex(b"\x09" + bytes(7), 0, len(log) - 25)  # the length of what begins a write
    into_the_last_commit = (len(log) - 10 - last - 16).to_bytes(8, "little")
    for damaged in (
        rotten,
        rotten[:-10],
        b"rot" + log[3:-10],
        log[:end] + b"\xff" + log[end + 1 :],  # the length of a record
        log[:last] + into_the_last_commit + log[last + 8 :],
        log[:-4] + b"rots",  # the checksum of the last commit
    ):
        left.log_is(damaged)
        with pytest.raises(StoreUnavailable, match="damaged"):
            LadybugStore(left.path, TEXTS)
        with pytest.raises(StoreUnavailable, match=r"damaged|which mends it"):
            LadybugStore(left.path, TEXTS, read_only=True)
        assert left.log_path.read_bytes() == damaged


def test_the_log_of_a_locked_store_is_left_alone(left: LeftStore) -> None:
    torn = left.log[: left.ends[5] + 100]
    left.log_is(torn)
    lock = (
        "import fcntl, sys; file = open(sys.argv[1], 'r+b'); fcntl.lockf(file, fcntl.LOCK_EX);"
        " print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", lock, str(left.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(StoreLocked):
            LadybugStore(left.path, TEXTS)
        other.communicate()
    assert left.log_path.read_bytes() == torn


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
def test_a_full_disk_leaves_whole_writes(path: Path) -> None:
    out, _ = child("contracts.filling_writer", path, 4 << 20).communicate()
    failed, error = out.split(maxsplit=1)
    assert "is full" in error
    with LadybugStore(path, Schema()) as store:
        there = set(keys(store))
        last = store.write("events", events_of(int(failed)))
        assert last.new in (0, len(keys_of(int(failed))))
        before = {f"key-{key:020}" for n in range(3, int(failed), 4) for key in keys_of(n)}
        assert before <= there
        assert len(keys(store)) == len(before) + len(keys_of(int(failed)))


def test_a_nearly_full_disk_is_noticed_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    with LadybugStore(path, Schema()) as store:
        with monkeypatch.context() as patch:
            patch.setattr(ladybug_link.shutil, "disk_usage", lambda _: usage(1, 1, 5 << 20))
            with pytest.raises(StoreError, match="5 MB left, and writing needs 64 MB"):
                store.write("users", users("u"))
        assert store.write("users", users("u")).new == 1


# Pending events


def some(store: LadybugStore) -> dict[str, Any]:
    """What reading gives, by each filter that there is."""
    return {
        "all": stored(store),
        "user": stored(store, users=["u1"]),
        "many users": stored(store, users=[f"u{n}" for n in range(25)] + ["x"] * 2000),
        "more users": stored(store, users=[f"u{n}" for n in range(2000)]),
        "times": stored(store, since=100, until=3000),
        "user and time": stored(store, users=["u2", "u3"], until=3000),
        "counts": store.counts(),
    }


def test_pending_events_read_like_folded_ones(path: Path) -> None:
    with LadybugStore(path, Schema()) as store:
        write_nodes(store)
        given = pa.concat_tables([events_of(1), events_of(3)])
        assert store.write("events", given).new == 3500
        before = some(store)
    with LadybugStore(path, Schema(), read_only=True) as store:
        assert some(store) == before
    assert len(before["all"]) == 3500
    assert len(before["user"]) == 70
    assert len(before["many users"]) == 1750
    assert len(before["more users"]) == 3500
    assert sorted(row[3] for row in before["times"]) == list(range(2000, 3001))


def test_many_writes_are_folded_on_the_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladybug_pending, "FOLD_TABLES", 2)
    with LadybugStore(path, Schema()) as store:
        write_nodes(store)
        written = [store.write("events", events_of(n)).new for n in (1, 3, 5, 7, 9)]
        assert written == [1500, 2000, 1500, 2000, 1500]
        again = store.write("events", pa.concat_tables([events_of(n) for n in (1, 3, 5, 7, 9)]))
        assert (again.new, again.known) == (0, 8500)
        assert store.counts()["events.purchase"] + store.counts()["events.view"] == 8500


def test_no_key_of_many_is_forgotten(path: Path) -> None:
    number, chunk = 120_000, 40_000
    ids = pa.array([f"order-{n:08d}-line" for n in range(number)])
    rows = pa.table(
        {
            "user": ids,
            "target": ["i0"] * number,
            "kind": ["view"] * number,
            "time": pa.nulls(number, pa.int64()),
            "seq": pa.nulls(number, pa.int64()),
            "weight": pa.nulls(number, pa.float64()),
            "key": ids,
        }
    )
    with LadybugStore(path, Schema()) as store:
        store.write("items", items("i0"))
        for start in range(0, number, chunk):
            part = rows.slice(start, chunk)
            assert store.write("users", part.select(["user"]).rename_columns(["id"])).new == chunk
            assert store.write("events", part).new == chunk
    with LadybugStore(path, Schema()) as store:
        assert store.write("events", rows).known == number
        assert store.counts()["events.view"] == number


def test_a_closed_store_is_a_plain_graph(path: Path) -> None:
    with LadybugStore(path, SHOP) as store:
        store.write("users", users("u1"))
        store.write("items", items("i1", "i2", title=["Mug", "Pot"]))
        many = [event("u1", f"i{n % 2 + 1}", f"k{n}") for n in range(3000)]
        store.write("events", events(*many))
    query = """
        MATCH (i:Product {title: 'Pot'})<-[b:BOUGHT]-(c:Customer)-[:BOUGHT]->(j:Product)
        WHERE b.receipt = 'k1' RETURN c.customerID, j.sku, count(*) ORDER BY j.sku
    """
    with (
        ladybug.Database(str(path), read_only=True) as database,
        ladybug.Connection(database) as connection,
    ):
        result = connection.execute(query)
        assert isinstance(result, ladybug.QueryResult)
        assert result.get_all() == [["u1", "i1", 1500], ["u1", "i2", 1500]]


# Properties


def test_a_property_keeps_its_type(path: Path) -> None:
    with LadybugStore(path, Schema(user=UserNames(profile=("age", "score")))) as store:
        store.write("users", users("u", age=[30], score=[1.5]))
        store.write("users", users("v", age=[31.0], score=[2]))
        with pytest.raises(DataError, match=r"'age' of :User is int64 .* string"):
            store.write("users", users("w", age=["old"]), note=("n", "1"))
        with pytest.raises(DataError, match=r"'age' of :User is int64 .* double"):
            store.write("users", users("w", age=[1.5]))
        assert store.read("users").to_pydict() == {
            "id": ["u", "v"],
            "age": [30, 31],
            "score": [1.5, 2.0],
        }
        assert store.read_note("n") is None


def test_properties_that_differ_only_in_case_are_refused(path: Path) -> None:
    with LadybugStore(path, Schema()) as store:
        store.write("users", users("u", age=[30]))
        with pytest.raises(DataError, match=r"'Age' of :User differs from 'age'"):
            store.write("users", users("u", Age=[31]))


def test_many_nodes_are_written_like_few(path: Path) -> None:
    schema = Schema(user=UserNames(profile=("n", "even", "tags")))
    number = 3000
    rows = pa.table(
        {
            "id": [f"{n:05}" for n in range(number)],
            "n": list(range(number)),
            "even": [n % 2 == 0 for n in range(number)],
            "tags": [[str(n), "x"] for n in range(number)],
        }
    )
    with LadybugStore(path, schema) as store:
        assert store.write("users", rows.slice(0, 10)).new == 10
        written = store.write("users", rows)
        assert (written.new, written.known) == (number - 10, 10)
        assert store.read("users").to_pydict() == rows.to_pydict()
        halved = rows.set_column(1, "n", pa.array([n // 2 for n in range(number)]))
        assert store.write("users", halved).new == 0
        assert store.read("users").to_pydict() == halved.to_pydict()

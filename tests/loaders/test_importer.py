"""Import into a real embedded store: values, rejects, chunks, kills and repeats."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from firstedge.graph.errors import MappingError, SettingsError
from firstedge.graph.schema import Schema
from firstedge.graph.store import GraphStore, open_store
from firstedge.loaders.importer import (
    import_categories,
    import_events,
    import_files,
    import_item_categories,
    import_items,
    import_users,
)
from firstedge.loaders.job import ImportOptions, Progress
from firstedge.loaders.mapping import ImportMapping, load_mappings, parse_mappings
from firstedge.loaders.report import FileReport, render_report

SHOP = Path(__file__).parent / "shop" / "shop.toml"
RETAIL = Path(__file__).parents[2] / "data" / "online_retail.toml"
NOW = datetime(2024, 6, 1, tzinfo=UTC)


VIEWS = """
[[import]]
name = "a"
path = "a.csv"
events = { user = "u", target = "i", kind = "view" }
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GraphStore]:
    with open_store(str(tmp_path / "shop.lbug"), Schema.load(SHOP)) as store:
        yield store


def options(folder: Path, **given: Any) -> ImportOptions:
    return ImportOptions(rejects=folder / "rejects", now=NOW, **given)


def rows(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in table.select(names or table.column_names).to_pylist()]


def events(store: GraphStore) -> list[tuple[Any, ...]]:
    """User, target, kind, time in minutes since March 2024 began in Shanghai, seq, weight."""
    start = 1_709_222_400_000
    found = rows(store.read_events(), "user", "target", "kind", "time", "seq", "weight")
    minutes = [None if row[3] is None else (row[3] - start) // 60_000 for row in found]
    return sorted(
        ((*row[:3], when, *row[4:]) for row, when in zip(found, minutes, strict=True)),
        key=lambda row: (row[0], row[4]),
    )


def everything(store: GraphStore) -> dict[str, Any]:
    """All that a store says."""
    found: dict[str, Any] = {
        name: rows(store.read(name)) for name in ("users", "items", "categories", "item_categories")
    }
    found["events"] = sorted(rows(store.read_events()), key=lambda row: row[-1])
    return found | store.counts()


def rejects(file: FileReport) -> list[tuple[int, str]]:
    assert file.rejects is not None
    with Path(file.rejects).open(newline="", encoding="utf-8") as text:
        return [(int(row["line"]), row["reason"]) for row in csv.DictReader(text)]


# The fixture shop


def test_a_shop_of_many_formats_is_imported(store: GraphStore, tmp_path: Path) -> None:
    report = import_files(store, load_mappings(SHOP), options(tmp_path))
    assert rows(store.read("users"), "id", "city", "age") == [
        ("O'Brien", None, None),
        ("u1", None, None),
        ("u2", None, None),
        ("u3", None, 31),
        ("u4", None, None),
        ("李娜", "北京", None),
        ("王伟", "北京", None),
    ]
    assert rows(store.read("items"), "id", "title", "brand", "price", "tags") == [
        ("茶-1", "龙井 West Lake", "狮峰", 88.5, ["green", "春茶"]),
        ("茶-2", "铁观音", None, 60.0, None),
        ("茶-3", "普洱", None, None, None),
    ]
    assert rows(store.read("categories"), "id", "name", "parent") == [
        ("Gifts", "Gifts", None),
        ("Tea", "Tea", None),
        ("Tea > Dark", "Dark", "Tea"),
        ("Tea > Green", "Green", "Tea"),
        ("Tea > Oolong", "Oolong", "Tea"),
    ]
    assert rows(store.read("item_categories")) == [
        ("茶-1", "Gifts"),
        ("茶-1", "Tea > Green"),
        ("茶-2", "Tea > Oolong"),
        ("茶-3", "Tea > Dark"),
    ]
    assert events(store) == [
        ("O'Brien", "茶-3", "purchase", 6 * 1440 + 660, 16, 3.0),
        ("u1", "茶-1", "view", None, 0, None),
        ("u1", "茶-2", "view", None, 1, None),
        ("u1", "茶-3", "view", None, 2, None),
        ("u2", "茶-2", "view", None, 2, None),
        ("u3", "茶-1", "view", 480, 0, None),
        ("u3", "Tea", "follow", 480, 1, None),
        ("u4", "茶-3", "view", None, 3, None),
        ("u4", "茶-1", "view", None, 4, None),
        ("李娜", "茶-1", "purchase", 1440 + 1439, 2, 4.5),
        ("王伟", "茶-1", "purchase", 480, 0, 5.0),
        ("王伟", "茶-2", "purchase", 480, 1, None),
        ("王伟", "茶-1", "return", 5 * 1440 + 600, 11, None),
    ]
    assert [(file.name, file.rows, file.duplicates) for file in report.files] == [
        ("products", 8, 0),
        ("orders", 17, 1),
        ("clicks", 6, 0),
        ("likes", 7, 1),
    ]
    assert [rejects(file) for file in report.files] == [
        [
            (4, "malformed row"),
            (5, "malformed row"),
            (7, "no item"),
            (8, "price is not of type float"),
            (9, "malformed row"),
        ],
        [
            (7, "no customer"),
            (8, "test order"),
            (9, "unreadable time"),
            (10, "malformed row"),
            (11, "unknown item"),
            (12, "weight is not a number >= 0"),
            (13, "no quantity"),
            (15, "future time"),
            (16, "weight is not a number >= 0"),
            (17, "no target"),
            (18, "malformed row"),
        ],
        [(5, "unknown kind"), (6, "unknown item"), (7, "age is not of type int")],
        [(3, "no target")],
    ]


def test_the_report_adds_up_and_can_be_shown(store: GraphStore, tmp_path: Path) -> None:
    report = import_files(store, load_mappings(SHOP), options(tmp_path))
    for file in report.files:
        assert sum(file.rejected.values()) == len(rejects(file))
        if file.name != "products":
            assert file.rows == file.new_events + file.duplicates + file.rejections
    plain = json.loads(json.dumps(report.as_dict()))
    assert plain["rows"] == 38
    assert plain["new_events"] == 13
    assert plain["rejected"]["unknown item"] == 2
    assert plain["files"][1]["new"]["events.return"] == 1
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render_report(report))
    shown = console.export_text()
    assert "rejected: weight is not a number >= 0" in shown
    assert "new events.purchase" in shown


def test_a_rejected_row_is_kept_as_it_was(store: GraphStore, tmp_path: Path) -> None:
    report = import_files(store, load_mappings(SHOP), options(tmp_path))
    found: dict[tuple[str, str], str] = {}
    for file in report.files:
        with Path(file.rejects or "").open(newline="", encoding="utf-8") as text:
            found |= {(file.name, row["line"]): row["row"] for row in csv.DictReader(text)}
    assert json.loads(found["orders", "11"])["customer"] == "李娜"
    assert json.loads(found["orders", "12"])["city"] == 'Baile Átha "Cliath"'
    assert found["orders", "10"] == "A6,茶-2,李娜"
    assert found["products", "5"] == '["not", "an", "object"]'


def test_the_same_rows_as_parquet_are_the_same_events(store: GraphStore, tmp_path: Path) -> None:
    import_files(store, load_mappings(SHOP), options(tmp_path))
    before = everything(store)
    (orders, *_) = load_mappings(SHOP)
    names = orders.column_names
    parsing = pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=lambda _: "skip")
    lines = orders.file.read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "clean.csv").write_text("".join(line for line in lines if "A13" not in line))
    types = pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    table = pacsv.read_csv(tmp_path / "clean.csv", parse_options=parsing, convert_options=types)
    pq.write_table(table, tmp_path / "orders.parquet")
    moved = orders.model_copy(update={"path": tmp_path / "orders.parquet"})
    (file,) = import_files(store, [moved], options(tmp_path)).files
    assert (file.new_events, file.duplicates) == (0, 6)
    assert everything(store) == before


# Again


def test_a_file_imported_before_is_skipped_by_content(store: GraphStore, tmp_path: Path) -> None:
    copy = shutil.copytree(SHOP.parent, tmp_path / "shop")
    mappings = load_mappings(copy / "shop.toml")
    first = import_files(store, mappings, options(tmp_path))
    before = everything(store)
    os.utime(copy / "likes.txt", (1, 1))
    shutil.move(copy / "clicks.inter", copy / "moved.inter")
    moved = [
        mapping.model_copy(update={"path": copy / "moved.inter"})
        if mapping.name == "clicks"
        else mapping
        for mapping in mappings
    ]
    again = import_files(store, moved, options(tmp_path))
    # One row of the orders is of the future, and may be of the present when they come again.
    skipped = {file.name: file.skipped for file in again.files}
    assert skipped == {"products": True, "orders": False, "clicks": True, "likes": True}
    assert [file.rejected for file in again.files] == [file.rejected for file in first.files]
    assert everything(store) == before
    (copy / "likes.txt").write_text("u1 茶-1 茶-2 茶-3\nu9 茶-1\n", encoding="utf-8")
    likes = import_files(store, moved, options(tmp_path)).files[-1]
    assert (likes.skipped, likes.new_events, likes.duplicates) == (False, 1, 3)


def test_what_waited_for_an_item_comes_with_it(store: GraphStore, tmp_path: Path) -> None:
    products, orders = load_mappings(SHOP)[1::-1]
    early = import_files(store, [orders], options(tmp_path)).files[0]
    assert early.rejected["unknown item"] == 7
    assert early.new_events == 0
    import_files(store, [products], options(tmp_path))
    late = import_files(store, [orders], options(tmp_path)).files[0]
    assert late.rejected["unknown item"] == 1
    assert late.new_events == 5


def test_the_future_is_more_than_a_day_away(store: GraphStore) -> None:
    import_items(store, {"id": ["i"]})
    times = [NOW + timedelta(hours=24), NOW + timedelta(hours=24, seconds=1)]
    data = {"user": ["u"] * 2, "target": ["i"] * 2, "kind": ["view"] * 2, "time": times}
    report = import_events(store, data, ImportOptions(now=NOW))
    assert (report.new_events, report.rejected) == (1, {"future time": 1})
    later = import_events(store, data, ImportOptions(now=NOW + timedelta(hours=1)))
    assert (later.new_events, later.duplicates, later.rejected) == (1, 1, {})


# Any chunking


TIMES = [f"{day:02}.03.2024 08:00" for day in range(1, 9)]


def dirty_orders(count: int, seed: int) -> str:
    """CSV of orders with every kind of dirt, repeated rows, and properties that change."""
    chance = random.Random(seed)
    lines = ["order,sku,customer,city,ordered,quantity,stars,note"]
    for number in range(count):
        row = [
            chance.choice(["A", "A", "A", "A", "A", "R", "TEST-"]) + str(number // 2),
            f"茶-{chance.randint(1, 4)}",
            chance.choice(["", "李娜", "王伟", "u3", "u4", "u5"]),
            chance.choice(["", "北京", "上海"]),
            chance.choice([*TIMES, "never", "01.01.2099 00:00"]),
            chance.choice(["1", "1", "1", "0"]),
            chance.choice(["", "5", "4.5", "-1"]),
            chance.choice(["", '"a\nb"', '"', '5" x']),
        ]
        lines.append(",".join(row[: chance.choice([8, 8, 8, 8, 7])]))
        if chance.random() < 0.2:
            lines.append(lines[-1])
    return "\n".join(lines)


@contextmanager
def fresh(folder: Path, name: str) -> Iterator[tuple[GraphStore, list[ImportMapping]]]:
    """A new store with the products in it, and the mapping of dirty orders."""
    orders, products, *_ = load_mappings(SHOP)
    with open_store(str(folder / f"{name}.lbug"), Schema.load(SHOP)) as store:
        import_files(store, [products])
        yield store, [orders.model_copy(update={"path": folder / "orders.csv"})]


def outcome(folder: Path, name: str, chunk_rows: int) -> tuple[dict[str, Any], FileReport, bytes]:
    with fresh(folder, name) as (store, mappings):
        chosen = ImportOptions(rejects=folder / name, now=NOW, chunk_rows=chunk_rows)
        (file,) = import_files(store, mappings, chosen).files
        return everything(store), file, Path(file.rejects or "").read_bytes()


def same(file: FileReport) -> FileReport:
    """A report without what may differ between two runs."""
    return replace(file, seconds=0.0, rejects=None, resumed=0)


def test_any_chunking_gives_the_same(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(dirty_orders(150, 7), encoding="utf-8")
    whole, report, rejected = outcome(tmp_path, "whole", 1_000)
    assert len(report.rejected) >= 6
    assert report.new_events > 20
    assert report.duplicates > 0

    @settings(max_examples=6, deadline=None)
    @given(st.integers(1, 200))
    def check(chunk_rows: int) -> None:
        for old in tmp_path.glob("part*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        found, again, again_rejected = outcome(tmp_path, "part", chunk_rows)
        assert found == whole
        assert same(again) == same(report)
        assert again_rejected == rejected

    check()


# Killed

RUN = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from firstedge.graph.schema import Schema
from firstedge.graph.store import open_store
from firstedge.loaders.importer import import_files
from firstedge.loaders.job import ImportOptions
from firstedge.loaders.mapping import load_mappings

shop, folder, when, count, chunk = sys.argv[1:]
orders, products, *_ = load_mappings(shop)
orders = orders.model_copy(update={"path": Path(folder) / "orders.csv"})
left = int(count)


def counted(call):
    def run(*given, **named):
        global left
        left -= 1
        if left == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(*given, **named)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return run


with open_store(str(Path(folder) / "killed.lbug"), Schema.load(shop)) as store:
    import_files(store, [products])
    store.write, store.write_note = counted(store.write), counted(store.write_note)
    now = datetime(2024, 6, 1, tzinfo=UTC)
    rejects = Path(folder) / "killed"
    import_files(store, [orders], ImportOptions(rejects=rejects, chunk_rows=int(chunk), now=now))
"""


def killed(folder: Path, kill: str, grown: int = 0) -> int:
    """Run an import that kills itself, or kill it once its file of rejects has grown."""
    path = folder / "killed" / "orders.csv"
    size = path.stat().st_size if path.exists() else 0
    arguments = [str(SHOP), str(folder), *kill.split()]
    with subprocess.Popen([sys.executable, "-c", RUN, *arguments]) as run:
        while grown and run.poll() is None and path.stat().st_size < size + grown:
            time.sleep(0.001)
        if grown:
            run.kill()
        return run.wait(60)


def test_a_killed_import_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(dirty_orders(120, 11), encoding="utf-8")
    whole, report, rejected = outcome(tmp_path, "whole", 1_000)
    # Calls of one chunk: users, events, note. The chunks differ from run to run.
    for kill in ("before 1 30", "after 3 25", "after 2 20", "before 5 17"):
        assert killed(tmp_path, kill) == -signal.SIGKILL
    assert killed(tmp_path, "never 0 1", grown=400) == -signal.SIGKILL
    with fresh(tmp_path, "killed") as (store, mappings):
        chosen = ImportOptions(rejects=tmp_path / "killed", now=NOW, chunk_rows=23)
        (file,) = import_files(store, mappings, chosen).files
        assert everything(store) == whole
    assert 0 < file.resumed < file.rows
    assert same(file) == same(report)
    assert Path(file.rejects or "").read_bytes() == rejected


class Stop(Exception):
    """Raised to stop an import."""


def stop_after(rows: int) -> Callable[[Progress], None]:
    def stop(progress: Progress) -> None:
        if progress.rows >= rows:
            raise Stop

    return stop


def test_an_import_whose_rejects_are_gone_begins_again(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(dirty_orders(60, 5), encoding="utf-8")
    whole, report, rejected = outcome(tmp_path, "whole", 1_000)
    with fresh(tmp_path, "stopped") as (store, mappings):
        chosen = ImportOptions(rejects=tmp_path / "stopped", now=NOW, chunk_rows=10)
        with pytest.raises(Stop):
            import_files(store, mappings, replace(chosen, progress=stop_after(30)))
        (tmp_path / "stopped" / "orders.csv").unlink()
        (file,) = import_files(store, mappings, chosen).files
        assert everything(store) == whole
    assert file.resumed == 0
    assert same(file) == same(report)
    assert Path(file.rejects or "").read_bytes() == rejected


def test_progress_is_told_after_every_chunk(store: GraphStore, tmp_path: Path) -> None:
    told: list[Progress] = []
    likes = load_mappings(SHOP)[3]
    import_files(store, [likes], options(tmp_path, chunk_rows=3, progress=told.append))
    assert [(progress.name, progress.rows) for progress in told] == [
        ("likes", 3),
        ("likes", 6),
        ("likes", 7),
    ]
    assert told[-1].done == 1


# Categories

TREE = """
[[import]]
name = "tree"
path = "tree.csv"
categories = { id = "id", name = "name", parent = "up" }

[[import]]
name = "members"
path = "members.csv"
item_categories = { item = "sku", category = "in", separator = "|" }
"""


@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
def test_categories_form_a_tree_in_any_order_and_chunking(
    store: GraphStore, tmp_path: Path, chunk_rows: int
) -> None:
    (tmp_path / "tree.csv").write_text(
        "id,name,up\ngreen,Green tea,tea\ntea,Tea,\nleft,Left,lost\na,A,b\nb,B,c\nc,C,a\n,No,\n"
        "self,Self,self\nblack,,tea\n"
    )
    (tmp_path / "members.csv").write_text("sku,in\ni1,green| a\ni2,none\ni9,tea\ni1,\n")
    import_items(store, {"id": ["i1", "i2"]})
    mappings = parse_mappings(TREE, "shop.toml", tmp_path)
    report = import_files(store, mappings[::-1], options(tmp_path, chunk_rows=chunk_rows))
    tree, members = report.files
    assert rows(store.read("categories"), "id", "name", "parent") == [
        ("a", "A", "b"),
        ("b", "B", "c"),
        ("black", None, "tea"),
        ("c", "C", None),
        ("green", "Green tea", "tea"),
        ("left", "Left", None),
        ("self", "Self", None),
        ("tea", "Tea", None),
    ]
    assert rejects(tree) == [
        (4, "unknown parent"),
        (7, "category cycle"),
        (8, "no category"),
        (9, "category cycle"),
    ]
    assert rows(store.read("item_categories")) == [("i1", "a"), ("i1", "green")]
    lost = "unknown item or category"
    assert rejects(members) == [(3, lost), (4, lost)]
    assert tree.new["categories"] == 8


# Tables in memory


def test_tables_in_memory(store: GraphStore) -> None:
    import_users(store, {"id": [7, 8], "city": ["Bern", None]})
    import_items(store, pa.table({"id": ["i1", "i2"], "price": [1.5, None], "tags": [["x"], None]}))
    import_categories(store, {"id": ["c", "d"], "parent": [None, "c"]})
    import_item_categories(store, {"item": ["i1", "i9"], "category": ["d", "d"]})
    when = datetime(2024, 3, 1, 8, tzinfo=UTC)
    given = {
        "user": ["7", "9", "9", None, "7"],
        "target": ["i1", "d", "i9", "i1", "i2"],
        "kind": ["view", "follow", "view", "view", "cart"],
        "time": [when, when.replace(tzinfo=None), when, when, when],
        "weight": [2.0, None, 1.0, 1.0, 1.0],
        "key": ["k1", "k2", "k3", "k4", "k5"],
    }
    given["time"] = pa.array(given["time"], pa.timestamp("ms", "UTC"))
    report = import_events(store, given)
    assert report.rejected == {"no user": 1, "unknown item": 1, "unknown kind": 1}
    moment = int(when.timestamp() * 1000)
    assert sorted(rows(store.read_events())) == [
        ("7", "i1", "view", moment, 0, 2.0, "k1"),
        ("9", "d", "follow", moment, 1, None, "k2"),
    ]
    assert rows(store.read("users"), "id", "city") == [("7", "Bern"), ("8", None), ("9", None)]
    assert rows(store.read("items"), "id", "price", "tags") == [
        ("i1", 1.5, ["x"]),
        ("i2", None, None),
    ]
    assert rows(store.read("categories"), "id", "parent") == [("c", None), ("d", "c")]
    assert rows(store.read("item_categories")) == [("i1", "d")]


def test_rows_without_a_key_are_their_own(store: GraphStore) -> None:
    import_items(store, {"id": ["i"]})
    given = {"user": ["u", "u", "u"], "target": ["i"] * 3, "kind": ["view"] * 3, "time": [1, 2, 1]}
    report = import_events(store, given)
    assert (report.new_events, report.duplicates) == (2, 1)
    given["kind"] = ["purchase"] * 3
    assert import_events(store, given).new_events == 2


def test_keys_of_two_imports_never_meet(store: GraphStore, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("no,u,i\n1,u,i\n")
    import_items(store, {"id": ["i"]})
    text = VIEWS.replace('"view"', '"view", key = ["no"]')
    (first,) = parse_mappings(text, "shop.toml", tmp_path)
    second = first.model_copy(update={"name": "b"})
    report = import_files(store, [first, second])
    assert [file.new_events for file in report.files] == [1, 1]
    assert sorted(store.read_events()["key"].to_pylist()) == ["a:1", "b:1"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"user": ["u"]}, "no column 'target'"),
        ({"user": ["u"], "target": [{"x": 1}], "kind": ["view"]}, "column 'target' is of type"),
        ([1, 2], "events: not a table"),
    ],
)
def test_tables_that_do_not_fit_are_told(store: GraphStore, given: Any, told: str) -> None:
    with pytest.raises(MappingError, match=told):
        import_events(store, given)


# Faults


def test_rejects_that_cannot_be_written_are_told(store: GraphStore, tmp_path: Path) -> None:
    (tmp_path / "rejects").write_text("a file")
    with pytest.raises(SettingsError, match="cannot write the rejected rows to"):
        import_files(store, load_mappings(SHOP), options(tmp_path))
    assert store.counts()["items"] == 0


def test_a_missing_file_is_told(store: GraphStore, tmp_path: Path) -> None:
    mappings = parse_mappings(VIEWS, "shop.toml", tmp_path)
    with pytest.raises(MappingError, match=r"cannot read .*a\.csv: No such file"):
        import_files(store, mappings)


def test_a_file_that_ends_too_early_is_told_and_goes_on(
    store: GraphStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firstedge.loaders.readers.BLOCK", 1_000)
    import_items(store, {"id": ["i"]})
    packed = gzip.compress("".join(["u,i\n", *(f"u{n},i\n" for n in range(2_000))]).encode())
    path = tmp_path / "a.csv"
    path.write_bytes(packed[: len(packed) // 2])
    mappings = parse_mappings(VIEWS, "shop.toml", tmp_path)
    with pytest.raises(MappingError, match=r"cannot read .*a\.csv as csv"):
        import_files(store, mappings, ImportOptions(chunk_rows=300))
    there = store.counts()["events.view"]
    assert 0 < there < 2_000
    path.write_bytes(packed)
    (file,) = import_files(store, mappings).files
    assert (file.new_events, file.duplicates) == (2_000 - there, there)


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="chunk_rows"):
        ImportOptions(chunk_rows=0)
    with pytest.raises(ValueError, match="zone"):
        ImportOptions(now=datetime(2024, 1, 1))


# The sample shop


def test_the_sample_shop(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "retail.lbug"), Schema.load(RETAIL)) as store:
        (file,) = import_files(store, load_mappings(RETAIL)).files
        assert file.rows == 541_909
        assert file.rejected == {
            "free of charge": 33,
            "no customer": 135_080,
            "not a product": 1_920,
            "service": 83,
        }
        assert file.duplicates == 5_220
        assert file.new["events.purchase"] + file.new["events.return"] == 399_573
        assert file.new["events.return"] == 8_505
        assert (file.new["users"], file.new["items"]) == (4_362, 3_674)
        items = {row["id"]: row for row in store.read("items").to_pylist()}
        assert items["85123A"]["title"] == "CREAM HANGING HEART T-LIGHT HOLDER"
        assert min(row["price"] for row in items.values()) > 0
        assert all(row["title"] for row in items.values())
        summer = store.read_events(users=["17850"])
        first = datetime(2010, 12, 1, 8, 26, tzinfo=UTC).timestamp() * 1000
        assert min(summer["time"].to_pylist()) == first

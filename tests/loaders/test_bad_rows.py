"""A row that cannot be read costs itself alone: all others become what they are without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firstedge.graph.schema import Schema
from firstedge.graph.store import GraphStore, open_store
from firstedge.loaders.columns import parse_times
from firstedge.loaders.delimited import Dialect, read_delimited
from firstedge.loaders.importer import import_events, import_files, import_items
from firstedge.loaders.job import ImportOptions
from firstedge.loaders.json_lines import read_json_lines
from firstedge.loaders.mapping import parse_mappings
from firstedge.loaders.report import FileReport

SHOP = Path(__file__).parent / "shop" / "shop.toml"
MAPPING = """
[[import]]
name = "a"
path = "{}"
events = {{ user = "u", target = "i", kind = "view", time = "when" }}
"""
NAMES = ("when", "u", "i", "note")
DAY = "2024-03-01 08:00"
COUNT, AT = 400, 123  # rows, and which of them is the bad one


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GraphStore]:
    with open_store(str(tmp_path / "shop.lbug"), Schema.load(SHOP)) as store:
        import_items(store, {"id": ["i0", "i1", "i2"]})
        yield store


def imported(store: GraphStore, path: Path, chunk_rows: int = 1_000) -> FileReport:
    mappings = parse_mappings(MAPPING.format(path.name), "shop.toml", path.parent)
    return import_files(store, mappings, ImportOptions(chunk_rows=chunk_rows)).files[0]


def events(store: GraphStore) -> list[tuple[Any, ...]]:
    """Everything about every event, in the order of the file."""
    found = [tuple(row.values()) for row in store.read_events().to_pylist()]
    at = store.read_events().column_names.index("seq")
    return sorted(found, key=lambda row: row[at])


def write_lines(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


# Keys

ROWS = [(DAY, "u1", "i1", '5" nail'), (DAY, "u2", "i1", ""), ("", "u1", "i2", "a, b")]
# Written in stores: a key that changes makes a second event of each that is there.
TEXT_KEYS = [
    "cb635384472918c85109f77fab589b22",
    "9e3923e8d3989cc8c7c230d89e1512ea",
    "b3eb918737afe96c8e95136516ab7128",
]
KEYS = {
    "csv": TEXT_KEYS,
    "tsv": TEXT_KEYS,
    "parquet": TEXT_KEYS,
    "inter": [
        "a16bdd8dbf1e56022a7d0a1dce87267c",
        "9e3923e8d3989cc8c7c230d89e1512ea",
        "4853a222e81f683165ad244b9f068fe4",
    ],
    "jsonl": [
        "696726ea7af61f1ab50ed692002a589b",
        "8ead84b6d6fb33d2955d96bcc7684c81",
        "0a5deeedf781fec23b705e8282489d39",
    ],
}


def write_rows(folder: Path, suffix: str) -> Path:
    path = folder / f"a.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table(dict(zip(NAMES, zip(*ROWS, strict=True), strict=True))), path)
        return path
    if suffix == "jsonl":
        return write_lines(path, [json.dumps(dict(zip(NAMES, row, strict=True))) for row in ROWS])
    header = ("when:token", "u:token", "i:token", "note:token_seq") if suffix == "inter" else NAMES
    if suffix == "csv":
        quoted = [f'{DAY},u1,i1,"5"" nail"', f"{DAY},u2,i1,", ',u1,i2,"a, b"']
        return write_lines(path, [",".join(NAMES), *quoted])
    return write_lines(path, ["\t".join(row) for row in (header, *ROWS)])


@pytest.mark.parametrize("suffix", KEYS)
def test_keys_of_whole_rows_stay_what_they_were(
    store: GraphStore, tmp_path: Path, suffix: str
) -> None:
    report = imported(store, write_rows(tmp_path, suffix))
    assert (report.new_events, report.rejected) == (3, {})
    assert [row[-1] for row in events(store)] == KEYS[suffix]


def test_keys_of_several_columns_stay_what_they_were(store: GraphStore, tmp_path: Path) -> None:
    text = MAPPING.format(write_rows(tmp_path, "csv").name).replace(
        "time", 'key = ["u", "i"], time'
    )
    import_files(store, parse_mappings(text, "shop.toml", tmp_path))
    assert [row[-1] for row in events(store)] == [
        "2d2f6d1b2d16b8b77db0713551d2a9a7",
        "8d100367e44ffdc23574c47f8155ac24",
        "ffa482625e8d69b4d0c6261df1171227",
    ]


def test_keys_of_rows_in_memory_stay_what_they_were(store: GraphStore) -> None:
    given = {"user": ["u1", "u2"], "target": ["i1"] * 2, "kind": ["view"] * 2, "time": [1, None]}
    import_events(store, given)
    assert [row[-1] for row in events(store)] == [
        "a7b2095f1a04678e4a9337eed498eab7",
        "4dbe09051761d1cb6af043f65f77bc90",
    ]


# Events

# Many rows share their first column by name (i), which must not become their key.
CELLS = [(DAY, f"u{n}", f"i{n % 3}", f"n{n}" if n % 5 else "") for n in range(COUNT)]
CSV = [",".join(row) for row in CELLS]
TSV = ["\t".join(row) for row in CELLS]
JSONL = [json.dumps(dict(zip(NAMES, row, strict=True))) for row in CELLS]
HEADERS = {
    "csv": [",".join(NAMES)],
    "tsv": ["\t".join(NAMES)],
    "inter": ["when:token\tu:token\ti:token\tnote:token"],
    "jsonl": [],
}
LINES = {"csv": CSV, "tsv": TSV, "inter": TSV, "jsonl": JSONL}
BAD = [
    ("csv", f"{DAY},u{AT}"),
    ("csv", f'{DAY},"u{AT},i0,n'),
    ("csv", f'{DAY},"u"{AT},i0,n'),
    ("csv", f"{DAY},u{AT},i0,n,more"),
    ("csv", f'{DAY},""u{AT}"",i0,n'),
    ("tsv", f"{DAY}\tu{AT}"),
    ("inter", f"{DAY}\tu{AT}\ti0\tn\tmore"),
    ("jsonl", f'{{"when": "{DAY}", "u": "u{AT}", "i": "i0"'),
    ("jsonl", "null"),
]


@pytest.mark.parametrize("block", [4 << 20, 700])
@pytest.mark.parametrize(("suffix", "bad"), BAD)
def test_a_bad_row_costs_its_own_event_alone(
    store: GraphStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    bad: str,
    block: int,
) -> None:
    monkeypatch.setattr("firstedge.loaders.readers.BLOCK", block)
    header, lines = HEADERS[suffix], list(LINES[suffix])
    clean = write_lines(tmp_path / f"clean.{suffix}", [*header, *lines])
    lines[AT] = bad
    dirty = write_lines(tmp_path / f"dirty.{suffix}", [*header, *lines])
    with open_store(str(tmp_path / "clean.lbug"), Schema.load(SHOP)) as other:
        import_items(other, {"id": ["i0", "i1", "i2"]})
        report = imported(other, clean)
        assert (report.new_events, report.duplicates, report.rejected) == (COUNT, 0, {})
        expected = events(other)
    del expected[AT]
    report = imported(store, dirty)
    assert report.rejected == {"malformed row": 1}
    assert (report.rows, report.new_events, report.duplicates) == (COUNT, COUNT - 1, 0)
    assert events(store) == expected
    # Once more, as it was and with one event more, in other chunks.
    assert imported(store, dirty).skipped
    write_lines(dirty, [*header, *lines, lines[0].replace("u0", "u_new")])
    report = imported(store, dirty, chunk_rows=37)
    assert (report.new_events, report.duplicates) == (1, COUNT - 1)
    assert events(store)[:-1] == expected


# Texts


def texts(batches: Iterator[pa.RecordBatch], skip: int) -> list[tuple[Any, ...]]:
    """Line, texts and whether it is bad, of every row behind the first lines."""
    found = [row for batch in batches for row in batch.to_pylist()]
    return [
        (row["#line"] - skip, row["x"], row["y"], row["#bad"])
        for row in found
        if row["#line"] > skip
    ]


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('ab ,"\n\r\x00é'), max_size=25))
@example("a,b\n\nc,d\n")
@example("a,b\r\n\r\nc,d")
@example('""a"",b')
@example('"a""",""a')
@example('a"",b"')
def test_rows_of_a_csv_file_are_the_same_behind_a_bad_one(text: str) -> None:
    dialect = Dialect(("x", "y"))
    alone = texts(read_delimited(iter([f"{text}\n".encode()]), dialect, 1), 0)
    after = texts(read_delimited(iter([f"1,2,3\n{text}\n".encode()]), dialect, 1), 1)
    assert after == alone


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(-1e6, 1e6),
    st.text(max_size=4),
    st.lists(st.text(max_size=2), max_size=2),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=3))
@example([1.5e-07, 1e-05, 0.1])
@example([9_007_199_254_740_992, 0.0])
def test_rows_of_a_json_lines_file_are_the_same_behind_a_bad_one(values: list[Any]) -> None:
    block = "".join(f"{json.dumps({'x': value})}\n" for value in values)
    alone = texts(read_json_lines(iter([block.encode()]), ("x", "y")), 0)
    for bad in ("{broken\n", "null\n", "1\n", '{"x":1}{"x":2}\n'):
        after = texts(read_json_lines(iter([f"{bad}{block}".encode()]), ("x", "y")), 1)
        assert after == alone


@pytest.mark.parametrize("line", ["null", " null", "nullx", '{"x": 1}\nnull', '{"x": 1} null {}'])
def test_a_null_between_objects_is_a_bad_row(line: str) -> None:
    batches = read_json_lines(iter([f'{line}\n{{"x": 2}}\n'.encode()]), ("x", "y"))
    found = [(row["x"], row["#bad"]) for batch in batches for row in batch.to_pylist()]
    assert found[-2:] == [(None, True), ("2", False)]


def test_an_object_over_two_lines_is_no_row_even_if_the_count_is_right() -> None:
    block = b'{"x": 1} {"x": 2}\n{"x":\n3}\n'
    batches = read_json_lines(iter([block]), ("x",))
    assert [row["#bad"] for batch in batches for row in batch.to_pylist()] == [True] * 3


@pytest.mark.parametrize("time", ["0000-01-01", "0001-01-01", "2024-03-01T08:00:00.5", "20240301"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/London"])
def test_a_time_is_the_same_beside_one_that_cannot_be_read(time: str, zone: str) -> None:
    alone = parse_times(pa.array([time]), "iso", zone).to_pylist()
    beside = parse_times(pa.array([time, "never"]), "iso", zone).to_pylist()
    assert beside == [*alone, None]
    assert (alone == [None]) == time.startswith("0000")

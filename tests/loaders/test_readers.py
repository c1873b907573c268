"""Readers: every format, every dirt, line numbers, and memory that stays."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firstedge.graph.errors import MappingError
from firstedge.loaders import readers
from firstedge.loaders.columns import UNIT, parse_column, parse_times
from firstedge.loaders.delimited import Dialect, read_delimited
from firstedge.loaders.mapping import ImportMapping
from firstedge.loaders.readers import open_source, table_source

SHOP = Path(__file__).parent / "shop"
FIELDS = ("#line", "#raw", "#bad")


def mapping(path: Path, user: str = "a", item: str = "b", **options: Any) -> ImportMapping:
    events = {"user": user, "target": item, "kind": "view"}
    return ImportMapping.model_validate({"name": "m", "path": path, "events": events, **options})


def rows(what: ImportMapping) -> list[dict[str, Any]]:
    with open_source(what) as source:
        return [row for batch in source.batches for row in batch.to_pylist()]


def good(what: ImportMapping) -> list[tuple[Any, ...]]:
    """Line and texts of the rows that could be read."""
    return [
        (row["#line"], *(value for name, value in row.items() if name not in FIELDS))
        for row in rows(what)
        if not row["#bad"]
    ]


def bad(what: ImportMapping) -> list[tuple[int, str]]:
    """Line and text of the rows that could not be read."""
    return [(row["#line"], row["#raw"]) for row in rows(what) if row["#bad"]]


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# CSV


def test_csv_rows_are_texts_with_their_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "a,b\n007,1e3\n,x y \n北京,\n")
    assert good(mapping(path)) == [(2, "007", "1e3"), (3, None, "x y "), (4, "北京", None)]


@pytest.mark.parametrize(
    "row",
    ["1,2,3", "1", '"1', '"1"x,2', '1,"2', "1,\udcff2", '1,"a\nb",c'],
    ids=["wide", "narrow", "open", "after", "open-2", "bytes", "wide-with-break"],
)
@pytest.mark.parametrize("regular", ["x,y", '"x, ""1""",y'])
def test_a_malformed_csv_row_costs_itself_alone(tmp_path: Path, row: str, regular: str) -> None:
    text = f"a,b\n{regular}\n{row}\n{regular}\n{regular}\n"
    path = write(tmp_path, "a.csv", text.encode(errors="surrogateescape"))
    first = row.split("\n")[0].replace("\udcff", "\\xff")
    assert bad(mapping(path))[0] == (3, first)
    value = next(csv.reader([regular]))
    after = 4 + row.count("\n")
    found = [(2, *value), (after, *value), (after + 1, *value)]
    assert [line for line in good(mapping(path)) if line[1] == value[0]] == found


def test_csv_values_may_hold_breaks_quotes_and_delimiters(tmp_path: Path) -> None:
    path = write(
        tmp_path, "a.csv", '\ufeffa,"b"\r\n"x\r\ny","1,2"\r\n\r\n"say ""hi""",5" nail\r\nlast,""'
    )
    assert good(mapping(path)) == [
        (2, "x\r\ny", "1,2"),
        (5, 'say "hi"', '5" nail'),
        (6, "last", None),
    ]
    assert bad(mapping(path)) == []


def test_tsv_other_delimiters_and_files_without_a_header(tmp_path: Path) -> None:
    assert good(mapping(write(tmp_path, "a.tsv", "a\tb\n1,5\t2\n"))) == [(2, "1,5", "2")]
    semi = write(tmp_path, "b.csv", "a;b\n1,5;2\n")
    assert good(mapping(semi, delimiter=";")) == [(2, "1,5", "2")]
    bare = write(tmp_path, "c.csv", "1,2\n3,4\n")
    assert good(mapping(bare, columns=["a", "b"])) == [(1, "1", "2"), (2, "3", "4")]


def test_other_encodings(tmp_path: Path) -> None:
    text = "a,b\n王伟,茶\n李娜,咖啡\n".encode("gb18030")
    path = write(tmp_path, "a.csv", text + b"\xff\xff,x\n" + text[4:])
    assert good(mapping(path, encoding="gb18030")) == [
        (2, "王伟", "茶"),
        (3, "李娜", "咖啡"),
        (5, "王伟", "茶"),
        (6, "李娜", "咖啡"),
    ]
    assert [line for line, _ in bad(mapping(path, encoding="gb18030"))] == [4]


def test_gzip_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv.gz", gzip.compress(b"a,b\n1,2\n"))
    assert good(mapping(path)) == [(2, "1", "2")]
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 100_000)
    cut = write(tmp_path, "b.csv.gz", packed[: len(packed) // 2])
    with pytest.raises(MappingError, match=r"cannot read .*b.csv.gz as csv"):
        rows(mapping(cut))


CELL = st.text(st.sampled_from('ab茶 ,";\t\n'), max_size=4)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(CELL, CELL, CELL), max_size=12),
    st.integers(1, 60),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
)
def test_csv_as_written_is_csv_as_read(
    table: list[tuple[str, str, str]], size: int, quoting: int
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
    writer.writerows(table)
    lines = text.getvalue().encode().splitlines(keepends=True)
    blocks = [b"".join(lines[start : start + size]) for start in range(0, len(lines), size)]
    dialect = Dialect(("x", "y", "z"))
    # A row of several lines must fit into a block; one that does not is a malformed row.
    if any(sum(cell.count("\n") for cell in row) >= size for row in table):
        blocks = [b"".join(lines)] if lines else []
    batches = list(read_delimited(iter(blocks), dialect, 2))
    found = [row for batch in batches for row in batch.to_pylist()]
    assert [(row["x"], row["y"], row["z"]) for row in found] == [
        tuple(cell or None for cell in row) for row in table
    ]
    starts, line = [], 2
    for row in table:
        starts.append(line)
        line += 1 + sum(cell.count("\n") for cell in row)
    assert [row["#line"] for row in found] == starts


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from('a,"\n\r'), max_size=40), st.text(st.sampled_from('a,"\n')))
def test_no_text_stops_the_csv_reader(first: str, second: str) -> None:
    blocks = [f"{text}\n".encode() for text in (first, second)]
    batches = list(read_delimited(iter(blocks), Dialect(("x", "y")), 1))
    lines = [line for batch in batches for line in batch["#line"].to_pylist()]
    assert lines == sorted(set(lines))
    assert all(1 <= line <= sum(block.count(b"\n") for block in blocks) for line in lines)


def test_a_file_in_small_blocks_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["a,b"] + [
        f'u{n},"say ""{n}"", or\n{n}"' if n % 7 == 0 else f"u{n},{n}" for n in range(500)
    ]
    path = write(tmp_path, "a.csv", "\n".join(lines))
    whole = good(mapping(path))
    assert len(whole) == 500
    monkeypatch.setattr(readers, "BLOCK", 100)
    assert good(mapping(path)) == whole
    assert bad(mapping(path)) == []


# JSON lines


def test_json_lines(tmp_path: Path) -> None:
    lines = [
        {"a": "u1", "b": 7, "extra": {"deep": [1]}},
        {"a": 17850.0, "b": ["x", "y"]},
        {"a": True, "b": 0.1},
        {"a": None},
        {"a": "", "b": {"c": 1}},
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    path = write(tmp_path, "a.jsonl", f"\ufeff{text}\n\n{{broken\n[1]\n")
    assert good(mapping(path)) == [
        (1, "u1", "7"),
        (2, "17850", f"x{UNIT}y"),
        (3, "true", "0.1"),
        (4, None, None),
        (5, None, '{"c": 1}'),
    ]
    assert bad(mapping(path)) == [(7, "{broken"), (8, "[1]")]
    assert rows(mapping(path))[1]["#raw"] == json.dumps(lines[1])


# Parquet and tables


def test_parquet_of_every_type_is_texts(tmp_path: Path) -> None:
    table = pa.table(
        {
            "a": pa.array([17850.0, 1.25, None]),
            "b": pa.array(["x", "", None]).dictionary_encode(),
            "int": pa.array([1, None, 3], pa.int32()),
            "bool": [True, False, None],
            "list": [["x", "y"], [], None],
            "day": [date(2024, 2, 29), None, None],
            "naive": [datetime(2024, 2, 29, 1, 2, 3), None, None],
            "zoned": [datetime(2024, 2, 29, 8, tzinfo=timezone(timedelta(hours=8))), None, None],
            "decimal": [Decimal("1.50"), None, None],
            "struct": [{"x": 1}, None, None],
        }
    )
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    with open_source(mapping(path)) as source:
        first, second, third = (row for batch in source.batches for row in batch.to_pylist())
        assert source.types["a"] == "float"
        assert source.types["int"] == "int"
        assert source.types["list"] == "list"
        assert source.done() == 1
    assert first["a"] == "17850"
    assert second["a"] == "1.25"
    assert first["list"] == f"x{UNIT}y"
    assert first["day"] == "2024-02-29"
    assert first["zoned"].endswith("Z")
    assert parse_times(pa.array([first["zoned"]]), "iso", "Asia/Tokyo").to_pylist() == [
        int(datetime(2024, 2, 29, tzinfo=UTC).timestamp() * 1000)
    ]
    assert first["decimal"] == "1.50"
    assert "struct" not in first
    assert {value for name, value in third.items() if name not in (*FIELDS, "int")} == {None}
    assert (second["b"], second["list"], third["#line"]) == (None, None, 3)


def test_a_table_in_memory_reads_like_a_file() -> None:
    table = pa.table({"id": [1, 2], "name": ["x", None]})
    (batch,) = table_source(table).batches
    assert batch.to_pylist() == [
        {"#line": 1, "#raw": None, "#bad": False, "id": "1", "name": "x"},
        {"#line": 2, "#raw": None, "#bad": False, "id": "2", "name": None},
    ]
    with pytest.raises(MappingError, match=r"column 'id' is of type struct"):
        table_source(pa.table({"id": [{"x": 1}]}))


# RecBole and LightGCN


def test_recbole_names_and_types_come_from_its_header() -> None:
    with open_source(mapping(SHOP / "clicks.inter", "user_id", "item_id")) as source:
        (batch,) = source.batches
    assert source.columns == ("user_id", "item_id", "timestamp", "action", "age", "note")
    assert source.types["timestamp"] == "float"
    assert source.types["note"] == "list"
    assert batch["note"].to_pylist()[:2] == [f"a{UNIT}b", "c"]
    assert batch["#line"].to_pylist() == [2, 3, 4, 5, 6, 7]


def test_lightgcn_lists_are_edges_in_their_order() -> None:
    found = good(mapping(SHOP / "likes.txt", "user", "item", format="lightgcn"))
    assert found == [
        (1, "u1", "茶-1"),
        (1, "u1", "茶-2"),
        (1, "u1", "茶-3"),
        (2, "u4", "茶-3"),
        (2, "u4", "茶-1"),
        (3, "u5", None),
        (5, "u1", "茶-1"),
    ]


def test_a_user_of_very_many_items_is_no_trouble(tmp_path: Path) -> None:
    items = [f"i{n}" for n in range(100_000)]
    path = write(tmp_path, "a.txt", "u " + " ".join(items))
    found = good(mapping(path, "user", "item", format="lightgcn"))
    assert [row[2] for row in found] == items


# Faults


def test_a_missing_column_is_told_with_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "customer,b\n1,2\n")
    with pytest.raises(MappingError, match=r"no column 'custmer'.*did you mean 'customer'"):
        rows(mapping(path, user="custmer"))


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="different names"):
        rows(mapping(write(tmp_path, "a.csv", "a,b,a\n1,2,3\n")))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.parquet", b"PAR1 no", "cannot read .* as parquet"),
        ("a.csv", b"", "no column 'a'"),
        ("a.csv.gz", b"\x1f\x8b no", "cannot read .* as csv"),
        ("a.csv", b"\xff\xfea,b\n", "cannot read .* as csv"),
    ],
)
def test_a_file_of_another_format_is_told(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    with pytest.raises(MappingError, match=told):
        rows(mapping(write(tmp_path, name, content)))


def test_a_missing_file_and_an_endless_line_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MappingError, match="No such file"):
        rows(mapping(tmp_path / "none.csv"))
    monkeypatch.setattr(readers, "BLOCK", 1 << 16)
    monkeypatch.setattr(readers, "LONGEST_LINE", 1 << 18)
    path = write(tmp_path, "a.csv", b"a,b\n" + b"x" * (1 << 20))
    with pytest.raises(MappingError, match="a line has no end"):
        rows(mapping(path))


def test_faults_of_who_reads_are_their_own(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "a,b\n1,2\n")
    disk = OSError("disk")
    with pytest.raises(OSError, match="disk"), open_source(mapping(path)):
        raise disk


# Values


@pytest.mark.parametrize(
    ("type_", "texts", "values"),
    [
        ("int", ["1", "-2", None, "1.5", "x", "9" * 30], [1, -2, None, None, None, None]),
        ("float", ["1", "-2e3", None, "x"], [1.0, -2000.0, None, None]),
        ("bool", ["true", "No", "1", None, "maybe"], [True, False, True, None, None]),
        ("text", ["a", f"a{UNIT}b", None], ["a", "a b", None]),
        ("list", [f"a{UNIT}b", "c", None], [["a", "b"], ["c"], None]),
    ],
)
def test_texts_as_values(type_: Any, texts: list[str | None], values: list[Any]) -> None:
    assert parse_column(pa.array(texts, pa.string()), type_).to_pylist() == values


def ms(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000)


HOUR = 3_600_000
DAY = ms(2024, 2, 29)


@pytest.mark.parametrize(
    ("zone", "text", "time"),
    [
        ("UTC", "2024-02-29", DAY),
        ("UTC", "2024-02-29 10:00", DAY + 10 * HOUR),
        ("UTC", "1969-12-31T23:59:59.9995", -1),
        ("Asia/Shanghai", "2024-02-29T10:00:00.5", DAY + 2 * HOUR + 500),
        ("Asia/Shanghai", "2024-02-29T10:00Z", DAY + 10 * HOUR),
        ("Asia/Shanghai", "2024-02-29T10:00-05:00", DAY + 15 * HOUR),
        ("Europe/London", "2024-10-27 01:30", ms(2024, 10, 27) + HOUR // 2),  # the first of two
        ("Europe/London", "2024-03-31 01:30", ms(2024, 3, 31) + HOUR),  # skipped by the clock
        ("UTC", "2023-02-29", None),
        ("UTC", "yesterday", None),
        ("UTC", None, None),
    ],
)
def test_iso_texts_as_times(zone: str, text: str | None, time: int | None) -> None:
    assert parse_times(pa.array([text], pa.string()), "iso", zone).to_pylist() == [time]
    mixed = pa.array([text, "2024-02-29T00:00Z", "2024-02-29T02:00+02:00", "never"], pa.string())
    assert parse_times(mixed, "iso", zone).to_pylist() == [time, DAY, DAY, None]


@pytest.mark.parametrize(
    ("format_", "texts", "times"),
    [
        ("s", ["1709164800", "1709164800.25", "-1"], [DAY, DAY + 250, -1000]),
        ("s", ["nan", "x", "1e40", None], [None, None, None, None]),
        ("ms", ["1709164800123"], [DAY + 123]),
        (
            "%d.%m.%Y %H:%M",
            ["29.02.2024 10:00", "1.3.2024 1:05"],
            [DAY + 10 * HOUR, DAY + 90_300_000],
        ),
        ("%d.%m.%Y %H:%M", ["30.02.2024 10:00", "29.02.2024 10:00 x", None], [None, None, None]),
        ("%Y%m%d %H%M%S.%f %z", ["20240229 080000.5 +0800"], [DAY + 500]),
    ],
)
def test_texts_as_times(format_: str, texts: list[str | None], times: list[int | None]) -> None:
    assert parse_times(pa.array(texts, pa.string()), format_, "UTC").to_pylist() == times


# Memory

READ = """
import resource, sys
from pathlib import Path
from firstedge.loaders.mapping import ImportMapping
from firstedge.loaders.readers import open_source

events = {"user": "user", "target": "item", "kind": "view"}
options = {"name": "m", "path": sys.argv[1], "events": events}
with open_source(ImportMapping.model_validate(options)) as source:
    first = next(source.batches)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = first.num_rows + sum(batch.num_rows for batch in source.batches)
print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.parametrize("format_", ["csv", "jsonl", "parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, format_: str) -> None:
    path = tmp_path / f"a.{format_}"
    count = 900_000
    filler = "x" * 60
    if format_ == "parquet":
        chunk = pa.table(
            {"user": [f"{n}{filler}" for n in range(100_000)], "item": ["i"] * 100_000}
        )
        with pq.ParquetWriter(path, chunk.schema) as writer:
            for _ in range(count // 100_000):
                writer.write_table(chunk)
    else:
        count //= 3 if format_ == "jsonl" else 1
        row = {"csv": f"u{filler},i\n", "jsonl": f'{{"user": "u{filler}", "item": "i"}}\n'}[format_]
        with path.open("w") as file:
            file.write("user,item\n" if format_ == "csv" else "")
            for _ in range(count // 10_000):
                file.write(row * 10_000)
    result = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True
    )
    rows_read, grown = result.stdout.split()
    assert int(rows_read) == count
    assert float(grown) < 60, f"{grown} MB more after the first batch"

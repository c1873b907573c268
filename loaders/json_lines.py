"""JSON lines as batches of texts with line numbers, a bad line at a time.

Arrow parses every block in which each line is an object and each column of one type; other blocks
go through Python's json module, line by line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pajson

from firstedge.loaders.columns import UNIT, as_text
from firstedge.loaders.delimited import make_batch

SAMPLE = 100  # lines that tell a column's type


def read_json_lines(blocks: Iterator[bytes], names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """Rows of a file of JSON objects, one a line.

    Args:
        blocks: Its bytes, each block ending with a line.
        names: The keys to read; other keys only tell rows apart.

    Yields:
        Batches of `make_batch`, with every row as it stands.
    """
    line = 1
    for block in blocks:
        texts = _decoded(block, line == 1).split("\n")
        at = [number for number, text in enumerate(texts) if text and not text.isspace()]
        raw = [texts[number].strip() for number in at]
        found = _parse_regular(raw, names)
        columns, bad = _parse_each(raw, names) if found is None else (found, None)
        lines = pa.array([line + number for number in at], pa.int64())
        yield make_batch(names, columns, lines, pa.array(raw, pa.string()), bad)
        line += block.count(b"\n")


def _decoded(block: bytes, first: bool) -> str:
    """As text; bytes that are none become escapes that JSON does not know."""
    return block.decode("utf-8-sig" if first else "utf-8", "backslashreplace")


def _parse_regular(raw: list[str], names: tuple[str, ...]) -> list[pa.Array] | None:
    """All lines by Arrow, if that reads them as Python does; else None."""
    # Arrow crashes at a null between objects, and takes one of several lines, or two in one line.
    if not all(text[0] == "{" and text[-1] == "}" for text in raw):
        return None
    block = "\n".join(raw).encode()
    types = _types(raw, names)
    if types is None or b"\\ud" in block.lower():  # maybe half of a surrogate pair
        return None
    try:
        table = pajson.read_json(
            pa.BufferReader(block),
            pajson.ReadOptions(use_threads=False, block_size=len(block) + 1),
            pajson.ParseOptions(explicit_schema=types, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != len(raw) or any(_is_inexact(table[name]) for name in names):
        return None
    texts = [as_text(table[name].combine_chunks()) for name in names]
    return [pc.if_else(pc.equal(text, ""), None, text) for text in texts]


def _is_inexact(column: pa.ChunkedArray) -> bool:
    """Whether integers among floats may be too large for a float."""
    if not pa.types.is_floating(column.type):
        return False
    return bool(pc.any(pc.greater_equal(pc.abs(column), 2.0**53)).as_py())


def _types(raw: list[str], names: tuple[str, ...]) -> pa.Schema | None:
    """Arrow types of the keys by the first lines; None if there is no one type for each."""
    rows = [row for row in map(_parse_object, islice(raw, SAMPLE)) if row is not None]
    try:
        columns = [pa.array([row.get(name) for row in rows]) for name in names]
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return None
    types = [pa.string() if pa.types.is_null(column.type) else column.type for column in columns]
    if not rows or any(pa.types.is_nested(_element(type_)) for type_ in types):
        return None
    return pa.schema(list(zip(names, types, strict=True)))


def _element(arrow: pa.DataType) -> pa.DataType:
    return arrow.value_type if pa.types.is_list(arrow) else arrow


def _parse_each(raw: list[str], names: tuple[str, ...]) -> tuple[list[pa.Array], pa.Array]:
    """Columns of texts, and which lines could not be read."""
    rows = [_parse_object(text) for text in raw]
    known: list[dict[str, Any]] = [row or {} for row in rows]
    columns = [pa.array([_as_text(row.get(name)) for row in known], pa.string()) for name in names]
    return columns, pa.array([row is None for row in rows], pa.bool_())


def _parse_object(text: str) -> dict[str, Any] | None:
    try:
        row = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(row, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _as_text(value: Any) -> str | None:
    """A JSON value as text, like the same value of a Parquet file."""
    if isinstance(value, str):
        return value or None
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_as_text(value)
    if isinstance(value, list):
        return UNIT.join(_as_text(element) or "" for element in value) or None
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False)


def _float_as_text(value: float) -> str:
    if value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    text = repr(value)
    # Arrow writes small numbers in its own way.
    return str(as_text(pa.array([value]))[0]) if "e-" in text else text

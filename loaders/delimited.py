"""CSV, TSV and RecBole files as batches of texts with line numbers, a bad row at a time.

Arrow parses every block in which a row is a line and all is regular. A block with something else in
it (a row of another width, a line break or a stray quote in a value, bytes that are no text) goes
through Python's csv module, which is slow and exact: it knows on which line each row starts, and
after a row that cannot be read it goes on with the next line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from firstedge.loaders.columns import ColumnType

# Columns that every batch has before those of the file.
LINE, RAW, BAD = "#line", "#raw", "#bad"


@dataclass(frozen=True)
class Dialect:
    """How a delimited file is written.

    Attributes:
        names: Of its columns.
        delimiter: One character.
        encoding: One that keeps ASCII as it is.
    """

    names: tuple[str, ...]
    delimiter: str = ","
    encoding: str = "utf-8"


def parse_header(line: bytes, delimiter: str, encoding: str) -> tuple[str, ...]:
    """Names of the columns, from a file's first line."""
    text = line.removeprefix(b"\xef\xbb\xbf").decode(encoding)
    return tuple(name.strip() for name in next(csv.reader([text], delimiter=delimiter), []))


def parse_typed_header(names: tuple[str, ...]) -> dict[str, ColumnType]:
    """RecBole's header ``name:type``, as types by name."""
    types: dict[str, ColumnType] = {"token": "text", "float": "float"}
    split = (name.rpartition(":") for name in names)
    return {name or type_: types.get(type_, "list" if name else "text") for name, _, type_ in split}


def make_batch(
    names: tuple[str, ...],
    columns: list[pa.Array],
    lines: pa.Array,
    raw: pa.Array | None = None,
    bad: pa.Array | None = None,
) -> pa.RecordBatch:
    """Columns of texts with the line of each row.

    Args:
        names: Of the columns.
        columns: string[n] each; null where a text is missing.
        lines: int64[n], 1-based.
        raw: string[n], rows as they stand in the file, where the reader has them.
        bad: bool[n], rows that could not be read; their texts are null.
    """
    raw = pa.nulls(len(lines), pa.string()) if raw is None else raw
    bad = pa.repeat(False, len(lines)) if bad is None else bad
    return pa.record_batch([lines, raw, bad, *columns], names=[LINE, RAW, BAD, *names])


def read_delimited(
    blocks: Iterator[bytes], dialect: Dialect, first_line: int
) -> Iterator[pa.RecordBatch]:
    """Rows of a delimited file.

    Args:
        blocks: Its bytes from the first row on, each block ending with a line.
        dialect: How it is written.
        first_line: The line of the first row, 1-based.

    Yields:
        Batches of `make_batch`.
    """
    line, rest = first_line, b""
    block = next(blocks, None)
    while block is not None:
        following = next(blocks, None)
        block = rest + _as_utf8(block, dialect.encoding)
        batch = _parse_regular(block, dialect, line)
        rest = b""
        if batch is None:
            rows = _Rows(dialect, line)
            rest = rows.parse(block, last=following is None)
            batch = rows.batch()
        yield batch
        line += _count_lines(block) - _count_lines(rest)
        block = following


def _count_lines(block: bytes) -> int:
    return block.count(b"\n") + (block[-1:] not in (b"\n", b""))


def _as_utf8(block: bytes, encoding: str) -> bytes:
    """In UTF-8; a line that is not in the encoding is made one that is not in UTF-8 either."""
    if encoding == "utf-8":
        return block
    try:
        return block.decode(encoding).encode()
    except UnicodeDecodeError:
        lines = block.split(b"\n")
    return b"\n".join(_line_as_utf8(line, encoding) for line in lines)


def _line_as_utf8(line: bytes, encoding: str) -> bytes:
    try:
        return line.decode(encoding).encode()
    except UnicodeDecodeError:
        return line.decode(encoding, "replace").encode() + b"\xff"


def _parse_regular(block: bytes, dialect: Dialect, line: int) -> pa.RecordBatch | None:
    """A block by Arrow, if every line of it is one row; else None."""
    if _has_empty_line(block) or not _quotes_are_regular(block, dialect.delimiter.encode()):
        return None
    names = list(dialect.names)
    try:
        table = pacsv.read_csv(
            pa.BufferReader(block),
            pacsv.ReadOptions(column_names=names, use_threads=False, block_size=len(block) + 1),
            pacsv.ParseOptions(delimiter=dialect.delimiter, ignore_empty_lines=False),
            pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != _count_lines(block):
        return None
    lines = pa.array(np.arange(line, line + table.num_rows))
    return make_batch(dialect.names, [c.combine_chunks() for c in table.columns], lines)


def _has_empty_line(block: bytes) -> bool:
    """Whether a line holds nothing: Arrow makes a row of it, Python's csv module does not."""
    return block.startswith((b"\n", b"\r\n")) or b"\n\n" in block or b"\n\r\n" in block


def _quotes_are_regular(block: bytes, delimiter: bytes) -> bool:
    """Whether every quote opens, closes or is doubled within a value, and all in one line.

    Of quotes in a row, an even number before them means that they stand outside of a value, so the
    first of them must open one; an even number up to the last means that this closes one.
    """
    if b'"' not in block:
        return True
    data = np.frombuffer(b"\n" + block + b"\n", np.uint8)
    at = np.flatnonzero(data == ord('"'))
    edge = np.zeros(256, bool)
    edge[list(b"\r\n" + delimiter)] = True
    starts = np.flatnonzero(np.diff(at, prepend=-1) != 1)
    ends = np.append(starts[1:], len(at))
    opened = edge[data[at[starts] - 1]] | (starts & 1 == 1)
    closed = edge[data[at[ends - 1] + 1]] | (ends & 1 == 1)
    up_to_line = np.searchsorted(at, np.flatnonzero(data == ord("\n")))
    return bool(opened.all() and closed.all() and not (up_to_line & 1).any())


@dataclass
class _Rows:
    """Rows of a block that Python's csv module parses."""

    dialect: Dialect
    line: int
    lines: list[int] = field(default_factory=list)
    values: list[list[str]] = field(default_factory=list)
    raw: list[str | None] = field(default_factory=list)

    def parse(self, block: bytes, last: bool) -> bytes:
        """Take in a block's rows, and give back a row at its end that goes on in the next block."""
        given = block.split(b"\n")
        texts = [text.decode("utf-8", "backslashreplace") + "\n" for text in given]
        broken = {n for n, text in enumerate(given) if not _is_utf8(text)}
        if not given[-1]:
            texts.pop()
        start = 0
        while start < len(texts):
            start, whole = self._parse_from(texts, start, broken)
            if whole:
                continue
            if not last and start > 0:
                return b"\n".join(given[start:])
            self._malformed(start, texts[start])
            start += 1
        return b""

    def _parse_from(self, texts: list[str], start: int, broken: set[int]) -> tuple[int, bool]:
        """Rows up to the end, or up to a row that has no end; gives where it stopped, and which."""
        feed = (texts[n] for n in range(start, len(texts)))
        reader = csv.reader(feed, delimiter=self.dialect.delimiter, strict=True)
        first = start
        try:
            for row in reader:
                end = first + reader.line_num
                good = len(row) == len(self.dialect.names) and broken.isdisjoint(range(start, end))
                if row and good:
                    self.lines.append(self.line + start)
                    self.values.append(row)
                    self.raw.append(None)
                elif row:
                    self._malformed(start, texts[start])
                    if end > start + 1:  # a quote too many has swallowed the lines after it
                        return start + 1, True
                start = end
        except csv.Error:
            if first + reader.line_num >= len(texts):
                return start, False
            self._malformed(start, texts[start])
            return start + 1, True
        return start, True

    def _malformed(self, number: int, text: str) -> None:
        self.lines.append(self.line + number)
        self.values.append([""] * len(self.dialect.names))
        self.raw.append(text.rstrip("\r\n"))

    def batch(self) -> pa.RecordBatch:
        """All rows taken in."""
        columns = zip(*self.values, strict=True) if self.values else ((),) * len(self.dialect.names)
        texts = [pa.array([text or None for text in column], pa.string()) for column in columns]
        raw = pa.array(self.raw, pa.string())
        return make_batch(
            self.dialect.names, texts, pa.array(self.lines, pa.int64()), raw, raw.is_valid()
        )


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True

"""Readers: a file of any format as a stream of batches of texts with line numbers.

Every batch has the columns `LINE`, `RAW` and `BAD` of `firstedge.loaders.delimited` and then the
file's own, all of them text (`firstedge.loaders.columns` says how). What a batch holds does not
depend on who reads it or how far, so an import may be cut into chunks anywhere.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from firstedge.graph.errors import MappingError
from firstedge.loaders.columns import UNIT, ColumnType, as_text, type_of
from firstedge.loaders.delimited import (
    BAD,
    LINE,
    RAW,
    Dialect,
    make_batch,
    parse_header,
    parse_typed_header,
    read_delimited,
)
from firstedge.loaders.json_lines import read_json_lines
from firstedge.loaders.mapping import ImportMapping

BLOCK = 4 << 20  # bytes of text read at a time
LONGEST_LINE = 64 << 20  # bytes
BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Source:
    """An open file.

    Attributes:
        columns: Names of its columns.
        batches: Its rows, to be read once.
        types: What a column is read as when the mapping does not say; text if not here.
        done: The part of the file that has been read, 0 to 1.
    """

    columns: tuple[str, ...]
    batches: Iterator[pa.RecordBatch]
    types: Mapping[str, ColumnType] = field(default_factory=dict)
    done: Callable[[], float] = lambda: 0.0


@contextmanager
def open_source(mapping: ImportMapping) -> Iterator[Source]:
    """Open the file of a mapping.

    Raises:
        MappingError: If it is missing, is not of the format, or lacks a column of the mapping;
            also while batches are read, if it ends too early or a line has no end.
    """
    path, format_ = mapping.file, mapping.file_format
    with ExitStack() as stack:
        with _told_apart(mapping):
            raw = cast(BinaryIO, stack.enter_context(path.open("rb")))
            if format_ == "parquet":
                source = _open_parquet(raw)
            else:
                source = _OPENERS[format_](_TextFile.open(raw, stack, path), mapping)
        check_columns(source, mapping)
        yield replace(source, batches=_guarded(source.batches, mapping))


@contextmanager
def _told_apart(mapping: ImportMapping) -> Iterator[None]:
    """Faults of the file as MappingError; faults of who reads it pass by."""
    try:
        yield
    except (OSError, EOFError, zlib.error, pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise MappingError(
            f"import {mapping.name!r}: cannot read {mapping.file} as {mapping.file_format}: {error}"
        ) from error


def _guarded(batches: Iterator[pa.RecordBatch], mapping: ImportMapping) -> Iterator[pa.RecordBatch]:
    while True:
        with _told_apart(mapping):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def table_source(table: pa.Table) -> Source:
    """A table as a source of its rows; the line of a row is its number from 1 on.

    Raises:
        MappingError: If a column is of a nested type other than a list.
    """
    for part in table.schema:
        if not _readable(part.type):
            raise MappingError(
                f"column {part.name!r} is of type {part.type}, expected texts, numbers, times or "
                "lists of them: leave it out"
            )
    names = tuple(table.column_names)
    batches = table.to_batches(max_chunksize=BATCH_ROWS)
    types = {part.name: type_of(part.type) for part in table.schema}
    return Source(names, _text_batches(batches, names), types)


def check_columns(source: Source, mapping: ImportMapping) -> None:
    """Hold the columns that a mapping names against those of its file.

    Raises:
        MappingError: With the first column that is not there and the nearest one that is.
    """
    twice = [name for name in source.columns if source.columns.count(name) > 1]
    if twice or {LINE, RAW, BAD} & set(source.columns):
        raise MappingError(
            f"import {mapping.name!r}: the file's columns must have different names, none of them "
            f"{LINE}, {RAW} or {BAD}; got {', '.join(source.columns)}"
        )
    for name in mapping.column_names:
        if name not in source.columns:
            near = get_close_matches(name, source.columns, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise MappingError(
                f"import {mapping.name!r}: the file has no column {name!r}, "
                f"but {', '.join(source.columns)}{hint}"
            )


@dataclass
class _TextFile:
    """A file of lines, unpacked on the way."""

    stream: BinaryIO
    raw: BinaryIO
    size: int

    @classmethod
    def open(cls, raw: BinaryIO, stack: ExitStack, path: Path) -> _TextFile:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=raw))) if packed else raw
        return cls(stream, raw, max(path.stat().st_size, 1))

    def done(self) -> float:
        return self.raw.tell() / self.size

    def blocks(self) -> Iterator[bytes]:
        """The rest of the file in blocks of whole lines."""
        rest = b""
        while data := self.stream.read(BLOCK):
            block = rest + data
            cut = block.rfind(b"\n") + 1
            if cut:
                yield block[:cut]
            rest = block[cut:]
            if len(rest) > LONGEST_LINE:
                raise EOFError(f"a line has no end within {LONGEST_LINE >> 20} MB")
        if rest:
            yield rest


def _open_delimited(file: _TextFile, mapping: ImportMapping) -> Source:
    delimiter = mapping.delimiter or ("," if mapping.file_format == "csv" else "\t")
    names, first_line = mapping.columns, 1
    if not names:
        names = parse_header(file.stream.readline(LONGEST_LINE), delimiter, mapping.encoding)
        first_line = 2
    types: dict[str, ColumnType] = {}
    if mapping.file_format == "recbole":
        types = parse_typed_header(names)
        names = tuple(types)
    dialect = Dialect(names, delimiter, mapping.encoding)
    batches = read_delimited(file.blocks(), dialect, first_line) if names else iter(())
    lists = tuple(name for name, type_ in types.items() if type_ == "list")
    return Source(names, _with_lists(batches, lists), types, file.done)


def _with_lists(batches: Iterator[pa.RecordBatch], names: tuple[str, ...]) -> Iterator[Any]:
    """RecBole's sequences, apart by blanks, as our lists."""
    for batch in batches:
        for name in names:
            texts = pc.replace_substring(batch[name], " ", UNIT)
            batch = batch.set_column(batch.schema.get_field_index(name), name, texts)
        yield batch


def _open_jsonl(file: _TextFile, mapping: ImportMapping) -> Source:
    names = mapping.column_names
    return Source(names, read_json_lines(file.blocks(), names), done=file.done)


def _open_lightgcn(file: _TextFile, mapping: ImportMapping) -> Source:
    def batches() -> Iterator[pa.RecordBatch]:
        line = 1
        for block in file.blocks():
            yield from _parse_lists(block, line)
            line += block.count(b"\n")

    return Source(("user", "item"), batches(), done=file.done)


def _parse_lists(block: bytes, first: int) -> Iterator[pa.RecordBatch]:
    """Lines ``user item item ...`` as rows of (user, item); a user alone has a missing item."""
    texts = pa.array(block.decode("utf-8", "backslashreplace").split("\n"), pa.string())
    texts = pc.ascii_trim_whitespace(texts)
    at = np.flatnonzero(pc.not_equal(texts, "").to_numpy(zero_copy_only=False))
    words = pc.ascii_split_whitespace(texts.take(pa.array(at)))
    lengths = pc.list_value_length(words).to_numpy()
    flat = words.flatten()
    starts = np.cumsum(lengths) - lengths
    counts = np.maximum(lengths - 1, 1)
    total = int(counts.sum())
    within = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    alone = np.repeat(lengths == 1, counts)
    users = np.repeat(starts, counts)
    items = pa.array(users + 1 + within, mask=alone)
    lines = np.repeat(at + first, counts)
    for start in range(0, total, BATCH_ROWS):
        rows = slice(start, start + BATCH_ROWS)
        columns = [flat.take(pa.array(users[rows])), flat.take(items[rows])]
        yield make_batch(("user", "item"), columns, pa.array(lines[rows]))


def _open_parquet(raw: BinaryIO) -> Source:
    file = pq.ParquetFile(raw, pre_buffer=False)
    schema = file.schema_arrow
    names = tuple(name for name in schema.names if _readable(schema.field(name).type))
    read = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal read
        for batch in file.iter_batches(BATCH_ROWS, columns=list(names), use_threads=False):
            read += batch.num_rows
            yield batch

    types = {name: type_of(schema.field(name).type) for name in names}
    rows = max(file.metadata.num_rows, 1)
    return Source(names, _text_batches(batches(), names), types, lambda: read / rows)


def _readable(arrow: pa.DataType) -> bool:
    plain = arrow.value_type if type_of(arrow) == "list" else arrow
    return not pa.types.is_nested(plain)


def _text_batches(
    batches: Iterator[pa.RecordBatch] | list[pa.RecordBatch], names: tuple[str, ...]
) -> Iterator[pa.RecordBatch]:
    row = 1
    for batch in batches:
        texts = [as_text(batch.column(name)) for name in names]
        columns = [pc.if_else(pc.equal(text, ""), None, text) for text in texts]
        lines = pa.array(np.arange(row, row + batch.num_rows))
        yield make_batch(names, columns, lines)
        row += batch.num_rows


_OPENERS: dict[str, Callable[[_TextFile, ImportMapping], Source]] = {
    "csv": _open_delimited,
    "tsv": _open_delimited,
    "recbole": _open_delimited,
    "jsonl": _open_jsonl,
    "lightgcn": _open_lightgcn,
}

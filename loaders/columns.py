"""Texts of a file as columns of values, and values as texts.

Readers give every column as text, whatever the file's format, so that one set of rules holds for
all of them; an empty text is a missing one. Elements of a list stand in one text, apart by `UNIT`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

ColumnType = Literal["text", "int", "float", "bool", "list"]
COLUMN_TYPES: tuple[ColumnType, ...] = ("text", "int", "float", "bool", "list")
UNIT = "\x1f"  # ASCII's unit separator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_1 = datetime(1, 1, 1)  # the first that Python's datetime knows; Arrow takes the year 0 too
_TRUE, _FALSE = ("true", "yes", "1", "t", "y"), ("false", "no", "0", "f", "n")


def flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column as one array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def mask_of(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """A boolean column as bool[n], null as False."""
    return np.asarray(flat(pc.fill_null(column, False)).to_numpy(zero_copy_only=False), dtype=bool)


def type_of(arrow: pa.DataType) -> ColumnType:
    """What a column of this Arrow type is read as when the mapping does not say."""
    if pa.types.is_dictionary(arrow):
        return type_of(arrow.value_type)
    if pa.types.is_boolean(arrow):
        return "bool"
    if pa.types.is_integer(arrow):
        return "int"
    if pa.types.is_floating(arrow) or pa.types.is_decimal(arrow):
        return "float"
    return "list" if _is_list(arrow) else "text"


def as_text(column: pa.Array) -> pa.Array:
    """Any column as text; ids that were floats lose their ``.0``, times are ISO.

    Raises:
        TypeError: If it is of a nested type other than a list.
    """
    arrow = column.type
    if pa.types.is_dictionary(arrow):
        return as_text(column.dictionary_decode())
    if _is_list(arrow):
        texts = pc.fill_null(as_text(column.values), "")
        inner = pa.ListArray.from_arrays(column.offsets.cast(pa.int32()), texts)
        joined = pc.binary_join(inner, UNIT)
        return pc.if_else(column.is_valid(), joined, None)
    if pa.types.is_nested(arrow):
        raise TypeError(f"columns of type {arrow} are not read")
    if pa.types.is_floating(arrow):
        return _floats_as_text(column.cast(pa.float64()))
    if pa.types.is_timestamp(arrow) and arrow.tz is not None:
        texts = column.cast(pa.timestamp(arrow.unit, "UTC")).cast(pa.timestamp(arrow.unit))
        return pc.binary_join_element_wise(texts.cast(pa.string()), "Z", "")
    return column.cast(pa.string())


def parse_column(text: pa.Array, type_: ColumnType, separator: str | None = None) -> pa.Array:
    """Texts as values: string, int64, float64, bool or list of string.

    Null where the text is missing and where it is not of the type: compare with the text's nulls.
    """
    if type_ == "text":
        return pc.replace_substring(text, UNIT, " ")
    if type_ == "list":
        return pc.split_pattern(text, separator or UNIT)
    if type_ == "bool":
        lower = pc.utf8_lower(text)
        yes, no = (pc.is_in(lower, pa.array(words)) for words in (_TRUE, _FALSE))
        return pc.if_else(pc.or_(yes, no), yes, None)
    arrow = pa.int64() if type_ == "int" else pa.float64()
    try:
        return text.cast(arrow)
    except pa.ArrowInvalid:
        return _parse_distinct(text, lambda value: pa.scalar(value).cast(arrow).as_py(), arrow)


def parse_times(text: pa.Array, format_: str, zone: str) -> pa.Array:
    """Texts as int64 milliseconds since 1970 UTC, rounded down.

    Args:
        text: The texts.
        format_: ``iso``, ``s``, ``ms`` or a pattern of strptime.
        zone: The zone of times that name none; of two times at the end of summer the first.

    Returns:
        Null where the text is missing and where it is no time.
    """
    if format_ in ("s", "ms"):
        return _parse_epoch(text, 1000.0 if format_ == "s" else 1.0)
    if format_ == "iso":
        try:
            times = text.cast(pa.timestamp("us"))
            return _in_zone(pc.if_else(pc.less(times, _YEAR_1), None, times), zone)
        except pa.ArrowInvalid:
            return _parse_datetimes(text, datetime.fromisoformat, zone)
    return _parse_pattern(text, format_, zone)


def _is_list(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_list(arrow) or pa.types.is_large_list(arrow))


def _floats_as_text(column: pa.Array) -> pa.Array:
    values = column.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        whole = np.isfinite(values) & (np.abs(values) < 2**53) & (values == np.floor(values))
    integers = pa.array(np.where(whole, values, 0).astype(np.int64)).cast(pa.string())
    return pc.if_else(
        pc.and_(pa.array(whole), column.is_valid()), integers, column.cast(pa.string())
    )


def _parse_distinct(text: pa.Array, parse: Callable[[str], Any], arrow: pa.DataType) -> pa.Array:
    """Parse each distinct text once; null where `parse` raises ValueError."""

    def parse_or_none(value: str) -> Any:
        try:
            return parse(value)
        except (ValueError, OverflowError):
            return None

    encoded = text.dictionary_encode()
    values = [parse_or_none(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(values, arrow).take(encoded.indices)


def _parse_epoch(text: pa.Array, to_ms: float) -> pa.Array:
    numbers = parse_column(text, "float")
    values = numbers.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.floor(values * to_ms + 1e-6)
        usable = np.abs(scaled) < 2.0**62  # False for NaN
    return pa.array(np.where(usable, scaled, 0).astype(np.int64), mask=~usable)


def _in_zone(naive: pa.Array, zone: str) -> pa.Array:
    """Timestamps without a zone, in microseconds, as milliseconds since 1970 UTC."""
    if zone != "UTC":
        naive = pc.assume_timezone(naive, zone, ambiguous="earliest", nonexistent="latest")
    values = pc.fill_null(naive.cast(pa.int64()), 0).to_numpy() // 1000
    return pa.array(values, mask=naive.is_null().to_numpy(zero_copy_only=False))


def _parse_pattern(text: pa.Array, pattern: str, zone: str) -> pa.Array:
    """By Arrow where it is sure to agree with Python's strptime, by that elsewhere."""

    def parse(value: str) -> datetime:
        return datetime.strptime(value, pattern)

    if any(directive in pattern for directive in ("%z", "%Z", "%f")):
        return _parse_datetimes(text, parse, zone)
    quick = pc.strptime(text, format=pattern, unit="us", error_is_null=True)
    # Arrow takes 30 February for 2 March, so the first three days of a month are looked at again.
    doubtful = pc.and_(text.is_valid(), pc.fill_null(pc.less_equal(pc.day(quick), 3), True))
    careful = _parse_datetimes(text.filter(doubtful), parse, zone)
    return pc.replace_with_mask(_in_zone(quick, zone), doubtful, careful)


def _parse_datetimes(text: pa.Array, parse: Callable[[str], datetime], zone: str) -> pa.Array:
    """By a Python function, once a distinct text; times with and without a zone may be mixed."""

    def naive(value: str) -> datetime | None:
        time = parse(value)
        return time if time.tzinfo is None else None

    def zoned(value: str) -> int | None:
        time = parse(value)
        return None if time.tzinfo is None else (time - _EPOCH) // timedelta(milliseconds=1)

    without = _in_zone(_parse_distinct(text, naive, pa.timestamp("us")), zone)
    return pc.coalesce(_parse_distinct(text, zoned, pa.int64()), without)

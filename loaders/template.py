"""Text templates of the Schema, formatted column by column."""

from __future__ import annotations

import re
import string

import pyarrow as pa
import pyarrow.compute as pc

from firstedge.loaders.columns import UNIT, as_text, flat

_BRACKETS = re.compile(r"([)\]}>»”’）】」』》]*)(.*?)([(\[{<«“‘（【「『《]*)", re.DOTALL)


def format_texts(template: str, table: pa.Table) -> tuple[str, ...]:
    """A template's texts, one for each row of the table.

    A value that is missing or blank leaves no trace, so that ``"{title}. {brand} ({color})"``
    gives ``"Mug (red)"`` where there is no brand: of the text between two fields, closing brackets
    stand where the field before has a value, opening ones where the field after has one, and the
    rest where there is something on both sides. Values of a list are joined by commas. Runs of
    white space become one space.

    Args:
        template: Literal text and ``{property}`` fields; an empty one gives empty texts.
        table: Has a column for each field.
    """
    literals, fields = _parse(template)
    if not fields:
        return (" ".join(template.split()),) * table.num_rows
    texts = values = _values(table[fields[0]])
    texts = _where(pc.not_equal(values, ""), literals[0], values)
    for literal, field in zip(literals[1:-1], fields[1:], strict=True):
        closing, between, opening = _BRACKETS.fullmatch(literal).groups()  # type: ignore[union-attr]
        before, values = pc.not_equal(values, ""), _values(table[field])
        here = pc.not_equal(values, "")
        texts = _join(texts, pc.if_else(before, closing, ""))
        both = pc.and_(here, pc.not_equal(texts, ""))
        texts = _join(texts, pc.if_else(both, between, ""), _where(here, opening, values))
    texts = _join(texts, pc.if_else(pc.not_equal(values, ""), literals[-1], ""))
    tidy = pc.utf8_trim_whitespace(pc.replace_substring_regex(texts, r"\s+", " "))
    return tuple(tidy.to_pylist())


def _parse(template: str) -> tuple[list[str], list[str]]:
    """The n + 1 literals around a template's n fields, and the fields."""
    literals, fields = [""], []
    for literal, field, _, _ in string.Formatter().parse(template):
        literals[-1] += literal
        if field is not None:
            fields.append(field)
            literals.append("")
    return literals, fields


def _values(column: pa.ChunkedArray) -> pa.Array:
    """A column as trimmed texts, empty where it is null."""
    texts = pc.replace_substring(as_text(flat(column)), UNIT, ", ")
    return pc.utf8_trim_whitespace(pc.fill_null(texts.cast(pa.string()), ""))


def _where(mask: pa.Array, literal: str, values: pa.Array) -> pa.Array:
    return _join(pc.if_else(mask, literal, ""), values)


def _join(*parts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")

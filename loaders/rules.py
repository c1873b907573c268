"""Rules of an import mapping: tests of a row's texts, rows to reject, and kinds of events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from firstedge.graph.schema import Name
from firstedge.loaders.columns import flat, mask_of, parse_column

Mask = npt.NDArray[np.bool_]

_COMPARISONS: dict[str, Callable[[pa.Array, float], pa.Array]] = {
    "below": pc.less,
    "at_most": pc.less_equal,
    "above": pc.greater,
    "at_least": pc.greater_equal,
}


class Part(BaseModel):
    """A table of the mapping: frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _checked_regex(pattern: str) -> str:
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{pattern!r} is not a regular expression (RE2): {error}") from None
    return pattern


ColumnName = Annotated[str, StringConstraints(min_length=1)]
Regex = Annotated[str, AfterValidator(_checked_regex)]


class Tests(Part):
    """What a text can be held against; all that is set must hold."""

    missing: Literal[True] | None = None
    matches: Regex | None = None
    not_matches: Regex | None = None
    one_of: tuple[str, ...] | None = None
    below: float | None = None
    at_most: float | None = None
    above: float | None = None
    at_least: float | None = None

    @property
    def tests(self) -> dict[str, Any]:
        """The tests that are set, by name; a row passes if it passes them all."""
        found = {name: getattr(self, name) for name in Tests.model_fields}
        return {name: value for name, value in found.items() if value is not None}


class Test(Tests):
    """A test of one column's text: all that is set must hold.

    ``matches`` looks for the expression anywhere in the text (RE2); a missing text matches
    nothing, so ``not_matches`` holds for it. Comparisons hold for numbers only.
    """

    __test__ = False  # not a class of tests for pytest

    column: ColumnName

    @model_validator(mode="after")
    def _something_to_test(self) -> Self:
        if not self.tests:
            raise ValueError(f"say what to test: one of {', '.join(Tests.model_fields)}")
        return self


class RejectRule(Test):
    """Rows that the shop does not want, by a name that the report counts them under."""

    name: Name
    unless: Test | None = None


class KindRule(Tests):
    """How an event gets its kind; of several rules the first that holds decides.

    ``{is = "return", column = "invoice", matches = "^C"}`` gives a kind to the rows that pass the
    tests (to all, without any); ``{column = "action", values = {pv = "view"}}`` takes it from the
    column, by way of `values` where the text is among them.
    """

    is_: Name | None = Field(default=None, alias="is")
    column: ColumnName | None = None
    values: dict[str, Name] = {}

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.is_ is None and self.column is None:
            raise ValueError("a kind is a name, {column = ...}, or rules with 'is'")
        if self.is_ is None and self.tests:
            raise ValueError("a rule with a test needs 'is', the kind of the rows that pass it")
        if self.is_ is not None and bool(self.tests) != (self.column is not None):
            raise ValueError("a rule with 'is' needs both a column and a test, or neither")
        if self.is_ is not None and self.values:
            raise ValueError("'values' goes with a kind that is read from a column, not with 'is'")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that this rule names."""
        return tuple(self.values.values()) if self.is_ is None else (self.is_,)


def passes(rule: Tests, texts: pa.Array) -> Mask:
    """Which of a column's texts pass all tests of a rule, bool[n]."""
    found = np.ones(len(texts), bool)
    numbers: pa.Array | None = None
    for test, value in rule.tests.items():
        if test in _COMPARISONS:
            numbers = parse_column(texts, "float") if numbers is None else numbers
            found &= mask_of(_COMPARISONS[test](numbers, value))
        elif test == "missing":
            found &= mask_of(texts.is_null())
        elif test == "one_of":
            found &= mask_of(pc.is_in(texts, pa.array(value, pa.string())))
        else:
            matching = mask_of(pc.match_substring_regex(texts, value))
            found &= matching if test == "matches" else ~matching
    return found


def rejected_by(rule: RejectRule, table: pa.Table) -> Mask:
    """Which rows of a table of texts a rule rejects, bool[n]."""
    found = passes(rule, flat(table[rule.column]))
    if rule.unless is not None:
        found &= ~passes(rule.unless, flat(table[rule.unless.column]))
    return found


def kinds_of(rules: tuple[KindRule, ...], table: pa.Table) -> pa.Array:
    """The kind of each row of a table of texts; null where no rule gives one."""
    kinds = pa.nulls(table.num_rows, pa.string())
    for rule in rules:
        kinds = pc.coalesce(kinds, _kind_by(rule, table))
    return kinds


def _kind_by(rule: KindRule, table: pa.Table) -> pa.Array:
    if rule.column is None:
        return pa.repeat(pa.scalar(rule.is_, pa.string()), table.num_rows)
    texts = flat(table[rule.column])
    if rule.is_ is not None:
        return pc.if_else(pa.array(passes(rule, texts)), rule.is_, None)
    names = pc.index_in(texts, pa.array(list(rule.values), pa.string()))
    return pc.coalesce(pa.array(rule.values.values(), pa.string()).take(names), texts)

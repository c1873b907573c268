"""The import mapping: what a shop owner writes, and what they are told when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from firstedge.graph.errors import MappingError, SchemaError
from firstedge.loaders.mapping import ImportMapping, load_mappings, parse_mappings
from firstedge.loaders.rules import KindRule, RejectRule, kinds_of, rejected_by

SHOP = Path(__file__).parent / "shop" / "shop.toml"

PLAIN = """
[[import]]
name = "orders"
path = "orders.csv"
events = { user = "u", target = "i", kind = "purchase" }
"""


def one(text: str) -> ImportMapping:
    (mapping,) = parse_mappings(text, "shop.toml")
    return mapping


def error(text: str) -> str:
    with pytest.raises(MappingError) as caught:
        parse_mappings(text, "shop.toml")
    return str(caught.value)


def test_the_shop_is_read_with_paths_next_to_its_file() -> None:
    mappings = load_mappings(SHOP)
    assert [mapping.name for mapping in mappings] == ["orders", "products", "clicks", "likes"]
    assert [mapping.file_format for mapping in mappings] == ["csv", "jsonl", "recbole", "lightgcn"]
    assert mappings[0].file == SHOP.parent / "orders.csv"
    assert mappings[0].column_names == (
        "customer", "city", "sku", "stars", "order", "ordered", "quantity"
    )  # fmt: skip


def test_a_file_without_imports_has_none() -> None:
    assert parse_mappings("") == ()
    assert parse_mappings('[user]\nlabel = "Customer"') == ()


def test_short_forms_say_the_same_as_long_ones() -> None:
    short = """
[[import]]
name = "a"
items = { id = "sku", price = "cost:float", "note" = "text:with:colons" }
events = { user = "u", target = "i", time = "at", kind = { column = "action" } }
"""
    long = """
[[import]]
name = "a"
[import.items]
id = { column = "sku" }
price = { column = "cost", type = "float" }
note = { column = "text:with:colons" }
[import.events]
user = "u"
target = "i"
time = { column = "at", format = "iso", zone = "UTC" }
kind = [{ column = "action" }]
"""
    assert one(short) == one(long)
    assert one(short).digest == one(long).digest


def test_users_are_made_from_events_unless_they_have_columns() -> None:
    made = one(PLAIN).users_or_made
    assert made is not None
    assert made["id"].column == "u"
    assert one('[[import]]\nname = "a"\nitems = { id = "x" }').users_or_made is None


def test_the_digest_follows_the_mapping_and_not_the_path() -> None:
    moved = one(PLAIN.replace("orders.csv", "elsewhere.csv"))
    changed = one(PLAIN.replace('"i"', '"item"'))
    assert moved.digest == one(PLAIN).digest
    assert changed.digest != one(PLAIN).digest


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("a.csv", "csv"),
        ("a.b.CSV.gz", "csv"),
        ("a.tsv", "tsv"),
        ("a.parquet", "parquet"),
        ("a.ndjson.gz", "jsonl"),
        ("ml-100k.inter", "recbole"),
    ],
)
def test_the_suffix_tells_the_format(name: str, format_: str) -> None:
    assert one(PLAIN.replace("orders.csv", name)).file_format == format_


def test_a_suffix_that_tells_nothing_is_an_error() -> None:
    with pytest.raises(MappingError, match=r"'train.txt' does not tell its format.*format ="):
        _ = one(PLAIN.replace("orders.csv", "train.txt")).file_format


def test_a_path_may_come_later_but_must_come() -> None:
    with pytest.raises(MappingError, match="import 'orders' has no file: give it a path"):
        _ = one(PLAIN.replace('path = "orders.csv"', "")).file


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("events", "evnts", "shop.toml:5: import.0.evnts: Extra inputs are not permitted"),
        ('"orders.csv"', '"orders.csv"\nformat = "xls"', "shop.toml:5: import.0.format: "),
        ('target = "i", ', "", "shop.toml:5: import.0.events.target: Field required"),
        ('"purchase"', '"purchase", time = { column = "t", format = "unix" }', "got 'unix'"),
        ('"purchase"', '"purchase", time = { column = "t", zone = "Mars" }', "no time zone 'Mars'"),
        ('"purchase"', '"buy"', "'buy' is not a kind of the Schema (view, cart, purchase"),
        ('"purchase"', '{ column = "a", values = { b = "buy" } }', "'buy' is not a kind"),
        ('"purchase"', '{ column = "a", matches = "b" }', "a rule with a test needs 'is'"),
        ('"purchase"', '{ is = "view", matches = "b" }', "both a column and a test"),
        ('"purchase"', "{ }", "a kind is a name, {column = ...}, or rules"),
        ('"purchase"', '{ is = "view", column = "a", matches = "(" }', "not a regular expression"),
        ("events = {", "users = { city = 'c' }\nevents = {", "shop.toml:5: import.0.users: id is"),
        ("path =", 'encoding = "latin9000"\npath =', "there is no encoding 'latin9000'"),
        ("path =", 'encoding = "utf-16"\npath =', "'utf-16' files are not read"),
        ("path =", 'delimiter = "||"\npath =', "import.0.delimiter"),
        ("events", 'item_categories = { item = "i" }\nevents', "either category"),
        ("events", 'reject = [{ name = "x", column = "c" }]\nevents', "say what to test"),
    ],
)
def test_faults_are_told_with_their_line(old: str, new: str, told: str) -> None:
    assert told in error(PLAIN.replace(old, new, 1))


def test_a_fault_in_a_later_import_is_told_with_its_line() -> None:
    second = PLAIN.replace('"orders"', '"more"').replace("user =", "usr =")
    assert "shop.toml:10: import.1.events.usr" in error(PLAIN + second)
    rule = '[[import.reject]]\nname = "x"\ncolumn = "c"\nmising = true\n'
    assert "shop.toml:9: import.0.reject.0.mising" in error(PLAIN + rule)


def test_nothing_to_import_and_equal_names_are_errors() -> None:
    assert "nothing to import" in error('[[import]]\nname = "a"')
    assert "two imports have one name" in error(PLAIN + PLAIN)
    rule = '[[import.reject]]\nname = "x"\ncolumn = "c"\nmissing = true\n'
    assert "two reject rules have one name" in error(PLAIN + rule + rule)
    both = 'categories = { id = "c" }\nitem_categories = { item = "i", names = "n" }\n'
    assert "not from both" in error(f'[[import]]\nname = "a"\n{both}')


def test_faults_of_the_schema_and_of_toml_are_schema_errors(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"shop.toml:2: user.lable"):
        parse_mappings('[user]\nlable = "x"\n' + PLAIN, "shop.toml")
    with pytest.raises(SchemaError, match=r"shop\.toml"):
        parse_mappings("[[import", "shop.toml")
    with pytest.raises(SchemaError, match="cannot read"):
        load_mappings(tmp_path / "none.toml")


TEXTS = pa.table({"a": ["5", "-1", "x", "", None, "0.5"], "b": ["C1", "C2", "3", "4", "5", "C6"]})


@pytest.mark.parametrize(
    ("tests", "found"),
    [
        ({"missing": True}, [4]),
        ({"matches": r"^-?\d"}, [0, 1, 5]),
        ({"not_matches": r"^-?\d"}, [2, 3, 4]),
        ({"one_of": ["x", "5"]}, [0, 2]),
        ({"below": 0.5}, [1]),
        ({"at_most": 0.5}, [1, 5]),
        ({"above": 0.5}, [0]),
        ({"at_least": 0.5}, [0, 5]),
        ({"above": -2, "below": 1}, [1, 5]),
        ({"at_most": 1, "unless": {"column": "b", "matches": "^C2"}}, [5]),
    ],
)
def test_reject_rules(tests: dict[str, object], found: list[int]) -> None:
    rule = RejectRule.model_validate({"name": "r", "column": "a", **tests})
    assert rejected_by(rule, TEXTS).nonzero()[0].tolist() == found


def test_kinds_of_rows() -> None:
    rules = (
        KindRule.model_validate({"is": "return", "column": "b", "matches": "^C"}),
        KindRule.model_validate({"column": "a", "values": {"x": "view"}}),
    )
    assert kinds_of(rules, TEXTS).to_pylist() == ["return", "return", "view", "", None, "return"]
    constant = (KindRule.model_validate({"is": "view"}),)
    assert kinds_of(constant, TEXTS).to_pylist() == ["view"] * 6

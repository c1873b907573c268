from __future__ import annotations

from pathlib import Path

import pytest

import firstedge.graph.cypher as cypher
from firstedge.graph.cypher import identifier, kind_names, load, node_names
from firstedge.graph.errors import SchemaError
from firstedge.graph.neo4j_slots import Slot
from firstedge.graph.queries import render
from firstedge.graph.schema import Kind, Schema

FOLDERS = ("neo4j", "neo4j_publish", "recommend")
FILES = [
    file
    for folder in FOLDERS
    for file in sorted((Path(cypher.__file__).parent / "cypher" / folder).glob("*.cypher"))
]


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("User", "`User`"), ("SENT BACK", "`SENT BACK`"), ("a`b", "`a``b`"), ("a\\b", "`a\\b`")],
)
def test_identifier_is_quoted(name: str, quoted: str) -> None:
    assert identifier(name) == quoted


@pytest.mark.parametrize("name", ["", "a\0b", "x\\u0060) DETACH DELETE n //", "x\\U0060"])
def test_a_name_that_quotes_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(SchemaError, match="cannot be a name"):
        identifier(name)


def test_names_go_in_and_nothing_else() -> None:
    query = load("neo4j", "count_keyless", {"label": "Käufer`x", "key": "nr"})
    assert query.splitlines() == [
        "MATCH (n:`Käufer``x`)",
        "WHERE n.`nr` IS NULL",
        "RETURN count(n) AS number",
    ]


def test_a_name_that_looks_like_a_placeholder_stays_a_name() -> None:
    query = load("neo4j", "count_nodes", {"label": "{key}", "key": "other"})
    assert query.startswith("MATCH (n:`{key}`)")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_placeholder_of_a_file_is_known(file: Path) -> None:
    names = {**kind_names(Schema(), Kind(type="T")), "label": "L", **node_names(Schema())}
    names |= {"name": "N", "key": "K", **Slot("a").names(), "types": ("T", "U")}
    assert "`{" not in load(file.parent.name, file.stem, names)


def test_several_names_stand_for_any_of_them() -> None:
    schema = Schema(kind={"buy": Kind(type="BOUGHT"), "odd": Kind(type="ODD TYPE")})
    assert "[event:`BOUGHT`|`ODD TYPE`]" in render(schema, "recommend")

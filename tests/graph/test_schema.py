from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from firstedge.graph.errors import SchemaError
from firstedge.graph.schema import (
    CategoryNames,
    ItemNames,
    Kind,
    Schema,
    UserNames,
    template_fields,
)

FULL = """\
# A shop with names of its own
[user]
label = "Customer"
key = "customerID"
profile = ["country", "age band"]
text = "{about}"

[item]
label = "Product"
title = "{title}"
text = "{title}. {brand}, {title}"
properties = ["price"]
available = "inStock"

[category]
label = "Shelf"
parent = "UNDER"
member = "ON"

[kind.purchase]
type = "BOUGHT"
time_unit = "datetime"

[kind.return]
type = "SENT BACK"
weight = 0
cancels = "purchase"

[kind.follow]
type = "FOLLOWS"
to = "category"

[settings]
device = "cpu"

[[import]]
file = "orders.csv"
"""

# Any characters but the back-quote and NUL, which no name may have, and no lone surrogates.
names = st.text(
    st.characters(exclude_characters="`\0", exclude_categories=("Cs",)), min_size=1, max_size=20
)


def quoted(text: str) -> str:
    """As a TOML string, every character escaped."""
    return '"' + "".join(f"\\U{ord(character):08x}" for character in text) + '"'


def test_the_empty_file_is_the_default() -> None:
    assert Schema.parse("") == Schema()
    assert Schema().kinds[:3] == ("view", "cart", "purchase")


def test_a_full_file() -> None:
    schema = Schema.parse(FULL)
    assert schema.user == UserNames(
        label="Customer", key="customerID", profile=("country", "age band"), text="{about}"
    )
    assert schema.user.fields == ("country", "age band", "about")
    assert schema.item.fields == ("title", "brand", "price", "inStock")
    assert schema.category == CategoryNames(label="Shelf", parent="UNDER", member="ON")
    assert schema.kinds == ("purchase", "return", "follow")
    assert schema.kind["return"] == Kind(type="SENT BACK", weight=0, cancels="purchase")
    assert schema.kind["follow"].to == "category"


@given(st.lists(names, min_size=8, max_size=8, unique=True))
def test_any_names_are_read_as_they_are(given_names: list[str]) -> None:
    user, item, category, parent, member, first, second, kind = given_names
    schema = Schema.parse(
        f"""
        [user]
        label = {quoted(user)}
        [item]
        label = {quoted(item)}
        [category]
        label = {quoted(category)}
        parent = {quoted(parent)}
        member = {quoted(member)}
        [kind.{quoted(kind)}]
        type = {quoted(first)}
        [kind.{quoted(kind + "2")}]
        type = {quoted(second)}
        """
    )
    assert (schema.user.label, schema.item.label) == (user, item)
    assert schema.category == CategoryNames(label=category, parent=parent, member=member)
    assert schema.kinds == (kind, kind + "2")
    assert [found.type for found in schema.kind.values()] == [first, second]


@given(st.text())
def test_any_text_is_a_schema_or_a_schema_error(text: str) -> None:
    try:
        Schema.parse(text)
    except SchemaError as error:
        assert str(error).startswith("schema")  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    ("line", "wrong", "said"),
    [
        (3, 'labell = "Customer"', "user.labell"),
        (4, "key = 7", "user.key: Input should be a valid string"),
        (5, 'profile = ["country", "ag`e"]', "user.profile"),
        (6, 'text = "{about.me}"', "plain property names"),
        (8, "[things]", "things: Extra inputs are not permitted"),
        (17, "parent = ''", "category.parent"),
        (22, 'time_unit = "weeks"', "kind.purchase.time_unit: Input should be 'ms', 's' or"),
        (26, "weight = nan", "kind.return.weight"),
        (26, "weight = 1e9", "kind.return.weight"),
        (31, 'to = "user"', "kind.follow.to"),
        (31, 'wait = "x"', "kind.follow.wait"),
    ],
)
def test_errors_name_the_line(line: int, wrong: str, said: str) -> None:
    lines = FULL.splitlines()
    lines[line - 1] = wrong
    with pytest.raises(SchemaError) as raised:
        Schema.parse("\n".join(lines), "shop.toml")
    fault = next(text for text in str(raised.value).splitlines() if said in text)
    section = 2 if "plain property names" in said else line
    assert fault.startswith(f"shop.toml:{section}: ")


@given(st.integers(0, len(FULL.splitlines())), st.integers(0, 9))
def test_comments_and_blank_lines_move_the_line(at: int, blank: int) -> None:
    lines = FULL.replace('to = "category"', 'to = "user"').splitlines()
    moved = [*lines[:at], *["# key = 1", ""] * blank, *lines[at:]]
    with pytest.raises(SchemaError) as raised:
        Schema.parse("\n".join(moved))
    line = moved.index('to = "user"') + 1
    assert str(raised.value).startswith(f"schema:{line}: kind.follow.to: ")


def test_toml_faults_name_the_line() -> None:
    with pytest.raises(SchemaError, match=r"shop\.toml: .*line 3"):
        Schema.parse("[user]\n\nlabel = = 1", "shop.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[kind.a]\ntype = "T"\n[kind.b]\ntype = "T"', "type 'T' is used for two things"),
        ('[category]\nmember = "T"\n[kind.b]\ntype = "T"', "type 'T' is used for two things"),
        ('[category]\nmember = "T"\nparent = "T"', "type 'T' is used for two things"),
        ('[user]\nlabel = "Item"', "three labels"),
        ('[kind.a]\ntype = "T"\nweight = 0\ncancels = "b"', "cancels 'b', which is no kind"),
        ('[kind.a]\ntype = "T"\ncancels = "a"', "its weight cannot be positive"),
        ("kind = {}", "at least 1 item"),
        ("[kind.a]\nweight = 1", "kind.a.type: Field required"),
    ],
)
def test_contradictions_are_refused(text: str, said: str) -> None:
    with pytest.raises(SchemaError) as raised:
        Schema.parse(text)
    assert said in str(raised.value)


def test_every_fault_is_listed() -> None:
    with pytest.raises(SchemaError) as raised:
        Schema.parse('[user]\nlabel = 1\n[item]\nkey = ""\n[kind.a]\ntype = "`"')
    starts = [line.split(" ")[0] for line in str(raised.value).splitlines()]
    assert starts == ["schema:2:", "schema:4:", "schema:6:"]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="`firstedge init` writes one"):
        Schema.load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'[user]\nlabel = "K\xe4ufer"')
    with pytest.raises(SchemaError, match=r"latin\.toml"):
        Schema.load(tmp_path / "latin.toml")
    (tmp_path / "shop.toml").write_text("[user]\nlabel = 1", "utf-8")
    with pytest.raises(SchemaError, match=r"^shop\.toml:2: user\.label"):
        Schema.load(tmp_path / "shop.toml")


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Schema().user.label = "Person"  # type: ignore[misc]


@given(st.lists(st.from_regex(r"\A[a-z_]+\Z"), max_size=5))
def test_template_fields(fields: list[str]) -> None:
    template = " {{x}} ".join(f"{{{field}}}" for field in fields)
    assert template_fields(template) == tuple(fields)
    assert ItemNames(text=template).fields == tuple(dict.fromkeys(fields))

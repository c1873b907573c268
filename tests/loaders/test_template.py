"""Text templates: what a missing value leaves behind, which is nothing."""

import pyarrow as pa
import pytest

from firstedge.graph.errors import SchemaError
from firstedge.graph.schema import Schema
from firstedge.loaders.template import format_texts


def one(template: str, **values: object) -> str:
    columns = {name: [values.get(name)] for name in ("title", "brand", "color", "price", "tags")}
    types = {"title": pa.string(), "brand": pa.string(), "color": pa.string()}
    types |= {"price": pa.float64(), "tags": pa.list_(pa.string())}
    table = pa.table({name: pa.array(v, types[name]) for name, v in columns.items()})
    return format_texts(template, table)[0]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"title": "Mug", "brand": "Acme", "color": "red"}, "Mug. Acme (red)"),
        ({"title": "Mug", "brand": "Acme"}, "Mug. Acme"),
        ({"title": "Mug", "color": "red"}, "Mug (red)"),
        ({"brand": "Acme", "color": "red"}, "Acme (red)"),
        ({"color": "red"}, "(red)"),
        ({"title": "Mug"}, "Mug"),
        ({"title": " \n", "brand": "Acme"}, "Acme"),
        ({}, ""),
    ],
)
def test_a_missing_value_leaves_no_trace(given: dict[str, str], text: str) -> None:
    assert one("{title}. {brand} ({color})", **given) == text


def test_text_around_a_field_goes_with_it() -> None:
    assert one("Title: {title}, by {brand}.", title="Mug", brand="Acme") == "Title: Mug, by Acme."
    assert one("Title: {title}, by {brand}.", title="Mug") == "Title: Mug"
    assert one("Title: {title}, by {brand}.", brand="Acme") == "Acme."
    assert one("{title}、{brand}（{color}）", title="茶杯", color="红色") == "茶杯（红色）"


def test_values_of_any_type_and_rows_of_any_number() -> None:
    assert one("{title} {price} {tags}", price=2.0, tags=["a", "b"]) == "2 a, b"
    assert one("{title} {price} {tags}", title="A  B\tC", tags=[]) == "A B C"
    table = pa.table({"title": pa.chunked_array([["x"], [None, "z"]], pa.string())})
    assert format_texts("{{{title}}}", table) == ("{x}", "", "{z}")
    assert format_texts("", table) == ("", "", "")
    assert format_texts("{title}", table.slice(0, 0)) == ()


@pytest.mark.parametrize("template", ["{price:.2f}", "{title!r}", "{}", "{a.b}", "{title"])
def test_a_schema_takes_plain_fields_only(template: str) -> None:
    with pytest.raises(SchemaError):
        Schema.parse(f'[item]\ntext = "{template}"')

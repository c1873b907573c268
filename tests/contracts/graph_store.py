"""What every GraphStore does: subclass `GraphStoreContract` and give it an `open_store` fixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from firstedge.graph.errors import DataError, SchemaError
from firstedge.graph.schema import CategoryNames, ItemNames, Kind, Schema, UserNames
from firstedge.graph.store import COLUMNS, GraphStore, TableName

Opener = Callable[[Schema], GraphStore]

HOSTILE = [
    'O\'Brien "x"',
    "a`b`c",
    "商品 一号",
    "{$id}",
    "back\\slash\n",
    "😀 é e\u0301",
    " ",
    "-- //",
]

SHOP = Schema(
    user=UserNames(label="Customer", key="customerID", profile=("country",), text="{about}"),
    item=ItemNames(
        label="Product",
        key="sku",
        title="{title}",
        text="{title}. {brand}",
        properties=("price", "tags"),
        available="inStock",
    ),
    category=CategoryNames(label="Shelf", key="code", parent="UNDER", member="ON"),
    kind={
        "purchase": Kind(type="BOUGHT", time="at", event_key="receipt"),
        "return": Kind(type="SENT BACK", weight=0, cancels="purchase"),
        "follow": Kind(type="FOLLOWS", to="category"),
    },
)


def users(*ids: str, **properties: list[Any]) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.string()), **properties})


items = users


def categories(*rows: tuple[str, str | None]) -> pa.Table:
    """Rows of (id, parent); the name is the id in capitals."""
    return pa.table(
        {
            "id": [id_ for id_, _ in rows],
            "name": [id_.upper() for id_, _ in rows],
            "parent": pa.array([parent for _, parent in rows], pa.string()),
            "derived": [False] * len(rows),
        },
        schema=COLUMNS["categories"],
    )


def members(*rows: tuple[str, str]) -> pa.Table:
    return table("item_categories", *rows)


def table(name: TableName, *rows: tuple[Any, ...]) -> pa.Table:
    schema = COLUMNS[name]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in schema]
    return pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema)


def events(*rows: tuple[Any, ...]) -> pa.Table:
    """Rows of (user, target, kind, time, seq, weight, key)."""
    return table("events", *rows)


def event(user: str, target: str, key: str, **given: Any) -> tuple[Any, ...]:
    row = {"kind": "purchase", "time": 1000, "seq": 0, "weight": None, **given}
    return (user, target, row["kind"], row["time"], row["seq"], row["weight"], key)


def rows_of(result: pa.Table) -> list[dict[str, Any]]:
    return result.to_pylist()


def stored(store: GraphStore, **where: Any) -> list[tuple[Any, ...]]:
    """Events as sorted tuples in the order of COLUMNS."""
    found = store.read_events(**where).select(COLUMNS["events"].names)
    return sorted((tuple(row.values()) for row in found.to_pylist()), key=lambda row: row[-1])


def keys(store: GraphStore, **where: Any) -> list[str]:
    return [row[-1] for row in stored(store, **where)]


class GraphStoreContract:
    """Subclass it as ``TestXStore`` and override `open_store`."""

    @pytest.fixture
    def open_store(self) -> Opener:
        """A function that opens this test's own store, which is empty when the test begins.

        Called again, after the first one was closed, it opens the same store with another Schema.
        """
        raise NotImplementedError

    @pytest.fixture
    def store(self, open_store: Opener) -> Iterator[GraphStore]:
        with open_store(Schema()) as store:
            yield store

    @pytest.fixture
    def shop(self, open_store: Opener) -> Iterator[GraphStore]:
        """Two users and three items, with names of the shop's own."""
        with open_store(SHOP) as store:
            store.write("users", users("u1", "u2"))
            store.write("items", items("i1", "i2", "i3"))
            store.write("categories", categories(("c1", None)))
            yield store

    # An empty store

    def test_empty_store_reads_as_empty_tables(self, store: GraphStore) -> None:
        assert store.read("users").schema == COLUMNS["users"]
        assert store.read("categories").schema == COLUMNS["categories"]
        assert store.read("item_categories").schema == COLUMNS["item_categories"]
        read = store.read_events()
        assert read.column_names == COLUMNS["events"].names
        assert read.num_rows == 0
        assert store.read_events(users=["nobody"], since=0, until=9).num_rows == 0

    def test_empty_store_counts_zero_and_passes_the_check(self, store: GraphStore) -> None:
        counts = store.counts()
        assert set(counts.values()) == {0}
        assert {"users", "items", "categories", "item_categories", "events.view"} <= set(counts)
        store.check()

    def test_writing_no_rows_does_nothing(self, store: GraphStore) -> None:
        for name, columns in COLUMNS.items():
            written = store.write(name, columns.empty_table())
            assert (written.new, written.known, len(written.orphans)) == (0, 0, 0)
        assert set(store.counts().values()) == {0}

    # Nodes

    def test_nodes_come_back_sorted_by_id(self, store: GraphStore) -> None:
        written = store.write("users", users("b", "a", "Z", "é"))
        assert (written.new, written.known) == (4, 0)
        assert store.read("users")["id"].to_pylist() == ["Z", "a", "b", "é"]

    def test_properties_of_every_type_come_back(self, open_store: Opener) -> None:
        given = pa.table(
            {
                "id": ["i1", "i2"],
                "title": ["Red mug", None],
                "price": [1.5, None],
                "tags": [["a", "b"], None],
                "inStock": [True, False],
                "brand": pa.array([None, None], pa.string()),
                "stock_count": [7, 2**40],
            }
        )
        with open_store(SHOP) as store:
            store.write("items", given)
            read = store.read("items")
        assert set(read.column_names) == {"id", "title", "brand", "price", "tags", "inStock"}
        assert rows_of(
            read.select(["id", "title", "price", "tags", "inStock", "brand"])
        ) == rows_of(given.drop_columns("stock_count"))

    def test_integers_come_back_as_integers(self, open_store: Opener) -> None:
        schema = Schema(user=UserNames(profile=("age",)))
        with open_store(schema) as store:
            store.write("users", users("u", "v", age=[2**53 + 1, None]))
            assert store.read("users")["age"].to_pylist() == [2**53 + 1, None]

    def test_a_property_nobody_has_is_a_column_of_nulls(self, open_store: Opener) -> None:
        with open_store(Schema(user=UserNames(profile=("country",)))) as store:
            store.write("users", users("u"))
            assert rows_of(store.read("users")) == [{"id": "u", "country": None}]

    def test_writing_a_node_again_updates_what_is_not_null(self, open_store: Opener) -> None:
        schema = Schema(user=UserNames(profile=("country", "age")))
        with open_store(schema) as store:
            store.write("users", users("u1", "u2", country=["DE", "FR"], age=[30, 40]))
            again = store.write("users", users("u2", "u3", country=[None, "CN"], age=[41, 50]))
            assert (again.new, again.known) == (1, 1)
            assert rows_of(store.read("users")) == [
                {"id": "u1", "country": "DE", "age": 30},
                {"id": "u2", "country": "FR", "age": 41},
                {"id": "u3", "country": "CN", "age": 50},
            ]

    def test_the_same_node_twice_in_one_call_is_as_in_two_calls(self, open_store: Opener) -> None:
        with open_store(Schema(user=UserNames(profile=("country",)))) as store:
            twice = users("u", "u", "u", country=["DE", "FR", None])
            written = store.write("users", twice)
            assert (written.new, written.known) == (1, 2)
            assert rows_of(store.read("users")) == [{"id": "u", "country": "FR"}]

    def test_a_property_may_appear_later(self, open_store: Opener) -> None:
        schema = Schema(user=UserNames(profile=("country", "age")))
        with open_store(schema) as store:
            store.write("users", users("u1", country=["DE"]))
            store.write("users", users("u2", age=[3]))
            assert rows_of(store.read("users")) == [
                {"id": "u1", "country": "DE", "age": None},
                {"id": "u2", "country": None, "age": 3},
            ]

    @pytest.mark.parametrize("text", HOSTILE)
    def test_any_string_is_just_data(self, open_store: Opener, text: str) -> None:
        with open_store(Schema(item=ItemNames(title="{title}"))) as store:
            store.write("users", users(text))
            store.write("items", items(text, title=[text]))
            store.write("categories", categories((text, None)))
            store.write("item_categories", members((text, text)))
            store.write("events", events(event(text, text, text)))
            again = store.write("events", events(event(text, text, text)))
            store.write_note(text, text)
            assert again.known == 1
            assert rows_of(store.read("items")) == [{"id": text, "title": text}]
            assert rows_of(store.read("item_categories")) == [{"item": text, "category": text}]
            assert stored(store, users=[text]) == [(text, text, "purchase", 1000, 0, None, text)]
            assert store.read_note(text) == text

    # Categories

    def test_categories_form_a_tree_whatever_the_order(self, store: GraphStore) -> None:
        written = store.write(
            "categories", categories(("leaf", "mid"), ("mid", "top"), ("top", None))
        )
        assert (written.new, written.orphans.tolist()) == (3, [])
        assert rows_of(store.read("categories")) == [
            {"id": "leaf", "name": "LEAF", "parent": "mid", "derived": False},
            {"id": "mid", "name": "MID", "parent": "top", "derived": False},
            {"id": "top", "name": "TOP", "parent": None, "derived": False},
        ]

    def test_a_parent_that_is_not_there_is_an_orphan(self, store: GraphStore) -> None:
        written = store.write("categories", categories(("a", None), ("b", "later")))
        assert (written.new, written.orphans.tolist()) == (2, [1])
        assert [row["parent"] for row in rows_of(store.read("categories"))] == [None, None]
        store.write("categories", categories(("later", None)))
        mended = store.write("categories", categories(("b", "later")))
        assert (mended.new, mended.known, mended.orphans.tolist()) == (0, 1, [])
        assert [row["parent"] for row in rows_of(store.read("categories"))] == [None, "later", None]

    def test_a_category_has_one_parent_and_keeps_it_when_null_is_given(
        self, store: GraphStore
    ) -> None:
        store.write("categories", categories(("a", None), ("b", None), ("c", "a")))
        store.write("categories", categories(("c", "b")))
        store.write("categories", categories(("c", None)))
        assert [row["parent"] for row in rows_of(store.read("categories"))] == [None, None, "b"]

    @pytest.mark.parametrize(
        "second", [[("x", "x")], [("a", "c")], [("a", "new"), ("new", "b")]], ids=len
    )
    def test_a_cycle_is_named_and_nothing_is_written(
        self, store: GraphStore, second: list[tuple[str, str]]
    ) -> None:
        store.write("categories", categories(("a", None), ("b", "a"), ("c", "b")))
        before = store.read("categories")
        with pytest.raises(DataError, match=r"cycle.*->"):
            store.write("categories", categories(*second), note=("chunk", "1"))
        assert store.read("categories") == before
        assert store.read_note("chunk") is None

    def test_memberships_accumulate_and_lost_ends_are_orphans(self, store: GraphStore) -> None:
        store.write("items", items("i1", "i2"))
        store.write("categories", categories(("a", None), ("b", None)))
        first = store.write("item_categories", members(("i1", "a"), ("i9", "a"), ("i1", "c9")))
        assert (first.new, first.known, first.orphans.tolist()) == (1, 0, [1, 2])
        moved = store.write(
            "item_categories", members(("i1", "b"), ("i1", "a"), ("i1", "b"), ("i2", "b"))
        )
        assert (moved.new, moved.known, moved.orphans.tolist()) == (2, 2, [])
        assert rows_of(store.read("item_categories")) == [
            {"item": "i1", "category": "a"},
            {"item": "i1", "category": "b"},
            {"item": "i2", "category": "b"},
        ]

    # Events

    def test_events_come_back_as_they_were_written(self, shop: GraphStore) -> None:
        given = events(
            event("u1", "i1", "k1"),
            event("u1", "i1", "k2", time=1001, seq=5, weight=2.5),
            event("u2", "i1", "k3", kind="return", time=None, seq=None, weight=-1.0),
            event("u2", "c1", "k4", kind="follow"),
        )
        written = shop.write("events", given)
        assert (written.new, written.known, written.orphans.tolist()) == (4, 0, [])
        assert stored(shop) == [tuple(row.values()) for row in given.to_pylist()]

    def test_some_rows_are_read_by_their_ids(self, shop: GraphStore) -> None:
        shop.write("categories", categories(("c2", "c1")))
        shop.write("item_categories", members(("i1", "c1"), ("i1", "c2"), ("i3", "c1")))
        for name in ("users", "items", "categories"):
            every = shop.read(name)
            chosen = every["id"].to_pylist()[1:]
            assert shop.read(name, [*chosen, "nobody", *chosen]).equals(every.slice(1))
            assert shop.read(name, []).num_rows == 0
        every = shop.read("item_categories")
        assert every.num_rows == 3
        item = every["item"][0].as_py()
        assert shop.read("item_categories", [item]).equals(
            every.filter(pc.equal(every["item"], item))
        )
        assert shop.read("item_categories", ["nobody"]).num_rows == 0

    def test_what_was_just_written_is_found(self, shop: GraphStore) -> None:
        for turn in range(3):
            new = f"new{turn}"
            assert shop.read("users", [new]).num_rows == 0
            assert shop.write("users", users(new, "u1")).new == 1
            assert shop.read("users", [new])["id"].to_pylist() == [new]
            row = (new, "i1", "purchase", turn, 0, 1.0, f"key of {turn}")
            assert shop.write("events", events(row)).new == 1
            assert stored(shop, users=[new]) == [row]
            assert shop.write("events", events(row)).known == 1
            with pytest.raises(DataError):
                shop.write("events", events((*row[:5], float("nan"), "other")))

    def test_read_events_is_dictionary_encoded(self, shop: GraphStore) -> None:
        shop.write("events", events(event("u1", "i1", "k1")))
        read = shop.read_events()
        for name in ("user", "target", "kind"):
            assert pa.types.is_dictionary(read.schema.field(name).type), name
        for name in ("time", "seq", "weight", "key"):
            assert read.schema.field(name).type == COLUMNS["events"].field(name).type

    def test_a_key_is_written_once(self, shop: GraphStore) -> None:
        first = shop.write("events", events(event("u1", "i1", "k1"), event("u1", "i2", "k2")))
        again = shop.write("events", events(event("u1", "i2", "k2"), event("u1", "i3", "k3")))
        assert (first.new, again.new, again.known) == (2, 1, 1)
        assert keys(shop) == ["k1", "k2", "k3"]

    def test_a_key_is_unique_among_all_events(self, shop: GraphStore) -> None:
        shop.write("events", events(event("u1", "i1", "k1")))
        other = [
            event("u2", "i1", "k1"),
            event("u1", "i2", "k1"),
            event("u2", "c1", "k1", kind="follow"),
            event("u2", "i2", "k1", kind="return"),
        ]
        written = shop.write("events", events(*other))
        assert (written.new, written.known) == (0, 4)
        assert stored(shop) == [("u1", "i1", "purchase", 1000, 0, None, "k1")]

    def test_the_first_of_a_key_in_one_call_wins(self, shop: GraphStore) -> None:
        written = shop.write(
            "events",
            events(
                event("u9", "i1", "k1"),
                event("u1", "i1", "k1"),
                event("u2", "i2", "k1"),
                event("u2", "c1", "k1", kind="follow"),
            ),
        )
        assert (written.new, written.known, written.orphans.tolist()) == (1, 2, [0])
        assert stored(shop) == [("u1", "i1", "purchase", 1000, 0, None, "k1")]

    def test_events_of_unknown_ends_are_orphans(self, shop: GraphStore) -> None:
        written = shop.write(
            "events",
            events(
                event("u9", "i1", "k0"),
                event("u1", "i1", "k1"),
                event("u1", "i9", "k2"),
                event("u1", "c1", "k3"),
                event("u1", "i1", "k4", kind="follow"),
            ),
        )
        assert (written.new, written.known, written.orphans.tolist()) == (1, 0, [0, 2, 3, 4])
        assert keys(shop) == ["k1"]

    def test_any_chunking_gives_the_same_events(self, open_store: Opener) -> None:
        def row(n: int) -> tuple[Any, ...]:
            return event(f"u{n % 3}", f"i{n % 5}", f"k{n % 40}", time=n, kind="view")

        with open_store(Schema()) as store:
            store.write("users", users("u0", "u1", "u2"))
            store.write("items", items("i0", "i1", "i2", "i3"))
            for start in range(0, 120, 7):
                chunk = [row(n) for n in range(start, min(start + 7, 120))]
                store.write("events", events(*chunk))
            kept: dict[str, tuple[Any, ...]] = {}
            for n in range(120):
                if n % 5 != 4:
                    kept.setdefault(f"k{n % 40}", row(n))
            assert stored(store) == [kept[key] for key in sorted(kept)]

    def test_read_events_filters(self, shop: GraphStore) -> None:
        shop.write(
            "events",
            events(
                event("u1", "i1", "k1", time=10),
                event("u1", "i2", "k2", time=20),
                event("u2", "i1", "k3", time=30),
                event("u2", "i2", "k4", time=None),
            ),
        )
        assert keys(shop, until=20) == ["k1", "k2", "k4"]
        assert keys(shop, since=10) == ["k2", "k3"]
        assert keys(shop, since=10, until=20) == ["k2"]
        assert keys(shop, users=["u2", "u9"]) == ["k3", "k4"]
        assert keys(shop, users=["u2"], since=0) == ["k3"]
        assert keys(shop, users=[]) == []

    def test_counts(self, shop: GraphStore) -> None:
        shop.write("item_categories", members(("i1", "c1")))
        shop.write(
            "events",
            events(
                event("u1", "i1", "k1"),
                event("u1", "i1", "k2"),
                event("u1", "c1", "k3", kind="follow"),
            ),
        )
        assert shop.counts() == {
            "users": 2,
            "items": 3,
            "categories": 1,
            "item_categories": 1,
            "events.purchase": 2,
            "events.return": 0,
            "events.follow": 1,
        }

    def test_columns_may_come_in_any_string_type_and_order(self, shop: GraphStore) -> None:
        given = events(event("u1", "i1", "k1"), event("u2", "i1", "k2"))
        given = given.set_column(0, "user", given["user"].dictionary_encode())
        given = given.set_column(1, "target", given["target"].cast(pa.large_string()))
        written = shop.write("events", given.select(given.column_names[::-1]))
        assert written.new == 2
        assert keys(shop) == ["k1", "k2"]

    # What is refused

    @pytest.mark.parametrize("column", ["user", "target", "kind", "key"])
    def test_a_null_where_an_id_must_be_is_refused(self, shop: GraphStore, column: str) -> None:
        good = events(event("u1", "i1", "k1"), event("u1", "i2", "k2"))
        at = good.column_names.index(column)
        holes = pc.if_else(pa.array([True, False]), good[column], None)
        with pytest.raises(DataError, match=column):
            shop.write("events", good.set_column(at, column, holes))
        assert keys(shop) == []

    @pytest.mark.parametrize("weight", [float("nan"), float("inf")])
    def test_a_weight_that_is_no_number_is_refused(self, shop: GraphStore, weight: float) -> None:
        with pytest.raises(DataError, match="weight"):
            shop.write("events", events(event("u1", "i1", "k", weight=weight)), note=("n", "1"))
        assert keys(shop) == []
        assert shop.read_note("n") is None

    def test_an_unknown_kind_is_refused(self, shop: GraphStore) -> None:
        with pytest.raises(DataError, match=r"'purchas'.*'purchase'"):
            shop.write("events", events(event("u1", "i1", "k", kind="purchas")))

    def test_null_ids_of_nodes_are_refused(self, store: GraphStore) -> None:
        with pytest.raises(DataError, match="id"):
            store.write("users", pa.table({"id": pa.array(["a", None])}))
        assert store.counts()["users"] == 0

    def test_a_missing_column_is_named(self, store: GraphStore) -> None:
        with pytest.raises(DataError, match="'key'"):
            store.write("events", COLUMNS["events"].empty_table().drop_columns("key"))
        with pytest.raises(DataError, match="'id'"):
            store.write("users", pa.table({"user": ["a"]}))

    def test_a_column_of_a_wrong_type_is_named(self, store: GraphStore) -> None:
        with pytest.raises(DataError, match=r"born.*date32"):
            store.write("users", users("u", born=pa.array([1], pa.date32())))
        timeless = COLUMNS["events"].empty_table().drop_columns("time")
        lists = pa.array([], pa.list_(pa.int64()))
        with pytest.raises(DataError, match="time"):
            store.write("events", timeless.append_column("time", lists))

    # Notes

    def test_notes_are_written_alone_or_with_rows(self, store: GraphStore) -> None:
        assert store.read_note("import") is None
        store.write_note("import", "line 1")
        assert store.read_note("import") == "line 1"
        store.write("users", users("u"), note=("import", "line 2"))
        store.write("users", COLUMNS["users"].empty_table(), note=("other", "x"))
        assert store.read_note("import") == "line 2"
        assert store.read_note("other") == "x"
        assert set(store.counts().values()) == {0, 1}

    def test_all_survives_closing(self, open_store: Opener) -> None:
        with open_store(SHOP) as store:
            store.write("users", users("u", country=["DE"]))
            store.write("items", items("i"))
            store.write("events", events(event("u", "i", "k")), note=("n", "done"))
            store.close()
        with open_store(SHOP) as store:
            assert store.read("users")["country"].to_pylist() == ["DE"]
            assert keys(store) == ["k"]
            assert store.read_note("n") == "done"
            assert store.write("events", events(event("u", "i", "k"))).known == 1

    # The Schema against the store

    def fill(self, open_store: Opener) -> None:
        with open_store(SHOP) as store:
            store.write("users", users("u", country=["DE"], about=["likes tea"]))
            store.write(
                "items",
                items("i", title=["Mug"], brand=["B"], price=[1.0], tags=[["a"]], inStock=[True]),
            )
            store.write("events", events(event("u", "i", "k")))

    def test_a_schema_that_fits_passes(self, open_store: Opener) -> None:
        self.fill(open_store)
        with open_store(SHOP) as store:
            store.check()

    @pytest.mark.parametrize(
        ("wrong", "existing"),
        [
            (SHOP.model_copy(update={"user": UserNames(label="Custmer")}), "Customer"),
            (SHOP.model_copy(update={"item": ItemNames(label="Product", key="sk")}), "sku"),
            (SHOP.model_copy(update={"kind": {"purchase": Kind(type="BOUGTH")}}), "BOUGHT"),
            (
                SHOP.model_copy(
                    update={"user": SHOP.user.model_copy(update={"profile": ("contry",)})}
                ),
                "country",
            ),
            (
                SHOP.model_copy(
                    update={"item": SHOP.item.model_copy(update={"available": "instock"})}
                ),
                "inStock",
            ),
        ],
        ids=["label", "key", "type", "profile", "available"],
    )
    def test_a_schema_that_lies_is_told_the_nearest_name(
        self, open_store: Opener, wrong: Schema, existing: str
    ) -> None:
        self.fill(open_store)
        with open_store(wrong) as store, pytest.raises(SchemaError, match=repr(existing)):
            store.check()

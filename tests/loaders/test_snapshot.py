"""A tiny shop whose every array is known, through the embedded store."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from firstedge.graph.errors import DataError
from firstedge.graph.histories import NO_TIME
from firstedge.graph.schema import ItemNames, Kind, Schema, UserNames
from firstedge.graph.store import COLUMNS, GraphStore, TableName, open_store
from firstedge.loaders.snapshot import Snapshot, read_snapshot

SCHEMA = Schema(
    user=UserNames(profile=("country", "age", "likes"), text="{about}"),
    item=ItemNames(title="{title}", text="{title}. {brand}", properties=("price",)),
    kind={
        "view": Kind(type="VIEWED", weight=0.3),
        "purchase": Kind(type="PURCHASED"),
        "follow": Kind(type="FOLLOWS", to="category"),
        "return": Kind(type="RETURNED", weight=0, cancels="purchase"),
    },
)
USERS = {
    "id": ["ann", "bob", "eve"],
    "country": ["DE", None, "CN"],
    "age": pa.array([30, 41, None], pa.int64()),
    "likes": [["tea", "art"], None, ["tea"]],
    "about": ["I drink tea", None, None],
}
ITEMS = {
    "id": ["mug", "pot", "saw", "new"],
    "title": ["Red mug", "Tea pot", "Saw", None],
    "brand": ["Acme", None, "Bosch", None],
    "price": [4.5, 20.0, None, None],
}
CATEGORIES = [
    ("cups", "Cups", "kitchen", False),
    ("home", "Home", None, False),
    ("kitchen", "Kitchen", "home", False),
    ("tools", None, None, True),
]
MEMBERS = [("mug", "cups"), ("mug", "home"), ("pot", "kitchen"), ("pot", "tools"), ("saw", "tools")]
EVENTS = [
    ("ann", "mug", "view", 10, 0, None, "k1"),
    ("ann", "mug", "purchase", 30, 1, 2.0, "k2"),
    ("ann", "pot", "purchase", 30, 0, None, "k3"),
    ("ann", "mug", "return", 40, None, None, "k4"),
    ("eve", "home", "follow", None, None, None, "k5"),
    ("eve", "saw", "view", 20, 0, 0.5, "k6"),
    ("eve", "saw", "view", 20, 0, 0.5, "k7"),
    ("eve", "pot", "view", 20, 0, 0.5, "k8"),
]
CUPS, HOME, KITCHEN, TOOLS = range(4)
MUG, NEW, POT, SAW = range(4)


class Counting:
    """An encoder whose vectors can be counted by hand: characters and words."""

    name, dim = "counting", 2

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([(len(t), len(t.split())) for t in texts], np.float32).reshape(-1, 2)


def table(name: TableName, rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True))
    return pa.table([list(c) for c in columns], schema=COLUMNS[name])


def write(store: GraphStore, seed: int) -> None:
    """Write the shop, in an order of the seed's own."""
    order = np.random.default_rng(seed).permutation
    users, items = pa.table(USERS), pa.table(ITEMS)
    store.write("users", users.take(order(users.num_rows)))
    store.write("items", items.take(order(items.num_rows)))
    for name, rows in (
        ("categories", CATEGORIES),
        ("item_categories", MEMBERS),
        ("events", EVENTS),
    ):
        store.write(name, table(name, rows).take(order(len(rows))))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "shop.lbug"
    with open_store(str(path), SCHEMA) as store:
        write(store, seed=0)
    return path


@pytest.fixture(scope="module")
def snapshot(shop: Path) -> Snapshot:
    with open_store(str(shop), SCHEMA, read_only=True) as store:
        return read_snapshot(store, encoder=Counting())


def test_vocabularies_are_sorted(snapshot: Snapshot) -> None:
    assert snapshot.users.ids == ("ann", "bob", "eve")
    assert snapshot.items.ids == ("mug", "new", "pot", "saw")
    assert snapshot.categories.ids == ("cups", "home", "kitchen", "tools")


def test_histories_hold_every_event_in_order(snapshot: Snapshot) -> None:
    histories = snapshot.histories
    view, purchase, follow, back = range(4)
    np.testing.assert_array_equal(histories.offsets, [0, 4, 4, 8])
    np.testing.assert_array_equal(histories.targets, [MUG, POT, MUG, MUG, 4 + HOME, POT, SAW, SAW])
    np.testing.assert_array_equal(
        histories.kinds, [view, purchase, purchase, back, follow, view, view, view]
    )
    np.testing.assert_array_equal(histories.times, [10, 30, 30, 40, NO_TIME, 20, 20, 20])
    np.testing.assert_array_equal(histories.weights, [1, 1, 2, 1, 1, 0.5, 0.5, 0.5])
    assert histories.num_items == 4
    assert snapshot.as_of == 40
    assert snapshot.skipped == {}


def test_categories_form_a_tree(snapshot: Snapshot) -> None:
    np.testing.assert_array_equal(snapshot.parents, [KITCHEN, -1, HOME, -1])
    np.testing.assert_array_equal(snapshot.derived, [False, False, False, True])
    np.testing.assert_array_equal(
        snapshot.memberships.toarray(),
        [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]],
    )
    np.testing.assert_array_equal(snapshot.primary, [CUPS, -1, KITCHEN, TOOLS])


def test_texts_and_their_vectors(snapshot: Snapshot) -> None:
    assert snapshot.texts.users == ("I drink tea", "", "")
    assert snapshot.texts.items == ("Red mug. Acme", "", "Tea pot", "Saw. Bosch")
    assert snapshot.texts.titles == ("Red mug", "new", "Tea pot", "Saw")
    assert snapshot.texts.categories == ("Cups", "Home", "Kitchen", "tools")
    np.testing.assert_array_equal(snapshot.user_text, [[11, 3], [0, 0], [0, 0]])
    np.testing.assert_array_equal(snapshot.item_text, [[13, 3], [0, 0], [7, 2], [10, 2]])
    np.testing.assert_array_equal(snapshot.category_text, [[4, 1], [4, 1], [7, 1], [5, 1]])
    assert snapshot.encoder == "counting"


def test_profiles_and_properties(snapshot: Snapshot) -> None:
    assert snapshot.profile_values.ids == (
        "age=30",
        "age=41",
        "country=CN",
        "country=DE",
        "likes=art",
        "likes=tea",
    )
    np.testing.assert_array_equal(
        snapshot.profiles.toarray(), [[1, 0, 0, 1, 1, 1], [0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 1]]
    )
    assert snapshot.user_properties["id"].to_pylist() == ["ann", "bob", "eve"]
    assert snapshot.user_properties["age"].to_pylist() == [30, 41, None]
    assert snapshot.item_properties["id"].to_pylist() == ["mug", "new", "pot", "saw"]
    assert snapshot.item_properties["price"].to_pylist() == [4.5, None, 20.0, None]


def test_hetero_is_the_same_graph(snapshot: Snapshot) -> None:
    data = snapshot.hetero()
    data.validate()
    assert {node: data[node].num_nodes for node in data.node_types} == {
        "user": 3,
        "item": 4,
        "category": 4,
    }
    np.testing.assert_array_equal(data["item"].x, snapshot.item_text)
    expected: dict[tuple[str, str, str], tuple[list[list[int]], list[int], list[float]]] = {
        ("user", "view", "item"): (
            [[0, 2, 2, 2], [MUG, POT, SAW, SAW]],
            [10, 20, 20, 20],
            [1, 0.5, 0.5, 0.5],
        ),
        ("user", "purchase", "item"): ([[0, 0], [POT, MUG]], [30, 30], [1, 2]),
        ("user", "follow", "category"): ([[2], [HOME]], [NO_TIME], [1]),
        ("user", "return", "item"): ([[0], [MUG]], [40], [1]),
    }
    for (source, relation, target), (index, times, weights) in expected.items():
        for edges, ends in (
            ((source, relation, target), index),
            ((target, f"rev_{relation}", source), index[::-1]),
        ):
            assert data[edges].edge_index.tolist() == ends
            assert data[edges].edge_time.tolist() == times
            assert data[edges].edge_weight.tolist() == weights
            assert data[edges].edge_time.dtype == torch.int64
            assert data[edges].edge_weight.dtype == torch.float32
    member = [[MUG, MUG, POT, POT, SAW], [CUPS, HOME, KITCHEN, TOOLS, TOOLS]]
    parent = [[CUPS, KITCHEN], [KITCHEN, HOME]]
    assert data["item", "in_category", "category"].edge_index.tolist() == member
    assert data["category", "rev_in_category", "item"].edge_index.tolist() == member[::-1]
    assert data["category", "child_of", "category"].edge_index.tolist() == parent
    assert data["category", "rev_child_of", "category"].edge_index.tolist() == parent[::-1]
    assert len(data.edge_types) == 12


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_writing_says_nothing(snapshot: Snapshot, tmp_path: Path, seed: int) -> None:
    with open_store(str(tmp_path / "other.lbug"), SCHEMA) as store:
        write(store, seed)
        other = read_snapshot(store, encoder=Counting())
    assert other.fingerprint == snapshot.fingerprint
    one, two = snapshot.hetero().to_dict(), other.hetero().to_dict()
    assert one.keys() == two.keys()
    for part, values in one.items():
        for name, value in values.items():
            np.testing.assert_array_equal(np.asarray(value), np.asarray(two[part][name]))
    np.testing.assert_array_equal(other.profiles.toarray(), snapshot.profiles.toarray())


def test_the_kind_of_store_says_nothing(snapshot: Snapshot, neo4j_server: Any) -> None:
    with open_store(neo4j_server.url, SCHEMA) as store:
        write(store, seed=3)
        other = read_snapshot(store, encoder=Counting())
    assert other.fingerprint == snapshot.fingerprint
    assert other.texts == snapshot.texts


def test_any_change_changes_the_fingerprint(snapshot: Snapshot, tmp_path: Path) -> None:
    prints = {snapshot.fingerprint}
    with open_store(str(tmp_path / "other.lbug"), SCHEMA) as store:
        write(store, seed=0)
        assert read_snapshot(store).fingerprint not in prints  # no encoder
        for name, rows in (
            ("events", table("events", [("bob", "mug", "view", 50, 0, None, "k9")])),
            ("users", pa.table({"id": ["bob"], "country": ["FR"]})),
            ("items", pa.table({"id": ["new"], "title": ["Newcomer"]})),
            ("item_categories", table("item_categories", [("new", "home")])),
            ("categories", table("categories", [("tools", "Tools", "home", True)])),
        ):
            store.write(name, rows)
            prints.add(read_snapshot(store, encoder=Counting()).fingerprint)
    assert len(prints) == 6


def test_until_leaves_out_what_is_later(shop: Path) -> None:
    with open_store(str(shop), SCHEMA, read_only=True) as store:
        then = read_snapshot(store, until=20)
    np.testing.assert_array_equal(then.histories.times, [10, NO_TIME, 20, 20, 20])
    assert then.as_of == 20
    assert len(then.users) == 3
    assert then.item_text.shape == (4, 0)
    assert then.hetero()["user"].num_nodes == 3


def test_an_empty_store_is_an_empty_snapshot(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "empty.lbug"), SCHEMA) as store:
        snapshot = read_snapshot(store, encoder=Counting())
    assert repr(snapshot) == "Snapshot(0 users, 0 items, 0 categories, 0 events)"
    assert snapshot.as_of is None
    assert snapshot.hetero()["user", "view", "item"].edge_index.shape == (2, 0)


class Foreign:
    """A store whose graph was made by others: it holds what `GraphStore.write` would not let in."""

    schema = SCHEMA

    def __init__(self, **tables: pa.Table) -> None:
        self.tables = {name: columns.empty_table() for name, columns in COLUMNS.items()} | tables

    def read(self, name: str) -> pa.Table:
        table = self.tables[name]
        names = {"users": SCHEMA.user.fields, "items": SCHEMA.item.fields}.get(name, ())
        for missing in set(names) - set(table.column_names):
            table = table.append_column(missing, pa.nulls(table.num_rows))
        return table

    def read_events(self, until: int | None = None, progress: Any = None) -> pa.Table:
        # In chunks that each have a dictionary of their own.
        rows = self.tables["events"]
        parts = [rows.slice(start, 2) for start in range(0, rows.num_rows, 2)]
        for at, name in enumerate(("user", "target", "kind")):
            parts = [p.set_column(at, name, p[name].dictionary_encode()) for p in parts]
        return pa.concat_tables(parts) if parts else rows


def test_what_has_no_row_is_skipped_and_counted() -> None:
    store = Foreign(
        users=pa.table({"id": ["b", None, "a", "b"], "country": ["x", "x", "y", "z"]}),
        items=pa.table({"id": ["i"]}),
        categories=table("categories", [("c", "C", "lost", None), ("d", None, "c", None)]),
        item_categories=table("item_categories", [("i", "c"), ("j", "c"), ("i", "lost")]),
        events=table(
            "events",
            [
                ("a", "i", "view", 1, 0, None, "k1"),
                ("lost", "i", "view", 1, 0, None, "k2"),
                ("b", "lost", "view", 1, 0, None, "k3"),
                ("b", "i", "follow", 1, 0, None, "k4"),
                ("b", "c", "follow", 1, 0, None, "k5"),
                ("b", "i", "stare", 1, 0, None, "k6"),
                ("b", "i", "view", 1, 0, float("nan"), "k7"),
                (None, "i", "view", 1, 0, 1.0, "k8"),
            ],
        ),
    )
    snapshot = read_snapshot(store)  # type: ignore[arg-type]
    assert snapshot.users.ids == ("a", "b")
    assert snapshot.user_properties["country"].to_pylist() == ["y", "x"]
    np.testing.assert_array_equal(snapshot.histories.offsets, [0, 1, 2])
    np.testing.assert_array_equal(snapshot.histories.targets, [0, 1])
    np.testing.assert_array_equal(snapshot.parents, [-1, 0])
    np.testing.assert_array_equal(snapshot.memberships.toarray(), [[1, 0]])
    assert snapshot.skipped == {
        "user without an id": 1,
        "user of an id that is taken": 1,
        "category under an unknown parent": 1,
        "membership of an unknown item": 1,
        "membership in an unknown category": 1,
        "event of an unknown kind": 1,
        "event of an unknown user": 2,
        "event on an unknown item": 1,
        "event on an unknown category": 1,
        "event whose weight is no number": 1,
    }


def test_a_cycle_is_named() -> None:
    store = Foreign(categories=table("categories", [("a", "", "b", None), ("b", "", "a", None)]))
    with pytest.raises(DataError, match=r"cycle \('a' -> 'b' -> 'a'\)"):
        read_snapshot(store)  # type: ignore[arg-type]


def test_an_item_and_a_category_may_share_an_id() -> None:
    store = Foreign(
        users=pa.table({"id": ["u"]}),
        items=pa.table({"id": ["same"]}),
        categories=table("categories", [("same", "", None, None)]),
        events=table(
            "events",
            [("u", "same", "view", 1, 0, None, "k1"), ("u", "same", "follow", 2, 0, None, "k2")],
        ),
    )
    np.testing.assert_array_equal(read_snapshot(store).histories.targets, [0, 1])  # type: ignore[arg-type]


def test_a_snapshot_needs_no_torch(shop: Path) -> None:
    code = (
        "import sys\n"
        "from firstedge.graph.store import open_store\n"
        "from firstedge.loaders.snapshot import read_snapshot\n"
        "with open_store(sys.argv[1], read_only=True) as store: read_snapshot(store).fingerprint\n"
        "assert not {'torch', 'torch_geometric', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(shop)], check=True)

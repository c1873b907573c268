"""Derived categories: obvious groups of products, the real MiniLM, the embedded store."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from firstedge.graph.errors import DataError, MissingDependency, SettingsError
from firstedge.graph.schema import ItemNames, Schema
from firstedge.graph.store import COLUMNS, GraphStore, open_store
from firstedge.loaders import categorize as module
from firstedge.loaders.categorize import Categorized, categorize, cluster
from firstedge.loaders.snapshot import read_snapshot
from firstedge.loaders.text import TransformerEncoder

SCHEMA = Schema(item=ItemNames(title="{title}"))
COLORS = ["red", "blue", "green", "white", "black", "yellow"]
GROUPS = {
    "candle": [
        *(f"{color} scented wax candle" for color in COLORS),
        "vanilla candle in a jar",
        "tall dinner candle",
        "lavender candle",
        "birthday candle set",
        "church candle",
        "candle with three wicks",
        "citronella candle",
        "beeswax candle",
        "floating candle",
    ],
    "notebook": [
        *(f"{color} lined paper notebook" for color in COLORS),
        "pocket notebook",
        "spiral notebook",
        "notebook with squared paper",
        "leather notebook",
        "school notebook",
        "dotted notebook",
        "sketch notebook",
        "hardcover notebook",
        "travel notebook",
    ],
    "spade": [
        *(f"{color} garden spade" for color in COLORS),
        "digging spade for the garden",
        "border spade",
        "steel garden spade with wooden handle",
        "drainage spade",
        "children's garden spade",
        "folding garden spade",
        "garden trowel and spade",
        "transplanting spade",
        "narrow trenching spade",
    ],
    "earring": [
        *(f"{color} crystal earrings" for color in COLORS),
        "silver hoop earrings",
        "gold stud earrings",
        "pearl drop earrings",
        "diamond earrings",
        "amber earrings",
        "feather earrings",
        "turquoise earrings",
        "clip-on earrings",
        "dangling earrings",
    ],
}
TITLES = {
    f"{group}-{n:02}": title for group, all_ in GROUPS.items() for n, title in enumerate(all_)
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TransformerEncoder:
    return TransformerEncoder(device="cpu", cache=tmp_path_factory.mktemp("vectors"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GraphStore]:
    with open_store(str(tmp_path / "shop.lbug"), SCHEMA) as store:
        yield store


def write_items(store: GraphStore, titles: dict[str, str | None], seed: int = 0) -> None:
    table = pa.table({"id": list(titles), "title": pa.array(titles.values(), pa.string())})
    store.write("items", table.take(np.random.default_rng(seed).permutation(table.num_rows)))


def leaves(store: GraphStore) -> dict[str, str]:
    rows = store.read("item_categories").to_pylist()
    assert len({row["item"] for row in rows}) == len(rows)
    return {row["item"]: row["category"] for row in rows}


def test_a_group_shares_a_top_that_bears_its_name(
    store: GraphStore, encoder: TransformerEncoder
) -> None:
    write_items(store, TITLES)
    made = categorize(store, encoder, leaves=16)
    assert made == Categorized(tops=4, leaves=made.leaves, items=60, without_text=0)
    assert 12 <= made.leaves <= 20
    snapshot = read_snapshot(store)
    assert snapshot.derived.all()
    top = snapshot.parents[snapshot.primary]
    assert (snapshot.parents[top] == -1).all()
    for group in GROUPS:
        of = {int(top[row]) for row, id_ in enumerate(snapshot.items) if id_.startswith(group)}
        assert len(of) == 1
        assert group in snapshot.texts.categories[of.pop()]
    assert len(set(top.tolist())) == 4


def test_the_number_of_leaves_follows_the_catalogue(
    store: GraphStore, encoder: TransformerEncoder
) -> None:
    write_items(store, TITLES)
    made = categorize(store, encoder)
    assert (made.tops, made.leaves) == (3, 8)
    found = leaves(store)
    for group in GROUPS:
        assert len({found[id_].split("/")[0] for id_ in TITLES if id_.startswith(group)}) == 1


def test_the_same_catalogue_gives_the_same_tree(
    store: GraphStore, encoder: TransformerEncoder, tmp_path: Path
) -> None:
    write_items(store, TITLES)
    first = categorize(store, encoder)
    before = store.read("categories"), store.read("item_categories")
    again = categorize(store, encoder)
    assert again == Categorized(0, 0, 0, 0)
    assert (store.read("categories"), store.read("item_categories")) == before
    with open_store(str(tmp_path / "other.lbug"), SCHEMA) as other:
        write_items(other, TITLES, seed=1)
        assert categorize(other, encoder) == first
        assert (other.read("categories"), other.read("item_categories")) == before


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_crash_before_the_items_are_in_changes_nothing(
    store: GraphStore, encoder: TransformerEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_items(store, TITLES)
    write = module._write_members
    monkeypatch.setattr(module, "_write_members", killed)
    with pytest.raises(KeyboardInterrupt):
        categorize(store, encoder)
    monkeypatch.setattr(module, "_write_members", write)
    half = store.read("categories")
    assert categorize(store, encoder).items == 60
    assert store.read("categories") == half


def test_new_items_join_the_tree_that_is_there(
    store: GraphStore, encoder: TransformerEncoder
) -> None:
    write_items(store, TITLES)
    categorize(store, encoder, leaves=16)
    before, categories = leaves(store), store.read("categories")
    write_items(store, {"new-1": "orange garden spade", "new-2": "purple wax candle"})
    assert categorize(store, encoder) == Categorized(0, 0, items=2, without_text=0)
    after = leaves(store)
    assert {id_: after[id_] for id_ in before} == before
    assert "spade" in after["new-1"].split("/")[0]
    assert "candle" in after["new-2"].split("/")[0]
    assert store.read("categories") == categories


def test_items_without_text_have_no_category(
    store: GraphStore, encoder: TransformerEncoder
) -> None:
    write_items(store, {"a": None, "b": " ", "c": "mug", "d": "mug", "e": "MUG"})
    # "mug" and "MUG" are two texts of one vector.
    made = categorize(store, encoder)
    assert (made.items, made.without_text) == (3, 2)
    assert set(leaves(store)) == {"c", "d", "e"}
    assert len(set(leaves(store).values())) == 1


@pytest.mark.parametrize("titles", [{}, {"a": None}, {"a": "mug"}])
def test_tiny_catalogues(
    store: GraphStore, encoder: TransformerEncoder, titles: dict[str, str | None]
) -> None:
    write_items(store, titles)
    told = sum(title is not None for title in titles.values())
    assert categorize(store, encoder) == Categorized(told, told, told, len(titles) - told)


def test_given_categories_are_kept_to(store: GraphStore, encoder: TransformerEncoder) -> None:
    write_items(store, TITLES)
    given = [["shelf"], ["Shelf"], [None], [False]]
    store.write("categories", pa.table(given, schema=COLUMNS["categories"]))
    members = pa.table([["spade-00"], ["shelf"]], schema=COLUMNS["item_categories"])
    store.write("item_categories", members)
    with pytest.raises(DataError, match=r"has 1 categories that were not derived.*beside_given"):
        categorize(store, encoder)
    assert store.counts()["categories"] == 1
    assert categorize(store, encoder, beside_given=True).items == 60
    assert store.counts()["item_categories"] == 61
    assert categorize(store, encoder, beside_given=True).items == 0


def test_clusters_have_no_gaps_whatever_is_asked_for() -> None:
    vectors = np.repeat(np.eye(3, dtype=np.float32), 5, axis=0)
    leaf_of, top_of_leaf = cluster(vectors, 100, seed=0)
    assert len(set(leaf_of)) == len(top_of_leaf) == leaf_of.max() + 1
    for start in (0, 5, 10):
        assert len(set(top_of_leaf[leaf_of[start : start + 5]])) == 1


def test_what_is_asked_for_is_checked(
    encoder: TransformerEncoder, store: GraphStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="leaves must be positive, got 0"):
        categorize(store, encoder, leaves=0)
    with (
        open_store(str(tmp_path / "plain.lbug")) as plain,
        pytest.raises(SettingsError, match=r'set text = "\{title\}"'),
    ):
        categorize(plain, encoder)
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match="scikit-learn"):
        cluster(np.eye(3, dtype=np.float32), 2, seed=0)

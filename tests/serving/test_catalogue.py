"""A bundle that follows the store's items, against the one that `firstedge update` makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest

from firstedge.graph.store import COLUMNS
from firstedge.loaders.snapshot import Snapshot
from firstedge.loaders.split import split_users
from firstedge.models.bundle import EXTRA, POPULARITIES, Bundle
from firstedge.models.fit import FitOptions
from firstedge.models.net import NetOptions
from firstedge.models.train import TrainOptions, train
from firstedge.models.update import update_bundle
from firstedge.serving.catalogue import Catalogue, StoredItems, follow
from firstedge.serving.filter import Filter
from firstedge.serving.query import Event, Query
from firstedge.serving.recommender import Recommender
from tests.models.bundles import random_bundle
from tests.models.tastes import TASTES, TEXT_DIM, taste_shop

OPTIONS = TrainOptions(net=NetOptions(dim=8), fit=FitOptions(epochs=2, device="cpu"), ks=(0, 1, 2))
OLD, ALL = 60, 64


@dataclass(frozen=True)
class Known:
    """Gives texts the vectors that the shop has for them."""

    shop: Snapshot
    name: str = "known"
    dim: int = TEXT_DIM

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        rows = [self.shop.texts.items.index(text) for text in texts]
        return self.shop.item_text[rows]


@pytest.fixture(scope="module")
def shop() -> Snapshot:
    return taste_shop(num_items=OLD)


@pytest.fixture(scope="module")
def grown(shop: Snapshot) -> Snapshot:
    """The same shop with four more items, of which nobody has heard."""
    more, old = taste_shop(num_items=ALL), shop.histories
    targets = np.where(old.targets >= OLD, old.targets + ALL - OLD, old.targets)
    return replace(
        shop,
        items=more.items,
        histories=replace(old, targets=targets, num_items=ALL),
        item_properties=more.item_properties,
        memberships=more.memberships,
        primary=more.primary,
        texts=replace(shop.texts, items=more.items.ids, titles=more.items.ids),
        item_text=more.item_text,
    )


@pytest.fixture(scope="module")
def bundle(shop: Snapshot) -> Bundle:
    return update_bundle(train(shop, OPTIONS, split_users(shop)), shop)


def stored(shop: Snapshot, whole: bool = True, rows: Sequence[int] | None = None) -> StoredItems:
    """What a store would say of these items."""
    chosen = list(range(len(shop.items)) if rows is None else rows)
    titles = [shop.texts.items[row] for row in chosen]
    items = pa.table({"id": [shop.items.ids[row] for row in chosen], "title": titles})
    ids, categories = shop.items.ids, shop.categories.ids
    pairs = [
        (ids[row], categories[column])
        for row, column in zip(*shop.memberships.nonzero(), strict=True)
        if row in chosen
    ]
    parents = [None if row < 0 else categories[row] for row in shop.parents]
    columns = [categories, categories, parents, [False] * len(categories)]
    return StoredItems(
        items,
        pa.table(list(zip(*pairs, strict=True)), schema=COLUMNS["item_categories"]),
        pa.table(columns, schema=COLUMNS["categories"]),
        whole,
    )


@pytest.mark.parametrize("whole", [True, False])
def test_new_items_get_what_an_update_gives_them(
    bundle: Bundle, grown: Snapshot, whole: bool
) -> None:
    expected = update_bundle(bundle, grown)
    rows = None if whole else range(OLD, ALL)
    found = follow(bundle, Catalogue(bundle, OLD), stored(grown, whole, rows), Known(grown))
    assert (found.num_new, found.unranked) == (ALL - OLD, frozenset())
    new = slice(OLD, ALL)
    live = found.bundle
    assert live.items.ids == expected.items.ids
    for name in ("v", "b"):
        close = np.testing.assert_allclose
        close(getattr(live, name)[new], getattr(expected, name)[new], rtol=1e-5, atol=1e-6)
    ours, theirs = live.w[new], expected.w[new]
    net, text = slice(bundle.of_text.start), bundle.of_text
    np.testing.assert_allclose(ours[:, net], theirs[:, net], rtol=1e-5, atol=1e-6)
    # Until the next update there are no borrowed edges, and text has another weight.
    by_k = bundle.about["fusion"]["by_k"]
    scaled = ours[:, text] * by_k["new_text"], theirs[:, text] * by_k["later_text"]
    np.testing.assert_allclose(*scaled, rtol=1e-5, atol=1e-6)
    alike = POPULARITIES - EXTRA
    np.testing.assert_array_equal(ours[:, alike:], theirs[:, alike:])
    # Log popularities are up to a constant: the update divides by the number of items too.
    popular = [(live.prior, expected.prior)]
    popular += [(live.w[:, column], expected.w[:, column]) for column in range(-EXTRA, alike)]
    for ours, theirs in popular:
        np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(live.table.primary, expected.table.primary)
    np.testing.assert_array_equal(live.table.counts, expected.table.counts)
    both = (live.table.memberships, expected.table.memberships)
    np.testing.assert_array_equal(*(edges.targets for edges in both))
    for name in ("w", "v", "b", "prior"):
        np.testing.assert_array_equal(getattr(live, name)[:OLD], getattr(bundle, name)[:OLD])


def test_new_items_are_ranked_by_taste(bundle: Bundle, grown: Snapshot) -> None:
    for encoder in (Known(grown), None):  # by text and category, or by category alone
        found = follow(bundle, Catalogue(bundle, OLD), stored(grown), encoder)
        recommender = Recommender(found.bundle)
        newcomers = Filter(allowed=grown.items.ids[OLD:])
        for taste in range(TASTES):
            query = Query([Event(grown.items.ids[taste]), Event(grown.items.ids[taste + TASTES])])
            best = recommender.recommend(query, 1, newcomers)
            assert grown.items.row(best.ids[0]) % TASTES == taste


def test_without_text_and_category_an_item_waits(bundle: Bundle, grown: Snapshot) -> None:
    nothing = stored(grown, whole=False, rows=[OLD])
    bare = replace(nothing, members=nothing.members.slice(0, 0))
    found = follow(bundle, Catalogue(bundle, OLD), bare, None)
    assert (found.num_new, found.unranked) == (0, frozenset({grown.items.ids[OLD]}))
    assert follow(bundle, found, bare, Known(grown)).num_new == 1
    later = follow(bundle, found, nothing, None)
    assert (later.num_new, later.unranked) == (1, frozenset())


def test_a_category_that_is_new_counts_as_what_it_is_below(bundle: Bundle, grown: Snapshot) -> None:
    plain = stored(grown, whole=False, rows=[OLD])
    category = plain.members["category"][0].as_py()
    columns = [["young", "younger"], ["", ""], [category, "young"], [False, False]]
    newer = pa.table(columns, schema=COLUMNS["categories"])
    deep = replace(
        plain,
        members=pa.table([[grown.items.ids[OLD]], ["younger"]], schema=COLUMNS["item_categories"]),
        categories=pa.concat_tables([plain.categories, newer]),
    )
    before = Catalogue(bundle, OLD)
    found, expected = (follow(bundle, before, one, None).bundle for one in (deep, plain))
    np.testing.assert_array_equal(found.w, expected.w)
    np.testing.assert_array_equal(found.table.primary, expected.table.primary)


def test_what_is_gone_from_the_store_is_not_to_be_had() -> None:
    bundle = random_bundle()
    names = bundle.schema.item.model_copy(update={"available": "in_stock"})
    schema = bundle.schema.model_copy(update={"item": names})
    bundle = replace(bundle, schema=schema)

    def items(**stock: bool | None) -> StoredItems:
        table = pa.table({"id": list(stock), "in_stock": pa.array(stock.values(), pa.bool_())})
        empty = (COLUMNS[name].empty_table() for name in ("item_categories", "categories"))
        return StoredItems(table, *empty, whole=True)

    before = Catalogue(bundle, 30)
    found = follow(bundle, before, items(i000=True, i001=False, i002=None), None)
    assert np.flatnonzero(found.bundle.table.available).tolist() == [0, 2]
    again = follow(bundle, found, items(i001=True, i005=True), None)
    assert np.flatnonzero(again.bundle.table.available).tolist() == [1, 5]
    nothing = follow(bundle, again, items(), None)  # a store of users alone says nothing of items
    np.testing.assert_array_equal(nothing.bundle.table.available, bundle.table.available)

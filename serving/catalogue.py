"""A bundle over the items that the store holds now: those added since, and what changed of others.

Items that the model was trained on keep their vectors; their titles, properties, categories and
availability follow the store. Items added since are embedded as `firstedge update` would embed
them: by their text, if there is an encoder, and by their categories, of which an unknown one counts
as its nearest known ancestor. Edges they borrow at the next update only; until then their text
weighs more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from firstedge.graph.store import GraphStore
from firstedge.graph.text import TextEncoder
from firstedge.graph.vocabulary import Vocabulary
from firstedge.loaders.digest import Digest
from firstedge.loaders.rows import aligned
from firstedge.loaders.template import format_texts
from firstedge.loaders.tree import primary_categories, tree_depths
from firstedge.models.bundle import Bundle, ItemTable
from firstedge.models.edges import Edges
from firstedge.models.newcomers import embed_newcomers

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class StoredItems:
    """Items as a store holds them.

    Attributes:
        items: As `GraphStore.read` gives them.
        members: The categories of these items.
        categories: All categories.
        whole: Whether these are all items of the store: then others are gone from it.
    """

    items: pa.Table
    members: pa.Table
    categories: pa.Table
    whole: bool

    @property
    def digest(self) -> str:
        """A hash of the content."""
        digest = Digest()
        for name in ("items", "members", "categories"):
            digest.add_table(name, getattr(self, name))
        return digest.hexdigest()


def read_items(store: GraphStore, ids: Sequence[str] | None = None) -> StoredItems:
    """Read items, all of them if ``ids`` is None."""
    return StoredItems(
        store.read("items", ids),
        store.read("item_categories", ids),
        store.read("categories"),
        ids is None,
    )


@dataclass(frozen=True)
class Catalogue:
    """A bundle that follows a store.

    Attributes:
        bundle: The bundle, new items at its end.
        num_trained: Items of the bundle as it was trained; those behind are new.
        unranked: Ids of new items that cannot be ranked, for lack of text and category.
    """

    bundle: Bundle
    num_trained: int
    unranked: frozenset[str] = frozenset()

    @property
    def num_new(self) -> int:
        """Items added since training that can be ranked."""
        return len(self.bundle.items) - self.num_trained


def follow(
    trained: Bundle, before: Catalogue, stored: StoredItems, encoder: TextEncoder | None
) -> Catalogue:
    """The catalogue with what the store says of items.

    Args:
        trained: The bundle as it was trained.
        before: The catalogue of the moment; what ``stored`` does not speak of stays as it is here,
            unless it is whole.
        stored: What the store says.
        encoder: The text encoder of the bundle, if it is at hand.
    """
    before = Catalogue(trained, len(trained.items)) if stored.whole else before
    ids, table = aligned(stored.items, "item", Counter())
    members = _members(trained, ids, stored)
    vectors = _text_vectors(trained, table, ids, encoder)
    known = trained.items.rows(ids.ids, "skip") >= 0
    content = (np.diff(members.indptr) > 0) | vectors.any(axis=1)
    ranked = known | content
    unranked = {id_ for id_, able in zip(ids, ranked.tolist(), strict=True) if not able}
    chosen = np.flatnonzero(ranked)
    found = _Found(
        Vocabulary(tuple(ids.ids[row] for row in chosen)),
        table.take(pa.array(chosen)),
        members[chosen],
        vectors[chosen],
    )
    bundle = _with_rows(before.bundle, found.ids)
    bundle = _embedded(bundle, before.num_trained, found)
    bundle = replace(bundle, table=_table(trained, bundle, found, stored.whole))
    return Catalogue(bundle, before.num_trained, (before.unranked - set(ids)) | unranked)


@dataclass(frozen=True)
class _Found:
    """Items of the store that can be ranked: ids, properties, float32[n, m] categories, texts."""

    ids: Vocabulary
    table: pa.Table
    members: sparse.csr_array
    vectors: Floats


def _members(bundle: Bundle, items: Vocabulary, stored: StoredItems) -> sparse.csr_array:
    parents = dict(
        zip(
            stored.categories["id"].to_pylist(),
            stored.categories["parent"].to_pylist(),
            strict=True,
        )
    )
    of = stored.members["category"].to_pylist()
    nearest = {id_: _nearest(bundle, id_, parents) for id_ in set(of)}
    columns = np.array([nearest[id_] for id_ in of], np.int64)
    rows = items.rows(stored.members["item"].to_pylist(), "skip")
    keep = (rows >= 0) & (columns >= 0)
    shape = (len(items), len(bundle.categories))
    ones = np.ones(int(keep.sum()), np.float32)
    matrix = sparse.csr_array((ones, (rows[keep], columns[keep])), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _nearest(bundle: Bundle, category: str | None, parents: dict[str, str | None]) -> int:
    """The row of a category, or of the nearest one above it that the bundle knows, or -1."""
    for _ in range(len(parents) + 1):
        if category is None:
            break
        if category in bundle.categories:
            return bundle.categories.row(category)
        category = parents.get(category)
    return -1


def _text_vectors(
    bundle: Bundle, table: pa.Table, ids: Vocabulary, encoder: TextEncoder | None
) -> Floats:
    """float32[n, t]: unit vectors of the texts of items that were not trained on, else zeros."""
    vectors = np.zeros((len(ids), len(bundle.text_w)), np.float32)
    new = np.flatnonzero(bundle.items.rows(ids.ids, "skip") < 0)
    if encoder is not None and len(new) and vectors.shape[1]:
        template = bundle.schema.item.text or bundle.schema.item.title
        vectors[new] = encoder.encode(format_texts(template, table.take(pa.array(new))))
    return vectors


def _with_rows(bundle: Bundle, ids: Vocabulary) -> Bundle:
    """The bundle with rows of zeros for those ids that it does not have, after its items."""
    new = tuple(id_ for id_ in ids if id_ not in bundle.items)
    if not new:
        return bundle
    n, more = len(bundle.items), len(new)

    def longer(array: npt.NDArray[Any], at: int = n) -> npt.NDArray[Any]:
        blank = np.zeros((more, *array.shape[1:]), array.dtype)
        return np.concatenate((array[:at], blank, array[at:]))

    table = bundle.table
    return replace(
        bundle,
        items=Vocabulary((*bundle.items.ids, *new), bundle.items.noun),
        table=replace(
            table,
            titles=(*table.titles, *new),
            counts=longer(table.counts),
            available=longer(table.available) | (np.arange(n + more) >= n),
            primary=longer(table.primary) - (np.arange(n + more) >= n).astype(np.int32),
            memberships=_longer_edges(table.memberships, more, 0),
            properties={name: (*v, *[None] * more) for name, v in table.properties.items()},
        ),
        prior=longer(bundle.prior),
        w=longer(bundle.w),
        b=longer(bundle.b),
        v=longer(bundle.v),
        edges=_longer_edges(bundle.edges, more, more),
        profile_lifts=_longer_edges(bundle.profile_lifts, 0, more),
    )


def _longer_edges(edges: Edges, sources: int, targets: int) -> Edges:
    offsets = np.append(edges.offsets, np.repeat(edges.offsets[-1], sources))
    return replace(edges, offsets=offsets, num_targets=edges.num_targets + targets)


def _embedded(bundle: Bundle, num_trained: int, found: _Found) -> Bundle:
    """The bundle with vectors for the new ones among these items: see `models/update.py`."""
    rows = bundle.items.rows(found.ids.ids)
    new = np.flatnonzero(rows >= num_trained)
    if not len(new):
        return bundle
    at, members = rows[new], found.members[new]
    primary = _primary(bundle, members)
    made = embed_newcomers(bundle, bundle.table.counts, found.vectors[new], members, primary)
    return replace(
        bundle,
        w=_with(bundle.w, at, made.w),
        v=_with(bundle.v, at, made.v),
        prior=_with(bundle.prior, at, made.prior),
        b=_with(bundle.b, at, made.b),
    )


def _with(array: Floats, rows: Ints, values: Floats) -> Floats:
    copied = array.copy()
    copied[rows] = values
    return copied


def _primary(bundle: Bundle, members: sparse.csr_array) -> Ints:
    parents = bundle.table.parents.astype(np.int64)
    depths = tree_depths(parents, bundle.categories)
    items, categories = members.nonzero()
    return primary_categories(items, categories, depths, members.shape[0])


def _table(trained: Bundle, bundle: Bundle, found: _Found, whole: bool) -> ItemTable:
    """The table with what the store says of these items."""
    table, names = bundle.table, bundle.schema.item
    rows = bundle.items.rows(found.ids.ids)
    available = table.available.copy()
    known = rows[rows < len(trained.items)]
    available[rows] = True
    available[known] = trained.table.available[known]
    if names.available:
        flags = found.table[names.available].to_pylist()
        available[rows] = [flag is None or bool(flag) for flag in flags]
    if whole and len(rows):
        gone = np.ones(len(available), np.bool_)
        gone[rows] = False
        available &= ~gone
    titles = table.titles
    if names.title:
        shown = format_texts(names.title, found.table)
        pairs = zip(shown, found.ids, strict=True)
        titles = _put(titles, rows, [text or id_ for text, id_ in pairs])
    primary = table.primary.copy()
    primary[rows] = _primary(bundle, found.members)
    stored = {name: found.table[name].to_pylist() for name in names.properties}
    properties = {
        name: _put(values, rows, stored[name]) if name in stored else values
        for name, values in table.properties.items()
    }
    return replace(
        table,
        titles=titles,
        available=available,
        primary=primary,
        memberships=_memberships(table.memberships, rows, found.members),
        properties=properties,
    )


def _put(values: tuple[Any, ...], rows: Ints, given: Sequence[Any]) -> tuple[Any, ...]:
    every = list(values)
    for row, value in zip(rows.tolist(), given, strict=True):
        every[row] = value
    return tuple(every)


def _memberships(edges: Edges, rows: Ints, members: sparse.csr_array) -> Edges:
    """The edges with other ones for these rows."""
    every = edges.matrix()
    keep = np.ones(every.shape[0], np.float32)
    keep[rows] = 0
    ones = np.ones(len(rows), np.float32)
    place = sparse.csr_array(
        (ones, (rows, np.arange(len(rows)))), shape=(every.shape[0], len(rows))
    )
    merged = sparse.csr_array(sparse.diags_array(keep) @ every + place @ members)
    merged.eliminate_zeros()
    return Edges.of(merged)

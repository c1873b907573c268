"""A category tree of two levels for a catalogue that has none, derived from its texts."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from firstedge.graph.errors import DataError, MissingDependency, SettingsError
from firstedge.graph.store import COLUMNS, GraphStore
from firstedge.graph.text import TextEncoder
from firstedge.graph.vocabulary import Vocabulary
from firstedge.loaders.naming import WordCounts
from firstedge.loaders.rows import rows_of
from firstedge.loaders.template import format_texts

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

PREFIX = "derived:"
_STARTS = 4  # starts of a clustering, of which the best is kept


@dataclass(frozen=True)
class Categorized:
    """What `categorize` did.

    Attributes:
        tops: Categories of the upper level that were made.
        leaves: Categories of the lower level that were made.
        items: Items that were put into one.
        without_text: Items that have no text, and so no category.
    """

    tops: int
    leaves: int
    items: int
    without_text: int


def categorize(
    store: GraphStore,
    encoder: TextEncoder,
    leaves: int | None = None,
    beside_given: bool = False,
    seed: int = 0,
) -> Categorized:
    """Derive categories from the items' texts and store them, marked as derived.

    Texts that are alike share a leaf, leaves that are alike a top. The same catalogue gives the
    same tree. Where the store has a derived tree already, it stays as it is, and only items that
    are not in it yet are added, each to the nearest leaf.

    Args:
        store: Its Schema's template of the items' text, or else title, gives the texts.
        encoder: Turns them into vectors.
        leaves: How many leaves; the square root of the number of distinct texts if None.
        beside_given: Whether to go on where the store has categories that were not derived.
        seed: Of the clustering.

    Raises:
        DataError: If there are given categories and `beside_given` is false.
        SettingsError: If the Schema has no template for items, or ``leaves`` is not positive.
        MissingDependency: If scikit-learn is not installed.
    """
    _check(store, leaves, beside_given)
    names = store.schema.item
    items = store.read("items")
    texts = np.array(format_texts(names.text or names.title, items), object)
    distinct, text_of = np.unique(texts, return_inverse=True)
    vectors = encoder.encode(distinct.tolist())
    told = np.asarray(vectors.any(axis=1))
    without_text = int((~told[text_of]).sum())
    leaf_ids, leaf_of = _derived_leaves(store, items)
    if leaf_ids:
        rows = np.flatnonzero((leaf_of < 0) & told[text_of])
        nearest = _nearest_leaves(vectors[text_of], leaf_of, rows)
        _write_members(store, items, rows, [leaf_ids[leaf] for leaf in nearest])
        return Categorized(0, 0, len(rows), without_text)
    rows = np.flatnonzero(told[text_of])
    leaf_of_text, top_of_leaf = cluster(vectors[told], leaves or _root(int(told.sum())), seed)
    leaf_of = leaf_of_text[(np.cumsum(told) - 1)[text_of[rows]]]
    titles = format_texts(names.title or names.text, items)
    tops, leaf_ids = _write_tree(store, [titles[row] for row in rows], leaf_of, top_of_leaf)
    _write_members(store, items, rows, [leaf_ids[leaf] for leaf in leaf_of])
    return Categorized(tops, len(leaf_ids), len(rows), without_text)


def cluster(vectors: Floats, num_leaves: int, seed: int) -> tuple[Ints, Ints]:
    """Cluster unit vectors on two levels: into tops, and each top into leaves.

    Args:
        vectors: float32[n, dim].
        num_leaves: About how many leaves; each top has its share by size, and there are as many
            tops as leaves in a top of average size.
        seed: Of the clustering.

    Returns:
        int64[n], the leaf of each vector, and int64[leaves], the top of each leaf.

    Raises:
        MissingDependency: If scikit-learn is not installed.
    """
    top_of = _k_means(vectors, _root(num_leaves), seed)
    leaf_of = np.empty(len(vectors), np.int64)
    top_of_leaf: list[int] = []
    for top in range(int(top_of.max(initial=-1)) + 1):
        rows = np.flatnonzero(top_of == top)
        share = max(1, round(num_leaves * len(rows) / len(vectors)))
        own = _k_means(vectors[rows], share, seed)
        leaf_of[rows] = len(top_of_leaf) + own
        top_of_leaf += [top] * (int(own.max()) + 1)
    return leaf_of, np.array(top_of_leaf, np.int64)


def _k_means(vectors: Floats, k: int, seed: int) -> Ints:
    """int64[n], clusters without gaps; fewer than k where fewer vectors differ."""
    if find_spec("sklearn") is None:
        raise MissingDependency("scikit-learn", "deriving categories", "train")
    if k < 2 or len(vectors) <= k:
        return np.arange(len(vectors)) if len(vectors) <= k else np.zeros(len(vectors), np.int64)
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    k_means: Any = KMeans  # both are untyped
    limit_threads: Any = threadpool_limits
    # Threads add up their sums in the order in which they end, which rounds differently each time.
    with limit_threads(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer than k different vectors
        labels = k_means(k, n_init=_STARTS, random_state=seed).fit_predict(vectors)
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _check(store: GraphStore, leaves: int | None, beside_given: bool) -> None:
    if not (store.schema.item.text or store.schema.item.title):
        raise SettingsError(
            "categories are derived from the items' texts, and the Schema has no template for "
            'them: set text = "{title}" (or the like) under [item]'
        )
    if leaves is not None and leaves < 1:
        raise SettingsError(f"leaves must be positive, got {leaves}")
    derived = pc.fill_null(store.read("categories")["derived"], False)
    given = len(derived) - int(pc.sum(derived).as_py() or 0)
    if given and not beside_given:
        raise DataError(
            f"the store has {given:,} categories that were not derived: keep to them, or pass "
            "beside_given=True to derive more beside them"
        )


def _derived_leaves(store: GraphStore, items: pa.Table) -> tuple[list[str], Ints]:
    """The derived categories that have items, and which of them each item is in (-1: none)."""
    categories, members = store.read("categories"), store.read("item_categories")
    derived = categories.filter(pc.fill_null(categories["derived"], False))["id"]
    members = members.filter(pc.is_in(members["category"], value_set=derived.combine_chunks()))
    leaves = Vocabulary.of(members["category"].to_pylist(), "category")
    rows = rows_of(members["item"], Vocabulary(tuple(items["id"].to_pylist())))
    leaf_of = np.full(items.num_rows, -1, np.int64)
    leaf_of[rows[rows >= 0]] = rows_of(members["category"], leaves)[rows >= 0]
    return list(leaves.ids), leaf_of


def _nearest_leaves(vectors: Floats, leaf_of: Ints, rows: Ints) -> Ints:
    """int64[r], for each of these rows the leaf whose items' mean vector is nearest by cosine."""
    inside = np.flatnonzero(leaf_of >= 0)
    shape = (int(leaf_of.max()) + 1, len(vectors))
    members = sparse.csr_array((np.ones(len(inside), np.float32), (leaf_of[inside], inside)), shape)
    centres = members @ vectors
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    return np.asarray((vectors[rows] @ centres.T).argmax(1), np.int64)


def _write_tree(
    store: GraphStore, titles: list[str], leaf_of: Ints, top_of_leaf: Ints
) -> tuple[int, list[str]]:
    """Name and store the tree over these titles; gives the number of tops and the leaves' ids."""
    counts = WordCounts(titles)
    top_of = top_of_leaf[leaf_of]
    tops = counts.names(np.arange(len(titles)), top_of)
    leaves: list[str] = []
    for top in range(len(tops)):
        rows = np.flatnonzero(top_of == top)
        leaves += counts.names(rows, leaf_of[rows] - len(leaves))
    top_ids = [PREFIX + _slug(name) for name in tops]
    parents = [top_ids[top] for top in top_of_leaf]
    leaf_ids = [f"{parent}/{_slug(name)}" for parent, name in zip(parents, leaves, strict=True)]
    ids, names = top_ids + leaf_ids, tops + leaves
    columns = [ids, names, [None] * len(tops) + parents, [True] * len(ids)]
    store.write("categories", pa.table(columns, schema=COLUMNS["categories"]))
    return len(tops), leaf_ids


def _write_members(store: GraphStore, items: pa.Table, rows: Ints, categories: list[str]) -> None:
    ids = items["id"].take(pa.array(rows))
    store.write("item_categories", pa.table([ids, categories], schema=COLUMNS["item_categories"]))


def _slug(name: str) -> str:
    return name.replace(", ", "+").replace(" ", "-")


def _root(number: int) -> int:
    return max(1, round(number**0.5))

"""Tables of a store as rows of vocabularies: Arrow columns in, numpy arrays out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from firstedge.graph.histories import NO_TIME, Events, Histories
from firstedge.graph.profile import profile_values
from firstedge.graph.schema import Schema, UserNames
from firstedge.graph.vocabulary import Vocabulary
from firstedge.loaders.columns import flat

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
NO_LIMIT = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Rows:
    """Rows by id for users, items and categories, and a count of what has no row.

    Attributes:
        users: Vocabulary of users.
        items: Vocabulary of items.
        categories: Vocabulary of categories.
        skipped: Rows of the store that could not be used, by reason; grows as tables are read.
    """

    users: Vocabulary
    items: Vocabulary
    categories: Vocabulary
    skipped: Counter[str] = field(default_factory=Counter)

    def histories(self, events: pa.Table, schema: Schema) -> Histories:
        """Events by user; see `events`."""
        return Histories.of(self.events(events, schema), len(self.users), len(self.items))

    def events(self, events: pa.Table, schema: Schema, limit: int = NO_LIMIT) -> Events:
        """Events by rows, the same whatever order they come in.

        Events of an unknown user, target or kind, of a weight that is no number and of a time
        after the limit (ms) are skipped.
        """
        users = rows_of(events["user"], self.users)
        kinds = rows_of(events["kind"], Vocabulary(schema.kinds, "kind"))
        items = rows_of(events["target"], self.items)
        categories = rows_of(events["target"], self.categories)
        to_category = np.array([kind.to == "category" for kind in schema.kind.values()])[kinds]
        targets = np.where(to_category, categories, items)
        weights = _filled(events["weight"], 1.0).astype(np.float32)
        keep = self._kept("event of an unknown kind", kinds >= 0)
        keep = self._kept("event of an unknown user", users >= 0, keep)
        keep = self._kept("event on an unknown item", to_category | (targets >= 0), keep)
        keep = self._kept("event on an unknown category", targets >= 0, keep)
        keep = self._kept("event whose weight is no number", np.isfinite(weights), keep)
        targets += np.where(to_category, len(self.items), 0)
        times = _filled(events["time"], NO_TIME)
        keep = self._kept("event later than the moment of reading", times <= limit, keep)
        read = Events(users, targets, kinds, times, _filled(events["seq"], 0), weights)
        return _ordered(read, keep)

    def memberships(self, table: pa.Table) -> sparse.csr_array:
        """float32[n, m], 1 where an item is in a category."""
        items = rows_of(table["item"], self.items)
        categories = rows_of(table["category"], self.categories)
        keep = self._kept("membership of an unknown item", items >= 0)
        keep = self._kept("membership in an unknown category", categories >= 0, keep)
        return _ones(items[keep], categories[keep], (len(self.items), len(self.categories)))

    def parents(self, table: pa.Table) -> Ints:
        """int64[m], the parent of each category of a table aligned with them, -1 for a root."""
        parents = rows_of(table["parent"], self.categories)
        given = table["parent"].is_valid().to_numpy()
        self._kept("category under an unknown parent", parents >= 0, given)
        return parents

    def _kept(self, reason: str, good: Bools, among: Bools | None = None) -> Bools:
        """``good`` among ``among`` (all, if None), the others counted."""
        among = np.ones_like(good) if among is None else among
        if lost := int((among & ~good).sum()):
            self.skipped[reason] += lost
        return among & good


def rows_of(column: pa.ChunkedArray, vocabulary: Vocabulary) -> Ints:
    """The row of each id, int64[n], -1 for null and for what the vocabulary does not have."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    encoded = flat(column.unify_dictionaries())
    known = pa.array(vocabulary.ids, encoded.dictionary.type)
    rows = pc.fill_null(pc.index_in(encoded.dictionary, value_set=known), -1).to_numpy()
    rows = np.append(rows, -1).astype(np.int64)  # the last one for null
    return rows[pc.fill_null(encoded.indices, len(rows) - 1).to_numpy()]


def aligned(table: pa.Table, noun: str, skipped: Counter[str]) -> tuple[Vocabulary, pa.Table]:
    """A table's ids as a vocabulary, and its rows in that order.

    A row without an id and one whose id came before are skipped.
    """
    ids = flat(table["id"])
    texts = ids.to_numpy(zero_copy_only=False)
    valid = np.flatnonzero(ids.is_valid().to_numpy(zero_copy_only=False))
    distinct, first = np.unique(texts[valid].astype(object), return_index=True)
    for reason, lost in (
        (f"{noun} without an id", len(texts) - len(valid)),
        (f"{noun} of an id that is taken", len(valid) - len(first)),
    ):
        if lost:
            skipped[reason] += lost
    return Vocabulary(tuple(distinct.tolist()), noun), table.take(pa.array(valid[first]))


def read_profiles(users: pa.Table, names: UserNames) -> tuple[Vocabulary, sparse.csr_array]:
    """Profile values of users, and float32[num_users, f]: 1 where a user has the value."""
    found = [_words(name, flat(users[name])) for name in names.profile]
    said = (word for _, words, _ in found for word in words if word)
    values = Vocabulary.of(said, "profile value")
    rows, columns = np.empty(0, np.int64), np.empty(0, np.int64)
    for of, words, codes in found:
        rows = np.append(rows, of)
        columns = np.append(columns, values.rows(words, "skip")[codes])
    return values, _ones(rows, columns, (users.num_rows, len(values)))


def _words(name: str, column: pa.Array) -> tuple[Ints, list[str], Ints]:
    """User rows, words of a profile field ("" says nothing), and which word each row has."""
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    rows = np.arange(len(column))
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        rows = np.repeat(rows, pc.fill_null(pc.list_value_length(column), 0).to_numpy())
        column = column.flatten()
    encoded = column.dictionary_encode()
    words = ["".join(profile_values(name, value)) for value in encoded.dictionary.to_pylist()]
    codes = pc.fill_null(encoded.indices, len(words)).to_numpy()
    said = np.array([*words, ""], object)[codes] != ""
    return rows[said], words, codes[said]


def _ones(rows: Ints, columns: Ints, shape: tuple[int, int]) -> sparse.csr_array:
    ones = np.ones(len(rows), np.float32)
    matrix = sparse.csr_array((ones, (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _filled(column: pa.ChunkedArray, value: float) -> npt.NDArray[Any]:
    return flat(pc.fill_null(column, value)).to_numpy(zero_copy_only=False)


def _ordered(events: Events, keep: Bools) -> Events:
    """The events to keep, in an order of their own: ties of time and sequence always fall alike."""
    order = np.lexsort((events.weights, events.kinds, events.targets))
    order = order[keep[order]]
    return Events(
        events.users[order],
        events.targets[order],
        events.kinds[order],
        events.times[order],
        events.seqs[order],
        events.weights[order],
    )

"""What came into a shop since an earlier snapshot, so that a later one need not read all again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from firstedge.graph.histories import NO_TIME, Events
from firstedge.graph.store import GraphStore
from firstedge.loaders.rows import Rows

if TYPE_CHECKING:
    from firstedge.loaders.snapshot import Snapshot

# How often to read again when events come in while what came is read.
ATTEMPTS = 3


def read_since(
    store: GraphStore,
    earlier: Snapshot,
    limit: int,
    progress: Callable[[int], None] | None = None,
) -> pa.Table | None:
    """The events since the latest that an earlier snapshot has, those of that moment among them.

    They are held against the numbers of events that the store counts: an event that was written
    late, under a time before the snapshot's, or was removed does not go unnoticed.

    Args:
        store: The shop's graph.
        earlier: A snapshot of it.
        limit: The moment of the new snapshot, in milliseconds since 1970 UTC.
        progress: Called now and then with the number of events read so far.

    Returns:
        Events as `GraphStore.read_events` gives them. None if all must be read: the earlier
        snapshot has no time or a later one, is of another Schema, or does not add up.
    """
    if earlier.as_of is None or earlier.as_of > limit or earlier.schema != store.schema:
        return None
    kinds = store.schema.kinds
    older = earlier.histories.kinds[_is_older(earlier)]
    known = np.bincount(older, minlength=len(kinds))
    before = _counted(store)
    for _ in range(ATTEMPTS):
        found = store.read_events(since=earlier.as_of - 1, progress=progress)
        after = _counted(store)
        if np.array_equal(before, after):
            here = pc.index_in(found["kind"].cast(pa.string()), pa.array(kinds)).to_numpy()
            came = np.bincount(here, minlength=len(kinds))
            return found if np.array_equal(known + came, after) else None
        before = after
    return None


def older_events(earlier: Snapshot, rows: Rows) -> Events | None:
    """A snapshot's events before its moment, by the rows that there are now.

    Their order is kept, whatever the numbers of rows; None if an id of theirs is no longer there.
    """
    older = _is_older(earlier)
    history = earlier.histories
    users = rows.users.rows(earlier.users.ids, "skip")[history.users[older]]
    items = rows.items.rows(earlier.items.ids, "skip")
    categories = rows.categories.rows(earlier.categories.ids, "skip")
    categories = np.where(categories < 0, -1, categories + len(rows.items))
    targets = np.concatenate((items, categories))[history.targets[older]]
    if (users < 0).any() or (targets < 0).any():
        return None
    seqs = np.arange(len(users))
    kinds, times, weights = history.kinds[older], history.times[older], history.weights[older]
    return Events(users, targets, kinds, times, seqs, weights)


def join(one: Events, other: Events) -> Events:
    """Events of both."""
    columns = (np.concatenate((getattr(one, f.name), getattr(other, f.name))) for f in fields(one))
    return Events(*columns)


def _is_older(earlier: Snapshot) -> npt.NDArray[np.bool_]:
    return earlier.histories.times < (NO_TIME if earlier.as_of is None else earlier.as_of)


def _counted(store: GraphStore) -> npt.NDArray[np.int64]:
    counts = store.counts()
    return np.array([counts[f"events.{kind}"] for kind in store.schema.kinds], np.int64)

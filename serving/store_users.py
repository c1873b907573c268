"""Users whose events live in a store: all of them as arrays, or one of them as a Query."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from firstedge.graph.errors import UnknownId
from firstedge.graph.histories import NO_TIME, Given, Histories, kind_weights
from firstedge.graph.store import GraphStore
from firstedge.graph.text import TextEncoder
from firstedge.graph.vocabulary import Vocabulary
from firstedge.loaders.rows import Rows, aligned, read_profiles
from firstedge.loaders.template import format_texts
from firstedge.models.bundle import Bundle
from firstedge.models.scorer import UserBatch
from firstedge.serving.query import Event, Query


@dataclass(frozen=True)
class StoreUsers:
    """All users of a store, as a bundle sees them.

    Attributes:
        ids: Their ids, sorted.
        users: What is known of them, in this order.
        skipped: What the bundle does not know, counted by reason.
    """

    ids: Vocabulary
    users: UserBatch
    skipped: dict[str, int]


def read_users(store: GraphStore, bundle: Bundle, encoder: TextEncoder | None = None) -> StoreUsers:
    """Read all users of a store, as columns.

    Args:
        store: Opened under the bundle's Schema.
        bundle: Whose items, categories and profile values count.
        encoder: For the users' texts; without one they are left aside.
    """
    schema, skipped = bundle.schema, Counter[str]()
    ids, table = aligned(store.read("users"), "user", skipped)
    rows = Rows(ids, bundle.items, bundle.categories, skipped)
    histories = rows.histories(store.read_events(), schema).speaking(schema)
    values, profiles = read_profiles(table, schema.user)
    known = bundle.profile_values.rows(values.ids, unknown="skip")[profiles.indices]
    offsets = np.concatenate(([0], np.cumsum(known >= 0)))[profiles.indptr]
    texts = format_texts(schema.user.text, table) if encoder else ()
    vectors = encoder.encode(texts) if encoder and any(texts) else None
    given = Given.of(histories, kind_weights(schema))
    users = UserBatch(given, offsets.astype(np.int64), known[known >= 0], vectors)
    return StoreUsers(ids, users, dict(skipped))


def read_query(store: GraphStore, bundle: Bundle, user: str) -> Query:
    """What a store knows of one user.

    Args:
        store: Opened under the bundle's Schema.
        bundle: The trained model.
        user: The user's id.

    Raises:
        UnknownId: If the store has no such user.
    """
    table = store.read("users", [user])
    if not table.num_rows:
        raise UnknownId(f"user id {user!r} is not in the store {store.url}")
    schema = bundle.schema
    rows = store.read_events(users=[user]).select(["time", "seq", "target", "kind", "weight"])
    row = table.to_pylist()[0]
    return Query(
        _events(rows, bundle),
        {name: row[name] for name in schema.user.profile},
        format_texts(schema.user.text, table)[0],
    )


def _events(table: pa.Table, bundle: Bundle) -> tuple[Event, ...]:
    """The events that speak, in order of time and sequence; ties as in `read_users`.

    A Query has no event of weight zero, but a return may have taken one back: so returns are
    settled here.
    """
    schema = bundle.schema
    order = {name: row for row, name in enumerate(schema.kind)}
    rows = sorted(
        (
            int(NO_TIME) if time is None else time,
            seq or 0,
            schema.kind[kind].to == "category",
            target,
            order[kind],
            1.0 if weight is None else weight,
        )
        for time, seq, target, kind, weight in zip(*table.to_pydict().values(), strict=True)
        if kind in order
    )
    targets = sorted({row[2:4] for row in rows})
    codes = {target: code for code, target in enumerate(targets)}
    spoken = Histories(
        np.array([0, len(rows)]),
        np.array([codes[row[2:4]] for row in rows], np.int64),
        np.array([row[4] for row in rows], np.int64),
        np.array([row[0] for row in rows], np.int64),
        np.array([row[5] for row in rows], np.float32),
        len(targets),
    ).speaking(schema)
    columns = (spoken.targets, spoken.kinds, spoken.times, spoken.weights)
    return tuple(
        Event(
            None if targets[code][0] else targets[code][1],
            targets[code][1] if targets[code][0] else None,
            schema.kinds[kind],
            None if time == NO_TIME else time,
            weight,
        )
        for code, kind, time, weight in zip(*(c.tolist() for c in columns), strict=True)
    )

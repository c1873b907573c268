"""From Queries to what the scorer takes: ids to rows, events to the edges that speak."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import BundleError, QueryError
from firstedge.graph.histories import Events, Given, Histories, kind_weights
from firstedge.graph.profile import profile_values
from firstedge.graph.schema import Schema, Target
from firstedge.graph.text import TextEncoder
from firstedge.graph.vocabulary import Unknown
from firstedge.models.bundle import Bundle
from firstedge.models.scorer import UserBatch
from firstedge.serving.query import Event, Query
from firstedge.serving.ranking import NOTHING_UNUSED, Unused

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

AHEAD_MS = 24 * 60 * 60 * 1000  # clocks and zones differ; an event further ahead is a mistake


@dataclass(frozen=True)
class Read:
    """Queries as the scorer takes them.

    Attributes:
        users: One user a query.
        unused: What could not be used, one a query.
    """

    users: UserBatch
    unused: tuple[Unused, ...]


class QueryReader:
    """Reads Queries against a bundle.

    Args:
        bundle: The trained model.
        encoder: For the users' texts; without one they are reported as unused.

    Raises:
        BundleError: If the bundle was trained with another encoder.
    """

    def __init__(self, bundle: Bundle, encoder: TextEncoder | None = None) -> None:
        dim = len(bundle.text_w)
        if encoder is not None and (encoder.name != bundle.encoder or encoder.dim != dim):
            own = f"the one in {bundle.encoder_folder}" if bundle.encoder_folder else "the one"
            raise BundleError(
                f"this bundle was trained with the encoder {bundle.encoder or 'none'!r} (dim "
                f"{dim}), got {encoder.name!r} (dim {encoder.dim}): pass {own} or train again"
            )
        self._bundle = bundle
        self._encoder = encoder if bundle.user_text.any() else None
        self._weights = kind_weights(bundle.schema)
        self._default_kinds: dict[Target, int] = {
            to: kind
            for to in ("item", "category")
            if (kind := default_kind(bundle.schema, to)) is not None
        }

    def read(self, queries: Sequence[Query], unknown: Unknown = "skip") -> Read:
        """Read queries.

        Args:
            queries: What is known of each user.
            unknown: Whether an id or a profile value that the bundle does not know is skipped
                and counted, or an error.

        Raises:
            UnknownId: If there is an unknown id and ``unknown`` is "error".
            QueryError: If a kind is unknown or not of its target, or a time lies in the future.
        """
        events = [event for query in queries for event in query.events]
        users = np.repeat(np.arange(len(queries)), [len(query.events) for query in queries])
        targets, is_item = self._targets(events, unknown)
        given = self._given(events, users, targets, len(queries))
        profile_users, profile_rows = self._profiles(queries, unknown)
        texts, read = self._texts([query.text for query in queries])
        known, lost = profile_rows >= 0, targets < 0
        offsets = np.concatenate(([0], np.cumsum(_counts(profile_users[known], len(queries)))))
        batch = UserBatch(given, offsets, profile_rows[known], texts)
        if known.all() and read.all() and not lost.any():
            return Read(batch, (NOTHING_UNUSED,) * len(queries))
        lost_items = _counts(users[is_item & lost], len(queries))
        lost_categories = _counts(users[~is_item & lost], len(queries))
        lost_values = _counts(profile_users[~known], len(queries))
        columns = (lost_items.tolist(), lost_categories.tolist(), lost_values.tolist())
        unused = (Unused(*row) for row in zip(*columns, (~read).tolist(), strict=True))
        return Read(batch, tuple(unused))

    def _targets(self, events: Sequence[Event], unknown: Unknown) -> tuple[Ints, Bools]:
        """Targets of events, -1 where unknown, and which of them are items."""
        items = [event.item for event in events if event.item is not None]
        categories = [event.category for event in events if event.category is not None]
        is_item = np.fromiter((e.item is not None for e in events), np.bool_, len(events))
        targets = np.empty(len(events), np.int64)
        targets[is_item] = self._bundle.items.rows(items, unknown)
        rows = self._bundle.categories.rows(categories, unknown)
        targets[~is_item] = np.where(rows >= 0, rows + len(self._bundle.items), -1)
        return targets, is_item

    def _given(self, events: list[Event], users: Ints, targets: Ints, num_users: int) -> Given:
        times = np.fromiter((event.time for event in events), np.int64, len(events))
        self._check_times(times)
        columns = Events(
            users,
            targets,
            np.fromiter((self._kind(event) for event in events), np.int64, len(events)),
            times,
            np.arange(len(events)),
            np.fromiter((event.weight for event in events), np.float32, len(events)),
        )
        histories = Histories.of(columns, num_users, len(self._bundle.items))
        histories = histories.where(histories.targets >= 0)
        return Given.of(histories.speaking(self._bundle.schema), self._weights)

    def _kind(self, event: Event) -> int:
        schema = self._bundle.schema
        to: Target = "category" if event.item is None else "item"
        if event.kind is None:
            if to not in self._default_kinds:
                raise QueryError(f"no kind of event in this bundle's Schema speaks for {to} ids")
            return self._default_kinds[to]
        kind = schema.kind.get(event.kind)
        if kind is None:
            near = get_close_matches(event.kind, schema.kinds, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise QueryError(f"kind {event.kind!r} is not one of {', '.join(schema.kinds)}{hint}")
        if kind.to != to:
            raise QueryError(f"events of kind {event.kind!r} go to {kind.to} ids, got {event!r}")
        return schema.kinds.index(event.kind)

    def _check_times(self, times: Ints) -> None:
        latest = int(times.max(initial=0))
        if latest > time.time() * 1000 + AHEAD_MS:
            raise QueryError(
                f"an event lies in the future ({np.datetime64(latest, 'ms')} UTC): times are "
                "milliseconds since 1970 UTC or datetimes with a zone"
            )

    def _profiles(self, queries: Sequence[Query], unknown: Unknown) -> tuple[Ints, Ints]:
        """(user, row of the profile value, -1 where unknown) of every value."""
        values = [
            (user, word)
            for user, query in enumerate(queries)
            for field, value in query.profile.items()
            for word in profile_values(field, value)
        ]
        users = np.fromiter((user for user, _ in values), np.int64, len(values))
        rows = self._bundle.profile_values.rows([word for _, word in values], unknown)
        return users, rows

    def _texts(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.float32] | None, Bools]:
        """Encoded texts, if any; and which queries' texts, if there were, are used."""
        written = np.fromiter((bool(text.strip()) for text in texts), np.bool_, len(texts))
        if self._encoder is None or not written.any():
            return None, ~written
        return self._encoder.encode(texts), np.ones(len(texts), np.bool_)


def default_kind(schema: Schema, to: Target) -> int | None:
    """The row of the kind that an event has if none is said: the first of the highest weight."""
    kinds = [(kind.weight, -row) for row, kind in enumerate(schema.kind.values()) if kind.to == to]
    weight, row = max(kinds, default=(0.0, 0))
    return -row if weight > 0 else None


def _counts(users: Ints, num_users: int) -> Ints:
    return np.bincount(users, minlength=num_users)

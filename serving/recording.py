"""Recording what users did: rows from messages, and one transaction for all who wait for one."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from firstedge.graph.errors import DataError, Overloaded, QueryError
from firstedge.graph.schema import Schema, Target
from firstedge.graph.store import COLUMNS, GraphStore
from firstedge.serving.live_store import LiveStore
from firstedge.serving.query import Event
from firstedge.serving.reading import AHEAD_MS, default_kind
from firstedge.serving.v1 import recommender_pb2 as pb
from firstedge.serving.wire import BadField, Limits, read_event, read_id

Row = dict[str, Any]

ROWS = 1_000  # of one transaction: as many as the embedded store puts into its log
MOST_WAITING = 100_000  # rows of all streams that wait to be written; more are refused
_UNDER_WAY = 4_000  # rows of one stream that are not written yet before no more is read of it


@dataclass(frozen=True)
class _Waiting:
    """Rows and who waits for them.

    Attributes:
        rows: Events under the names of `COLUMNS`.
        schema: What their kinds are of.
        done: Gets the keys of the rows that were refused.
    """

    rows: list[Row]
    schema: Schema
    done: asyncio.Future[list[str]]


class Recorder:
    """Writes events of all streams together, in the order in which they came.

    Args:
        store: Where to.
        limits: What a message may hold.
    """

    def __init__(self, store: LiveStore, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._waiting: deque[_Waiting] = deque()
        self._num_waiting = 0
        self._writing: asyncio.Task[None] | None = None

    async def record(
        self, requests: AsyncIterator[pb.RecordEventsRequest], schema: Schema
    ) -> pb.RecordEventsResponse:
        """Take in a stream, and answer when the store has all of it.

        Raises:
            BadField: If an event cannot be; what came before it may be in the store.
            StoreError: If the store went away; some may be in the store.
            Overloaded: If too much waits already; some may be in the store.
        """
        under_way: deque[_Waiting] = deque()
        refused: list[str] = []
        total = 0
        async for request in requests:
            rows = _rows(request, schema, self._limits, total)
            total += len(rows)
            self._limits.check("events", total, self._limits.stream_events)
            for at in range(0, len(rows), ROWS):
                under_way.append(self._add(rows[at : at + ROWS], schema))
            while sum(len(one.rows) for one in under_way) > _UNDER_WAY:
                refused += await asyncio.shield(under_way.popleft().done)
        for one in under_way:
            refused += await asyncio.shield(one.done)
        return pb.RecordEventsResponse(recorded=total - len(refused), refused=refused)

    def _add(self, rows: list[Row], schema: Schema) -> _Waiting:
        if self._num_waiting + len(rows) > MOST_WAITING:
            raise Overloaded(f"{self._num_waiting:,} events wait to be kept: send these later")
        self._num_waiting += len(rows)
        one = _Waiting(rows, schema, asyncio.get_running_loop().create_future())
        one.done.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._waiting.append(one)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return one

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._write_together(self._next())
        finally:
            self._writing = None

    def _next(self) -> list[_Waiting]:
        """Those that came first and fit into one transaction."""
        together = [self._waiting.popleft()]
        size = len(together[0].rows)
        while (
            self._waiting
            and size + len(self._waiting[0].rows) <= ROWS
            and self._waiting[0].schema is together[0].schema
        ):
            together.append(self._waiting.popleft())
            size += len(together[-1].rows)
        self._num_waiting -= size
        return together

    async def _write_together(self, together: list[_Waiting]) -> None:
        schema = together[0].schema
        rows = [row for one in together for row in one.rows]
        try:
            lost = await self._store.run(schema, lambda store: write_rows(store, rows))
        except DataError as error:
            if len(together) == 1:
                _fail(together, error)
                return
            for one in together:  # a stream does not fail for what is in another
                await self._write_together([one])
            return
        except Exception as error:
            _fail(together, error)
            return
        finally:
            self._store.forget({row["user"] for row in rows})
        start = 0
        for one in together:
            inside = (at - start for at in lost if start <= at < start + len(one.rows))
            one.done.set_result([one.rows[at]["key"] for at in inside])
            start += len(one.rows)


def write_rows(store: GraphStore, rows: Sequence[Row]) -> list[int]:
    """Write events, and the users who are new.

    Returns:
        Positions of the rows that are not in the store: it has no such item or category.
    """
    table = pa.Table.from_pylist(list(rows), COLUMNS["events"])
    lost = store.write("events", table).orphans
    if not len(lost):
        return []
    again = table.take(pa.array(lost))
    store.write("users", pa.table({"id": again["user"].unique()}))
    still = store.write("events", again).orphans
    return [int(lost[at]) for at in still]


def _fail(together: list[_Waiting], error: Exception) -> None:
    for one in together:
        one.done.set_exception(error)


def _rows(request: pb.RecordEventsRequest, schema: Schema, limits: Limits, first: int) -> list[Row]:
    limits.check("events", len(request.events), limits.events)
    now = time.time_ns() // 1_000_000
    rows = []
    for at, message in enumerate(request.events):
        field = f"events[{at}]"
        user = read_id(message.user, f"{field}.user", limits)
        key = read_id(message.key, f"{field}.key", limits)
        try:
            row = _row(read_event(message.event), schema, now)
        except QueryError as error:
            raise BadField(f"{field}.event", error) from None
        read_id(row["target"], f"{field}.event", limits)
        rows.append({**row, "user": user, "key": key, "seq": first + at})
    return rows


def _row(event: Event, schema: Schema, now: int) -> Row:
    to: Target = "category" if event.item is None else "item"
    time_ms = now if event.at is None else event.time
    if abs(time_ms) > now + AHEAD_MS:
        raise QueryError(
            f"the time {time_ms} lies in the future, or before all calendars: times are "
            "milliseconds since 1970 UTC"
        )
    return {
        "target": event.item if event.category is None else event.category,
        "kind": kind_of(event, to, schema),
        "time": time_ms,
        "weight": event.weight,
    }


def kind_of(event: Event, to: Target, schema: Schema) -> str:
    """The kind of an event to an item or a category.

    Raises:
        QueryError: If there is no such kind.
    """
    if event.kind is None:
        row = default_kind(schema, to)
        if row is None:
            raise QueryError(f"no kind of event in this model's Schema speaks for {to} ids")
        return schema.kinds[row]
    if event.kind not in schema.kind:
        raise QueryError(f"kind {event.kind[:50]!r} is not one of {', '.join(schema.kinds)}")
    if schema.kind[event.kind].to != to:
        raise QueryError(f"events of kind {event.kind!r} go to {schema.kind[event.kind].to} ids")
    return event.kind

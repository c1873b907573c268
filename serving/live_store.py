"""The store under a running server: kept open, taken up again when it comes back, users cached."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from firstedge.graph.errors import (
    Overloaded,
    StoreError,
    StoreLocked,
    StoreUnavailable,
    UnknownId,
)
from firstedge.graph.schema import Schema
from firstedge.graph.store import GraphStore, open_store
from firstedge.models.bundle import Bundle
from firstedge.serving.query import Query
from firstedge.serving.store_users import read_query

T = TypeVar("T")

RETRY_SECONDS = 1.0  # a store that was just found to be away is not asked again before
MOST_READING = 500  # users that are read or wait for it; more are refused
PATIENCE = 2.0  # seconds for which a call waits for a server that is away


@dataclass(frozen=True)
class StoreOptions:
    """How a running server uses its store.

    Attributes:
        url: As for `open_store`.
        threads: Calls at a time; an embedded store takes one.
        user_seconds: How long what was read of a user may be answered from, on a store that others
            write too. An embedded store is ours alone, and what is kept of it is never stale.
        cached_users: Of how many users that is kept.
    """

    url: str
    threads: int = 4
    user_seconds: float = 2.0
    cached_users: int = 10_000


class LiveStore:
    """A store that may go away and come back.

    An embedded file is opened for writing as soon as it is there and kept: one process writes it,
    and that is this one. A connection to a Neo4j server finds its way back by itself.

    Args:
        options: Where it is.
    """

    def __init__(self, options: StoreOptions) -> None:
        self.options = options
        self.embedded = "://" not in options.url
        self._pool = ThreadPoolExecutor(1 if self.embedded else options.threads, "store")
        self._opening = threading.Lock()
        self._store: GraphStore | None = None
        self._file: tuple[int, int] | None = None
        self._away: tuple[float, StoreError] | None = None
        self._users: OrderedDict[str, tuple[float, Schema, Query]] = OrderedDict()
        self._reading: dict[str, asyncio.Future[Query]] = {}

    async def run(self, schema: Schema, work: Callable[[GraphStore], T]) -> T:
        """What ``work`` makes of the store, aside from the loop.

        Raises:
            StoreError: If the store is away; at once, if it was away a moment ago.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, schema, work)

    @property
    def num_reading(self) -> int:
        """Users that are read, or wait for it."""
        return len(self._reading)

    async def user(self, bundle: Bundle, user: str) -> Query:
        """What the store knows of one user.

        Raises:
            UnknownId: If there is no such user.
            StoreError: If the store is away.
            Overloaded: If too many wait for it.
        """
        kept = self._users.get(user)
        if kept is not None and kept[0] > time.monotonic() and kept[1] is bundle.schema:
            self._users.move_to_end(user)
            return kept[2]
        reading = self._reading.get(user)
        if reading is None:
            if self.num_reading >= MOST_READING:
                raise Overloaded(f"{MOST_READING} users are being read: try again later")
            reading = asyncio.ensure_future(self._read_user(bundle, user))
            self._reading[user] = reading
            reading.add_done_callback(lambda done: self._keep(bundle.schema, user, done))
        return await asyncio.shield(reading)

    def forget(self, users: Iterable[str]) -> None:
        """What these users did has changed: whoever asks from now on is answered from the store."""
        for user in users:
            self._users.pop(user, None)
            self._reading.pop(user, None)

    def close(self) -> None:
        """Let go of the store, when what is under way is done."""
        self._pool.shutdown()
        self._drop()

    async def _read_user(self, bundle: Bundle, user: str) -> Query:
        try:
            return await self.run(bundle.schema, lambda store: read_query(store, bundle, user))
        except UnknownId:  # without the store's place: the text goes to whoever asked
            raise UnknownId(f"user id {user!r} is not in the store") from None

    def _keep(self, schema: Schema, user: str, done: asyncio.Future[Query]) -> None:
        forgotten = self._reading.get(user) is not done
        if not forgotten:
            del self._reading[user]
        if done.cancelled() or done.exception() is not None or forgotten:
            return
        seconds = float("inf") if self.embedded else self.options.user_seconds
        self._users[user] = (time.monotonic() + seconds, schema, done.result())
        while len(self._users) > self.options.cached_users:
            self._users.popitem(last=False)

    def _run(self, schema: Schema, work: Callable[[GraphStore], T]) -> T:
        if self._away is not None and time.monotonic() < self._away[0]:
            raise type(self._away[1])(str(self._away[1]))
        try:
            with self._opening:
                store = self._opened(schema)
            result = work(store)
            self._check_file()
        except StoreError as error:
            if self.embedded:  # only the file knows what is in it now
                self._drop()
            if isinstance(error, StoreUnavailable | StoreLocked):
                self._away = (time.monotonic() + RETRY_SECONDS, error)
            raise
        self._away = None
        return result

    def _opened(self, schema: Schema) -> GraphStore:
        kept = self._store
        if kept is not None and kept.schema is not schema and kept.schema != schema:
            self._drop()
        self._check_file()
        if self._store is None:
            if self.embedded and not Path(self.options.url).exists():
                raise StoreUnavailable(f"there is no store {self.options.url}")
            self._store = open_store(self.options.url, schema, patience=PATIENCE)
            self._file = self._identity()
        return self._store

    def _check_file(self) -> None:
        """An embedded file that was moved or replaced would take events and keep none of them."""
        if self._store is not None and self._identity() != self._file:
            raise StoreUnavailable(f"{self.options.url} was moved, or another is in its place")

    def _identity(self) -> tuple[int, int] | None:
        if not self.embedded:
            return None
        try:
            found = Path(self.options.url).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _drop(self) -> None:
        self._users = OrderedDict()  # another file may come in its place
        store, self._store = self._store, None
        if store is not None:
            store.close()

"""What changes under a running server: the bundle on disk, and the users in the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from firstedge.graph.errors import StoreError, UnknownId
from firstedge.graph.store import GraphStore, open_store
from firstedge.models.bundle import Bundle
from firstedge.models.bundle_file import current_version, written_at
from firstedge.serving.metrics import Metrics
from firstedge.serving.query import Query
from firstedge.serving.recommender import Recommender
from firstedge.serving.store_users import read_query

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """A recommender, the version of the bundle that it was made from, and when that was written.

    Attributes:
        recommender: What answers.
        version: The bundle's version.
        written: Seconds since 1970.
    """

    recommender: Recommender
    version: str
    written: float


class LiveBundle:
    """The current version of a bundle folder. Whoever holds a `model` keeps it for a request.

    Args:
        path: The bundle's folder.
        load: How a recommender is made from it.
        metrics: What counts versions taken up and refused.

    Raises:
        BundleError: If there is no bundle, or it is harmed.
    """

    def __init__(self, path: Path, load: Callable[[Path], Recommender], metrics: Metrics) -> None:
        self._path = path
        self._load = load
        self._metrics = metrics
        self._refused = ""
        self.model = self._read(current_version(path))
        metrics.took_up(self.model)

    def refresh(self) -> bool:
        """Take up a new version, if there is one and it is whole; else keep the one there is.

        Returns:
            Whether the model is now another.
        """
        version = ""
        try:
            version = current_version(self._path)
            if version == self.model.version:
                return False
            model = self._read(version)
            if current_version(self._path) != version:  # replaced meanwhile: the next turn's affair
                return False
        # A harmed bundle may fail in any way; none of them may take the old one down.
        except Exception as error:
            if self._refused != (refused := f"{version} {error}"):
                self._refused = refused
                self._metrics.refused()
                _log.error("bundle %s refused, %s stays: %s", version, self.model.version, error)
            return False
        _log.info("bundle %s replaces %s", version, self.model.version)
        self.model = model
        self._metrics.took_up(model)
        return True

    async def watch(self, seconds: float) -> None:
        """Refresh for ever, the loading aside in a thread."""
        while True:
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self.refresh)

    def _read(self, version: str) -> Model:
        written = written_at(self._path, version)
        model = Model(self._load(self._path), version, written)
        model.recommender.recommend(Query(), 1)
        return model


class LiveStore:
    """Users of a store that may go away and come back.

    An embedded file is opened for each user and let go of, so that others may write it in between;
    a connection to a server is kept until it fails.

    Args:
        url: As for `open_store`.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._kept: GraphStore | None = None
        self._thread = ThreadPoolExecutor(1, "store")  # a store is one thread's affair

    async def read(self, bundle: Bundle, user: str) -> Query:
        """What the store knows of one user.

        Raises:
            UnknownId: If there is no such user.
            StoreError: If the store cannot be read now.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._read, bundle, user)

    def close(self) -> None:
        """Let go of the store."""
        self._thread.submit(self._drop).result()
        self._thread.shutdown()

    def _read(self, bundle: Bundle, user: str) -> Query:
        if self._kept is not None and self._kept.schema != bundle.schema:
            self._drop()
        if self._kept is None:
            self._kept = open_store(self._url, bundle.schema, read_only=True)
        try:
            return read_query(self._kept, bundle, user)
        except UnknownId:  # without the store's place: the text goes to whoever asked
            raise UnknownId(f"user id {user!r} is not in the store") from None
        except StoreError:
            self._drop()
            raise
        finally:
            if "://" not in self._url:
                self._drop()

    def _drop(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

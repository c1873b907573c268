"""The model under a running server: it follows the bundle's folder and the items of the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from firstedge.graph.errors import StoreError
from firstedge.models.bundle_file import current_version, written_at
from firstedge.serving.catalogue import Catalogue, StoredItems, follow, read_items
from firstedge.serving.live_store import LiveStore
from firstedge.serving.metrics import Metrics
from firstedge.serving.query import Query
from firstedge.serving.recommender import Recommender

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """What a request is answered by.

    Attributes:
        recommender: Over all items of the catalogue.
        version: Of the bundle that it was made from.
        written: When that was written, seconds since 1970.
        trained: The recommender of that bundle, before any item of the store.
        catalogue: Which items there are.
        digest: Of the store's items when all of them were last read; empty if they were not.
    """

    recommender: Recommender
    version: str
    written: float
    trained: Recommender
    catalogue: Catalogue
    digest: str = ""

    @classmethod
    def of(cls, recommender: Recommender, version: str, written: float) -> Model:
        """The model of a bundle as it was trained."""
        bundle = recommender.bundle
        return cls(recommender, version, written, recommender, Catalogue(bundle, len(bundle.items)))

    def following(self, stored: StoredItems) -> Model:
        """The same over what the store says of items, checked by one question."""
        digest = stored.digest if stored.whole else ""
        if digest and digest == self.digest:
            return self
        encoder = self.trained.encoder
        catalogue = follow(self.trained.bundle, self.catalogue, stored, encoder)
        recommender = self.trained.of(catalogue.bundle)
        recommender.recommend(Query(), 1)
        return replace(self, recommender=recommender, catalogue=catalogue, digest=digest)


class LiveBundle:
    """The current version of a bundle folder. Whoever holds a `model` keeps it for a request.

    Args:
        path: The bundle's folder.
        load: How a recommender is made from it.
        metrics: What counts versions taken up and refused.
        store: Whose items the model follows, if any.

    Attributes:
        model: Of the moment.
        tried: Set when the items were read for the first time, or could not be.

    Raises:
        BundleError: If there is no bundle, or it is harmed.
    """

    def __init__(
        self,
        path: Path,
        load: Callable[[Path], Recommender],
        metrics: Metrics,
        store: LiveStore | None = None,
    ) -> None:
        self._path = path
        self._load = load
        self._metrics = metrics
        self._store = store
        self._refused = ""
        self._changing = asyncio.Lock()
        self.tried = asyncio.Event()
        self.model = self._read(current_version(path))
        metrics.took_up(self.model)

    async def refresh(self) -> bool:
        """Take up a new version, if there is one and it is whole; else keep the one there is.

        With a store, a new version waits until its items can be read: it may not know the latest.

        Returns:
            Whether the model is now another.
        """
        version = ""
        try:
            async with self._changing:
                version = await asyncio.to_thread(current_version, self._path)
                if version == self.model.version:
                    return False
                model = await asyncio.to_thread(self._read, version)
                if self._store is not None:
                    model = await _following(self._store, model, None)
                if current_version(self._path) != version:  # replaced: the next turn's affair
                    return False
                _log.info("bundle %s replaces %s", version, self.model.version)
                self.model = model
                self._metrics.took_up(model)
                return True
        # A harmed bundle may fail in any way; none of them may take the old one down.
        except Exception as error:
            if self._refused != (refused := f"{version} {error}"):
                self._refused = refused
                self._metrics.refused()
                _log.error("bundle %s refused, %s stays: %s", version, self.model.version, error)
            return False

    async def refresh_items(self, ids: Sequence[str] | None = None) -> Model:
        """Follow the store in these items, in all of them if None.

        Returns:
            The model that does.

        Raises:
            StoreError: If the store is away.
        """
        if self._store is None:
            return self.model
        async with self._changing:
            before = self.model
            self.model = await _following(self._store, before, ids)
            self._metrics.took_up(self.model)
            if ids is None and self.model is not before:
                catalogue = self.model.catalogue
                _log.info(
                    "items: %d trained, %d new, %d that cannot be ranked yet",
                    catalogue.num_trained,
                    catalogue.num_new,
                    len(catalogue.unranked),
                )
            return self.model

    async def watch_items(self, seconds: float, again: float) -> None:
        """Follow the store for ever; of an embedded one, which is ours, until it has been read.

        Args:
            seconds: Between two readings.
            again: Before the next try when the store is away.
        """
        said = ""
        if self._store is None:
            self.tried.set()
        while self._store is not None:
            try:
                await self.refresh_items()
                wait, said = seconds, ""
            except Exception as error:
                if said != str(error):
                    _log.warning("items are as they were: %s", error)
                wait, said = (again if isinstance(error, StoreError) else seconds), str(error)
            self.tried.set()
            if self._store.embedded and not said:
                return
            await asyncio.sleep(wait)

    def _read(self, version: str) -> Model:
        model = Model.of(self._load(self._path), version, written_at(self._path, version))
        model.recommender.recommend(Query(), 1)
        return model


async def _following(store: LiveStore, model: Model, ids: Sequence[str] | None) -> Model:
    schema = model.trained.bundle.schema
    stored = await store.run(schema, lambda opened: read_items(opened, ids))
    return await asyncio.to_thread(model.following, stored)

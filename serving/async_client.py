"""The client for asyncio: every method of `Client`, to be awaited."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import MissingDependency

try:
    import grpc
except ImportError as error:
    raise MissingDependency(error.name or "grpcio", "the client", "serve") from None

from firstedge.graph.vocabulary import Unknown
from firstedge.serving import calls
from firstedge.serving.calls import Call, Item, Recorded, RecordedEvent, Upserted, user_of
from firstedge.serving.client import (
    NOBODY,
    ClientOptions,
    call_metadata,
    channel_credentials,
    channel_options,
    library_errors,
)
from firstedge.serving.filter import EVERYTHING, Filter
from firstedge.serving.query import Query
from firstedge.serving.ranking import Ranking
from firstedge.serving.reasons import Explanation
from firstedge.serving.v1 import recommender_pb2_grpc as pb_grpc

T = TypeVar("T")


class AsyncClient:
    """Asks a server from a running event loop; many calls at a time share one connection.

    Arguments, values and errors are those of `Client`.

    Args:
        target: ``"host:port"``.
        options: Deadlines, retries and security.

    Raises:
        SettingsError: As for `Client`.
    """

    def __init__(self, target: str, options: ClientOptions | None = None) -> None:
        self._options = options or ClientOptions()
        self._channel = open_channel(target, self._options)
        self._stub: Any = pb_grpc.RecommenderStub(self._channel)
        self.target = target

    def __repr__(self) -> str:
        return f"AsyncClient({self.target!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()

    async def recommend(
        self,
        query: Query = NOBODY,
        k: int = 20,
        filter: Filter = EVERYTHING,  # noqa: A002
        reasons: bool = False,
        unknown: Unknown = "skip",
        user: str = "",
    ) -> Ranking:
        """The k best items for a user: see `Client.recommend`."""
        return await self._run(calls.recommend(user_of(query, unknown, user), k, filter, reasons))

    async def score(
        self, query: Query, items: Sequence[str], unknown: Unknown = "skip", user: str = ""
    ) -> npt.NDArray[np.float32]:
        """float32[len(items)]: the scores of these items."""
        return await self._run(calls.score(user_of(query, unknown, user), items))

    async def similar_items(
        self,
        id: str,  # noqa: A002
        k: int = 20,
        filter: Filter = EVERYTHING,  # noqa: A002
    ) -> Ranking:
        """The k items that go with an item."""
        return await self._run(calls.similar_items(id, k, filter))

    async def explain(
        self, query: Query, item: str, unknown: Unknown = "skip", user: str = ""
    ) -> Explanation:
        """Why an item has its score for a user."""
        return await self._run(calls.explain(user_of(query, unknown, user), item))

    async def embed_users(
        self, queries: Sequence[Query], unknown: Unknown = "skip"
    ) -> npt.NDArray[np.float32]:
        """float32[n, dim]: the users' vectors, all from one model."""
        vectors = await self._run(calls.embed_users(queries, unknown))
        return np.empty((0, (await self.info())["dim"]), np.float32) if vectors is None else vectors

    async def record_events(self, events: Sequence[RecordedEvent]) -> Recorded:
        """Keep events: see `Client.record_events`."""
        return await self._run(calls.record_events(events))

    async def upsert_items(self, items: Sequence[Item]) -> Upserted:
        """Add items to the store, or change them: see `Client.upsert_items`."""
        return await self._run(calls.upsert_items(items))

    async def info(self) -> dict[str, Any]:
        """What the server's model is made of."""
        return await self._run(calls.info())

    async def _run(self, call: Call[T]) -> T:
        method = getattr(self._stub, call.method)
        request = iter(call.request) if isinstance(call.request, list) else call.request
        metadata = call_metadata(self._options)
        with library_errors():
            answer = method(request, timeout=self._options.timeout, metadata=metadata)
            if call.method == "EmbedUsers":
                return call.read([one async for one in answer])
            return call.read(await answer)


def open_channel(target: str, options: ClientOptions) -> Any:
    """A `grpc.aio` channel, secured as the options say.

    Raises:
        SettingsError: As for `Client`.
    """
    arguments = channel_options(options)
    credentials = channel_credentials(target, options)
    if credentials is None:
        return grpc.aio.insecure_channel(target, arguments)
    return grpc.aio.secure_channel(target, credentials, arguments)

"""The Recommender as a gRPC service: standard health and reflection, a bundle that may change."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

from firstedge._version import __version__
from firstedge.graph.errors import MissingDependency, SettingsError

try:
    import grpc
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection
except ImportError as error:
    raise MissingDependency(error.name or "grpcio", "the service", "serve") from None

from firstedge.graph.vocabulary import Unknown
from firstedge.serving.guard import NAME, Guard
from firstedge.serving.live import LiveBundle, LiveStore, Model, joined
from firstedge.serving.query import Query
from firstedge.serving.recommender import Recommender
from firstedge.serving.v1 import recommender_pb2 as pb
from firstedge.serving.v1 import recommender_pb2_grpc as pb_grpc
from firstedge.serving.wire import (
    BadField,
    Limits,
    read_filter,
    read_k,
    read_query,
    write_about,
    write_explanation,
    write_ranking,
)

T = TypeVar("T")


@dataclass(frozen=True)
class ServiceOptions:
    """How to serve.

    Attributes:
        bundle: The folder of the trained model, watched for new versions.
        store: Where users live that are asked for by id, as for `open_store`; empty: nowhere.
        host: The address to listen on.
        insecure: Whether it may be other than loopback, although there is no TLS and no
            authentication.
        port: The port, 0 for a free one.
        threads: How many requests are worked on at a time.
        watch_seconds: How often to look for a new version.
        drain_seconds: How long requests under way may take when the service stops.
        limits: What a request may ask for.

    Raises:
        SettingsError: If a number cannot be, or the address is open and that was not said.
    """

    bundle: Path
    store: str = ""
    host: str = "127.0.0.1"
    insecure: bool = False
    port: int = 50051
    threads: int = 2
    watch_seconds: float = 2.0
    drain_seconds: float = 30.0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not (self.insecure or _is_loopback(self.host)):
            raise SettingsError(
                f"there is no TLS and no authentication, so {self.host!r} is served only if that "
                "is said: pass --insecure (insecure=True) on a private network, or use 127.0.0.1"
            )
        if not 0 <= self.port < 2**16:
            raise SettingsError(f"a port is from 0 to 65535, got {self.port}")
        if self.threads < 1 or self.watch_seconds <= 0 or self.drain_seconds < 0:
            raise SettingsError(
                "threads are at least 1, seconds to watch above 0 and to drain not below 0, got "
                f"{self.threads}, {self.watch_seconds} and {self.drain_seconds}"
            )


class Servicer(pb_grpc.RecommenderServicer):
    """Answers requests. Each takes the model once, so that none sees two.

    Args:
        bundle: The model of the moment.
        store: Where users live that are asked for by id, if anywhere.
        options: Limits and threads.
    """

    def __init__(
        self, bundle: LiveBundle, store: LiveStore | None, options: ServiceOptions
    ) -> None:
        self._bundle = bundle
        self._store = store
        self._limits = options.limits
        self._pool = ThreadPoolExecutor(options.threads, "answer")

    async def Recommend(self, request: pb.RecommendRequest, _: Any) -> pb.RecommendResponse:  # noqa: N802
        """The k best items for a user."""
        model = self._bundle.model
        query = await self._query(request.user, model, "user")

        def answer() -> pb.RecommendResponse:
            ranking = model.recommender.recommend(
                query,
                read_k(request, self._limits),
                read_filter(request.filter, self._limits),
                request.reasons,
                _unknown(request.user),
            )
            return pb.RecommendResponse(ranking=write_ranking(ranking), version=model.version)

        return await self._run(answer)

    async def Score(self, request: pb.ScoreRequest, _: Any) -> pb.ScoreResponse:  # noqa: N802
        """The scores of given items."""
        self._limits.check("items", len(request.items), self._limits.ids)
        model = self._bundle.model
        query = await self._query(request.user, model, "user")
        unknown = _unknown(request.user)
        scores = await self._run(lambda: model.recommender.score(query, request.items, unknown))
        return pb.ScoreResponse(scores=scores.tolist(), version=model.version)

    async def SimilarItems(  # noqa: N802
        self, request: pb.SimilarItemsRequest, _: Any
    ) -> pb.SimilarItemsResponse:
        """Items that go with an item."""
        model = self._bundle.model

        def answer() -> pb.SimilarItemsResponse:
            k, filter_ = read_k(request, self._limits), read_filter(request.filter, self._limits)
            ranking = model.recommender.similar_items(request.id, k, filter_)
            return pb.SimilarItemsResponse(ranking=write_ranking(ranking), version=model.version)

        return await self._run(answer)

    async def Explain(self, request: pb.ExplainRequest, _: Any) -> pb.ExplainResponse:  # noqa: N802
        """Why an item has its score."""
        model = self._bundle.model
        query = await self._query(request.user, model, "user")
        unknown = _unknown(request.user)
        explanation = await self._run(
            lambda: model.recommender.explain(query, request.item, unknown)
        )
        return write_explanation(explanation, model.version)

    async def EmbedUsers(  # noqa: N802
        self, requests: AsyncIterator[pb.EmbedUsersRequest], _: Any
    ) -> AsyncIterator[pb.EmbedUsersResponse]:
        """Vectors of users, batch by batch, all from one model."""
        model = self._bundle.model
        async for request in requests:
            yield await self._embed(request, model)

    async def Info(self, request: pb.InfoRequest, _: Any) -> pb.InfoResponse:  # noqa: N802
        """What the model is made of."""
        model = self._bundle.model
        bundle = model.recommender.bundle
        info = pb.InfoResponse(
            version=model.version,
            firstedge=__version__,
            num_items=len(bundle.items),
            num_categories=len(bundle.categories),
            num_profile_values=len(bundle.profile_values),
            dim=bundle.dim,
            kinds=list(bundle.schema.kind),
        )
        write_about(bundle.about, info)
        return info

    def close(self) -> None:
        """Let go of threads and store."""
        self._pool.shutdown()
        if self._store is not None:
            self._store.close()

    async def _embed(self, request: pb.EmbedUsersRequest, model: Model) -> pb.EmbedUsersResponse:
        self._limits.check("users", len(request.users), self._limits.users)
        queries = [
            await self._query(user, model, f"users[{at}]") for at, user in enumerate(request.users)
        ]
        strict = any(user.refuse_unknown for user in request.users)
        vectors = await self._run(
            lambda: model.recommender.embed_users(queries, "error" if strict else "skip")
        )
        rows = [pb.Vector(values=row) for row in vectors.tolist()]
        return pb.EmbedUsersResponse(vectors=rows, version=model.version)

    async def _query(self, user: pb.User, model: Model, where: str) -> Query:
        said = await self._run(lambda: read_query(user.query, self._limits, f"{where}.query"))
        if not user.id:
            return said
        if self._store is None:
            raise BadField(f"{where}.id", "this server has no store: send the user's events")
        return joined(await self._store.read(model.recommender.bundle, user.id), said)

    async def _run(self, work: Callable[[], T]) -> T:
        """Numpy, aside from the loop; work whose request is gone before it begins is dropped."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _unknown(user: pb.User) -> Unknown:
    return "error" if user.refuse_unknown else "skip"


class Service:
    """A server, from start to stop, in a running event loop.

    Args:
        options: How to serve.
        load: How a recommender is made from a bundle's folder.

    Raises:
        BundleError: If there is no bundle, or it is harmed.
    """

    def __init__(
        self,
        options: ServiceOptions,
        load: Callable[[Path], Recommender] = Recommender.load,
    ) -> None:
        self.bundle = LiveBundle(options.bundle, load)
        self._options = options
        store = LiveStore(options.store) if options.store else None
        self._servicer = Servicer(self.bundle, store, options)
        self._health = health.aio.HealthServicer()
        self._tasks: list[asyncio.Task[None]] = []
        self._server: Any = None

    async def start(self) -> int:
        """Listen.

        Returns:
            The port.

        Raises:
            SettingsError: If the address cannot be listened on.
        """
        size = self._options.limits.message_bytes
        sizes = [("grpc.max_receive_message_length", size), ("grpc.max_send_message_length", size)]
        self._server = grpc.aio.server(
            interceptors=[Guard()], options=[*sizes, ("grpc.so_reuseport", 0)]
        )
        pb_grpc.add_RecommenderServicer_to_server(self._servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        address = f"{self._options.host}:{self._options.port}"
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise SettingsError(f"cannot listen on {address}: {error}") from None
        await self._server.start()
        for name in ("", NAME):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._tasks.append(asyncio.create_task(self.bundle.watch(self._options.watch_seconds)))
        return int(port)

    async def stop(self) -> None:
        """Say so to who asks for health, take nothing new, finish what is under way."""
        await self._health.enter_graceful_shutdown()
        for task in self._tasks:
            task.cancel()
        await self._server.stop(self._options.drain_seconds)
        await asyncio.to_thread(self._servicer.close)


async def serve(service: Service, ready: Callable[[int], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Args:
        service: What to serve.
        ready: Told the port when requests are taken.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    ready(await service.start())
    await stopped.wait()
    await service.stop()

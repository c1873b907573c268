"""The Recommender as a gRPC service: standard health and reflection, a bundle that may change."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstedge._version import __version__
from firstedge.graph.errors import MissingDependency, SettingsError

try:
    import grpc
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection
except ImportError as error:
    raise MissingDependency(error.name or "grpcio", "the service", "serve") from None

from firstedge.serving.desk import Desk
from firstedge.serving.gate import Gate
from firstedge.serving.guard import Guard
from firstedge.serving.live import LiveBundle, Model
from firstedge.serving.live_store import RETRY_SECONDS, LiveStore, StoreOptions
from firstedge.serving.metrics import Metrics
from firstedge.serving.options import ServiceOptions
from firstedge.serving.query import Query
from firstedge.serving.quick_desk import QuickDesk
from firstedge.serving.recommender import Recommender
from firstedge.serving.recording import Recorder
from firstedge.serving.security import Tokens
from firstedge.serving.tickets import one_by_one
from firstedge.serving.upserting import upsert_items
from firstedge.serving.v1 import recommender_pb2 as pb
from firstedge.serving.v1 import recommender_pb2_grpc as pb_grpc
from firstedge.serving.wire import (
    SERVICE,
    BadField,
    Limits,
    read_filter,
    read_k,
    read_request,
    read_unknown,
    read_user,
    write_about,
    write_explanation,
    write_ranking,
)

_NO_STORE = "this server has no store to keep anything in: start it with one"
_QUICK_ITEMS, _QUICK_K, _QUICK_BYTES = 50_000, 100, 10_000
_YOUNG = 100  # times that what is new is looked through, before what is under way is too
_FIRST_ITEMS_SECONDS = 1.0  # how long the start waits for the items of the store


@dataclass(frozen=True)
class Desks:
    """Who does the work.

    Attributes:
        quick: In the event loop, what is done in a moment.
        long: In threads, all else.
    """

    quick: QuickDesk
    long: Desk

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return self.quick.waiting + self.long.waiting


class Servicer(pb_grpc.RecommenderServicer):
    """Answers requests. Each takes the model once, so that none sees two.

    Args:
        bundle: The model of the moment.
        store: Where users live that are asked for by id, if anywhere.
        desks: Who does the work.
        limits: What a request may ask for.
        metrics: What counts it.
    """

    def __init__(
        self,
        bundle: LiveBundle,
        store: LiveStore | None,
        desks: Desks,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self._bundle = bundle
        self._store = store
        self._desks = desks
        self._limits = limits
        self._metrics = metrics
        self._recorder = None if store is None else Recorder(store, limits)

    async def Recommend(self, request: pb.RecommendRequest, _: Any) -> pb.RecommendResponse:  # noqa: N802
        """The k best items for a user."""
        model = self._bundle.model
        known = await self._known(request.user, model, "user")
        desk = self._desks.quick if _is_quick(request, model) else self._desks.long
        return await desk.ask(self._recommend, (model, request, known))

    def _recommend(
        self, asked: Sequence[tuple[Model, pb.RecommendRequest, Query | None]]
    ) -> list[pb.RecommendResponse]:
        """Answers to requests that came at about the same time, mostly to one model."""
        responses: dict[int, pb.RecommendResponse] = {}
        for model in {id(model): model for model, _, _ in asked}.values():
            places = [at for at, (theirs, _, _) in enumerate(asked) if theirs is model]
            requests = [read_request(asked[at][1], self._limits, asked[at][2]) for at in places]
            rankings = model.recommender.answer(requests)
            self._metrics.ranked(rankings)
            for at, ranking in zip(places, rankings, strict=True):
                responses[at] = pb.RecommendResponse(version=model.version)
                write_ranking(ranking, responses[at].ranking)
        return [responses[at] for at in range(len(asked))]

    async def Score(self, request: pb.ScoreRequest, _: Any) -> pb.ScoreResponse:  # noqa: N802
        """The scores of given items."""
        self._limits.check("items", len(request.items), self._limits.ids)
        model = self._bundle.model
        known = await self._known(request.user, model, "user")

        def answer() -> pb.ScoreResponse:
            query = read_user(request.user, self._limits, known)
            unknown = read_unknown(request.user)
            scores = model.recommender.score(query, request.items, unknown)
            return pb.ScoreResponse(scores=scores.tolist(), version=model.version)

        return await self._desks.long.ask(one_by_one, answer)

    async def SimilarItems(  # noqa: N802
        self, request: pb.SimilarItemsRequest, _: Any
    ) -> pb.SimilarItemsResponse:
        """Items that go with an item."""
        model = self._bundle.model

        def answer() -> pb.SimilarItemsResponse:
            k, filter_ = read_k(request, self._limits), read_filter(request.filter, self._limits)
            ranking = model.recommender.similar_items(request.id, k, filter_)
            response = pb.SimilarItemsResponse(version=model.version)
            write_ranking(ranking, response.ranking)
            return response

        return await self._desks.long.ask(one_by_one, answer)

    async def Explain(self, request: pb.ExplainRequest, _: Any) -> pb.ExplainResponse:  # noqa: N802
        """Why an item has its score."""
        model = self._bundle.model
        known = await self._known(request.user, model, "user")

        def answer() -> pb.ExplainResponse:
            query = read_user(request.user, self._limits, known)
            unknown = read_unknown(request.user)
            explanation = model.recommender.explain(query, request.item, unknown)
            return write_explanation(explanation, model.version)

        return await self._desks.long.ask(one_by_one, answer)

    async def EmbedUsers(  # noqa: N802
        self, requests: AsyncIterator[pb.EmbedUsersRequest], _: Any
    ) -> AsyncIterator[pb.EmbedUsersResponse]:
        """Vectors of users, batch by batch, all from one model."""
        model = self._bundle.model
        async for request in requests:
            yield await self._embed(request, model)

    async def RecordEvents(  # noqa: N802
        self, requests: AsyncIterator[pb.RecordEventsRequest], _: Any
    ) -> pb.RecordEventsResponse:
        """Keep events, and say so when the store has them."""
        if self._recorder is None:
            raise BadField("request", _NO_STORE)
        return await self._recorder.record(requests, self._bundle.model.trained.bundle.schema)

    async def UpsertItems(  # noqa: N802
        self, request: pb.UpsertItemsRequest, _: Any
    ) -> pb.UpsertItemsResponse:
        """Add and change items."""
        if self._store is None:
            raise BadField("request", _NO_STORE)
        return await upsert_items(request, self._bundle, self._store, self._limits)

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
            num_new_items=model.catalogue.num_new,
            num_unranked_items=len(model.catalogue.unranked),
        )
        write_about(bundle.about, info)
        return info

    def close(self) -> None:
        """Let go of threads and store."""
        self._desks.long.close()
        if self._store is not None:
            self._store.close()

    async def _embed(self, request: pb.EmbedUsersRequest, model: Model) -> pb.EmbedUsersResponse:
        self._limits.check("users", len(request.users), self._limits.users)
        known = [
            await self._known(user, model, f"users[{at}]") for at, user in enumerate(request.users)
        ]
        strict = any(user.refuse_unknown for user in request.users)

        def answer() -> pb.EmbedUsersResponse:
            queries = [
                read_user(user, self._limits, known[at], f"users[{at}]")
                for at, user in enumerate(request.users)
            ]
            vectors = model.recommender.embed_users(queries, "error" if strict else "skip")
            rows = [pb.Vector(values=row) for row in vectors.tolist()]
            return pb.EmbedUsersResponse(vectors=rows, version=model.version)

        return await self._desks.long.ask(one_by_one, answer)

    async def _known(self, user: pb.User, model: Model, where: str) -> Query | None:
        """What the store knows of a user, None if it is not asked."""
        if not user.id:
            return None
        if self._store is None:
            raise BadField(f"{where}.id", "this server has no store: send the user's events")
        return await self._store.user(model.recommender.bundle, user.id)


def _is_quick(request: pb.RecommendRequest, model: Model) -> bool:
    """Whether an answer takes no longer than the loop may be kept from other requests."""
    short = request.k <= _QUICK_K and request.ByteSize() <= _QUICK_BYTES
    small = len(model.recommender.bundle.items) <= _QUICK_ITEMS
    return short and small and not request.reasons


class Service:
    """A server, from start to stop, in a running event loop.

    Args:
        options: How to serve.
        load: How a recommender is made from a bundle's folder.

    Attributes:
        bundle: The model of the moment.
        desks: Who does the work.
        metrics: What counts it.
        metrics_port: Where the metrics are given, None for nowhere.
        tokens: Who may do what, None if nobody is asked.
        store: Where users live and events go, None for nowhere.

    Raises:
        BundleError: If there is no bundle, or it is harmed.
    """

    def __init__(
        self,
        options: ServiceOptions,
        load: Callable[[Path], Recommender] = Recommender.load,
    ) -> None:
        self.metrics = Metrics(lambda: self.desks.waiting)
        self.tokens = None if options.tokens is None else Tokens(options.tokens)
        self.store: LiveStore | None = None
        if options.store:
            self.store = LiveStore(StoreOptions(options.store, user_seconds=options.user_seconds))
        self.bundle = LiveBundle(options.bundle, load, self.metrics, self.store)
        self.desks = Desks(QuickDesk(options.patience), Desk(options.threads, options.patience))
        self._options = options
        self._servicer = Servicer(self.bundle, self.store, self.desks, options.limits, self.metrics)
        self._health = health.aio.HealthServicer()
        self._tasks: list[asyncio.Task[None]] = []
        self._server: Any = None
        self.metrics_port: int | None = None
        self._closing = ExitStack()

    async def start(self) -> int:
        """Listen.

        Returns:
            The port.

        Raises:
            SettingsError: If the address cannot be listened on.
        """
        size = self._options.limits.message_bytes
        sizes = [("grpc.max_receive_message_length", size), ("grpc.max_send_message_length", size)]
        streams, idle = self._options.peer_streams, self._options.idle_seconds
        gate = Gate(self.tokens, streams, idle, self.desks.quick, self.metrics)
        self._server = grpc.aio.server(
            interceptors=[*self._tracing(), gate, Guard(self.metrics)],
            options=[*sizes, ("grpc.so_reuseport", 0)],
        )
        pb_grpc.add_RecommenderServicer_to_server(self._servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        address = f"{self._options.host}:{self._options.port}"
        try:
            if self._options.tls is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, self._options.tls.credentials())
        except RuntimeError as error:
            raise SettingsError(f"cannot listen on {address}: {error}") from None
        if self._options.metrics_port is not None:
            stop, self.metrics_port = self.metrics.listen(
                self._options.host, self._options.metrics_port
            )
            self._closing.callback(stop)
        following = self.bundle.watch_items(self._options.item_seconds, RETRY_SECONDS)
        self._tasks.append(asyncio.create_task(following))
        with suppress(TimeoutError):
            await asyncio.wait_for(self.bundle.tried.wait(), _FIRST_ITEMS_SECONDS)
        await self._server.start()
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._tasks.append(asyncio.create_task(self._watch()))
        return int(port)

    async def refresh(self) -> None:
        """Look for a new bundle and new tokens now."""
        if self.tokens is not None:
            self.tokens.refresh()
        await self.bundle.refresh()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._options.watch_seconds)
            await self.refresh()

    async def stop(self) -> None:
        """Say so to who asks for health, take nothing new, finish what is under way."""
        await self._health.enter_graceful_shutdown()
        for task in self._tasks:
            task.cancel()
        await self._server.stop(self._options.drain_seconds)
        await asyncio.to_thread(self._servicer.close)
        await asyncio.to_thread(self._closing.close)

    def _tracing(self) -> list[Any]:
        if not self._options.tracing:
            return []
        from firstedge.serving.tracing import trace_requests

        interceptor, stop = trace_requests()
        self._closing.callback(stop)
        return [interceptor]


async def serve(service: Service, ready: Callable[[int], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain; SIGHUP: look for a new bundle and new tokens.

    Args:
        service: What to serve.
        ready: Told the port when requests are taken.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    told: set[asyncio.Task[None]] = set()

    def refresh() -> None:
        told.add(task := asyncio.ensure_future(service.refresh()))
        task.add_done_callback(told.discard)

    loop.add_signal_handler(signal.SIGHUP, refresh)
    port = await service.start()
    gc.collect()
    gc.freeze()  # what stays is not looked through again, which would hold requests up
    youngest, _, oldest = gc.get_threshold()
    gc.set_threshold(youngest, _YOUNG, oldest)
    ready(port)
    await stopped.wait()
    await service.stop()

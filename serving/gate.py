"""The first interceptor: who may call a method, when, and with how many streams at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from grpc_health.v1 import health

from firstedge.graph.errors import Overloaded
from firstedge.serving.guard import DETAILS
from firstedge.serving.metrics import SHED, Metrics
from firstedge.serving.quick_desk import FULL, QuickDesk
from firstedge.serving.refusals import status_of
from firstedge.serving.security import Tokens
from firstedge.serving.wire import RECOMMEND, SERVICE

_FULL = status_of(Overloaded(FULL))
_FULL_DETAILS = ((DETAILS, _FULL.SerializeToString()),)
WRITING = frozenset({"RecordEvents", "UpsertItems"})
READING = frozenset({"Recommend", "Score", "EmbedUsers", "SimilarItems", "Explain", "Info"})


class Gate(grpc.aio.ServerInterceptor):
    """Lets a call through, or ends it before any of it is read.

    Health may be asked by anybody; answers need the scope read, keeping events and items needs
    write, and all else (reflection) needs admin.

    Args:
        tokens: Who may do what; None: anybody may do anything.
        streams: Streams that a peer, by its address, may have open at a time.
        idle_seconds: How long a stream may say nothing.
        quick: Knows whether there is room for a ranking.
        metrics: What counts those for which there is not.
    """

    def __init__(
        self,
        tokens: Tokens | None,
        streams: int,
        idle_seconds: float,
        quick: QuickDesk,
        metrics: Metrics,
    ) -> None:
        self._tokens = tokens
        self._quick, self._metrics = quick, metrics
        self._shedding = grpc.stream_stream_rpc_method_handler(self._shed)
        self._streams = streams
        self._idle = idle_seconds
        self._open: Counter[str] = Counter()
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler of a method, or one that refuses."""
        path = handler_call_details.method
        refusal = self._refusal(path, handler_call_details.invocation_metadata)
        if refusal is not None:
            return _refusing(*refusal)
        if path == RECOMMEND and not self._quick.let_in():
            return self._shedding
        if path not in self._handlers:
            handler = self._bounded(await continuation(handler_call_details))
            if handler is None:  # of which there is no end
                return None
            self._handlers[path] = handler
        return self._handlers[path]

    def _bounded(self, handler: Any) -> Any:
        """The same, with its streams counted."""
        if handler is None or not handler.request_streaming:
            return handler
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._counted_stream(handler.stream_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.stream_unary_rpc_method_handler(
            self._counted(handler.stream_unary),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _refusal(self, path: str, metadata: Any) -> tuple[Any, str] | None:
        if self._tokens is None:
            return None
        service, _, method = path.lstrip("/").partition("/")
        if service == health.SERVICE_NAME:
            return None
        needed = "admin"
        if service == SERVICE and method in READING | WRITING:
            needed = "write" if method in WRITING else "read"
        values = [value for key, value in metadata or () if key == "authorization"]
        token = values[0] if len(values) == 1 and isinstance(values[0], str) else ""
        scheme, _, token = token.partition(" ")
        scopes = self._tokens.scopes(token) if scheme.lower() == "bearer" else frozenset()
        if not scopes:
            text = "send a valid token: the metadata 'authorization' is 'Bearer TOKEN'"
            return grpc.StatusCode.UNAUTHENTICATED, text
        if needed not in scopes:
            text = f"this method needs a token with the scope {needed!r}"
            return grpc.StatusCode.PERMISSION_DENIED, text
        return None

    async def _shed(self, _: Any, context: Any) -> None:
        """Handle a ranking that there is no room for, without reading it."""
        await self._quick.hold()
        self._metrics.answered("Recommend", SHED, 0.0)
        context.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
        context.set_details(_FULL.message)
        context.set_trailing_metadata(_FULL_DETAILS)

    async def _enter(self, context: Any) -> str:
        peer = _address(context.peer())
        if self._open[peer] >= self._streams:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"up to {self._streams} streams at a time: end one, or send more in each",
            )
        self._open[peer] += 1
        return peer

    def _leave(self, peer: str) -> None:
        self._open[peer] -= 1
        if not self._open[peer]:
            del self._open[peer]

    def _counted(self, answer: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(requests: AsyncIterator[Any], context: Any) -> Any:
            peer = await self._enter(context)
            try:
                return await answer(self._lively(requests, context), context)
            finally:
                self._leave(peer)

        return counted

    def _counted_stream(
        self, answer: Callable[..., AsyncIterator[Any]]
    ) -> Callable[..., AsyncIterator[Any]]:
        async def counted(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            peer = await self._enter(context)
            try:
                async for response in answer(self._lively(requests, context), context):
                    yield response
            finally:
                self._leave(peer)

        return counted

    async def _lively(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """The messages, until none comes for too long."""
        stream = aiter(requests)
        while True:
            try:
                async with asyncio.timeout(self._idle):
                    request = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError:
                text = f"nothing came for {self._idle:g} seconds: open a stream when there is more"
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, text)
            yield request


def _address(peer: str) -> str:
    """A peer without its port: ``ipv4:10.0.0.1``."""
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer


def _refusing(code: Any, text: str) -> Any:
    """A handler that reads nothing; it serves methods of every kind."""

    async def refuse(_: Any, context: Any) -> AsyncIterator[Any]:
        await context.abort(code, text)
        yield b""

    return grpc.stream_stream_rpc_method_handler(refuse)

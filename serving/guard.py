"""Between gRPC and the answers: whatever a request ends in becomes a status, and is counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from firstedge.serving.logs import log_request, name_request
from firstedge.serving.metrics import Metrics
from firstedge.serving.refusals import status_of
from firstedge.serving.wire import SERVICE, BadField

DETAILS = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}
REQUEST_ID = "x-request-id"


class _Malformed:
    """Stands for a message that could not be read."""


class Guard(grpc.aio.ServerInterceptor):
    """Turns whatever a request ends in into a status with details, and counts it.

    Args:
        metrics: Where to.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler of a method, guarded; those of other services as they are."""
        method = handler_call_details.method
        if method in self._handlers:
            return self._handlers[method]
        handler = await continuation(handler_call_details)
        if handler is None or not method.startswith(f"/{SERVICE}/"):
            return handler
        name = method.rpartition("/")[2]
        read = _forgiving(handler.request_deserializer)
        if handler.stream_unary:
            guarded = grpc.stream_unary_rpc_method_handler(
                self._guarded(name, handler.stream_unary, _checked_stream),
                read,
                handler.response_serializer,
            )
        elif handler.stream_stream:
            guarded = grpc.stream_stream_rpc_method_handler(
                self._guarded_stream(name, handler.stream_stream), read, handler.response_serializer
            )
        else:
            guarded = grpc.unary_unary_rpc_method_handler(
                self._guarded(name, handler.unary_unary), read, handler.response_serializer
            )
        self._handlers[method] = guarded
        return guarded

    def _guarded(
        self,
        name: str,
        answer: Callable[[Any, Any], Awaitable[Any]],
        check: Callable[[Any], Any] | None = None,
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        check = check or _checked

        async def guarded(request: Any, context: Any) -> Any:
            with _Watch(name, context, self._metrics) as watch:
                try:
                    return await answer(check(request), context)
                except grpc.aio.AbortError:  # the gate has ended it
                    raise
                except Exception as error:
                    await watch.refuse(error)

        return guarded

    def _guarded_stream(
        self, name: str, answer: Callable[[Any, Any], AsyncIterator[Any]]
    ) -> Callable[[Any, Any], AsyncIterator[Any]]:
        async def guarded(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            with _Watch(name, context, self._metrics) as watch:
                try:
                    async for response in answer(_checked_stream(requests), context):
                        yield response
                except grpc.aio.AbortError:  # the gate has ended it
                    raise
                except Exception as error:
                    await watch.refuse(error)

        return guarded


class _Watch:
    """One request from beginning to end, whatever the end is."""

    def __init__(self, method: str, context: Any, metrics: Metrics) -> None:
        self._method, self._context, self._metrics = method, context, metrics
        self._code = ""

    def __enter__(self) -> _Watch:
        self._began = perf_counter()
        said = next((v for k, v in self._context.invocation_metadata() if k == REQUEST_ID), "")
        self._id = name_request(said)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A request that its client gave up, or whose deadline passed, ends in a cancellation.
        code = self._code or ("OK" if kind is None else "CANCELLED")
        seconds = perf_counter() - self._began
        self._metrics.answered(self._method, code, seconds)
        log_request(self._method, code, seconds)

    async def refuse(self, error: Exception) -> None:
        status = status_of(error)
        code = _CODES[status.code]
        self._code = code.name
        details = ((DETAILS, status.SerializeToString()), (REQUEST_ID, self._id))
        await self._context.abort(code, status.message, details)


def _forgiving(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read_or_mark(data: bytes) -> Any:
        try:
            return read(data)
        except DecodeError:
            return _Malformed()

    return read_or_mark


async def _checked_stream(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _checked(request)


def _checked(request: Any) -> Any:
    if isinstance(request, _Malformed):
        raise BadField("request", "these bytes are not a message of this method")
    return request

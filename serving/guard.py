"""Between gRPC and the answers: whatever a request ends in becomes a status with details."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from firstedge.serving.refusals import status_of
from firstedge.serving.v1 import recommender_pb2 as pb
from firstedge.serving.wire import BadField

NAME = pb.DESCRIPTOR.services_by_name["Recommender"].full_name
_DETAILS = "grpc-status-details-bin"


class _Malformed:
    """Stands for a message that could not be read."""


class Guard(grpc.aio.ServerInterceptor):
    """Turns whatever a request ends in into a status with details."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler of a method, guarded; those of other services as they are."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(f"/{NAME}/"):
            return handler
        read = _forgiving(handler.request_deserializer)
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(
                _guarded_stream(handler.stream_stream), read, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            _guarded(handler.unary_unary), read, handler.response_serializer
        )


def _forgiving(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read_or_mark(data: bytes) -> Any:
        try:
            return read(data)
        except DecodeError:
            return _Malformed()

    return read_or_mark


def _checked(request: Any) -> Any:
    if isinstance(request, _Malformed):
        raise BadField("request", "these bytes are not a message of this method")
    return request


def _guarded(answer: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def guarded(request: Any, context: Any) -> Any:
        try:
            return await answer(_checked(request), context)
        except Exception as error:
            return await _refuse(error, context)

    return guarded


def _guarded_stream(
    answer: Callable[[Any, Any], AsyncIterator[Any]],
) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def guarded(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        try:
            async for response in answer((_checked(r) async for r in requests), context):
                yield response
        except Exception as error:
            await _refuse(error, context)

    return guarded


async def _refuse(error: Exception, context: Any) -> None:
    status = status_of(error)
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    await context.abort(code, status.message, ((_DETAILS, status.SerializeToString()),))

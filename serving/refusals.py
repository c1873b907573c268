"""Errors on the wire: each has a status, a text for people and google.rpc details for programs."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status

from firstedge.graph.errors import (
    DataError,
    FirstedgeError,
    Overloaded,
    QueryError,
    StoreError,
    StoreLocked,
    StoreUnavailable,
    UnknownId,
)
from firstedge.serving.logs import name_request, request_id
from firstedge.serving.wire import BadField

_log = logging.getLogger(__name__)

DOMAIN = "firstedge"
RETRY_SECONDS = 1
_MOST = 200  # characters of a text: trailers take 8 KiB in all, and a text may quote ids

# The first that fits; whatever else is raised is a fault of the server.
_CODES: tuple[tuple[type[FirstedgeError], int], ...] = (
    (UnknownId, code_pb2.NOT_FOUND),
    (QueryError, code_pb2.INVALID_ARGUMENT),
    (DataError, code_pb2.INVALID_ARGUMENT),
    (StoreUnavailable, code_pb2.UNAVAILABLE),
    (StoreLocked, code_pb2.UNAVAILABLE),
    (StoreError, code_pb2.FAILED_PRECONDITION),
    (Overloaded, code_pb2.RESOURCE_EXHAUSTED),
)


def status_of(error: Exception) -> Status:
    """The status that an error is answered with; one that nobody foresaw is logged and numbered."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return _status(code, _text(error)[:_MOST], _details(error))
    number = request_id() or name_request("")
    _log.error("request failed, number %s", number, exc_info=error)
    return _status(code_pb2.INTERNAL, f"internal error, number {number} in the server's log", [])


def _text(error: FirstedgeError) -> str:
    """For whoever asked; what it says of the store's place is for the log."""
    if not isinstance(error, StoreError):
        return str(error)
    _log.warning("store: %s", error)
    return "the store does not answer now: try again, or ask without a user id"


def _status(code: int, text: str, details: Sequence[Message]) -> Status:
    status = Status(code=code, message=text)
    for detail in details:
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _details(error: FirstedgeError) -> list[Message]:
    name = "QueryError" if isinstance(error, BadField) else type(error).__name__
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=name, domain=DOMAIN)]
    if isinstance(error, BadField):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field[:_MOST], description=str(error)[:_MOST]
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, StoreUnavailable | StoreLocked | Overloaded):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.seconds = RETRY_SECONDS
        details.append(retry)
    return details

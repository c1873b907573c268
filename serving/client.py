"""Clients of the service that take and give the library's own values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import (
    DataError,
    FirstedgeError,
    MissingDependency,
    Overloaded,
    QueryError,
    ServiceError,
    SettingsError,
    StoreError,
    StoreLocked,
    StoreUnavailable,
    UnknownId,
)

try:
    import grpc
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status
except ImportError as error:
    raise MissingDependency(error.name or "grpcio", "the client", "serve") from None

from firstedge.graph.vocabulary import Unknown
from firstedge.serving import calls
from firstedge.serving.calls import Call, Item, Recorded, RecordedEvent, Upserted, user_of
from firstedge.serving.filter import EVERYTHING, Filter
from firstedge.serving.query import Query
from firstedge.serving.ranking import Ranking
from firstedge.serving.reasons import Explanation
from firstedge.serving.security import ClientTls, host_of, is_loopback
from firstedge.serving.v1 import recommender_pb2_grpc as pb_grpc
from firstedge.serving.wire import SERVICE

T = TypeVar("T")

NOBODY = Query()
_ERRORS = {
    kind.__name__: kind
    for kind in (
        QueryError,
        UnknownId,
        DataError,
        StoreError,
        StoreUnavailable,
        StoreLocked,
        Overloaded,
    )
}


@dataclass(frozen=True)
class ClientOptions:
    """How a client calls.

    Attributes:
        timeout: Seconds for a call, all attempts taken together.
        attempts: How often a call is tried while the service is unavailable, 1 to 5.
        first_wait: Seconds before the second attempt; each further wait is twice as long, and all
            are drawn at random up to that.
        message_bytes: The largest answer that is taken, and the most that is kept to be sent again.
        token: Shown to a server that asks for one.
        tls: What to trust and to show; None: the wire is not encrypted.
        insecure: Whether the token may leave this machine on a wire that is not encrypted.

    Raises:
        SettingsError: If a number cannot be.
    """

    timeout: float = 5.0
    attempts: int = 4
    first_wait: float = 0.1
    message_bytes: int = 16 * 2**20
    token: str = field(default="", repr=False)
    tls: ClientTls | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        if not (self.timeout > 0 and self.first_wait > 0 and 1 <= self.attempts <= 5):
            raise SettingsError(
                "timeout and first_wait are above 0 and attempts from 1 to 5, got "
                f"{self.timeout}, {self.first_wait} and {self.attempts}"
            )


class Client:
    """Asks a server as one asks a `Recommender`. A context manager; safe to use from threads.

    Args:
        target: ``"host:port"``.
        options: Deadlines, retries and security.

    Raises:
        SettingsError: If a file of `ClientTls` cannot be read, or the token would leave this
            machine unencrypted.
    """

    def __init__(self, target: str, options: ClientOptions | None = None) -> None:
        self._options = options or ClientOptions()
        arguments = channel_options(self._options)
        credentials = channel_credentials(target, self._options)
        if credentials is None:
            self._channel = grpc.insecure_channel(target, arguments)
        else:
            self._channel = grpc.secure_channel(target, credentials, arguments)
        self._stub: Any = pb_grpc.RecommenderStub(self._channel)
        self.target = target

    def __repr__(self) -> str:
        return f"Client({self.target!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def recommend(
        self,
        query: Query = NOBODY,
        k: int = 20,
        filter: Filter = EVERYTHING,  # noqa: A002
        reasons: bool = False,
        unknown: Unknown = "skip",
        user: str = "",
    ) -> Ranking:
        """The k best items for a user, as `Recommender.recommend` gives them.

        Args:
            query: What is known of the user.
            k: How many.
            filter: Which items may be answered.
            reasons: Whether to explain each item.
            unknown: Whether an id that the model does not know is skipped and counted, or an
                error.
            user: A user of the server's store, whose events come before those of the query.

        Raises:
            QueryError: If the server cannot answer this as it is put.
            UnknownId: If an id is unknown.
            StoreUnavailable: If ``user`` is given and the server's store is away.
            StoreLocked: If ``user`` is given and the store is being written.
            ServiceError: If the server does not answer.
        """
        return self._run(calls.recommend(user_of(query, unknown, user), k, filter, reasons))

    def score(
        self, query: Query, items: Sequence[str], unknown: Unknown = "skip", user: str = ""
    ) -> npt.NDArray[np.float32]:
        """float32[len(items)]: the scores of these items.

        Raises:
            FirstedgeError: As for `recommend`.
        """
        return self._run(calls.score(user_of(query, unknown, user), items))

    def similar_items(
        self,
        id: str,  # noqa: A002
        k: int = 20,
        filter: Filter = EVERYTHING,  # noqa: A002
    ) -> Ranking:
        """The k items that go with an item.

        Raises:
            FirstedgeError: As for `recommend`.
        """
        return self._run(calls.similar_items(id, k, filter))

    def explain(
        self, query: Query, item: str, unknown: Unknown = "skip", user: str = ""
    ) -> Explanation:
        """Why an item has its score for a user.

        Raises:
            FirstedgeError: As for `recommend`.
        """
        return self._run(calls.explain(user_of(query, unknown, user), item))

    def embed_users(
        self, queries: Sequence[Query], unknown: Unknown = "skip"
    ) -> npt.NDArray[np.float32]:
        """float32[n, dim]: the users' vectors, all from one model.

        Raises:
            FirstedgeError: As for `recommend`.
        """
        vectors = self._run(calls.embed_users(queries, unknown))
        return np.empty((0, self.info()["dim"]), np.float32) if vectors is None else vectors

    def record_events(self, events: Sequence[RecordedEvent]) -> Recorded:
        """Keep events; when this returns, the store has them durably and rankings know them.

        Idempotent by key: after an error, send the same again.

        Raises:
            QueryError: If an event cannot be.
            StoreUnavailable: If the server's store is away.
            ServiceError: If the server does not answer.
        """
        return self._run(calls.record_events(events))

    def upsert_items(self, items: Sequence[Item]) -> Upserted:
        """Add items to the store, or change them; rankings know when this returns.

        Raises:
            QueryError: If an item cannot be.
            DataError: If a property is of another type than the store has.
            StoreUnavailable: If the server's store is away.
            ServiceError: If the server does not answer.
        """
        return self._run(calls.upsert_items(items))

    def info(self) -> dict[str, Any]:
        """What the server's model is made of: version, counts, and what training wrote down."""
        return self._run(calls.info())

    def _run(self, call: Call[T]) -> T:
        method = getattr(self._stub, call.method)
        streams = isinstance(call.request, list)
        request = iter(call.request) if streams else call.request
        metadata = call_metadata(self._options)
        with library_errors():
            answer = method(request, timeout=self._options.timeout, metadata=metadata)
            return call.read(list(answer) if call.method == "EmbedUsers" else answer)


@contextmanager
def library_errors() -> Iterator[None]:
    """What the wire says went wrong, as the error that the library would have raised."""
    try:
        yield
    except grpc.RpcError as error:
        raise _error_of(error) from None


def _error_of(error: Any) -> FirstedgeError:
    text, code = str(error.details()), error.code().name
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.reason in _ERRORS:
            return _ERRORS[info.reason](text)
    return ServiceError(f"{code}: {text}")


def call_metadata(options: ClientOptions) -> tuple[tuple[str, str], ...]:
    """What goes along with every call."""
    return (("authorization", f"Bearer {options.token}"),) if options.token else ()


def channel_credentials(target: str, options: ClientOptions) -> Any:
    """What encrypts the channel, None for nothing.

    Raises:
        SettingsError: If a file cannot be read, or the token would leave this machine unencrypted.
    """
    if options.tls is not None:
        return options.tls.credentials()
    if options.token and not options.insecure and not is_loopback(host_of(target)):
        raise SettingsError(
            f"the token would go to {target} unencrypted: give tls=ClientTls(), or say so with "
            "insecure=True where something else encrypts the wire"
        )
    return None


def channel_options(options: ClientOptions) -> list[tuple[str, Any]]:
    """Sizes and retries as grpc takes them."""
    policy = {
        "maxAttempts": options.attempts,
        "initialBackoff": f"{options.first_wait}s",
        "maxBackoff": f"{options.first_wait * 2**options.attempts}s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    methods: dict[str, Any] = {"name": [{"service": SERVICE}]}
    if options.attempts > 1:
        methods["retryPolicy"] = policy
    return [
        ("grpc.service_config", json.dumps({"methodConfig": [methods]})),
        ("grpc.max_receive_message_length", options.message_bytes),
        ("grpc.per_rpc_retry_buffer_size", options.message_bytes),
    ]

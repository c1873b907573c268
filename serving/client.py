"""A client of the service that takes and gives the library's own values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import (
    FirstedgeError,
    MissingDependency,
    Overloaded,
    QueryError,
    ServiceError,
    SettingsError,
    StoreLocked,
    StoreUnavailable,
    UnknownId,
)

try:
    import grpc
    from google.protobuf.json_format import MessageToDict
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status
except ImportError as error:
    raise MissingDependency(error.name or "grpcio", "the client", "serve") from None

from firstedge.graph.vocabulary import Unknown
from firstedge.serving.filter import EVERYTHING, Filter
from firstedge.serving.query import Query
from firstedge.serving.ranking import Ranking
from firstedge.serving.reasons import Explanation
from firstedge.serving.v1 import recommender_pb2 as pb
from firstedge.serving.v1 import recommender_pb2_grpc as pb_grpc
from firstedge.serving.wire import read_explanation, read_ranking, write_filter, write_query

T = TypeVar("T")

NOBODY = Query()
SERVICE = pb.DESCRIPTOR.services_by_name["Recommender"].full_name
_BATCH = 256  # users of a message
_ERRORS = {
    kind.__name__: kind
    for kind in (QueryError, UnknownId, StoreUnavailable, StoreLocked, Overloaded)
}


@dataclass(frozen=True)
class ClientOptions:
    """How a client calls.

    Attributes:
        timeout: Seconds for a call, all attempts taken together.
        attempts: How often a call is tried while the service is unavailable, 1 to 5.
        first_wait: Seconds before the second attempt; each further wait is twice as long, and all
            are drawn at random up to that.
        message_bytes: The largest answer that is taken.

    Raises:
        SettingsError: If a number cannot be.
    """

    timeout: float = 5.0
    attempts: int = 4
    first_wait: float = 0.1
    message_bytes: int = 16 * 2**20

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
        options: Deadlines and retries.
    """

    def __init__(self, target: str, options: ClientOptions | None = None) -> None:
        self._options = options or ClientOptions()
        self._channel = grpc.insecure_channel(target, _channel_options(self._options))
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
        request = _made(
            lambda: pb.RecommendRequest(
                user=_user(query, unknown, user),
                k=k,
                filter=write_filter(filter),
                reasons=reasons,
            )
        )
        return read_ranking(self._call(self._stub.Recommend, request).ranking)

    def score(
        self, query: Query, items: Sequence[str], unknown: Unknown = "skip", user: str = ""
    ) -> npt.NDArray[np.float32]:
        """float32[len(items)]: the scores of these items.

        Raises:
            FirstedgeError: As for `recommend`.
        """
        request = _made(
            lambda: pb.ScoreRequest(user=_user(query, unknown, user), items=list(items))
        )
        return np.array(self._call(self._stub.Score, request).scores, np.float32)

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
        request = _made(lambda: pb.SimilarItemsRequest(id=id, k=k, filter=write_filter(filter)))
        return read_ranking(self._call(self._stub.SimilarItems, request).ranking)

    def explain(
        self, query: Query, item: str, unknown: Unknown = "skip", user: str = ""
    ) -> Explanation:
        """Why an item has its score for a user.

        Raises:
            FirstedgeError: As for `recommend`.
        """
        request = _made(lambda: pb.ExplainRequest(user=_user(query, unknown, user), item=item))
        return read_explanation(self._call(self._stub.Explain, request))

    def embed_users(
        self, queries: Sequence[Query], unknown: Unknown = "skip"
    ) -> npt.NDArray[np.float32]:
        """float32[n, dim]: the users' vectors, all from one model.

        Raises:
            FirstedgeError: As for `recommend`.
        """
        batches = [queries[at : at + _BATCH] for at in range(0, len(queries), _BATCH)] or [[]]
        requests = [
            pb.EmbedUsersRequest(users=[_user(query, unknown, "") for query in batch])
            for batch in batches
        ]
        with _library_errors():
            answers = list(self._stub.EmbedUsers(iter(requests), timeout=self._options.timeout))
        rows = [vector.values for answer in answers for vector in answer.vectors]
        dim = len(rows[0]) if rows else self.info()["dim"]
        return np.array(rows, np.float32).reshape(len(rows), dim)

    def info(self) -> dict[str, Any]:
        """What the server's model is made of: version, counts, and what training wrote down."""
        answer = self._call(self._stub.Info, pb.InfoRequest())
        values = {
            name: getattr(answer, name)
            for name in ("version", "firstedge", "num_items", "num_categories", "dim")
        }
        about = MessageToDict(answer.about)
        return {**values, "kinds": list(answer.kinds), "about": about}

    def _call(self, method: Callable[..., T], request: Any) -> T:
        with _library_errors():
            return method(request, timeout=self._options.timeout)


@contextmanager
def _library_errors() -> Iterator[None]:
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


def _made(make: Callable[[], T]) -> T:
    """A message; what does not fit its fields does not leave the house."""
    try:
        return make()
    except (TypeError, ValueError) as error:
        raise QueryError(f"this cannot be sent: {error}") from None


def _user(query: Query, unknown: Unknown, id_: str) -> pb.User:
    return pb.User(id=id_, query=write_query(query), refuse_unknown=unknown == "error")


def _channel_options(options: ClientOptions) -> list[tuple[str, Any]]:
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
    ]

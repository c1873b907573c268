"""What a client says and hears: each method's message, and the library's value in the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from google.protobuf.json_format import MessageToDict

from firstedge.graph.errors import QueryError
from firstedge.graph.vocabulary import Unknown
from firstedge.serving.filter import Filter
from firstedge.serving.query import Event, Query
from firstedge.serving.ranking import Ranking
from firstedge.serving.reasons import Explanation
from firstedge.serving.v1 import recommender_pb2 as pb
from firstedge.serving.wire import (
    read_explanation,
    read_ranking,
    write_event,
    write_filter,
    write_query,
    write_values,
)

T = TypeVar("T")

_BATCH = 256  # users or events of a message


@dataclass(frozen=True)
class RecordedEvent:
    """An event to keep.

    Attributes:
        user: Who did it; a user that the store does not have is added to it.
        event: What they did; without a time: now, by the server's clock.
        key: The event's own key, such as an order's line. The store keeps an event of a key once,
            so that the same may be sent twice. A key that is made up here serves the attempts of
            one call: whoever sends again in another call must name one.
    """

    user: str
    event: Event
    key: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True)
class Item:
    """An item to add or to change.

    Attributes:
        id: Its id.
        properties: By the names of the Schema, those of its texts among them: plain values or
            lists of texts. What is not named stays as it is.
        categories: Categories that it is in, besides those that the store has it in.
        available: Whether it can be had; None: as it is, and yes for a new one.
    """

    id: str
    properties: dict[str, object] = field(default_factory=dict)
    categories: Sequence[str] = ()
    available: bool | None = None


@dataclass(frozen=True)
class Recorded:
    """What became of events.

    Attributes:
        recorded: How many the store has, now or before.
        refused: Keys of those that it has not, because it has no such item or category.
    """

    recorded: int
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Upserted:
    """What became of items.

    Attributes:
        added: How many were new to the store.
        known: How many it had.
        unknown_categories: Categories that it does not have; the items are in without them.
        unranked: Items that cannot be ranked yet: the model knows none of their categories, and
            there is no text, or no encoder to read it.
    """

    added: int
    known: int
    unknown_categories: tuple[str, ...] = ()
    unranked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call of a method.

    Attributes:
        method: Its name.
        request: Its message, or several for a method that takes a stream.
        read: From the answer, or from the list of answers, to the library's value.
    """

    method: str
    request: Any
    read: Callable[[Any], T]


def recommend(
    user: pb.User,
    k: int,
    filter: Filter,  # noqa: A002
    reasons: bool,
) -> Call[Ranking]:
    """See `Client.recommend`."""
    request = _made(
        lambda: pb.RecommendRequest(user=user, k=k, filter=write_filter(filter), reasons=reasons)
    )
    return Call("Recommend", request, lambda answer: read_ranking(answer.ranking))


def score(user: pb.User, items: Sequence[str]) -> Call[npt.NDArray[np.float32]]:
    """See `Client.score`."""
    request = _made(lambda: pb.ScoreRequest(user=user, items=list(items)))
    return Call("Score", request, lambda answer: np.array(answer.scores, np.float32))


def similar_items(id_: str, k: int, filter: Filter) -> Call[Ranking]:  # noqa: A002
    """See `Client.similar_items`."""
    request = _made(lambda: pb.SimilarItemsRequest(id=id_, k=k, filter=write_filter(filter)))
    return Call("SimilarItems", request, lambda answer: read_ranking(answer.ranking))


def explain(user: pb.User, item: str) -> Call[Explanation]:
    """See `Client.explain`."""
    request = _made(lambda: pb.ExplainRequest(user=user, item=item))
    return Call("Explain", request, read_explanation)


def embed_users(queries: Sequence[Query], unknown: Unknown) -> Call[npt.NDArray[np.float32] | None]:
    """See `Client.embed_users`; None where there is no vector to tell the dimensions by."""
    users = [user_of(query, unknown, "") for query in queries]
    batches = [users[at : at + _BATCH] for at in range(0, len(users), _BATCH)]
    requests = [pb.EmbedUsersRequest(users=batch) for batch in batches]

    def read(answers: list[pb.EmbedUsersResponse]) -> npt.NDArray[np.float32] | None:
        rows = [vector.values for answer in answers for vector in answer.vectors]
        return np.array(rows, np.float32) if rows else None

    return Call("EmbedUsers", requests, read)


def record_events(events: Sequence[RecordedEvent]) -> Call[Recorded]:
    """See `Client.record_events`."""
    written = _made(lambda: list(map(_write_recorded, events)))
    requests = [
        pb.RecordEventsRequest(events=written[at : at + _BATCH])
        for at in range(0, len(written), _BATCH)
    ]
    return Call(
        "RecordEvents", requests, lambda answer: Recorded(answer.recorded, tuple(answer.refused))
    )


def upsert_items(items: Sequence[Item]) -> Call[Upserted]:
    """See `Client.upsert_items`."""
    request = _made(lambda: pb.UpsertItemsRequest(items=map(_write_item, items)))

    def read(answer: pb.UpsertItemsResponse) -> Upserted:
        lost, unranked = tuple(answer.unknown_categories), tuple(answer.unranked)
        return Upserted(answer.added, answer.known, lost, unranked)

    return Call("UpsertItems", request, read)


def info() -> Call[dict[str, Any]]:
    """See `Client.info`."""

    def read(answer: pb.InfoResponse) -> dict[str, Any]:
        plain = {
            one.name: getattr(answer, one.name)
            for one in pb.InfoResponse.DESCRIPTOR.fields
            if one.name not in ("kinds", "about")
        }
        return {**plain, "kinds": list(answer.kinds), "about": MessageToDict(answer.about)}

    return Call("Info", pb.InfoRequest(), read)


def user_of(query: Query, unknown: Unknown, id_: str) -> pb.User:
    """The message of a user.

    Raises:
        QueryError: If it does not fit its fields.
    """
    return _made(
        lambda: pb.User(id=id_, query=write_query(query), refuse_unknown=unknown == "error")
    )


def _made(make: Callable[[], T]) -> T:
    """A message; what does not fit its fields does not leave the house."""
    try:
        return make()
    except (TypeError, ValueError) as error:
        raise QueryError(f"this cannot be sent: {error}") from None


def _write_recorded(one: RecordedEvent) -> pb.RecordedEvent:
    return pb.RecordedEvent(user=one.user, event=write_event(one.event), key=one.key)


def _write_item(item: Item) -> pb.Item:
    return pb.Item(
        id=item.id,
        properties={name: write_values(value) for name, value in item.properties.items()},
        categories=item.categories,
        available=item.available,
    )

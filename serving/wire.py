"""Between the messages of the service and the library's own values, both ways.

The server reads what strangers wrote: a field that cannot be used raises BadField with its path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from firstedge.graph.errors import QueryError, SettingsError
from firstedge.graph.vocabulary import Unknown
from firstedge.serving import reasons
from firstedge.serving.filter import Condition, Filter, Range, Value
from firstedge.serving.query import Event, Query, joined
from firstedge.serving.ranking import Ranking, Unused
from firstedge.serving.reasons import Explanation, Reason
from firstedge.serving.request import Request
from firstedge.serving.v1 import recommender_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["Recommender"].full_name
RECOMMEND = f"/{SERVICE}/Recommend"
K = 20  # where a request says none


class BadField(QueryError):
    """A field of a request that cannot be used.

    Args:
        field: Its path, such as ``user.query.events[3]``.
        problem: What is wrong, expected and got.
    """

    def __init__(self, field: str, problem: object) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


@dataclass(frozen=True)
class Limits:
    """What a request may ask for; more is refused.

    Attributes:
        message_bytes: Of one message, both ways.
        k: Items of a ranking; also of one for which none are named, if it is below 20.
        events: Events of one user.
        ids: Ids, values or conditions in one field.
        users: Users of one batch.
        items: Items of one batch that is to be kept.
        stream_events: Events of one stream that is to be kept.
        id_length: Characters of an id or key that is to be kept.

    Raises:
        SettingsError: If one is below 1.
    """

    message_bytes: int = 4 * 2**20
    k: int = 1_000
    events: int = 10_000
    ids: int = 100_000
    users: int = 1_000
    items: int = 1_000
    stream_events: int = 100_000
    id_length: int = 500

    def __post_init__(self) -> None:
        for name, most in asdict(self).items():
            if most < 1:
                raise SettingsError(f"a limit is at least 1, got {most} for {name}")

    def check(self, field: str, got: int, most: int) -> None:
        """Hold a size against its limit.

        Raises:
            BadField: If it is above.
        """
        if got > most:
            raise BadField(field, f"up to {most:,} here, got {got:,}")


def read_request(
    message: pb.RecommendRequest, limits: Limits, known: Query | None = None
) -> Request:
    """A Request from its message.

    Args:
        message: What was asked.
        limits: What may be.
        known: What the store knows of the user, if it was asked.

    Raises:
        BadField: If something in it cannot be.
    """
    return Request(
        read_user(message.user, limits, known),
        read_k(message, limits),
        read_filter(message.filter, limits),
        message.reasons,
        read_unknown(message.user),
    )


def read_user(
    message: pb.User, limits: Limits, known: Query | None = None, field: str = "user"
) -> Query:
    """What is known of a user: what the store knows, if it was asked, then what was said.

    Raises:
        BadField: If something in it cannot be.
    """
    said = read_query(message.query, limits, f"{field}.query")
    return said if known is None else joined(known, said)


def read_unknown(user: pb.User) -> Unknown:
    """What to do about ids that the model does not know."""
    return "error" if user.refuse_unknown else "skip"


def read_id(text: str, field: str, limits: Limits) -> str:
    """An id or key that is to be kept.

    Raises:
        BadField: If it is empty or too long.
    """
    if not text:
        raise BadField(field, "empty, and an id or key is needed")
    if "\0" in text:
        raise BadField(field, "holds a NUL, which a store cannot keep")
    limits.check(field, len(text), limits.id_length)
    return text


def read_k(request: pb.RecommendRequest | pb.SimilarItemsRequest, limits: Limits) -> int:
    """How many items to answer; a request that names no number gets 20, or as many as there may be.

    Raises:
        BadField: If it is 0 or too many.
    """
    k = request.k if request.HasField("k") else min(K, limits.k)
    if not k:
        raise BadField("k", "at least 1, got 0")
    limits.check("k", k, limits.k)
    return k


def read_query(message: pb.Query, limits: Limits, field: str = "user.query") -> Query:
    """A Query from its message.

    Raises:
        BadField: If something in it cannot be.
    """
    limits.check(f"{field}.events", len(message.events), limits.events)
    events = []
    for at, event in enumerate(message.events):
        try:
            events.append(read_event(event))
        except QueryError as error:
            raise BadField(f"{field}.events[{at}]", error) from None
    limits.check(f"{field}.profile", len(message.profile), limits.ids)
    profile = {
        name: read_values(values, limits, f"{field}.profile[{name!r}]")
        for name, values in message.profile.items()
    }
    try:
        return Query(events, profile, message.text)
    except QueryError as error:
        raise BadField(field, error) from None


def read_filter(message: pb.Filter, limits: Limits) -> Filter:
    """A Filter from its message.

    Raises:
        BadField: If something in it cannot be.
    """
    for name, ids in (
        ("categories", message.categories.ids),
        ("allowed", message.allowed.ids),
        ("denied", message.denied),
        ("properties", message.properties),
    ):
        limits.check(f"filter.{name}", len(ids), limits.ids)
    return Filter(
        message.exclude_given if message.HasField("exclude_given") else True,
        tuple(message.categories.ids) if message.HasField("categories") else None,
        tuple(message.allowed.ids) if message.HasField("allowed") else None,
        tuple(message.denied),
        message.available if message.HasField("available") else True,
        {
            name: _read_condition(condition, limits, f"filter.properties[{name!r}]")
            for name, condition in message.properties.items()
        },
    )


def read_ranking(message: pb.Ranking) -> Ranking:
    """A Ranking from its message."""
    items, unused = message.items, message.unused
    explained = any(item.reasons for item in items)
    return Ranking(
        tuple(item.id for item in items),
        np.array([item.score for item in items], np.float32),
        tuple(item.title for item in items),
        message.num_given,
        tuple(read_explanation(item) for item in items) if explained else (),
        Unused(unused.items, unused.categories, unused.profile, unused.text),
    )


def read_explanation(message: pb.RankedItem | pb.ExplainResponse) -> Explanation:
    """An Explanation from the message of an item with its reasons."""
    return Explanation(
        message.id,
        message.title,
        message.score,
        tuple(
            Reason(cast(reasons.Path, r.path), r.id, r.title, r.share, r.count, r.via)
            for r in message.reasons
        ),
    )


def write_query(query: Query) -> pb.Query:
    """The message of a Query."""
    profile = {name: write_values(value) for name, value in query.profile.items()}
    events = [write_event(event) for event in query.events]
    return pb.Query(events=events, profile=profile, text=query.text)


def write_filter(filter: Filter) -> pb.Filter:  # noqa: A002
    """The message of a Filter."""
    return pb.Filter(
        exclude_given=filter.exclude_given,
        categories=None if filter.categories is None else pb.Ids(ids=filter.categories),
        allowed=None if filter.allowed is None else pb.Ids(ids=filter.allowed),
        denied=filter.denied,
        available=filter.available,
        properties={name: _write_condition(test) for name, test in filter.properties.items()},
    )


def write_ranking(ranking: Ranking, message: pb.Ranking) -> None:
    """Write a Ranking into an empty message."""
    add = message.items.add
    rows = zip(ranking.ids, ranking.titles, ranking.scores.tolist(), strict=True)
    items = [add(id=id_, title=title, score=score) for id_, title, score in rows]
    for item, explanation in zip(items, ranking.reasons, strict=False):
        item.reasons.extend(map(_write_reason, explanation.reasons))
        item.because = str(explanation)
    message.num_given = ranking.num_given
    u = ranking.unused
    unused = pb.Unused(items=u.items, categories=u.categories, profile=u.profile, text=u.text)
    message.unused.CopyFrom(unused)


def write_explanation(explanation: Explanation, version: str) -> pb.ExplainResponse:
    """The message of an Explanation, by this version of the model."""
    return pb.ExplainResponse(
        id=explanation.id,
        title=explanation.title,
        score=explanation.score,
        reasons=map(_write_reason, explanation.reasons),
        because=str(explanation),
        version=version,
    )


def read_event(message: pb.Event) -> Event:
    """An Event from its message.

    Raises:
        QueryError: If it cannot be.
    """
    target = message.WhichOneof("target")
    return Event(
        message.item if target == "item" else None,
        message.category if target == "category" else None,
        message.kind if message.HasField("kind") else None,
        message.at if message.HasField("at") else None,
        message.weight if message.HasField("weight") else 1.0,
    )


def write_event(event: Event) -> pb.Event:
    """The message of an Event."""
    at = None if event.at is None else event.time
    return pb.Event(
        item=event.item, category=event.category, kind=event.kind, at=at, weight=event.weight
    )


def _read_value(message: pb.Value, field: str) -> Value:
    name = message.WhichOneof("kind")
    if name is None:
        raise BadField(field, "a value is a text, a whole number, a number or a flag, got none")
    return cast(Value, getattr(message, name))


def _write_value(value: object) -> pb.Value:
    if isinstance(value, bool):
        return pb.Value(flag=value)
    if isinstance(value, int) and abs(value) < 2**63:
        return pb.Value(whole=value)
    if isinstance(value, int | float):
        return pb.Value(number=value)
    return pb.Value(text=str(value))


def read_values(message: pb.Values, limits: Limits, field: str) -> list[Value]:
    """Plain values.

    Raises:
        BadField: If one is none, or there are too many.
    """
    limits.check(field, len(message.values), limits.ids)
    return [_read_value(value, field) for value in message.values]


def write_values(value: object) -> pb.Values:
    """One value or a list of them; None says nothing."""
    values: Sequence[Any] = value if isinstance(value, list | tuple) else (value,)
    return pb.Values(values=[_write_value(each) for each in values if each is not None])


def _read_condition(message: pb.Condition, limits: Limits, field: str) -> Condition:
    match message.WhichOneof("test"):
        case "equals":
            return _read_value(message.equals, field)
        case "one_of":
            return read_values(message.one_of, limits, field)
        case "range":
            bounds = message.range
            try:
                return Range(
                    bounds.min if bounds.HasField("min") else None,
                    bounds.max if bounds.HasField("max") else None,
                )
            except QueryError as error:
                raise BadField(field, error) from None
    raise BadField(field, "a condition is a value, several values or a range, got none")


def _write_condition(condition: Condition) -> pb.Condition:
    if isinstance(condition, Range):
        return pb.Condition(range=pb.Range(min=condition.min, max=condition.max))
    if isinstance(condition, str | int | float):
        return pb.Condition(equals=_write_value(condition))
    return pb.Condition(one_of=write_values(tuple(condition)))


def _write_reason(reason: Reason) -> pb.Reason:
    return pb.Reason(
        path=reason.path,
        id=reason.id,
        title=reason.title,
        share=reason.share,
        count=reason.count,
        via=reason.via,
    )


def write_about(about: Mapping[str, Any], info: pb.InfoResponse) -> None:
    """Fill in what was written down at training."""
    info.about.update(dict(about))

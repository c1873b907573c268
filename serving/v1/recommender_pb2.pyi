from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Event(_message.Message):
    __slots__ = ("item", "category", "kind", "at", "weight")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    item: str
    category: str
    kind: str
    at: int
    weight: float
    def __init__(self, item: _Optional[str] = ..., category: _Optional[str] = ..., kind: _Optional[str] = ..., at: _Optional[int] = ..., weight: _Optional[float] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("text", "whole", "number", "flag")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    text: str
    whole: int
    number: float
    flag: bool
    def __init__(self, text: _Optional[str] = ..., whole: _Optional[int] = ..., number: _Optional[float] = ..., flag: _Optional[bool] = ...) -> None: ...

class Values(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[Value]
    def __init__(self, values: _Optional[_Iterable[_Union[Value, _Mapping]]] = ...) -> None: ...

class Ids(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Query(_message.Message):
    __slots__ = ("events", "profile", "text")
    class ProfileEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Values
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Values, _Mapping]] = ...) -> None: ...
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    profile: _containers.MessageMap[str, Values]
    text: str
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., profile: _Optional[_Mapping[str, Values]] = ..., text: _Optional[str] = ...) -> None: ...

class User(_message.Message):
    __slots__ = ("id", "query", "refuse_unknown")
    ID_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    REFUSE_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    id: str
    query: Query
    refuse_unknown: bool
    def __init__(self, id: _Optional[str] = ..., query: _Optional[_Union[Query, _Mapping]] = ..., refuse_unknown: _Optional[bool] = ...) -> None: ...

class Range(_message.Message):
    __slots__ = ("min", "max")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    min: float
    max: float
    def __init__(self, min: _Optional[float] = ..., max: _Optional[float] = ...) -> None: ...

class Condition(_message.Message):
    __slots__ = ("equals", "one_of", "range")
    EQUALS_FIELD_NUMBER: _ClassVar[int]
    ONE_OF_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    equals: Value
    one_of: Values
    range: Range
    def __init__(self, equals: _Optional[_Union[Value, _Mapping]] = ..., one_of: _Optional[_Union[Values, _Mapping]] = ..., range: _Optional[_Union[Range, _Mapping]] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("exclude_given", "categories", "allowed", "denied", "available", "properties")
    class PropertiesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Condition
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Condition, _Mapping]] = ...) -> None: ...
    EXCLUDE_GIVEN_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    DENIED_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    exclude_given: bool
    categories: Ids
    allowed: Ids
    denied: _containers.RepeatedScalarFieldContainer[str]
    available: bool
    properties: _containers.MessageMap[str, Condition]
    def __init__(self, exclude_given: _Optional[bool] = ..., categories: _Optional[_Union[Ids, _Mapping]] = ..., allowed: _Optional[_Union[Ids, _Mapping]] = ..., denied: _Optional[_Iterable[str]] = ..., available: _Optional[bool] = ..., properties: _Optional[_Mapping[str, Condition]] = ...) -> None: ...

class Unused(_message.Message):
    __slots__ = ("items", "categories", "profile", "text")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    items: int
    categories: int
    profile: int
    text: bool
    def __init__(self, items: _Optional[int] = ..., categories: _Optional[int] = ..., profile: _Optional[int] = ..., text: _Optional[bool] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("path", "id", "title", "share", "count", "via")
    PATH_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    VIA_FIELD_NUMBER: _ClassVar[int]
    path: str
    id: str
    title: str
    share: float
    count: int
    via: str
    def __init__(self, path: _Optional[str] = ..., id: _Optional[str] = ..., title: _Optional[str] = ..., share: _Optional[float] = ..., count: _Optional[int] = ..., via: _Optional[str] = ...) -> None: ...

class RankedItem(_message.Message):
    __slots__ = ("id", "title", "score", "reasons", "because")
    ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    BECAUSE_FIELD_NUMBER: _ClassVar[int]
    id: str
    title: str
    score: float
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    because: str
    def __init__(self, id: _Optional[str] = ..., title: _Optional[str] = ..., score: _Optional[float] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., because: _Optional[str] = ...) -> None: ...

class Ranking(_message.Message):
    __slots__ = ("items", "num_given", "unused")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NUM_GIVEN_FIELD_NUMBER: _ClassVar[int]
    UNUSED_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[RankedItem]
    num_given: int
    unused: Unused
    def __init__(self, items: _Optional[_Iterable[_Union[RankedItem, _Mapping]]] = ..., num_given: _Optional[int] = ..., unused: _Optional[_Union[Unused, _Mapping]] = ...) -> None: ...

class RecommendRequest(_message.Message):
    __slots__ = ("user", "k", "filter", "reasons")
    USER_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    user: User
    k: int
    filter: Filter
    reasons: bool
    def __init__(self, user: _Optional[_Union[User, _Mapping]] = ..., k: _Optional[int] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., reasons: _Optional[bool] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("ranking", "version")
    RANKING_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ranking: Ranking
    version: str
    def __init__(self, ranking: _Optional[_Union[Ranking, _Mapping]] = ..., version: _Optional[str] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("user", "items")
    USER_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    user: User
    items: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, user: _Optional[_Union[User, _Mapping]] = ..., items: _Optional[_Iterable[str]] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("scores", "version")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedScalarFieldContainer[float]
    version: str
    def __init__(self, scores: _Optional[_Iterable[float]] = ..., version: _Optional[str] = ...) -> None: ...

class SimilarItemsRequest(_message.Message):
    __slots__ = ("id", "k", "filter")
    ID_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    id: str
    k: int
    filter: Filter
    def __init__(self, id: _Optional[str] = ..., k: _Optional[int] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ...) -> None: ...

class SimilarItemsResponse(_message.Message):
    __slots__ = ("ranking", "version")
    RANKING_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ranking: Ranking
    version: str
    def __init__(self, ranking: _Optional[_Union[Ranking, _Mapping]] = ..., version: _Optional[str] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("user", "item")
    USER_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    user: User
    item: str
    def __init__(self, user: _Optional[_Union[User, _Mapping]] = ..., item: _Optional[str] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("id", "title", "score", "reasons", "because", "version")
    ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    BECAUSE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    title: str
    score: float
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    because: str
    version: str
    def __init__(self, id: _Optional[str] = ..., title: _Optional[str] = ..., score: _Optional[float] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., because: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class EmbedUsersRequest(_message.Message):
    __slots__ = ("users",)
    USERS_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedCompositeFieldContainer[User]
    def __init__(self, users: _Optional[_Iterable[_Union[User, _Mapping]]] = ...) -> None: ...

class Vector(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class EmbedUsersResponse(_message.Message):
    __slots__ = ("vectors", "version")
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    vectors: _containers.RepeatedCompositeFieldContainer[Vector]
    version: str
    def __init__(self, vectors: _Optional[_Iterable[_Union[Vector, _Mapping]]] = ..., version: _Optional[str] = ...) -> None: ...

class RecordedEvent(_message.Message):
    __slots__ = ("user", "event", "key")
    USER_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    user: str
    event: Event
    key: str
    def __init__(self, user: _Optional[str] = ..., event: _Optional[_Union[Event, _Mapping]] = ..., key: _Optional[str] = ...) -> None: ...

class RecordEventsRequest(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[RecordedEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[RecordedEvent, _Mapping]]] = ...) -> None: ...

class RecordEventsResponse(_message.Message):
    __slots__ = ("recorded", "refused")
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    recorded: int
    refused: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, recorded: _Optional[int] = ..., refused: _Optional[_Iterable[str]] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("id", "properties", "categories", "available")
    class PropertiesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Values
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Values, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    id: str
    properties: _containers.MessageMap[str, Values]
    categories: _containers.RepeatedScalarFieldContainer[str]
    available: bool
    def __init__(self, id: _Optional[str] = ..., properties: _Optional[_Mapping[str, Values]] = ..., categories: _Optional[_Iterable[str]] = ..., available: _Optional[bool] = ...) -> None: ...

class UpsertItemsRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    def __init__(self, items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ...) -> None: ...

class UpsertItemsResponse(_message.Message):
    __slots__ = ("added", "known", "unknown_categories", "unranked")
    ADDED_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    UNRANKED_FIELD_NUMBER: _ClassVar[int]
    added: int
    known: int
    unknown_categories: _containers.RepeatedScalarFieldContainer[str]
    unranked: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, added: _Optional[int] = ..., known: _Optional[int] = ..., unknown_categories: _Optional[_Iterable[str]] = ..., unranked: _Optional[_Iterable[str]] = ...) -> None: ...

class InfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InfoResponse(_message.Message):
    __slots__ = ("version", "firstedge", "num_items", "num_categories", "num_profile_values", "dim", "kinds", "about", "num_new_items", "num_unranked_items")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FIRSTEDGE_FIELD_NUMBER: _ClassVar[int]
    NUM_ITEMS_FIELD_NUMBER: _ClassVar[int]
    NUM_CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    NUM_PROFILE_VALUES_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    NUM_NEW_ITEMS_FIELD_NUMBER: _ClassVar[int]
    NUM_UNRANKED_ITEMS_FIELD_NUMBER: _ClassVar[int]
    version: str
    firstedge: str
    num_items: int
    num_categories: int
    num_profile_values: int
    dim: int
    kinds: _containers.RepeatedScalarFieldContainer[str]
    about: _struct_pb2.Struct
    num_new_items: int
    num_unranked_items: int
    def __init__(self, version: _Optional[str] = ..., firstedge: _Optional[str] = ..., num_items: _Optional[int] = ..., num_categories: _Optional[int] = ..., num_profile_values: _Optional[int] = ..., dim: _Optional[int] = ..., kinds: _Optional[_Iterable[str]] = ..., about: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., num_new_items: _Optional[int] = ..., num_unranked_items: _Optional[int] = ...) -> None: ...

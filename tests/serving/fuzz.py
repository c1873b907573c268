"""Hostile requests, by the shape of the messages, and the statuses that they may end in."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import Message

from firstedge.serving.v1 import recommender_pb2 as pb
from firstedge.serving.wire import SERVICE

UNARY = {
    "Recommend": pb.RecommendRequest,
    "Score": pb.ScoreRequest,
    "SimilarItems": pb.SimilarItemsRequest,
    "Explain": pb.ExplainRequest,
    "UpsertItems": pb.UpsertItemsRequest,
    "Info": pb.InfoRequest,
}
STREAMS = {"EmbedUsers": pb.EmbedUsersRequest, "RecordEvents": pb.RecordEventsRequest}
# UNKNOWN is how a client reports a stream that was refused before it had said anything.
ALLOWED = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
}
TEXTS = (
    "",
    "i001",
    "i007",
    "c1",
    "c3",
    "u01",
    "u07",
    "purchase",
    "view",
    "interest",
    "country",
    "price",
    "UK",
    "\0",
    "a\0b",
    "' OR 1=1 //",
    "`}) DETACH DELETE n //",
    "{user}",
    "$id",
    "\u202e\ufeff",
    "😀" * 40,
    "x" * 600,
    "../../etc/passwd",
    "%s%n",
    "\ud7ff\uffff",
)
NUMBERS = (0, 1, -1, 2, 3, 20, 1000, 1001, 2**31 - 1, -(2**31), 2**53, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 1.0, 0.5, -3.0, 1e-320, 1e308, -1e308, float("inf"), float("nan"), 3.0)


class Fuzzer:
    """Makes requests: by shape with odd values, by breaking whole ones, and of plain noise.

    Args:
        seed: Of everything random.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def request(self) -> tuple[str, list[bytes]]:
        """A method's name and its messages."""
        name = str(self.rng.choice([*UNARY, *STREAMS, "Nothing"], p=_LIKELY))
        number = 1 if name not in STREAMS else int(self.rng.integers(0, 4))
        return name, [self._bytes(name) for _ in range(number)]

    def _bytes(self, name: str) -> bytes:
        kind = {**UNARY, **STREAMS}.get(name, pb.RecommendRequest)
        if self.rng.random() < 0.1:
            return bytes(self.rng.bytes(int(self.rng.integers(0, 300))))
        data = bytearray(self.fill(kind(), 5).SerializeToString())
        if self.rng.random() < 0.3 and data:
            for at in self.rng.integers(len(data), size=int(self.rng.integers(1, 6))):
                data[at] = self.rng.integers(256)
        if self.rng.random() < 0.05:
            data = data[: int(self.rng.integers(len(data) + 1))]
        if self.rng.random() < 0.02:
            data = data * int(self.rng.integers(2, 50))
        return bytes(data)

    def fill(self, message: Message, depth: int) -> Message:
        """Set some of the fields."""
        for field in message.DESCRIPTOR.fields:
            if self.rng.random() < 0.5 or (depth == 0 and field.message_type):
                continue
            if field.message_type and field.message_type.GetOptions().map_entry:
                self._fill_map(message, field, depth)
            elif field.is_repeated:
                self._fill_list(message, field, depth)
            elif field.message_type:
                getattr(message, field.name).SetInParent()
                self.fill(getattr(message, field.name), depth - 1)
            else:
                setattr(message, field.name, self._value(field))
        return message

    def _fill_map(self, message: Message, field: Any, depth: int) -> None:
        value = field.message_type.fields_by_name["value"]
        for _ in range(int(self.rng.integers(0, 3))):
            key = self._text()
            if value.message_type:
                self.fill(getattr(message, field.name)[key], depth - 1)

    def _fill_list(self, message: Message, field: Any, depth: int) -> None:
        values = getattr(message, field.name)
        for _ in range(int(self.rng.choice([0, 1, 2, 3, 30], p=[0.2, 0.4, 0.2, 0.15, 0.05]))):
            if field.message_type:
                self.fill(values.add(), depth - 1)
            else:
                values.append(self._value(field))

    def _value(self, field: Any) -> Any:
        if field.cpp_type == Field.CPPTYPE_STRING:
            return self._text()
        if field.cpp_type == Field.CPPTYPE_BOOL:
            return bool(self.rng.integers(2))
        if field.cpp_type in (Field.CPPTYPE_DOUBLE, Field.CPPTYPE_FLOAT):
            return FLOATS[self.rng.integers(len(FLOATS))]
        number = NUMBERS[self.rng.integers(len(NUMBERS))]
        return number % 2**32 if field.cpp_type == Field.CPPTYPE_UINT32 else number

    def _text(self) -> str:
        return TEXTS[self.rng.integers(len(TEXTS))]


_LIKELY = [0.25, 0.1, 0.1, 0.1, 0.15, 0.04, 0.1, 0.15, 0.01]


def ask(channel: Any, name: str, messages: list[bytes]) -> tuple[str, str]:
    """Send bytes; the status that came back, and its text."""
    method = f"/{SERVICE}/{name}"
    try:
        if name == "EmbedUsers":
            list(channel.stream_stream(method)(iter(messages), timeout=300))
        elif name == "RecordEvents":
            channel.stream_unary(method)(iter(messages), timeout=300)
        else:
            channel.unary_unary(method)(messages[0], timeout=300)
    except grpc.RpcError as error:
        return error.code().name, str(error.details())
    return "OK", ""

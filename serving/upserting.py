"""Adding and changing items: tables from messages, written and then ranked."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa

from firstedge.graph.schema import Schema
from firstedge.graph.store import COLUMNS, GraphStore
from firstedge.serving.live import LiveBundle
from firstedge.serving.live_store import LiveStore
from firstedge.serving.v1 import recommender_pb2 as pb
from firstedge.serving.wire import BadField, Limits, read_id, read_values


async def upsert_items(
    request: pb.UpsertItemsRequest, bundle: LiveBundle, store: LiveStore, limits: Limits
) -> pb.UpsertItemsResponse:
    """Write items, and rank with them from now on.

    Raises:
        BadField: If an item cannot be.
        DataError: If a property is of another type than the store has.
        StoreError: If the store is away; some may be written.
    """
    schema = bundle.model.trained.bundle.schema
    limits.check("items", len(request.items), limits.items)
    ids = [read_id(item.id, f"items[{at}].id", limits) for at, item in enumerate(request.items)]
    if len(set(ids)) != len(ids):
        raise BadField("items", "an id comes twice")
    items, members = _items(request, schema, limits), _members(request, limits)
    if not ids:
        return pb.UpsertItemsResponse()
    answer = await store.run(schema, lambda opened: _write(opened, items, members))
    model = await bundle.refresh_items(ids)
    answer.unranked.extend(id_ for id_ in ids if id_ in model.catalogue.unranked)
    return answer


def _write(store: GraphStore, items: pa.Table, members: pa.Table) -> pb.UpsertItemsResponse:
    written = store.write("items", items)
    lost = store.write("item_categories", members).orphans
    unknown = np.unique(members["category"].to_numpy()[lost]).tolist()
    return pb.UpsertItemsResponse(
        added=written.new, known=written.known, unknown_categories=unknown
    )


def _items(request: pb.UpsertItemsRequest, schema: Schema, limits: Limits) -> pa.Table:
    flag = schema.item.available
    columns: dict[str, list[Any]] = {"id": [item.id for item in request.items]}
    for at, item in enumerate(request.items):
        for name, values in item.properties.items():
            field = f"items[{at}].properties[{name!r}]"
            if name not in schema.item.fields or name == flag:
                raise BadField(field, _unknown(name, schema))
            given = read_values(values, limits, field)
            column = columns.setdefault(name, [None] * len(request.items))
            column[at] = given if len(given) != 1 else given[0]
        if item.HasField("available"):
            if flag is None:
                raise BadField(
                    f"items[{at}].available",
                    "the model's Schema names no property for it (item.available): name one and"
                    " train again",
                )
            columns.setdefault(flag, [None] * len(request.items))[at] = item.available
    return pa.table({name: _column(name, values) for name, values in columns.items()})


def _unknown(name: str, schema: Schema) -> str:
    names = [field for field in schema.item.fields if field != schema.item.available]
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names) or 'none'}"
    return f"the model's Schema names no such property of items; {hint}"


def _column(name: str, values: Sequence[Any]) -> pa.Array:
    """A column of one type: lists of texts if one is a list, floats if one is a float."""
    given = [value for value in values if value is not None]
    if any(isinstance(value, list) for value in given):
        lists = [v if isinstance(v, list) or v is None else [v] for v in values]
        if not all(isinstance(text, str) for each in lists if each for text in each):
            raise BadField(f"properties[{name!r}]", "a list is of texts")
        return pa.array(lists, pa.list_(pa.string()))
    types = {type(value) for value in given}
    if types == {int, float}:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    if len(types) > 1:
        raise BadField(f"properties[{name!r}]", "values of several types")
    return pa.array(values) if types else pa.nulls(len(values), pa.string())


def _members(request: pb.UpsertItemsRequest, limits: Limits) -> pa.Table:
    pairs = []
    for at, item in enumerate(request.items):
        field = f"items[{at}].categories"
        limits.check(field, len(item.categories), limits.ids)
        pairs += [(item.id, read_id(id_, field, limits)) for id_ in item.categories]
    columns = [[item for item, _ in pairs], [category for _, category in pairs]]
    return pa.table(columns, schema=COLUMNS["item_categories"])

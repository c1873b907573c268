"""Writing events to Neo4j: each key once among all kinds, each node looked up once a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from neo4j import ManagedTransaction

from firstedge.graph.cypher import kind_names, load
from firstedge.graph.errors import StoreError
from firstedge.graph.neo4j_write import Ends, find_ends, parts
from firstedge.graph.schema import Kind, Schema
from firstedge.graph.store import Written

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Candidates:
    """Events of one kind whose keys are not in the store.

    Attributes:
        kind: Their kind.
        rows: int64[n], their positions in the table, ascending.
        users: Their users.
        targets: Their items or categories.
    """

    kind: Kind
    rows: Rows
    users: Ends
    targets: Ends


def write_events(tx: ManagedTransaction, schema: Schema, rows: pa.Table, batch: int) -> Written:
    """Write events that are not in the store and whose ends are."""
    keys = rows["key"].combine_chunks()
    stored = _stored(tx, schema, keys, batch)
    candidates = _candidates(tx, schema, rows, stored, batch)
    able = np.zeros(rows.num_rows, np.bool_)
    for group in candidates:
        able[group.rows] = group.users.exists & group.targets.exists
    new, orphan = first_of_each(keys.dictionary_encode().indices.to_numpy(), stored, able)
    for group in candidates:
        _create(tx, schema, rows, (group, new[group.rows]), batch)
    created, orphans = int(new.sum()), np.flatnonzero(orphan)
    return Written(created, rows.num_rows - created - len(orphans), orphans)


def first_of_each(codes: npt.NDArray[np.int32], stored: Mask, able: Mask) -> tuple[Mask, Mask]:
    """Which rows are new and which are orphans, as if they had come one by one.

    Args:
        codes: int32[n], equal for equal keys.
        stored: bool[n], the key is in the store.
        able: bool[n], the key is not in the store and both ends are.

    Returns:
        bool[n] new: the first able row of each key. bool[n] orphan: rows that lack an end and
        whose key was not there yet.
    """
    at = np.flatnonzero(able)
    _, first = np.unique(codes[at], return_index=True)
    new = np.zeros(len(codes), np.bool_)
    new[at[first]] = True
    written_at = np.full(codes.max(initial=-1) + 1, len(codes))
    written_at[codes[new]] = np.flatnonzero(new)
    earlier = written_at[codes] < np.arange(len(codes))
    return new, ~stored & ~able & ~earlier


def _stored(tx: ManagedTransaction, schema: Schema, keys: pa.Array, batch: int) -> Mask:
    found: list[str] = []
    for kind in schema.kind.values():
        names = kind_names(schema, kind)
        if not tx.run(load("neo4j", "count_type", names)).single(strict=True)["number"]:
            continue
        query = load("neo4j", "find_keys", names)
        for part in parts(len(keys), batch):
            values = {"keys": keys[part].to_pylist()}
            found += tx.run(query, values).single(strict=True)["found"]
    return pc.is_in(keys, value_set=pa.array(found, pa.string())).to_numpy(zero_copy_only=False)


def _candidates(
    tx: ManagedTransaction, schema: Schema, rows: pa.Table, stored: Mask, batch: int
) -> list[_Candidates]:
    found: list[_Candidates] = []
    for name, kind in schema.kind.items():
        of_kind = pc.equal(rows["kind"], name).to_numpy()
        at = np.flatnonzero(of_kind & ~stored)
        if not len(at):
            continue
        ends = rows.select(["user", "target"]).take(pa.array(at))
        names = schema.item if kind.to == "item" else schema.category
        users = find_ends(tx, schema.user.label, schema.user.key, ends["user"], batch)
        targets = find_ends(tx, names.label, names.key, ends["target"], batch)
        found.append(_Candidates(kind, at, users, targets))
    return found


def _create(
    tx: ManagedTransaction,
    schema: Schema,
    rows: pa.Table,
    chosen: tuple[_Candidates, Mask],
    batch: int,
) -> None:
    """Create the events of the chosen rows of a group."""
    group, wanted = chosen
    query = load("neo4j", "write_events", kind_names(schema, group.kind))
    at = np.flatnonzero(wanted)
    at = at[np.argsort(group.users.codes[at], kind="stable")]  # the server likes neighbours
    for part in parts(len(at), batch):
        values = _values(rows.take(pa.array(group.rows[at[part]])), group.kind)
        values["users"], values["user"] = _distinct(group.users, at[part])
        values["targets"], values["target"] = _distinct(group.targets, at[part])
        made = tx.run(query, values).consume().counters.relationships_created
        if made != len(at[part]):
            raise StoreError(
                "users or items came or went while their events were written, or an id has two"
                " nodes: nothing was written; make the ids unique and write again"
            )


def _distinct(ends: Ends, at: Rows) -> tuple[list[str | int], list[int]]:
    """The distinct keys of these rows, and each row's position among them."""
    codes, positions = np.unique(ends.codes[at], return_inverse=True)
    return [ends.keys[code] for code in codes.tolist()], positions.tolist()


def _values(rows: pa.Table, kind: Kind) -> dict[str, Any]:
    time = rows["time"]
    if kind.time_unit == "s":
        seconds = pc.divide(time, 1000)
        whole = pc.all(pc.equal(pc.multiply(seconds, 1000), time)).as_py() is not False
        time = seconds if whole else pc.divide(time.cast(pa.float64()), 1000)
    return {
        "key": rows["key"].to_pylist(),
        "time": time.to_pylist(),
        "seq": rows["seq"].to_pylist(),
        "weight": rows["weight"].to_pylist(),
        "datetime": kind.time_unit == "datetime",
    }

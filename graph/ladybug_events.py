"""Events in the embedded store: relationships and, until they are, pending tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from firstedge.graph.cypher import kind_names
from firstedge.graph.ladybug_index import HashIndex, hashes_of
from firstedge.graph.ladybug_link import FEW, Session
from firstedge.graph.ladybug_nodes import Rows, encoded, find_rows, rows_there
from firstedge.graph.ladybug_pending import append, pending_tables
from firstedge.graph.schema import Kind, Schema
from firstedge.graph.store import COLUMNS, Written

# Stored events whose keys are held against given ones at a time, which bounds the memory for it.
_SCAN = 2_000_000

# Up to so many users are sought one by one: each costs a millisecond, and all together a scan.
_ONE_BY_ONE = 20

_EMPTY = COLUMNS["events"].empty_table()
_VALUES = ("time", "seq", "weight", "key")


@dataclass(frozen=True)
class Bounds:
    """Which events to read.

    Attributes:
        users: Ids of users, None for all.
        until: The last time, ms.
        since: The time before the first, ms.
    """

    users: Sequence[str] | None = None
    until: int | None = None
    since: int | None = None

    @property
    def few(self) -> list[str] | None:
        """The users, if they are so few that looking for each is faster than reading all."""
        users = None if self.users is None else list(dict.fromkeys(self.users))
        return users if users is not None and len(users) <= FEW else None

    @property
    def timed(self) -> bool:
        """Whether times matter at all."""
        return self.until is not None or self.since is not None

    @property
    def values(self) -> dict[str, int | bool]:
        """The times as parameters of a query."""
        return {
            "timeless": self.since is None,
            "first": -(2**63) if self.since is None else self.since + 1,
            "last": 2**63 - 1 if self.until is None else self.until,
        }


def write_events(session: Session, schema: Schema, rows: pa.Table) -> Written:
    """Write the events whose ends are there and whose keys are not."""
    sources, targets = _ends(session, schema, rows)
    exists = (sources >= 0) & (targets >= 0)
    fresh = _first_of_key(rows["key"], np.flatnonzero(exists))
    fresh = fresh[~_stored(session, schema, rows["key"].take(pa.array(fresh)))]
    new = rows.take(pa.array(fresh))
    types = {name: kind.type for name, kind in schema.kind.items()}
    codes, kinds = encoded(new["kind"])
    edges = pa.table(
        {
            "type": pa.array([types[kind] for kind in kinds.to_pylist()], pa.string()).take(
                pa.array(codes)
            ),
            "source": sources[fresh],
            "target": targets[fresh],
            **{name: new[name] for name in _VALUES},
        }
    )
    for kind in kinds.to_pylist():
        names = kind_names(schema, schema.kind[kind])
        session.create(names["type"], "create_events", names)
    if len(fresh) > FEW:
        append(session, edges)
    elif len(fresh):
        _insert(session, schema, edges)
    return Written(len(fresh), int(exists.sum()) - len(fresh), np.flatnonzero(~exists))


def _ends(session: Session, schema: Schema, rows: pa.Table) -> tuple[Rows, Rows]:
    """The store's numbers of the events' users and targets, -1 where there is none."""
    sources = find_rows(session, schema.user.label, schema.user.key, rows["user"])
    codes, kinds = encoded(rows["kind"])
    to_item = np.array([schema.kind[kind].to == "item" for kind in kinds.to_pylist()], bool)[codes]
    targets = np.full(rows.num_rows, -1, np.int64)
    for part, names in ((to_item, schema.item), (~to_item, schema.category)):
        ids = rows["target"].filter(pa.array(part))
        targets[part] = find_rows(session, names.label, names.key, ids)
    return sources, targets


def _first_of_key(keys: pa.ChunkedArray, at: Rows) -> Rows:
    """Of the given positions, those at which a key comes first, in order."""
    codes, _ = encoded(keys.take(pa.array(at)))
    _, first = np.unique(codes, return_index=True)
    return at[np.sort(first)]


def _stored(session: Session, schema: Schema, keys: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """bool[n], whether an event of any kind in the Schema has the key.

    Hashes are held against hashes first, for that is fast, and then the keys themselves of those
    that agree: when a file is imported for the first time there are none.
    """
    stored = np.zeros(len(keys), bool)
    if not len(keys):
        return stored
    given = pa.table({"position": np.arange(len(keys)), "key": keys})
    hashes = session.run("hash_keys", values={"rows": given}).sort_by("position")["hash"]
    given = given.append_column("hash", hashes)
    if len(keys) <= FEW:
        positions, _ = _key_index(session, schema).find(hashes_of(hashes))
        given = given.take(pa.array(np.unique(positions)))
    for part in _parts(session, schema) if given.num_rows else ():
        alike = part.alike(session, given)
        if alike.num_rows:
            found = session.run(f"find_{part.file}", part.names, {**part.range, "rows": alike})
            stored[found["position"].to_numpy()] = True
    return stored


def _key_index(session: Session, schema: Schema) -> HashIndex:
    if session.index.keys is None:
        found = [session.run(f"hash_{p.file}", p.names, p.range) for p in _parts(session, schema)]
        hashes = [np.empty(0, np.uint64), *(hashes_of(part["hash"]) for part in found)]
        every = np.concatenate(hashes)
        session.index.keys = HashIndex(every, np.zeros(len(every), np.int64))
    return session.index.keys


@dataclass(frozen=True)
class _Part:
    """A part of the stored events: a pending table, or a kind's relationships of some users."""

    file: str
    names: dict[str, str]
    range: dict[str, int] = field(default_factory=dict)

    def alike(self, session: Session, given: pa.Table) -> pa.Table:
        """The given keys of which a stored one has the hash."""
        hashes = session.run(f"hash_{self.file}", self.names, self.range)["hash"]
        common = hashes.filter(pc.is_in(hashes, value_set=given["hash"].combine_chunks()))
        rows = given.filter(pc.is_in(given["hash"], value_set=common.combine_chunks()))
        return rows.drop_columns("hash")


def _parts(session: Session, schema: Schema) -> Iterator[_Part]:
    for pending in pending_tables(session):
        yield _Part("pending_keys", {"pending": pending})
    for kind in _kinds_there(session, schema).values():
        for first, last in _row_ranges(session, schema, kind):
            range_ = {"first": first, "last": last}
            yield _Part("event_keys", kind_names(schema, kind), range_)


def _row_ranges(session: Session, schema: Schema, kind: Kind) -> Iterator[tuple[int, int]]:
    """Ranges of users that have some 2 million events of the kind each, if all are alike."""
    events = session.number("count_relationships", {"type": kind.type})
    if not events:
        return
    last = session.run("last_row", {"label": schema.user.label})["row"][0].as_py()
    edges = np.linspace(0, last + 1, -(-events // _SCAN) + 1).astype(np.int64).tolist()
    yield from pairwise(edges)


def _kinds_there(session: Session, schema: Schema) -> dict[str, Kind]:
    return {name: kind for name, kind in schema.kind.items() if kind.type in session.tables}


def _insert(session: Session, schema: Schema, edges: pa.Table) -> None:
    for kind in schema.kind.values():
        of_type = edges.filter(pc.equal(edges["type"], kind.type))
        if of_type.num_rows:
            session.run("insert_events", kind_names(schema, kind), {"rows": of_type})
    given = pa.table({"position": np.arange(edges.num_rows), "key": edges["key"]})
    hashes = hashes_of(session.run("hash_keys", values={"rows": given})["hash"])
    _key_index(session, schema).add(hashes, np.zeros(len(hashes), np.int64))


def count_events(session: Session, schema: Schema) -> dict[str, int]:
    """Numbers of events by kind."""
    counts = dict.fromkeys(schema.kind, 0)
    for name, kind in _kinds_there(session, schema).items():
        counts[name] = session.number("count_relationships", {"type": kind.type})
    kinds = {kind.type: name for name, kind in schema.kind.items()}
    for pending in pending_tables(session):
        found = session.run("count_pending", {"pending": pending}).to_pydict()
        for type_, number in zip(found["type"], found["number"], strict=True):
            if type_ in kinds:
                counts[kinds[type_]] += number
    return counts


def read_events(
    session: Session,
    schema: Schema,
    bounds: Bounds,
    progress: Callable[[int], None] | None = None,
) -> pa.Table:
    """Events as `GraphStore.read_events` gives them."""
    parts = [_EMPTY]
    for name, kind in _kinds_there(session, schema).items():
        names = kind_names(schema, kind)
        if bounds.few is None and not bounds.timed:
            edges = session.run("read_all_events", names)  # a condition would cost twice the time
        elif bounds.few is None:
            edges = session.run("read_events", names, bounds.values)
        elif len(bounds.few) <= _ONE_BY_ONE:
            edges = _read_each(session, schema, bounds, names)
        else:
            edges = session.run("read_events_of", names, {**bounds.values, "users": bounds.few})
        parts.append(_with_kind(edges, name))
        if progress is not None:
            progress(sum(part.num_rows for part in parts))
    parts.extend(_read_pending(session, schema, bounds))
    table = pa.concat_tables(parts)
    if bounds.users is not None and bounds.few is None:
        wanted = pa.array(bounds.users, pa.string())
        table = table.filter(pc.is_in(table["user"], value_set=wanted))
    for at, name in enumerate(table.column_names):
        if name in ("user", "target", "kind"):
            table = table.set_column(at, name, table[name].dictionary_encode())
    return table


def _read_each(session: Session, schema: Schema, bounds: Bounds, names: dict[str, str]) -> pa.Table:
    """Relationships of one kind of a few users, each sought by the store's own number."""
    there = rows_there(session, schema.user.label, schema.user.key, bounds.few or ())
    found = [
        session.run("read_events_at", names, {**bounds.values, "row": row})
        for row in there["row"].to_pylist()
    ]
    return pa.concat_tables([_EMPTY.drop_columns("kind"), *found])


def _with_kind(edges: pa.Table, kind: str) -> pa.Table:
    kinds = pa.repeat(pa.scalar(kind, pa.string()), edges.num_rows)
    return edges.append_column("kind", kinds).select(_EMPTY.column_names)


def _read_pending(session: Session, schema: Schema, bounds: Bounds) -> Iterator[pa.Table]:
    users = None
    tables = pending_tables(session)
    if bounds.few is not None and tables:
        ids = pa.array(bounds.few, pa.string())
        users = pa.array(find_rows(session, schema.user.label, schema.user.key, ids))
    for pending in tables:
        edges = session.run("read_pending", {"pending": pending})
        edges = edges.filter(_within(edges, bounds, users))
        for name, kind in schema.kind.items():
            of_type = edges.filter(pc.equal(edges["type"], kind.type))
            if of_type.num_rows:
                yield _with_kind(_with_ids(session, schema, kind, of_type), name)


def _within(edges: pa.Table, bounds: Bounds, users: pa.Array | None) -> pa.ChunkedArray:
    times, values = edges["time"], bounds.values
    inside = pc.and_(pc.greater_equal(times, values["first"]), pc.less_equal(times, values["last"]))
    inside = pc.fill_null(inside, values["timeless"])
    return inside if users is None else pc.and_(inside, pc.is_in(edges["source"], users))


def _with_ids(session: Session, schema: Schema, kind: Kind, edges: pa.Table) -> pa.Table:
    target = schema.item if kind.to == "item" else schema.category
    return pa.table(
        {
            "user": _ids(session, schema.user.label, schema.user.key, edges["source"]),
            "target": _ids(session, target.label, target.key, edges["target"]),
            **{name: edges[name] for name in _VALUES},
        }
    )


def _ids(session: Session, label: str, key: str, rows: pa.ChunkedArray) -> pa.Array:
    """The ids of nodes by the store's own numbers."""
    distinct, codes = np.unique(rows.to_numpy(), return_inverse=True)
    given = pa.table({"position": np.arange(len(distinct)), "row": distinct})
    found = session.run("find_ids", {"label": label, "key": key}, {"rows": given})
    ids = found.sort_by("position")["id"].combine_chunks()
    return ids.take(pa.array(codes))

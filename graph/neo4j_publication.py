"""Writing a publication to Neo4j: a slot is emptied, filled and indexed, then the pointer moves."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from neo4j import ManagedTransaction

from firstedge.graph.cypher import load, node_names
from firstedge.graph.errors import StoreError, StoreUnsupported
from firstedge.graph.neo4j_link import Neo4jLink
from firstedge.graph.neo4j_slots import CONSTRAINTS, SLOTS, Slot, key_indexes
from firstedge.graph.neo4j_write import Ends, find_ends, parts
from firstedge.graph.schema import Schema

Floats = npt.NDArray[np.float32]
Progress = Callable[[str, int, int], None]

OLDEST = (5, 26)
_CELLS = 250_000  # numbers that one query takes: some 2 MB on the wire
_EDGES = 20_000
_LOOKUPS = 10_000
_FOLDER = "neo4j_publish"
_INDEX_SECONDS = 3600.0


@dataclass(frozen=True)
class Model:
    """A model node.

    Attributes:
        slot: Where it is.
        current: Whether queries read it.
        ready: Whether it is whole.
        properties: All that the node holds.
    """

    slot: Slot
    current: bool
    ready: bool
    properties: Mapping[str, Any]

    @property
    def version(self) -> str:
        """The version of the bundle, "" while it is being written."""
        return str(self.properties.get("version", ""))


class Publication:
    """What is published in a database, and one run that changes it.

    Two runs at a time do no harm: every write looks whether the slot is still its own, and the
    run that came first ends with an error.

    Args:
        link: To the database.
        schema: The names in the graph.

    Raises:
        StoreUnsupported: If the server is older than Neo4j 5.26.
    """

    def __init__(self, link: Neo4jLink, schema: Schema, progress: Progress | None = None) -> None:
        if link.version < OLDEST:
            raise StoreUnsupported(
                f"publishing needs Neo4j {OLDEST[0]}.{OLDEST[1]} or later; {link.address.url} is "
                f"{link.version[0]}.{link.version[1]}"
            )
        self._link, self._schema = link, schema
        self._progress = progress or (lambda what, done, total: None)
        self._run = uuid.uuid4().hex

    def models(self) -> list[Model]:
        """What is there, whole or not."""
        query = _query("read_models", {})
        rows = self._link.read(lambda tx: tx.run(query).data())
        return [
            Model(
                Slot(row["model"]["slot"]),
                bool(row["current"]),
                bool(row["model"].get("ready")),
                row["model"],
            )
            for row in rows
        ]

    def current(self) -> Model | None:
        """The model that queries read."""
        return next((model for model in self.models() if model.current), None)

    def prepare(self) -> None:
        """Make keys unique or quick to find, and wait for that.

        The edges of both slots get their names, so that no query warns of the one that is empty.
        """
        for letter in SLOTS:
            self._link.constrain(_query("name_type", {}), {"name": Slot(letter).similar})
        for name, (label, key) in CONSTRAINTS.items():
            self._alone("constrain", {"name": name, "label": label, "key": key})
        for name, (label, key) in key_indexes(self._schema).items():
            self._alone("index_key", {"name": name, "label": label, "key": key})
        self._link.constrain(load("neo4j", "await_indexes", {}))

    def claim(self, slot: Slot) -> None:
        """Make a slot this run's own and take all out of it."""
        values = {"slot": slot.letter, "run": self._run}
        self._link.write(lambda tx: tx.run(_query("claim_slot", {}), values).consume())
        self.clear(slot)

    def join(self, slot: Slot) -> None:
        """Make a whole slot this run's own, to add to it."""
        values = {"slot": slot.letter, "run": self._run}
        self._link.write(lambda tx: tx.run(_query("join_slot", {}), values).consume())

    def clear(self, slot: Slot) -> None:
        """Take all out of a slot but its model node."""
        self._alone("drop_index", {"name": slot.index})
        names = slot.names()
        for label in _labels(self._schema):
            self._alone("clear_nodes", {**names, "label": label})
        self._alone("clear_values", names)
        self._alone("clear_similar", names)

    def find(self, what: str, ids: Sequence[str]) -> Ends:
        """Look ids of users, items or categories up in the graph."""
        label, key = _label_key(self._schema, what)
        column = pa.array(ids, pa.string())
        return self._link.read(lambda tx: find_ends(tx, label, key, column, _LOOKUPS))

    def write_vectors(
        self, slot: Slot, what: str, ends: Ends, vectors: Mapping[str, Floats]
    ) -> int:
        """Write vectors to the nodes that are there.

        Args:
            slot: A slot of this run.
            what: "user", "item" or "category".
            ends: The nodes, n rows.
            vectors: float32[n, dim] by property.

        Returns:
            How many nodes are there.
        """
        label, key = _label_key(self._schema, what)
        query = _query("write_vectors", {"label": label, "key": key})
        at = np.flatnonzero(ends.exists)
        for name, rows in vectors.items():
            for part in parts(len(at), max(1, _CELLS // max(rows.shape[1], 1))):
                ids = [ends.keys[code] for code in ends.codes[at[part]].tolist()]
                values = {"ids": ids, "property": name, "vectors": rows[at[part]].tolist()}
                self._guarded(slot, query, values)
                self._progress(f"{what} vectors", min(part.stop, len(at)), len(at))
        return len(at)

    def write_values(self, slot: Slot, words: Sequence[str], vectors: Floats) -> None:
        """Write profile values, float32[f, d]."""
        query = _query("write_values", slot.names())
        for part in parts(len(words), max(1, _CELLS // max(vectors.shape[1], 1))):
            values = {
                "values": list(words[part]),
                "start": part.start,
                "property": slot.vector,
                "vectors": vectors[part].tolist(),
            }
            self._guarded(slot, query, values)

    def write_edges(self, slot: Slot, ends: Ends, edges: EdgeColumns) -> int:
        """Write the edges between items that are there; returns how many."""
        query = _query("write_similar", {**node_names(self._schema), **slot.names()})
        exists = ends.exists
        at = np.flatnonzero(exists[edges.sources] & exists[edges.targets])
        for part in parts(len(at), _EDGES):
            rows = at[part]
            values: dict[str, Any] = {
                "weight": edges.weights[rows].tolist(),
                "users": edges.users[rows].tolist(),
            }
            for name, column in (("source", edges.sources), ("target", edges.targets)):
                distinct, values[name] = _positions(column[rows])
                values[f"{name}s"] = [ends.keys[ends.codes[row]] for row in distinct]
            self._guarded(slot, query, values, min(part.stop, len(at)), len(rows))
            self._progress("edges", min(part.stop, len(at)), len(at))
        return len(at)

    def index(self, slot: Slot, dim: int) -> None:
        """Build the vector index and wait until it is online.

        Raises:
            StoreError: If it fails, or somebody else's index has its place.
        """
        # Not quantised: the scores of its answers are then those of the model to six digits.
        config = {
            "vector.dimensions": dim,
            "vector.similarity_function": "cosine",
            "vector.quantization.enabled": False,
            "vector.hnsw.m": 32,
            "vector.hnsw.ef_construction": 200,
        }
        names = {**node_names(self._schema), **slot.names()}
        self._link.constrain(_query("index_vectors", names), {"options": {"indexConfig": config}})
        deadline = time.monotonic() + _INDEX_SECONDS
        while time.monotonic() < deadline:
            found = self._indexes(slot)
            if slot.index not in found:
                raise StoreError(
                    f"the index {', '.join(found)} has the place of {slot.index}: drop it, and "
                    "publish again"
                )
            if found[slot.index]["state"] == "ONLINE":
                return
            if found[slot.index]["state"] == "FAILED":
                raise StoreError(f"the index {slot.index}: {found[slot.index]['failureMessage']}")
            time.sleep(0.1)
        raise StoreError(f"the index {slot.index} was not online after {_INDEX_SECONDS:.0f} s")

    def index_fault(self, slot: Slot, dim: int) -> str:
        """What keeps queries from the index of a slot that was published; "" if nothing does.

        Args:
            slot: What is published.
            dim: How many numbers its vectors have.
        """
        found = self._indexes(slot).get(slot.index)
        if found is None:
            return f"the index {slot.index} is gone"
        if found["dimensions"] != dim:
            return (
                f"the index {slot.index} takes vectors of {found['dimensions']} numbers, those of "
                f"the model have {dim}"
            )
        state = found["state"]
        return "" if state == "ONLINE" else f"the index {slot.index} is {state}"

    def _indexes(self, slot: Slot) -> dict[str, dict[str, Any]]:
        """The slot's index and what stands in its place, by name."""
        label = self._schema.item.label
        values = {"name": slot.index, "label": label, "property": slot.vector}
        return {row["name"]: row for row in self._read("index_state", values)}

    def nearest(self, slot: Slot, vector: Sequence[float], candidates: int) -> list[str]:
        """Ids of the items that the index finds for a vector."""
        query = _query("query_index", node_names(self._schema))
        values = {"index": slot.index, "candidates": candidates, "vector": list(vector)}
        return self._link.read(lambda tx: list(tx.run(query, values).single(strict=True)["ids"]))

    def finish(self, slot: Slot, properties: Mapping[str, Any]) -> None:
        """Complete the model node and let the pointer name its slot, in one transaction.

        Raises:
            StoreError: If another run has taken the slot.
        """
        values = {"slot": slot.letter, "run": self._run, "properties": dict(properties)}
        query = _query("move_pointer", {})

        def work(tx: ManagedTransaction) -> None:
            if tx.run(query, values).single(strict=True)["moved"] != 1:
                raise StoreError(_TAKEN)

        self._link.write(work)

    def turn(self, slot: Slot) -> str:
        """Let the pointer name a slot that is whole; the version there.

        Raises:
            StoreError: If there is none.
        """
        query = _query("turn_pointer", {})

        def work(tx: ManagedTransaction) -> str:
            found = tx.run(query, {"slot": slot.letter}).single()
            if found is None:
                raise StoreError("there is no version before this one to go back to")
            return str(found["version"])

        return self._link.write(work)

    def published(self, slot: Slot) -> set[str]:
        """Ids of the items that have a vector."""
        names = {**node_names(self._schema), **slot.names()}
        return {row["id"] for row in self._read("read_published", {}, names)}

    def remove(self) -> None:
        """Take every trace of publishing out of the database.

        The pointer goes first, so that nobody reads what is half gone.
        """
        self._alone("delete_nodes", {})
        for letter in SLOTS:
            self.clear(Slot(letter))
        for name in key_indexes(self._schema):
            self._alone("drop_index", {"name": name})
        for name in CONSTRAINTS:
            self._alone("drop_constraint", {"name": name})

    def _guarded(
        self, slot: Slot, query: str, values: Mapping[str, Any], edges: int = 0, new: int = 0
    ) -> None:
        """Run a query in a transaction that holds the slot.

        With ``edges``, how many there are afterwards, of which ``new`` are made: a transaction
        that is run again, because the answer to its commit was lost, makes them once only.
        """

        def work(tx: ManagedTransaction) -> None:
            held = {"slot": slot.letter, "run": self._run}
            found = tx.run(_query("fence", {}), held).single()
            if found is None or not found["ours"]:
                raise StoreError(_TAKEN)
            if edges and found["edges"] >= edges:
                return
            counters = tx.run(query, dict(values)).consume().counters
            if edges and counters.relationships_created != new:
                raise StoreError("items went while their edges were written: publish again")
            if edges:
                marked = {"slot": slot.letter, "edges": edges}
                tx.run(_query("mark_edges", {}), marked).consume()

        self._link.write(work)

    def _read(
        self, file: str, values: Mapping[str, Any], names: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        query = _query(file, names or {})
        return self._link.read(lambda tx: tx.run(query, dict(values)).data())

    def _alone(self, file: str, names: Mapping[str, str]) -> None:
        self._link.constrain(_query(file, names))


@dataclass(frozen=True)
class EdgeColumns:
    """Edges between items as columns of one length.

    Attributes:
        sources: int64[n], rows of items.
        targets: int64[n].
        weights: float32[n].
        users: int64[n], how many users have both.
    """

    sources: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    weights: Floats
    users: npt.NDArray[np.int64]


_TAKEN = "another run of publish took this slot over: wait for it, or publish again"


def _query(file: str, names: Mapping[str, str]) -> str:
    return load(_FOLDER, file, names)


def _labels(schema: Schema) -> tuple[str, ...]:
    return (schema.user.label, schema.item.label, schema.category.label)


def _label_key(schema: Schema, what: str) -> tuple[str, str]:
    return key_indexes(schema)[f"firstedge_{what}_key"]


def _positions(column: npt.NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """The distinct values, and each one's position among them."""
    distinct, at = np.unique(column, return_inverse=True)
    return distinct.tolist(), at.tolist()

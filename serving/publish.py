"""A bundle into a Neo4j database, where a plain Cypher query then ranks as the library does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import BundleError, SettingsError, StoreError
from firstedge.graph.histories import kind_weights
from firstedge.graph.neo4j_publication import EdgeColumns, Model, Progress, Publication
from firstedge.graph.neo4j_slots import Slot
from firstedge.graph.neo4j_store import Neo4jStore
from firstedge.graph.schema import Schema
from firstedge.graph.store import GraphStore
from firstedge.models.bundle import Bundle
from firstedge.models.fold import BLOCKS, Space
from firstedge.models.scorer import Scorer
from firstedge.serving.calibration import Calibration, calibrate
from firstedge.serving.reading import default_kind
from firstedge.serving.store_users import read_users

Floats = npt.NDArray[np.float32]

_TOLD = ("firstedge", "users", "events", "kshot", "updated_fingerprint")  # of Bundle.about


@dataclass(frozen=True)
class PublishOptions:
    """How to publish.

    Attributes:
        users: Whether to write the vectors of all users of the store too.
        items: Whether to add the items that are not published yet, and nothing else.
        strangers: How many strangers are asked to find how far the index must look.
        seed: Of these.
        progress: Called with what is written, how much of it is done and how much there is.
    """

    users: bool = False
    items: bool = False
    strangers: int = 200
    seed: int = 0
    progress: Progress | None = None


@dataclass(frozen=True)
class Published:
    """What a run of publishing did.

    Attributes:
        version: Of the bundle that queries now read.
        slot: "a" or "b".
        changed: Whether anything was written.
        items: Items that have a vector now, or new ones with `PublishOptions.items`.
        categories: Categories that have one.
        profile_values: Profile values.
        edges: Edges between items.
        users: Users that have a vector.
        candidates: How many items a query asks of the index.
        skipped: What is in the bundle and not in the graph, counted.
    """

    version: str
    slot: str
    changed: bool = True
    items: int = 0
    categories: int = 0
    profile_values: int = 0
    edges: int = 0
    users: int = 0
    candidates: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "skipped": dict(self.skipped)}


def publish(
    store: GraphStore,
    bundle: Bundle,
    version: str = "",
    options: PublishOptions | None = None,
) -> Published:
    """Write a bundle into the graph and let queries read it.

    The slot that is not read is filled; then one small transaction moves the pointer. A run that
    was cut off changes nothing that is read, and the next one begins anew. A version that is read
    already is not written again, unless its index is gone or was made for other vectors.

    Args:
        store: A Neo4j store, opened under the bundle's Schema.
        bundle: The trained model.
        version: What to call it; a digest of its arrays if empty.
        options: How.

    Raises:
        SettingsError: If the store is not in Neo4j.
        BundleError: If the model is too wide for an index, or new items do not fit the old ones.
        StoreError: If another run of publishing took over, new items find no index that takes
            them, or the server fails.
        StoreUnsupported: If the server is older than Neo4j 5.26.
    """
    options = options or PublishOptions()
    publication = open_publication(store, bundle.schema, options.progress)
    version = version or digest(bundle)
    current = publication.current()
    if options.items:
        return _add_items(publication, bundle, version, current)
    if current is not None and current.version == version and not options.users:
        fault = publication.index_fault(current.slot, space_of(current).dim)
        if not fault:
            return Published(version, current.slot.letter, changed=False)
    slot = current.slot.other if current is not None else Slot("a")
    publication.prepare()
    publication.claim(slot)
    space = Space.of(bundle)
    counts = _write(publication, slot, bundle, space)
    if options.users:
        counts["users"] = _write_users(publication, slot, bundle, store)
    publication.index(slot, space.dim)
    found = calibrate(publication, slot, bundle, space, options.strangers, options.seed)
    publication.finish(slot, _properties(bundle, version, slot, space, found))
    skipped = {
        name: lost
        for name, lost in (
            ("items", len(bundle.items) - counts["items"]),
            ("categories", len(bundle.categories) - counts["categories"]),
        )
        if lost
    }
    return Published(
        version,
        slot.letter,
        items=counts["items"],
        categories=counts["categories"],
        profile_values=len(bundle.profile_values),
        edges=counts["edges"],
        users=counts.get("users", 0),
        candidates=found.candidates,
        skipped=skipped,
    )


def roll_back(store: GraphStore, schema: Schema) -> str:
    """Let queries read the version before; that version.

    Raises:
        StoreError: If there is none: nothing was published before, or the next is being written.
            Or if its index is gone.
    """
    publication = open_publication(store, schema)
    current = publication.current()
    if current is None:
        raise StoreError(f"nothing is published in {store.url}")
    slot = current.slot.other
    before = next((one for one in publication.models() if one.slot == slot and one.ready), None)
    if before and (fault := publication.index_fault(slot, space_of(before).dim)):
        raise StoreError(f"{fault}: publish that version again")
    return publication.turn(slot)


def unpublish(store: GraphStore, schema: Schema) -> None:
    """Take every trace of publishing out of the graph."""
    open_publication(store, schema).remove()


def open_publication(
    store: GraphStore, schema: Schema, progress: Progress | None = None
) -> Publication:
    """The publication of a store.

    Raises:
        SettingsError: If the store is not in Neo4j.
    """
    if not isinstance(store, Neo4jStore):
        raise SettingsError(
            f"publishing goes to Neo4j, got {store.url}: pass neo4j://host:port/database"
        )
    return Publication(store.link, schema, progress)


def digest(bundle: Bundle) -> str:
    """A name for a bundle that was not saved: 32 hexadecimal digits of all that scores."""
    total = hashlib.sha256(bundle.schema.model_dump_json().encode())
    total.update(json.dumps([asdict(bundle.coefficients), bundle.items.ids]).encode())
    for name, array in bundle.arrays().items():
        total.update(name.encode() + np.ascontiguousarray(array).tobytes())
    for edges in (bundle.edges, bundle.category_lifts, bundle.profile_lifts):
        for array in (edges.offsets, edges.targets, edges.weights):
            total.update(array.tobytes())
    return total.hexdigest()[:32]


def _write(publication: Publication, slot: Slot, bundle: Bundle, space: Space) -> dict[str, int]:
    n, inputs = len(bundle.items), space.inputs(bundle)
    items = publication.find("item", bundle.items.ids)
    vectors = {slot.vector: space.outputs(bundle), slot.input: inputs[:n]}
    num_items = publication.write_vectors(slot, "item", items, vectors)
    categories = publication.find("category", bundle.categories.ids)
    num_categories = publication.write_vectors(
        slot, "category", categories, {slot.input: inputs[n:]}
    )
    publication.write_values(slot, bundle.profile_values.ids, space.profile_vectors(bundle))
    return {
        "items": num_items,
        "categories": num_categories,
        "edges": publication.write_edges(slot, items, _edge_columns(bundle)),
    }


def _write_users(publication: Publication, slot: Slot, bundle: Bundle, store: GraphStore) -> int:
    known = read_users(store, bundle)
    vectors = Scorer(bundle).embed_users(known.users)
    ends = publication.find("user", known.ids.ids)
    return publication.write_vectors(slot, "user", ends, {slot.vector: vectors})


def _add_items(
    publication: Publication, bundle: Bundle, version: str, current: Model | None
) -> Published:
    """Give vectors to the items that have none, in the space that is published.

    Raises:
        BundleError: If nothing is published, or the bundle's net is another one.
    """
    if current is None or current.properties.get("net_digest") != net_digest(bundle):
        raise BundleError(
            "new items can join what is published from the same trained net only (`firstedge "
            "update` keeps it): publish the whole model"
        )
    slot, space = current.slot, space_of(current)
    if fault := publication.index_fault(slot, space.dim):
        raise StoreError(f"{fault}: publish the whole model")
    publication.join(slot)
    there = publication.published(slot)
    new = np.array([id_ not in there for id_ in bundle.items.ids], np.bool_)
    rows = np.flatnonzero(new)
    ids = [bundle.items.ids[row] for row in rows]
    ends = publication.find("item", ids)
    vectors = {
        slot.input: space.inputs(bundle)[: len(bundle.items)][rows],
        slot.vector: space.outputs(bundle, rows),
    }
    written = publication.write_vectors(slot, "item", ends, vectors)
    lost = len(ids) - written
    return Published(
        current.version,
        slot.letter,
        changed=bool(written),
        items=written,
        candidates=int(current.properties["candidates"]),
        skipped={"items": lost} if lost else {},
    )


def _edge_columns(bundle: Bundle) -> EdgeColumns:
    edges = bundle.edges
    sources = np.repeat(np.arange(len(bundle.items)), np.diff(edges.offsets))
    return EdgeColumns(
        sources, edges.targets.astype(np.int64), edges.weights, edges.counts.astype(np.int64)
    )


def net_digest(bundle: Bundle) -> str:
    """What new items must share with those that are published: all but the items."""
    n = len(bundle.items)
    names = [asdict(bundle.coefficients), bundle.categories.ids, bundle.profile_values.ids]
    total = hashlib.sha256(json.dumps(names).encode())
    for array in (bundle.c, bundle.s, bundle.kind, bundle.recency, bundle.profile, bundle.v[n:]):
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:32]


def space_of(model: Model) -> Space:
    """The space of what is published.

    Raises:
        StoreError: If an older firstedge published it, in other blocks.
    """
    p = model.properties
    if len(p["widths"]) != BLOCKS:
        raise StoreError("what is published is of an older firstedge: publish the whole model")
    net, category, profile, static = p["widths"]
    return Space(
        np.array(p["columns"], np.int64),
        (net, category, profile, static),
        np.array(p["scales"]),
        np.array(p["centre"]),
    )


def _properties(
    bundle: Bundle, version: str, slot: Slot, space: Space, calibration: Calibration
) -> dict[str, Any]:
    """What the model node holds: for queries, for people, and for the next run."""
    kinds = list(bundle.schema.kind.values())
    names = list(bundle.schema.kind)
    closers = [at for at, kind in enumerate(kinds) if kind.cancels is not None]
    return {
        **space.constants(bundle),
        "version": version,
        "items": len(bundle.items),
        "fingerprint": str(bundle.about.get("fingerprint", "")),
        **{f"about_{name}": bundle.about[name] for name in _TOLD if name in bundle.about},
        "net_digest": net_digest(bundle),
        "vector": slot.vector,
        "input": slot.input,
        "column": slot.column,
        "similar": slot.similar,
        "index": slot.index,
        "candidates": calibration.candidates,
        "calibration": [
            f"{missed} of {calibration.strangers} lists missed an item with {asked} candidates"
            for asked, missed in calibration.missed.items()
        ],
        "columns": space.columns.tolist(),
        "widths": list(space.widths),
        "scales": space.scales.tolist(),
        "profile_fields": list(bundle.schema.user.profile),
        "available": bundle.schema.item.available or "",
        "default_kind": default_kind(bundle.schema, "item") or 0,
        "types": [kind.type for kind in kinds],
        "to_category": [kind.to == "category" for kind in kinds],
        "weights": [float(weight) for weight in kind_weights(bundle.schema)],
        "times": [kind.time for kind in kinds],
        "units": [kind.time_unit for kind in kinds],
        "seqs": [kind.seq for kind in kinds],
        "event_weights": [kind.event_weight for kind in kinds],
        "closing": closers,
        "closed": [names.index(str(kinds[at].cancels)) for at in closers],
        **{f"coefficient_{name}": value for name, value in asdict(bundle.coefficients).items()},
    }

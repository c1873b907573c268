"""A shop at one moment as arrays: what is learned from."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from firstedge.graph.histories import NO_TIME, Histories
from firstedge.graph.schema import Schema
from firstedge.graph.store import GraphStore
from firstedge.graph.text import TextEncoder
from firstedge.graph.vocabulary import Vocabulary
from firstedge.loaders.columns import flat
from firstedge.loaders.digest import Digest
from firstedge.loaders.refresh import join, older_events, read_since
from firstedge.loaders.rows import Rows, aligned, read_profiles
from firstedge.loaders.template import format_texts
from firstedge.loaders.tree import primary_categories, tree_depths

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Texts:
    """What the Schema's templates give; a text without a word is empty.

    Attributes:
        users: A text of each user.
        items: A text of each item, for the encoder.
        titles: A title of each item, for people; its id where the template gives none.
        categories: A name of each category.
    """

    users: tuple[str, ...]
    items: tuple[str, ...]
    titles: tuple[str, ...]
    categories: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A shop at one moment: n items, m categories.

    Rows follow the vocabularies, which are sorted: the same shop gives the same arrays, whatever
    order it was written or read in.

    Attributes:
        schema: The names it was read under.
        users: Vocabulary of users.
        items: Vocabulary of the n items.
        categories: Vocabulary of the m categories.
        histories: All events of all kinds, as they were: use `Histories.speaking` before learning.
        user_properties: The users' rows as stored, ``id`` and the Schema's user fields.
        item_properties: The items' rows as stored, ``id`` and the Schema's item fields.
        memberships: float32[n, m], 1 where an item is in a category.
        parents: int64[m], the row of each category's parent, -1 for a root.
        derived: bool[m], categories that `categorize` made.
        primary: int64[n], an item's deepest category, of several the first; -1 for none.
        profile_values: Vocabulary of ``"field=value"``, f of them.
        profiles: float32[num_users, f], 1 where a user has the value.
        texts: Templates of the Schema, formatted.
        user_text: float32[num_users, t], unit vectors of the users' texts; t = 0 without an
            encoder or without a template for users.
        item_text: float32[n, t], unit vectors of the items' texts; t = 0 without an encoder.
        category_text: float32[m, t], unit vectors of the categories' names.
        encoder: Name of the text encoder, "" for none.
        as_of: Milliseconds since 1970 UTC: nothing later is in here. None if no event has a time.
        skipped: What could not be used, counted by reason.
    """

    schema: Schema
    users: Vocabulary
    items: Vocabulary
    categories: Vocabulary
    histories: Histories
    user_properties: pa.Table
    item_properties: pa.Table
    memberships: sparse.csr_array
    parents: Ints
    derived: npt.NDArray[np.bool_]
    primary: Ints
    profile_values: Vocabulary
    profiles: sparse.csr_array
    texts: Texts
    user_text: Floats
    item_text: Floats
    category_text: Floats
    encoder: str = ""
    as_of: int | None = None
    skipped: dict[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        moment = "" if self.as_of is None else f", as of {np.datetime64(self.as_of, 'ms')} UTC"
        return (
            f"Snapshot({len(self.users):,} users, {len(self.items):,} items, "
            f"{len(self.categories):,} categories, {len(self.histories.targets):,} events{moment})"
        )

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the content: the Schema, what was read, and the name of the text encoder."""
        digest = Digest()
        digest.add_text("schema", self.schema.model_dump_json())
        digest.add_text("encoder", self.encoder)
        digest.add_table("users", self.user_properties)
        digest.add_table("items", self.item_properties)
        digest.add_texts("categories", self.categories)
        digest.add_texts("category names", self.texts.categories)
        digest.add_array("parents", self.parents)
        digest.add_array("derived", self.derived)
        digest.add_array("members", self.memberships.indptr.astype(np.int64))
        digest.add_array("memberships", self.memberships.indices.astype(np.int64))
        for name in ("offsets", "targets", "kinds", "times", "weights"):
            digest.add_array(name, getattr(self.histories, name))
        return digest.hexdigest()

    def hetero(self) -> HeteroData:
        """The same as a graph for PyG, see `firstedge.loaders.hetero.build_hetero`.

        Raises:
            MissingDependency: If torch or torch_geometric is not installed.
        """
        from firstedge.loaders.hetero import build_hetero

        return build_hetero(self)


def read_snapshot(
    store: GraphStore,
    until: int | None = None,
    encoder: TextEncoder | None = None,
    earlier: Snapshot | None = None,
    progress: Callable[[int], None] | None = None,
) -> Snapshot:
    """Read all of a shop, or what came since an earlier snapshot.

    Events go first, so that whatever they refer to is read after them.

    Args:
        store: The shop's graph.
        until: Only events up to this time, in milliseconds since 1970 UTC, and those without a
            time. If None, up to the moment when reading begins: an event that comes in meanwhile,
            or has a later time, is skipped and counted.
        encoder: Turns texts into vectors; if None, the snapshot has none.
        earlier: A snapshot of the same shop, which is then not read again: only events since its
            latest, and nodes, which may have changed. The same arrays come out, as long as no
            event is altered; where the store's counts of events do not add up, all are read.
        progress: Called now and then with the number of events read so far.

    Raises:
        DataError: If the category tree has a cycle.
        StoreUnavailable: If the store goes away meanwhile.
    """
    limit = time.time_ns() // 1_000_000 if until is None else until
    since = read_since(store, earlier, limit, progress) if earlier else None
    table = since if since is not None else store.read_events(until=until, progress=progress)
    if until is not None:  # what is later was not asked for, and is not counted
        table = table.filter(pc.fill_null(pc.less_equal(table["time"], until), True))
    schema, skipped = store.schema, Counter[str]()
    users, user_table = aligned(store.read("users"), "user", skipped)
    items, item_table = aligned(store.read("items"), "item", skipped)
    categories, category_table = aligned(store.read("categories"), "category", skipped)
    rows = Rows(users, items, categories, skipped)
    parents = rows.parents(category_table)
    depths = tree_depths(parents, categories)
    members = rows.memberships(store.read("item_categories"))
    items_of, categories_of = members.nonzero()
    events = rows.events(table, schema, limit)
    if earlier is not None and since is not None:
        older = older_events(earlier, rows)
        if older is None:
            return read_snapshot(store, until, encoder, None, progress)
        events = join(older, events)
    histories = Histories.of(events, len(users), len(items))
    values, profiles = read_profiles(user_table, schema.user)
    texts = _texts(schema, user_table, item_table, category_table)
    return Snapshot(
        schema=schema,
        users=users,
        items=items,
        categories=categories,
        histories=histories,
        user_properties=user_table,
        item_properties=item_table,
        memberships=members,
        parents=parents,
        derived=pc.fill_null(flat(category_table["derived"]), False).to_numpy(zero_copy_only=False),
        primary=primary_categories(items_of, categories_of, depths, len(items)),
        profile_values=values,
        profiles=profiles,
        texts=texts,
        user_text=_encoded(encoder if schema.user.text else None, texts.users),
        item_text=_encoded(encoder, texts.items),
        category_text=_encoded(encoder, texts.categories),
        encoder=encoder.name if encoder else "",
        as_of=_latest(histories) if until is None else until,
        skipped=dict(skipped),
    )


def encode_texts(snapshot: Snapshot, encoder: TextEncoder | None) -> Snapshot:
    """The same shop with its texts read by another encoder, or by none."""
    return replace(
        snapshot,
        user_text=_encoded(encoder if snapshot.schema.user.text else None, snapshot.texts.users),
        item_text=_encoded(encoder, snapshot.texts.items),
        category_text=_encoded(encoder, snapshot.texts.categories),
        encoder=encoder.name if encoder else "",
    )


def _texts(schema: Schema, users: pa.Table, items: pa.Table, categories: pa.Table) -> Texts:
    titles = pa.array(format_texts(schema.item.title, items), pa.string())
    named = pc.fill_null(flat(categories["name"]), "")
    return Texts(
        users=format_texts(schema.user.text, users),
        items=format_texts(schema.item.text or schema.item.title, items),
        titles=_else_id(titles, items),
        categories=_else_id(named, categories),
    )


def _else_id(texts: pa.Array, table: pa.Table) -> tuple[str, ...]:
    """Texts, with the id where there is none."""
    return tuple(pc.if_else(pc.equal(texts, ""), flat(table["id"]), texts).to_pylist())


def _encoded(encoder: TextEncoder | None, texts: tuple[str, ...]) -> Floats:
    return encoder.encode(texts) if encoder else np.empty((len(texts), 0), np.float32)


def _latest(histories: Histories) -> int | None:
    latest = int(histories.times.max(initial=NO_TIME))
    return None if latest == NO_TIME else latest

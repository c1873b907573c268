"""A neighbourhood of the graph for people who look, as a networkx graph."""

from __future__ import annotations

import string
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from firstedge.graph.errors import MissingDependency, UnknownId
from firstedge.graph.store import GraphStore

if TYPE_CHECKING:
    import networkx as nx

Node = tuple[str, str]  # what it is (user, item, category), and its id
Edge = tuple[Node, Node, dict[str, Any]]


def neighbourhood(
    store: GraphStore, id_: str, hops: int = 2, limit: int = 200
) -> nx.MultiDiGraph[Node]:
    """What is near a user, an item or a category.

    It reads the whole store, so it is for looking and not for serving.

    Args:
        store: Where the graph is.
        id_: The id of a user, an item or a category; of all of them, if several have it.
        hops: How far to go.
        limit: The most nodes to give; near ones first, and of equally near ones those with the
            most edges to what is there already.

    Returns:
        Nodes are pairs of what they are (``"user"``, ``"item"``, ``"category"``) and their id,
        with the attributes ``node`` and ``title``. Edges have the attributes ``kind`` (of the
        event, or ``"member"`` or ``"parent"``), ``time`` (ms since 1970 UTC, or None) and
        ``weight`` (or None).

    Raises:
        UnknownId: If nothing in the store has the id.
        MissingDependency: If networkx is not installed.
        ValueError: If `hops` is negative or `limit` is not positive.
    """
    if hops < 0 or limit < 1:
        raise ValueError(f"hops must be 0 or more and limit 1 or more, got {hops} and {limit}")
    try:
        import networkx as nx
    except ImportError:
        raise MissingDependency("networkx", "a view of the graph", "train") from None
    titles = _titles(store)
    start = [node for node in titles if node[1] == id_]
    if not start:
        raise UnknownId(f"no user, item or category has the id {id_!r}")
    edges = list(chain(_events(store), _ties(store)))
    near = _near(start, edges, hops, limit)
    view: nx.MultiDiGraph[Node] = nx.MultiDiGraph()
    view.add_nodes_from((node, {"node": node[0], "title": titles.get(node)}) for node in near)
    view.add_edges_from(edge for edge in edges if edge[0] in near and edge[1] in near)
    return view


def _titles(store: GraphStore) -> dict[Node, str | None]:
    """Every node, with the title of those that have one."""
    template = store.schema.item.title
    users = dict.fromkeys(("user", id_) for id_ in store.read("users")["id"].to_pylist())
    items = {
        ("item", row["id"]): _title(template, row) if template else None
        for row in store.read("items").to_pylist()
    }
    rows = store.read("categories").to_pylist()
    categories = {("category", row["id"]): row["name"] for row in rows}
    return {**users, **items, **categories}


def _title(template: str, row: dict[str, Any]) -> str:
    given = {name: "" if value is None else value for name, value in row.items()}
    return string.Formatter().vformat(template, (), given)


def _events(store: GraphStore) -> Iterator[Edge]:
    columns = ["user", "target", "kind", "time", "weight"]
    table = store.read_events().select(columns)
    for user, target, kind, time, weight in _rows(table):
        attributes = {"kind": kind, "time": time, "weight": weight}
        yield ("user", user), (store.schema.kind[kind].to, target), attributes


def _ties(store: GraphStore) -> Iterator[Edge]:
    nothing = {"time": None, "weight": None}
    for item, category in _rows(store.read("item_categories")):
        yield ("item", item), ("category", category), {"kind": "member", **nothing}
    for child, parent in _rows(store.read("categories").select(["id", "parent"])):
        if parent is not None:
            yield ("category", child), ("category", parent), {"kind": "parent", **nothing}


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _near(start: list[Node], edges: Iterable[Edge], hops: int, limit: int) -> set[Node]:
    """The nodes within some hops, whichever way the edges go."""
    beside: dict[Node, list[Node]] = defaultdict(list)
    for source, target, _ in edges:
        beside[source].append(target)
        beside[target].append(source)
    near = set(start[:limit])
    ring = list(near)
    for _ in range(hops):
        ties: dict[Node, int] = defaultdict(int)
        for node in chain.from_iterable(beside[node] for node in ring):
            if node not in near:
                ties[node] += 1
        ring = sorted(ties, key=lambda node: (-ties[node], node))[: limit - len(near)]
        near.update(ring)
    return near

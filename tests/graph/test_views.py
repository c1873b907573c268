from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest
from contracts.graph_store import categories, event, events, items, members, users

from firstedge.graph.errors import MissingDependency, UnknownId
from firstedge.graph.ladybug_store import LadybugStore
from firstedge.graph.schema import ItemNames, Schema
from firstedge.graph.store import GraphStore
from firstedge.graph.views import neighbourhood


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GraphStore]:
    """u1 - mug - u2 - pot, both in c1 below c0; u3 - pan, by themselves; u2 follows c1."""
    schema = Schema(item=ItemNames(title="{title}"))
    with LadybugStore(tmp_path / "shop.lbug", schema) as store:
        store.write("users", users("u1", "u2", "u3"))
        store.write("items", items("mug", "pot", "pan", title=["A mug", "A pot", None]))
        store.write("categories", categories(("c0", None), ("c1", "c0")))
        store.write("item_categories", members(("mug", "c1"), ("pot", "c1")))
        rows = [
            event("u1", "mug", "k1", time=1, weight=2.0),
            event("u1", "mug", "k2", time=2, kind="view"),
            event("u2", "mug", "k3"),
            event("u2", "pot", "k4"),
            event("u3", "pan", "k5"),
            event("u2", "c1", "k6", kind="interest"),
        ]
        store.write("events", events(*rows))
        yield store


def test_a_user_and_what_they_touched(store: GraphStore) -> None:
    view = neighbourhood(store, "u1", hops=1)
    assert isinstance(view, nx.MultiDiGraph)
    assert dict(view.nodes(data=True)) == {
        ("user", "u1"): {"node": "user", "title": None},
        ("item", "mug"): {"node": "item", "title": "A mug"},
    }
    edges = [data for *_, data in view.edges(data=True)]
    assert sorted(edges, key=lambda edge: edge["time"]) == [
        {"kind": "purchase", "time": 1, "weight": 2.0},
        {"kind": "view", "time": 2, "weight": None},
    ]


def test_hops_go_both_ways(store: GraphStore) -> None:
    assert set(neighbourhood(store, "u1", hops=0)) == {("user", "u1")}
    assert set(neighbourhood(store, "u1")) == {
        ("user", "u1"),
        ("item", "mug"),
        ("user", "u2"),
        ("category", "c1"),
    }
    third = neighbourhood(store, "u1", hops=3)
    assert set(third) - set(neighbourhood(store, "u1")) == {("item", "pot"), ("category", "c0")}
    assert ("user", "u3") not in neighbourhood(store, "u1", hops=9)


def test_categories_and_items_are_places_to_start(store: GraphStore) -> None:
    view = neighbourhood(store, "c1", hops=1)
    assert view.nodes["category", "c1"]["title"] == "C1"
    kinds = {(source[1], target[1]): kind for source, target, kind in view.edges(data="kind")}
    assert kinds == {
        ("mug", "c1"): "member",
        ("pot", "c1"): "member",
        ("c1", "c0"): "parent",
        ("u2", "c1"): "interest",
        ("u2", "mug"): "purchase",
        ("u2", "pot"): "purchase",
    }
    assert neighbourhood(store, "pan", hops=1).nodes["item", "pan"]["title"] == ""


def test_the_limit_keeps_the_nearest_and_the_most_tied(store: GraphStore) -> None:
    assert set(neighbourhood(store, "pot", hops=1, limit=2)) == {
        ("item", "pot"),
        ("category", "c1"),
    }
    view = neighbourhood(store, "c1", hops=2, limit=5)
    assert view.number_of_nodes() == 5
    assert ("user", "u1") not in view
    assert neighbourhood(store, "u1", limit=1).number_of_nodes() == 1


def test_what_is_not_there(store: GraphStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownId, match="'nobody'"):
        neighbourhood(store, "nobody")
    with pytest.raises(ValueError, match="hops"):
        neighbourhood(store, "u1", hops=-1)
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(MissingDependency, match=r"networkx.*pip install"):
        neighbourhood(store, "u1")

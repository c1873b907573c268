"""A shop so small that every score can be worked out by hand.

Five items in a tree of categories; one dimension; every number is a short decimal.

    home ─┬─ kitchen: cup (red), pan        garden: rake, seed (gone)       none: gift
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from firstedge.graph.schema import Schema
from firstedge.graph.vocabulary import Vocabulary
from firstedge.models.bundle import Bundle, Coefficients, ItemTable
from firstedge.models.edges import Edges

ITEMS = ("cup", "gift", "pan", "rake", "seed")
CATEGORIES = ("garden", "home", "kitchen")


def tiny_bundle(**changes: Any) -> Bundle:
    """The shop's bundle: S(cup, pan) = 2 by 7 users, S(cup, seed) = 1, UK likes rakes by 0.5."""
    together = np.zeros((5, 5))
    together[0, 2], together[0, 4] = 2, 1
    users = np.zeros((5, 5))
    users[0, 2] = 7
    members = np.zeros((5, 3))
    members[0, 2] = members[2, 2] = members[3, 0] = members[4, 0] = 1
    lifts = np.zeros((3, 3))
    lifts[0, 0] = lifts[2, 2] = 0.25
    schema = Schema.parse('[user]\nprofile = ["country"]')
    parts: dict[str, Any] = {
        "items": Vocabulary(ITEMS),
        "categories": Vocabulary(CATEGORIES, "category"),
        "profile_values": Vocabulary(("country=UK",), "profile value"),
        "schema": schema,
        "table": tiny_table(members),
        "coefficients": Coefficients(prior=1, category=2, interest=4, profile=1, net=1, repeat=4),
        "prior": np.array([-1, -1.5, -2, -2.5, -3], np.float32),
        "w": np.array([[0], [0], [1], [0], [0]], np.float32),
        "b": np.zeros(5, np.float32),
        "v": np.array([[0], [0], [0], [3], [0], [0], [0], [0]], np.float32),
        "c": np.zeros((2, 1), np.float32),
        "s": np.ones((2, 1), np.float32),
        "kind": np.zeros(len(schema.kind), np.float32),
        "recency": np.log(np.array([1, 0.5], np.float32)),
        "profile": np.zeros((1, 1), np.float32),
        "profile_lifts": Edges.of(sparse.csr_array([[0, 0, 0, 0.5, 0]])),
        "edges": Edges.of(sparse.csr_array(together), sparse.csr_array(users)),
        "category_lifts": Edges.of(sparse.csr_array(lifts)),
        "text_axes": np.zeros((2, 0), np.float32),
        "user_text": np.zeros((2, 1), np.float32),
        "text_w": np.array([[10], [20]], np.float32),
        "text_v": np.zeros((2, 1), np.float32),
        "category_w": np.array([[1], [2], [3]], np.float32),
        "encoder": "letters",
    }
    return Bundle(**{**parts, **changes})


def tiny_table(members: np.ndarray[Any, Any]) -> ItemTable:
    return ItemTable(
        titles=("Cup", "Gift", "Pan", "Rake", "Seed"),
        counts=np.array([90, 50, 30, 20, 10], np.int32),
        available=np.array([True, True, True, True, False]),
        primary=np.array([2, -1, 2, 0, 0], np.int32),
        memberships=Edges.of(sparse.csr_array(members)),
        parents=np.array([-1, -1, 1], np.int32),
        category_names=("Garden", "Home", "Kitchen"),
        properties={
            "price": (3.5, 20.0, 15.0, None, 1.0),
            "colour": ("red", None, "black", "red", "green"),
            "tags": (["new", "sale"], [], ["sale"], None, ["new"]),
            "stock": (1, 2, None, 2, 0),
        },
    )


class Letters:
    """A text encoder that counts: the share of a's and of other characters."""

    name = "letters"
    dim = 2

    def encode(self, texts: Any) -> np.ndarray[Any, Any]:
        rows = [(text.count("a"), len(text) - text.count("a")) for text in texts]
        vectors = np.array(rows, np.float32).reshape(-1, 2)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

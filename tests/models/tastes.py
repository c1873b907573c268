"""A shop whose truth is known: every user and every item has one of a few tastes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy import sparse

from firstedge.graph.histories import Events, Histories
from firstedge.graph.schema import Schema
from firstedge.graph.vocabulary import Vocabulary
from firstedge.loaders.snapshot import Snapshot, Texts

SCHEMA = Schema.parse(
    """
    [user]
    profile = ["city"]
    text = "{about}"
    [item]
    text = "{title}"
    [kind.view]
    type = "VIEWED"
    weight = 0.5
    [kind.buy]
    type = "BOUGHT"
    [kind.follow]
    type = "FOLLOWS"
    to = "category"
    """
)
VIEW, BUY, FOLLOW = range(3)
TASTES, TEXT_DIM = 4, 8


def taste_shop(
    num_users: int = 400, num_items: int = 60, seed: int = 0, user_text: bool = True
) -> Snapshot:
    """Users touch items of their own taste four times in five; texts and cities tell tastes.

    Item j has taste j % TASTES, and so has category j % TASTES; user u has taste u % TASTES. A
    user's city says the taste half of the time, a text always, with noise.
    """
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 16, num_users)
    users = np.repeat(np.arange(num_users), lengths)
    taste = users % TASTES
    own = rng.random(len(users)) < 0.8
    popular = rng.zipf(1.6, len(users)) % (num_items // TASTES)
    items = popular * TASTES + np.where(own, taste, rng.integers(0, TASTES, len(users)))
    kinds = rng.integers(VIEW, BUY + 1, len(users))
    follow = rng.random(len(users)) < 0.05
    events = Events(
        users,
        np.where(follow, num_items + taste, items),
        np.where(follow, FOLLOW, kinds),
        np.arange(len(users)) * 1000,
        np.zeros(len(users), np.int64),
        np.ones(len(users), np.float32),
    )
    told = np.where(rng.random(num_users) < 0.5, np.arange(num_users) % TASTES, TASTES)
    centres = rng.normal(size=(TASTES, TEXT_DIM))
    return Snapshot(
        schema=SCHEMA,
        users=_ids("u", num_users, "user"),
        items=_ids("i", num_items, "item"),
        categories=_ids("c", TASTES, "category"),
        histories=Histories.of(events, num_users, num_items),
        user_properties=pa.table({"id": pa.array([f"u{u:05d}" for u in range(num_users)])}),
        item_properties=pa.table({"id": pa.array([f"i{i:05d}" for i in range(num_items)])}),
        memberships=_one_hot(np.arange(num_items) % TASTES, TASTES),
        parents=np.full(TASTES, -1),
        derived=np.zeros(TASTES, np.bool_),
        primary=np.arange(num_items) % TASTES,
        profile_values=Vocabulary(tuple(f"city={c}" for c in range(TASTES + 1)), "profile value"),
        profiles=_one_hot(told, TASTES + 1),
        texts=Texts(("",) * num_users, ("",) * num_items, ("",) * num_items, ("",) * TASTES),
        user_text=_noisy(centres[np.arange(num_users) % TASTES], rng)[:, : TEXT_DIM * user_text],
        item_text=_noisy(centres[np.arange(num_items) % TASTES], rng),
        category_text=_noisy(centres, rng),
        encoder="known",
    )


def _ids(letter: str, count: int, noun: str) -> Vocabulary:
    return Vocabulary(tuple(f"{letter}{row:05d}" for row in range(count)), noun)


def _one_hot(columns: np.ndarray, width: int) -> sparse.csr_array:
    ones = np.ones(len(columns), np.float32)
    return sparse.csr_array((ones, (np.arange(len(columns)), columns)), (len(columns), width))


def _noisy(centres: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    vectors = centres + 0.3 * rng.normal(size=centres.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

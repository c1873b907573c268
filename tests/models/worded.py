"""A shop where a word of the title says who buys it, and a tiny BERT that does not know the words.

Titles are "<colour> <thing>"; every user buys things of one colour, and says so in a text. A colour
has three names, of which only what is bought together tells that they mean one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from firstedge.graph.store import GraphStore
from tests.loaders.tiny_bert import save_bert
from tests.models.purchases import purchases

SCHEMA = """
[user]
text = "{wish}"
[item]
title = "{title}"
"""
COLOURS = ("red", "blue", "green", "pink", "white", "black", "gold", "grey")
NAMES = tuple(f"{colour}{name}" for colour in COLOURS for name in ("", "ish", "y"))
THINGS = tuple(f"thing{row}" for row in range(30))
# Item j is of colour j % 8, and so is what user j buys.
TITLES = tuple(
    f"{NAMES[3 * colour + number % 3]} {thing}"
    for number, thing in enumerate(THINGS)
    for colour in range(len(COLOURS))
)


def write_bert(folder: Path) -> Path:
    """A tiny BERT with a token for every word of the shop."""
    return save_bert(folder, (*NAMES, *THINGS, "something"), 16)


def colours_of(ids: Iterable[str]) -> list[str]:
    """The colours of items or users, by their ids."""
    return [COLOURS[int(id_[1:]) % len(COLOURS)] for id_ in ids]


def fill_store(store: GraphStore, num_users: int = 400, seed: int = 0) -> None:
    """Users buy four to twelve things, nine in ten of their own colour."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 13, num_users)
    users = np.repeat(np.arange(num_users), lengths)
    n = len(users)
    own = rng.random(n) < 0.9
    colours = np.where(own, users % len(COLOURS), rng.integers(0, len(COLOURS), n))
    things = rng.integers(0, len(THINGS), n)
    items = things * len(COLOURS) + colours
    wishes = [f"something {COLOURS[row % len(COLOURS)]}" for row in range(num_users)]
    ids = [f"u{row:03d}" for row in range(num_users)]
    store.write("users", pa.table({"id": ids, "wish": wishes}))
    items_of = [f"i{row:03d}" for row in range(len(TITLES))]
    store.write("items", pa.table({"id": items_of, "title": TITLES}))
    store.write("events", purchases(users, items, "e"))

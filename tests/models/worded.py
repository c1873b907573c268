"""A shop where a word of the title says who buys it, and a tiny BERT that does not know the words.

Titles are "<colour> <thing>"; every user buys things of one colour, and says so in a text. A colour
has three names, of which only what is bought together tells that they mean one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from firstedge.graph.store import GraphStore

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
    """A BERT of two layers with random weights, 16 dimensions, a token for every word."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *NAMES, *THINGS, "something"]
    (folder / "vocab.txt").write_text("\n".join(words), "utf-8")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    BertModel(config).eval().save_pretrained(folder)
    return folder


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
    events = {
        "user": [f"u{row:03d}" for row in users],
        "target": [f"i{row:03d}" for row in items],
        "kind": ["purchase"] * n,
        "time": np.arange(n) * 60_000,
        "seq": np.zeros(n, np.int64),
        "weight": pa.nulls(n, pa.float64()),
        "key": [f"e{row}" for row in range(n)],
    }
    store.write("events", pa.table(events))

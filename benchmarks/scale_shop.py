"""A shop of any size with tails as real ones have: files and the Schema that imports them.

    python benchmarks/scale_shop.py FOLDER --events 1000000

Ten events a user and fifty an item on average. Popularity falls as Zipf's and Mandelbrot's law
says, and stands within categories as it does over all; the number of a user's events is
log-normal, so that half have six or fewer and the busiest have hundreds; a user is at home in one
to three categories, which get most of their events, neighbours in a category follow one another,
and a country says a little of the taste.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Ints = npt.NDArray[np.int64]

SCHEMA = """\
[user]
profile = ["country"]

[item]
title = "{title}"

[[import]]
name = "users"
path = "users.parquet"
users = { id = "user", country = "country" }

[[import]]
name = "items"
path = "items.parquet"
items = { id = "item", title = "title" }
item_categories = { item = "item", names = "category", levels = " > " }

[[import]]
name = "events"
path = "events.parquet"
events = { user = "user", target = "item", time = "time", kind = { column = "kind" } }
"""

EVENTS_A_USER, EVENTS_AN_ITEM = 10, 50
MOST_EVENTS = 1_000  # of one user
HOMES = 3  # categories that a user is at home in, at most
COUNTRIES = 20
SHIFT, SLOPE = 30.0, 1.0  # of Zipf and Mandelbrot: weight = (rank + shift)^-slope
START = 1_600_000_000_000  # ms; everything is over four years later
DAY = 86_400_000
MONTH = 30 * DAY
STAY = 24 * MONTH  # from a user's first event to the last, at most
SLICE = 1_000_000  # events drawn at a time


@dataclass(frozen=True)
class Catalogue:
    """Items, those of a category together, with weights of their popularity.

    Attributes:
        starts: int64[m + 1], where each category's items start.
        ends: float64[n + 1], running sums of the weights.
    """

    starts: Ints
    ends: npt.NDArray[np.float64]

    @classmethod
    def draw(cls, num_items: int, rng: np.random.Generator) -> Catalogue:
        """Categories of uneven size, some 200 items each."""
        num_categories = max(8, num_items // 200)
        shares = rng.dirichlet(np.full(num_categories, 2.0))
        sizes = 1 + rng.multinomial(num_items - num_categories, shares)
        weights = rng.permutation((np.arange(num_items) + SHIFT) ** -SLOPE)
        return cls(
            np.concatenate(([0], np.cumsum(sizes))), np.concatenate(([0.0], np.cumsum(weights)))
        )

    def draw_items(self, categories: Ints, rng: np.random.Generator) -> Ints:
        """An item of each category (-1: of all), by popularity; int64[n]."""
        low = np.where(categories >= 0, self.ends[self.starts[categories]], 0.0)
        high = np.where(categories >= 0, self.ends[self.starts[categories + 1]], self.ends[-1])
        at = low + rng.random(len(categories)) * (high - low)
        return np.clip(np.searchsorted(self.ends, at, "right") - 1, 0, len(self.ends) - 2)


def write_shop(folder: Path, events: int, seed: int = 0) -> None:
    """Write users.parquet, items.parquet, events.parquet and shop.toml."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    num_users, num_items = max(events // EVENTS_A_USER, 1), max(events // EVENTS_AN_ITEM, 40)
    catalogue = Catalogue.draw(num_items, rng)
    num_categories = len(catalogue.starts) - 1
    homes = rng.integers(0, num_categories, (num_users, HOMES))
    homes[:, 1:] = np.where(rng.random((num_users, HOMES - 1)) < 0.5, homes[:, :1], homes[:, 1:])
    of_home = (homes[:, 0] * COUNTRIES) // num_categories
    anywhere = (COUNTRIES * rng.power(0.4, num_users)).astype(np.int64)
    country = np.where(rng.random(num_users) < 0.3, of_home, anywhere)
    users = {"user": ids("u", np.arange(num_users)), "country": ids("country ", country)}
    pq.write_table(pa.table(users), folder / "users.parquet")
    items = np.arange(num_items)
    category = np.repeat(np.arange(num_categories), np.diff(catalogue.starts))
    path = pc.binary_join_element_wise(
        ids("group ", category // 20), ids("category ", category), " > "
    )
    table = {"item": ids("i", items), "title": ids("Product ", items), "category": path}
    pq.write_table(pa.table(table), folder / "items.parquet")
    _write_events(folder / "events.parquet", (events, homes, catalogue), rng)
    (folder / "shop.toml").write_text(SCHEMA, "utf-8")


def _write_events(
    path: Path, shop: tuple[int, npt.NDArray[np.int64], Catalogue], rng: np.random.Generator
) -> None:
    events, homes, catalogue = shop
    lengths = np.clip(rng.lognormal(0.0, 1.0, len(homes)), 0.0, None)
    lengths = np.clip((lengths * (events / lengths.sum())).astype(np.int64) + 1, 1, MOST_EVENTS)
    first = rng.integers(0, 24 * MONTH, len(homes)) + START
    stop = np.cumsum(lengths)
    with pq.ParquetWriter(path, _events_schema()) as writer:
        begin = 0
        while begin < len(homes):
            done = int(stop[begin - 1]) if begin else 0
            end = max(begin + 1, int(np.searchsorted(stop, done + SLICE, "right")))
            users = np.repeat(np.arange(begin, end), lengths[begin:end])
            writer.write_table(_events(users, first[users], homes[users], catalogue, rng))
            begin = end


def _events(
    users: Ints, first: Ints, homes: Ints, catalogue: Catalogue, rng: np.random.Generator
) -> pa.Table:
    """Events of whole users: four in five at home, and half of those near the one before."""
    n = len(users)
    category = homes[np.arange(n), rng.integers(0, HOMES, n)]
    at_home = rng.random(n) < 0.8
    items = catalogue.draw_items(np.where(at_home, category, -1), rng)
    near = np.clip(items[:-1] + rng.integers(1, 4, n - 1), 0, len(catalogue.ends) - 2)
    follows = (users[1:] == users[:-1]) & (rng.random(n - 1) < 0.4)
    items[1:] = np.where(follows, near, items[1:])
    # Gaps of days, with several events on most of them.
    gaps = (rng.exponential(3.0, n) ** 2).astype(np.int64)
    starts = np.flatnonzero(np.concatenate(([True], users[1:] != users[:-1])))
    counts = np.diff(np.concatenate((starts, [n])))
    passed = np.cumsum(gaps)
    passed = (passed - np.repeat(passed[starts], counts)) * DAY
    stays = np.repeat(passed[np.append(starts[1:], n) - 1], counts)
    passed = (passed * np.minimum(1.0, STAY / np.maximum(stays, 1))).astype(np.int64)
    kind = np.array(["view", "cart", "purchase"])[np.searchsorted([0.7, 0.85], rng.random(n))]
    return pa.table(
        {
            "user": ids("u", users),
            "item": ids("i", items),
            "time": pa.array(first + passed // DAY * DAY).cast(pa.timestamp("ms")),
            "kind": pa.array(kind).dictionary_encode().dictionary_decode(),
        },
        _events_schema(),
    )


def _events_schema() -> pa.Schema:
    text = pa.string()
    return pa.schema({"user": text, "item": text, "time": pa.timestamp("ms"), "kind": text})


def ids(prefix: str, numbers: Ints) -> pa.Array:
    """``prefix`` and number, as text."""
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    write_shop(args.folder, args.events, args.seed)


if __name__ == "__main__":
    main()

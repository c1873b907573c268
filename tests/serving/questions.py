"""Random queries and filters about the random bundle."""

from __future__ import annotations

import numpy as np

from firstedge.serving.filter import Condition, Filter, Range
from firstedge.serving.query import Event, Query


def random_query(rng: np.random.Generator) -> Query:
    def event(at: int) -> Event:
        when = None if rng.random() < 0.3 else int(rng.integers(1_000))
        if rng.random() < 0.2:
            return Event(category=f"c{rng.integers(6)}", at=when)
        kind = ("view", "cart", None)[at % 3]
        return Event(f"i{rng.integers(33):03d}", None, kind, when, float(rng.integers(1, 4)))

    profile = {"country": [None, "UK", ["UK", "FR"]][rng.integers(3)]}
    text = "blue" if rng.random() < 0.2 else ""
    return Query([event(at) for at in range(rng.integers(0, 9))], profile, text)


def random_filter(rng: np.random.Generator) -> Filter:
    def some(letter: str, most: int, width: int) -> list[str]:
        return [f"{letter}{row:0{width}d}" for row in rng.integers(most, size=rng.integers(1, 12))]

    prices: tuple[Condition, ...] = (Range(min=2), Range(1.5, 5), 3, [1, 4.0], [])
    return Filter(
        rng.random() < 0.5,
        None if rng.random() < 0.6 else some("c", 6, 1),
        None if rng.random() < 0.6 else some("i", 33, 3),
        () if rng.random() < 0.5 else some("i", 33, 3),
        rng.random() < 0.5,
        {} if rng.random() < 0.5 else {"price": prices[rng.integers(len(prices))]},
    )

"""How many candidates the index must give until the best items are among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firstedge.graph.histories import Given
from firstedge.graph.neo4j_publication import Publication
from firstedge.graph.neo4j_slots import Slot
from firstedge.models.bundle import Bundle
from firstedge.models.fold import Space
from firstedge.models.scorer import Scorer, UserBatch
from firstedge.models.topk import top_k

Ints = npt.NDArray[np.int64]

LIST = 20  # the length of the lists that must be whole
_STEPS = (50, 100, 200, 400, 800, 1600)
_MOST_GIVEN = 10


@dataclass(frozen=True)
class Calibration:
    """What was needed.

    Attributes:
        candidates: Enough for all strangers that were asked, doubled.
        missed: How many of them missed an item at each number that was tried.
        strangers: How many were asked.
    """

    candidates: int
    missed: dict[int, int]
    strangers: int


def calibrate(
    publication: Publication, slot: Slot, bundle: Bundle, space: Space, strangers: int, seed: int
) -> Calibration:
    """Ask the index on behalf of strangers, with more candidates until no list misses an item.

    An item that an edge leads to is a candidate anyway. An index is approximate, so what held for
    these strangers is doubled.
    """
    scorer = Scorer(bundle)
    users = draw_strangers(bundle, strangers, seed)
    queries, _ = space.queries(scorer, users)
    wanted = [_beyond_edges(scorer, users.take(row, row + 1)) for row in range(len(users))]
    missed: dict[int, int] = {}
    for candidates in _STEPS:
        missed[candidates] = sum(
            not set(ids) <= set(publication.nearest(slot, queries[row].tolist(), candidates))
            for row, ids in enumerate(wanted)
        )
        if not missed[candidates] or candidates >= len(bundle.items):
            break
    return Calibration(2 * max(missed), missed, len(users))


def draw_strangers(bundle: Bundle, number: int, seed: int) -> UserBatch:
    """Made-up users with 0 to 10 items that popularity and edges lead to, and a profile value."""
    rng = np.random.default_rng(seed)
    n, f = len(bundle.items), len(bundle.profile_values)
    popularity = bundle.table.counts + 1.0
    popularity = popularity / popularity.sum()
    rows: list[list[int]] = []
    for user in range(number):
        given: list[int] = []
        for _ in range(min(user % (_MOST_GIVEN + 1), n)):
            item = int(rng.choice(n, p=popularity))
            if given and rng.random() < 0.5:  # people stay near what they chose
                near = bundle.edges.targets[bundle.edges.of_source(given[-1])]
                item = int(rng.choice(near)) if len(near) else item
            given.append(item)
        rows.append(list(dict.fromkeys(given)))
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    targets = np.array([item for row in rows for item in row], np.int64)
    ranks = np.array([rank for row in rows for rank in range(len(row))], np.int64)
    kind = next((at for at, k in enumerate(bundle.schema.kind.values()) if k.weight > 0), 0)
    kinds = np.full(len(targets), kind)
    known = Given(offsets, targets, kinds, ranks, np.ones(len(targets), np.float32))
    values = rng.integers(0, max(f, 1), number)[: number if f else 0]
    counts = np.full(number, 1 if f else 0)
    return UserBatch(known, np.concatenate(([0], np.cumsum(counts))).astype(np.int64), values)


def _beyond_edges(scorer: Scorer, user: UserBatch) -> list[str]:
    """Ids of a user's best items that no edge of a given item leads to."""
    b, n = scorer.bundle, scorer.num_items
    items = user.given.targets[user.given.targets < n]
    scores = scorer.score(user)[0]
    scores[items] = -np.inf
    near = [b.edges.targets[b.edges.of_source(int(item))] for item in items]
    best = top_k(scores, LIST)
    alone = best[~np.isin(best, np.concatenate((*near, [-1])))]
    return [b.items.ids[row] for row in alone]

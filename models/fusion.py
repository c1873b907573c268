"""Late fusion: one coefficient for each term of the score, chosen on validation users.

A channel is what one term gives for every validation request and item. A climb moves one
coefficient at a time, up, down and to zero, where the mean NDCG over users and ks rises, so that a
term that does not earn its place ends at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from firstedge.models import metrics
from firstedge.models.metrics import Targets
from firstedge.models.protocol import KShotCase
from firstedge.models.scorer import UserBatch
from firstedge.models.topk import top_k_each

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# Factors by which coefficients are moved, one round each.
ROUNDS = (2.0, 2.0, 1.5, 1.2)
# The round in which a coefficient may go to zero, or leave it: the others are about right by then.
TO_ZERO = 1.5
# A gain below this is noise.
LEAST_GAIN = 1e-5
# Candidates that each channel and each start brings to the pool of a search.
POOL_DEPTH = 60
# Scores are held for at most this many user-item pairs of a channel at a time.
_BLOCK_CELLS = 1 << 21

Channel = Callable[[UserBatch], Floats]


@dataclass(frozen=True)
class Found:
    """Coefficients and what they reach.

    Attributes:
        weights: By name of the channel; one that no request shows is missing.
        objective: Mean NDCG over validation cases, among the pooled candidates.
        trials: Combinations that were evaluated.
    """

    weights: Mapping[str, float]
    objective: float
    trials: int


@dataclass(frozen=True)
class Block:
    """Some requests of one validation case.

    Attributes:
        number: Of the block in its arena.
        users: What is given, n users.
        targets: Of the same users.
        weight: Of each request in the mean, so that a case counts by its share.
    """

    number: int
    users: UserBatch
    targets: Targets
    weight: float


class Arena:
    """Validation requests with the metric that ranks their answers, a block at a time.

    The figure is the weighted mean over cases of the mean over a case's users, who may differ from
    case to case.

    Args:
        cases: Validation cases.
        num_items: Size of the catalogue.
        shares: Weights of the cases; all alike if None.
        k: Length of the lists.
        exclude_given: Whether given items are no candidates.
    """

    def __init__(
        self,
        cases: Sequence[KShotCase],
        num_items: int,
        shares: Sequence[float] | None = None,
        k: int = 20,
        exclude_given: bool = True,
    ) -> None:
        self.num_items, self.k, self.exclude_given = num_items, min(k, num_items), exclude_given
        size = max(1, _BLOCK_CELLS // max(num_items, 1))
        blocks: list[Block] = []
        shares = [1.0] * len(cases) if shares is None else shares
        for case, share in zip(cases, shares, strict=True):
            weight = share / (sum(shares) * len(case.users))
            for start in range(0, len(case.users), size):
                stop = min(start + size, len(case.users))
                users, targets = case.users.take(start, stop), case.targets.take(start, stop)
                blocks.append(Block(len(blocks), users, targets, weight))
        self.blocks = tuple(blocks)

    def ndcg(self, score: Callable[[UserBatch], Floats]) -> float:
        """Mean NDCG@k of scores float32[n, num_items] of n users; what is barred is overwritten."""
        return self.best(lambda block: [score(block.users)])[0]

    def best(self, scores: Callable[[Block], Iterable[Floats]]) -> tuple[float, int]:
        """The best figure of several scores, and which of them has it, of equals the first.

        Args:
            scores: Of the users of a block, float32[n, num_items] each; what is barred is
                overwritten.
        """
        figures = np.array(
            [
                [self._gain(self._allowed(some, block), block) for some in scores(block)]
                for block in self.blocks
            ]
        )
        totals = figures.sum(0)
        return float(totals.max()), int(totals.argmax())

    def marked(self, block: Block, lists: Iterable[Floats]) -> Bools:
        """Whether an item is a candidate that any of some scores has among its best POOL_DEPTH.

        Args:
            block: Whose.
            lists: Scores, float32[n, num_items] each.

        Returns:
            bool[n, num_items].
        """
        depth = min(POOL_DEPTH, self.num_items)
        marks = np.zeros((len(block.users), self.num_items), np.bool_)
        for scores in lists:
            allowed = self._allowed(scores.copy(), block)
            best = top_k_each(allowed, depth)
            rows, places = np.nonzero(best >= 0)
            marks[rows, best[rows, places]] = True
        self._bar(marks, block, False)
        return marks

    def _allowed(self, scores: Floats, block: Block) -> Floats:
        self._bar(scores, block, -np.inf)
        return scores

    def _bar(self, values: npt.NDArray[np.generic], block: Block, value: float) -> None:
        """Write ``value`` where a user's given items stand."""
        if self.exclude_given:
            given = block.users.given
            is_item = given.targets < self.num_items
            values[given.users[is_item], given.targets[is_item]] = value

    def _gain(self, scores: Floats, block: Block) -> float:
        top = top_k_each(scores, self.k)
        hit = metrics.hits(top, block.targets)
        return float(metrics.ndcg(hit, block.targets.counts).sum()) * block.weight


@dataclass(frozen=True)
class Shortlist:
    """Channels and the candidates that they bring to any pool, which are looked for only once.

    Attributes:
        channels: Scores by name.
        marks: Of each block, bool[n, num_items] as bits of uint8.
    """

    channels: Mapping[str, Channel]
    marks: tuple[npt.NDArray[np.uint8], ...]

    @classmethod
    def of(cls, arena: Arena, channels: Mapping[str, Channel]) -> Shortlist:
        """The best candidates of each channel, for every request."""
        found = (
            arena.marked(block, (score(block.users) for score in channels.values()))
            for block in arena.blocks
        )
        return cls(channels, tuple(np.packbits(marks, axis=1) for marks in found))


class Pool:
    """A few candidates of each request, with the scores of every channel: there, a search is quick.

    Args:
        arena: Of the requests.
        shortlist: Channels whose candidates are known.
        more: Further channels, by name.
        starts: Weights whose best answers are candidates too.
    """

    def __init__(
        self,
        arena: Arena,
        shortlist: Shortlist,
        more: Mapping[str, Channel],
        starts: Sequence[Mapping[str, float]],
    ) -> None:
        channels = {**shortlist.channels, **more}
        items, parts, relevant = [], [], []
        for block, known in zip(arena.blocks, shortlist.marks, strict=True):
            scores = {name: channel(block.users) for name, channel in channels.items()}
            lists = (*(scores[name] for name in more), *(combine(scores, one) for one in starts))
            marks = arena.marked(block, lists)
            marks |= np.unpackbits(known, axis=1, count=arena.num_items).view(np.bool_)
            found = _places(marks, arena.k)
            items.append(found)
            relevant.append(metrics.hits(found, block.targets))
            at = np.maximum(found, 0)
            parts.append({n: np.take_along_axis(s, at, 1) for n, s in scores.items()})
        width = max((found.shape[1] for found in items), default=arena.k)
        self.k = arena.k
        self.void = _stack(items, width, -1) < 0
        self.relevant = _stack(relevant, width, False)
        self.channels: dict[str, Floats] = {
            name: _stack([part[name] for part in parts], width, 0.0) for name in channels
        }
        counts = [block.targets.counts for block in arena.blocks]
        weights = [np.full(len(block.users), block.weight) for block in arena.blocks]
        self.counts, self.weights = np.concatenate(counts), np.concatenate(weights)

    def ndcg(self, scores: Floats) -> float:
        """Mean NDCG of float32[requests, width]; void places are overwritten."""
        scores[self.void] = -np.inf
        top = top_k_each(scores, self.k)
        hit = np.take_along_axis(self.relevant, top, 1) & (top >= 0)
        return float(self.weights @ metrics.ndcg(hit, self.counts))


def _places(marks: Bools, least: int) -> Ints:
    """Where marks stand in each row, in order; int64[n, width], -1 in places without one.

    Args:
        marks: bool[n, num_items].
        least: Width at least.
    """
    counts = marks.sum(1)
    width = max(int(counts.max(initial=0)), least)
    places = np.full((len(marks), width), -1, np.int64)
    places[np.arange(width) < counts[:, None]] = np.nonzero(marks)[1]
    return places


def _stack(blocks: Sequence[npt.NDArray[Any]], width: int, fill: float) -> npt.NDArray[Any]:
    """Blocks of rows one above the other, filled up to a width."""
    padded = [
        np.pad(block, ((0, 0), (0, width - block.shape[1])), constant_values=fill)
        for block in blocks
    ]
    return np.concatenate(padded)


def climb(pool: Pool, start: Mapping[str, float], usual: Mapping[str, float]) -> Found:
    """Find coefficients by coordinate ascent.

    Args:
        pool: Validation requests, with the scores of every channel.
        start: Coefficients to start from; a channel that is not named starts at zero.
        usual: By name, a coefficient of a usual size: what to try for a channel that is at zero.
    """
    channels = pool.channels
    # What no request shows cannot be chosen by them.
    weights = {name: float(start.get(name, 0.0)) for name, part in channels.items() if part.any()}
    total = combine(channels, weights)
    best, trials = pool.ndcg(total.copy()), 1
    for factor in ROUNDS:
        for name, now in list(weights.items()):
            moves = [now * factor, now / factor] if now else []
            if factor == TO_ZERO:
                moves += [0.0] if now else [usual[name] / 4, usual[name]]
            for move in moves:
                trial = total + np.float32(move - weights[name]) * channels[name]
                figure = pool.ndcg(trial.copy())
                trials += 1
                if figure > best + LEAST_GAIN:
                    best, total, weights[name] = figure, trial, move
                    if factor != TO_ZERO:
                        break
    return Found(weights, best, trials)


def combine(channels: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """The weighted sum of channels, float32[requests, num_items]."""
    total = np.zeros_like(next(iter(channels.values())))
    for name, channel in channels.items():
        if weights.get(name):
            total += np.float32(weights[name]) * channel
    return total

"""Training examples: histories cut short as a newcomer's are.

Each user gives one example a draw, of which a small shop has several an epoch. k is drawn from
0..most, and for some long histories beyond; the k given items are the first k,
k at random, or a window of k, and the targets are the other items (for a window: what follows).
Without this the net learns long histories and does worse on short ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firstedge.graph.histories import Given, Histories, ranges

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

FIRST, RANDOM, WINDOW = 0, 1, 2


@dataclass(frozen=True)
class Truncation:
    """How examples are drawn.

    Attributes:
        most: The largest number of given items of an example that is not long.
        long: Probability that a user with more items than that gives a long example: k is then
            between `most` and all but one, equal ratios equally likely.
        shares: Probabilities of giving the first k, a random k, and a window of k.
    """

    most: int = 10
    long: float = 0.15
    shares: tuple[float, float, float] = (0.5, 0.25, 0.25)

    def __post_init__(self) -> None:
        if self.most < 1 or min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-9:
            raise ValueError(f"most >= 1 and shares that add up to 1, got {self}")


@dataclass(frozen=True)
class Examples:
    """One example for each user that has an item, in the order of `users`.

    Attributes:
        users: int64[n], rows of the histories that they came from.
        given: Given edges of each.
        offsets: int64[n + 1], of the targets.
        items: int64[t], target items.
    """

    users: Ints
    given: Given
    offsets: Ints
    items: Ints


class Truncator:
    """Draws examples from histories, the same ones for the same generator state.

    Args:
        histories: Speaking events of the training users.
        weights: float32[num_kinds], weights of the kinds.
        truncation: How to draw.
    """

    def __init__(self, histories: Histories, weights: Floats, truncation: Truncation) -> None:
        touches = histories.touches()
        with_items = np.flatnonzero(touches.counts > 0)
        self.users = with_items
        self.histories = histories.take(with_items)
        self.touches = self.histories.touches()
        self.weights, self.truncation = weights, truncation
        self._touch_of_event = self._touch_numbers()

    def draw(self, rng: np.random.Generator) -> Examples:
        """One example for each user, in random order."""
        counts = self.touches.counts
        k = self._draw_k(rng)
        mode = rng.choice(3, len(counts), p=self.truncation.shares)
        start = np.where(mode == WINDOW, (rng.random(len(counts)) * (counts - k)), 0)
        chosen, targets = self._choose(k, mode, start.astype(np.int64), rng)
        given = self._given(chosen, (start + k).astype(np.int64), mode)
        order = rng.permutation(len(counts))
        at = np.concatenate(([0], np.cumsum(targets)))
        numbers = at[self.touches.offsets]
        lengths = np.diff(numbers)[order]
        items = self.touches.items[targets][ranges(numbers[:-1][order], lengths)]
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        return Examples(self.users[order], _reorder(given, order), offsets, items)

    def _draw_k(self, rng: np.random.Generator) -> Ints:
        """int64[n], how many items each user gives."""
        counts, most = self.touches.counts, self.truncation.most
        k = rng.random(len(counts)) * (np.minimum(most, counts - 1) + 1)
        long = (rng.random(len(counts)) < self.truncation.long) & (counts > most + 1)
        ratio = np.maximum(counts, most) / most
        return np.where(long, most * ratio ** rng.random(len(counts)), k).astype(np.int64)

    def _touch_numbers(self) -> Ints:
        """int64[num_events]: which touch each event belongs to, -1 for events on categories."""
        h, touches = self.histories, self.touches
        stride = h.num_items
        users = np.repeat(np.arange(len(h)), touches.counts)
        key = users * stride + touches.items
        order = np.argsort(key)
        is_item = h.targets < h.num_items
        wanted = h.users[is_item] * stride + h.targets[is_item]
        found = order[np.searchsorted(key[order], wanted)]
        numbers = np.full(len(h.targets), -1, np.int64)
        numbers[is_item] = found
        return numbers

    def _choose(
        self, k: Ints, mode: Ints, start: Ints, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """bool[num_touches] twice: which touches are given, and which are targets."""
        counts = self.touches.counts
        users = np.repeat(np.arange(len(counts)), counts)
        place = ranges(np.zeros(len(counts), np.int64), counts)
        shuffled = np.lexsort((rng.random(len(users)), users))
        random_place = np.empty_like(place)
        random_place[shuffled] = place
        place = np.where(mode[users] == RANDOM, random_place, place) - start[users]
        return (place >= 0) & (place < k[users]), place >= k[users]

    def _given(self, chosen: npt.NDArray[np.bool_], stop: Ints, mode: Ints) -> Given:
        """Given edges: events on chosen items and on categories, none later than the cut."""
        h, touches = self.histories, self.touches
        ends = h.offsets[1:].copy()
        cut = np.flatnonzero((mode != RANDOM) & (stop < touches.counts))
        ends[cut] = touches.events[touches.offsets[cut] + stop[cut]]
        numbers = self._touch_of_event
        keep = np.where(numbers >= 0, chosen[numbers], (mode != RANDOM)[h.users])
        keep &= np.arange(len(h.targets)) < ends[h.users]
        return Given.of(h.where(keep), self.weights)


def _reorder(given: Given, order: Ints) -> Given:
    lengths = given.counts[order]
    at = ranges(given.offsets[:-1][order], lengths)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return Given(offsets, given.targets[at], given.kinds[at], given.ranks[at], given.weights[at])

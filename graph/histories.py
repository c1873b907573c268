"""Events by user as CSR, and what they boil down to: the edges that speak for a user.

A *target* is an item's row, or ``num_items`` plus a category's row, so that one integer names
whatever an event points at.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from firstedge.graph.schema import Schema

NO_TIME = np.iinfo(np.int64).min
_FEW = 2048  # events that one sort is quicker for than making a sparse matrix of them
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Events:
    """Events as columns of one length n, in any order.

    Attributes:
        users: int64[n], user rows.
        targets: int64[n], item rows, or num_items + category rows.
        kinds: int64[n], rows of `Schema.kinds`.
        times: int64[n], milliseconds since 1970 UTC, NO_TIME where unknown.
        seqs: int64[n], order among events of one time.
        weights: float32[n].
    """

    users: Ints
    targets: Ints
    kinds: Ints
    times: Ints
    seqs: Ints
    weights: Floats

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Histories:
    """Events grouped by user, each user's in order of time and then of sequence.

    Attributes:
        offsets: int64[num_users + 1]; user u's events are offsets[u]:offsets[u + 1].
        targets: int64[n], item rows, or num_items + category rows.
        kinds: int64[n], rows of `Schema.kinds`.
        times: int64[n], milliseconds since 1970 UTC, NO_TIME where unknown.
        weights: float32[n], the events' own weights.
        num_items: How many targets are items.
    """

    offsets: Ints
    targets: Ints
    kinds: Ints
    times: Ints
    weights: Floats
    num_items: int

    @classmethod
    def of(cls, events: Events, num_users: int, num_items: int) -> Self:
        """Group events by user, ordered by time, then sequence, then their order here."""
        order = np.lexsort((events.seqs, events.times, events.users))
        counts = np.bincount(events.users, minlength=num_users)
        return cls(
            np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            events.targets[order],
            events.kinds[order],
            events.times[order],
            events.weights[order],
            num_items,
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        return f"Histories({len(self):,} users, {len(self.targets):,} events)"

    @property
    def users(self) -> Ints:
        """int64[n], the user row of every event."""
        return np.arange(len(self)).repeat(self.offsets[1:] - self.offsets[:-1])

    def where(self, keep: Bools) -> Histories:
        """The same users with only the events where ``keep`` (bool[n]) is true."""
        if keep.all():
            return self
        kept = np.concatenate(([0], np.cumsum(keep)))
        return Histories(
            kept[self.offsets],
            self.targets[keep],
            self.kinds[keep],
            self.times[keep],
            self.weights[keep],
            self.num_items,
        )

    def take(self, users: Ints) -> Histories:
        """The histories of these user rows, in this order; a row may be taken twice."""
        lengths = np.diff(self.offsets)[users]
        events = ranges(self.offsets[users], lengths)
        return Histories(
            np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
            self.targets[events],
            self.kinds[events],
            self.times[events],
            self.weights[events],
            self.num_items,
        )

    def speaking(self, schema: Schema) -> Histories:
        """Only the events that speak for their target.

        A kind whose weight in the Schema is zero or less says nothing. A kind that cancels
        another takes back the latest earlier event of that kind on the same target, one for one.
        """
        gone = np.zeros(len(self.targets), np.bool_)
        for name, kind in schema.kind.items():
            if kind.cancels is not None:
                gone |= self._cancelled(
                    schema.kinds.index(kind.cancels), schema.kinds.index(name), gone
                )
        weights = kind_weights(schema)
        return self.where(~gone & (weights[self.kinds] > 0) & (self.weights > 0))

    def _cancelled(self, opened: int, closed: int, gone: Bools) -> Bools:
        """bool[n]: events of kind ``opened`` that a later one of kind ``closed`` takes back.

        Like matching brackets: a closing event takes the nearest open one before it.
        """
        closing = (self.kinds == closed) & ~gone
        if not closing.any():
            return np.zeros(len(self.targets), np.bool_)
        stride = int(self.targets.max(initial=0)) + 1
        pairs = self.users * stride + self.targets
        touched = np.isin(pairs, pairs[closing]) & (closing | ((self.kinds == opened) & ~gone))
        at = np.flatnonzero(touched)
        at = at[np.argsort(pairs[at], kind="stable")]
        step = np.where(self.kinds[at] == opened, 1, -1)
        pair = pairs[at]
        start = np.flatnonzero(np.concatenate(([True], pair[1:] != pair[:-1]))) if len(at) else at
        group = np.cumsum(np.isin(np.arange(len(at)), start)) - 1
        depth = _clamped_depth(step, start, group)
        level = np.where(step > 0, depth, depth + 1)  # the bracket level an event opens or closes
        real = (step > 0) | (_before(depth, start) > 0)  # a closing event with nothing open is void
        at, group, level, step = at[real], group[real], level[real], step[real]
        order = np.lexsort((np.arange(len(at)), level, group))
        at, group, level, step = at[order], group[order], level[order], step[order]
        closes_previous = (
            (step[1:] < 0) & (step[:-1] > 0) & (group[1:] == group[:-1]) & (level[1:] == level[:-1])
        )
        result = np.zeros(len(self.targets), np.bool_)
        result[at[:-1][closes_previous]] = True
        return result

    def touches(self) -> Touches:
        """Each user's distinct items in the order in which they first touched them."""
        events = np.flatnonzero(self.targets < self.num_items)
        pairs = self.users[events] * max(self.num_items, 1) + self.targets[events]
        _, first = np.unique(pairs, return_index=True)
        first = events[np.sort(first)]
        counts = np.bincount(self.users[first], minlength=len(self))
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return Touches(offsets, self.targets[first], first)

    def first(self, k: int | Ints) -> Histories:
        """What was known of each user when they had touched k items.

        Args:
            k: A number of distinct items, or int64[num_users].

        Returns:
            All events before the first one on the (k + 1)-th distinct item.
        """
        return self.where(self._within(k))

    def later(self, k: int | Ints) -> Histories:
        """The events that `first` leaves out, those on items touched before among them."""
        return self.where(~self._within(k))

    def _within(self, k: int | Ints) -> Bools:
        touches = self.touches()
        ends = np.full(len(self), k, np.int64) if isinstance(k, int) else k
        beyond = ends < np.diff(touches.offsets)
        stops = self.offsets[1:].copy()
        stops[beyond] = touches.events[touches.offsets[:-1][beyond] + ends[beyond]]
        return np.arange(len(self.targets)) < stops[self.users]


@dataclass(frozen=True)
class Touches:
    """Distinct items by user, in order of first touch, as CSR.

    Attributes:
        offsets: int64[num_users + 1].
        items: int64[m], item rows.
        events: int64[m], positions of the first events in the Histories.
    """

    offsets: Ints
    items: Ints
    events: Ints

    @property
    def counts(self) -> Ints:
        """int64[num_users], distinct items of each user."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Given:
    """The edges that speak for users: one for each distinct target, the latest first, as CSR.

    Attributes:
        offsets: int64[num_users + 1].
        targets: int64[m], item rows, or num_items + category rows.
        kinds: int64[m], the kind of the target's strongest event.
        ranks: int64[m], recency: 0 for the target with the latest event, 1 for the next, ...
        weights: float32[m], kind weight times event weight of the strongest event.
    """

    offsets: Ints
    targets: Ints
    kinds: Ints
    ranks: Ints
    weights: Floats

    @classmethod
    def of(cls, histories: Histories, weights: Floats) -> Self:
        """Boil histories down to their edges.

        Args:
            histories: Events that speak (see `Histories.speaking`).
            weights: float32[num_kinds], the kinds' weights in the Schema.
        """
        strength = weights[histories.kinds] * histories.weights
        latest, of_target = _latest_and_strongest(strength, *_by_target(histories))
        strongest = np.full(len(strength), -1, np.int64)
        strongest[latest] = of_target
        is_latest = strongest >= 0
        offsets = np.concatenate(([0], np.cumsum(is_latest)))[histories.offsets]
        counts = offsets[1:] - offsets[:-1]
        ranks = ranges(np.zeros(len(counts), np.int64), counts)
        # In the order of the latest events, and each user's backwards.
        edges = strongest[is_latest][(offsets[1:] - 1).repeat(counts) - ranks]
        return cls(
            offsets,
            histories.targets[edges],
            histories.kinds[edges],
            ranks,
            strength[edges].astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def counts(self) -> Ints:
        """int64[num_users], edges of each user."""
        return self.offsets[1:] - self.offsets[:-1]

    @cached_property
    def users(self) -> Ints:
        """int64[m], the user row of every edge."""
        return np.arange(len(self)).repeat(self.counts)


def kind_weights(schema: Schema) -> Floats:
    """float32[num_kinds], the weights of a Schema's kinds."""
    return np.array([kind.weight for kind in schema.kind.values()], np.float32)


def ranges(starts: Ints, lengths: Ints) -> Ints:
    """Concatenated ranges start, start + 1, ..., start + length - 1, int64[sum(lengths)]."""
    ends: Ints = lengths.cumsum()
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + (starts - (ends - lengths)).repeat(lengths)


def _by_target(histories: Histories) -> tuple[Ints, Ints]:
    """Positions of all events, those of one user and target together, and where each group starts.

    Sorting short rows one by one takes a fifth of the time of one sort over all of them, where
    they are many.
    """
    num_events = len(histories.targets)
    shape = (len(histories), int(histories.targets.max(initial=0)) + 1)
    if num_events < _FEW:
        pairs = histories.users * shape[1] + histories.targets
        order = np.argsort(pairs, kind="stable")
        pairs = pairs[order]
        first = np.ones(num_events, np.bool_)
        np.not_equal(pairs[1:], pairs[:-1], out=first[1:])
        return order, np.flatnonzero(first)
    events = sparse.csr_array(
        (np.arange(num_events), histories.targets, histories.offsets), shape=shape
    ).sorted_indices()
    starts = np.diff(events.indices, prepend=-1) != 0
    users = histories.offsets[:-1]
    starts[users[users < num_events]] = True
    return events.data, np.flatnonzero(starts)


def _latest_and_strongest(values: Floats, order: Ints, starts: Ints) -> tuple[Ints, Ints]:
    """The last position of each group of ``order``, and the last at which ``values`` is highest.

    Most groups are of one event, and need no search.
    """
    if len(starts) == len(order):
        return order, order
    lengths = np.diff(starts, append=len(order))
    latest = order[starts]
    strongest = latest.copy()
    several = np.flatnonzero(lengths > 1)
    if len(several):
        lengths = lengths[several]
        order = order[ranges(starts[several], lengths)]
        starts = np.cumsum(lengths) - lengths
        latest[several] = np.maximum.reduceat(order, starts)
        strongest[several] = _last_of_highest(values, order, starts)
    return latest, strongest


def _last_of_highest(values: Floats, order: Ints, starts: Ints) -> Ints:
    """Within each group of ``order``, the last position at which ``values`` is highest."""
    within = values[order]
    highest = np.maximum.reduceat(within, starts)
    lengths = np.diff(starts, append=len(order))
    last = np.where(within == np.repeat(highest, lengths), order, -1)
    return np.maximum.reduceat(last, starts)


def _clamped_depth(step: Ints, start: Ints, group: Ints) -> Ints:
    """Running sums of +1 and -1 within groups that never fall below zero, after each step."""
    total = np.cumsum(step)
    before = total[start] - step[start]
    level = total - before[group]
    floor = len(step) + 1
    # Accumulating the minimum across groups works when every group lies below the one before.
    lows = np.minimum.accumulate(np.minimum(level, 0) - group * floor) + group * floor
    return level - np.minimum(lows, 0)


def _before(depth: Ints, start: Ints) -> Ints:
    previous = np.concatenate(([0], depth[:-1])) if len(depth) else depth
    previous[start] = 0
    return previous

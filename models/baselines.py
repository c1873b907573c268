"""What a shop would use instead: each method in its best known form, under one contract.

A method is its options: a frozen dataclass that declares the ranges of what may be tuned and whose
`fit` gives a Ranker. Every ranker adds the log popularity, weighted, to what the given items say,
so that at k = 0 it ranks by popularity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from firstedge.graph.histories import NO_TIME, Given, Histories
from firstedge.models import closed_forms
from firstedge.models.patterns import is_full
from firstedge.models.protocol import Ranker
from firstedge.models.scorer import UserBatch
from firstedge.models.space import Range

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Made = TypeVar("Made")
Matrix = sparse.csr_array | Floats

DAY = 86_400_000  # milliseconds

# Co-occurrences held for later, in all.
_HELD_PAIRS = 1 << 27

# By which popularity counts where edges to all items of a large catalogue are pruned.
_LARGE_POWER = 0.35

# A sparse matrix that is this full, and not larger than this, is faster as a dense one.
_FULL = 0.2
_DENSE_CELLS = 1 << 26

# The weight of the log popularity beside a channel whose strongest edges are about 1.
PriorWeight = Annotated[float, Range(0.003, 1.0, log=True)]


@dataclass(frozen=True)
class TrainingData:
    """What a method may learn from: training users alone, and the catalogue.

    Attributes:
        histories: Events that speak, of the training users.
        tree: Categories of items.
        text: float32[num_items, t], unit text vectors, zeros for an item without text; t = 0 if
            the shop has no texts.
    """

    histories: Histories
    tree: closed_forms.CategoryTree
    text: Floats
    _memo: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def num_items(self) -> int:
        """Size of the catalogue."""
        return self.histories.num_items

    @property
    def primary(self) -> Ints:
        """int64[num_items], each item's category, -1 for none."""
        return self.tree.primary

    @property
    def num_categories(self) -> int:
        """How many categories there are."""
        return len(self.tree.parents)

    @cached_property
    def x(self) -> sparse.csr_array:
        """float32[num_users, num_items], 1 where a user has an event on an item."""
        x = closed_forms.interactions(self.histories)
        narrow = (x.data, x.indices.astype(np.int32), x.indptr.astype(np.int32))
        return sparse.csr_array(narrow, shape=x.shape)  # half the memory, and products are faster

    @cached_property
    def log_prior(self) -> Floats:
        """float32[num_items], log popularity."""
        return closed_forms.log_prior(self.x)

    @cached_property
    def counts(self) -> Floats:
        """float32[num_items], training users of each item."""
        return np.asarray(self.x.sum(0), np.float32)

    @property
    def importance(self) -> Floats:
        """float32[num_items], by which an edge to an item matters.

        What an item is short of is only missed where it could have been an answer, and the more
        users choose it the more often it is. In a large catalogue popularity counts for less:
        else the few edges that are kept of many would all lead to bestsellers.
        """
        power = 1.0 if is_full(self.num_items) else _LARGE_POWER
        return (self.counts + 1) ** np.float32(power)

    @cached_property
    def popularity(self) -> Doubles:
        """float64[num_items], share of the training users that have an item."""
        return np.asarray(self.x.sum(0), np.float64) / max(self.x.shape[0], 1)

    def once(self, key: Any, make: Callable[[], Made]) -> Made:
        """What ``make`` gives, made once for each key."""
        if key not in self._memo:
            self._memo[key] = make()
        made: Made = self._memo[key]
        return made

    def cooccurrence(self, length_discount: float) -> sparse.csr_array:
        """C = X^T D X without its diagonal, D = length^-discount; of many pairs the nearest."""
        key = ("cooccurrence", length_discount)
        if key not in self._memo:
            self._make_room()
        return self.once(key, lambda: closed_forms.cooccurrence(self.x, length_discount))

    def pair_totals(self, length_discount: float) -> Doubles | None:
        """float64[num_items], the column sums of C where `cooccurrence` gives a part of it."""
        if closed_forms.pair_bounds(self.x).sum() <= closed_forms.MOST_PAIRS:
            return None
        return closed_forms.pair_totals(self.x, length_discount)

    def _make_room(self) -> None:
        """Forget the oldest co-occurrences that are held, until one more fits."""
        held = [key for key in self._memo if isinstance(key, tuple) and key[0] == "cooccurrence"]
        pairs = sum(self._memo[key].nnz for key in held)
        for key in held:
            if pairs <= _HELD_PAIRS:
                break
            pairs -= self._memo.pop(key).nnz


class Method(Protocol):
    """Options that know how to fit themselves."""

    name: ClassVar[str]

    def unfit(self, data: TrainingData) -> str:
        """Why the method cannot be used on these data, "" if it can."""

    def fit(self, data: TrainingData) -> Ranker:
        """Learn from training users."""


class Channel(Protocol):
    """What given items say of all items."""

    def spread(self, items: sparse.csr_array) -> Floats:
        """float32[n, num_items] from float32[n, num_items], the weights of the given items."""


@dataclass(frozen=True)
class MatrixChannel:
    """Weights from item to item, scaled so that the strongest of a row is 1 on average.

    The scale makes one range of prior weights fit every method.
    """

    matrix: Matrix

    @classmethod
    def of(cls, matrix: Matrix) -> MatrixChannel:
        """Scale a matrix [num_items, num_items] and hold it in the faster form."""
        strongest = np.ravel(_row_maxima(matrix))
        positive = strongest[strongest > 0]
        scale = np.float32(1 / positive.mean() if len(positive) else 1.0)
        return cls((_faster_form(matrix) * scale).astype(np.float32))

    def spread(self, items: sparse.csr_array) -> Floats:
        """See `Channel`."""
        found = items @ self.matrix
        return np.asarray(found.toarray() if sparse.issparse(found) else found, np.float32)


def _row_maxima(matrix: Matrix) -> Floats:
    if isinstance(matrix, np.ndarray):
        return np.asarray(matrix.max(axis=1), np.float32)
    return np.asarray(matrix.max(axis=1).toarray(), np.float32)


def _faster_form(matrix: Matrix) -> Matrix:
    if isinstance(matrix, np.ndarray):
        return matrix
    cells = matrix.shape[0] * matrix.shape[1]
    full = cells <= _DENSE_CELLS and matrix.nnz > _FULL * cells
    return np.asarray(matrix.toarray(), np.float32) if full else matrix


@dataclass(frozen=True)
class AdditiveRanker:
    """score(j) = eta log p_j + k^-power sum over channels and given items i of weight S_ij.

    Attributes:
        prior: float32[num_items], eta log p_j.
        channels: Pairs of a weight and a channel.
        power: 0.5 adds evidence up with damping, 1 takes its mean.
    """

    prior: Floats
    channels: tuple[tuple[float, Channel], ...] = ()
    power: float = 0.5

    def score(self, users: UserBatch) -> Floats:
        """See `Ranker`."""
        scores = np.tile(self.prior, (len(users), 1))
        items = given_items(users.given, len(self.prior), self.power)
        for weight, channel in self.channels:
            if weight:
                scores += np.float32(weight) * channel.spread(items)
        return scores


def given_items(given: Given, num_items: int, power: float) -> sparse.csr_array:
    """float32[num_users, num_items]: k^-power at each of a user's k given items."""
    is_item = given.targets < num_items
    users, targets = given.users[is_item], given.targets[is_item]
    counts = np.bincount(users, minlength=len(given))
    weights = (np.maximum(counts, 1) ** -power).astype(np.float32)[users]
    offsets = np.concatenate(([0], np.cumsum(counts)))
    return sparse.csr_array((weights, targets, offsets), shape=(len(given), num_items))


@dataclass(frozen=True)
class Popularity:
    """The same bestsellers for everybody."""

    name: ClassVar[str] = "popularity"

    def unfit(self, data: TrainingData) -> str:
        """See `Method`."""
        return ""

    def fit(self, data: TrainingData) -> Ranker:
        """See `Method`."""
        return AdditiveRanker(data.log_prior)


def recent_log_prior(histories: Histories, half_life_days: float) -> Floats:
    """float32[num_items]: log popularity in which a first touch counts half after each half-life.

    A touch without a time is as old as the oldest; some touch must have one.
    """
    touches = histories.touches()
    times = histories.times[touches.events]
    known = histories.times[histories.times != NO_TIME]
    ages = (known.max() - np.where(times == NO_TIME, known.min(), times)) / DAY
    counts = np.bincount(touches.items, 0.5 ** (ages / half_life_days), histories.num_items)
    # As in the plain prior every item has one touch more: here, one of the oldest.
    counts += 0.5 ** (ages.max() / half_life_days)
    return np.log(counts / counts.sum()).astype(np.float32)


@dataclass(frozen=True)
class RecentPopularity:
    """Bestsellers of late: a touch counts half after every half-life."""

    name: ClassVar[str] = "recent popularity"
    half_life_days: Annotated[float, Range(3, 1000, log=True)] = 180.0

    def unfit(self, data: TrainingData) -> str:
        """See `Method`."""
        known = data.histories.times != NO_TIME
        return "" if known.any() else "events have no time"

    def fit(self, data: TrainingData) -> Ranker:
        """See `Method`."""
        return AdditiveRanker(recent_log_prior(data.histories, self.half_life_days))


@dataclass(frozen=True)
class CategoryPopularity:
    """Bestsellers of the categories of the given items.

    score(j) = log p_j + weight log((n_c + a q_c) / ((k + a) q_c)), with n_c of the k given items in
    j's category, q_c the category's share of all touches and a the smoothing. An item without a
    category stands for itself alone and gets no lift.
    """

    name: ClassVar[str] = "category popularity"
    smoothing: Annotated[float, Range(0.1, 30, log=True)] = 2.0
    weight: Annotated[float, Range(0.1, 2, log=True)] = 1.0

    def unfit(self, data: TrainingData) -> str:
        """See `Method`."""
        return "" if data.num_categories else "the shop has no categories"

    def fit(self, data: TrainingData) -> Ranker:
        """See `Method`."""
        known = data.primary >= 0
        column = np.where(known, data.primary, data.num_categories)
        shares = np.exp(data.log_prior, dtype=np.float64)
        mass = np.asarray(np.bincount(column, shares, data.num_categories + 1), np.float64)
        mass = np.maximum(mass, 1e-12)  # a category may be empty
        return CategoryRanker(data.log_prior, column, mass, self)


@dataclass(frozen=True)
class CategoryRanker:
    """What CategoryPopularity fits.

    Attributes:
        prior: float32[num_items], log popularity.
        column: int64[num_items], category, or num_categories for none.
        mass: float64[num_categories + 1], share of all touches.
        options: Smoothing and weight.
    """

    prior: Floats
    column: Ints
    mass: Doubles
    options: CategoryPopularity

    def score(self, users: UserBatch) -> Floats:
        """See `Ranker`."""
        items = given_items(users.given, len(self.prior), 0.0)
        shape = (len(self.column), len(self.mass))
        membership = sparse.csr_array(
            (np.ones(len(self.column), np.float32), (np.arange(len(self.column)), self.column)),
            shape=shape,
        )
        counts = np.asarray((items @ membership).toarray(), np.float64)[:, :-1]
        mass, a = self.mass[:-1], self.options.smoothing
        lifts = np.zeros((len(users), len(self.mass)))
        total = counts.sum(1, keepdims=True)
        lifts[:, :-1] = np.log((counts + a * mass) / ((total + a) * mass))
        return (self.prior + self.options.weight * lifts[:, self.column]).astype(np.float32)


@dataclass(frozen=True)
class TextChannel:
    """Inner products of unit text vectors, float32[num_items, t]."""

    text: Floats

    def spread(self, items: sparse.csr_array) -> Floats:
        """See `Channel`."""
        return np.asarray((items @ self.text) @ self.text.T, np.float32)


@dataclass(frozen=True)
class TextCosine:
    """Items whose text is near that of the given ones: mean cosine, plus weighted popularity."""

    name: ClassVar[str] = "text cosine"
    prior: PriorWeight = 0.1

    def unfit(self, data: TrainingData) -> str:
        """See `Method`."""
        return "" if data.text.any() else "the shop has no texts"

    def fit(self, data: TrainingData) -> Ranker:
        """See `Method`."""
        channel = TextChannel(data.text)
        return AdditiveRanker(np.float32(self.prior) * data.log_prior, ((1.0, channel),), power=1.0)

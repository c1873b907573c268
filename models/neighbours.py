"""Baselines that weigh edges from item to item: item-kNN, RP3beta, EASE, naive Bayes, a blend."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from firstedge.models import closed_forms
from firstedge.models.baselines import (
    AdditiveRanker,
    Channel,
    MatrixChannel,
    Method,
    PriorWeight,
    TrainingData,
)
from firstedge.models.edges import prune
from firstedge.models.protocol import Ranker
from firstedge.models.space import Choice, Range

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

# Above this many items EASE, a dense table of them, takes too long.
EASE_MOST_ITEMS = 20_000

Neighbours = Annotated[int, Range(20, 2000, log=True, whole=True)]


class EdgeMethod(Method, Protocol):
    """A method whose ranker is a weighted prior and one channel, so that it can be blended."""

    @property
    def prior(self) -> float:
        """Weight of the log popularity beside the channel."""

    def channel(self, data: TrainingData) -> Channel:
        """Learn the edges."""


def _ranker(method: EdgeMethod, data: TrainingData) -> Ranker:
    prior = np.float32(method.prior) * data.log_prior
    return AdditiveRanker(prior, ((1.0, method.channel(data)),))


@dataclass(frozen=True)
class ItemKNN:
    """Cosine of the items' users, shrunk where there are few, of the nearest items only.

    S_ij = C_ij / (sqrt(n_i n_j) + shrinkage).
    """

    name: ClassVar[str] = "item-kNN"
    neighbours: Neighbours = 1000
    shrinkage: Annotated[float, Range(0.1, 1000, log=True)] = 100.0
    prior: PriorWeight = 0.02

    def unfit(self, data: TrainingData) -> str:
        """See `Method`."""
        return ""

    def channel(self, data: TrainingData) -> Channel:
        """See `EdgeMethod`."""
        s = data.cooccurrence(0.0).copy()
        norms = np.sqrt(np.asarray(data.x.sum(0), np.float32))
        rows = np.repeat(np.arange(s.shape[0]), np.diff(s.indptr))
        s.data = s.data / (norms[rows] * norms[s.indices] + np.float32(self.shrinkage))
        return MatrixChannel.of(prune(s, self.neighbours))

    def fit(self, data: TrainingData) -> Ranker:
        """See `Method`."""
        return _ranker(self, data)


@dataclass(frozen=True)
class RP3Beta:
    """Three-step random walks with tempered steps, less popular ends preferred.

    S_ij = n_i^-alpha n_j^-beta sum_u length_u^-alpha x_ui x_uj; Paudel et al., TiiS 2016.
    """

    name: ClassVar[str] = "RP3beta"
    alpha: Annotated[float, Range(0.2, 1.6)] = 0.6
    beta: Annotated[float, Range(0.0, 1.0)] = 0.5
    neighbours: Neighbours = 1000
    prior: PriorWeight = 0.15

    def unfit(self, data: TrainingData) -> str:
        """See `Method`."""
        return ""

    def channel(self, data: TrainingData) -> Channel:
        """See `EdgeMethod`."""
        edges = closed_forms.rp3(data.cooccurrence(self.alpha), data.counts, self.alpha, self.beta)
        return MatrixChannel.of(prune(edges, self.neighbours))

    def fit(self, data: TrainingData) -> Ranker:
        """See `Method`."""
        return _ranker(self, data)


@dataclass(frozen=True)
class Ease:
    """EASE with the log popularity as prior; Steck, WWW 2019."""

    name: ClassVar[str] = "EASE"
    ridge: Annotated[float, Range(30, 20000, log=True)] = 2000.0
    prior: PriorWeight = 0.06

    def unfit(self, data: TrainingData) -> str:
        """See `Method`."""
        if data.num_items <= EASE_MOST_ITEMS:
            return ""
        return f"{data.num_items:,} items are more than {EASE_MOST_ITEMS:,}"

    def channel(self, data: TrainingData) -> Channel:
        """See `EdgeMethod`."""
        return MatrixChannel.of(closed_forms.ease(data.x, self.ridge))

    def fit(self, data: TrainingData) -> Ranker:
        """See `Method`."""
        return _ranker(self, data)


@dataclass(frozen=True)
class LiftChannel:
    """Edges between items plus edges between their categories, on one scale.

    Attributes:
        edges: Between items.
        lifts: float32[m + 1, m + 1] between categories; the last stands for none.
        column: int64[num_items], category, or m for none.
    """

    edges: MatrixChannel
    lifts: Floats
    column: Ints

    def spread(self, items: sparse.csr_array) -> Floats:
        """See `Channel`."""
        n, m = len(self.column), len(self.lifts)
        ones = np.ones(n, np.float32)
        membership = sparse.csr_array((ones, (np.arange(n), self.column)), shape=(n, m))
        by_category = (items @ membership) @ self.lifts
        return self.edges.spread(items) + by_category[:, self.column]


@dataclass(frozen=True)
class SmoothedBayes:
    """Smoothed naive Bayes with back-off to categories, see `closed_forms.naive_bayes`."""

    name: ClassVar[str] = "naive Bayes"
    smoothing: Annotated[float, Range(3, 1000, log=True)] = 100.0
    length_discount: Annotated[float, Choice((0.0, 0.5))] = 0.5
    back_off: Annotated[float, Range(0.0, 0.9)] = 0.2
    prior: PriorWeight = 0.2

    def unfit(self, data: TrainingData) -> str:
        """See `Method`."""
        return ""

    def channel(self, data: TrainingData) -> Channel:
        """See `EdgeMethod`."""
        options = closed_forms.NaiveBayes(self.smoothing, self.length_discount, self.back_off)
        c = data.cooccurrence(self.length_discount)
        m = data.num_categories
        totals = data.pair_totals(self.length_discount)
        r, lifts = closed_forms.naive_bayes(c, options, data.tree, totals)
        edges = MatrixChannel.of(r)
        if not self.back_off or not lifts.nnz:
            return edges
        scale = np.float32(edges.matrix.max() / max(r.max(), 1e-12))
        dense = np.zeros((m + 1, m + 1), np.float32)
        dense[:m, :m] = lifts.toarray() * scale
        return LiftChannel(edges, dense, np.where(data.primary >= 0, data.primary, m))

    def fit(self, data: TrainingData) -> Ranker:
        """See `Method`."""
        return _ranker(self, data)


@dataclass(frozen=True)
class Blend:
    """Prior plus naive Bayes, EASE and a neighbourhood, each as it was tuned by itself.

    Attributes:
        bayes: Tuned naive Bayes.
        near: Tuned item-kNN or RP3beta.
        ease: Tuned EASE, None where the catalogue is too large for it.
        near_share: Of the neighbourhood beside naive Bayes.
        ease_share: Of EASE beside the two.
        prior: Weight of the log popularity.
    """

    name: ClassVar[str] = "blend of closed forms"
    bayes: SmoothedBayes
    near: ItemKNN | RP3Beta
    ease: Ease | None
    near_share: Annotated[float, Range(0.0, 1.0)] = 0.3
    ease_share: Annotated[float, Range(0.0, 1.0)] = 0.3
    prior: PriorWeight = 0.15

    def unfit(self, data: TrainingData) -> str:
        """See `Method`."""
        return ""

    def fit(self, data: TrainingData) -> Ranker:
        """See `Method`."""
        ease_share = self.ease_share if self.ease else 0.0
        parts: list[tuple[float, EdgeMethod]] = [
            ((1 - self.near_share) * (1 - ease_share), self.bayes),
            (self.near_share * (1 - ease_share), self.near),
        ]
        if self.ease:
            parts.append((ease_share, self.ease))
        # The parts stay as they are while the weights are tuned: each is learned once.
        channels = tuple(
            (weight, data.once(method, partial(method.channel, data))) for weight, method in parts
        )
        return AdditiveRanker(np.float32(self.prior) * data.log_prior, channels)

"""The closed-form half of the model: which counts to trust, chosen on validation users.

Naive Bayes edges R with their category lifts, and edges B from EASE, or from RP3beta where the
catalogue is too large for a dense matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from firstedge.models.baselines import EASE_MOST_ITEMS, TrainingData, given_items
from firstedge.models.closed_forms import NaiveBayes, ease, naive_bayes, rp3
from firstedge.models.edges import prune
from firstedge.models.fusion import Arena

Floats = npt.NDArray[np.float32]

# Weights of the log prior beside edges of each sort, tried when edges are judged alone.
_PRIORS_BESIDE_BAYES = (0.5, 1.0)
_PRIORS_BESIDE_RIDGE = (0.02, 0.06)
# Above this many items a ridge costs a minute, and only every other one is tried.
_MANY_ITEMS = 5_000


@dataclass(frozen=True)
class EvidenceOptions:
    """What is tried.

    Attributes:
        smoothings: Of naive Bayes.
        length_discounts: Of naive Bayes.
        back_offs: Of naive Bayes, besides none.
        ridges: Of EASE.
        penalties: Of popularity in RP3beta.
        most_edges: Edges kept of each item and sort before they are fused.
    """

    smoothings: tuple[float, ...] = (10, 30, 100, 300, 1000)
    length_discounts: tuple[float, ...] = (0.0, 0.5)
    back_offs: tuple[float, ...] = (0.3, 0.6, 0.9)
    ridges: tuple[float, ...] = (100, 300, 1000, 3000)
    penalties: tuple[float, ...] = (0.2, 0.5)
    most_edges: int = 1000


@dataclass(frozen=True)
class Evidence:
    """What was chosen.

    Attributes:
        bayes: Options of naive Bayes.
        r: Naive Bayes edges, float32[n, n].
        lifts: Category lifts, float32[m, m].
        ridge: Edges of EASE or RP3beta, float32[n, n], strongest of a row 1 on average.
        trials: Options that were evaluated.
        notes: Figures of what was tried, by name.
    """

    bayes: NaiveBayes
    r: sparse.csr_array
    lifts: sparse.csr_array
    ridge: sparse.csr_array
    trials: int
    notes: dict[str, float] = field(default_factory=dict)


def choose_evidence(data: TrainingData, arena: Arena, options: EvidenceOptions) -> Evidence:
    """Fit the closed forms, each judged alone beside the prior on the validation users."""
    judge = _Judge(data, arena)
    bayes = max(
        (NaiveBayes(s, rho) for rho in options.length_discounts for s in options.smoothings),
        key=judge.bayes,
    )
    if data.num_categories:
        backed = [replace(bayes, back_off=b) for b in options.back_offs]
        bayes = max([bayes, *backed], key=judge.bayes)
    r, lifts = judge.edges_of(bayes)
    ridge = _choose_ridge(data, judge, options)
    strongest = ridge.max(axis=1).toarray()
    scale = strongest[strongest > 0].mean() if ridge.nnz else 1.0
    return Evidence(
        bayes,
        prune(r, options.most_edges),
        lifts,
        sparse.csr_array(ridge / np.float32(scale)),
        len(judge.figures),
        judge.figures,
    )


def _choose_ridge(data: TrainingData, judge: _Judge, options: EvidenceOptions) -> sparse.csr_array:
    best, best_figure = sparse.csr_array((data.num_items,) * 2, dtype=np.float32), -np.inf
    if data.num_items <= EASE_MOST_ITEMS:
        ridges = options.ridges[:: 2 if data.num_items > _MANY_ITEMS else 1]
        for ridge in ridges:
            dense = ease(data.x, ridge)
            figure = judge.ridge(dense, f"ease {ridge:g}")
            if figure > best_figure:
                best, best_figure = _strongest(dense, options.most_edges), figure
    else:
        for penalty in options.penalties:
            edges = rp3(data.x, penalty, options.most_edges)
            figure = judge.ridge(edges, f"rp3beta {penalty:g}")
            if figure > best_figure:
                best, best_figure = edges, figure
    return best


def _strongest(dense: Floats, most: int) -> sparse.csr_array:
    """The strongest positive and negative entries of each row of a dense matrix."""
    if most < dense.shape[1]:
        size = np.abs(dense)
        least = np.partition(size, -most, axis=1)[:, -most][:, None]
        dense = np.where(size >= least, dense, 0)
    return sparse.csr_array(dense)


class _Judge:
    """Figures of closed forms beside the prior, each computed once."""

    def __init__(self, data: TrainingData, arena: Arena) -> None:
        self.data, self.arena = data, arena
        self.items = [given_items(users.given, data.num_items, 0.5) for users in arena.users]
        self.figures: dict[str, float] = {}

    def edges_of(self, options: NaiveBayes) -> tuple[sparse.csr_array, sparse.csr_array]:
        c = self.data.cooccurrence(options.length_discount)
        return naive_bayes(c, options, self.data.primary, self.data.num_categories)

    def bayes(self, options: NaiveBayes) -> float:
        name = f"bayes s={options.smoothing:g} rho={options.length_discount:g} b={options.back_off}"
        if name not in self.figures:
            r, lifts = self.edges_of(options)
            scores = [self._spread(items, r) + self._lift(items, lifts) for items in self.items]
            self.figures[name] = self._best(scores, _PRIORS_BESIDE_BAYES)
        return self.figures[name]

    def ridge(self, edges: sparse.csr_array | Floats, name: str) -> float:
        scores = [self._spread(items, edges) for items in self.items]
        self.figures[name] = self._best(scores, _PRIORS_BESIDE_RIDGE)
        return self.figures[name]

    def _best(self, parts: Sequence[Floats], priors: Sequence[float]) -> float:
        scores = np.concatenate(parts)
        log_prior = self.data.log_prior
        return max(self.arena.ndcg(scores + np.float32(eta) * log_prior) for eta in priors)

    def _spread(self, items: sparse.csr_array, edges: sparse.csr_array | Floats) -> Floats:
        found = items @ edges
        return np.asarray(found.toarray() if sparse.issparse(found) else found, np.float32)

    def _lift(self, items: sparse.csr_array, lifts: sparse.csr_array) -> Floats | float:
        if not lifts.nnz:
            return 0.0
        primary, m = self.data.primary, self.data.num_categories
        known = np.flatnonzero(primary >= 0)
        ones = np.ones(len(known), np.float32)
        z = sparse.csr_array((ones, (known, primary[known])), shape=(len(primary), m))
        by_category = np.asarray(((items @ z) @ lifts).toarray(), np.float32)
        padded = np.pad(by_category, ((0, 0), (0, 1)))
        return padded[:, np.where(primary >= 0, primary, m)]

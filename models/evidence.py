"""The closed-form half of the model: which counts to trust, chosen on validation users.

Naive Bayes edges R with their category lifts, and edges B from EASE, or from RP3beta where the
catalogue is too large for a dense matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
class EvidenceChoice:
    """Which closed forms to trust.

    Attributes:
        bayes: Options of naive Bayes.
        ridge: Of EASE; None where RP3beta stands in for it.
        penalty: Of popularity in RP3beta.
        most_edges: Edges kept of each item and sort before they are fused.
    """

    bayes: NaiveBayes
    ridge: float | None
    penalty: float = 0.0
    most_edges: int = 1000


@dataclass(frozen=True)
class Evidence:
    """Closed forms of a shop.

    Attributes:
        r: Naive Bayes edges, float32[n, n].
        lifts: Category lifts, float32[m, m].
        walks: Edges of EASE or RP3beta, float32[n, n], the strongest of a row 1 on average.
    """

    r: sparse.csr_array
    lifts: sparse.csr_array
    walks: sparse.csr_array


def build_evidence(data: TrainingData, choice: EvidenceChoice) -> Evidence:
    """Fit the closed forms as they were chosen."""
    c = data.cooccurrence(choice.bayes.length_discount)
    r, lifts = naive_bayes(c, choice.bayes, data.tree)
    if choice.ridge is None:
        walks = rp3(data.x, choice.penalty, choice.most_edges)
    else:
        walks = _strongest(ease(data.x, choice.ridge), choice.most_edges)
    strongest = walks.max(axis=1).toarray() if walks.nnz else np.ones(1)
    scale = np.float32(strongest[strongest > 0].mean())
    return Evidence(prune(r, choice.most_edges), lifts, sparse.csr_array(walks / scale))


def choose_evidence(
    data: TrainingData, arena: Arena, options: EvidenceOptions
) -> tuple[EvidenceChoice, dict[str, float]]:
    """Judge each closed form alone, beside the prior, on the validation users.

    Returns:
        The choice, and the figure of everything that was tried, by name.
    """
    judge = _Judge(data, arena)
    bayes = max(
        (NaiveBayes(s, rho) for rho in options.length_discounts for s in options.smoothings),
        key=judge.bayes,
    )
    if data.num_categories:
        backed = [replace(bayes, back_off=b) for b in options.back_offs]
        bayes = max([bayes, *backed], key=judge.bayes)
    ridge, penalty = None, options.penalties[0]
    if data.num_items <= EASE_MOST_ITEMS:
        step = 2 if data.num_items > _MANY_ITEMS else 1
        ridge = max(options.ridges[::step], key=judge.ridge)
    else:
        penalty = max(options.penalties, key=judge.penalty)
    return EvidenceChoice(bayes, ridge, penalty, options.most_edges), judge.figures


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

    def bayes(self, options: NaiveBayes) -> float:
        name = f"bayes s={options.smoothing:g} rho={options.length_discount:g} b={options.back_off}"
        if name not in self.figures:
            c = self.data.cooccurrence(options.length_discount)
            r, lifts = naive_bayes(c, options, self.data.tree)
            backed = lifts if options.back_off else None
            scores = [self._spread(items, r) + self._lift(items, backed) for items in self.items]
            self.figures[name] = self._best(scores, _PRIORS_BESIDE_BAYES)
        return self.figures[name]

    def ridge(self, ridge: float) -> float:
        return self._walks(ease(self.data.x, ridge), f"ease {ridge:g}")

    def penalty(self, penalty: float) -> float:
        most = EvidenceChoice.most_edges
        return self._walks(rp3(self.data.x, penalty, most), f"rp3beta {penalty:g}")

    def _walks(self, edges: sparse.csr_array | Floats, name: str) -> float:
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

    def _lift(self, items: sparse.csr_array, lifts: sparse.csr_array | None) -> Floats | float:
        if lifts is None:
            return 0.0
        primary, m = self.data.primary, self.data.num_categories
        known = np.flatnonzero(primary >= 0)
        ones = np.ones(len(known), np.float32)
        z = sparse.csr_array((ones, (known, primary[known])), shape=(len(primary), m))
        by_category = np.asarray(((items @ z) @ lifts).toarray(), np.float32)
        padded = np.pad(by_category, ((0, 0), (0, 1)))
        return padded[:, np.where(primary >= 0, primary, m)]

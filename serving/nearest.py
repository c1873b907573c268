"""Approximate retrieval for large catalogues: some hundred candidates, scored exactly.

All of a score but the item edges is about a product of two vectors: what a user brings (u, how
categories are lifted, profile, 1) and what an item has (w, how it answers to those lifts and
profiles, its popularity). The item vectors lie in cells around centres, as in an
inverted file (Jegou and others, Product quantization for nearest neighbor search, 2011; faiss), and
a user looks into the cells that can hold the highest products: a product in a cell is at most that
with its centre plus the user's length times the cell's radius, which one further dimension makes a
product too: of the length and the radius, and nothing for an item. The most popular items and those
that an edge of a given item leads to are added. All candidates get their exact scores, and only
items that a filter lets through are candidates: no answer is wrong about either, but one that is
no candidate is missed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import svds

from firstedge.graph.errors import MissingDependency
from firstedge.graph.histories import Given
from firstedge.models.scorer import Scorer, Terms, UserBatch
from firstedge.models.topk import top_k
from firstedge.serving.finder import Finder, Found, Wanted, in_order

try:
    import faiss as _faiss
    from faiss.contrib.ivf_tools import add_preassigned
except ImportError:
    raise MissingDependency("faiss-cpu", "approximate retrieval", "ann") from None

faiss: Any = _faiss  # its stubs know one of several signatures

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

_log = logging.getLogger(__name__)

_RANK = 32  # of the category and of the profile lifts, whose matrices are close to that rank
_ROUNDS = 10  # of learning them
_LEARN_FROM = 40  # items a cell that the cells are learned from
_ASKED = 64  # made-up users that the number of probes is chosen by
_STRAY = 0.7  # of the radius by which the best product of a cell surpasses that with its centre
_GIVEN = 5  # events of each, at most
_INTERESTED, _LEAST_WEIGHT = 0.2, 0.1  # share of events on categories; of an event


@dataclass(frozen=True)
class NearestOptions:
    """How near to exact.

    Attributes:
        recall: Share of the exact answer that made-up users get at least.
        k: Length of the answers that it is measured by.
        candidates: Items that are scored exactly, for an answer of up to a quarter of that.
        seed: Of what is random.
    """

    recall: float = 0.985
    k: int = 20
    candidates: int = 200
    seed: int = 0


class Nearest:
    """Finds the best items approximately. Safe to use from several threads.

    Args:
        scorer: What the scores are.
        options: How near to exact.
    """

    def __init__(self, scorer: Scorer, options: NearestOptions = NearestOptions()) -> None:
        self._scorer, self._options = scorer, options
        self._exact = Finder(scorer)
        bundle = scorer.bundle
        self._categories = _axes(bundle.category_lifts.matrix(), options.seed)
        profiles, self._profiled = _factors(bundle.profile_lifts.matrix(), options.seed)
        self._profiles = np.float32(bundle.coefficients.profile) * profiles
        self._index = self._build(self._item_vectors())
        self._always = self._always_of(scorer)
        self.probes = self._choose_probes()

    def find(self, users: UserBatch, wanted: Sequence[Wanted]) -> list[Found]:
        """The best items of each user, as of `Finder.find`.

        Args:
            users: Who.
            wanted: What each of them gets.
        """
        if not len(users):
            return []
        terms = self._scorer.terms(users)
        rows = self._candidates(terms, users, wanted, self.probes)
        short = [user for user, one in enumerate(wanted) if self._falls_short(rows[user], one)]
        found = self._settle(terms, rows, wanted)
        for user in short:  # the filter lets through too little of what is near
            found[user] = self._exact.find(users.take(user, user + 1), [wanted[user]])[0]
        return found

    def over(self, scorer: Scorer) -> Nearest:
        """The same for a bundle with further items behind its own, all of which are candidates."""
        other = copy(self)
        other._scorer, other._exact = scorer, Finder(scorer)
        other._always = self._always_of(scorer)
        return other

    def _always_of(self, scorer: Scorer) -> Ints:
        """Rows of the most popular items, and of those that the index does not know."""
        popular = top_k(scorer.static, self._options.candidates)
        return np.union1d(popular, np.arange(self._index.ntotal, scorer.num_items))

    def _candidates(
        self, terms: Terms, users: UserBatch, wanted: Sequence[Wanted], probes: int
    ) -> list[Ints]:
        """Rows that may be answered, for each user."""
        queries = self._queries(terms, users)
        led = np.concatenate([items for _, items, _ in terms.edges])
        led_by = np.concatenate([of for of, _, _ in terms.edges])
        given, rows = users.given, []
        for user, one in enumerate(wanted):
            near = self._near(queries[user : user + 1], one, probes)
            found = np.unique(np.concatenate((near, self._always, led[led_by == user])))
            if one.mask is not None:
                found = found[one.mask[found]]
            if one.exclude_given:
                span = slice(int(given.offsets[user]), int(given.offsets[user + 1]))
                found = found[~np.isin(found, given.targets[span])]
            rows.append(found)
        return rows

    def _falls_short(self, rows: Ints, one: Wanted) -> bool:
        """Whether too few were found although more may be answered."""
        return len(rows) < one.k and (
            one.mask is None or int(np.count_nonzero(one.mask)) > self._most(one)
        )

    def _most(self, one: Wanted) -> int:
        """How many items are looked for."""
        return max(self._options.candidates, 4 * one.k)

    def _near(self, query: Floats, one: Wanted, probes: int) -> Ints:
        """Rows of the items nearest to a query, of those that may be answered."""
        wanted, selector = self._most(one), None
        if one.mask is not None:
            allowed = int(np.count_nonzero(one.mask))
            if allowed <= wanted:
                return np.flatnonzero(one.mask)
            # The fewer may be answered, the further away are as many of them.
            probes = min(self._index.nlist, round(probes * len(one.mask) / allowed))
            bits = np.packbits(one.mask[: self._index.ntotal], bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)
        parameters = faiss.SearchParametersIVF(nprobe=probes, sel=selector)
        _, rows = self._index.search(query, wanted, params=parameters)
        return np.asarray(rows[0][rows[0] >= 0], np.int64)

    def _settle(self, terms: Terms, rows: Sequence[Ints], wanted: Sequence[Wanted]) -> list[Found]:
        """The candidates by their exact scores."""
        of = np.repeat(np.arange(len(rows)), [len(one) for one in rows])
        items = np.concatenate(rows)
        return in_order(of, items, self._scorer.score_pairs(terms, of, items), wanted)

    def _item_vectors(self) -> Floats:
        """float32[n, e], whose products with queries are about the scores."""
        scorer, bundle = self._scorer, self._scorer.bundle
        places = self._categories[scorer.category_of]
        nothing = np.zeros(scorer.num_items, np.float32)  # where cells have their radius
        parts = (bundle.w, places, self._profiled, scorer.static, nothing)
        return np.column_stack(parts).astype(np.float32)

    def _queries(self, terms: Terms, users: UserBatch) -> Floats:
        """float32[num_users, e], as of `_item_vectors`; the last are their lengths."""
        num_users = len(terms)
        lifted = np.zeros((num_users, self._categories.shape[1]), np.float32)
        if terms.lifts is not None:
            lifted = terms.lifts @ self._categories
        profile = np.zeros((num_users, self._profiles.shape[1]), np.float32)
        of = np.repeat(np.arange(num_users), users.profile_counts)
        np.add.at(profile, of, self._profiles[users.profile_rows])
        ones = np.ones(num_users, np.float32)
        queries = np.column_stack((terms.net, lifted, profile, ones))
        lengths = np.linalg.norm(queries, axis=1)
        return np.column_stack((queries, lengths)).astype(np.float32)

    def _build(self, vectors: Floats) -> Any:
        """An inverted file of the vectors, in cells by distance, asked by how far they reach."""
        num_cells = max(1, round(4 * len(vectors) ** 0.5))
        cells = faiss.Kmeans(
            vectors.shape[1],
            num_cells,
            niter=_ROUNDS,
            seed=self._options.seed,
            min_points_per_centroid=1,
            max_points_per_centroid=_LEARN_FROM,
        )
        cells.train(vectors)
        squares, nearest = cells.index.search(vectors, 1)
        radii = np.zeros(num_cells, np.float32)
        np.maximum.at(radii, nearest[:, 0], np.sqrt(np.maximum(squares[:, 0], 0)))
        centres = cells.centroids.copy()
        centres[:, -1] = _STRAY * radii
        reach = faiss.IndexFlatIP(vectors.shape[1])
        reach.add(centres)
        index = faiss.IndexIVFFlat(reach, reach.d, num_cells, faiss.METRIC_INNER_PRODUCT)
        add_preassigned(index, vectors, nearest[:, 0])
        return index

    def _choose_probes(self) -> int:
        """About the fewest cells whose candidates give the recall that is wanted."""
        users, k = self._made_up(), self._options.k
        wanted = [Wanted(k)] * len(users)
        exact = [set(one.rows.tolist()) for one in self._exact.find(users, wanted)]
        total = sum(map(len, exact))
        terms, probes = self._scorer.terms(users), 1
        while probes < self._index.nlist:
            found = self._settle(terms, self._candidates(terms, users, wanted, probes), wanted)
            pairs = zip(found, exact, strict=True)
            recall = sum(len(best.intersection(one.rows.tolist())) for one, best in pairs) / total
            if recall >= self._options.recall:
                _log.info("%d of %d cells: recall %.3f", probes, self._index.nlist, recall)
                break
            probes += 1 + probes // 4
        return min(probes, self._index.nlist)

    def _made_up(self) -> UserBatch:
        """Users with up to a few events, half of them on what is popular, and a profile value."""
        bundle, rng = self._scorer.bundle, np.random.default_rng(self._options.seed)
        counts = rng.integers(0, _GIVEN + 1, _ASKED)
        offsets = np.concatenate(([0], np.cumsum(counts)))
        num_events, num_items = int(offsets[-1]), len(bundle.items)
        shares = np.exp(bundle.prior.astype(np.float64) - bundle.prior.max())
        shares = shares / shares.sum() / 2 + 0.5 / num_items
        targets = rng.choice(num_items, num_events, p=shares)
        if len(bundle.categories):
            interests = num_items + rng.integers(0, len(bundle.categories), num_events)
            targets = np.where(rng.random(num_events) < _INTERESTED, interests, targets)
        ranks = np.arange(num_events) - np.repeat(offsets[:-1], counts)
        weights = rng.uniform(_LEAST_WEIGHT, 1, num_events).astype(np.float32)
        kinds = np.zeros(num_events, np.int64)
        known = min(len(bundle.profile_values), 1) * np.arange(_ASKED + 1)
        values = rng.integers(0, max(len(bundle.profile_values), 1), known[-1])
        return UserBatch(Given(offsets, targets, kinds, ranks, weights), known, values)


def _axes(lifts: sparse.csr_array, seed: int) -> Floats:
    """float32[m + 1, q]: orthonormal axes of category lifts, nothing for "no category"."""
    m = lifts.shape[1]
    axes = np.eye(m) if m <= _RANK else svds(lifts, _RANK, random_state=seed)[2].T
    return np.pad(axes, ((0, 1), (0, 0))).astype(np.float32)


def _factors(lifts: sparse.csr_array, seed: int) -> tuple[Floats, Floats]:
    """float32[f, q] and float32[n, q], whose products are about the profile lifts [f, n]."""
    if lifts.shape[0] <= _RANK:
        return np.eye(lifts.shape[0], dtype=np.float32), lifts.toarray().T
    left, sizes, right = svds(lifts, _RANK, random_state=seed)
    scale = np.sqrt(sizes)
    return (left * scale).astype(np.float32), (right.T * scale).astype(np.float32)

"""The closed-form half of the model: which counts to trust, chosen on validation users.

Sorts of item edges, which err in different ways: naive Bayes R with its category lifts, and
RP3beta's walks. Where a catalogue is so large that most items were never chosen together, the
factors of iALS and the lowest frequencies of the graph relate the rest; where it is too large for
these, walks go on for another round over the users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from firstedge.models.baselines import TrainingData, given_items
from firstedge.models.closed_forms import NaiveBayes, naive_bayes, rp3
from firstedge.models.edges import prune, prune_product
from firstedge.models.factors import FACTORS_MOST_ITEMS, IALS, factor_edges
from firstedge.models.fusion import Arena, Block
from firstedge.models.patterns import is_full
from firstedge.models.spectrum import spectral_edges

Floats = npt.NDArray[np.float32]

# Sorts of edges between items.
SORTS = ("bayes", "walks", "far_walks", "factors", "spectrum")
# Weights of the log prior beside edges of each sort, tried when edges are judged alone.
_PRIORS_BESIDE_BAYES = (0.5, 1.0)
_PRIORS_BESIDE_WALKS = (0.03, 0.1, 0.3)
# Edges of a sort at most: half a GiB.
MOST_EDGES = 1 << 26
# Frequencies at most: more of them take longer, and tell nothing more where it was tried.
MOST_FREQUENCIES = 512
# Items that a far walk passes through, and where it goes on from there, at most.
_PASSED, _ONWARD = 100, 300


@dataclass(frozen=True)
class EvidenceOptions:
    """What is tried, one option after the other, each from the best of those before.

    Attributes:
        start: Naive Bayes to begin with.
        smoothings: Of naive Bayes.
        length_discounts: Of naive Bayes.
        back_offs: Of naive Bayes.
        walks: Pairs of alpha and beta of RP3beta.
        factors: Of the factors of a large catalogue.
        frequencies: Of its spectrum, for the square root of the number of training users.
        most_edges: Edges kept of each item and sort before they are fused; all of a catalogue
            whose edges are a full table, and fewer of one of which they would be too many.
    """

    start: NaiveBayes = field(default_factory=NaiveBayes)
    smoothings: tuple[float, ...] = (10, 30, 100, 300, 1000)
    length_discounts: tuple[float, ...] = (0.0, 0.5)
    back_offs: tuple[float, ...] = (0.0, 0.5, 0.9)
    walks: tuple[tuple[float, float], ...] = (
        (0.5, 0.3),
        (0.5, 0.0),  # a catalogue of few events an item: what is popular is safe
        (0.3, 0.5),
        (0.6, 0.5),
        (0.8, 0.5),  # a dense one
    )
    factors: IALS = field(default_factory=IALS)
    frequencies: float = 2.0
    most_edges: int = 1000


@dataclass(frozen=True)
class EvidenceChoice:
    """Which closed forms to trust.

    Attributes:
        bayes: Options of naive Bayes.
        walks: alpha and beta of RP3beta.
        factors: Of a large catalogue; None where it is small, or too large for these.
        most_edges: Edges kept of each item and sort before they are fused.
        far_walks: Whether walks go on for another round, in place of factors and spectrum.
        frequencies: Of the spectrum; 0 where there are no factors.
    """

    bayes: NaiveBayes
    walks: tuple[float, float]
    factors: IALS | None
    most_edges: int
    far_walks: bool = False
    frequencies: int = 0


@dataclass(frozen=True)
class Evidence:
    """Closed forms of a shop.

    Attributes:
        lifts: Category lifts of naive Bayes, float32[m, m].
        edges: By sort, see SORTS, float32[n, n]. All but the first are scaled: the strongest edge
            of an item is 1 on average.
    """

    lifts: sparse.csr_array
    edges: dict[str, sparse.csr_array]

    def mixed(self, mix: Mapping[str, float]) -> sparse.csr_array:
        """The sum of the sorts of edges, each times its weight by name, float32[n, n]."""
        total = None
        for name, edges in self.edges.items():
            if mix[name]:
                parts = (np.float32(mix[name]) * edges.data, edges.indices, edges.indptr)
                part = sparse.csr_array(parts, shape=edges.shape)
                total = part if total is None else sparse.csr_array(total + part)
        shape = next(iter(self.edges.values())).shape
        return sparse.csr_array(shape, dtype=np.float32) if total is None else total


def build_evidence(data: TrainingData, choice: EvidenceChoice) -> Evidence:
    """Fit the closed forms as they were chosen."""
    r, lifts = _bayes(data, choice.bayes)
    kept = {"bayes": prune(r, choice.most_edges, data.importance)}
    del r  # one sort of edges at a time
    kept["walks"] = prune(_walks(data, choice.walks), choice.most_edges, data.importance)
    if choice.far_walks:
        far = far_walks(kept["walks"], choice.most_edges, data.importance)
        kept["far_walks"] = _to_scale(far)
    if choice.factors is not None:
        kept["factors"] = _to_scale(factor_edges(data, choice.factors, choice.most_edges))
    if choice.frequencies:
        kept["spectrum"] = _to_scale(spectral_edges(data, choice.frequencies, choice.most_edges))
    return Evidence(lifts, kept)


def far_walks(walks: sparse.csr_array, most: int, importance: Floats) -> sparse.csr_array:
    """Walks of two rounds over the users, float32[n, n]: where one round ends, the next begins.

    What has few events has few neighbours; theirs are further answers. Only the strongest steps are
    followed.

    Args:
        walks: Of one round, float32[n, n], not negative.
        most: Edges to keep of each item.
        importance: float32[n], see `prune`.
    """
    first, onward = prune(walks, _PASSED), prune(walks, _ONWARD, importance)
    sums = first.sum(axis=1)[:, None]
    first = sparse.csr_array(first / np.where(sums > 0, sums, 1))
    # One edge more than is kept: an item's own way back to itself may be among them.
    found = prune_product(first, onward, most + 1, importance)
    rows = np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
    found.data[found.indices == rows] = 0
    return prune(found, most, importance)


def choose_evidence(
    data: TrainingData, arena: Arena, options: EvidenceOptions
) -> tuple[EvidenceChoice, dict[str, float]]:
    """Judge each closed form alone, beside the prior, on the validation users.

    Returns:
        The choice, and the figure of everything that was tried, by name.
    """
    judge = _Judge(data, arena)
    bayes = options.start
    for name, values in (
        ("length_discount", options.length_discounts),
        ("smoothing", options.smoothings),
        ("back_off", options.back_offs if data.num_categories else ()),
    ):
        bayes = max([bayes, *(replace(bayes, **{name: v}) for v in values)], key=judge.bayes)
    walks = max(options.walks, key=judge.walks)
    n = data.num_items
    if is_full(n):
        return EvidenceChoice(bayes, walks, None, n), judge.figures
    most = min(options.most_edges, max(1, MOST_EDGES // n))
    if n > FACTORS_MOST_ITEMS:
        return EvidenceChoice(bayes, walks, None, most, far_walks=True), judge.figures
    frequencies = round(options.frequencies * data.x.shape[0] ** 0.5)
    frequencies = min(max(1, frequencies), MOST_FREQUENCIES)
    choice = EvidenceChoice(bayes, walks, options.factors, most, frequencies=frequencies)
    return choice, judge.figures


def _bayes(data: TrainingData, options: NaiveBayes) -> tuple[sparse.csr_array, sparse.csr_array]:
    rho = options.length_discount
    return naive_bayes(data.cooccurrence(rho), options, data.tree, data.pair_totals(rho))


def _walks(data: TrainingData, walks: tuple[float, float]) -> sparse.csr_array:
    alpha, beta = walks
    return _to_scale(rp3(data.cooccurrence(alpha), data.counts, alpha, beta))


def _to_scale(edges: sparse.csr_array) -> sparse.csr_array:
    """The same edges, the strongest of an item 1 on average."""
    strongest = edges.max(axis=1).toarray()
    positive = strongest[strongest > 0]
    return sparse.csr_array(edges / np.float32(positive.mean() if len(positive) else 1.0))


class _Judge:
    """Figures of closed forms beside the prior, each computed once."""

    def __init__(self, data: TrainingData, arena: Arena) -> None:
        self.data, self.arena = data, arena
        self.items = [given_items(block.users.given, data.num_items, 0.5) for block in arena.blocks]
        self.figures: dict[str, float] = {}

    def bayes(self, options: NaiveBayes) -> float:
        name = f"bayes s={options.smoothing:g} rho={options.length_discount:g} b={options.back_off}"
        if name not in self.figures:
            r, lifts = _bayes(self.data, options)
            backed = lifts if options.back_off else None
            self.figures[name] = self._best(
                lambda items: self._spread(items, r) + self._lift(items, backed),
                _PRIORS_BESIDE_BAYES,
            )
        return self.figures[name]

    def walks(self, walks: tuple[float, float]) -> float:
        edges = _walks(self.data, walks)
        figure = self._best(lambda items: self._spread(items, edges), _PRIORS_BESIDE_WALKS)
        self.figures[f"rp3beta {walks[0]:g} {walks[1]:g}"] = figure
        return figure

    def _best(self, spread: Callable[[sparse.csr_array], Floats], priors: Sequence[float]) -> float:
        def scores(block: Block) -> Iterator[Floats]:
            said = spread(self.items[block.number])
            return (said + np.float32(eta) * self.data.log_prior for eta in priors)

        return self.arena.best(scores)[0]

    def _spread(self, items: sparse.csr_array, edges: sparse.csr_array) -> Floats:
        return np.asarray((items @ edges).toarray(), np.float32)

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

"""Fusing a draft: sorts of edges are weighed, their sum is pruned, and all is weighed again.

Many mixtures of sorts answer equally well as long as they are whole; what pruning leaves of them
does not. So several climbs go all the way, each from a start of its own, and the best is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from firstedge.graph.histories import NO_TIME
from firstedge.models.assemble import ByK, Draft, assemble, newcomer_values, one_over_k
from firstedge.models.baselines import TrainingData, recent_log_prior
from firstedge.models.borrowed import borrow, lenders
from firstedge.models.bundle import Bundle, Coefficients
from firstedge.models.edges import Edges
from firstedge.models.fusion import Arena, Channel, Found, Pool, Shortlist, climb
from firstedge.models.patterns import EdgeParts
from firstedge.models.scorer import Scorer, UserBatch

Floats = npt.NDArray[np.float32]

TERMS = ("prior", "net", "category", "interest", "profile")
NONE = Coefficients(prior=0.0)
# Parts of the edges between items.
PARTS = ("edges", "lean", "patterns")
# Half-lives of the popularity of late that are tried, in days.
HALF_LIVES = (7.0, 30.0, 90.0, 365.0)
# Weight of an interest in a category where no validation user has shown one.
UNSEEN_INTEREST = 1.0
# Coefficients of a usual size, by channel.
USUAL = {
    "prior": 1.0,
    "fading_prior": 0.5,
    "recent": 1.0,
    "start_prior": 1.0,
    "start_recent": 1.0,
    "start_net": 1.0,
    "bayes": 1.0,
    "walks": 3.0,
    "far_walks": 3.0,
    "factors": 3.0,
    "spectrum": 3.0,
    "edges": 1.0,
    "lean": 1.0,
    "patterns": 1.0,
    "net": 1.0,
    "category": 1.0,
    "interest": 1.0,
    "profile": 0.5,
    "text": 2.0,
}
# Coefficients that climbs start from: everything, little more than walks, and much of the net.
STARTS: tuple[Mapping[str, float], ...] = (
    {"prior": 0.5, "bayes": 0.3, "walks": 1.5, "far_walks": 3.0, "factors": 1.5}
    | {"spectrum": 1.5, "net": 0.5, "category": 0.3, "start_prior": 0.5, "start_net": 0.5},
    {"prior": 0.5, "walks": 4.0, "spectrum": 1.5, "net": 0.5, "start_prior": 1.0},
    {"prior": 0.1, "bayes": 0.2, "factors": 0.5, "spectrum": 1.5, "net": 1.0, "start_recent": 1.0},
)


@dataclass(frozen=True)
class Fusion:
    """What was chosen.

    Attributes:
        mix: Weights of the sorts of edges in S.
        sizes: Weights of the parts of S, in the order of PARTS.
        most_edges: Edges kept of each item.
        half_life: Of the popularity of late, in days.
        by_k: Weights within the vectors.
        coefficients: Of the other terms; repeats apart.
        borrowed: Weight of the edges that items without an event borrow.
        objective: Mean NDCG over validation users and ks, of the pruned model.
        trials: Combinations that were evaluated.
    """

    mix: Mapping[str, float]
    sizes: tuple[float, float, float]
    most_edges: int
    half_life: float
    by_k: ByK
    coefficients: Coefficients
    borrowed: float
    objective: float
    trials: int


def choose_half_life(data: TrainingData, arena: Arena) -> float:
    """The half-life whose popularity alone answers best, in days; 0 where no event has a time."""
    if not (data.histories.times != NO_TIME).any():
        return 0.0
    lates = [late_popularity(data, half_life) for half_life in HALF_LIVES]
    found = arena.best(lambda block: (np.tile(late, (len(block.users), 1)) for late in lates))
    return HALF_LIVES[found[1]]


def late_popularity(data: TrainingData, half_life: float) -> Floats:
    """float32[n], log popularity of late; zeros where the half-life is 0."""
    if not half_life:
        return np.zeros(data.num_items, np.float32)
    return recent_log_prior(data.histories, half_life)


@dataclass(frozen=True)
class FuseOptions:
    """How a draft is fused.

    Attributes:
        most_edges: Edges kept of each item.
        half_life: Of the draft's popularity of late, in days.
        without: Channels that are left out.
    """

    most_edges: int
    half_life: float
    without: frozenset[str] = frozenset()


def fuse(draft: Draft, arena: Arena, options: FuseOptions) -> Fusion:
    """Choose every coefficient on validation users, but those of repeats and of new items.

    Args:
        draft: The parts.
        arena: Validation requests.
        options: How.
    """
    terms, without = Terms(draft), options.without
    channels = {name: one for name, one in terms.channels().items() if name not in without}
    sorts = {
        name: terms.edges(edges)
        for name, edges in draft.evidence.edges.items()
        if name not in without
    }
    shortlist = Shortlist.of(arena, channels)
    # Where histories are too short for any request to show a term, it stays at a usual weight.
    unseen = {name: STARTS[0].get(name, 0.0) for name in (*sorts, *channels)}
    unseen["interest"] = UNSEEN_INTEREST

    def pruned(free: Found) -> tuple[dict[str, float], Found]:
        """Its mixture of sorts, and what is found around the edges that stay of it."""
        weights = {**unseen, **free.weights}
        mix = {name: weights.get(name, 0.0) for name in draft.evidence.edges}
        apart = draft.edge_parts(mix).pruned(options.most_edges, draft.data.importance)
        parts = {name: one for name, one in terms.parts(apart).items() if name not in without}
        ones = dict.fromkeys(parts, 1.0)
        start = {**free.weights, **ones}
        found = climb(Pool(arena, shortlist, parts, (start,)), start, USUAL)
        return mix, replace(found, weights={**ones, **found.weights})

    whole = Pool(arena, shortlist, sorts, STARTS)
    unpruned = [climb(whole, start, USUAL) for start in STARTS]
    tried = [pruned(free) for free in unpruned]
    mix, found = max(tried, key=lambda pair: pair[1].objective)
    weights = {**unseen, **found.weights}
    edges, lean, patterns = (weights.get(name, 0.0) for name in PARTS)
    coefficients = Coefficients(**{name: weights.get(name, 0.0) for name in TERMS})
    weights |= dict.fromkeys(("new_text", "later_text"), weights.get("text", 0.0))
    by_k = ByK(**{field.name: weights.get(field.name, 0.0) for field in fields(ByK)})
    return Fusion(
        mix=mix,
        sizes=(edges, lean, patterns),
        most_edges=options.most_edges,
        half_life=options.half_life,
        by_k=by_k,
        coefficients=coefficients,
        borrowed=0.0,
        objective=found.objective,
        trials=sum(one.trials for one in (*unpruned, *(found for _, found in tried))),
    )


def finish(draft: Draft, fusion: Fusion) -> Bundle:
    """The bundle of a draft, fused as was chosen."""
    data, most, apart = draft.data, fusion.most_edges, draft.edge_parts(fusion.mix)
    parts = apart.pruned(most, data.importance).weighed(*fusion.sizes)
    if fusion.borrowed:
        new, known = np.flatnonzero(data.counts == 0), np.flatnonzero(data.counts)
        shares = lenders(draft.snapshot.item_text @ draft.text_axes, new, known)
        lent = borrow(apart, np.float32(fusion.borrowed) * shares, most, data.importance)
        parts = parts.with_new(new, lent.weighed(*fusion.sizes))
    return assemble(draft, parts, fusion.coefficients, fusion.by_k)


class Terms:
    """The channels of a draft: each term of the score alone, with weight 1."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.none = self._bundle(NONE, ByK())

    def channels(self) -> dict[str, Channel]:
        """All but the edges between items; those that cannot be anything but zero are left out."""
        draft, net = self.draft, self.draft.learned
        prior, late = self.none.prior, newcomer_values(draft.late, draft.data)
        later = np.minimum(np.arange(len(net.c)), 1).astype(np.float32)
        channels = {
            "prior": _by_k(later, prior),
            "fading_prior": _by_k(one_over_k(len(net.c)), prior),
            "start_prior": _by_k(1 - later, prior),
            "start_net": _by_k(1 - later, net.w @ net.c[0] + net.g[0] * prior),
        }
        if late.any():
            channels |= {"recent": _by_k(later, late), "start_recent": _by_k(1 - later, late)}
        channels["net"] = Scorer(self._bundle(replace(NONE, net=1.0), ByK())).score
        for name in TERMS[2:]:
            if _matters(self.none, name):
                channels[name] = self._alone(replace(NONE, **{name: 1.0}))
        if draft.text_axes.shape[1] and draft.snapshot.item_text.any():
            channels["text"] = Scorer(self._bundle(NONE, ByK(text=1.0, new_text=1.0))).score
        return channels

    def edges(self, edges: sparse.csr_array) -> Channel:
        """Edges between items."""
        return self._alone(NONE, Edges.of(edges))

    def parts(self, parts: EdgeParts) -> dict[str, Channel]:
        """The parts of edges, by the names of PARTS."""
        ones, lean = np.ones((len(parts.lean), 1), np.float32), parts.lean[:, None]
        found = {"edges": self.edges(parts.edges), "lean": self._factors(ones, lean)}
        if parts.patterns[1].any():
            found["patterns"] = self._factors(*parts.patterns)
        return found

    def _factors(self, x: Floats, y: Floats) -> Channel:
        """Edges x_i . y_j, of x and y float32[n, r]."""
        scorer = Scorer(self.none)
        return lambda users: np.asarray((scorer.given_items(users.given) @ x) @ y.T, np.float32)

    def _alone(self, coefficients: Coefficients, edges: Edges | None = None) -> Channel:
        """A term that the net and the lean have no part in; their products are not computed."""
        return Scorer(
            replace(self.none, coefficients=coefficients, edges=edges or self.none.edges)
        ).score

    def _bundle(self, coefficients: Coefficients, by_k: ByK) -> Bundle:
        parts = EdgeParts.none(len(self.draft.snapshot.items))
        return assemble(self.draft, parts, coefficients, by_k)


def _matters(bundle: Bundle, term: str) -> bool:
    """Whether a term can be anything but zero."""
    if term in ("category", "interest"):
        return len(bundle.category_lifts) > 0
    return term != "profile" or len(bundle.profile_lifts) > 0


def _by_k(weights: Floats, items: Floats) -> Channel:
    """What all users with k edges are told alike: weights[min(k, K - 1)] * items."""

    def score(users: UserBatch) -> Floats:
        steps = np.minimum(users.given.counts, len(weights) - 1)
        told: Floats = weights[steps][:, None] * items
        return told

    return score

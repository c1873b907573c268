"""Fusing a draft: coefficients chosen, edges pruned once, the rest chosen again around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from firstedge.graph.histories import NO_TIME
from firstedge.models.assemble import Draft, assemble
from firstedge.models.baselines import TrainingData, recent_log_prior
from firstedge.models.bundle import Bundle, Coefficients
from firstedge.models.closed_forms import pair_counts
from firstedge.models.edges import Edges, prune
from firstedge.models.evidence import Evidence
from firstedge.models.fusion import Arena, search
from firstedge.models.scorer import Scorer

Floats = npt.NDArray[np.float32]

TERMS = ("prior", "net", "category", "interest", "profile", "text")
NONE = Coefficients(prior=0.0)
# Of the popularity of late that the prior may lean to.
HALF_LIFE_DAYS = 30.0
# Weight of an interest in a category where no validation user has shown one.
UNSEEN_INTEREST = 1.0
# Coefficients of a usual size, by channel.
USUAL = {
    "prior": 1.0,
    "recent": 1.0,
    "bayes": 1.0,
    "walks": 3.0,
    "ridge": 3.0,
    "edges": 1.0,
    "lean": 1.0,
    "net": 1.0,
    "category": 1.0,
    "interest": 1.0,
    "profile": 0.5,
    "text": 2.0,
}
STARTS: tuple[Mapping[str, float], ...] = (
    {"prior": 0.5, "bayes": 0.3, "walks": 1.5, "ridge": 1.5, "net": 0.5, "category": 0.3},
    {"prior": 0.5, "walks": 4.0, "ridge": 2.0},
    {"prior": 0.1, "bayes": 0.2, "ridge": 0.5, "net": 1.0},
)


@dataclass(frozen=True)
class Fusion:
    """What was chosen.

    Attributes:
        mix: Weights of the sorts of edges in S.
        sizes: Weights of the pruned deviations and of the column means of S.
        most_edges: Edges kept of each item.
        recency: Share of the recent popularity in the prior.
        coefficients: Of the other terms; repeats apart.
        objective: Mean NDCG over validation users and ks, of the pruned model.
        trials: Combinations that were evaluated.
    """

    mix: Mapping[str, float]
    sizes: tuple[float, float]
    most_edges: int
    recency: float
    coefficients: Coefficients
    objective: float
    trials: int


def fuse(draft: Draft, arena: Arena, most_edges: int) -> Fusion:
    """Choose every coefficient but that of repeats on validation users.

    Args:
        draft: The parts.
        arena: Validation requests.
        most_edges: Edges kept of each item.
    """
    evidence, n = draft.evidence, len(draft.snapshot.items)
    zeros = np.zeros(n, np.float32)
    empty = assemble(draft, draft.data.log_prior, Edges.none(n, n), zeros, NONE)
    terms = {name: _term(draft, name, arena) for name in TERMS if _matters(empty, name)}
    channels = {name: _edges_channel(empty, edges, arena) for name, edges in evidence.edges.items()}
    free = search(arena, terms | channels, STARTS, USUAL)
    mix = {name: free.weights.get(name, 0.0) for name in evidence.edges}
    edges, lean = prune_around_mean(mixture(evidence, mix), most_edges)
    channels = {
        "edges": _edges_channel(empty, edges, arena),
        "lean": _lean_channel(empty, lean, arena),
    }
    starts = tuple({**free.weights, "edges": size, "lean": size} for size in (1.0, 0.5))
    found = search(arena, terms | channels, starts, USUAL)
    sizes = (found.weights.get("edges", 0.0), found.weights.get("lean", 0.0))
    weights = {"interest": UNSEEN_INTEREST, "recent": 0.0, **found.weights}
    weights["prior"] += weights["recent"]
    recency = weights["recent"] / weights["prior"] if weights["prior"] else 0.0
    coefficients = Coefficients(**{name: weights.get(name, 0.0) for name in TERMS})
    trials = free.trials + found.trials
    return Fusion(mix, sizes, most_edges, recency, coefficients, found.objective, trials)


def finish(draft: Draft, fusion: Fusion) -> Bundle:
    """The bundle of a draft, fused as was chosen."""
    edges, lean = prune_around_mean(mixture(draft.evidence, fusion.mix), fusion.most_edges)
    sized = sparse.csr_array(edges * np.float32(fusion.sizes[0]))
    counted = Edges.of(sized, pair_counts(draft.data.x, sized))
    prior, recent = draft.data.log_prior, recent_prior(draft.data)
    if recent is not None:
        prior = prior + np.float32(fusion.recency) * (recent - prior)
    return assemble(draft, prior, counted, lean * np.float32(fusion.sizes[1]), fusion.coefficients)


def recent_prior(data: TrainingData) -> Floats | None:
    """float32[n], log popularity of late; None where no event has a time."""
    if not (data.histories.times != NO_TIME).any():
        return None
    return recent_log_prior(data.histories, HALF_LIFE_DAYS)


def mixture(evidence: Evidence, mix: Mapping[str, float]) -> sparse.csr_array:
    """S, the weighted sum of the sorts of edges, float32[n, n]."""
    shape = next(iter(evidence.edges.values())).shape
    total = sparse.csr_array(shape, dtype=np.float32)
    for name, edges in evidence.edges.items():
        if mix[name]:
            total = total + np.float32(mix[name]) * edges
    return sparse.csr_array(total)


def prune_around_mean(s: sparse.csr_array, most: int) -> tuple[sparse.csr_array, Floats]:
    """Split edges into the mean of each column and the strongest deviations from it.

    Returns:
        At most ``most`` deviations of each row, and float32[n], the means. An edge that is not
        kept is then worth the mean, which loses far less than taking it for nothing.
    """
    mean = np.asarray(s.mean(axis=0), np.float32).ravel()
    deviation = sparse.csr_array((s.data - mean[s.indices], s.indices, s.indptr), shape=s.shape)
    return prune(deviation, most, by_size=True), mean


def _matters(bundle: Bundle, term: str) -> bool:
    """Whether a term can be anything but zero."""
    if term in ("category", "interest"):
        return len(bundle.category_lifts) > 0
    if term == "profile":
        return len(bundle.profile_lifts) > 0
    return term != "text" or bool(bundle.text.any())


def _term(draft: Draft, name: str, arena: Arena) -> Sequence[Floats]:
    n = len(draft.snapshot.items)
    alone = replace(NONE, **{name: 1.0})
    zeros = np.zeros(n, np.float32)
    bundle = assemble(draft, draft.data.log_prior, Edges.none(n, n), zeros, alone)
    return arena.tabulate(Scorer(bundle).score)


def _edges_channel(bundle: Bundle, edges: sparse.csr_array, arena: Arena) -> Sequence[Floats]:
    return arena.tabulate(Scorer(replace(bundle, edges=Edges.of(edges))).score)


def _lean_channel(bundle: Bundle, lean: Floats, arena: Arena) -> Sequence[Floats]:
    w = bundle.w.copy()
    w[:, -1] = lean
    return arena.tabulate(Scorer(replace(bundle, w=w)).score)

"""Fusing a draft: coefficients chosen, edges pruned once, the rest chosen again around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from firstedge.models.assemble import Draft, assemble
from firstedge.models.bundle import Bundle, Coefficients
from firstedge.models.closed_forms import with_counts
from firstedge.models.edges import Edges, prune
from firstedge.models.fusion import Arena, Found, search
from firstedge.models.scorer import Scorer

Floats = npt.NDArray[np.float32]

TERMS = ("prior", "net", "category", "profile", "text")
NONE = Coefficients(prior=0.0)
# Coefficients of a usual size, by channel.
USUAL = {
    "prior": 1.0,
    "bayes": 1.0,
    "ridge": 3.0,
    "edges": 1.0,
    "lean": 1.0,
    "net": 1.0,
    "category": 1.0,
    "profile": 0.5,
    "text": 2.0,
}
STARTS: tuple[Mapping[str, float], ...] = (
    {"prior": 0.5, "bayes": 0.5, "ridge": 1.5, "net": 0.5, "category": 0.5},
    {"prior": 1.0, "bayes": 1.0, "category": 1.0},
    {"prior": 0.1, "bayes": 0.2, "ridge": 0.5, "net": 1.0},
)


def fuse(draft: Draft, arena: Arena, most_edges: int) -> tuple[Bundle, Found]:
    """Choose every coefficient but that of repeats on validation users.

    Args:
        draft: The parts.
        arena: Validation requests.
        most_edges: Edges kept of each item.

    Returns:
        The bundle, and what the validation users said of it.
    """
    bayes, ridge = draft.evidence.r, draft.evidence.ridge
    zeros = np.zeros(bayes.shape[0], np.float32)
    empty = assemble(draft, Edges.none(*bayes.shape), zeros, NONE)
    terms = {name: _term(draft, name, arena) for name in TERMS if _matters(empty, name)}
    whole = {"bayes": bayes, "ridge": ridge}
    channels = {name: _edges_channel(empty, edges, arena) for name, edges in whole.items()}
    free = search(arena, terms | channels, STARTS, USUAL)
    s = sparse.csr_array(free.weights["bayes"] * bayes + free.weights["ridge"] * ridge)
    edges, lean = prune_around_mean(s, most_edges)
    channels = {
        "edges": _edges_channel(empty, edges, arena),
        "lean": _lean_channel(empty, lean, arena),
    }
    starts = tuple({**free.weights, "edges": size, "lean": size} for size in (1.0, 0.5))
    found = search(arena, terms | channels, starts, USUAL)
    size = {name: np.float32(found.weights[name]) for name in channels}
    bundle = assemble(
        draft,
        with_counts(edges * size["edges"], draft.data.x),
        lean * size["lean"],
        Coefficients(**{name: found.weights.get(name, 0.0) for name in TERMS}),
    )
    return bundle, Found(found.weights, found.objective, free.trials + found.trials)


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
    if term == "category":
        return len(bundle.category_lifts) > 0
    if term == "profile":
        return len(bundle.profile_lifts) > 0
    return term != "text" or bool(bundle.text.any())


def _term(draft: Draft, name: str, arena: Arena) -> Floats:
    n = len(draft.snapshot.items)
    alone = replace(NONE, **{name: 1.0})
    return _scores(assemble(draft, Edges.none(n, n), np.zeros(n, np.float32), alone), arena)


def _edges_channel(bundle: Bundle, edges: sparse.csr_array, arena: Arena) -> Floats:
    return _scores(replace(bundle, edges=Edges.of(edges)), arena)


def _lean_channel(bundle: Bundle, lean: Floats, arena: Arena) -> Floats:
    w = bundle.w.copy()
    w[:, -1] = lean
    return _scores(replace(bundle, w=w), arena)


def _scores(bundle: Bundle, arena: Arena) -> Floats:
    scorer = Scorer(bundle)
    return np.concatenate([scorer.score(users) for users in arena.users])

"""How much text says about items that nobody chose yet: chosen on items that are hidden for it.

Text weighs little beside edges, but an item without edges has little else. So it has a weight of
its own there. Each tenth of the items is hidden in turn: it gets the vectors of newcomers, no user
is given it, and validation users who chose some of it are asked which. The net is not trained
anew, it is asked without the hidden items' own vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
import torch

from firstedge.graph.histories import Given, Histories
from firstedge.models import metrics
from firstedge.models.assemble import ByK, Draft, assemble
from firstedge.models.batches import with_profiles
from firstedge.models.bundle import Bundle, Coefficients
from firstedge.models.edges import Edges
from firstedge.models.metrics import Targets
from firstedge.models.newcomers import embed_newcomers
from firstedge.models.scorer import Scorer, UserBatch

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# Parts of the items that are hidden in turn, and items of a part at most.
PARTS, MOST_HIDDEN = 10, 5000
# Length of the lists that answer.
K = 20
# Weights that are tried; of equals the first. Then the best one is moved up and down by a factor.
WEIGHTS = (0.0, 1.0, 4.0, 16.0, 64.0)
FACTORS = (2.0, 1.5)


@dataclass(frozen=True)
class Asked:
    """Users, what they are given, and the hidden items that they chose.

    Attributes:
        users: What is given, no hidden item among it.
        targets: Of the same users; item rows.
    """

    users: UserBatch
    targets: Targets


@dataclass(frozen=True)
class Askable:
    """Users who may be asked.

    Attributes:
        histories: Their events that speak.
        known: Their profiles and texts.
        kind_weights: float32[num_kinds].
    """

    histories: Histories
    known: UserBatch
    kind_weights: Floats


@dataclass(frozen=True)
class HideOptions:
    """How items are hidden and asked for.

    Attributes:
        ks: Numbers of given items, each at least 1.
        most_cells: Scores computed in all, by which large catalogues ask fewer users.
        least_users: Who must be asked for an answer to count.
        seed: Of what is hidden.
    """

    ks: Sequence[int]
    most_cells: int
    least_users: int
    seed: int


def ask_hidden(askable: Askable, hidden: Bools, given: int, most: int | None = None) -> Asked:
    """Users with that many first items that are not hidden, and with a hidden one.

    Args:
        askable: Who.
        hidden: bool[num_items].
        given: How many of their items are given.
        most: Users who are asked at most.
    """
    histories = askable.histories
    touches = histories.touches()
    of = np.repeat(np.arange(len(histories)), touches.counts)
    wanted = hidden[touches.items]
    seen = without(histories, hidden)
    able = np.bincount(of[wanted], minlength=len(histories)) > 0
    rows = np.flatnonzero(able & (seen.touches().counts >= given))
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:most])
    keep = wanted & np.isin(of, rows)
    counts = np.bincount(of[keep], minlength=len(histories))[rows]
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    edges = Given.of(seen.take(rows).first(given), askable.kind_weights)
    return Asked(with_profiles(edges, askable.known, rows), Targets(offsets, touches.items[keep]))


def without(histories: Histories, hidden: Bools) -> Histories:
    """The histories but for what happened to hidden items, bool[num_items]."""
    is_item = histories.targets < len(hidden)
    return histories.where(~(is_item & hidden[np.where(is_item, histories.targets, 0)]))


def choose_new_text(
    draft: Draft, coefficients: Coefficients, by_k: ByK, askable: Askable, options: HideOptions
) -> float:
    """The weight of text in the scores of new items: best mean NDCG@20 among hidden ones.

    That of other items, if too few users chose hidden items.

    Args:
        draft: The parts of the bundle.
        coefficients: As they were chosen.
        by_k: The same.
        askable: Validation users.
        options: How.
    """
    if not options.ks:
        return by_k.text
    n = len(draft.snapshot.items)
    nothing = np.zeros(n, np.float32)  # of edges and their means, a new item has none
    bundle = assemble(draft, Edges.none(n, n), nothing, coefficients, replace(by_k, new_text=1.0))
    parts = _parts(draft, options.seed)
    lists = [one for rows in parts for one in _lists(draft, bundle, rows, askable, options)]
    if sum(len(one.targets) for one in lists) < options.least_users * len(options.ks):
        return by_k.text
    figure = cache(lambda weight: _figure(lists, weight))
    best = max(WEIGHTS, key=figure)
    for factor in FACTORS:
        best = max((best, best * factor, best / factor), key=figure)
    return best


@dataclass(frozen=True)
class _List:
    """Hidden items as some users score them.

    Attributes:
        rest: float32[users, h], all but the text.
        text: float32[users, h], the text with weight 1.
        targets: Of the same users; places in the list.
    """

    rest: Floats
    text: Floats
    targets: Targets


def _parts(draft: Draft, seed: int) -> Iterator[Ints]:
    """Rows of the items of each part, sorted."""
    known = np.random.default_rng(seed).permutation(np.flatnonzero(draft.data.counts > 0))
    for part in range(PARTS):
        yield np.sort(known[part::PARTS][:MOST_HIDDEN])


def _lists(
    draft: Draft, bundle: Bundle, rows: Ints, askable: Askable, options: HideOptions
) -> Iterator[_List]:
    """What users say of a part of the items, for each number of given ones."""
    hidden = np.zeros(len(bundle.items), np.bool_)
    hidden[rows] = True
    place = np.cumsum(hidden) - 1
    counts = np.where(hidden, 0, bundle.table.counts)
    shop = draft.snapshot
    new = embed_newcomers(
        bundle, counts, shop.item_text[rows], shop.memberships[rows], shop.primary[rows]
    )
    static = bundle.coefficients.prior * new.prior + bundle.coefficients.net * new.b
    scorer, of_text = Scorer(bundle), bundle.of_text
    most = options.most_cells // (PARTS * max(len(rows), 1) * len(options.ks))
    for given in options.ks:
        asked = ask_hidden(askable, hidden, given, most)
        terms = scorer.terms(asked.users)
        text = terms.net[:, of_text] @ new.w[:, of_text].T
        rest = terms.net @ new.w.T - text + static
        if terms.lifts is not None:
            rest += terms.lifts[:, scorer.category_of[rows]]
        yield _List(rest, text, Targets(asked.targets.offsets, place[asked.targets.items]))


def _figure(lists: Sequence[_List], weight: float) -> float:
    """Mean NDCG of all users of all lists."""
    found = []
    for one in lists:
        scores = torch.from_numpy(one.rest + np.float32(weight) * one.text)
        top = torch.topk(scores, min(K, scores.shape[1])).indices.numpy()
        hit = metrics.hits(top, one.targets)
        found.append(metrics.ndcg(hit, one.targets.counts))
    return float(np.concatenate(found).mean())

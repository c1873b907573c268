"""What text says about items that nobody chose yet: weighed on items that are hidden for it.

Text weighs little beside edges, but an item without an event has little else: the text itself and,
unless it comes after training, the edges that it borrows (`models/borrowed.py`). So they have
weights of their own there. Each tenth of the items is hidden in turn: it gets the vectors of
newcomers, no user is given it, and validation users who chose some of it are asked which. The net
is not trained anew, it is asked without the hidden items' own vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from firstedge.graph.histories import Given, Histories
from firstedge.models import metrics
from firstedge.models.assemble import Draft, assemble
from firstedge.models.batches import with_profiles
from firstedge.models.borrowed import borrow, lenders
from firstedge.models.bundle import Bundle
from firstedge.models.fuse import Fusion
from firstedge.models.metrics import Targets
from firstedge.models.newcomers import embed_newcomers
from firstedge.models.patterns import EdgeParts
from firstedge.models.scorer import Scorer, UserBatch
from firstedge.models.topk import top_k_each

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# Parts of the items that are hidden in turn, and items of a part at most.
PARTS, MOST_HIDDEN = 10, 2000
# Items that are given, and the length of the lists that answer.
GIVEN = (1, 3, 5)
K = 20
# Weights of borrowed edges that are tried: none, or that of any edge. With more, new items would
# crowd out others, which a list of new items alone cannot show.
BORROWED = (0.0, 1.0)
# Weights of text that are tried; the best one is then moved up and down by a factor.
WEIGHTS = (0.0, 1.0, 4.0, 16.0, 64.0)
FACTORS = (2.0, 1.5)
# The least weight is taken that has this share of the best figure: the more text weighs, the more
# new items with some likeness come before others.
ENOUGH = 0.995


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
        ks: Numbers of given items, at least 1; if there are none, nothing is asked.
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


def weigh_new_items(draft: Draft, fusion: Fusion, askable: Askable, options: HideOptions) -> Fusion:
    """The fusion with the weights of new items: best mean NDCG@20 among hidden ones.

    If too few users chose hidden items, text has the weight that it has for other items, and no
    edges are borrowed.

    Args:
        draft: The parts of the bundle.
        fusion: As it was chosen for other items.
        askable: Validation users.
        options: How.
    """
    if not options.ks:
        return fusion
    parts = _parts(draft, options.seed)
    shown = _Shown.of(draft, fusion)
    lists = [one for rows in parts for one in _lists(shown, rows, askable, options)]
    if sum(len(one.targets) for one in lists) < options.least_users * len(options.ks):
        return fusion
    lent, new_text = _search(lists, BORROWED)
    _, later_text = _search(lists, (0.0,))
    by_k = replace(fusion.by_k, new_text=new_text, later_text=later_text)
    return replace(fusion, by_k=by_k, borrowed=lent)


def _search(lists: Sequence[_List], borrowed: Sequence[float]) -> tuple[float, float]:
    """The best of these weights of borrowed edges, and that of text beside it."""
    figures = {
        (lent, weight): _figure(lists, lent, weight) for lent in borrowed for weight in WEIGHTS
    }
    for factor in FACTORS:
        lent, weight = max(figures, key=lambda at: figures[at])
        for near in (weight * factor, weight / factor):
            figures[lent, near] = _figure(lists, lent, near)
    best = max(figures, key=lambda at: figures[at])
    enough = ENOUGH * figures[best]
    return min(at for at in figures if at[0] == best[0] and figures[at] >= enough)


@dataclass(frozen=True)
class _Shown:
    """What the hidden items are scored with.

    Attributes:
        draft: The parts.
        bundle: With weight 1 of the text of items that come later, and without edges.
        parts: All edges, weighed.
        most_edges: Single ones that are lent to an item.
        text: float32[n, r], by which items borrow.
    """

    draft: Draft
    bundle: Bundle
    parts: EdgeParts
    most_edges: int
    text: Floats

    @classmethod
    def of(cls, draft: Draft, fusion: Fusion) -> _Shown:
        by_k = replace(fusion.by_k, later_text=1.0)
        nothing = EdgeParts.none(draft.data.num_items)
        return cls(
            draft,
            assemble(draft, nothing, fusion.coefficients, by_k),
            draft.edge_parts(fusion.mix).weighed(*fusion.sizes),
            fusion.most_edges,
            draft.snapshot.item_text @ draft.text_axes,
        )


@dataclass(frozen=True)
class _List:
    """Hidden items as some users score them.

    Attributes:
        rest: float32[users, h], all but text and borrowed edges.
        text: float32[users, h], the text with weight 1.
        edges: float32[users, h], borrowed edges with weight 1.
        targets: Of the same users; places in the list.
    """

    rest: Floats
    text: Floats
    edges: Floats
    targets: Targets


def _parts(draft: Draft, seed: int) -> Iterator[Ints]:
    """Rows of the items of each part, sorted."""
    known = np.random.default_rng(seed).permutation(np.flatnonzero(draft.data.counts > 0))
    for part in range(PARTS):
        yield np.sort(known[part::PARTS][:MOST_HIDDEN])


def _lists(shown: _Shown, rows: Ints, askable: Askable, options: HideOptions) -> Iterator[_List]:
    """What users say of a part of the items, for each number of given ones."""
    bundle, shop = shown.bundle, shown.draft.snapshot
    hidden = np.zeros(len(bundle.items), np.bool_)
    hidden[rows] = True
    place = np.cumsum(hidden) - 1
    counts = np.where(hidden, 0, bundle.table.counts)
    new = embed_newcomers(
        bundle, counts, shop.item_text[rows], shop.memberships[rows], shop.primary[rows]
    )
    static = bundle.coefficients.prior * new.prior + bundle.coefficients.net * new.b
    shares = lenders(shown.text, rows, np.flatnonzero(counts))
    lent = borrow(shown.parts, shares, shown.most_edges, shown.draft.data.importance)
    scorer, of_text = Scorer(bundle), bundle.of_text
    most = options.most_cells // (PARTS * max(len(rows), 1) * len(options.ks))
    for given in options.ks:
        asked = ask_hidden(askable, hidden, given, most)
        terms = scorer.terms(asked.users)
        text = terms.net[:, of_text] @ new.w[:, of_text].T
        rest = terms.net @ new.w.T - text + static
        if terms.lifts is not None:
            rest += terms.lifts[:, scorer.category_of[rows]]
        edges = lent.told(scorer.given_items(asked.users.given))
        targets = Targets(asked.targets.offsets, place[asked.targets.items])
        yield _List(rest, text, edges, targets)


def _figure(lists: Sequence[_List], lent: float, weight: float) -> float:
    """Mean NDCG of all users of all lists."""
    found = []
    for one in lists:
        scores = one.rest + np.float32(lent) * one.edges + np.float32(weight) * one.text
        hit = metrics.hits(top_k_each(scores, K), one.targets)
        found.append(metrics.ndcg(hit, one.targets.counts))
    return float(np.concatenate(found).mean())

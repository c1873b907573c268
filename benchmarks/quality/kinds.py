"""What kinds of events, their weights, times and interests bring, where the truth is known.

A shop is drawn (see `kind_shop.py`), the model is trained on all of it and on the same with one
thing hidden, and asked what strangers go on to buy after their first events. The best possible
answer is told beside it: what the same events say by Bayes' rule, were all probabilities known.

Example: python -m benchmarks.quality.kinds
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.quality.kind_shop import (
    PURCHASE,
    Floats,
    KindShop,
    best_answer,
    hidden,
    kind_shop,
    truths,
)
from firstedge.graph.histories import Given, Histories, kind_weights
from firstedge.loaders.split import Split, split_users
from firstedge.models import metrics
from firstedge.models.bundle import Bundle
from firstedge.models.metrics import Targets
from firstedge.models.protocol import KShotCase, rank_case
from firstedge.models.scorer import Scorer, UserBatch
from firstedge.models.train import TrainOptions, train

GIVEN = (1, 2, 4, 8)
HIDDEN = ("kinds", "weights", "times", "views", "interests")
K = 10
BEST = "the best possible"


def main() -> None:
    """Train, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=4000, help="of the shop")
    parser.add_argument("--seed", type=int, default=0, help="of the shop")
    parser.add_argument("--hidden", nargs="*", default=list(HIDDEN), choices=HIDDEN)
    parser.add_argument("--json", action="store_true", help="for programs")
    args = parser.parse_args()
    shop = kind_shop(args.users, seed=args.seed)
    figures, full = compare(shop, args.hidden)
    learned = learned_weights(full)
    if args.json:
        rows = {name: dict(zip(GIVEN, row.mean(1).tolist(), strict=True))
                for name, row in figures.items()}  # fmt: skip
        print(json.dumps({"ndcg": rows, "learned": learned}))
        return
    print(f"NDCG@{K} of later purchases | " + " | ".join(f"{e} events" for e in GIVEN))
    everything = figures["everything"]
    for name, row in figures.items():
        cells = [f"{mean:.4f}" for mean in row.mean(1)]
        if name != "everything":
            gaps = metrics.relative_differences(everything, row)
            cells = [
                f"{cell}, everything {100 * gap.mean:+.1f} % ({100 * gap.low:+.1f} to "
                f"{100 * gap.high:+.1f})"
                for cell, gap in zip(cells, gaps, strict=True)
            ]
        print(f"{name} | " + " | ".join(cells))
    print("learned: " + ", ".join(f"{name} {value:.2f}" for name, value in learned.items()))


def compare(
    shop: KindShop, hide: Sequence[str], options: TrainOptions | None = None
) -> tuple[dict[str, Floats], Bundle]:
    """NDCG of each way of looking at the shop, float64[GIVEN, users], and the full bundle."""
    snapshot = shop.snapshot
    split = split_users(snapshot)
    full = train(snapshot, options, split)
    asked = [_asked(shop, split, events) for events in GIVEN]
    figures = {BEST: np.stack([_ndcg(best_answer(shop, h), h, t) for h, t in asked])}
    figures["everything"] = _figures(full, asked, "")
    figures["with true weights"] = _figures(with_true_weights(full, len(shop.chances)), asked, "")
    for what in hide:
        less = replace(snapshot, histories=hidden(snapshot.histories, what))
        figures[f"without {what}"] = _figures(train(less, options, split), asked, what)
    counts = np.asarray(full.table.counts, np.float32)
    figures["popularity"] = np.stack([_ndcg(np.tile(counts, (len(t), 1)), h, t) for h, t in asked])
    return figures, full


def with_true_weights(bundle: Bundle, tastes: int) -> Bundle:
    """The same with kinds that weigh as much as they say, a purchase as much as was learned.

    What an event says is the logarithm of how much likelier it is by the taste it shows.
    """
    kinds = np.arange(len(bundle.kind))
    true = truths(kinds, np.ones(len(kinds), np.float32))
    says = np.log1p(tastes * true / (1 - true))
    kind = bundle.kind[PURCHASE] + np.log(says / says[PURCHASE])
    return replace(bundle, kind=kind.astype(np.float32))


def learned_weights(bundle: Bundle) -> dict[str, float]:
    """Of each kind and of the third latest event against the latest; of an interest's lifts."""
    kinds = {
        f"a {name}'s weight": float(np.exp(value))
        for name, value in zip(bundle.schema.kinds, bundle.kind, strict=True)
    }
    return {
        **kinds,
        "third latest against latest": float(np.exp(bundle.recency[2] - bundle.recency[0])),
        "an interest's lifts": bundle.coefficients.interest,
    }


def _asked(shop: KindShop, split: Split, events: int) -> tuple[Histories, Targets]:
    """The first events of test users, and the items they go on to buy and had not touched."""
    h = shop.snapshot.histories.take(split.test)
    given = h.where(_place(h) < events)
    later = h.where((_place(h) >= events) & (h.kinds == PURCHASE)).touches()
    seen = given.touches()
    owners = np.repeat(np.arange(len(h)), later.counts)
    known = np.repeat(np.arange(len(h)), seen.counts) * h.num_items + seen.items
    fresh = ~np.isin(owners * h.num_items + later.items, known)
    counts = np.bincount(owners[fresh], minlength=len(h))
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return given, Targets(offsets, later.items[fresh])


def _place(h: Histories) -> np.ndarray:
    return np.arange(len(h.targets)) - np.repeat(h.offsets[:-1], np.diff(h.offsets))


def _figures(bundle: Bundle, asked: Sequence[tuple[Histories, Targets]], what: str) -> Floats:
    weights, scorer = kind_weights(bundle.schema), Scorer(bundle)
    rows = []
    for given, targets in asked:
        told = hidden(given, what) if what else given
        scores = scorer.score(UserBatch.of(Given.of(told, weights)))
        rows.append(_ndcg(scores, given, targets))
    return np.stack(rows)


def _ndcg(scores: Floats, given: Histories, targets: Targets) -> Floats:
    """float64[users] of float32[users, items]; what was touched is no candidate."""
    weights = np.ones(int(given.kinds.max(initial=0)) + 1, np.float32)
    case = KShotCase("", UserBatch.of(Given.of(given, weights)), targets)
    ranked = rank_case(_Scored(scores), case, given.num_items, K)
    return metrics.ndcg(metrics.hits(ranked, targets), targets.counts)


class _Scored:
    """A ranker whose scores are known."""

    def __init__(self, scores: Floats) -> None:
        self.scores = scores.copy()

    def score(self, users: UserBatch) -> Floats:
        """See `Ranker`."""
        return self.scores


if __name__ == "__main__":
    main()

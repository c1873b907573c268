"""Items that nobody has chosen yet: how well they are found among themselves.

A tenth of the items is hidden: no event on them is learned from or given. Test users are given
their first seen items, and the hidden items that they chose at any time are sought among all hidden
ones: Recall@20 of the model, of the cosine of texts, and of the popularity of categories.

Example: python -m benchmarks.quality.new_items --sets ml-100k online-retail
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.quality.shops import open_shop, shop_of
from firstedge.graph.histories import Given, Histories, kind_weights
from firstedge.loaders.snapshot import Snapshot
from firstedge.loaders.split import Split, split_users
from firstedge.models import metrics
from firstedge.models.baselines import CategoryPopularity, TextCosine
from firstedge.models.batches import with_profiles
from firstedge.models.metrics import Targets
from firstedge.models.protocol import Ranker, top_k
from firstedge.models.rounds import hold_out, known_users, training_data
from firstedge.models.scorer import Scorer, UserBatch
from firstedge.models.train import train

FOLDS = 10
HIDDEN_SHARE = 0.1
K = 20
GIVEN = (1, 3, 5)
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """Test users, what they are given, and the hidden items that they chose."""

    users: UserBatch
    targets: Targets


def hide(snapshot: Snapshot, seed: int = 0) -> tuple[Snapshot, npt.NDArray[np.bool_]]:
    """The shop without any event on a tenth of the items, and which items these are."""
    n = len(snapshot.items)
    hidden = np.zeros(n, np.bool_)
    hidden[np.random.default_rng(seed).permutation(n)[: round(HIDDEN_SHARE * n)]] = True
    histories = snapshot.histories
    is_item = histories.targets < n
    on_hidden = is_item & hidden[np.where(is_item, histories.targets, 0)]
    return replace(snapshot, histories=histories.where(~on_hidden)), hidden


def ask(snapshot: Snapshot, split: Split, hidden: npt.NDArray[np.bool_], given: int) -> Asked:
    """Test users with that many seen items and a hidden one."""
    whole = snapshot.histories.take(split.test).speaking(snapshot.schema)
    touches = whole.touches()
    of = np.repeat(np.arange(len(whole)), touches.counts)
    wanted = hidden[touches.items]
    seen = _without(whole, hidden)
    enough = (np.bincount(of[wanted], minlength=len(whole)) > 0) & (seen.touches().counts >= given)
    rows = np.flatnonzero(enough)
    keep = wanted & enough[of]
    counts = np.bincount(of[keep], minlength=len(whole))[rows]
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    edges = Given.of(seen.take(rows).first(given), kind_weights(snapshot.schema))
    users = with_profiles(edges, known_users(snapshot, split.test[rows]), np.arange(len(rows)))
    return Asked(users, Targets(offsets, touches.items[keep]))


def _without(histories: Histories, hidden: npt.NDArray[np.bool_]) -> Histories:
    is_item = histories.targets < len(hidden)
    return histories.where(~(is_item & hidden[np.where(is_item, histories.targets, 0)]))


def recall(ranker: Ranker, asked: Asked, hidden: npt.NDArray[np.bool_]) -> Doubles:
    """float64[users], Recall@20 among the hidden items."""
    scores = ranker.score(asked.users)
    scores[:, ~hidden] = -np.inf
    found = metrics.hits(top_k(scores, K), asked.targets)
    return metrics.recall(found, asked.targets.counts)


def measure(snapshot: Snapshot, fold: int) -> dict[int, dict[str, Doubles]]:
    """Recall by number of given items and method."""
    split = split_users(snapshot, FOLDS, fold)
    seen, hidden = hide(snapshot)
    data = training_data(hold_out(seen, split))
    rankers: dict[str, Ranker] = {"firstedge": Scorer(train(seen, None, split))}
    for method in (TextCosine(prior=0.003), CategoryPopularity()):
        if not method.unfit(data):
            rankers[method.name] = method.fit(data)
    asked = {given: ask(snapshot, split, hidden, given) for given in GIVEN}
    return {
        given: {name: recall(ranker, one, hidden) for name, ranker in rankers.items()}
        for given, one in asked.items()
    }


def line_of(given: int, found: Mapping[str, Doubles]) -> str:
    """A line of the table."""
    ours = found["firstedge"]
    cells = [f"{given}", f"{len(ours):,}", f"{ours.mean():.3f}"]
    for name, theirs in found.items():
        if name != "firstedge":
            (gap,) = metrics.relative_differences(ours[None], theirs[None])
            cells.append(
                f"{name} {theirs.mean():.3f}: {100 * gap.mean:+.0f} % "
                f"({100 * gap.low:+.0f} to {100 * gap.high:+.0f})"
            )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Train, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder with amazon-beauty/")
    parser.add_argument("--sets", nargs="+", default=["ml-100k", "online-retail"])
    parser.add_argument("--folds", type=int, default=1, help="pooled")
    parser.add_argument("--json", action="store_true", help="for programs")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.sets:
        snapshot = open_shop(shop_of(name), args.data)
        rounds = [measure(snapshot, fold) for fold in range(args.folds)]
        pooled = {
            given: {
                method: np.concatenate([one[given][method] for one in rounds])
                for method in rounds[0][given]
            }
            for given in GIVEN
        }
        if args.json:
            means = {g: {m: float(r.mean()) for m, r in one.items()} for g, one in pooled.items()}
            print(json.dumps({name: means}))
            continue
        print(
            f"### {name}: Recall@{K} among hidden items\n\n| given | users | firstedge | against |"
        )
        print("\n".join(line_of(given, found) for given, found in pooled.items()), flush=True)


if __name__ == "__main__":
    main()

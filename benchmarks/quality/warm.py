"""Users whom training knows: Gowalla's standard split, by the definitions of LightGCN's paper.

Every user's training items are given and their test items wanted: Recall@20 is the share of all
test items that the list finds, NDCG@20 has its ideal over min(20, wanted). GF-CF, which learns
nothing, is the yardstick: published figures of models that learn for hours lie near it.

Example: python -m benchmarks.quality.warm --data DIR --users 3000
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.gfcf import GFCF
from benchmarks.quality.shops import SCHEMAS, WORK
from firstedge.graph.histories import Given, Histories, kind_weights
from firstedge.graph.schema import Schema
from firstedge.graph.store import open_store
from firstedge.loaders.importer import import_files
from firstedge.loaders.mapping import parse_mappings
from firstedge.loaders.snapshot import Snapshot, read_snapshot
from firstedge.models import metrics
from firstedge.models.baselines import TrainingData
from firstedge.models.closed_forms import CategoryTree
from firstedge.models.metrics import Targets
from firstedge.models.neighbours import ItemKNN, RP3Beta
from firstedge.models.protocol import KShotCase, Ranker, rank_case
from firstedge.models.scorer import Scorer, UserBatch
from firstedge.models.train import train

K = 20
# Recall@20 and NDCG@20 as published on this split.
PUBLISHED = {"GF-CF": (0.1849, 0.1518), "LightGCN": (0.1830, 0.1554), "UltraGCN": (0.1862, 0.1580)}
GOAL = (0.1941, 0.1616)  # ChebyCF


@dataclass(frozen=True)
class Warm:
    """The split.

    Attributes:
        snapshot: Of train.txt alone.
        case: Users with what is given and wanted.
    """

    snapshot: Snapshot
    case: KShotCase

    @property
    def data(self) -> TrainingData:
        """All users teach."""
        shop = self.snapshot
        tree = CategoryTree(shop.primary, shop.parents)
        return TrainingData(shop.histories.speaking(shop.schema), tree, shop.item_text)


def read_split(folder: Path, work: Path, most_users: int, seed: int = 0) -> Warm:
    """Import train.txt and line test.txt up with it; a seeded sample of the users."""
    text = (SCHEMAS / "gowalla.toml").read_text("utf-8")
    schema = Schema.parse(text)
    mappings = [m for m in parse_mappings(text, folder=folder) if m.name == "train"]
    work.mkdir(parents=True, exist_ok=True)
    with open_store(str(work / "warm.lbug"), schema) as store:
        import_files(store, mappings)
        snapshot = read_snapshot(store)
    rows = {id_: row for row, id_ in enumerate(snapshot.users.ids)}
    columns = {id_: row for row, id_ in enumerate(snapshot.items.ids)}
    wanted: dict[int, list[int]] = {}
    for line in (folder / "test.txt").read_text("utf-8").splitlines():
        user, *items = line.split()
        # An item that nobody taught cannot be found, but it is wanted: its row lies beyond.
        if user in rows and items:
            wanted[rows[user]] = [columns.setdefault(item, len(columns)) for item in items]
    users = np.random.default_rng(seed).permutation(sorted(wanted))[:most_users]
    counts = np.array([len(wanted[user]) for user in users])
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    targets = Targets(offsets, np.concatenate([wanted[user] for user in users]))
    given = Given.of(_of(snapshot, users), kind_weights(schema))
    return Warm(snapshot, KShotCase("warm", UserBatch.of(given), targets))


def measure(warm: Warm, make: Callable[[], Ranker]) -> dict[str, float]:
    """Recall and NDCG of a ranker with their standard errors, and seconds to make it."""
    began = time.process_time()
    ranker = make()
    seconds = time.process_time() - began
    ranked = rank_case(ranker, warm.case, len(warm.snapshot.items), K)
    hit, counts = metrics.hits(ranked, warm.case.targets), warm.case.targets.counts
    recall, ndcg = hit.sum(1) / counts, metrics.ndcg(hit, counts)
    error = recall.std() / np.sqrt(len(recall))
    return {
        "recall": float(recall.mean()),
        "ndcg": float(ndcg.mean()),
        "recall_error": float(error),
        "seconds": seconds,
    }


def main() -> None:
    """Measure the yardstick, two neighbourhoods and ours."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder with gowalla/")
    parser.add_argument("--users", type=int, default=10**9, help="a sample of so many users")
    parser.add_argument("--methods", nargs="+", help="only these")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    warm = read_split(args.data / "gowalla", WORK / "gowalla-warm", args.users)
    data = warm.data
    makers: dict[str, Callable[[], Ranker]] = {
        "GF-CF's linear part": lambda: GFCF(low_pass=0.0, prior=0.0).fit(data),
        "GF-CF": lambda: GFCF(prior=0.0).fit(data),
        "item-kNN": lambda: replace(ItemKNN(), prior=0.003).fit(data),
        "RP3beta": lambda: replace(RP3Beta(), prior=0.003).fit(data),
        "firstedge": lambda: Scorer(train(warm.snapshot)),
    }
    found: dict[str, Any] = {}
    for name, make in makers.items():
        if not args.methods or name in args.methods:
            one = found[name] = measure(warm, make)
            if not args.json:
                figures = f"{one['recall']:.4f} ±{1.96 * one['recall_error']:.4f}"
                print(f"{name:24} {figures}  {one['ndcg']:.4f}  {one['seconds']:.0f} s", flush=True)
    if args.json:
        print(json.dumps({"users": len(warm.case.users), "published": PUBLISHED, **found}))


def _of(snapshot: Snapshot, users: np.ndarray) -> Histories:
    return snapshot.histories.speaking(snapshot.schema).take(users)


if __name__ == "__main__":
    main()

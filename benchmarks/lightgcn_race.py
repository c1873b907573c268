"""How long LightGCN takes to its own best, against a whole training of ours, on the same users.

    python -m benchmarks.lightgcn_race [--shop online-retail] [--minutes 30] [--json]

Both learn from the same training users in one process after the other and are judged on the same
test users. LightGCN has the options that the leaderboard's search found for it on this shop, its
defaults where there was none; its time is up to the epoch that is best on the validation users,
without the time for asking them, and it stops when 20 looks have brought nothing better. Ours is
everything that `firstedge train` does once the Snapshot is read, choices included; so what
LightGCN's search took, in the run that made the leaderboard, is told as well, and when our net, in
the middle of our training, passes LightGCN's best on the validation users. Seconds are CPU seconds,
so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.quality.cells import Cell, read_cell
from benchmarks.quality.learning import Watch
from benchmarks.quality.lightgcn import LightGCN
from benchmarks.quality.shops import known_shops, ks_of, open_shop, shop_of
from firstedge.loaders.snapshot import Snapshot
from firstedge.loaders.split import Split, split_users
from firstedge.models.bundle import Bundle
from firstedge.models.fit import Watch as TrainWatch
from firstedge.models.protocol import Ranker, evaluate
from firstedge.models.rounds import build_round, hold_out
from firstedge.models.scorer import Scorer
from firstedge.models.train import Learner, TrainOptions, train

PATIENCE = 20  # looks without a better figure, of 20 steps each


@dataclass
class Stopwatch(Watch):
    """A watch that knows when the best was found.

    Attributes:
        best_at: CPU seconds of learning until then.
    """

    best_at: float = 0.0
    _asked: float = field(default=0.0)

    def look(self, ranker: Ranker) -> bool:
        """See `Watch`."""
        before, best = time.process_time(), self.objective
        going_on = super().look(ranker)
        if self.objective > best:
            self.best_at = before - self._began - self._asked
        self._asked += time.process_time() - before
        return going_on


def race(snapshot: Snapshot, minutes: float, tuned: Cell | None = None) -> dict[str, Any]:
    """Both, on fold 0.

    Args:
        snapshot: The shop.
        minutes: Of CPU, that LightGCN may learn for.
        tuned: Its cell of the leaderboard, None for its defaults.
    """
    split = split_users(snapshot)
    bundle, ours, epochs = _train(snapshot, split)
    asked = build_round("race", hold_out(snapshot, split), ks_of(snapshot), lambda: bundle)
    data, validation = asked.training, asked.validation.without_all()
    watch = Stopwatch(validation, data.popularity, 20, 60 * minutes, patience=PATIENCE)
    LightGCN(**(tuned.options if tuned else {})).learn(data, watch)
    if watch.ranker is None:
        raise SystemExit("LightGCN was never judged: give it more --minutes")
    # By the same users and ks as our net is judged after each epoch.
    theirs = Learner(snapshot, split, TrainOptions()).arena.ndcg(watch.ranker.score)
    figures = {
        name: evaluate(ranker, asked.test.without_all(), data.popularity).objective
        for name, ranker in (("ours", Scorer(bundle)), ("lightgcn", watch.ranker))
    }
    return {
        "seconds": {"ours": round(ours, 1), "lightgcn": round(watch.best_at, 1)},
        "passed": next((round(at, 1) for at, figure in epochs if figure > theirs), None),
        "ndcg": figures,
        "ratio": round(watch.best_at / ours, 2),
        "quality": round(figures["ours"] / figures["lightgcn"], 3),
        "search": {"fits": tuned.trials, "seconds": tuned.seconds} if tuned else None,
        "cut": watch.cut,
    }


def _train(snapshot: Snapshot, split: Split) -> tuple[Bundle, float, list[tuple[float, float]]]:
    """Our bundle, its CPU seconds, and for each epoch of the net when it ended and its figure."""
    epochs: list[tuple[float, float]] = []
    began = time.process_time()

    def report(_step: int, _loss: float, figure: float | None) -> None:
        if figure is not None:
            epochs.append((time.process_time() - began, figure))

    bundle = train(snapshot, split=split, watch=TrainWatch(report=report))
    return bundle, time.process_time() - began, epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--shop", choices=sorted(known_shops()), default="online-retail")
    parser.add_argument("--data", type=Path, help="raw files that the repository does not have")
    parser.add_argument("--minutes", type=float, default=30.0, help="of CPU, for LightGCN")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tuned = read_cell(args.shop, LightGCN.name, 0)
    found = race(open_shop(shop_of(args.shop), args.data), args.minutes, tuned)
    if args.json:
        print(json.dumps(found))
        return
    cut = "  (its time ran out before its patience)" if found["cut"] else ""
    for name in ("ours", "lightgcn"):
        print(f"{name:9} NDCG {found['ndcg'][name]:.4f}  {found['seconds'][name]:7.1f} CPU s")
    if found["passed"] is not None:
        print(f"our net passes LightGCN's best on validation users at {found['passed']} CPU s")
    print(f"time of LightGCN to its best / ours: {found['ratio']}  (goal >= 10){cut}")
    if tuned:
        ratio = tuned.seconds / found["seconds"]["ours"]
        print(
            f"its options took {tuned.trials} fits, {tuned.seconds:.0f} CPU s: {ratio:.1f} x ours"
        )


if __name__ == "__main__":
    main()

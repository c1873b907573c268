"""Items that nobody has chosen yet: how well they are found among themselves.

A tenth of the items is hidden: no event on them is learned from or given. Test users are given
their first seen items, and the hidden items that they chose at any time are sought among all hidden
ones: Recall@20 of the model, of the cosine of texts, and of the popularity of categories.

With --text: what text brings there, and at k = 0 to 3 to answers about the other items, where the
model sees no text, reads it by the encoder as it is, and by the fine-tuned one; with --lora also by
one of which only low-rank additions were learned, as of a large one.

Example: python -m benchmarks.quality.new_items --sets ml-100k online-retail
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.quality.shops import WORK, open_shop, shop_of
from firstedge.graph.histories import Histories, kind_weights
from firstedge.loaders.snapshot import Snapshot, encode_texts
from firstedge.loaders.split import Split, split_users
from firstedge.loaders.text import TransformerEncoder
from firstedge.models import metrics
from firstedge.models.baselines import CategoryPopularity, TextCosine
from firstedge.models.bundle import Bundle
from firstedge.models.fine_tune import FineTune
from firstedge.models.hidden_items import Askable, Asked, ask_hidden, without
from firstedge.models.protocol import Ranker, build_cases, evaluate
from firstedge.models.rounds import hold_out, known_users, training_data
from firstedge.models.scorer import Scorer
from firstedge.models.text_choice import Retold, not_worse, retell
from firstedge.models.topk import top_k_each
from firstedge.models.train import Learner, TrainOptions, train

FOLDS = 10
HIDDEN_SHARE = 0.1
K = 20
GIVEN = (1, 3, 5)
# What is asked about the items that are not hidden.
KNOWN_KS = (0, 1, 2, 3)
NONE, FROZEN, TUNED, LORA = "no text", "frozen", "fine-tuned", "fine-tuned, LoRA"
WHOLE = {TUNED: FineTune(on=True)}
BOTH = {**WHOLE, LORA: FineTune(on=True, lora_from=0)}
Doubles = npt.NDArray[np.float64]


def hide(snapshot: Snapshot, seed: int = 0) -> tuple[Snapshot, npt.NDArray[np.bool_]]:
    """The shop without any event on a tenth of the items, and which items these are."""
    n = len(snapshot.items)
    hidden = np.zeros(n, np.bool_)
    hidden[np.random.default_rng(seed).permutation(n)[: round(HIDDEN_SHARE * n)]] = True
    return replace(snapshot, histories=without(snapshot.histories, hidden)), hidden


def ask(snapshot: Snapshot, split: Split, hidden: npt.NDArray[np.bool_], given: int) -> Asked:
    """Test users with that many seen items and a hidden one."""
    whole = snapshot.histories.take(split.test).speaking(snapshot.schema)
    known = known_users(snapshot, split.test)
    return ask_hidden(Askable(whole, known, kind_weights(snapshot.schema)), hidden, given)


def recall(ranker: Ranker, asked: Asked, hidden: npt.NDArray[np.bool_]) -> Doubles:
    """float64[users], Recall@20 among the hidden items."""
    scores = ranker.score(asked.users)
    scores[:, ~hidden] = -np.inf
    found = metrics.hits(top_k_each(scores, K), asked.targets)
    return metrics.recall(found, asked.targets.counts)


def measure(snapshot: Snapshot, fold: int, seed: int = 0) -> dict[int, dict[str, Doubles]]:
    """Recall by number of given items and method."""
    split = split_users(snapshot, FOLDS, fold)
    seen, hidden = hide(snapshot, seed)
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


Figures = dict[str, dict[str, Doubles]]  # by what is asked, then by how texts are read


def measure_text(
    snapshot: Snapshot, fold: int, tunings: Mapping[str, FineTune]
) -> tuple[Figures, list[str]]:
    """What text brings on one fold.

    Returns:
        Figures of test users, and a line for each tuning on what validation users say of it.
    """
    split = split_users(snapshot, FOLDS, fold)
    frozen, hidden = hide(snapshot)
    encoder = TransformerEncoder(cache=WORK / "vectors")
    told = {
        name: retell(
            Learner(frozen, split, TrainOptions(fine_tune=tuning)), encoder, lambda _: None
        )
        for name, tuning in tunings.items()
    }
    shops = {NONE: encode_texts(frozen, None), FROZEN: frozen}
    shops |= {name: one.snapshot for name, one in told.items()}
    figures: Figures = {}
    models = {}
    for name, shop in shops.items():
        learner = Learner(shop, split, TrainOptions())
        began = time.process_time()
        models[name] = learner, train(shop, learner.options, split)
        print(f"fold {fold}, {name}: {time.process_time() - began:.0f} CPU s", flush=True)
        shown = Shown(shop, snapshot.histories, split, hidden)
        ask_all(figures, name, shown, Scorer(models[name][1]))
    lines = [
        f"fold {fold}, {name}: {verdict(one, models[name], models[FROZEN])}"
        for name, one in told.items()
    ]
    return figures, lines


def verdict(told: Retold, tuned: tuple[Learner, Bundle], frozen: tuple[Learner, Bundle]) -> str:
    """What validation users say of a fine-tuned encoder."""
    learner, bundle = frozen
    base = replace(bundle, about={**bundle.about, "fine_tuned": told.about})
    found = not_worse(tuned, (learner, base)).about["fine_tuned"]
    figures = ", ".join(f"{figure:.3f}" for figure in found["figures"])
    gap = found["validation_gap"]
    return (
        f"hidden texts among validation users, before and after each epoch: "
        f"{figures} ({found.get('cpu_seconds', 0):.0f} CPU s); whole model, in known items "
        f"{100 * gap['mean']:+.1f} % ({100 * gap['low']:+.1f} to {100 * gap['high']:+.1f}): "
        f"{'taken' if found['kept'] and told.encoder else 'not taken'}"
    )


@dataclass(frozen=True)
class Shown:
    """A shop as a model sees it, all events of it, its users, and the items that are hidden."""

    shop: Snapshot
    histories: Histories
    split: Split
    hidden: npt.NDArray[np.bool_]


def ask_all(figures: Figures, name: str, shown: Shown, scorer: Scorer) -> None:
    """Add what a model answers test users, and what the cosine of its texts alone does."""
    shop, split, hidden = shown.shop, shown.split, shown.hidden
    whole = replace(shop, histories=shown.histories)
    held = hold_out(shop, split)
    data = training_data(held)
    known = known_users(shop, split.test)
    weights = kind_weights(shop.schema)
    cases = build_cases(held.test, weights, KNOWN_KS, known=known, with_all=False)
    for label, ndcg in zip(
        cases.labels, evaluate(scorer, cases, data.popularity).ndcg, strict=True
    ):
        figures.setdefault(f"known items, k = {label}", {})[name] = ndcg
    cosine, with_text = TextCosine(prior=0.003).fit(data), shop.item_text.shape[1] > 0
    for given in GIVEN:
        asked = ask(whole, split, hidden, given)
        figures.setdefault(f"new items, {given} given", {})[name] = recall(scorer, asked, hidden)
        if not with_text:
            continue
        alone = recall(cosine, asked, hidden)
        figures.setdefault(f"new items, {given} given, cosine alone", {})[name] = alone


def text_table(name: str, parts: Sequence[tuple[Figures, Sequence[str]]], as_json: bool) -> str:
    """What text brings on a data set, folds pooled, as Markdown or JSON."""
    pooled = {
        row: {how: np.concatenate([one[row][how] for one, _ in parts]) for how in found}
        for row, found in parts[0][0].items()
    }
    told = [line for _, lines in parts for line in lines]
    if as_json:
        means = {r: {how: float(v.mean()) for how, v in one.items()} for r, one in pooled.items()}
        return json.dumps({name: means, "validation": told})
    ways = list(next(iter(pooled.values())))
    lines = [
        f"### {name}: what text brings\n",
        "NDCG@20 about known items, Recall@20 among new ones, of test users.\n",
        f"| asked | users | {' | '.join(ways)} |",
        f"|---|{'--:|' * (1 + len(ways))}",
        *(text_line(row, found, ways) for row, found in pooled.items()),
        "",
        *told,
    ]
    return "\n".join(lines)


def text_line(row: str, found: Mapping[str, Doubles], ways: Sequence[str]) -> str:
    """A line of the table: each way beside the one before."""
    before = None
    cells = [row, f"{len(found[FROZEN]):,}"]
    for how in ways:
        ours = found.get(how)
        if ours is None:
            cells.append("")
            continue
        cell = f"{ours.mean():.3f}"
        if before is not None:
            (gap,) = metrics.relative_differences(ours[None], before[None])
            cell += f", {100 * gap.mean:+.1f} % ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"
        cells.append(cell)
        before = ours
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Train, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder with amazon-beauty/")
    parser.add_argument("--sets", nargs="+", default=["ml-100k", "online-retail"])
    parser.add_argument("--folds", type=int, default=1, help="pooled")
    parser.add_argument("--fold", type=int, help="only this one")
    parser.add_argument("--seed", type=int, default=0, help="of the hidden tenth; not with --text")
    parser.add_argument("--text", action="store_true", help="what text brings")
    parser.add_argument("--lora", action="store_true", help="with --text: LoRA beside it")
    parser.add_argument("--json", action="store_true", help="for programs")
    args = parser.parse_args()
    torch.set_num_threads(1)
    folds = range(args.folds) if args.fold is None else (args.fold,)
    for name in args.sets:
        snapshot = open_shop(shop_of(name), args.data)
        if args.text:
            parts = [measure_text(snapshot, fold, BOTH if args.lora else WHOLE) for fold in folds]
            print(text_table(name, parts, args.json), flush=True)
            continue
        rounds = [measure(snapshot, fold, args.seed) for fold in folds]
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

"""What each part of the model is worth: the model without it, on the same test users.

A row is the model with one part taken out, or put in (marked +), and how far its NDCG@20 is from
the full model's: the mean over k >= 1, at k = 0, and on whole histories, with paired bootstrap
intervals over users. Every row chooses its coefficients anew on validation users. Rows that change
what is seen (text, categories, profiles) change all of the model; rows of the net train the net
anew; rows of the fusion take the same net and the same closed forms. What was measured before by
the same code is kept.

With --table nothing is measured: what is there is printed, and a table over all data sets.

Example: python -m benchmarks.quality.ablate --data DIR --sets ml-100k --folds 2
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from benchmarks.quality.shops import WORK, ks_of, open_shop, shop_of
from firstedge.graph.files import replacing
from firstedge.graph.histories import kind_weights
from firstedge.loaders.snapshot import Snapshot
from firstedge.loaders.split import Split, split_users
from firstedge.models import fuse, metrics
from firstedge.models.assemble import Learned
from firstedge.models.closed_forms import NaiveBayes
from firstedge.models.evidence import (
    SORTS,
    Evidence,
    EvidenceChoice,
    EvidenceOptions,
    build_evidence,
    choose_evidence,
)
from firstedge.models.fit import FitOptions
from firstedge.models.item_encoder import ItemGraph
from firstedge.models.net import NetOptions
from firstedge.models.protocol import KShotCases, build_cases, evaluate
from firstedge.models.result_cache import digest_folder
from firstedge.models.rounds import hold_out, known_users
from firstedge.models.scorer import Scorer
from firstedge.models.train import Learner, TrainOptions
from firstedge.models.truncation import Truncation

FOLDS = 10
MOST_TEST = 2000
Doubles = np.ndarray
FULL = "the full model"
# Closed forms as --fixed takes them: usual ones, none searched.
FIXED = EvidenceOptions(
    start=NaiveBayes(smoothing=100, length_discount=0.5, back_off=0.5),
    smoothings=(),
    length_discounts=(),
    back_offs=(),
    walks=((0.5, 0.3),),
)


@dataclass(frozen=True)
class Row:
    """A variant.

    Attributes:
        name: For the table.
        see: Changes what is seen of the shop.
        options: Changes the options of training.
        graph: Changes the item graph.
        without: Channels of the fusion that are left out.
        evidence: Changes the choice of closed forms.
        told: The weights are chosen by the users who are asked. No model may do so: the row says
            how much better weights could be at all.
    """

    name: str
    see: Callable[[Snapshot], Snapshot] | None = None
    options: Callable[[TrainOptions], TrainOptions] | None = None
    graph: Callable[[ItemGraph], ItemGraph] | None = None
    without: frozenset[str] = frozenset()
    evidence: Callable[[EvidenceChoice], EvidenceChoice] | None = None
    told: bool = False


def rows() -> tuple[Row, ...]:
    """All variants."""
    return (*rows_of_sight(), *rows_of_fusion(), *rows_of_net(), *rows_of_objective())


def rows_of_sight() -> tuple[Row, ...]:
    """What is seen of the shop."""
    return (
        Row("text", see=without_text),
        Row("categories", see=without_categories),
        Row("profiles", see=without_profiles),
    )


def rows_of_fusion() -> tuple[Row, ...]:
    """What is fused, with the same net."""

    def channel(name: str, *channels: str) -> Row:
        return Row(name, without=frozenset(channels))

    return (
        channel("net", "net", "start_net"),
        channel("naive Bayes edges", "bayes"),
        channel("walks (RP3beta)", "walks"),
        channel("far walks", "far_walks"),
        channel("factors (iALS)", "factors"),
        channel("spectrum (low-pass filter)", "spectrum"),
        channel("all edges", *SORTS, *fuse.PARTS),
        channel("lean", "lean"),
        channel("patterns", "patterns"),
        channel("category lifts", "category"),
        channel("profile lifts", "profile"),
        channel("text cosine", "text"),
        channel("popularity that fades", "fading_prior"),
        channel("popularity of late", "recent", "start_recent"),
        Row("category back-off", evidence=lambda c: replace(c, bayes=replace(c.bayes, back_off=0))),
        Row("+ weights chosen by test users (a bound)", told=True),
    )


def rows_of_net() -> tuple[Row, ...]:
    """How the net is built, which is then trained anew."""

    def net(name: str, change: Callable[[NetOptions], NetOptions]) -> Row:
        return Row(name, options=lambda o: replace(o, net=change(o.net)))

    return (
        Row("spectral start", graph=random_start),
        net("+ propagation, one hop", lambda o: replace(o, propagate=True)),
        net("dropping IDs", lambda o: replace(o, id_dropout=0.0)),
        net("dropout", lambda o: replace(o, user_dropout=0.0)),
    )


def rows_of_objective() -> tuple[Row, ...]:
    """What the net is trained to do."""

    def fit(name: str, change: Callable[[FitOptions], FitOptions]) -> Row:
        return Row(name, options=lambda o: replace(o, fit=change(o.fit)))

    def cut(name: str, truncation: Truncation) -> Row:
        return Row(name, options=lambda o: replace(o, truncation=truncation))

    return (
        cut("truncation", Truncation(most=1000, long=0.0)),
        cut("first k (random k instead)", Truncation(shares=(0.0, 1.0, 0.0))),
        cut("random k and windows", Truncation(shares=(1.0, 0.0, 0.0))),
        cut("long examples", Truncation(long=0.0)),
        fit("weight of heavy users", lambda o: replace(o, heavy_user=1_000_000)),
        fit("averaged weights", lambda o: replace(o, average=0.0)),
        fit("learned weights of kinds and recency", lambda o: replace(o, fast=0.0)),
    )


def without_text(snapshot: Snapshot) -> Snapshot:
    """No item and no user has a text."""
    nothing = {
        name: np.zeros((len(getattr(snapshot, name)), 0), np.float32)
        for name in ("item_text", "user_text", "category_text")
    }
    return replace(snapshot, **nothing)


def without_categories(snapshot: Snapshot) -> Snapshot:
    """No item is in a category."""
    none = sparse.csr_array(snapshot.memberships.shape, dtype=np.float32)
    return replace(snapshot, memberships=none, primary=np.full(len(snapshot.items), -1))


def without_profiles(snapshot: Snapshot) -> Snapshot:
    """No user has a profile."""
    return replace(snapshot, profiles=sparse.csr_array(snapshot.profiles.shape, dtype=np.float32))


def random_start(graph: ItemGraph) -> ItemGraph:
    """ID vectors start at random, as large as the spectral ones are on average."""
    generator = torch.Generator().manual_seed(0)
    starts = (
        torch.randn(start.shape, generator=generator) * start.std()
        for start in (graph.start_v, graph.start_w)
    )
    start_v, start_w = starts
    return replace(graph, start_v=start_v, start_w=start_w)


class Ablation:
    """Variants on one fold of a data set; what variants share is learned once.

    Args:
        name: Of the data set.
        snapshot: The shop.
        fold: Which tenth of the users is asked.
        kept: Where figures are kept.
        options: Of the full model.
    """

    def __init__(
        self, name: str, snapshot: Snapshot, fold: int, kept: Path, options: TrainOptions
    ) -> None:
        self.name, self.snapshot, self.fold = name, snapshot, fold
        self.kept = kept / name
        self.split = split_users(snapshot, FOLDS, fold)
        self.options = options
        self._full: tuple[EvidenceChoice, Evidence, Learned] | None = None

    def figures(self, row: Row | None) -> Doubles:
        """NDCG@20 of a variant, None for the full model; float64[labels, users]."""
        path = self._path(row)
        if path.exists():
            return np.asarray(np.load(path))
        found = self._measure(row)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as staged, staged.open("wb") as file:
            np.save(file, found)
        return found

    def measured(self, row: Row | None) -> bool:
        """Whether the figures are there, by the same code."""
        return self._path(row).exists()

    def _path(self, row: Row | None) -> Path:
        safe = "".join(c if c.isalnum() else "-" for c in title_of(row))
        code = digest_folder(Path(fuse.__file__).parent)[:12]
        return self.kept / f"{safe}.{self.fold}.{code}.npy"

    def _measure(self, row: Row | None) -> Doubles:
        row = row or Row(FULL)
        snapshot = row.see(self.snapshot) if row.see else self.snapshot
        options = row.options(self.options) if row.options else self.options
        learner = Learner(snapshot, self.split, options)
        evidence, learned = self._parts(row, learner)
        draft = learner.draft(learned, evidence)
        judge = Learner(snapshot, exchanged(self.split), options) if row.told else learner
        bundle = fuse.finish(draft, judge.fuse(draft, row.without))
        cases = self._cases(snapshot)
        return evaluate(Scorer(bundle), cases, learner.data.popularity).ndcg

    def _parts(self, row: Row, learner: Learner) -> tuple[Evidence, Learned]:
        if self._full is None:
            full = Learner(self.snapshot, self.split, self.options)
            choice, _ = choose_evidence(full.data, full.arena, self.options.evidence)
            evidence = build_evidence(full.data, choice)
            self._full = choice, evidence, _net(full, full.graph())
        choice, evidence, learned = self._full
        if row.evidence:
            choice = row.evidence(choice)
        if row.evidence or row.see:
            evidence = build_evidence(learner.data, choice)
        if row.see or row.options or row.graph:
            graph = learner.graph()
            learned = _net(learner, row.graph(graph) if row.graph else graph)
        return evidence, learned

    def _cases(self, snapshot: Snapshot) -> KShotCases:
        held, ks = hold_out(snapshot, self.split), ks_of(snapshot)
        rows = np.flatnonzero(held.test.touches().counts > max(ks))
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:MOST_TEST])
        known = known_users(snapshot, self.split.test[rows])
        return build_cases(held.test.take(rows), kind_weights(snapshot.schema), ks, known=known)


def exchanged(split: Split) -> Split:
    """The same with those who decide and those who are asked in each other's place."""
    return replace(split, validation=split.test, test=split.validation)


def _net(learner: Learner, graph: ItemGraph) -> Learned:
    return Learned.of_net(learner.fit_net(graph).net, graph)


def title_of(row: Row | None) -> str:
    """The name of a variant; None is the full model."""
    return FULL if row is None else row.name


def line_of(name: str, full: Doubles, variant: Doubles) -> str:
    """A line of the table: by how much the variant's NDCG is off, k >= 1, k = 0, all."""
    views = (full[1:-1].mean(0), full[0], full[-1])
    others = (variant[1:-1].mean(0), variant[0], variant[-1])
    gaps = metrics.relative_differences(np.stack(others), np.stack(views))
    return f"| {name} | {' | '.join(map(cell_of, gaps))} |"


def cell_of(gap: metrics.Interval) -> str:
    """A relative difference with its interval, in %."""
    return f"{100 * gap.mean:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"


def table(name: str, found: Mapping[str, Sequence[Doubles]]) -> str:
    """The table of a data set as Markdown, folds pooled."""
    full = np.concatenate(found[FULL], axis=1)
    mean = full.mean(1)
    head = (
        f"### {name}\n\n{full.shape[1]:,} test users of {len(found[FULL])} folds; the full model's "
        f"NDCG@20 is {full[1:-1].mean():.4f} over k >= 1, {mean[0]:.4f} at k = 0, {mean[-1]:.4f} "
        "on whole histories.\n\n| without, % | k >= 1 | k = 0 | all |\n|---|--:|--:|--:|"
    )
    lines = [line_of(title, full, variant) for title, variant in paired(found).items()]
    return "\n".join([head, *lines])


def paired(found: Mapping[str, Sequence[Doubles]]) -> dict[str, Doubles]:
    """Variants that were measured on all folds of the full model, folds pooled."""
    return {
        title: np.concatenate(parts, axis=1)
        for title, parts in found.items()
        if title != FULL and len(parts) == len(found[FULL])
    }


def summary(found: Mapping[str, Mapping[str, Sequence[Doubles]]]) -> str:
    """The table over all data sets as Markdown: by how much NDCG@20 over k >= 1 is off, in %."""
    names = list(found)
    cells: dict[str, dict[str, str]] = {}
    for name, parts in found.items():
        full = np.concatenate(parts[FULL], axis=1)[1:-1].mean(0)
        for title, variant in paired(parts).items():
            (gap,) = metrics.relative_differences(variant[1:-1].mean(0)[None], full[None])
            sure = gap.low > 0 or gap.high < 0
            cells.setdefault(title, {})[name] = f"**{cell_of(gap)}**" if sure else cell_of(gap)
    head = [f"| without, % | {' | '.join(names)} |", f"|---|{'--:|' * len(names)}"]
    lines = [
        f"| {title} | {' | '.join(of.get(name, '') for name in names)} |"
        for title, of in cells.items()
    ]
    return "\n".join(head + lines)


def main() -> None:
    """Measure what is missing, then print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="a folder with amazon-beauty/, gowalla/, ml-1m/")
    parser.add_argument("--sets", nargs="+", default=["ml-100k", "online-retail"])
    parser.add_argument("--folds", type=int, default=1, help="pooled")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--rows", nargs="+", help="only these")
    parser.add_argument("--fixed", action="store_true", help="usual closed forms, none searched")
    parser.add_argument("--table", action="store_true", help="of what is there, measure nothing")
    args = parser.parse_args()
    chosen = [row for row in rows() if not args.rows or row.name in args.rows]
    options = TrainOptions(evidence=FIXED) if args.fixed else TrainOptions()
    kept = WORK / ("ablations-fixed" if args.fixed else "ablations")
    torch.set_num_threads(1)
    everything: dict[str, dict[str, list[Doubles]]] = {}
    for name in args.sets:
        snapshot = open_shop(shop_of(name), args.data)
        found: dict[str, list[Doubles]] = {}
        for fold in range(args.first, args.first + args.folds):
            ablation = Ablation(name, snapshot, fold, kept, options)
            for row in (None, *chosen):
                if args.table and not ablation.measured(row):
                    continue
                found.setdefault(title_of(row), []).append(ablation.figures(row))
                print(f"{name}, fold {fold}: {title_of(row)}", file=sys.stderr, flush=True)
        if FULL in found:
            everything[name] = found
            print(table(name, found), flush=True)
    if len(everything) > 1:
        print(summary(everything))


if __name__ == "__main__":
    main()

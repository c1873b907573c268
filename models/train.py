"""Training: a snapshot of a shop in, a bundle out."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse

from firstedge._version import __version__
from firstedge.graph.errors import DataError
from firstedge.graph.histories import Histories, kind_weights
from firstedge.graph.text import TextEncoder
from firstedge.loaders.snapshot import Snapshot
from firstedge.loaders.split import Split, split_for_use
from firstedge.models.assemble import Draft, Learned
from firstedge.models.baselines import Popularity
from firstedge.models.bundle import Bundle
from firstedge.models.card import kshot_table
from firstedge.models.closed_forms import NaiveBayes, naive_bayes, profile_lifts
from firstedge.models.evidence import (
    Evidence,
    EvidenceChoice,
    EvidenceOptions,
    build_evidence,
    choose_evidence,
)
from firstedge.models.fine_tune import FineTune
from firstedge.models.fit import FitOptions, Fitted, Lesson, NetRanker, Watch, fit
from firstedge.models.fuse import (
    FuseOptions,
    Fusion,
    choose_half_life,
    finish,
    fuse,
    late_popularity,
)
from firstedge.models.fusion import Arena
from firstedge.models.hidden_items import GIVEN, Askable, HideOptions, weigh_new_items
from firstedge.models.item_encoder import ItemEncoder, ItemGraph
from firstedge.models.item_graph import build_item_graph, item_features
from firstedge.models.net import Net, NetOptions
from firstedge.models.protocol import KS, KShotCase, KShotCases, build_cases, evaluate, long_case
from firstedge.models.repeats import choose_repeat
from firstedge.models.rounds import hold_out, known_users, training_data
from firstedge.models.scorer import Scorer
from firstedge.models.text_axes import principal_axes
from firstedge.models.text_choice import not_worse, retell, tunable
from firstedge.models.truncation import Truncation, Truncator

# The naive Bayes edges whose spectrum the net starts from.
SPECTRUM = NaiveBayes(smoothing=100.0, length_discount=0.5)

# How much the answers to long histories weigh beside those at one k, when terms are weighed.
LONG_SHARE = 0.5
# What the answers may lose by the weights that items without an event are found best with.
MOST_CROWDING = 0.01


@dataclass(frozen=True)
class TrainOptions:
    """Everything that can be set about training; the defaults suit a shop never seen before.

    Attributes:
        net: Architecture.
        fit: Optimisation, seed and device.
        truncation: How training examples are cut.
        evidence: Closed forms that are tried.
        fine_tune: Whether and how the text encoder is fine-tuned.
        edges_per_item: Edges kept of each item in the bundle.
        text_axes: Dimensions that the texts of items are compared in, at most the encoder's.
        profile_smoothing: Events of doubt in the profile lifts; in a small shop fewer.
        ks: Numbers of given items at which validation users are asked, as far as their histories
            go.
        least_users: Validation users with enough items that a k needs to be asked at.
        least_share: The same as a share of the validation users that have two items: fewer would
            be the most active ones alone.
        most_cells: Scores computed to try one option, of a closed form or after an epoch; a larger
            validation set is sampled.
        most_fused_cells: Scores computed of one channel of the fusion.
        asked_users: Validation users whom a large catalogue is asked about all the same.
    """

    net: NetOptions = field(default_factory=NetOptions)
    fit: FitOptions = field(default_factory=FitOptions)
    truncation: Truncation = field(default_factory=Truncation)
    evidence: EvidenceOptions = field(default_factory=EvidenceOptions)
    fine_tune: FineTune = field(default_factory=FineTune)
    edges_per_item: int = 200
    text_axes: int = 64
    profile_smoothing: float = 2000.0
    ks: tuple[int, ...] = KS
    least_users: int = 10
    least_share: float = 0.25
    most_cells: int = 24_000_000
    most_fused_cells: int = 240_000_000
    asked_users: int = 300


def train(
    snapshot: Snapshot,
    options: TrainOptions | None = None,
    split: Split | None = None,
    watch: Watch | None = None,
    encoder: TextEncoder | None = None,
) -> Bundle:
    """Learn a bundle from a snapshot.

    The training users teach; the validation users choose when to stop and every coefficient; the
    test users of the split, if it has any, are not looked at.

    Args:
        snapshot: The shop.
        options: How; see `TrainOptions`.
        split: Who teaches and who validates; as `split_for_use` has it if None.
        watch: What goes on beside the training of the net: a checkpoint, a report.
        encoder: What the snapshot's texts were read with; needed to fine-tune it. The bundle is
            then the better one, by validation users, of two: with the encoder as it was, and with
            the fine-tuned one.

    Raises:
        DataError: If there is too little to learn from.
        SettingsError: If an encoder cannot be fine-tuned that should be.
        LeakageError: If training and validation users overlap.
    """
    options, watch = options or TrainOptions(), watch or Watch()
    clock = _Clock(watch.say)
    begun = tunable(snapshot, encoder) if options.fine_tune.on else None
    split = split or split_for_use(snapshot, options.fit.seed)
    learner = Learner(snapshot, split, options)
    clock.lap("split")
    evidence = choose_evidence(learner.data, learner.arena, options.evidence)
    clock.lap("evidence")
    bundle = _made(learner, evidence, watch, clock)
    if begun is not None:
        told = retell(learner, begun, watch.say)
        clock.lap("fine-tuning")
        bundle = replace(
            bundle, about={**bundle.about, "fine_tuned": {**told.about, "kept": False}}
        )
        if told.encoder is not None:
            other = Learner(told.snapshot, split, options)
            tuned = _made(other, evidence, watch.beside("fine-tuned"), clock)
            tuned = replace(tuned, encoder_folder=told.encoder.folder)
            bundle = not_worse((other, tuned), (learner, bundle))
    about = {
        **bundle.about,
        "fingerprint": snapshot.fingerprint,
        "seconds": round(sum(clock.stages.values()), 1),
        "stages": clock.stages,
    }
    return replace(bundle, about=about)


def _made(
    learner: Learner,
    evidence: tuple[EvidenceChoice, dict[str, float]],
    watch: Watch,
    clock: _Clock,
) -> Bundle:
    """The bundle of a learner whose closed forms are chosen."""
    choice, tried = evidence
    graph = learner.graph()
    clock.lap("graph")
    fitted = learner.fit_net(graph, watch)
    clock.lap("net")
    draft = learner.draft(Learned.of_net(fitted.net, graph), build_evidence(learner.data, choice))
    fusion = learner.fuse(draft)
    clock.lap("fusion")
    bundle = learner.finish(draft, fusion)
    kshot = learner.kshot(bundle)
    clock.lap("finish")
    about = {
        **learner.about(),
        "evidence": asdict(choice),
        "evidence_ndcg": tried,
        "net_ndcg": list(fitted.validation),
        "fusion": asdict(fusion),
        "trials": len(tried) + fusion.trials,
        "kshot": kshot,
    }
    return replace(bundle, about=about)


class _Clock:
    """Seconds that each stage took, by name, said as they end."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.stages: dict[str, float] = {}
        self._say, self._began = say, time.perf_counter()

    def lap(self, stage: str) -> None:
        """A stage is over, and the next begins."""
        now = time.perf_counter()
        took = now - self._began
        self.stages[stage] = round(self.stages.get(stage, 0.0) + took, 2)
        self._say(f"{stage}: {took:,.1f} s")
        self._began = now


class Learner:
    """Training and validation users of a split, and the steps from them to a bundle."""

    def __init__(self, snapshot: Snapshot, split: Split, options: TrainOptions) -> None:
        self.held = held = hold_out(snapshot, split)
        self.snapshot, self.split, self.options = snapshot, split, options
        self.weights = kind_weights(snapshot.schema)
        if not len(held.train.targets):
            raise DataError("the training users have no event that speaks: import events first")
        self.data = training_data(held)
        self.ks = feasible_ks(held.validation, options)
        # Whatever is tried often asks few users; the last choice, of the fusion, asks more.
        self.validation, self.cases, _ = self._cases(held.validation, options.most_cells)
        _, cases, long = self._cases(held.validation, options.most_fused_cells)
        n = held.train.num_items
        self.arena, self.first = Arena(self.cases.cases, n), Arena(self.cases.cases[:1], n)
        shares = [1.0] * len(cases.cases) + [LONG_SHARE] * len(long)
        self.wide = Arena((*cases.cases, *long), n, shares)

    def _cases(
        self, validation: Histories, most_cells: int
    ) -> tuple[Histories, KShotCases, tuple[KShotCase, ...]]:
        """Validation users with enough items, as many as the cells allow, and their cases.

        The last is of those among them with long histories, if they are enough.
        """
        rows = np.flatnonzero(validation.touches().counts > max(self.ks))
        most = max(most_cells // (validation.num_items * len(self.ks)), self.options.asked_users)
        rng = np.random.default_rng(self.options.fit.seed)
        asked = np.sort(rng.permutation(rows)[:most])
        histories = validation.take(asked)
        known = known_users(self.snapshot, self.split.validation[asked])
        cases = build_cases(histories, self.weights, self.ks, known=known, with_all=False)
        long = long_case(histories, self.weights, max(self.ks) + 1, known)
        enough = long is not None and len(long.users) >= self.options.least_users
        return histories, cases, (long,) if long is not None and enough else ()

    def graph(self) -> ItemGraph:
        """The item graph; the ID vectors start from the default naive Bayes edges."""
        counts = self.data.cooccurrence(SPECTRUM.length_discount)
        totals = self.data.pair_totals(SPECTRUM.length_discount)
        start, _ = naive_bayes(counts, SPECTRUM, self.data.tree, totals)
        items, categories = self.snapshot.memberships.nonzero()
        features = item_features(
            self.snapshot.item_text, np.stack((categories, items)), self.data.tree
        )
        options = self.options
        return build_item_graph(self.data.x, start, features, options.net, options.fit.seed)

    def fit_net(self, graph: ItemGraph, watch: Watch | None = None) -> Fitted:
        """Train the net, stopping by the validation users."""
        torch.manual_seed(self.options.fit.seed)
        net_options = self.options.net
        known = known_users(self.snapshot, self.split.train)
        text_dim = 0 if known.text is None else known.text.shape[1]
        sizes = (len(self.weights), len(self.snapshot.profile_values), text_dim)
        net = Net(
            ItemEncoder(graph, net_options.id_dropout, net_options.propagate), sizes, net_options
        )
        truncator = Truncator(self.data.histories, self.weights, self.options.truncation)
        prior = self.data.log_prior

        def validate(net: Net) -> float:
            ranker = NetRanker(net, graph, prior, self.options.fit.torch_device)
            return self.arena.ndcg(ranker.score)

        lesson = Lesson(graph, truncator, known, prior, validate)
        return fit(net, lesson, self.options.fit, watch)

    def draft(self, learned: Learned, evidence: Evidence) -> Draft:
        """All that a bundle is made of but the coefficients."""
        return Draft(
            snapshot=self.snapshot,
            data=self.data,
            learned=learned,
            evidence=evidence,
            profile_lifts=self.profile_lifts(),
            text_axes=principal_axes(self.snapshot.item_text, self.options.text_axes),
            late=late_popularity(self.data, self.half_life),
        )

    def fuse(self, draft: Draft, without: Collection[str] = ()) -> Fusion:
        """Choose the coefficients, those of the channels ``without`` zero."""
        how = FuseOptions(self.options.edges_per_item, self.half_life, frozenset(without))
        found = fuse(draft, self.wide, how)
        if "text" in without or not draft.text_axes.shape[1]:
            return found
        options = self.options
        askable = Askable(
            self.held.validation,
            known_users(self.snapshot, self.split.validation),
            self.weights,
        )
        ks = [k for k in GIVEN if k <= max(self.ks)]
        hide = HideOptions(ks, options.most_cells, options.least_users, options.fit.seed)
        weighed = weigh_new_items(draft, found, askable, hide)
        if weighed is found:
            return found
        # They are chosen among new items alone, who may not crowd the known ones out.
        kept = self._worth(draft, weighed) >= (1 - MOST_CROWDING) * self._worth(draft, found)
        return weighed if kept else found

    def _worth(self, draft: Draft, fusion: Fusion) -> float:
        """Mean NDCG of a fusion over validation users and ks, all items being candidates."""
        return self.arena.ndcg(Scorer(finish(draft, fusion)).score)

    def finish(self, draft: Draft, fusion: Fusion) -> Bundle:
        """The bundle as it was fused, its weight of repeats chosen too."""
        bundle = finish(draft, fusion)
        repeat = choose_repeat(Scorer(bundle), self.validation, self.cases, self.ks)
        return replace(bundle, coefficients=replace(bundle.coefficients, repeat=repeat))

    def about(self) -> dict[str, Any]:
        """What is known of a training before it begins."""
        return {
            "firstedge": __version__,
            "fingerprint": self.snapshot.fingerprint,
            "users": len(self.split.train),
            "validation_users": len(self.cases.rows),
            "events": len(self.data.histories.targets),
            "options": asdict(self.options),
        }

    @cached_property
    def half_life(self) -> float:
        """Of the popularity of late, chosen by those of whom nothing is known."""
        return choose_half_life(self.data, self.first)

    def kshot(self, bundle: Bundle) -> str:
        """NDCG@20 by k of the bundle and of popularity, over the validation users, as Markdown."""
        rankers = {"firstedge": Scorer(bundle), "popularity": Popularity().fit(self.data)}
        found = {
            name: evaluate(ranker, self.cases, self.data.popularity).ndcg.mean(1)
            for name, ranker in rankers.items()
        }
        return kshot_table(self.cases.labels, found)

    def profile_lifts(self) -> sparse.csr_array:
        """float32[f, n]: how profile values lift items among the training users."""
        profiles = self.snapshot.profiles[self.split.train]
        return profile_lifts(self.data.x, profiles, self.options.profile_smoothing)


def feasible_ks(histories: Histories, options: TrainOptions) -> tuple[int, ...]:
    """The largest beginning of `options.ks` for which enough users have enough items.

    Raises:
        DataError: If not even k = 0 can be asked.
    """
    counts = histories.touches().counts
    least = max(options.least_users, options.least_share * int((counts > 1).sum()))
    for last in range(len(options.ks), 0, -1):
        enough = int((counts > options.ks[last - 1]).sum())
        if enough >= least or (last == 1 and enough):
            return options.ks[:last]
    raise DataError(
        f"none of the {len(histories):,} validation users has an event: import more events"
    )

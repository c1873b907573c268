"""The benchmarks of single parts: kinds of events, ablations, new items."""

from __future__ import annotations

import numpy as np

from benchmarks.quality.ablate import (
    FULL,
    exchanged,
    rows,
    summary,
    table,
    without_categories,
)
from benchmarks.quality.kind_shop import (
    INTEREST,
    PURCHASE,
    TRUTH,
    VIEW,
    best_answer,
    hidden,
    kind_shop,
)
from benchmarks.quality.kinds import BEST, compare, learned_weights, with_true_weights
from benchmarks.quality.new_items import FROZEN, LORA, NONE, TUNED, ask, hide, recall, text_table
from firstedge.loaders.split import split_users
from firstedge.models.fit import FitOptions
from firstedge.models.net import NetOptions
from firstedge.models.train import TrainOptions
from tests.models.tastes import taste_shop

QUICK = TrainOptions(net=NetOptions(dim=16), fit=FitOptions(epochs=6, device="cpu"), ks=(0, 1, 3))


def test_the_drawn_shop_is_what_it_says() -> None:
    shop = kind_shop(3000)
    h = shop.snapshot.histories
    column = np.concatenate((shop.snapshot.primary, np.arange(20)))
    true = column[h.targets] == shop.tastes
    by_chance = 1 / 20
    for kind, truth in ((PURCHASE, TRUTH["purchase"]), (INTEREST, 0.9)):
        share = true[h.kinds == kind].mean()
        assert abs(share - (truth + (1 - truth) * by_chance)) < 0.02
    views = h.kinds == VIEW
    for weight, name in ((0.2, "short view"), (1.0, "long view")):
        some = views & np.isclose(h.weights, weight)
        assert abs(true[some].mean() - (TRUTH[name] + (1 - TRUTH[name]) * by_chance)) < 0.02
    assert np.isclose(shop.chances.sum(1), 1).all()


def test_what_is_hidden_is_hidden() -> None:
    h = kind_shop(200).snapshot.histories
    assert set(hidden(h, "kinds").kinds) == {VIEW, INTEREST}
    assert set(hidden(h, "weights").weights) == {1.0}
    assert VIEW not in hidden(h, "views").kinds
    assert INTEREST not in hidden(h, "interests").kinds
    shuffled = hidden(h, "times")
    assert not np.array_equal(shuffled.targets, h.targets)
    first = slice(0, int(h.offsets[1]))
    assert sorted(shuffled.targets[first]) == sorted(h.targets[first])


def test_the_best_answer_is_as_sure_as_it_is_right() -> None:
    shop = kind_shop(4000)
    h = shop.snapshot.histories
    place = np.arange(len(h.targets)) - np.repeat(h.offsets[:-1], np.diff(h.offsets))
    for events in (1, 3, 8):
        expected = best_answer(shop, h.where(place < events))
        assert np.allclose(expected.sum(1), 1, atol=1e-5)
        # The chance that the next purchase is on one of an item's category, by the answer.
        sure = expected @ (shop.chances > 0).T.astype(np.float32)
        right = sure.argmax(1) == shop.tastes[h.offsets[:-1] + events]
        assert abs(sure.max(1).mean() - right.mean()) < 0.02


def test_the_best_answer_weighs_by_bayes_rule() -> None:
    shop = kind_shop(500)
    h = shop.snapshot.histories
    first = h.where(np.isin(np.arange(len(h.targets)), h.offsets[:-1]))
    bought = np.flatnonzero((first.kinds == PURCHASE) & (first.targets < 400))[0]
    category = shop.snapshot.primary[first.targets[bought]]
    found = best_answer(shop, first)[bought] @ (shop.chances[category] > 0)
    assert np.isclose(found, 0.95 + 0.05 / 20)


def test_the_model_comes_between_popularity_and_the_best_possible() -> None:
    figures, bundle = compare(kind_shop(1200, 200, 10), ("interests",), QUICK)
    best, ours, without, popularity = (
        figures[name].mean() for name in (BEST, "everything", "without interests", "popularity")
    )
    assert 2 * popularity < ours < best
    assert 2 * popularity < without < best
    assert learned_weights(bundle)["an interest's lifts"] > 0
    true = np.exp(with_true_weights(bundle, 20).kind - bundle.kind[PURCHASE])
    assert np.allclose(true, [0.578, 0.692, 1, 0.874], atol=1e-3)


def test_an_ablation_is_a_paired_difference() -> None:
    full = np.array([[0.2, 0.4], [0.5, 0.3], [0.1, 0.1]])  # k = 0, k = 1, all; two users
    found = {FULL: [full[:, :1], full[:, 1:]], "half": [full[:, :1] / 2, full[:, 1:] / 2]}
    text = table("shop", found)
    assert "2 test users of 2 folds" in text
    assert "NDCG@20 is 0.4000 over k >= 1, 0.3000 at k = 0, 0.1000" in text
    assert "| half | -50.0 (-50.0 to -50.0) | -50.0 (-50.0 to -50.0) | -50.0" in text
    assert len({row.name for row in rows()}) == len(rows())
    other = {FULL: [full], "none": [full]}
    assert summary({"shop": found, "other": other}).splitlines() == [
        "| without, % | shop | other |",
        "|---|--:|--:|",
        "| half | **-50.0 (-50.0 to -50.0)** |  |",
        "| none |  | +0.0 (+0.0 to +0.0) |",
    ]


def test_an_ablated_shop_has_no_categories() -> None:
    shop = without_categories(taste_shop(50))
    assert shop.memberships.nnz == 0
    assert (shop.primary == -1).all()


def test_for_the_bound_those_who_are_asked_decide() -> None:
    split = split_users(taste_shop(50))
    told = exchanged(split)
    assert told.validation is split.test
    assert told.test is split.validation
    assert told.train is split.train


def test_hidden_items_are_asked_for_and_never_given() -> None:
    shop = taste_shop(200)
    seen, hidden_items = hide(shop)
    assert hidden_items.sum() == 6
    items = seen.histories.targets[seen.histories.targets < 60]
    assert not hidden_items[items].any()
    asked = ask(shop, split_users(shop), hidden_items, 2)
    given = asked.users.given
    assert not hidden_items[given.targets[given.targets < 60]].any()
    assert hidden_items[asked.targets.items].all()

    class Clairvoyant:
        def score(self, users: object) -> np.ndarray:
            scores = np.zeros((len(asked.targets), 60), np.float32)
            owners = np.repeat(np.arange(len(asked.targets)), asked.targets.counts)
            scores[owners, asked.targets.items] = 1
            return scores

    assert (recall(Clairvoyant(), asked, hidden_items) == 1).all()


def test_what_text_brings_is_told_beside_the_way_before() -> None:
    half, one = np.full(4, 0.5), np.full(4, 1.0)
    known = {NONE: half, FROZEN: one, TUNED: half, LORA: half}
    alone = {FROZEN: half, TUNED: one, LORA: half}
    part = {"known items, k = 0": known, "cosine alone": alone}, ["fold 0: not taken"]
    lines = text_table("shop", [part, part], False).splitlines()
    assert lines[4:8] == [
        "| asked | users | no text | frozen | fine-tuned | fine-tuned, LoRA |",
        "|---|--:|--:|--:|--:|--:|",
        "| known items, k = 0 | 8 | 0.500 | 1.000, +100.0 % (+100.0 to +100.0) "
        "| 0.500, -50.0 % (-50.0 to -50.0) | 0.500, +0.0 % (+0.0 to +0.0) |",
        "| cosine alone | 8 |  | 0.500 | 1.000, +100.0 % (+100.0 to +100.0) "
        "| 0.500, -50.0 % (-50.0 to -50.0) |",
    ]
    assert lines[-2:] == ["fold 0: not taken"] * 2

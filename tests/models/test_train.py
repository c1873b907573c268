from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from firstedge.graph.errors import BundleError, DataError
from firstedge.graph.histories import Given, kind_weights
from firstedge.loaders.snapshot import Snapshot
from firstedge.loaders.split import Split, split_users
from firstedge.models import evidence, patterns
from firstedge.models.assemble import ByK, Draft, Learned, assemble, newcomer_values
from firstedge.models.baselines import Popularity, TrainingData
from firstedge.models.batches import user_tensors, with_profiles
from firstedge.models.bundle import EXTRA, Bundle, Coefficients
from firstedge.models.card import model_card
from firstedge.models.closed_forms import CategoryTree
from firstedge.models.fit import FitOptions, Watch
from firstedge.models.fuse import NONE, PARTS, TERMS, Terms, late_popularity
from firstedge.models.net import NetOptions
from firstedge.models.patterns import EdgeParts, take_apart
from firstedge.models.protocol import build_cases, evaluate
from firstedge.models.rounds import build_round, hold_out, known_users
from firstedge.models.scorer import Scorer, UserBatch
from firstedge.models.train import Learner, TrainOptions, feasible_ks, train
from firstedge.models.update import update_bundle
from tests.models.drafts import draft_of
from tests.models.small import histories_of, users_of
from tests.models.tastes import TASTES, taste_shop

OPTIONS = TrainOptions(
    net=NetOptions(dim=16),
    fit=FitOptions(epochs=8, learning_rate=3e-3, device="cpu"),
    ks=(0, 1, 2, 3),
)


@pytest.fixture(scope="module")
def shop() -> Snapshot:
    return taste_shop()


@pytest.fixture(scope="module")
def split(shop: Snapshot) -> Split:
    return split_users(shop)


@pytest.fixture(scope="module")
def bundle(shop: Snapshot, split: Split) -> Bundle:
    return train(shop, OPTIONS, split)


@pytest.fixture(scope="module")
def learner(shop: Snapshot, split: Split) -> Learner:
    return Learner(shop, split, replace(OPTIONS, fit=replace(OPTIONS.fit, epochs=1)))


@pytest.fixture(scope="module")
def draft(learner: Learner) -> Draft:
    return draft_of(learner)


def test_training_finds_the_tastes(shop: Snapshot, split: Split, bundle: Bundle) -> None:
    histories = shop.histories.speaking(shop.schema).take(split.test)
    weights = kind_weights(shop.schema)
    known = known_users(shop, split.test)
    cases = build_cases(histories, weights, (0, 1, 3), known=known, with_all=False)
    ours = evaluate(Scorer(bundle), cases, np.zeros(60), k=10).ndcg.mean(1)
    plain = replace(bundle, w=np.zeros_like(bundle.w), b=np.zeros_like(bundle.b))
    coefficients = replace(bundle.coefficients, category=0, profile=0, prior=1)
    popularity = Scorer(replace(plain, coefficients=coefficients, edges=_no_edges(bundle)))
    theirs = evaluate(popularity, cases, np.zeros(60), k=10).ndcg.mean(1)
    # A text tells the taste before the first event, so k = 0 is already far above popularity.
    assert (ours > 1.25 * theirs).all(), (ours, theirs)


def _no_edges(bundle: Bundle):
    return type(bundle.edges).none(len(bundle.items), len(bundle.items))


def test_without_text_and_profile_a_category_event_tells_the_taste(bundle: Bundle) -> None:
    n = len(bundle.items)
    for taste in range(TASTES):
        follow = Given(
            np.array([0, 1]),
            np.array([n + taste]),
            np.array([2]),
            np.array([0]),
            np.ones(1, np.float32),
        )
        best = np.argsort(-Scorer(bundle).score(UserBatch.of(follow))[0])[:5]
        assert (best % TASTES == taste).all()


def test_training_is_repeatable(shop: Snapshot, split: Split, bundle: Bundle) -> None:
    again = train(shop, OPTIONS, split)
    for name, array in bundle.arrays().items():
        np.testing.assert_array_equal(array, getattr(again, name), err_msg=name)
    assert again.coefficients == bundle.coefficients


def test_torch_and_numpy_embed_a_user_alike(shop: Snapshot, split: Split, bundle: Bundle) -> None:
    """The inductive path of a user who was trained on is the batch path of training."""
    histories = shop.histories.speaking(shop.schema).take(split.train[:50])
    given = Given.of(histories, kind_weights(shop.schema))
    users = with_profiles(given, known_users(shop, split.train), np.arange(50))
    learned = Learned.of_bundle(bundle)
    tensors = user_tensors(users)
    rank = tensors.ranks.clamp(max=len(learned.recency) - 1)
    a = tensors.weights * torch.exp(
        torch.from_numpy(learned.recency)[rank] + torch.from_numpy(learned.kind)[tensors.kinds]
    )
    v = torch.from_numpy(np.ascontiguousarray(learned.v))
    sums = torch.nn.functional.embedding_bag(
        tensors.targets, v, tensors.offsets, mode="sum", per_sample_weights=a
    ).numpy()
    step = np.minimum(given.counts, len(learned.s) - 1)
    expected = learned.c[step] + (learned.s[step] / np.sqrt(given.counts))[:, None] * sums
    expected += shop.profiles[split.train[:50]] @ learned.profile
    expected += users.text @ learned.user_text
    dim = learned.w.shape[1]
    found = Scorer(bundle).embed_users(users)
    np.testing.assert_allclose(found[:, :dim], expected, rtol=1e-4, atol=1e-5)
    alone = np.stack([Scorer(bundle).embed_users(users.take(u, u + 1))[0] for u in range(50)])
    np.testing.assert_array_equal(found, alone)


def test_the_card_shows_the_first_answers(bundle: Bundle) -> None:
    rows = str(bundle.about["kshot"]).splitlines()
    assert rows[0] == "| NDCG@20 | k=0 | k=1 | k=2 | k=3 |"
    ours, popularity = ([float(cell) for cell in row.split("|")[2:-1]] for row in rows[2:])
    assert all(mine > theirs for mine, theirs in zip(ours, popularity, strict=True))
    assert rows[2] in model_card(bundle)


def test_few_active_users_do_not_choose_for_all() -> None:
    histories = histories_of(*[[0, 1]] * 70, *[[0, 1, 2, 3]] * 30, [], [])
    options = TrainOptions(ks=(0, 1, 3), least_share=0.25)
    assert feasible_ks(histories, options) == (0, 1, 3)
    assert feasible_ks(histories, replace(options, least_share=0.31)) == (0, 1)
    assert feasible_ks(histories, replace(options, least_users=31)) == (0, 1)
    # Who has one item can be asked at k = 0 alone, and does not keep others from being asked more.
    many = histories_of(*[[0]] * 900, *[[0, 1]] * 70, *[[0, 1, 2, 3]] * 30)
    assert feasible_ks(many, options) == (0, 1, 3)


def test_a_small_shop_is_served_by_its_defaults() -> None:
    shop = taste_shop(320, user_text=False)
    owners = Split(np.arange(100), np.arange(100, 120), np.arange(120, 320))
    bundle = train(shop, TrainOptions(fit=FitOptions(device="cpu")), owners)
    asked = build_round("small", hold_out(shop, owners), (1, 2, 3), lambda: bundle)
    ours = evaluate(Scorer(bundle), asked.test, asked.training.popularity).ndcg.mean(1)
    popularity = Popularity().fit(asked.training)
    theirs = evaluate(popularity, asked.test, asked.training.popularity).ndcg.mean(1)
    assert (ours > 1.2 * theirs).all(), (ours, theirs)


def test_strangers_are_answered_by_what_the_coefficients_say(
    shop: Snapshot, split: Split, bundle: Bundle
) -> None:
    """At k = 0 the two popularities and what the net says of everybody have their own weights."""
    fusion = bundle.about["fusion"]
    by_k, net = fusion["by_k"], fusion["coefficients"]["net"]
    nobody = users_of([])
    data = TrainingData(
        shop.histories.speaking(shop.schema).take(split.train),
        CategoryTree(shop.primary, shop.parents),
        shop.item_text,
    )
    expected = by_k["start_prior"] * data.log_prior + net * bundle.b
    expected += by_k["start_recent"] * late_popularity(data, fusion["half_life"])
    said = Scorer(bundle).score(nobody)[0] - expected
    dim = bundle.dim - EXTRA
    learned = bundle.w[:, :dim] @ bundle.c[0, :dim] + bundle.c[0, dim] * bundle.w[:, dim]
    np.testing.assert_allclose(said, net * learned, rtol=1e-3, atol=1e-3)


def test_too_little_to_learn_from_is_an_error(shop: Snapshot) -> None:
    nobody = np.empty(0, np.int64)
    with pytest.raises(DataError, match="import"):
        train(shop, OPTIONS, Split(nobody, np.arange(10), nobody))
    with pytest.raises(DataError, match="validation users"):
        train(shop, OPTIONS, Split(np.arange(10), nobody, nobody))


def test_an_update_of_nothing_changes_nothing_that_was_learned(
    shop: Snapshot, bundle: Bundle
) -> None:
    fresh = update_bundle(bundle, shop)
    for name in ("c", "s", "kind", "recency", "profile", "text_w", "category_w"):
        np.testing.assert_allclose(getattr(fresh, name), getattr(bundle, name), err_msg=name)
    # Beyond lie popularities, lean and patterns, which are counted anew.
    dim = bundle.dim - EXTRA
    for name in ("v", "w"):
        learned = getattr(bundle, name)[:, :dim]
        np.testing.assert_allclose(getattr(fresh, name)[:, :dim], learned, err_msg=name)
    assert fresh.coefficients == bundle.coefficients
    # The held-out users count now.
    assert fresh.table.counts.sum() > bundle.table.counts.sum()


def test_an_update_embeds_new_items_from_text_and_category(bundle: Bundle) -> None:
    grown = taste_shop(num_items=64)  # i00060 .. i00063 are new, of tastes 0 .. 3
    fresh = update_bundle(bundle, grown)
    assert fresh.about["new_items"] == 4
    scorer = Scorer(fresh)
    for taste in range(TASTES):
        given = Given(
            np.array([0, 2]),
            np.array([taste, taste + TASTES]),
            np.ones(2, np.int64),
            np.arange(2),
            np.ones(2, np.float32),
        )
        scores = scorer.score(UserBatch.of(given))[0, 60:64]
        assert scores.argmax() == taste


@pytest.mark.parametrize(
    ("most_items", "further"), [(60, {"factors", "spectrum"}), (59, {"far_walks"})]
)
def test_an_update_keeps_the_sorts_of_edges_of_a_large_catalogue(
    shop: Snapshot,
    split: Split,
    monkeypatch: pytest.MonkeyPatch,
    most_items: int,
    further: set[str],
) -> None:
    monkeypatch.setattr(patterns, "FULL_CELLS", 59**2)
    monkeypatch.setattr(evidence, "FACTORS_MOST_ITEMS", most_items)
    options = replace(OPTIONS, fit=replace(OPTIONS.fit, epochs=1))
    large = train(shop, options, split)
    assert large.about["fusion"]["mix"].keys() == {"bayes", "walks"} | further
    monkeypatch.setattr(patterns, "FULL_CELLS", 1 << 25)
    fresh = update_bundle(large, shop)
    assert len(fresh.edges) > 0
    assert fresh.coefficients == large.coefficients


def test_an_update_refuses_what_an_older_version_chose(shop: Snapshot, bundle: Bundle) -> None:
    older = {**bundle.about, "evidence": {**bundle.about["evidence"], "ridge": 10000}}
    with pytest.raises(BundleError, match="`firstedge train` it again"):
        update_bundle(replace(bundle, about=older), shop)


def test_an_update_refuses_another_encoder(shop: Snapshot, bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="encoder 'known'"):
        update_bundle(bundle, replace(shop, encoder="other"))


@pytest.mark.parametrize("silent", ["nothing", "net", "start_net"])
def test_the_channels_of_the_fusion_add_up_to_the_score(
    learner: Learner, draft: Draft, silent: str
) -> None:
    """What is weighed is what is answered: the search and the bundle mean the same formula."""
    terms = Terms(draft)
    channels = terms.channels()
    importance = draft.data.importance
    parts = take_apart(draft.evidence.edges["walks"], importance).pruned(20, importance)
    channels |= terms.parts(parts)
    weights = {name: 0.5 + 0.1 * place for place, name in enumerate(sorted(channels))}
    weights |= dict.fromkeys(("new_text", "later_text"), weights["text"])
    weights |= {name: 0.0 for name in weights if name == silent}
    bundle = assemble(
        draft,
        parts.weighed(*(weights[name] for name in PARTS)),
        Coefficients(**{name: weights.get(name, 0.0) for name in TERMS}),
        ByK(**{field.name: weights[field.name] for field in fields(ByK)}),
    )
    for block in learner.wide.blocks:
        total = sum(np.float32(weights[name]) * c(block.users) for name, c in channels.items())
        np.testing.assert_allclose(Scorer(bundle).score(block.users), total, rtol=1e-4, atol=1e-4)


def test_the_prior_fades_with_what_is_given(draft: Draft) -> None:
    none, by_k = EdgeParts.none(draft.data.num_items), ByK(fading_prior=0.6, start_prior=2.0)
    bundle = assemble(draft, none, replace(NONE, prior=0.25), by_k)
    popularity = newcomer_values(draft.data.log_prior, draft.data)
    for given, weight in (([], 2.0), ([3], 0.85), ([3, 4], 0.55), ([3, 4, 5], 0.45)):
        said = Scorer(bundle).score(users_of(given))[0]
        np.testing.assert_allclose(said, weight * popularity, rtol=1e-5)


def test_training_says_which_stages_are_over(shop: Snapshot, split: Split) -> None:
    said: list[str] = []
    options = replace(OPTIONS, fit=replace(OPTIONS.fit, epochs=1))
    bundle = train(shop, options, split, Watch(say=said.append))
    stages = ["split", "evidence", "graph", "net", "fusion", "finish"]
    assert [line.split(":")[0] for line in said] == stages
    assert list(bundle.about["stages"]) == stages
    assert bundle.about["seconds"] == pytest.approx(sum(bundle.about["stages"].values()), abs=0.06)

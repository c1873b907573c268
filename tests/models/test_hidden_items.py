"""Text has a weight of its own about items that nobody chose yet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from firstedge.loaders.snapshot import Snapshot
from firstedge.loaders.split import split_users
from firstedge.models.assemble import ByK, Draft, assemble
from firstedge.models.borrowed import lenders
from firstedge.models.bundle import PATTERNS, Bundle, Coefficients
from firstedge.models.fuse import Fusion, finish
from firstedge.models.hidden_items import (
    Askable,
    HideOptions,
    ask_hidden,
    weigh_new_items,
    without,
)
from firstedge.models.newcomers import embed_newcomers
from firstedge.models.patterns import EdgeParts, take_apart
from firstedge.models.protocol import build_cases
from firstedge.models.rounds import known_users
from firstedge.models.scorer import Scorer
from firstedge.models.train import Learner
from tests.models.drafts import OPTIONS, draft_of
from tests.models.small import histories_of, users_of
from tests.models.tastes import TASTES, taste_shop

SILENT = Coefficients(prior=0.0)
HIDE = HideOptions((1, 3), 10_000_000, 10, 0)


@pytest.fixture(scope="module")
def shop() -> Snapshot:
    """A shop whose last items nobody chose."""
    whole = taste_shop(num_items=64)
    return replace(whole, histories=without(whole.histories, np.arange(64) >= 60))


def learner_of(shop: Snapshot) -> Learner:
    return Learner(shop, split_users(shop), OPTIONS)


@pytest.fixture(scope="module")
def learner(shop: Snapshot) -> Learner:
    return learner_of(shop)


@pytest.fixture(scope="module")
def draft(learner: Learner) -> Draft:
    return draft_of(learner)


def bundle_of(draft: Draft, by_k: ByK) -> Bundle:
    return assemble(draft, EdgeParts.none(draft.data.num_items), SILENT, by_k)


def askable_of(learner: Learner) -> Askable:
    known = known_users(learner.snapshot, learner.split.validation)
    return Askable(learner.held.validation, known, learner.weights)


def test_text_says_the_weighted_mean_by_a_weight_of_its_own_for_new_items(
    learner: Learner, draft: Draft
) -> None:
    bundle = bundle_of(draft, ByK(text=2.0, new_text=5.0, later_text=7.0))
    cases = build_cases(learner.held.validation, learner.weights, (0, 3), with_all=False)
    assert (draft.data.counts == 0).sum() == 4
    theta = np.where(draft.data.counts > 0, 2.0, 5.0)
    text = learner.snapshot.item_text @ draft.text_axes
    scorer = Scorer(bundle)
    nobody, some = (case.users for case in cases.cases)
    assert not scorer.score(nobody).any()
    weights = scorer.edge_weights(some.given) / np.sqrt(some.given.counts)[some.given.users]
    given = np.pad(text, ((0, TASTES), (0, 0)))[some.given.targets]  # no text of a category
    means = np.zeros((len(some), text.shape[1]))
    np.add.at(means, some.given.users, weights[:, None] * given)
    np.testing.assert_allclose(scorer.score(some), means @ text.T * theta, rtol=1e-4, atol=1e-5)


def test_without_a_weight_text_takes_no_dimension(draft: Draft) -> None:
    narrow, wide = bundle_of(draft, ByK()), bundle_of(draft, ByK(new_text=1.0))
    assert narrow.text_axes.shape == (8, 0)
    assert wide.dim - narrow.dim == wide.text_axes.shape[1] == 7
    assert wide.of_text == slice(8, 15)


def test_what_a_newcomer_would_have_is_what_an_item_without_events_has(draft: Draft) -> None:
    shop, by_k = draft.snapshot, ByK(recent=0.5, text=2.0, new_text=5.0, later_text=5.0)
    parts = EdgeParts.none(draft.data.num_items)
    bundle = assemble(draft, parts, replace(SILENT, net=0.5), by_k)
    rows = np.flatnonzero(draft.data.counts == 0)
    new = embed_newcomers(
        bundle,
        bundle.table.counts,
        shop.item_text[rows],
        shop.memberships[rows],
        shop.primary[rows],
    )
    for name, found in (("w", new.w), ("prior", new.prior), ("b", new.b)):
        np.testing.assert_allclose(found, getattr(bundle, name)[rows], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(new.v, bundle.v[rows], rtol=1e-4, atol=1e-5)


def test_nobody_is_given_what_is_hidden() -> None:
    histories = histories_of([0, 1, 2, 3], [1, 4], [0, 3], [1], [4, 1, 3, 0])
    askable = Askable(histories, users_of([], [], [], [], []), np.ones(1, np.float32))
    hidden = np.array([False, True, False, False, True])
    asked = ask_hidden(askable, hidden, 2)
    given = asked.users.given
    assert [given.targets[given.users == user].tolist() for user in range(2)] == [[2, 0], [0, 3]]
    assert asked.targets.offsets.tolist() == [0, 1, 3]
    assert asked.targets.items.tolist() == [1, 4, 1]
    assert len(ask_hidden(askable, hidden, 2, most=1).users) == 1


def fusion_of(coefficients: Coefficients = SILENT, text: float = 0.0) -> Fusion:
    mix = {"bayes": 1.0, "walks": 0.0}
    return Fusion(mix, (1.0, 1.0, 1.0), 20, 0.0, ByK(text=text), coefficients, 0.0, 0.0, 1)


def test_texts_that_tell_tastes_are_weighed_and_those_that_mislead_are_not(
    shop: Snapshot, draft: Draft, learner: Learner
) -> None:
    found = weigh_new_items(draft, fusion_of(), askable_of(learner), HIDE)
    assert found.by_k.new_text + found.borrowed > 0
    assert (found.by_k.text, found.coefficients) == (0, SILENT)
    assert found.by_k.later_text > 0
    # Categories tell the tastes, and texts are those of other items.
    mixed = np.random.default_rng(3).permutation(shop.item_text)
    other = learner_of(replace(shop, item_text=mixed))
    fusion = fusion_of(Coefficients(category=2.0))
    found = weigh_new_items(draft_of(other), fusion, askable_of(other), HIDE)
    assert (found.by_k.new_text, found.by_k.later_text, found.borrowed) == (0, 0, 0)


def test_too_few_users_choose_nothing(draft: Draft, learner: Learner) -> None:
    asked, fusion = askable_of(learner), fusion_of(text=0.7)
    for hide in (
        replace(HIDE, least_users=9999),
        replace(HIDE, most_cells=0),
        replace(HIDE, ks=()),
    ):
        assert weigh_new_items(draft, fusion, asked, hide) == fusion


def test_new_items_get_the_edges_of_what_they_read_like(draft: Draft) -> None:
    fusion = replace(fusion_of(), borrowed=2.0, most_edges=9)
    plain, found = finish(draft, replace(fusion, borrowed=0.0)), finish(draft, fusion)
    new = draft.data.counts == 0
    before, edges = (bundle.edges.matrix().toarray() for bundle in (plain, found))
    assert not before[:, new].any()
    np.testing.assert_array_equal(edges[:, ~new], before[:, ~new])
    np.testing.assert_array_equal(found.w[~new], plain.w[~new])
    assert (np.count_nonzero(edges[:, new], axis=0) == 9).all()
    text = draft.snapshot.item_text @ draft.text_axes
    shares = lenders(text, np.flatnonzero(new), np.flatnonzero(~new)).toarray()
    apart = take_apart(draft.evidence.edges["bayes"], draft.data.importance)
    lent = 2 * apart.told(sparse.eye_array(len(new), dtype=np.float32, format="csr")) @ shares.T
    # What single edges leave out is said by the vectors: of what all say alike, and the patterns.
    of_edges = slice(found.dim - PATTERNS - 1, found.dim)
    vectors = found.v[: len(new), of_edges] @ found.w[new, of_edges].T
    kept = edges[:, new] != 0
    np.testing.assert_allclose((edges[:, new] + vectors)[kept], lent[kept], rtol=1e-4)
    # Those stay that are strongest for what they start from, by how often that is given.
    strength = np.abs(lent - vectors) * draft.data.importance[:, None]
    weakest = np.where(kept, strength, np.inf).min(0)
    assert (np.where(kept, 0, strength) <= weakest * (1 + 1e-4)).all()


@pytest.mark.parametrize(("new_text", "kept"), [(1e-3, True), (1e3, False)])
def test_new_items_may_not_crowd_known_ones_out(
    learner: Learner, draft: Draft, monkeypatch: pytest.MonkeyPatch, new_text: float, kept: bool
) -> None:
    def weigh(_draft: Draft, fusion: Fusion, *_: object) -> Fusion:
        return replace(fusion, by_k=replace(fusion.by_k, new_text=new_text))

    monkeypatch.setattr("firstedge.models.train.weigh_new_items", weigh)
    assert (learner.fuse(draft).by_k.new_text == new_text) == kept

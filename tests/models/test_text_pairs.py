"""Pairs, batches and the exam, against what is worked out by hand or by naive loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from firstedge.models import text_pairs as module
from firstedge.models.text_pairs import Exam, ItemTexts, PairDraw, text_pairs
from tests.models.small import histories_of


def test_equal_texts_are_one_and_blank_ones_none() -> None:
    texts = ItemTexts.read(["mug", " ", "cup", "mug ", ""])
    assert texts.texts == ("cup", "mug")
    assert texts.of.tolist() == [1, -1, 0, 1, -1]
    assert ItemTexts.read(["b", "a"]).of.tolist() == [1, 0]
    assert ItemTexts.read([]).texts == ()


def test_a_tenth_of_the_texts_is_hidden_by_seed() -> None:
    texts = ItemTexts.read([f"t{row:03d}" for row in range(200)])
    assert texts.hide(1).sum() == 20
    np.testing.assert_array_equal(texts.hide(1), texts.hide(1))
    assert (texts.hide(1) != texts.hide(2)).any()


def test_pairs_are_weighed_by_the_roots_and_none_is_hidden() -> None:
    # Items 0 and 3 have one text; items 1 and 2 have one each; the text of item 4 is hidden.
    texts = ItemTexts.read(["a", "b", "c", "a", "d"])
    together = np.zeros((5, 5), np.float32)
    for i, j, c in ((0, 1, 6), (3, 1, 2), (0, 3, 5), (1, 2, 4), (0, 4, 9)):
        together[i, j] = together[j, i] = c
    counts = np.array([9, 4, 16, 1, 1], np.float32)
    pairs = text_pairs(sparse.csr_array(together), counts, texts, np.array([0, 0, 0, 1], bool))
    a, b, c = 6 / (3 * 2) + 2 / (1 * 2), 4 / (2 * 4), 0
    np.testing.assert_allclose(
        pairs.toarray(), [[0, a, c, 0], [a, 0, b, 0], [c, b, 0, 0], [0, 0, 0, 0]]
    )


def test_weak_pairs_go_unless_either_side_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PARTNERS", 1)
    together = np.array([[0, 3, 2], [3, 0, 1], [2, 1, 0]], np.float32)
    texts = ItemTexts.read(["a", "b", "c"])
    pairs = text_pairs(sparse.csr_array(together), np.ones(3), texts, np.zeros(3, bool))
    np.testing.assert_array_equal(pairs.toarray(), [[0, 3, 2], [3, 0, 0], [2, 0, 0]])


def test_batches_hold_partners_by_their_shares() -> None:
    weights = np.zeros((6, 6), np.float32)
    for i, j, w in ((0, 1, 3), (0, 2, 1), (3, 4, 2)):  # nothing goes with 5
        weights[i, j] = weights[j, i] = w
    draw, rng = PairDraw(sparse.csr_array(weights)), np.random.default_rng(0)
    seen = np.zeros(6)
    for _ in range(3000):
        rows, shares = draw.batch(rng, 2)
        assert len(rows) == 2
        np.testing.assert_array_equal(shares, [[0, 1], [1, 0]])
        seen[rows] += 1
    np.testing.assert_allclose(seen / 3000, [4 / 6, 3 / 6, 1 / 6, 2 / 6, 2 / 6, 0], atol=0.03)
    rows, shares = draw.batch(rng, 100)
    assert rows.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(shares[0], [0, 0.75, 0.25, 0, 0])
    np.testing.assert_allclose(shares.sum(1), 1)


def naive_exam(users: list[list[int]], texts: ItemTexts, hidden: np.ndarray) -> dict[int, tuple]:
    found = {}
    for number, items in enumerate(users):
        told = [texts.of[item] for item in dict.fromkeys(items) if texts.of[item] >= 0]
        given = [text for text in told if not hidden[text]][: module.GIVEN]
        wanted = {int(text) for text in told if hidden[text]}
        if given and wanted:
            found[number] = given, wanted
    return found


def test_the_exam_is_what_a_naive_loop_asks() -> None:
    rng = np.random.default_rng(0)
    num_items, num_users = 60, 80
    names = [f"t{row:02d}" for row in rng.integers(0, 50, num_items)]
    names[3] = ""
    texts = ItemTexts.read(names)
    hidden = rng.random(len(texts.texts)) < 0.6
    users = [rng.integers(0, num_items, rng.integers(0, 9)).tolist() for _ in range(num_users)]
    exam = Exam.of(histories_of(*users, num_items=num_items), texts, hidden)
    naive = naive_exam(users, texts, hidden)
    vectors = rng.normal(size=(len(texts.texts), 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    answers, asked = [], np.flatnonzero(hidden)
    for given, wanted in naive.values():
        scores = vectors[given].mean(0) @ vectors[asked].T
        best = asked[np.argsort(-scores, kind="stable")[: module.K]]
        gains = [1 / np.log2(place + 2) for place, text in enumerate(best) if int(text) in wanted]
        ideal = sum(1 / np.log2(place + 2) for place in range(min(module.K, len(wanted))))
        answers.append(sum(gains) / ideal)
    assert len(exam.targets) == len(naive) > 30
    assert set(exam.rows) == set(asked) | {t for given, _ in naive.values() for t in given}
    assert exam.figure(vectors[exam.rows]) == pytest.approx(np.mean(answers), rel=1e-6)
    assert exam.tells(30)
    assert not exam.tells(len(naive) + 1)


def test_an_exam_of_nobody_says_that_it_tells_nothing() -> None:
    texts = ItemTexts.read(["a", "b", "c"])
    exam = Exam.of(histories_of([0, 1], num_items=3), texts, np.array([False, False, True]))
    assert (len(exam.targets), exam.tells(1)) == (0, False)
    texts = ItemTexts.read(["", " "])
    assert Exam.of(histories_of([0, 1], num_items=2), texts, texts.hide(0)).tells(0) is False
    none = text_pairs(sparse.csr_array(np.ones((2, 2))), np.ones(2), texts, texts.hide(0))
    assert none.shape == (0, 0)

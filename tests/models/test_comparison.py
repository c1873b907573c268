from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firstedge.graph.errors import LeakageError
from firstedge.models.comparison import EMBEDDING, OURS, Comparison, EmbeddingRanker, Measured
from firstedge.models.protocol import build_cases
from firstedge.models.result_cache import ResultCache
from firstedge.models.rounds import Round
from firstedge.models.scorer import Scorer
from firstedge.models.tuning import Budget
from tests.models.closed_bundle import closed_bundle
from tests.models.small import WEIGHTS, checkerboard, training_of, users_of

SINGLES = ["popularity", "recent popularity", "item-kNN", "RP3beta", "iALS", "naive Bayes", "EASE"]


def round_of() -> Round:
    """The checkerboard's first 16 users teach, four choose, four are asked."""
    histories = checkerboard()
    parts = np.split(np.arange(24), [16, 20])
    train, validation, test = (histories.take(part) for part in parts)
    data = training_of(train)
    return Round(
        "a round",
        data,
        build_cases(validation, WEIGHTS, (0, 1, 3)),
        build_cases(test, WEIGHTS, (0, 1, 3)),
        lambda: closed_bundle(data),
    )


def compare(round_: Round, cache: ResultCache, trials: int = 2) -> tuple[list[Measured], list[str]]:
    said: list[str] = []
    comparison = Comparison(round_, Budget(trials, k=5), cache, said.append)
    return [*comparison.ours("closed"), *comparison.baselines()], said


@pytest.fixture(scope="module")
def measured() -> list[Measured]:
    return compare(round_of(), ResultCache(None))[0]


def test_every_method_that_the_data_allow(measured: list[Measured]) -> None:
    assert [one.name for one in measured] == [
        OURS,
        EMBEDDING,
        *SINGLES,
        "blend of closed forms",
    ]
    roles = {one.role for one in measured}
    assert roles == {"ours", "part", "single", "blend"}


def test_what_the_checkerboard_must_give(measured: list[Measured]) -> None:
    by_name = {one.name: one for one in measured}
    labels = by_name[OURS].test.labels
    assert labels == ("0", "1", "3", "all")
    for name in (OURS, "item-kNN", "RP3beta", "EASE", "naive Bayes", "blend of closed forms"):
        np.testing.assert_allclose(by_name[name].test.recall[1:3], 1.0, err_msg=name)
    assert by_name["popularity"].test.recall[2].mean() < 0.8
    assert np.array_equal(by_name["EASE"].test.ndcg[0], by_name["popularity"].test.ndcg[0])


def test_each_gets_the_same_trials(measured: list[Measured]) -> None:
    trials = {one.name: one.trials for one in measured}
    assert trials.pop("popularity") == 1
    assert trials.pop(OURS) == trials.pop(EMBEDDING) == 3  # as the bundle says
    assert set(trials.values()) == {2}


def test_what_is_left_out_and_why() -> None:
    comparison = Comparison(round_of(), Budget(1), ResultCache(None), lambda line: None)
    comparison.baselines()
    assert comparison.left_out == {
        "category popularity": "the shop has no categories",
        "text cosine": "the shop has no texts",
    }


def test_a_second_run_reads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ResultCache(tmp_path)
    first, said = compare(round_of(), cache)
    assert not any("read back" in line for line in said)
    monkeypatch.setattr("firstedge.models.comparison.tune", None)
    broken = replace(round_of(), train=lambda: 1 / 0)  # type: ignore[arg-type]
    second, said = compare(broken, cache)
    assert all("read back" in line for line in said if "left out" not in line)
    for a, b in zip(first, second, strict=True):
        assert a.as_dict() == b.as_dict()
        assert np.array_equal(a.test.ndcg, b.test.ndcg)


def test_other_data_or_budgets_are_computed_anew(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    compare(round_of(), cache)
    _, said = compare(round_of(), cache, trials=3)
    back = [line for line in said if "read back" in line]
    assert [line.split(", ")[0] for line in back] == ["a round: firstedge"]  # ours has no trials
    changed = round_of()
    changed.training.histories.weights[0] = 0.5
    changed = replace(changed, fingerprint="")
    _, said = compare(changed, cache)
    assert not any("read back" in line for line in said)


def test_measured_survives_json(measured: list[Measured]) -> None:
    one = measured[-1]
    back = Measured.of(json.loads(json.dumps(one.as_dict())))
    assert back.as_dict() == one.as_dict()


def test_embedding_alone_is_u_times_w() -> None:
    bundle = closed_bundle(round_of().training)
    users = users_of([0, 3], [], num_items=12)
    scores = EmbeddingRanker(Scorer(bundle)).score(users)
    expected = (bundle.w[0] + bundle.w[3]) / np.sqrt(2) @ bundle.w.T
    np.testing.assert_allclose(scores[0], expected, rtol=1e-5)
    assert not scores[1].any()


def test_a_bundle_that_counted_test_users_is_a_leak() -> None:
    everyone = training_of(checkerboard())
    leaky = replace(round_of(), train=lambda: closed_bundle(everyone))
    with pytest.raises(LeakageError, match="has seen users whom it is tested on"):
        compare(leaky, ResultCache(None))


def test_a_bundle_of_another_catalogue() -> None:
    other = training_of(checkerboard(num_items=10))
    wrong = replace(round_of(), train=lambda: closed_bundle(other))
    with pytest.raises(LeakageError, match="train on the same snapshot"):
        wrong.trained()

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firstedge.graph.errors import DataError, LeakageError, SettingsError
from firstedge.graph.histories import Events, Histories
from firstedge.loaders.snapshot import Snapshot
from firstedge.loaders.split import Split, split_time, split_users
from firstedge.models.bundle import Bundle
from firstedge.models.coldstart import ColdStartOptions, Contender, coldstart_report
from firstedge.models.coldstart_report import ColdStartReport
from firstedge.models.comparison import EMBEDDING, OURS
from firstedge.models.result_cache import ResultCache
from firstedge.models.rounds import hold_out, known_users, training_data
from firstedge.models.tuning import Budget
from tests.models.closed_bundle import closed_bundle
from tests.models.tastes import BUY, FOLLOW, VIEW, taste_shop

OPTIONS = ColdStartOptions(
    ks=(0, 1, 3), folds=2, budget=Budget(trials=2, k=10), draws=200, least_users=10
)


@pytest.fixture(scope="module")
def shop() -> Snapshot:
    return taste_shop()


def honest(snapshot: Snapshot, split: Split) -> Bundle:
    """Closed forms of the training users."""
    data = training_data(hold_out(snapshot, split))
    return closed_bundle(data, len(snapshot.profile_values))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def report(shop: Snapshot, folder: Path) -> ColdStartReport:
    return coldstart_report(shop, Contender(honest, "closed"), OPTIONS, ResultCache(folder))


def test_two_tables_with_every_method(report: ColdStartReport) -> None:
    users, time = report.tables
    assert (users.rounds, time.rounds) == (2, 1)
    assert users.labels == time.labels == ("0", "1", "3", "all")
    assert {line.name for line in users.lines} == {
        OURS,
        EMBEDDING,
        "popularity",
        "recent popularity",
        "category popularity",
        "text cosine",
        "item-kNN",
        "RP3beta",
        "iALS",
        "naive Bayes",
        "EASE",
        "blend of closed forms",
    }
    assert users.lines[0].name == OURS
    assert not users.left_out


def test_the_figures_are_those_of_the_shop(report: ColdStartReport, shop: Snapshot) -> None:
    users = report.tables[0]
    touched = shop.histories.touches().counts
    folds = [split_users(shop, fold=fold).test for fold in (0, 1)]
    assert users.users == sum(int((touched[fold] > 3).sum()) for fold in folds)
    by_name = {line.name: line for line in users.lines}
    at = users.labels.index("3")
    # Tastes are what the shop is about: knowing the categories or texts of three items tells them.
    for name in ("category popularity", "text cosine", "blend of closed forms"):
        assert by_name[name].ndcg[at].low > by_name["popularity"].ndcg[at].mean, name
    assert by_name["naive Bayes"].ndcg[0] == by_name["popularity"].ndcg[0]
    assert report.sentence.startswith("with 3 events firstedge finds ")
    assert report.sentence.endswith("; at k = 0 it equals popularity")
    json.dumps(report.as_dict(), allow_nan=False)


def test_a_second_report_reads_everything_back(
    report: ColdStartReport, shop: Snapshot, folder: Path
) -> None:
    said: list[str] = []
    never = Contender(lambda snapshot, split: pytest.fail("trained again"), "closed")
    again = coldstart_report(shop, never, OPTIONS, ResultCache(folder), said.append)
    assert again.as_dict() == report.as_dict()
    assert said
    assert all(line.endswith("read back") for line in said)


def test_other_options_of_ours_are_trained_anew(shop: Snapshot, folder: Path) -> None:
    class TrainedError(Exception):
        pass

    def train(snapshot: Snapshot, split: Split) -> Bundle:
        raise TrainedError

    with pytest.raises(TrainedError):
        coldstart_report(shop, Contender(train, "other"), OPTIONS, ResultCache(folder))


def test_a_model_that_saw_everybody_is_found_out(shop: Snapshot) -> None:
    def leaky(snapshot: Snapshot, split: Split) -> Bundle:
        everybody = np.arange(len(snapshot.users))
        return honest(snapshot, Split(everybody, everybody[:0], everybody[:0]))

    with pytest.raises(LeakageError, match="has seen users whom it is tested on"):
        coldstart_report(shop, Contender(leaky, "leaky"), OPTIONS, ResultCache(None))


def test_short_histories_drop_the_large_ks(shop: Snapshot) -> None:
    options = replace(OPTIONS, ks=(0, 1, 40), folds=1, newcomers=False, budget=Budget(1, 10))
    found = coldstart_report(shop, Contender(honest, "c"), options, ResultCache(None))
    assert found.tables[0].labels == ("0", "1", "all")
    assert found.warnings[0] == (
        "New customers (users held out): k = 40 left out: fewer than 10 validation or test users "
        "of a round have so many items and one more"
    )


def few(shop: Snapshot, users: int) -> Snapshot:
    """The shop with the histories of some users only."""
    h = shop.histories
    return replace(shop, histories=h.where(h.users < users))


def test_what_a_fold_is_too_small_for_is_not_shown(shop: Snapshot) -> None:
    options = replace(OPTIONS, least_users=30, folds=1)
    never = Contender(lambda snapshot, split: pytest.fail("trained for nothing"), "never")
    small = few(shop, 60)
    split = split_users(shop)
    test, validation = (int((part < 60).sum()) for part in (split.test, split.validation))
    with pytest.raises(DataError) as raised:
        coldstart_report(small, never, options, ResultCache(None))
    assert str(raised.value).startswith(
        f"New customers (users held out): left out: {test} test and {validation} validation users "
        "have 1 distinct item, where 30 of each are needed to tell anything: ask more folds "
        "(at most 10), or import more events; Newcomers (learned before, met after): left out: "
    )
    with pytest.raises(DataError, match="needed to tell anything: import more events"):
        coldstart_report(few(shop, 20), never, replace(options, folds=10), ResultCache(None))


def test_folds_are_pooled_where_each_is_too_small(shop: Snapshot) -> None:
    small = few(shop, 120)
    counts = small.histories.touches().counts
    splits = [split_users(shop, fold=fold) for fold in range(4)]
    asked = [[int((counts[part] > 3).sum()) for part in (s.test, s.validation)] for s in splits]
    total, fewest = sum(test for test, _ in asked), min(validation for _, validation in asked)
    assert max(test for test, _ in asked) < 30 <= total
    options = replace(OPTIONS, ks=(0, 3, 40), least_users=30, folds=4, newcomers=False)
    options = replace(options, budget=Budget(1, 10))
    found = coldstart_report(small, Contender(honest, "c"), options, ResultCache(None))
    assert (found.tables[0].labels, found.tables[0].users) == (("0", "3", "all"), total)
    title = "New customers (users held out)"
    assert found.warnings[0].startswith(
        f"{title}: k = 40 left out: fewer than 30 validation or test users of all rounds together"
    )
    assert found.warnings[1].startswith(f"{title}: too few users: of {total} test users, fewer")
    assert found.warnings[2].startswith(f"{title}: few validation users: by {fewest}, fewer than")


def test_events_without_time_leave_out_the_newcomers(shop: Snapshot) -> None:
    h = shop.histories
    timeless = replace(shop, histories=replace(h, times=np.full_like(h.times, np.iinfo(int).min)))
    options = replace(OPTIONS, folds=1, budget=Budget(1, 10))
    found = coldstart_report(timeless, Contender(honest, "c"), options, ResultCache(None))
    assert len(found.tables) == 1
    assert any("left out: no event has a time" in warning for warning in found.warnings)
    assert found.tables[0].left_out == {"recent popularity": "events have no time"}


def test_nobody_to_ask(shop: Snapshot) -> None:
    silent = shop.histories.where(np.zeros(len(shop.histories.targets), np.bool_))
    empty = replace(shop, histories=silent)
    with pytest.raises(DataError, match="import more events"):
        coldstart_report(empty, Contender(honest, "c"), OPTIONS, ResultCache(None))


@pytest.mark.parametrize("folds", [0, 11])
def test_folds_there_are_not(folds: int) -> None:
    with pytest.raises(SettingsError, match="1 to 10 folds"):
        ColdStartOptions(folds=folds)


def test_a_return_after_the_time_takes_nothing_back(shop: Snapshot) -> None:
    returned = shop.schema.kind["follow"].model_copy(
        update={"to": "item", "weight": 0.0, "cancels": "buy"}
    )
    schema = shop.schema.model_copy(update={"kind": {**shop.schema.kind, "follow": returned}})
    users = np.array([0, 0, 0, 1, 2])
    targets = np.array([5, 5, 6, 7, 8])
    kinds = np.array([BUY, FOLLOW, VIEW, VIEW, VIEW])
    times = np.array([10, 30, 40, 11, 35])
    events = Events(users, targets, kinds, times, times, np.ones(5, np.float32))
    changed = replace(shop, schema=schema, histories=Histories.of(events, 400, 60))
    split = Split(np.array([0]), np.array([1]), np.array([2]), until=20)
    held = hold_out(changed, split)
    assert held.train.targets.tolist() == [5]
    assert held.validation.targets.tolist() == [7]
    assert held.test.targets.tolist() == [8]
    later = hold_out(changed, replace(split, until=None))
    assert later.train.targets.tolist() == [6]


def test_newcomers_are_met_after_what_was_learned(shop: Snapshot) -> None:
    held = hold_out(shop, split_time(shop))
    assert held.split.until is not None
    assert held.train.times.max() <= held.split.until < held.test.times.min()


def test_known_users_have_profile_and_text_but_no_events(shop: Snapshot) -> None:
    rows = np.array([7, 2])
    users = known_users(shop, rows)
    assert len(users.given.targets) == 0
    assert users.profile_rows.tolist() == shop.profiles.toarray()[rows].argmax(1).tolist()
    assert users.text is not None
    assert np.array_equal(users.text, shop.user_text[rows])

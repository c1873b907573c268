from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from firstedge.graph.histories import NO_TIME
from firstedge.models import segments
from firstedge.models.segments import (
    FIRST_CATEGORY,
    FIRST_SEEN,
    fields_of,
    pool_fields,
    segments_of,
    unshown_of,
)
from tests.models.tastes import TASTES, taste_shop

SHOP = taste_shop()
EVERYBODY = np.arange(len(SHOP.users))


def test_profile_category_and_time_tell_users_apart() -> None:
    users = np.array([7, 2, 300])
    found = fields_of(SHOP, users)
    assert set(found) == {"city"}  # no category has a name here, and all happened on one day
    told = SHOP.profiles.toarray()[users].argmax(1)
    assert found["city"].tolist() == [str(city) for city in told]


def test_the_category_is_the_uppermost_of_the_first_item() -> None:
    parents = np.array([-1, 0, 1, -1])
    names = replace(SHOP.texts, categories=("top", "middle", "leaf", "other"))
    shop = replace(SHOP, parents=parents, texts=names)
    found = fields_of(shop, EVERYBODY)[FIRST_CATEGORY]
    h = SHOP.histories.speaking(SHOP.schema)
    for user in (0, 3, 17, 201):
        own = h.targets[h.offsets[user] : h.offsets[user + 1]]
        first = next(target for target in own if target < h.num_items)
        assert found[user] == ("other" if first % TASTES == 3 else "top")


def test_time_is_cut_into_thirds_of_the_users() -> None:
    day = 86_400_000
    times = np.arange(len(SHOP.histories.targets)) * day // 50
    shop = replace(SHOP, histories=replace(SHOP.histories, times=times))
    found = fields_of(shop, EVERYBODY)[FIRST_SEEN]
    names, counts = np.unique(found, return_counts=True)
    assert counts.sum() == 400
    assert counts.tolist() == pytest.approx([400 / 3] * 3, abs=20)  # whole days, not hours
    assert names[0].startswith("1970-01-01 to ")
    assert found[0] == names[0]
    assert found[399] == names[2]


def test_no_time_no_field() -> None:
    times = np.full(len(SHOP.histories.targets), NO_TIME)
    shop = replace(SHOP, histories=replace(SHOP.histories, times=times))
    assert set(fields_of(shop, EVERYBODY)) == {"city"}


def test_groups_that_are_large_enough_with_their_own_figures() -> None:
    values = np.array(["a"] * 100 + ["b"] * 40 + ["c"] * 29 + [""] * 50)
    theirs = np.random.default_rng(0).uniform(0.2, 0.4, len(values))
    ours = theirs * np.where(values == "b", 0.8, 1.5)
    found = segments_of({"city": values}, ours, theirs, draws=100)
    assert [(one.value, one.users) for one in found] == [("a", 100), ("b", 40)]
    assert [one.lead.mean for one in found] == pytest.approx([0.5, -0.2])
    assert found[0].ndcg.mean == pytest.approx(ours[:100].mean())
    assert not any(one.unsure for one in found)


def test_chance_is_called_chance() -> None:
    rng = np.random.default_rng(0)
    values = np.full(60, "a")
    (found,) = segments_of({"city": values}, rng.random(60), rng.random(60), draws=200)
    assert found.unsure


def test_the_largest_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MOST_VALUES", 2)
    values = np.repeat(["x", "y", "z"], [30, 50, 40])
    found = segments_of({"f": values}, np.ones(120), np.ones(120), draws=10)
    assert [one.value for one in found] == ["y", "z"]
    assert unshown_of({"f": values}) == ("f (1 smaller than the 2 largest)",)


def test_time_is_in_order() -> None:
    spans = ["2011-05-02 to 2011-12-09", "2010-12-01 to 2011-02-14", "2011-02-15 to 2011-05-01"]
    found = segments_of(
        {FIRST_SEEN: np.repeat(spans, [50, 40, 60])}, np.ones(150), np.ones(150), draws=10
    )
    assert [one.value for one in found] == sorted(spans)
    assert [one.users for one in found] == [40, 60, 50]


def test_groups_that_are_not_shown_are_named() -> None:
    fields = {
        "country": np.repeat(["France", "Spain", "Malta", ""], [31, 30, 29, 10]),
        FIRST_CATEGORY: np.repeat(["a", "b", "c", "d"], 25),
        "sex": np.repeat(["f", "m"], 50),
    }
    assert unshown_of(fields) == (
        "country (1 of 3 groups under 30 users)",
        "first item's category (groups under 30 users)",
    )


def test_rounds_are_pooled_where_all_have_a_field() -> None:
    first = {"city": np.array(["a", "b"]), "time": np.array(["t", "t"])}
    assert {
        name: values.tolist()
        for name, values in pool_fields([first, {"city": np.array(["c"])}]).items()
    } == {"city": ["a", "b", "c"]}
    assert pool_fields([]) == {}

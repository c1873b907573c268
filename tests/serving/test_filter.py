from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstedge.graph.errors import QueryError, UnknownId
from firstedge.serving.filter import Filter, Range
from firstedge.serving.item_index import ItemIndex
from tests.models.bundles import random_bundle
from tests.serving.shops import CATEGORIES, ITEMS, tiny_bundle

INDEX = ItemIndex(tiny_bundle())


def passing(filter_: Filter) -> set[str]:
    mask = INDEX.mask(filter_)
    return set(ITEMS) if mask is None else {i for i, ok in zip(ITEMS, mask, strict=True) if ok}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, {"cup", "gift", "pan", "rake"}),
        ({"available": False}, set(ITEMS)),
        ({"categories": ["home"]}, {"cup", "pan"}),  # by its child, the kitchen
        ({"categories": ["garden"]}, {"rake"}),
        ({"categories": ["garden", "kitchen"]}, {"cup", "pan", "rake"}),
        ({"categories": []}, set()),
        ({"allowed": ["gift", "seed", "unheard-of"]}, {"gift"}),
        ({"allowed": []}, set()),
        ({"denied": ["gift", "unheard-of"]}, {"cup", "pan", "rake"}),
        ({"properties": {"price": Range(max=15)}}, {"cup", "pan"}),
        ({"properties": {"price": Range(15, 20)}}, {"gift", "pan"}),
        ({"properties": {"price": 20}}, {"gift"}),
        ({"properties": {"stock": [0, 2]}}, {"gift", "rake"}),
        ({"properties": {"stock": Range(max=1)}}, {"cup"}),
        ({"properties": {"stock": 0}}, set()),  # no stock is known of the pan: it has not 0
        ({"properties": {"colour": "red"}}, {"cup", "rake"}),
        ({"properties": {"colour": {"black", "blue"}}}, {"pan"}),
        ({"properties": {"colour": []}}, set()),
        ({"properties": {"tags": "sale"}}, {"cup", "pan"}),
        ({"properties": {"tags": "sale", "colour": "red"}}, {"cup"}),
    ],
)
def test_a_filter_lets_through_what_it_says(conditions: dict[str, Any], expected: set[str]) -> None:
    assert passing(Filter(**conditions)) == expected


def test_a_filter_that_names_what_is_not_there_is_an_error() -> None:
    with pytest.raises(UnknownId, match=r"category id 'kitchn'.*did you mean 'kitchen'"):
        INDEX.mask(Filter(categories=["kitchn"]))
    with pytest.raises(QueryError, match="no property 'prise'; did you mean 'price'"):
        INDEX.mask(Filter(properties={"prise": 3}))
    with pytest.raises(QueryError, match="'price' is a number, got 'cheap'"):
        INDEX.mask(Filter(properties={"price": "cheap"}))
    with pytest.raises(QueryError, match="'colour' is a text"):
        INDEX.mask(Filter(properties={"colour": Range(max=3)}))


def test_a_cycle_of_categories_ends() -> None:
    bundle = random_bundle()
    table = replace(bundle.table, parents=np.array([1, 2, 0, -1, -1, -1], np.int32))
    index = ItemIndex(replace(bundle, table=table))
    assert index.below(np.array([0])).tolist() == [0, 1, 2]


filters = st.builds(
    Filter,
    categories=st.none() | st.lists(st.sampled_from(CATEGORIES)),
    allowed=st.none() | st.lists(st.sampled_from(ITEMS)),
    denied=st.lists(st.sampled_from(ITEMS)),
    available=st.booleans(),
    properties=st.dictionaries(st.just("price"), st.builds(Range, max=st.floats(0, 30))),
)


@settings(deadline=None)
@given(filters)
def test_conditions_meet(filter_: Filter) -> None:
    alone = [
        Filter(available=False, categories=filter_.categories),
        Filter(available=False, allowed=filter_.allowed),
        Filter(available=False, denied=filter_.denied),
        Filter(available=filter_.available),
        Filter(available=False, properties=filter_.properties),
    ]
    assert passing(filter_) == set.intersection(*map(passing, alone))


@settings(deadline=None)
@given(st.lists(st.sampled_from(ITEMS)))
def test_allowed_and_denied_are_complements(ids: list[str]) -> None:
    allowed = passing(Filter(available=False, allowed=ids))
    denied = passing(Filter(available=False, denied=ids))
    assert allowed | denied == set(ITEMS)
    assert not allowed & denied

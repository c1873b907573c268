from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstedge.graph.errors import QueryError, UnknownId
from firstedge.graph.vocabulary import Vocabulary

ids_lists = st.lists(st.text(), unique=True)


@given(ids_lists)
def test_rows_are_positions(ids: list[str]) -> None:
    vocabulary = Vocabulary(tuple(ids))
    assert len(vocabulary) == len(ids)
    assert list(vocabulary) == ids
    assert [vocabulary.row(id_) for id_ in ids] == list(range(len(ids)))
    rows = vocabulary.rows(ids)
    assert rows.dtype == np.int64
    assert rows.tolist() == list(range(len(ids)))


@given(st.lists(st.text()), st.randoms(use_true_random=False))
def test_of_does_not_depend_on_order_or_repetition(ids: list[str], random: object) -> None:
    shuffled = ids * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Vocabulary.of(shuffled) == Vocabulary.of(ids)
    assert list(Vocabulary.of(ids)) == sorted(set(ids))


@given(ids_lists, st.lists(st.text()))
def test_skipped_ids_are_minus_one_and_the_others_found(ids: list[str], asked: list[str]) -> None:
    vocabulary = Vocabulary(tuple(ids))
    rows = vocabulary.rows(asked, unknown="skip")
    assert len(rows) == len(asked)
    for id_, row in zip(asked, rows.tolist(), strict=True):
        assert row == (ids.index(id_) if id_ in vocabulary else -1)


@given(ids_lists.filter(bool), st.text())
def test_an_unknown_id_is_an_error_by_default(ids: list[str], asked: str) -> None:
    vocabulary = Vocabulary(tuple(ids), "user")
    if asked in ids:
        assert vocabulary.rows([asked]).tolist() == [ids.index(asked)]
        return
    with pytest.raises(UnknownId) as raised:
        vocabulary.rows([ids[0], asked])
    assert repr(asked) in str(raised.value)
    assert isinstance(raised.value, QueryError)
    assert isinstance(raised.value, KeyError)


@given(ids_lists.filter(bool), st.data())
def test_an_id_twice_is_refused(ids: list[str], data: st.DataObject) -> None:
    twice = data.draw(st.sampled_from(ids))
    with pytest.raises(ValueError, match="category ids are not distinct"):
        Vocabulary((*ids, twice), "category")


def test_the_error_names_the_nearest_id() -> None:
    vocabulary = Vocabulary(("mug-red", "mug-blue", "pot"))
    with pytest.raises(UnknownId) as raised:
        vocabulary.row("mug-bleu")
    expected = "item id 'mug-bleu' is not among the 3 known ones; did you mean 'mug-blue'?"
    assert str(raised.value) == expected
    assert repr(vocabulary) == "Vocabulary(3 item ids)"
    assert 7 not in vocabulary

"""The digest of columns: equal values give equal digests, other values others."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from firstedge.loaders.digest import Digest


def of(column: Any, type_: pa.DataType | None = None) -> str:
    digest = Digest()
    digest.add_column("c", pa.array(column, type_) if isinstance(column, list) else column)
    return digest.hexdigest()


def test_the_layout_of_a_column_says_nothing() -> None:
    texts = ["a", None, "bc", ""]
    chunked = pa.chunked_array([["a", None], ["bc", ""]])
    sliced = pa.array(["x", *texts, "y"])[1:5]
    same = {of(texts), of(chunked), of(sliced), of(pa.array(texts).dictionary_encode())}
    assert same == {of(texts, pa.large_string())}
    assert of([1, 2], pa.int32()) == of([1, 2], pa.int64())
    assert of([None, None], pa.string()) == of([None, None], pa.null())
    lists = [["a", "b"], None, [], ["c"]]
    assert of(pa.array([["x"], *lists])[1:]) == of(lists)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab", "c"], ["a", "bc"]),
        (["a", None], ["a", ""]),
        ([1, 2], [2, 1]),
        ([1, 2], [1.0, 2.0]),
        ([1, None], [None, 1]),
        ([["a"], ["b"]], [["a", "b"], []]),
        ([True], [False]),
        ([1], [1, 1]),
    ],
)
def test_other_values_give_other_digests(one: list[Any], other: list[Any]) -> None:
    assert of(one) != of(other)


def test_arrays_names_and_tables() -> None:
    def digest(**arrays: Any) -> str:
        result = Digest()
        for name, array in arrays.items():
            result.add_array(name, np.array(array))
        return result.hexdigest()

    assert digest(a=[1, 2]) == digest(a=[1, 2])
    assert len({digest(a=[1, 2]), digest(b=[1, 2]), digest(a=[[1, 2]]), digest(a=[1.0, 2.0])}) == 4
    assert digest(a=[], b=[1]) != digest(a=[1], b=[])
    one, other = Digest(), Digest()
    one.add_table("t", pa.table({"a": [1], "b": ["x"]}))
    other.add_table("t", pa.table({"b": ["x"], "a": [1]}))
    assert one.hexdigest() == other.hexdigest()

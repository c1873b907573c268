"""Depths, cycles and primary categories."""

import numpy as np
import pytest

from firstedge.graph.errors import DataError
from firstedge.graph.vocabulary import Vocabulary
from firstedge.loaders.tree import primary_categories, tree_depths


def names(n: int) -> Vocabulary:
    return Vocabulary(tuple(f"c{i}" for i in range(n)), "category")


def test_depths_of_a_tree_and_of_a_long_chain() -> None:
    parents = np.array([-1, 0, 1, 0, -1, 2])
    np.testing.assert_array_equal(tree_depths(parents, names(6)), [0, 1, 2, 1, 0, 3])
    chain = np.arange(-1, 999)
    np.testing.assert_array_equal(tree_depths(chain, names(1000)), np.arange(1000))
    assert len(tree_depths(np.empty(0, np.int64), names(0))) == 0


@pytest.mark.parametrize(
    ("parents", "cycle"),
    [
        ([0], "'c0' -> 'c0'"),
        ([-1, 2, 3, 1, 1], "'c1' -> 'c2' -> 'c3' -> 'c1'"),
        ([1, 2, 3, 4, 3], "'c3' -> 'c4' -> 'c3'"),
    ],
)
def test_a_cycle_is_named(parents: list[int], cycle: str) -> None:
    with pytest.raises(DataError, match=f"has a cycle \\({cycle}\\)"):
        tree_depths(np.array(parents), names(len(parents)))


def test_the_deepest_category_speaks_and_of_several_the_first() -> None:
    depths = np.array([0, 1, 2, 2, 0])
    items = np.array([0, 0, 1, 1, 3, 3])
    categories = np.array([0, 1, 3, 2, 4, 0])
    np.testing.assert_array_equal(
        primary_categories(items, categories, depths, 5), [1, 2, -1, 0, -1]
    )
    empty = np.empty(0, np.int64)
    np.testing.assert_array_equal(primary_categories(empty, empty, empty, 2), [-1, -1])

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest

from firstedge.models.space import Choice, Range, options_at, point_of, space_of


@dataclass(frozen=True)
class Options:
    ridge: Annotated[float, Range(1, 100, log=True)] = 10.0
    share: Annotated[float, Range(-1, 1)] = 0.0
    depth: Annotated[int, Range(1, 5, whole=True)] = 2
    power: Annotated[float, Choice((0.0, 0.5, 1.0))] = 0.5
    seed: int = 7


def test_fields_without_a_range_are_fixed() -> None:
    assert list(space_of(Options())) == ["ridge", "share", "depth", "power"]
    assert options_at(Options(seed=3), np.zeros(4)).seed == 3


def test_ends_and_middle() -> None:
    assert options_at(Options(), np.zeros(4)) == Options(1.0, -1.0, 1, 0.0)
    assert options_at(Options(), np.ones(4)) == Options(100.0, 1.0, 5, 1.0)
    middle = options_at(Options(), np.full(4, 0.5))
    assert (middle.ridge, middle.share, middle.depth, middle.power) == pytest.approx(
        (10.0, 0.0, 3, 0.5)
    )
    assert isinstance(middle.depth, int)


def test_outside_is_moved_to_the_border() -> None:
    assert options_at(Options(), np.array([-1.0, 2.0, 9.0, -0.1])) == Options(1.0, 1.0, 5, 0.0)


def test_point_and_back() -> None:
    options = Options(33.0, 0.25, 4, 1.0)
    back = options_at(options, point_of(options))
    assert back.ridge == pytest.approx(33.0)
    assert (back.share, back.depth, back.power) == (0.25, 4, 1.0)

"""What a method's options may be, declared beside each option, and points drawn from that space.

    @dataclass(frozen=True)
    class Ease:
        ridge: Annotated[float, Range(10, 5000, log=True)] = 300.0

A field without a range is fixed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, get_type_hints

import numpy as np
import numpy.typing as npt

Options = TypeVar("Options")
Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included.

    Attributes:
        low: The least.
        high: The greatest.
        log: Whether equal ratios, not equal differences, are equally likely (then low > 0).
        whole: Whether only whole numbers are drawn.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def at(self, unit: float) -> float | int:
        """The value at ``unit`` of the way from low (0) to high (1)."""
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            value = math.exp(low + unit * (high - low))
        else:
            value = self.low + unit * (self.high - self.low)
        value = min(max(value, self.low), self.high)
        return round(value) if self.whole else value

    def place(self, value: float) -> float:
        """Where a value lies between low (0) and high (1)."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Choice:
    """One of a few values, in an order in which neighbours are alike."""

    values: tuple[Any, ...]

    def at(self, unit: float) -> Any:
        """The value at ``unit`` of the way from the first (0) to the last (1)."""
        return self.values[min(int(unit * len(self.values)), len(self.values) - 1)]

    def place(self, value: Any) -> float:
        """The middle of the part of 0..1 that stands for a value."""
        return (self.values.index(value) + 0.5) / len(self.values)


def space_of(options: Any) -> dict[str, Range | Choice]:
    """The ranges declared by a dataclass, by field name, in the order of its fields."""
    hints = get_type_hints(type(options), include_extras=True)
    found = {}
    for field in fields(options):
        for note in getattr(hints[field.name], "__metadata__", ()):
            if isinstance(note, Range | Choice):
                found[field.name] = note
    return found


def point_of(options: Any) -> Points:
    """Where options lie in their space, float64[dimensions], each in 0..1."""
    space = space_of(options)
    return np.array([part.place(getattr(options, name)) for name, part in space.items()])


def options_at(options: Options, point: Points) -> Options:
    """The same options with every ranged field moved to a point of the space.

    Args:
        options: A frozen dataclass.
        point: float64[dimensions]; what lies outside 0..1 is moved to the border.
    """
    inside = np.clip(point, 0.0, 1.0)
    parts = zip(space_of(options).items(), inside, strict=True)
    values = {name: part.at(float(unit)) for (name, part), unit in parts}
    return replace(options, **values)  # type: ignore[type-var]

"""Vectors in bfloat16: half of what products have to read, and a bound on what they err by.

Rounding splits a vector x into halves x' and a remainder x - x', which is known exactly. By Cauchy
and Schwarz x.f = x'.f' + x.(f - f') + (x - x').f' is at most |x| |f - f'| + |x - x'| |f'| away from
the product of halves. Adding that up in float32 errs by what Higham allows it (Accuracy and
Stability of Numerical Algorithms, 3.1), and by what is too small for a normal number, which some
processors take for zero.
"""

from __future__ import annotations

from collections.abc import Iterator

import numkong
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Halves = npt.NDArray[np.uint16]

_BLOCK = 4096  # vectors at a time, so that their products stay in the cache
_EPS = float(np.finfo(np.float32).eps)
_TINY = float(np.finfo(np.float32).tiny)
_MOST = float(np.finfo(np.float32).max) / 4  # of products, whose sums then are finite


class HalfVectors:
    """Vectors of which products with others are estimated. Safe to use from several threads.

    Args:
        vectors: float32[n, d].

    Attributes:
        longest: Length of the longest vector, of those that are finite in bfloat16.
    """

    def __init__(self, vectors: Floats) -> None:
        self._dim = vectors.shape[1]
        self._blocks: list[tuple[slice, numkong.PackedMatrix]] = []
        self.longest = self._remainder = 0.0
        for start in range(0, len(vectors), _BLOCK):
            rows = slice(start, start + _BLOCK)
            halves, lengths, remainders = _split(vectors[rows])
            self._blocks.append((rows, numkong.dots_pack(_tensor(halves))))
            self.longest = max(self.longest, float(lengths.max()))
            self._remainder = max(self._remainder, float(remainders.max()))

    def products(self, others: Floats) -> tuple[Iterator[tuple[slice, Floats]], Doubles]:
        """Products of all vectors with others, and how far they may be from the exact ones.

        Args:
            others: float32[m, d].

        Returns:
            (rows, float32[m, len(rows)]) of block after block; and the errors, float64[m]:
            infinite where something is not finite in bfloat16 or may not be as a float32, and the
            products are then without meaning, but finite.
        """
        halves, lengths, remainders = _split(others)
        fits = np.isfinite(self._remainder + remainders) & (self.longest * lengths < _MOST)
        halves[~fits] = 0
        errors = np.full(len(others), np.inf)
        errors[fits] = self._errors(lengths[fits], remainders[fits])
        return self._products(_tensor(halves)), errors

    def _errors(self, lengths: Doubles, remainders: Doubles) -> Doubles:
        rounding = self.longest * remainders + self._remainder * (lengths + remainders)
        adding = 2 * _EPS * self.longest * lengths + _TINY * (self.longest + lengths + 2)
        return rounding + self._dim * adding

    def _products(self, others: numkong.Tensor) -> Iterator[tuple[slice, Floats]]:
        for rows, block in self._blocks:
            yield rows, np.asarray(numkong.dots_packed(others, block))


def to_halves(vectors: Floats) -> Halves:
    """The bits of the nearest bfloat16, of two that are as near the even one; of what is no NaN."""
    bits = vectors.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_halves(halves: Halves) -> Floats:
    """The values that bits of bfloat16 stand for."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


def _split(vectors: Floats) -> tuple[Halves, Doubles, Doubles]:
    """Halves of vectors, the lengths of these vectors and of their remainders.

    What is not finite in bfloat16 becomes zeros, with a remainder of infinite length.
    """
    halves = to_halves(vectors)
    with np.errstate(invalid="ignore"):
        lengths, remainders = lengths_of(vectors), lengths_of(vectors - from_halves(halves))
    endless = ~np.isfinite(remainders)
    halves[endless], lengths[endless], remainders[endless] = 0, 0, np.inf
    return halves, lengths, remainders


def lengths_of(vectors: Floats) -> Doubles:
    """float64[n], the lengths of float32[n, d]."""
    doubles = vectors.astype(np.float64)
    return np.sqrt(np.vecdot(doubles, doubles))


def _tensor(halves: Halves) -> numkong.Tensor:
    return numkong.Tensor(halves, dtype="bf16")

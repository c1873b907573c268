"""The axes that texts are compared along: the principal ones of all items' texts.

A text encoder gives hundreds of dimensions, most of which tell the items of one shop apart by
little. Comparing along the strongest ones only costs an answer a fraction of the time and memory,
and is what a latent semantic analysis does: synonyms fall together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_TINY = 1e-12


def principal_axes(vectors: Floats, most: int) -> Floats:
    """float32[t, min(most, t)]: orthonormal axes along which the vectors differ most from zero.

    Args:
        vectors: float32[n, t], unit text vectors of items, zeros for none.
        most: How many axes.
    """
    gram = vectors.T.astype(np.float64) @ vectors
    return np.ascontiguousarray(np.linalg.eigh(gram)[1][:, ::-1][:, :most], np.float32)


def along(vectors: Floats, axes: Floats) -> Floats:
    """float32[n, r]: unit vectors along the axes (float32[t, r]); zeros stay zeros."""
    parts = vectors @ axes
    lengths = np.linalg.norm(parts, axis=1, keepdims=True)
    return np.asarray(parts / np.maximum(lengths, np.float32(_TINY)), np.float32)

"""The axes that texts are compared along: the principal ones of all items' texts.

A text encoder gives hundreds of dimensions, most of which tell the items of one shop apart by
little. Comparing along the strongest ones only costs an answer a fraction of the time and memory,
and is what a latent semantic analysis does: synonyms fall together. What all texts of a shop share
tells nothing apart: the direction of their mean is left out (Mu and Viswanath, All-but-the-top,
2018), so that two texts that have no more than that in common have a product of about zero.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_TINY = 1e-12


def principal_axes(vectors: Floats, most: int) -> Floats:
    """float32[t, min(most, t - 1)]: orthonormal axes, those along which most tells texts apart.

    Args:
        vectors: float32[n, t], unit text vectors of items, zeros for none.
        most: How many axes.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    mean /= max(float(np.linalg.norm(mean)), _TINY)
    # P G P, with G the Gram matrix and P what leaves the mean's direction out.
    beside = np.eye(len(mean)) - np.outer(mean, mean)
    gram = beside @ (vectors.T.astype(np.float64) @ vectors) @ beside
    # The mean's own direction is the one of nothing, which comes last.
    axes = np.linalg.eigh(gram)[1][:, ::-1][:, : max(len(mean) - 1, 0)]
    return np.ascontiguousarray(axes[:, :most], np.float32)

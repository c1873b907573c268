"""Edges between items by the lowest frequencies of their graph: an ideal low-pass filter.

Shen et al., How Powerful is Graph Convolution for Recommendation?, CIKM 2021, find that what a
graph convolution learns is mostly such a filter, which needs no learning.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from firstedge.models.baselines import TrainingData
from firstedge.models.edges import prune_factors

Floats = npt.NDArray[np.float32]

# Of the degrees of what is given; half in GF-CF.
_TEMPER = 0.25


def spectral_edges(data: TrainingData, rank: int, most: int) -> sparse.csr_array:
    """The strongest edges of a low-pass filter, float32[n, n]: n_i^-.25 (V V^T)_ij n_j^.5.

    Args:
        data: Training users.
        rank: Frequencies that pass, at most.
        most: Edges to keep of each item.
    """
    x, y = low_pass(low_frequencies(data.x, rank), data.counts, _TEMPER)
    return prune_factors(x, y, most, data.importance)


def low_pass(v: Floats, counts: Floats, temper: float) -> tuple[Floats, Floats]:
    """Factors x and y, float32[n, r], of the filter x y^T = D^-temper V V^T D^.5.

    Args:
        v: float32[n, r], V.
        counts: float32[n], users of each item.
        temper: 0.5 as published; the less, the louder a popular item speaks.
    """
    degrees = np.maximum(counts, 1)[:, None]
    x, y = v * degrees**-temper, v * np.sqrt(degrees)
    return x.astype(np.float32), y.astype(np.float32)


def low_frequencies(x: sparse.csr_array, rank: int) -> Floats:
    """V, float32[n, rank] at most: the leading right singular vectors of D_u^-.5 X D^-.5.

    Args:
        x: float32[num_users, n]; D_u and D are the degrees of users and items.
        rank: How many.
    """
    lengths = np.maximum(np.diff(x.indptr), 1).astype(np.float32)[:, None]
    counts = np.maximum(np.asarray(x.sum(0), np.float32), 1)
    normal = sparse.csr_array(x / np.sqrt(lengths) / np.sqrt(counts))
    rank = min(rank, *normal.shape)
    _, _, v = randomized_svd(normal, rank, n_iter=4, random_state=0)
    return np.ascontiguousarray(v.T, np.float32)

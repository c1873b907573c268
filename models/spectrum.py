"""Edges between items by the lowest frequencies of their graph: an ideal low-pass filter.

Shen et al., How Powerful is Graph Convolution for Recommendation?, CIKM 2021, find that what a
graph convolution learns is mostly such a filter, which needs no learning.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from firstedge.models.baselines import TrainingData
from firstedge.models.edges import prune_factors

# Of counts, by which what is given speaks the softer the more popular it is; by half in GF-CF.
_TEMPER = 0.25


def spectral_edges(data: TrainingData, rank: int, most: int, seed: int = 0) -> sparse.csr_array:
    """The strongest edges of a low-pass filter, float32[n, n]: n_i^-.25 (V V^T)_ij n_j^.5.

    V are the leading right singular vectors of D_u^-.5 X D^-.5, users and items by their degrees.

    Args:
        data: Training users.
        rank: Frequencies that pass, at most.
        most: Edges to keep of each item.
        seed: Of the factorisation.
    """
    lengths = np.maximum(np.diff(data.x.indptr), 1).astype(np.float32)[:, None]
    counts = np.maximum(data.counts, 1).astype(np.float32)
    normal = sparse.csr_array(data.x / np.sqrt(lengths) / np.sqrt(counts))
    passed = min(rank, *normal.shape)
    _, _, v = randomized_svd(normal, passed, n_iter=4, random_state=seed)
    return prune_factors((v / counts**_TEMPER).T, (v * np.sqrt(counts)).T, most, data.importance)

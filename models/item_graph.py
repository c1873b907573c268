"""Building the graph that the item encoder reads: a heterogeneous one, as PyG holds it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor
from torch_geometric.data import HeteroData

from firstedge.models.closed_forms import CategoryTree, cooccurrence
from firstedge.models.edges import prune
from firstedge.models.item_encoder import ANCESTOR, BELONGS, HOP, ItemGraph, spectral_start
from firstedge.models.net import NetOptions

Ints = npt.NDArray[np.int64]

# Neighbours kept of each item in the hop over shared users.
HOP_EDGES = 50
# Edges of a large catalogue whose spectrum the ID vectors start from.
SPECTRUM_EDGES = 1 << 25


def build_item_graph(
    x: sparse.csr_array,
    bayes: sparse.csr_array,
    features: HeteroData,
    options: NetOptions,
    seed: int = 0,
) -> ItemGraph:
    """Join content, category tree and shared users.

    Args:
        x: float32[num_users, num_items], training users' items.
        bayes: Naive Bayes edges, whose spectrum starts the ID vectors.
        features: Node types "item" (with text as `x`, [num_items, t]) and "category", edge types
            BELONGS and ANCESTOR.
        options: Of the net.
        seed: Of the factorisation.
    """
    if bayes.nnz > SPECTRUM_EDGES:
        # Factors of a large matrix take minutes, and its tail says little.
        bayes = prune(bayes, max(1, SPECTRUM_EDGES // bayes.shape[0]))
    start_v, start_w = spectral_start(bayes, options.dim, seed)
    if options.propagate:
        hop = shared_users(x).tocoo()
        features[HOP].edge_index = _edge_index(hop.col, hop.row)
        features[HOP].edge_weight = torch.from_numpy(hop.data.astype(np.float32))
    trained = torch.from_numpy(np.asarray(x.sum(0)) > 0)
    return ItemGraph(features, start_v, start_w, trained)


def item_features(text: npt.NDArray[np.float32], members: Ints, tree: CategoryTree) -> HeteroData:
    """Content and category tree of a catalogue.

    Args:
        text: float32[num_items, t].
        members: int64[2, e], category rows over item rows.
        tree: Categories.
    """
    data = HeteroData()
    data["item"].x = torch.from_numpy(np.ascontiguousarray(text))
    data["item"].num_nodes = len(text)
    data["category"].num_nodes = len(tree.parents)
    by_item = np.argsort(members[1], kind="stable")
    data[BELONGS].edge_index = _edge_index(members[0][by_item], members[1][by_item])
    counts = np.bincount(members[1], minlength=len(text))
    data[BELONGS].offsets = torch.from_numpy(np.concatenate(([0], np.cumsum(counts))))
    data[ANCESTOR].edge_index = _edge_index(*reversed(tree.lineage().nonzero()))
    return data


def shared_users(x: sparse.csr_array, most: int = HOP_EDGES) -> sparse.csr_array:
    """float32[n, n]: D^-.5 X^T D_u^-1 X D^-.5 without diagonal, the strongest of each row."""
    degrees = np.maximum(np.asarray(x.sum(0), np.float32), 1) ** -0.5
    hop = cooccurrence(x, length_discount=1.0)
    hop = sparse.csr_array(hop.multiply(degrees[:, None]).multiply(degrees[None, :]))
    return prune(hop, most)


def _edge_index(sources: npt.NDArray[np.generic], targets: npt.NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.stack((sources, targets)).astype(np.int64))

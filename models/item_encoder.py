"""The item side: a heterogeneous graph network over text, category tree and co-interactions.

Everything heavy happens here, once. Each item gets an input vector v (what an edge to it says of a
user) and an output vector w (how a user scores it):

    own(i)  = id(i) + text(i) A + mean over i's categories of category(c)
    category(c) = sum of the tables of c and its ancestors
    v, w    = own + softplus(l) hop(own), hop = D^-.5 X^T D^-1 X D^-.5 without diagonal, pruned
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import SimpleConv

BELONGS = ("category", "rev_in_category", "item")
ANCESTOR = ("category", "rev_descends_from", "category")
HOP = ("item", "shares_users", "item")

# Of the regression of starting vectors on content.
CONTENT_RIDGE = 10.0


@dataclass(frozen=True)
class ItemGraph:
    """What the item encoder reads, built once before training.

    Attributes:
        data: Item text as `x` of items; edge types BELONGS in the order of items, with `offsets`
            int64[num_items + 1] where those of each lie, ANCESTOR (with every category itself) and
            HOP, with `edge_weight`.
        start_v: float32[num_items, dim], where the input ID vectors start.
        start_w: float32[num_items, dim], where the output ID vectors start.
        trained: bool[num_items], items with an event in training; others have no ID vector.
    """

    data: HeteroData
    start_v: Tensor
    start_w: Tensor
    trained: Tensor

    def to(self, device: torch.device) -> Self:
        """The same graph on a device."""
        return type(self)(
            self.data.to(device),
            self.start_v.to(device),
            self.start_w.to(device),
            self.trained.to(device),
        )


class ItemEncoder(nn.Module):
    """Input and output vectors of all items and categories.

    Args:
        graph: The item graph.
        id_dropout: Probability of hiding an item's ID vector at a step, so that text and
            categories learn to stand in for it.
        propagate: Whether to take the hop over shared users.
    """

    def __init__(self, graph: ItemGraph, id_dropout: float, propagate: bool) -> None:
        super().__init__()
        self.id_dropout, self.propagate = id_dropout, propagate
        start = torch.cat((graph.start_v, graph.start_w), 1)
        text, category, explained = content_start(graph, start)
        self.id = nn.Parameter(start - explained)
        self.category = nn.Parameter(category)
        self.text = nn.Parameter(text)
        self.hop_weight = nn.Parameter(torch.full((2,), -1.0))
        self.sum = SimpleConv(aggr="sum")

    def forward(self, graph: ItemGraph, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Vectors of items and categories.

        Args:
            graph: The item graph.
            rows: int64[r], the items to encode; all if None.

        Returns:
            v [r + num_categories, dim] and w [r, dim].
        """
        dim = graph.start_v.shape[1]
        # [num_categories, 2 dim]: each category with its ancestors
        category = self.tree(graph)
        # [r, 2 dim], or all items, whose vectors the hop needs
        own = self._own(graph, category, None if self.propagate else rows)
        if self.propagate:
            hop = self.sum(own, graph.data[HOP].edge_index, graph.data[HOP].edge_weight)
            strength = nn.functional.softplus(self.hop_weight).repeat_interleave(dim)
            own = own + strength * hop
            own = own if rows is None else own[rows]
        return torch.cat((own[:, :dim], category[:, :dim])), own[:, dim:]

    def _own(self, graph: ItemGraph, category: Tensor, rows: Tensor | None) -> Tensor:
        """What items are before the hop, [r, 2 dim]."""
        table, mask, text = self.id, self._id_mask(graph), graph.data["item"].x
        if rows is not None:
            table, mask, text = table[rows], mask[rows], text[rows]
        own = table * mask
        if self.text.shape[0]:
            own = own + text @ self.text
        if not category.shape[0]:
            return own
        belongs = graph.data[BELONGS]
        categories, offsets = belongs.edge_index[0], belongs.offsets[:-1]
        if rows is not None:
            starts = offsets[rows]
            lengths = belongs.offsets[rows + 1] - starts
            offsets = torch.cumsum(lengths, 0) - lengths
            at = torch.arange(int(lengths.sum()), device=rows.device)
            categories = categories[at + (starts - offsets).repeat_interleave(lengths)]
        return own + nn.functional.embedding_bag(categories, category, offsets, mode="mean")

    def tree(self, graph: ItemGraph) -> Tensor:
        """[num_categories, 2 dim]: each category's table plus those of its ancestors."""
        if not self.category.shape[0]:
            return self.category
        return self.sum((self.category, self.category), graph.data[ANCESTOR].edge_index)

    def _id_mask(self, graph: ItemGraph) -> Tensor:
        """[num_items, 1]; of all items, so that pieces of a batch hide the same ones."""
        mask = graph.trained.float()
        if self.training and self.id_dropout:
            mask = mask * (torch.rand_like(mask) >= self.id_dropout)
        return mask[:, None]


def content_start(graph: ItemGraph, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How text and categories explain where items start: ridge regression over trained items.

    The ID vectors start as what is left, so that an item without one starts from its content
    where items like it are.

    Args:
        graph: The item graph.
        start: float32[num_items, 2 dim].

    Returns:
        float32[t, 2 dim], float32[num_categories, 2 dim], and what they explain of ``start``.
    """
    text, rows = graph.data["item"].x.numpy(), graph.trained.numpy()
    tree = _category_shares(graph, len(start))
    width = text.shape[1]
    if not width + tree.shape[1]:
        return start[:0], start[:0], torch.zeros_like(start)
    seen_text, seen_tree, seen = text[rows], tree[rows], start.numpy()[rows]
    # The Gram matrix and the right side of [text, categories], where the latter are sparse.
    gram = CONTENT_RIDGE * np.eye(width + tree.shape[1], dtype=np.float32)
    gram[:width, :width] += seen_text.T @ seen_text
    gram[width:, :width] += seen_tree.T @ seen_text
    gram[:width, width:] = gram[width:, :width].T
    gram[width:, width:] += (seen_tree.T @ seen_tree).toarray()
    right = np.concatenate((seen_text.T @ seen, seen_tree.T @ seen))
    weights = torch.linalg.solve(torch.from_numpy(gram), torch.from_numpy(right)).numpy()
    explained = text @ weights[:width] + tree @ weights[width:]
    parts = (weights[:width], weights[width:], explained)
    by_text, by_category, of_start = (torch.from_numpy(np.ascontiguousarray(p)) for p in parts)
    return by_text, by_category, of_start


def _category_shares(graph: ItemGraph, num_items: int) -> sparse.csr_array:
    """float32[num_items, num_categories]: the mean over an item's categories of their lineages."""
    num_categories = graph.data["category"].num_nodes
    category, item = graph.data[BELONGS].edge_index.numpy()
    counts = np.maximum(np.bincount(item, minlength=num_items), 1)
    shares = (1 / counts[item]).astype(np.float32)
    members = sparse.csr_array((shares, (item, category)), shape=(num_items, num_categories))
    ancestor, below = graph.data[ANCESTOR].edge_index.numpy()
    ones = np.ones(len(below), np.float32)
    lineage = sparse.csr_array((ones, (below, ancestor)), shape=(num_categories, num_categories))
    return sparse.csr_array(members @ lineage)


def spectral_start(r: sparse.csr_array, dim: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rank-`dim` factors of the naive Bayes edges: v = U sqrt(S), w = V sqrt(S), float32[n, dim].

    The net starts as a compressed naive Bayes.
    """
    rank = max(1, min(dim, min(r.shape) - 1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        matrix = _torch_csr(r) if _is_sparse(r) else torch.from_numpy(r.toarray())
        u, s, v = torch.svd_lowrank(matrix, q=min(rank + 16, min(r.shape)), niter=4)
    u, s, v = u[:, :rank], s[:rank].clamp_min(0), v[:, :rank]
    start_v, start_w = u * s.sqrt(), v * s.sqrt()
    pad = dim - rank
    return nn.functional.pad(start_v, (0, pad)), nn.functional.pad(start_w, (0, pad))


def _is_sparse(matrix: sparse.csr_array) -> bool:
    """Whether a product with the sparse form is the faster one, or the dense form too large."""
    cells = matrix.shape[0] * matrix.shape[1]
    return cells > 1 << 28 or matrix.nnz < 0.05 * cells


def _torch_csr(matrix: sparse.csr_array) -> Tensor:
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data.astype(np.float32)),
            matrix.shape,
            check_invariants=False,  # said, for torch warns about its own default
        )

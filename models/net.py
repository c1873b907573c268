"""The net: item encoder, linear user step and the scores of a batch of users."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from firstedge.models.item_encoder import ItemEncoder, ItemGraph


@dataclass(frozen=True)
class NetOptions:
    """Architecture of the net.

    Attributes:
        dim: Dimensions that are learned; the vectors of a bundle have others beside them.
        most_edges: The k up to which each k has a row of its own in the tables by k.
        ranks: Recency ranks that have a weight of their own.
        longest: The k and the rank from which on all share the last row; in between, rows are
            interpolated.
        id_dropout: Probability of hiding an item's ID vector at a step.
        user_dropout: Dropout on the user vector.
        propagate: Whether items exchange vectors over shared users, one hop.
    """

    dim: int = 60
    most_edges: int = 10
    ranks: int = 10
    longest: int = 100
    id_dropout: float = 0.1
    user_dropout: float = 0.3
    propagate: bool = False

    def __post_init__(self) -> None:
        if min(self.dim, self.most_edges, self.ranks) < 1:
            raise ValueError(f"dim, most_edges and ranks are at least 1, got {self}")
        if self.longest < max(self.most_edges, self.ranks):
            raise ValueError(f"longest is at least most_edges and ranks, got {self}")
        if not (0 <= self.id_dropout < 1 and 0 <= self.user_dropout < 1):
            raise ValueError(f"dropouts lie in [0, 1), got {self}")


@dataclass(frozen=True)
class UserTensors:
    """A batch of users as tensors; ragged parts as flat values and offsets.

    Attributes:
        targets: int64[m], given targets.
        offsets: int64[n], where each user's targets start.
        counts: int64[n], given targets of each user.
        kinds: int64[m].
        ranks: int64[m].
        weights: float32[m].
        profile_rows: int64[q].
        profile_offsets: int64[n].
        text: float32[n, t] or None.
        among: The users' first place in a batch, and how many that has; None: they are all of it.
            A piece of a batch then draws its dropout as the whole does.
    """

    targets: Tensor
    offsets: Tensor
    counts: Tensor
    kinds: Tensor
    ranks: Tensor
    weights: Tensor
    profile_rows: Tensor
    profile_offsets: Tensor
    text: Tensor | None
    among: tuple[int, int] | None = None


class Net(nn.Module):
    """score(j) = u . w_j + b_j + g_k log p_j, u a sum over the user's edges.

    The formula of u is that of `models/bundle.py`; g_k log p_j becomes a dimension of w and c
    when the net is exported, so that the bundle needs no extra term.

    Args:
        items: The item encoder, of `options.dim` dimensions.
        sizes: Numbers of kinds, profile values and user text dimensions.
        options: The architecture.
    """

    def __init__(
        self, items: ItemEncoder, sizes: tuple[int, int, int], options: NetOptions
    ) -> None:
        super().__init__()
        num_kinds, num_profile_values, text_dim = sizes
        num_items, dim = items.id.shape[0], items.id.shape[1] // 2
        self.items, self.options = items, options
        by_k = interpolation(options.most_edges, options.longest)
        by_rank = interpolation(options.ranks - 1, options.longest)
        self.register_buffer("by_k", by_k, persistent=False)
        self.register_buffer("by_rank", by_rank, persistent=False)
        self.bias = nn.Parameter(torch.zeros(num_items))
        self.c = nn.Parameter(torch.zeros(options.most_edges + 1, dim))
        self.s = nn.Parameter(torch.ones(by_k.shape[1]))
        self.g = nn.Parameter(torch.ones(by_k.shape[1]))
        self.kind = nn.Parameter(torch.zeros(num_kinds))
        self.recency = nn.Parameter(torch.zeros(by_rank.shape[1]))
        self.profile = nn.Parameter(torch.zeros(num_profile_values, dim))
        self.user_text = nn.Parameter(torch.zeros(text_dim, dim))
        self.dropout = nn.Dropout(options.user_dropout)

    def tables(self) -> dict[str, Tensor]:
        """The tables c [K, dim], s [K] and g [K] by min(k, K - 1), and recency [R] by rank."""
        rows = torch.arange(len(self.by_k), device=self.c.device).clamp(max=len(self.c) - 1)
        return {
            "c": self.c[rows],
            "s": self.by_k @ self.s,
            "g": self.by_k @ self.g,
            "recency": self.by_rank @ self.recency,
        }

    def embed_users(self, users: UserTensors, v: Tensor) -> Tensor:
        """u, [n, dim]."""
        tables = self.tables()
        step = users.counts.clamp(max=len(self.by_k) - 1)
        rank = users.ranks.clamp(max=len(self.by_rank) - 1)
        a = users.weights * torch.exp(tables["recency"][rank] + self.kind[users.kinds])
        # [n, dim]: the weighted sum over each user's targets
        edges = nn.functional.embedding_bag(
            users.targets, v, users.offsets, mode="sum", per_sample_weights=a
        )
        scale = tables["s"][step] * users.counts.clamp(min=1).float().rsqrt()
        u = tables["c"][step] + scale[:, None] * edges
        if len(users.profile_rows):
            u = u + nn.functional.embedding_bag(
                users.profile_rows, self.profile, users.profile_offsets, mode="sum"
            )
        if users.text is not None and self.user_text.shape[0]:
            u = u + users.text @ self.user_text
        return u

    def forward(self, users: UserTensors, graph: ItemGraph, log_prior: Tensor) -> Tensor:
        """Scores of all items, [n, num_items]."""
        v, w = self.items(graph)
        u = self._dropped(self.embed_users(users, v), users)
        return self.score(u, (w, self.bias, log_prior), users)

    def forward_some(
        self,
        users: UserTensors,
        graph: ItemGraph,
        log_prior: Tensor,
        items: Tensor,
        pairs: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Scores of some items only; no other item is encoded than those and the given ones.

        Args:
            users: n users.
            graph: The item graph.
            log_prior: float32[num_items].
            items: int64[c], to score for every user, sorted and distinct.
            pairs: User number and item of single scores, int64[t] each.

        Returns:
            [n, c] and [t].
        """
        num_items = len(self.bias)
        is_item = users.targets < num_items
        rows = torch.unique(torch.cat((items, pairs[1], users.targets[is_item])))
        v, w = self.items(graph, rows)
        place = torch.searchsorted(rows, users.targets)
        targets = torch.where(is_item, place, users.targets - num_items + len(rows))
        u = self._dropped(self.embed_users(replace(users, targets=targets), v), users)
        own, of = pairs
        single = (u[own] * w[torch.searchsorted(rows, of)]).sum(1) + self.bias[of]
        single = single + self._prior_factor(users)[own] * log_prior[of]
        shared = (w[torch.searchsorted(rows, items)], self.bias[items], log_prior[items])
        return self.score(u, shared, users), single

    def score(self, u: Tensor, items: tuple[Tensor, Tensor, Tensor], users: UserTensors) -> Tensor:
        """Scores [n, c] of user vectors u [n, dim] and c items: w [c, dim], bias, log p [c]."""
        w, bias, log_prior = items
        scores = torch.addmm(bias, u, w.T).float()  # float32 where autocast lowers the product
        return scores.addr_(self._prior_factor(users), log_prior)

    def _dropped(self, u: Tensor, users: UserTensors) -> Tensor:
        """U after dropout, [n, dim]."""
        if users.among is None or not self.training:
            return self.dropout(u)
        first, total = users.among
        kept = self.dropout(torch.ones(total, u.shape[1], dtype=u.dtype, device=u.device))
        return u * kept[first : first + len(u)]

    def _prior_factor(self, users: UserTensors) -> Tensor:
        """g_k of each user, [n]."""
        return (self.by_k @ self.g)[users.counts.clamp(max=len(self.by_k) - 1)]


def interpolation(dense: int, last: int) -> Tensor:
    """How a table of rows 0..last hangs on fewer numbers: each of 0..dense is one of its own.

    Beyond, there is one every half octave, and rows in between are interpolated by log(1 + row).

    Returns:
        float32[last + 1, knots], rows that add up to 1.
    """
    beyond, knot = [], max(dense, 1) * math.sqrt(2)
    while knot < last / 2**0.25:
        beyond.append(round(knot))
        knot *= math.sqrt(2)
    knots = sorted({*range(dense + 1), *beyond, last})
    place = np.log1p(knots)
    rows = [np.interp(np.log1p(np.arange(last + 1)), place, one) for one in np.eye(len(knots))]
    return torch.from_numpy(np.stack(rows, 1).astype(np.float32))

"""The loss of the net: softmax over the catalogue or over a corrected sample of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from firstedge.models.item_encoder import ItemGraph
from firstedge.models.net import Net, UserTensors


class _CrossEntropy(torch.autograd.Function):
    """Weighted cross entropy of several targets a row, with one table beside the scores.

    Autograd would hold and fill some five tables as large, which takes most of a step on a CPU.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, scores: Tensor, rows: Tensor, items: Tensor, weights: Tensor
    ) -> Tensor:
        """The sum over targets of weight times -log softmax, a scalar.

        Args:
            ctx: What `backward` reads.
            scores: float32[n, num_items].
            rows: int64[t].
            items: int64[t].
            weights: float32[t].
        """
        log_p = torch.log_softmax(scores, 1)
        ctx.save_for_backward(log_p, rows, items, weights)
        return -(weights @ log_p[rows, items])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """Of the scores: the weights times what softmax gives beyond the targets."""
        log_p, rows, items, weights = ctx.saved_tensors
        weights = weights * grads[0]
        totals = torch.zeros_like(log_p[:, 0]).index_add(0, rows, weights)
        # Nothing else reads the table.
        grad = log_p.exp_().mul_(totals[:, None])
        grad.index_put_((rows, items), -weights, accumulate=True)
        return grad, None, None, None


class Softmax:
    """The loss: softmax over the catalogue, the mean over each user's targets, weighted by user.

    Over all trained items where they are few enough; else over a sample whose partition function
    is unbiased: a user's own targets count as they are, every other item by the inverse of its
    chance of being drawn (Horvitz and Thompson 1952; the logQ correction of Yi et al., RecSys
    2019). A step then encodes no other items than those drawn, given and asked for.

    Args:
        graph: The item graph.
        log_prior: float32[num_items]; items are drawn by p_j^.75.
        draws: Items drawn a step; 0 for the whole catalogue.
        precision: Of what autocast lowers; the loss itself is float32.
    """

    def __init__(
        self,
        graph: ItemGraph,
        log_prior: Tensor,
        draws: int = 0,
        precision: torch.dtype = torch.float32,
    ) -> None:
        self.graph, self.prior = graph, log_prior
        self.draws, self.precision, self.sampled = draws, precision, draws > 0
        chance = torch.exp(0.75 * log_prior) * graph.trained
        self.chance = chance / chance.sum()
        # Items without an event in training are no answer to learn from.
        self.untrained = torch.zeros_like(log_prior).masked_fill(~graph.trained, -torch.inf)

    def loss(
        self, net: Net, users: UserTensors, targets: tuple[Tensor, Tensor], weights: Tensor
    ) -> Tensor:
        """The sum over users of weight times mean cross entropy, a scalar.

        Args:
            net: In training mode.
            users: n users.
            targets: User number and item row of every target, int64[t] each.
            weights: float32[n].
        """
        rows, items = targets
        device = weights.device
        with torch.autocast(device.type, self.precision, self.precision is not torch.float32):
            if self.sampled:
                drawn = self.draw()
                some = net.forward_some(users, self.graph, self.prior, drawn, targets)
            else:
                scores = net(users, self.graph, self.prior)
        counts = torch.bincount(rows, minlength=len(weights))
        weights = (weights / counts)[rows]  # of each target
        if self.sampled:
            scores, own = (part.float() for part in some)
            norm = self.log_partition(scores, own, targets, drawn)
            return weights @ (norm[rows] - own)
        loss: Tensor = _CrossEntropy.apply(scores.add_(self.untrained), rows, items, weights)
        return loss

    def draw(self) -> Tensor:
        """Sorted distinct rows of a fresh sample of items, int64[c]."""
        return torch.unique(torch.multinomial(self.chance, self.draws, replacement=True))

    def log_partition(
        self, scores: Tensor, own: Tensor, targets: tuple[Tensor, Tensor], drawn: Tensor
    ) -> Tensor:
        """The logarithm of the estimated partition function of each user, [n].

        Args:
            scores: float32[n, c], of the drawn items.
            own: float32[t], of the users' targets.
            targets: As in `loss`; every user has one.
            drawn: int64[c], the drawn items.
        """
        rows, items = targets
        included = -torch.expm1(self.draws * torch.log1p(-self.chance[drawn]))
        others = scores - torch.log(included)
        # A target that was drawn is counted once, as a target.
        place = torch.searchsorted(drawn, items).clamp(max=len(drawn) - 1)
        twice = drawn[place] == items
        others[rows[twice], place[twice]] = -torch.inf
        highest = torch.full_like(scores[:, 0], -torch.inf)
        highest = highest.scatter_reduce(0, rows, own.detach(), "amax")
        total = torch.zeros_like(highest).index_add(0, rows, torch.exp(own - highest[rows]))
        targets_alone = torch.log(total) + highest
        return torch.logsumexp(torch.cat((others, targets_alone[:, None]), 1), 1)

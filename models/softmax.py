"""The loss of the net: softmax over the catalogue or over a corrected sample of it."""

from __future__ import annotations

import torch
from torch import Tensor

from firstedge.models.item_encoder import ItemGraph
from firstedge.models.net import Net, UserTensors


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
                scores = net(users, self.graph, self.prior).float()
        if self.sampled:
            scores, own = (part.float() for part in some)
            norm = self.log_partition(scores, own, targets, drawn)
        else:
            own = scores[rows, items]
            norm = torch.logsumexp(scores + self.untrained, 1)
        per_target = norm[rows] - own
        counts = torch.bincount(rows, minlength=len(weights)).clamp(min=1)
        per_user = torch.zeros_like(norm).index_add(0, rows, per_target) / counts
        return (weights * per_user).sum()

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

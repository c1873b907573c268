"""One step after the other: gradients of a batch in pieces, by several workers, in any precision.

However a batch is cut, every piece starts from the same random state and draws what the whole
batch draws, so that pieces and workers change the result by rounding alone.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from firstedge.models.batches import Batch
from firstedge.models.net import Net
from firstedge.models.softmax import Softmax
from firstedge.models.workers import Workers

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """How weights move.

    Attributes:
        steps: In all.
        learning_rate: Peak of the one-cycle schedule (the item bias gets a tenth).
        fast: How much faster the weights of kinds and of recency learn.
        weight_decay: On tables.
        average: Decay of the exponential moving average of weights, a step.
        pieces: In which a batch is computed, to save memory.
    """

    steps: int
    learning_rate: float
    fast: float
    weight_decay: float
    average: float
    pieces: int


class Trainer:
    """A net in training, and all that moves it.

    Args:
        net: On its device.
        softmax: The loss.
        schedule: How weights move.
        device: Where to compute.
    """

    def __init__(
        self, net: Net, softmax: Softmax, schedule: Schedule, device: torch.device
    ) -> None:
        self.net, self.softmax, self.device = net, softmax, device
        self.pieces, self.workers = schedule.pieces, Workers.now()
        self.optimizer = _optimizer(net, schedule)
        self.rates = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            [group["lr"] for group in self.optimizer.param_groups],
            total_steps=schedule.steps,
        )
        self.averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(schedule.average))
        # float16 has so few exponents that small gradients vanish unless the loss is scaled.
        scaled = softmax.precision is torch.float16
        self.scaler = torch.amp.GradScaler(device.type, enabled=scaled)

    @property
    def average(self) -> Net:
        """The averaged net, in evaluation mode."""
        net: Net = self.averaged.module.eval()
        return net

    def step(self, batch: Batch) -> float:
        """Move the weights by one batch.

        Where memory does not suffice, the batch is computed in pieces half as large from then on.

        Returns:
            The mean loss of this worker's users.
        """
        state = random_state(self.device)
        loss = None
        while loss is None:
            self.optimizer.zero_grad(set_to_none=True)
            try:
                loss = self._gradients(batch, state)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not _out_of_memory(error) or not self._cut_finer(batch):
                    raise
            if loss is None and self.device.type == "cuda":
                torch.cuda.empty_cache()
        self.workers.add_up(self.net.parameters())
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.get_scale() >= scale:  # else a gradient overflowed, and nothing moved
            self.rates.step()
            self.averaged.update_parameters(self.net)
        return loss

    def _gradients(self, batch: Batch, state: tuple[Tensor, ...]) -> float:
        """Add up the gradients of this worker's users, and give their mean loss."""
        size, times = len(batch), 1
        start, stop = self.workers.share(size)
        if size < self.workers.count:  # too few to share: everyone computes all of them
            start, stop, times = 0, size, self.workers.count
        total = torch.zeros((), device=self.device)
        for number in range(min(self.pieces, stop - start)):
            pieces = min(self.pieces, stop - start)
            first = start + (stop - start) * number // pieces
            last = start + (stop - start) * (number + 1) // pieces
            set_random_state(state, self.device)
            users, targets, weights = batch.piece(first, last, self.device)
            loss = self.softmax.loss(self.net, users, targets, weights)
            self.scaler.scale(loss / (size * times)).backward()
            total += loss.detach()
        return float(total) / (stop - start)

    def _cut_finer(self, batch: Batch) -> bool:
        """Double the pieces; whether that is possible."""
        start, stop = self.workers.share(len(batch))
        users = max(stop - start, 1)
        if self.pieces >= users:
            return False
        before, self.pieces = -(-users // self.pieces), min(2 * self.pieces, users)
        _log.warning(
            "out of memory with %s users at a time: going on with %s, which changes the result by "
            "rounding alone; FitOptions(pieces=%s) begins there",
            f"{before:,}",
            f"{-(-users // self.pieces):,}",
            self.pieces,
        )
        return True


def random_state(device: torch.device) -> tuple[Tensor, ...]:
    """The state of torch's random numbers: on the CPU, and on the GPU if that is the device."""
    cpu = torch.get_rng_state()
    return (cpu, torch.cuda.get_rng_state(device)) if device.type == "cuda" else (cpu,)


def set_random_state(state: tuple[Tensor, ...], device: torch.device) -> None:
    """Go back to a state."""
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)


def _optimizer(net: Net, schedule: Schedule) -> torch.optim.Optimizer:
    tables = [net.items.id, net.items.category, net.items.text, net.profile, net.user_text]
    slow = [net.bias]
    logs = [net.kind, net.recency]
    rest = [p for p in net.parameters() if all(p is not q for q in (*tables, *slow, *logs))]
    rate = schedule.learning_rate
    groups = [
        {"params": tables, "lr": rate, "weight_decay": schedule.weight_decay},
        {"params": slow, "lr": rate / 10, "weight_decay": 0.0},
        {"params": logs, "lr": rate * schedule.fast, "weight_decay": 0.0},
        {"params": rest, "lr": rate, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, fused=True)


def _out_of_memory(error: Exception) -> bool:
    """Whether an error says so; on the CPU torch has no class for it."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)

"""Several processes that train one net together, as `torchrun` starts them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed as dist
from torch import nn

from firstedge.graph.errors import SettingsError


@dataclass(frozen=True)
class Workers:
    """Who works, and which of them this process is.

    Attributes:
        rank: 0..count - 1; the first one reports and writes.
        count: How many there are.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def now(cls) -> Workers:
        """Those of the open process group; this process alone without one."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def share(self, total: int) -> tuple[int, int]:
        """First and last (exclusive) of ``total`` users that are this worker's."""
        return total * self.rank // self.count, total * (self.rank + 1) // self.count

    def add_up(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the workers."""
        if self.count == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)

    def agree(self, figure: float, device: torch.device) -> float:
        """The first worker's figure, so that all decide alike."""
        if self.count == 1:
            return figure
        told = torch.tensor(figure, dtype=torch.float64, device=device)
        dist.broadcast(told, 0)
        return float(told)


@contextmanager
def joined(environment: Mapping[str, str], device: str | None) -> Iterator[str | None]:
    """Join the processes that `torchrun` started, if it did.

    Args:
        environment: With RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT as torchrun
            sets them.
        device: "cpu", "cuda", ...; None takes GPUs where there are any.

    Yields:
        The device of this process.

    Raises:
        SettingsError: If torch cannot connect processes.
    """
    if int(environment.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    if not dist.is_available():
        raise SettingsError("this torch cannot connect processes: start one, without torchrun")
    wanted = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if wanted.type == "cuda":
        wanted = torch.device("cuda", int(environment["LOCAL_RANK"]))
        torch.cuda.set_device(wanted)
    dist.init_process_group("nccl" if wanted.type == "cuda" else "gloo")
    try:
        yield str(wanted)
    finally:
        dist.destroy_process_group()

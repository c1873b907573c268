"""A training on disk, so that one that was killed goes on where it was: safetensors and JSON."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from firstedge.graph.files import replacing
from firstedge.models.net import Net
from firstedge.models.trainer import Trainer, random_state, set_random_state

_log = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        epoch: Epochs that are over.
        step: Steps of the epoch after them that are over.
        figures: Validation figures of the epochs that are over.
        numbers: State of numpy's generator at the beginning of the epoch.
        best: Weights of the best averaged net so far, by name; none before the first epoch is over.
    """

    epoch: int = 0
    step: int = 0
    figures: list[float] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Checkpoint:
    """A file that holds a training every so often.

    Attributes:
        path: The file; replaced as a whole, so that it is there entire or not at all.
        key: What is trained, on what and how; a file of another key is not gone on with.
        seconds: Between two writes.
    """

    path: Path
    key: str
    seconds: float = 60.0
    _written: float = field(default_factory=time.monotonic, init=False)

    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() - self._written >= self.seconds

    def write(self, trainer: Trainer, progress: Progress) -> None:
        """Replace the file; the first worker does it for all."""
        self._written = time.monotonic()
        if trainer.workers.rank:
            return
        tensors = {f"net.{name}": tensor for name, tensor in trainer.net.state_dict().items()}
        tensors |= {f"average.{n}": t for n, t in trainer.averaged.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in progress.best.items()}
        for number, state in enumerate(random_state(trainer.device)):
            tensors[f"random.{number}"] = state
        optimizer = trainer.optimizer.state_dict()
        for row, moments in optimizer["state"].items():
            tensors |= {f"moment.{row}.{name}": tensor for name, tensor in moments.items()}
        rates = trainer.rates.state_dict()
        state = {
            "key": self.key,
            "groups": optimizer["param_groups"],
            "rates": {name: rates[name] for name in ("last_epoch", "_step_count", "_last_lr")},
            "scaler": trainer.scaler.state_dict(),
            "pieces": trainer.pieces,
            "progress": {name: getattr(progress, name) for name in _TOLD},
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        with replacing(self.path) as staged:
            save_file(kept, staged, {"state": json.dumps(state)})

    def resume(self, trainer: Trainer) -> Progress | None:
        """Bring a new trainer to where the file is; None if there is nothing to go on with."""
        try:
            with safe_open(self.path, "pt") as file:
                state = json.loads((file.metadata() or {})["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            _log.warning("training starts anew: %s is damaged (%s)", self.path, error)
            return None
        if state["key"] != self.key:
            _log.warning("training starts anew: %s is of other data or options", self.path)
            return None
        _load(trainer.net, _part(tensors, "net."))
        _load(trainer.averaged, _part(tensors, "average."))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _part(tensors, "moment.").items():
            row, _, moment = name.partition(".")
            moments.setdefault(int(row), {})[moment] = tensor
        trainer.optimizer.load_state_dict({"state": moments, "param_groups": state["groups"]})
        trainer.rates.load_state_dict(state["rates"])
        trainer.scaler.load_state_dict(state["scaler"])
        trainer.pieces = state["pieces"]
        numbers = _part(tensors, "random.")
        set_random_state(tuple(numbers[name] for name in sorted(numbers)), trainer.device)
        return Progress(**state["progress"], best=_part(tensors, "best."))

    def forget(self) -> None:
        """Remove the file: the training is over."""
        self.path.unlink(missing_ok=True)


_TOLD = ("epoch", "step", "figures", "numbers")


def weights_of(net: Net) -> dict[str, Tensor]:
    """A copy of a net's weights on the CPU, by name."""
    return {name: tensor.detach().cpu().clone() for name, tensor in net.state_dict().items()}


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _load(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        module.load_state_dict(tensors)

"""A training on TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from firstedge.graph.errors import MissingDependency


def board(folder: Path) -> Callable[[int, float, float | None], None]:
    """What writes a training's loss and validation figures for TensorBoard; see `fit.Watch`.

    Args:
        folder: Where its event files go.

    Raises:
        MissingDependency: If the package ``tensorboard`` is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingDependency("tensorboard", "logging a training", "tensorboard") from None
    writer = SummaryWriter(str(folder))

    def report(step: int, loss: float, figure: float | None) -> None:
        if figure is None:
            writer.add_scalar("train/loss", loss, step)
        else:
            writer.add_scalar("validation/ndcg", figure, step)
            writer.flush()

    return report

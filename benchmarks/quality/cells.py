"""One cell of the leaderboard: a method on a fold of a data set, measured once and kept.

A cell's file holds the figures of every test user, so that intervals and paired differences can be
drawn from the files alone; its key says what it was computed from.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from firstedge.graph.files import replacing
from firstedge.models.comparison import Measured, Role
from firstedge.models.protocol import Evaluation

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
_STEPS = 65535  # figures of single users are kept in so many steps from 0 to 1


@dataclass(frozen=True)
class Cell:
    """A method on a fold of a data set.

    Attributes:
        shop: The data set.
        method: The method.
        fold: Which tenth of the users was asked.
        role: Ours, a single method, a blend, or a part of ours.
        key: Digest of the round, the budget and the options that it started from.
        code: Digest of the sources that it was computed by.
        round: Digest of training, validation and test: cells of another round do not compare.
        budget: Trials and CPU minutes that it had.
        date: When, as YYYY-MM-DD.
        options: As chosen on validation users.
        objective: Mean NDCG over validation users and ks.
        trials: Options tried.
        seconds: CPU seconds.
        cut: Whether time, not the method, ended its training.
        users: Test users.
        labels: Numbers of given items.
        ndcg: Mean over test users, by label; likewise recall, coverage and popularity.
        by_user: Packed NDCG and recall of every test user.
    """

    shop: str
    method: str
    fold: int
    role: Role
    key: str
    code: str
    round: str
    budget: Mapping[str, Any]
    date: str
    options: Mapping[str, Any]
    objective: float
    trials: int
    seconds: float
    cut: bool
    users: int
    labels: tuple[str, ...]
    ndcg: tuple[float, ...]
    recall: tuple[float, ...]
    coverage: tuple[float, ...]
    popularity: tuple[float, ...]
    by_user: str

    @property
    def path(self) -> Path:
        """Where it is kept, beneath the folder of results."""
        return path_of(self.shop, self.method, self.fold)

    def measured(self) -> Measured:
        """The same as the cold-start report wants it."""
        ndcg, recall = _unpacked(self.by_user, len(self.labels))
        popularity = np.repeat(np.array(self.popularity)[:, None], ndcg.shape[1], 1)
        test = Evaluation(self.labels, ndcg, recall, popularity, np.array(self.coverage))
        return Measured(
            self.method,
            self.role,
            self.options,
            self.objective,
            self.trials,
            self.seconds,
            test,
        )


def path_of(shop: str, method: str, fold: int) -> Path:
    """Where a cell is kept, beneath the folder of results."""
    name = "".join(c if c.isalnum() else "-" for c in method.lower())
    return Path(shop) / f"{name}.{fold}.json"


def figures_of(test: Evaluation) -> dict[str, Any]:
    """The fields of a cell that come from its evaluation."""
    return {
        "users": test.ndcg.shape[1],
        "labels": test.labels,
        "ndcg": _means(test.ndcg),
        "recall": _means(test.recall),
        "coverage": tuple(round(float(share), 5) for share in test.coverage),
        "popularity": _means(test.popularity),
        "by_user": _packed(test.ndcg, test.recall),
    }


def write_cell(cell: Cell, results: Path = RESULTS) -> None:
    """Keep a cell; a reader sees all of it or nothing."""
    path = results / cell.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as staged:
        staged.write_text(json.dumps(asdict(cell), indent=1) + "\n", "utf-8")


def read_cell(shop: str, method: str, fold: int, results: Path = RESULTS) -> Cell | None:
    """A kept cell, None if there is none that can be read."""
    try:
        value = json.loads((results / path_of(shop, method, fold)).read_text("utf-8"))
        tuples = {name: tuple(v) for name, v in value.items() if isinstance(v, list)}
        return Cell(**{**value, **tuples})
    except (OSError, ValueError, TypeError):
        return None


def _means(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(mean), 5) for mean in values.mean(1))


def _packed(*tables: npt.NDArray[np.float64]) -> str:
    steps = np.rint(np.concatenate(tables) * _STEPS).astype("<u2")
    return base64.b85encode(zlib.compress(steps.tobytes(), 9)).decode()


def _unpacked(text: str, labels: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    steps = np.frombuffer(zlib.decompress(base64.b85decode(text)), "<u2")
    values = steps.reshape(2 * labels, -1) / _STEPS
    if not math.isfinite(values.sum()):
        raise ValueError("a cell's figures are damaged")
    return values[:labels], values[labels:]

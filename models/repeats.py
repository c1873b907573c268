"""The weight of a repeat: whether an item given already is a good answer once more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from firstedge.graph.histories import Histories, Touches
from firstedge.models.fusion import Arena, Block
from firstedge.models.metrics import Targets
from firstedge.models.protocol import KShotCases
from firstedge.models.scorer import Scorer

Floats = npt.NDArray[np.float32]

# Tried in this order; of equals the earlier stays, so that doubt speaks for no effect.
WEIGHTS = (0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 4.0, -4.0, 8.0, -8.0)


def choose_repeat(
    scorer: Scorer, histories: Histories, cases: KShotCases, ks: Sequence[int]
) -> float:
    """The coefficient `repeat`: mean NDCG with given items as candidates, over validation users.

    Args:
        scorer: Of a bundle with every other coefficient chosen and `repeat` 0.
        histories: Speaking events of all validation users.
        cases: Validation cases, of users `cases.rows` of the histories, one for each of ks.
        ks: Numbers of given items.
    """
    asked = histories.take(cases.rows)
    some = [(case, k) for case, k in zip(cases.cases, ks, strict=True) if k > 0]
    if not some:
        return 0.0
    again = [replace(case, targets=_targets(asked.later(k).touches())) for case, k in some]
    arena = Arena(again, scorer.num_items, exclude_given=False)

    def scores(block: Block) -> Iterator[Floats]:
        plain, repeats = scorer.score(block.users), scorer.given_items(block.users.given).toarray()
        return (plain + np.float32(weight) * repeats for weight in WEIGHTS)

    return WEIGHTS[arena.best(scores)[1]]


def _targets(touches: Touches) -> Targets:
    return Targets(touches.offsets, touches.items)

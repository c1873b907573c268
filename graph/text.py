"""What firstedge asks of a text encoder; serving gets one injected and never imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt


class TextEncoder(Protocol):
    """Turns texts into vectors. Two encoders of one name give the same vectors."""

    @property
    def name(self) -> str:
        """Which model this is, down to the version of its weights."""

    @property
    def dim(self) -> int:
        """The length of a vector."""

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """The texts' vectors.

        Returns:
            float32[n, dim]: rows of unit length; a text without a word gives the zero row.
        """

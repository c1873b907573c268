"""Writing tables in pieces that the store has memory for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from firstedge.graph.errors import StoreFull
from firstedge.graph.store import GraphStore, TableName

# A store that has no memory for so few rows will not have any for fewer.
FEWEST = 100


class PieceWriter:
    """Writes tables whole as long as the store takes them, then in halves of what it refused.

    Each piece is a transaction of its own; written again, it changes nothing.

    Args:
        store: Where to.
    """

    def __init__(self, store: GraphStore) -> None:
        self._store = store
        self._size: int | None = None

    def write(self, name: TableName, rows: pa.Table) -> npt.NDArray[np.int64]:
        """Write a table.

        Returns:
            int64[n], positions of its orphans, see `Written`.

        Raises:
            StoreFull: If the store has no memory even for a few rows.
        """
        orphans, start = [np.empty(0, np.int64)], 0
        while start < rows.num_rows:
            piece = rows.slice(start, self._size)
            try:
                written = self._store.write(name, piece)
            except StoreFull:
                if piece.num_rows <= FEWEST:
                    raise
                self._size = piece.num_rows // 2
                continue
            orphans.append(start + written.orphans)
            start += piece.num_rows
        return np.concatenate(orphans)

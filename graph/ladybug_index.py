"""What the embedded store holds, by hash: where a node stands, and which event keys there are.

The database has no index on texts that could be trusted (see create_nodes.cypher), so looking for
one id reads them all, and so does looking for one key. While a store is open nobody else writes it,
so that 64-bit hashes of both in memory tell the same at once: 16 bytes a node, 8 an event. They are
made when they are first needed and forgotten when many rows are copied; what they find is held
against the ids themselves, so a hash that two ids share does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

_MERGE = 50_000  # added rows that are kept aside before all are sorted again


class HashIndex:
    """A multimap from hashes to rows that grows.

    Args:
        hashes: uint64[n].
        rows: int64[n].
    """

    def __init__(self, hashes: Hashes, rows: Rows) -> None:
        self._parts = _Parts.of(hashes, rows)

    def find(self, hashes: Hashes) -> tuple[Rows, Rows]:
        """Rows of these hashes, as pairs of a position in the argument and a row."""
        parts = self._parts  # of one moment, whatever another thread adds
        starts = np.searchsorted(parts.hashes, hashes, "left")
        lengths = np.searchsorted(parts.hashes, hashes, "right") - starts
        positions = np.repeat(np.arange(len(hashes)), lengths)
        offsets = np.arange(len(positions)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        rows = parts.rows[np.repeat(starts, lengths) + offsets]
        added = [
            (position, row)
            for position, one in enumerate(hashes.tolist())
            for row in parts.added.get(one, ())
        ]
        more = np.array(added, np.int64).reshape(-1, 2)
        return np.append(positions, more[:, 0]), np.append(rows, more[:, 1])

    def add(self, hashes: Hashes, rows: Rows) -> None:
        """Add rows."""
        parts = self._parts
        for one, row in zip(hashes.tolist(), rows.tolist(), strict=True):
            parts.added[one] = (*parts.added.get(one, ()), row)
        if len(parts.added) > _MERGE:
            pairs = [(one, row) for one, found in parts.added.items() for row in found]
            more = np.array([one for one, _ in pairs], np.uint64)
            hashes = np.append(parts.hashes, more)
            rows = np.append(parts.rows, np.array([row for _, row in pairs], np.int64))
            self._parts = _Parts.of(hashes, rows)


@dataclass(frozen=True)
class _Parts:
    """Sorted hashes with their rows, and what has been added since."""

    hashes: Hashes
    rows: Rows
    added: dict[int, tuple[int, ...]]

    @classmethod
    def of(cls, hashes: Hashes, rows: Rows) -> Self:
        order = np.argsort(hashes, kind="stable")
        return cls(hashes[order], rows[order], {})


@dataclass
class StoreIndex:
    """What is known of one state of an open store. A hash too many in it does no harm.

    Attributes:
        nodes: By label.
        keys: Of all events' keys; the rows mean nothing. None until they are read.
        tables: Kinds of the tables, NODE or REL, by their names. None until they are read.
    """

    nodes: dict[str, HashIndex] = field(default_factory=dict)
    keys: HashIndex | None = None
    tables: dict[str, str] | None = None

    def copy(self) -> StoreIndex:
        """What a transaction starts from and changes for itself."""
        return StoreIndex(dict(self.nodes), self.keys, self.tables)

    def forget(self, table: str) -> None:
        """Nodes were copied into a table, or it was dropped."""
        self.nodes.pop(table, None)


def hashes_of(column: pa.ChunkedArray) -> Hashes:
    """A column of the database's hashes as uint64[n]."""
    return column.to_numpy().astype(np.uint64)

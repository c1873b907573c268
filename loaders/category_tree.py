"""The tree of categories while rows with parents come in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from firstedge.graph.store import GraphStore
from firstedge.loaders.prepare import Part, Sieve


@dataclass(frozen=True)
class CategoryTree:
    """Parents of the categories that the store has."""

    parents: dict[str, str | None]

    @classmethod
    def read(cls, store: GraphStore) -> CategoryTree:
        """As the store has it now."""
        table = store.read("categories")
        ids, parents = (table[name].to_pylist() for name in ("id", "parent"))
        return cls(dict(zip(ids, parents, strict=True)))

    def place(self, id_: str, parent: str | None) -> bool:
        """Put a category under a parent; False if it is above that parent already."""
        above: str | None = parent
        while above is not None:
            if above == id_:
                return False
            above = self.parents.get(above)
        if parent is not None:
            self.parents[id_] = parent
        return True


def without_cycles(part: Part, tree: CategoryTree, sieve: Sieve) -> Part:
    """Leave out, and reject, the rows whose parent would close a cycle."""
    ids, parents = (part.table[name].to_pylist() for name in ("id", "parent"))
    good = np.array([tree.place(*row) for row in zip(ids, parents, strict=True)], bool)
    sieve.reject(part.rows[~good], "category cycle")
    return Part(part.table.filter(pa.array(good)), part.rows[good])

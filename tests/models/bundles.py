"""A small random bundle that uses every term of the score."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from firstedge.graph.schema import Schema
from firstedge.graph.vocabulary import Vocabulary
from firstedge.models.bundle import Bundle, Coefficients, ItemTable
from firstedge.models.edges import Edges


def random_bundle(num_items: int = 30, num_categories: int = 6, seed: int = 0) -> Bundle:
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    def edges(rows: int, columns: int, density: float) -> Edges:
        mask = rng.random((rows, columns)) < density
        values = rng.random((rows, columns)) * mask
        counts = rng.integers(1, 50, (rows, columns)) * mask
        return Edges.of(sparse.csr_array(values), sparse.csr_array(counts))

    dim, text_dim = 16, 12
    membership = np.zeros((num_items, num_categories))
    primary = rng.integers(-1, num_categories, num_items).astype(np.int32)
    rows = np.flatnonzero(primary >= 0)
    membership[rows, primary[rows]] = 1
    schema = Schema()
    return Bundle(
        items=Vocabulary(tuple(f"i{row:03d}" for row in range(num_items))),
        categories=Vocabulary(tuple(f"c{row}" for row in range(num_categories)), "category"),
        profile_values=Vocabulary(("country=DE", "country=UK"), "profile value"),
        schema=schema.model_copy(
            update={"user": schema.user.model_copy(update={"profile": ("country",)})}
        ),
        table=ItemTable(
            titles=tuple(f"Item {row}" for row in range(num_items)),
            counts=rng.integers(0, 90, num_items).astype(np.int32),
            available=rng.random(num_items) < 0.9,
            primary=primary,
            memberships=Edges.of(sparse.csr_array(membership)),
            parents=np.array([-1, -1, 0, 0, 1, 1][:num_categories], np.int32),
            category_names=tuple(f"Category {row}" for row in range(num_categories)),
            properties={"price": tuple(float(row % 7) for row in range(num_items))},
        ),
        coefficients=Coefficients(
            prior=0.7, category=0.4, interest=0.8, profile=0.3, net=0.9, repeat=0.2
        ),
        prior=np.log(rng.dirichlet(np.ones(num_items))).astype(np.float32),
        w=normal(num_items, dim),
        b=normal(num_items),
        v=normal(num_items + num_categories, dim),
        c=normal(11, dim),
        s=normal(11, dim),
        kind=normal(len(schema.kind)),
        recency=normal(5),
        profile=normal(2, dim),
        profile_lifts=edges(2, num_items, 0.5),
        edges=edges(num_items, num_items, 0.2),
        category_lifts=edges(num_categories, num_categories, 0.5),
        text_axes=np.eye(text_dim, 2, dtype=np.float32),
        user_text=normal(text_dim, dim),
        text_w=normal(text_dim, dim),
        text_v=normal(text_dim, dim),
        category_w=normal(num_categories, dim),
        encoder="minilm",
        about={"fingerprint": "test"},
    )

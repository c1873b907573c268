"""A made-up bundle of any size that uses every term of the score, as a trained one does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from firstedge.graph.schema import Schema
from firstedge.graph.vocabulary import Vocabulary
from firstedge.models.bundle import Bundle, Coefficients, ItemTable
from firstedge.models.edges import Edges

DIM, TEXT_DIM, ENCODER_DIM = 64, 64, 384
KINDS_OF_TASTE = 200  # item vectors gather around so many centres, as those of real shops do


@dataclass(frozen=True)
class Shape:
    """How large a shop is.

    Attributes:
        items: n.
        categories: m.
        edges: Of each item.
        text: Whether items have texts.
    """

    items: int = 20_000
    categories: int = 200
    edges: int = 200
    text: bool = True


def build_bundle(shape: Shape, rng: np.random.Generator) -> Bundle:
    """A bundle of this shape."""
    n, m = shape.items, shape.categories
    schema = Schema.parse('[user]\nprofile = ["country"]')
    primary = rng.integers(0, m, n).astype(np.int32) if m else np.full(n, -1, np.int32)
    popularity = rng.permutation(n).astype(np.float32)
    text_dim = TEXT_DIM if shape.text else 0

    def normal(*size: int) -> np.ndarray:
        return rng.standard_normal(size, np.float32)

    def taste(rows: int) -> np.ndarray:
        """Vectors whose dimensions fall off like a spectrum, around some centres."""
        scale = (1 + np.arange(DIM, dtype=np.float32)) ** np.float32(-0.5)
        centres = normal(KINDS_OF_TASTE, DIM)
        near = centres[rng.integers(0, KINDS_OF_TASTE, rows)] + 0.5 * normal(rows, DIM)
        return near * scale

    w = taste(n)
    # Items that are chosen together lie together: what one brings is near to where it lies.
    v = np.concatenate((w, taste(m))) + np.float32(0.3) * taste(n + m)
    text = taste(n)[:, :text_dim].copy()
    text /= np.maximum(np.linalg.norm(text, axis=1, keepdims=True), 1e-9)
    k = np.maximum(np.arange(11, dtype=np.float32), 1)[:, None]
    encoder_dim = ENCODER_DIM if shape.text else 0

    def wide(net: np.ndarray, of_text: np.ndarray | None = None) -> np.ndarray:
        """The dimensions of text beside the net's; zeros if None."""
        zeros = np.zeros((len(net), text_dim), np.float32)
        return np.column_stack((net, zeros if of_text is None else of_text))

    return Bundle(
        items=Vocabulary(tuple(f"{row:08d}" for row in range(n))),
        categories=Vocabulary(tuple(f"c{row:04d}" for row in range(m)), "category"),
        profile_values=Vocabulary(("country=DE", "country=UK"), "profile value"),
        schema=schema,
        table=ItemTable(
            titles=tuple(f"a thing of the made-up shop, {row}" for row in range(n)),
            counts=np.ones(n, np.int32),
            available=rng.random(n) < 0.95,
            primary=primary,
            memberships=_one_each(primary, m),
            parents=np.full(m, -1, np.int32),
            category_names=tuple(f"category {row}" for row in range(m)),
            properties={"price": tuple(rng.integers(1, 100, n).tolist())},
        ),
        coefficients=Coefficients(prior=0.3, category=0.7, interest=1, profile=1, net=1),
        prior=-np.log1p(popularity),
        w=wide(w, text),
        b=normal(n) * np.float32(0.1),
        v=wide(v, np.pad(text, ((0, m), (0, 0)))),
        c=wide(normal(11, DIM) * np.float32(0.1)),
        s=wide(np.ones((11, DIM), np.float32), np.repeat(k**-0.5, text_dim, 1)),
        kind=np.zeros(len(schema.kind), np.float32),
        recency=np.zeros(10, np.float32),
        profile=wide(normal(2, DIM) * np.float32(0.1)),
        profile_lifts=_edges((2, n), n // 2, rng),
        edges=_edges((n, n), shape.edges, rng),
        category_lifts=_edges((m, m), m // 2, rng),
        text_axes=np.eye(encoder_dim, text_dim, dtype=np.float32),
        user_text=np.zeros((encoder_dim, DIM + text_dim), np.float32),
        text_w=np.zeros((encoder_dim, DIM + text_dim), np.float32),
        text_v=np.zeros((encoder_dim, DIM + text_dim), np.float32),
        category_w=wide(normal(m, DIM)),
        encoder="made-up" if shape.text else "",
    )


def _one_each(primary: np.ndarray, num_categories: int) -> Edges:
    rows = np.flatnonzero(primary >= 0)
    at = (np.ones(len(rows)), (rows, primary[rows]))
    return Edges.of(sparse.csr_array(at, shape=(len(primary), num_categories)))


def _edges(shape: tuple[int, int], of_each: int, rng: np.random.Generator) -> Edges:
    """So many edges from each source to random targets."""
    targets = np.sort(rng.integers(0, max(shape[1], 1), (shape[0], of_each), np.int32), axis=1)
    weights = rng.random(targets.size, np.float32)
    offsets = np.arange(shape[0] + 1, dtype=np.int64) * of_each
    counts = rng.integers(1, 50, targets.size, np.int32)
    return Edges(offsets, targets.ravel(), weights, counts, shape[1])

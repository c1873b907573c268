from __future__ import annotations

import numpy as np

from firstedge.models.text_axes import along, principal_axes


def texts(n: int = 200, t: int = 12) -> np.ndarray:
    rng = np.random.default_rng(4)
    spread = rng.normal(size=(n, t)) * 0.7 ** np.arange(t)
    turned = spread @ np.linalg.qr(rng.normal(size=(t, t)))[0]
    return (turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)


def test_as_many_axes_as_dimensions_change_no_cosine() -> None:
    vectors = texts()
    parts = along(vectors, principal_axes(vectors, 64))
    assert parts.shape == (200, 12)
    np.testing.assert_allclose(parts @ parts.T, vectors @ vectors.T, atol=1e-5)


def test_the_axes_are_those_that_tell_most_apart() -> None:
    vectors = texts()
    axes = principal_axes(vectors, 3)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-6)
    kept = ((vectors @ axes) ** 2).sum()
    best = (np.linalg.svd(vectors, compute_uv=False)[:3] ** 2).sum()
    np.testing.assert_allclose(kept, best, rtol=1e-5)


def test_vectors_along_axes_are_unit_and_no_text_stays_none() -> None:
    vectors = texts()
    vectors[7] = 0
    parts = along(vectors, principal_axes(vectors, 3))
    lengths = np.linalg.norm(parts, axis=1)
    assert lengths[7] == 0
    np.testing.assert_allclose(np.delete(lengths, 7), 1, rtol=1e-5)
    assert along(
        np.zeros((4, 0), np.float32), principal_axes(np.zeros((4, 0), np.float32), 64)
    ).shape == (4, 0)

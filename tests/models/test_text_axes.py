from __future__ import annotations

import numpy as np
import pytest

from firstedge.models.text_axes import principal_axes


def texts(n: int = 200, t: int = 12) -> np.ndarray:
    """Texts of a shop that have a direction in common."""
    rng = np.random.default_rng(4)
    spread = rng.normal(size=(n, t)) * 0.7 ** np.arange(t) + 0.3
    turned = spread @ np.linalg.qr(rng.normal(size=(t, t)))[0]
    return (turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)


def beside_mean(vectors: np.ndarray) -> np.ndarray:
    mean = vectors.mean(0) / np.linalg.norm(vectors.mean(0))
    return vectors - np.outer(vectors @ mean, mean)


def test_as_many_axes_as_dimensions_leave_out_the_mean_alone() -> None:
    vectors = texts()
    parts = vectors @ principal_axes(vectors, 64)
    assert parts.shape == (200, 11)
    rest = beside_mean(vectors)
    np.testing.assert_allclose(parts @ parts.T, rest @ rest.T, atol=1e-5)


def test_the_axes_are_those_that_tell_most_apart() -> None:
    vectors = texts()
    axes = principal_axes(vectors, 3)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-6)
    np.testing.assert_allclose((vectors @ axes).mean(0), 0, atol=1e-6)
    kept = ((vectors @ axes) ** 2).sum()
    best = (np.linalg.svd(beside_mean(vectors), compute_uv=False)[:3] ** 2).sum()
    assert kept == pytest.approx(best, rel=1e-5)


def test_without_text_there_is_no_axis() -> None:
    assert principal_axes(np.zeros((4, 0), np.float32), 64).shape == (0, 0)
    assert principal_axes(np.zeros((4, 3), np.float32), 64).shape == (3, 2)

"""Products of halves lie within their bound, whatever the vectors are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from firstedge.serving.halves import Floats, HalfVectors, from_halves, to_halves

RNG = np.random.default_rng(0)
LARGEST = float(np.finfo(np.float32).max)


def vectors(num: int, dim: int, scale: float = 1.0) -> Floats:
    return (scale * RNG.standard_normal((num, dim))).astype(np.float32)


def all_products(items: HalfVectors, others: Floats) -> tuple[Floats, np.ndarray]:
    blocks, errors = items.products(others)
    return np.concatenate([block for _, block in blocks], axis=1), errors


def assert_bound(items: Floats, others: Floats) -> np.ndarray:
    """That products are finite and within their errors, which are returned."""
    products, errors = all_products(HalfVectors(items), others)
    assert np.isfinite(products).all()
    with np.errstate(invalid="ignore"):
        off = np.abs(others.astype(np.float64) @ items.astype(np.float64).T - products)
    bounded = np.isfinite(errors)
    assert (off[bounded] <= errors[bounded, None]).all()
    return errors


def assert_rounded_as_torch_does(values: Floats) -> None:
    theirs = torch.from_numpy(values).bfloat16()
    assert to_halves(values).tolist() == theirs.view(torch.uint16).tolist()
    np.testing.assert_array_equal(from_halves(to_halves(values)), theirs.float().numpy())


@given(st.lists(st.floats(width=32, allow_nan=False)))
def test_rounding_is_torchs(values: list[float]) -> None:
    assert_rounded_as_torch_does(np.array(values, np.float32))


def test_rounding_is_torchs_for_bits_of_all_sorts() -> None:
    bits = RNG.integers(0, 2**32, 100_000, np.uint32)
    bits[::3] &= 0xFFFF8000  # half way, every other time
    values = bits.view(np.float32)
    assert_rounded_as_torch_does(values[~np.isnan(values)])


@pytest.mark.parametrize("dim", [1, 3, 64, 200])
@pytest.mark.parametrize("num_others", [1, 4, 16])
def test_products_are_near(dim: int, num_others: int) -> None:
    items, others = vectors(9_000, dim), vectors(num_others, dim)
    errors = assert_bound(items, others)
    sizes = np.linalg.norm(others, axis=1) * np.linalg.norm(items, axis=1).max()
    assert (errors <= sizes / 128).all()


@pytest.mark.parametrize("of_items", [1e-44, 1e-39, 1e-20, 1.0, 1e20, 1e36])
@pytest.mark.parametrize("of_others", [1e-44, 1e-39, 1e-20, 1.0, 1e20, 1e36])
def test_the_bound_holds_for_the_huge_and_the_tiny(of_items: float, of_others: float) -> None:
    errors = assert_bound(vectors(50, 40, of_items), vectors(3, 40, of_others))
    assert np.isfinite(errors).all() == (of_items * of_others < 1e38)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.floats(width=32), min_size=3, max_size=3), min_size=1, max_size=6),
    st.lists(st.lists(st.floats(width=32), min_size=3, max_size=3), min_size=1, max_size=4),
)
def test_the_bound_holds_for_any_floats(
    items: list[list[float]], others: list[list[float]]
) -> None:
    assert_bound(np.array(items, np.float32), np.array(others, np.float32))


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf, LARGEST])
def test_what_is_not_finite_in_bfloat16_has_no_bound(strange: float) -> None:
    items, others = vectors(5, 8), vectors(3, 8)
    others[1, 2] = strange
    assert np.isinf(assert_bound(items, others)).tolist() == [False, True, False]
    items[4, 0] = strange
    assert np.isinf(assert_bound(items, np.zeros((2, 8), np.float32))).all()


def test_products_with_zeros_are_zeros() -> None:
    zeros, others = np.zeros((7, 5), np.float32), vectors(2, 5)
    products, errors = all_products(HalfVectors(zeros), others)
    assert not products.any()
    assert (errors < 1e-35).all()


def test_rows_stand_in_their_order() -> None:
    items = RNG.integers(-8, 9, (10_000, 6)).astype(np.float32)  # exact in bfloat16
    others = RNG.integers(-8, 9, (2, 6)).astype(np.float32)
    halves = HalfVectors(items)
    products, errors = all_products(halves, others)
    np.testing.assert_array_equal(products, others @ items.T)
    assert (errors < 1e-3).all()
    assert halves.longest == pytest.approx(np.linalg.norm(items, axis=1).max())


def test_there_may_be_no_dimension_at_all() -> None:
    products, _ = all_products(HalfVectors(vectors(3, 0)), vectors(2, 0))
    np.testing.assert_array_equal(products, np.zeros((2, 3), np.float32))

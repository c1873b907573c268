from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from firstedge.graph.errors import BundleError
from firstedge.models.bundle import Bundle
from firstedge.models.bundle_file import (
    MANIFEST,
    TENSORS,
    current_version,
    load_bundle,
    save_bundle,
)
from firstedge.models.edges import Edges
from tests.models.bundles import random_bundle


def assert_same(a: Bundle, b: Bundle) -> None:
    for name, array in a.arrays().items():
        np.testing.assert_array_equal(array, getattr(b, name))
    for name in ("edges", "profile_lifts", "category_lifts"):
        for part in fields(Edges):
            mine, other = (getattr(getattr(x, name), part.name) for x in (a, b))
            np.testing.assert_array_equal(mine, other)
    assert (a.items, a.categories, a.profile_values) == (b.items, b.categories, b.profile_values)
    assert (a.schema, a.coefficients, a.encoder) == (b.schema, b.coefficients, b.encoder)
    assert a.table.titles == b.table.titles
    assert a.table.properties == b.table.properties
    np.testing.assert_array_equal(a.table.available, b.table.available)


def test_saved_and_loaded_bundles_are_bit_equal(tmp_path: Path) -> None:
    bundle = random_bundle()
    version = save_bundle(bundle, tmp_path / "b")
    assert_same(bundle, load_bundle(tmp_path / "b"))
    assert save_bundle(bundle, tmp_path / "b") == version  # the same content is the same version


def test_a_new_version_replaces_and_the_one_before_stays(tmp_path: Path) -> None:
    versions = [save_bundle(random_bundle(seed=seed), tmp_path) for seed in range(3)]
    assert current_version(tmp_path) == versions[2]
    assert sorted(p.parent.name for p in tmp_path.glob(f"*/{MANIFEST}")) == sorted(versions[1:])


@pytest.mark.parametrize("name", [MANIFEST, TENSORS, "README.md"])
@pytest.mark.parametrize("harm", ["truncate", "alter", "remove"])
def test_a_harmed_file_is_refused(tmp_path: Path, name: str, harm: str) -> None:
    file = tmp_path / save_bundle(random_bundle(), tmp_path) / name
    data = file.read_bytes()
    if harm == "remove":
        file.unlink()
    elif harm == "truncate":
        file.write_bytes(data[:-7])
    else:
        file.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    with pytest.raises(BundleError, match=r"truncated|altered|no bundle"):
        load_bundle(tmp_path)


def test_no_bundle_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="firstedge train"):
        load_bundle(tmp_path / "nothing")


def test_a_bundle_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(BundleError, match=r"b must be float32\[30\]"):
        replace(random_bundle(), b=np.zeros(29, np.float32))
    with pytest.raises(BundleError, match="not finite"):
        replace(random_bundle(), b=np.full(30, np.nan, np.float32))


def test_a_write_that_fails_leaves_the_old_version(tmp_path: Path) -> None:
    old = save_bundle(random_bundle(), tmp_path)
    broken = replace(random_bundle(seed=1), about={"figure": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        save_bundle(broken, tmp_path)
    assert current_version(tmp_path) == old
    assert {p.name for p in tmp_path.iterdir()} == {old, "current"}

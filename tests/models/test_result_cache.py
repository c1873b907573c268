from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from firstedge.models import metrics, space
from firstedge.models.result_cache import (
    ResultCache,
    digest_arrays,
    digest_code,
    digest_folder,
    key_of,
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "made" / "when needed")
    assert cache.read("a") is None
    cache.write("a", {"x": [1.5, None]})
    cache.write("a", {"x": [2.5]})
    assert cache.read("a") == {"x": [2.5]}
    assert cache.read("b") is None


def test_a_damaged_file_counts_as_missing(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    cache.write("a", [1])
    (tmp_path / "a.json").write_text("[1, ", "utf-8")
    assert cache.read("a") is None


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    cache.write("a", [1])
    with pytest.raises(TypeError):
        cache.write("a", object())
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert cache.read("a") == [1]


def test_no_folder_remembers_nothing() -> None:
    cache = ResultCache(None)
    cache.write("a", 1)
    assert cache.read("a") is None


def test_keys_are_of_values_not_of_their_order() -> None:
    assert key_of({"a": 1, "b": [2.5]}) == key_of({"b": [2.5], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


def test_array_digests_tell_value_shape_and_type() -> None:
    a = np.arange(6)
    views = [[a], [a.reshape(2, 3)], [a.astype(np.int32)], [a + 1], [a[:3], a[3:]]]
    assert len({digest_arrays(view) for view in views}) == len(views)
    assert digest_arrays([a[::2]]) == digest_arrays([a[::2].copy()])


def test_code_digests(tmp_path: Path) -> None:
    assert digest_code(metrics, space) == digest_code(metrics, space) != digest_code(metrics)
    (tmp_path / "a.py").write_text("x = 1", "utf-8")
    before = digest_folder(tmp_path)
    (tmp_path / "a.py").write_text("x = 2", "utf-8")
    assert digest_folder(tmp_path) != before

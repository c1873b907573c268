"""The cache of text vectors: what it keeps, and what it survives."""

import logging
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from firstedge.loaders.vector_cache import VectorCache


def rows(start: int, n: int, dim: int = 4) -> np.ndarray:
    return np.arange(start, start + n * dim, dtype=np.float32).reshape(n, dim)


def write_hundred(path: Path, writer: int) -> None:
    cache = VectorCache(path, 4)
    for part in range(10):
        start = writer * 50 + part * 10  # writers overlap by half
        cache.write([str(i) for i in range(start, start + 10)], rows(start * 4, 10))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "deep" / "vectors.sqlite", 4)
    assert not cache.read(["a"])[1].any()
    cache.write(["a", "b", "茶"], rows(0, 3))
    vectors, found = VectorCache(cache.path, 4).read(["茶", "new", "a", "a"])
    np.testing.assert_array_equal(found, [True, False, True, True])
    np.testing.assert_array_equal(vectors, [rows(0, 3)[2], [0] * 4, rows(0, 3)[0], rows(0, 3)[0]])


def test_more_texts_than_one_query_takes(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "vectors.sqlite", 4)
    texts = [str(i) for i in range(25_000)]
    cache.write(texts, rows(0, 25_000))
    vectors, found = cache.read(texts[::-1])
    assert found.all()
    np.testing.assert_array_equal(vectors, rows(0, 25_000)[::-1])


def test_processes_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_hundred, args=(path, i)) for i in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    vectors, found = VectorCache(path, 4).read([str(i) for i in range(150)])
    assert found.all()
    np.testing.assert_array_equal(vectors, rows(0, 150))


def test_a_damaged_file_is_started_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = VectorCache(tmp_path / "vectors.sqlite", 4)
    cache.path.write_bytes(b"this is no database, and it is long enough to be seen as none" * 9)
    with caplog.at_level(logging.WARNING):
        assert not cache.read(["a"])[1].any()
    assert "is damaged" in caplog.text
    cache.write(["a"], rows(0, 1))
    assert cache.read(["a"])[1].all()


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = VectorCache(tmp_path / "file" / "vectors.sqlite", 4)
    with caplog.at_level(logging.WARNING):
        cache.write(["a"], rows(0, 1))
    assert "text vectors are not kept" in caplog.text
    assert not cache.read(["a"])[1].any()

"""Files that cannot be written, and files that are replaced as a whole."""

from __future__ import annotations

from errno import ENOSPC
from pathlib import Path

import pytest

from firstedge.graph.errors import SettingsError
from firstedge.graph.files import replacing, writing

FULL = OSError(ENOSPC, "No space left on device")


def half_written(path: Path, error: BaseException) -> None:
    with replacing(path) as staged:
        staged.write_text("ne")
        raise error


def raised_within(path: Path, error: BaseException) -> None:
    with writing(path):
        raise error


def test_why_a_file_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "none" / "file"
    with pytest.raises(SettingsError) as told, writing(path):
        path.write_text("")
    assert str(told.value) == f"cannot write {path}: No such file or directory"
    with pytest.raises(SettingsError, match=r"cannot write .*file: without a number$"):
        raised_within(path, OSError("without a number"))
    with pytest.raises(ValueError, match=r"^of something else$"):
        raised_within(path, ValueError("of something else"))


def test_a_file_is_replaced_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in ("old", "new"):
        with replacing(path) as staged:
            staged.write_text(text)
            assert staged.parent == tmp_path
            assert path.exists() == (text == "new")
        assert path.read_text() == text
        assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_as_it_was_after_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(SettingsError, match=r"cannot write .*/file: No space left on device$"):
        half_written(path, FULL)
    with pytest.raises(KeyboardInterrupt):
        half_written(path, KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"


def test_a_folder_is_in_its_place(tmp_path: Path) -> None:
    with (
        pytest.raises(SettingsError, match=r"cannot write .*: Is a directory$"),
        replacing(tmp_path) as staged,
    ):
        staged.write_text("new")
    assert not staged.exists()

"""Files that are written: what is in the way is told, and a file is there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firstedge.graph.errors import SettingsError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell why a file, or a folder's files, cannot be written.

    Raises:
        SettingsError: In place of an OSError of the block.
    """
    try:
        yield
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror or error}") from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write beside a file, and put it in the file's place at the end of the block.

    Raises:
        SettingsError: In place of an OSError of the block; the file is then as it was.
    """
    staged = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with writing(path):
            yield staged
            os.replace(staged, path)
    finally:
        staged.unlink(missing_ok=True)

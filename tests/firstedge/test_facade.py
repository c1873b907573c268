from __future__ import annotations

import ast
from pathlib import Path

import pytest

import firstedge as fe


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
def test_every_public_name_is_there_and_sorted() -> None:
    assert fe.__all__ == sorted(fe.__all__)
    for name in fe.__all__:
        assert getattr(fe, name) is not None, name
    assert dir(fe) == fe.__all__


def test_tools_that_only_read_the_file_see_the_same_names() -> None:
    tree = ast.parse(Path(fe.__file__).read_text("utf-8"))
    imported = {
        alias.name
        for block in tree.body
        if isinstance(block, ast.If)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert imported | {"__version__"} == set(fe.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'recomend'"):
        fe.recomend  # noqa: B018

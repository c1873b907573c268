"""Words of texts, and the words that name a group."""

import numpy as np
import pytest

from firstedge.loaders.naming import WordCounts, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SET/10 Pink T-LIGHTS, of 9", ["set", "pink", "t-lights"]),
        ("L'été d'une fée - x2", ["l'été", "d'une", "fée"]),
        ("红色茶杯", ["红色", "色茶", "茶杯", "红色茶", "色茶杯"]),
        ("茶 mug杯子", ["mug", "杯子"]),
        ("123 a _ !", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert list(words_of(text)) == words


def test_names_tell_groups_apart() -> None:
    texts = [
        "blue mug set",
        "red mugs set",
        "green mug set",
        "garden spade set",
        "steel spade for the garden",
        "42",
    ]
    counts = WordCounts(texts)
    # "mug" and "mugs" do not stand together; what both groups have names neither first.
    assert counts.names(np.arange(6), np.array([0, 0, 0, 1, 1, 2])) == [
        "mug, set",
        "garden, spade",
        "other",
    ]
    assert counts.names(np.array([0, 1, 5]), np.array([0, 1, 1])) == ["blue, mug", "mugs, red"]


def test_names_are_distinct() -> None:
    counts = WordCounts(["1", "2", "3", "cup"])
    assert counts.names(np.arange(4), np.array([0, 1, 2, 3])) == [
        "other",
        "other 2",
        "other 3",
        "cup",
    ]
    assert counts.names(np.empty(0, np.int64), np.empty(0, np.int64)) == []


def test_chinese_groups_are_named_by_their_characters() -> None:
    texts = ["红色陶瓷茶杯", "蓝色茶杯", "大号茶杯", "花园铲子", "钢制铲子", "小铲子"]
    names = WordCounts(texts).names(np.arange(6), np.array([0, 0, 0, 1, 1, 1]))
    assert names[0].startswith("茶杯")
    assert names[1].startswith("铲子")

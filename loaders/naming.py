"""Names for groups of texts: the words that tell one group from the others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

Ints = npt.NDArray[np.int64]

# Scripts that are written without spaces: Thai to Khmer, kana, Han.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_TOKEN = re.compile(rf"([{_UNSPACED}]+)|[^\W\d_{_UNSPACED}](?:[^\W_{_UNSPACED}]|[-'’](?=\w)){{2,}}")
_WORDS_IN_NAME = 2


def words_of(text: str) -> Iterator[str]:
    """The words of a text, in lower case.

    Numbers and words of one or two letters say little and are left out. Where a script has no
    spaces between words, every two and every three characters that stand together are a word.
    """
    for match in _TOKEN.finditer(text.lower()):
        run = match[1]
        if run is None:
            yield match[0]
        else:
            for size in (2, 3):
                yield from (run[at : at + size] for at in range(len(run) - size + 1))


class WordCounts:
    """Which words are in which texts.

    Args:
        texts: n texts.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        places: dict[str, int] = {}
        found = [
            sorted({places.setdefault(word, len(places)) for word in words_of(text)})
            for text in texts
        ]
        ends = np.cumsum([0, *map(len, found)])
        columns = np.array([word for words in found for word in words], np.int64)
        shape = (len(texts), len(places))
        self.words = np.array(list(places), object)
        self.counts = sparse.csr_array((np.ones(len(columns)), columns, ends), shape=shape)

    def names(self, rows: Ints, groups: Ints) -> list[str]:
        """Name groups of texts, each against the others.

        A word's score is its share of the words of the group times log(1 + A / f), where f is how
        often it occurs in all groups and A the mean number of words of a group (class-based
        tf-idf: Grootendorst 2022, https://arxiv.org/abs/2203.05794). Words that are part of each
        other, such as "mug" and "mugs", do not stand together.

        Args:
            rows: int64[r], the texts that are in a group.
            groups: int64[r], their groups, 0..g - 1.

        Returns:
            g distinct names.
        """
        size = (int(groups.max(initial=-1)) + 1, len(rows))
        member = sparse.csr_array((np.ones(len(rows)), (groups, np.arange(len(rows)))), shape=size)
        counts = sparse.csr_array(member @ self.counts[rows])
        by_group, by_word = counts.sum(1), counts.sum(0)
        scale = np.log1p(by_group.sum() / max(len(by_group), 1) / np.maximum(by_word, 1))
        scores = counts.multiply(scale).multiply(1 / np.maximum(by_group, 1)[:, None]).tocsr()
        names: list[str] = []
        for start, stop in zip(scores.indptr[:-1], scores.indptr[1:], strict=True):
            # Words that score alike stand in the order of the alphabet.
            words = self.words[scores.indices[start:stop]]
            best = words[np.lexsort((words, -scores.data[start:stop].round(12)))]
            names.append(_distinct(_name(best), names))
        return names


def _name(words: Sequence[str]) -> str:
    chosen: list[str] = []
    for word in words:
        if not any(word in other or other in word for other in chosen):
            chosen.append(word)
        if len(chosen) == _WORDS_IN_NAME:
            break
    return ", ".join(chosen) or "other"


def _distinct(name: str, taken: Sequence[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} {number}"
    return free

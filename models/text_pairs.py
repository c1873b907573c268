"""What a text encoder is fine-tuned on, and what it is asked: pairs of texts, and hidden texts.

Items of one text are one thing here. A tenth of the texts is hidden from the pairs, and validation
users are asked for it, so that a better figure means better answers about items never seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from firstedge.graph.histories import Histories
from firstedge.models import metrics
from firstedge.models.edges import strongest
from firstedge.models.metrics import Targets
from firstedge.models.topk import top_k_each

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

HIDDEN_SHARE = 0.1
# Items that a validation user is known by, and the length of the lists that answer.
GIVEN, K = 3, 20
# Validation users that are asked at most, and texts that are hidden at least.
MOST_USERS, LEAST_HIDDEN = 2000, 20
# Texts that each text is paired with, at least where it has so many.
PARTNERS = 50


@dataclass(frozen=True)
class ItemTexts:
    """The distinct texts of items.

    Attributes:
        texts: Those with a word, sorted.
        of: int64[num_items], the text of each item, -1 for none.
    """

    texts: tuple[str, ...]
    of: Ints

    @classmethod
    def read(cls, texts: Sequence[str]) -> ItemTexts:
        """Of all items' texts in the order of their rows."""
        stripped = np.array([text.strip() for text in texts], object)
        distinct, of = np.unique(stripped, return_inverse=True)
        blank = int(len(distinct) > 0 and distinct[0] == "")
        return cls(tuple(distinct[blank:].tolist()), of.astype(np.int64) - blank)

    def hide(self, seed: int) -> Bools:
        """bool[num_texts]: a random tenth of the texts."""
        hidden = np.zeros(len(self.texts), np.bool_)
        count = round(HIDDEN_SHARE * len(hidden))
        hidden[np.random.default_rng(seed).permutation(len(hidden))[:count]] = True
        return hidden


def text_pairs(
    cooccurrence: sparse.csr_array, counts: Floats, texts: ItemTexts, hidden: Bools
) -> sparse.csr_array:
    """float32[num_texts, num_texts]: C_ij / sqrt(n_i n_j) added up by text, none of hidden ones.

    The root keeps items that everybody has from being in most pairs. Pairs stay that are among the
    strongest of either text: the many others say little, and together would say most.

    Args:
        cooccurrence: float32[n, n], how often training users chose both items of a pair.
        counts: float32[n], training users of each item.
        texts: Of the items.
        hidden: bool[num_texts], texts that are in no pair.
    """
    shown = np.flatnonzero(np.append(~hidden, False)[texts.of])  # -1, no text, is the last one
    scale = (1 / np.sqrt(np.maximum(counts, 1))).astype(np.float32)
    shape = (len(texts.of), len(texts.texts))
    members = sparse.csr_array((scale[shown], (shown, texts.of[shown])), shape)
    whole = sparse.csr_array(members.T @ cooccurrence @ members)
    whole.setdiag(0)
    whole.eliminate_zeros()
    whole.sort_indices()
    mine = strongest(whole, whole.data, PARTNERS)
    return sparse.csr_array(mine.maximum(mine.T))


class PairDraw:
    """Draws batches of texts that go together.

    Args:
        together: float32[n, n], weights of pairs, symmetric, without a diagonal.
    """

    def __init__(self, together: sparse.csr_array) -> None:
        self._together = together
        self._upto = np.cumsum(together.data, dtype=np.float64)

    def batch(self, rng: np.random.Generator, size: int) -> tuple[Ints, Floats]:
        """About ``size`` distinct texts, and what share of each one's partners the others are.

        Pairs are drawn by their weights. Whatever else goes together among the texts drawn counts
        as well, so that no text is held against one that it goes with.

        Returns:
            int64[b], sorted rows of texts, and float32[b, b], whose rows add up to 1.
        """
        drawn = rng.random(size // 2) * self._upto[-1]
        at = np.minimum(np.searchsorted(self._upto, drawn, "right"), len(self._upto) - 1)
        sources = np.searchsorted(self._together.indptr, at, "right") - 1
        rows = np.unique(np.concatenate((sources, self._together.indices[at])))
        block = self._together[rows][:, rows].toarray()
        return rows, block / block.sum(1, keepdims=True)


@dataclass(frozen=True)
class Exam:
    """Users of whom some texts are known, and the hidden texts that they chose.

    Attributes:
        rows: int64[a], the texts whose vectors are needed.
        given: float32[users, a], what each user is known by; rows add up to 1.
        hidden: int64[h], places in ``rows`` of the texts that are ranked.
        targets: Places in ``hidden`` of what the users chose.
    """

    rows: Ints
    given: sparse.csr_array
    hidden: Ints
    targets: Targets

    @classmethod
    def of(cls, histories: Histories, texts: ItemTexts, hidden: Bools) -> Exam:
        """Ask users with a text that is not hidden and one that is.

        Args:
            histories: Events that speak, of validation users.
            texts: Of the items.
            hidden: bool[num_texts].
        """
        touches = histories.touches()
        owners = np.repeat(np.arange(len(histories)), touches.counts)
        found = texts.of[touches.items]
        wanted = np.append(hidden, False)[found]
        first = _first_of_each(owners, (found >= 0) & ~wanted, GIVEN)
        able = np.intersect1d(owners[wanted], owners[first])
        able = np.sort(np.random.default_rng(0).permutation(able)[:MOST_USERS])
        wanted, first = (part & np.isin(owners, able) for part in (wanted, first))
        asked = np.flatnonzero(hidden)
        rows = np.union1d(asked, found[first])
        chosen = np.unique(owners[wanted] * np.int64(len(hidden)) + found[wanted])
        users = np.searchsorted(able, chosen // len(hidden))
        counts = np.bincount(users, minlength=len(able))
        return cls(
            rows,
            _means(owners[first], found[first], (able, rows)),
            np.searchsorted(rows, asked),
            Targets(
                np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
                np.searchsorted(asked, chosen % len(hidden)),
            ),
        )

    def tells(self, least_users: int) -> bool:
        """Whether there are enough users and hidden texts for the figure to mean something."""
        return len(self.targets) >= least_users and len(self.hidden) >= LEAST_HIDDEN

    def figure(self, vectors: Floats) -> float:
        """NDCG@20 among the hidden texts, ranked by their cosine to the given ones.

        Args:
            vectors: float32[a, dim], unit vectors of the texts at ``rows``.
        """
        scores = (self.given @ vectors) @ vectors[self.hidden].T
        hit = metrics.hits(top_k_each(np.asarray(scores, np.float32), K), self.targets)
        return float(metrics.ndcg(hit, self.targets.counts).mean())


def _first_of_each(owners: Ints, among: Bools, most: int) -> Bools:
    """The first entries of each owner among some; owners are sorted."""
    so_far = np.cumsum(among)
    starts = np.searchsorted(owners, owners)
    before = np.concatenate(([0], so_far))[starts]
    first: Bools = among & (so_far - before <= most)
    return first


def _means(owners: Ints, found: Ints, names: tuple[Ints, Ints]) -> sparse.csr_array:
    """float32: the mean over what was found of each owner; rows and columns by their names."""
    users, rows = names
    places = np.searchsorted(users, owners), np.searchsorted(rows, found)
    share = (1 / np.bincount(places[0], minlength=len(users)))[places[0]].astype(np.float32)
    return sparse.csr_array(sparse.coo_array((share, places), (len(users), len(rows))))

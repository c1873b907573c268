"""A shop whose truth is known: what views, carts, purchases and interests say, and when.

Items stand in categories and are popular by Zipf's law within them. A user has one taste at a time,
a category, and half of the users change it once. Kinds differ in how much they say of the taste at
that time: an event is on an item of the taste with the probability in `TRUTH`, else on any item.
A view has a weight, the seconds spent: long ones (of weight 1) are three times as often true as
short ones (of weight 0.2). Some users name a category that interests them, their taste nine times
in ten.

What a user goes on to buy is the question. The best possible answer is the expected chance of each
item under the posterior of the taste, by Bayes' rule from the first events and all of the above:
`best_answer`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from firstedge.graph.histories import Events, Histories
from firstedge.graph.schema import Schema
from firstedge.graph.vocabulary import Vocabulary
from firstedge.loaders.snapshot import Snapshot, Texts

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

# The Schema says nothing of what kinds are worth: training has to find out.
SCHEMA = Schema.parse(
    """
    [kind.view]
    type = "VIEWED"
    [kind.cart]
    type = "CARTED"
    [kind.purchase]
    type = "PURCHASED"
    [kind.interest]
    type = "INTERESTED_IN"
    to = "category"
    """
)
VIEW, CART, PURCHASE, INTEREST = range(4)
# The probability that an event is on the taste: of short and of long views, carts, purchases.
TRUTH = {"short view": 0.2, "long view": 0.6, "cart": 0.75, "purchase": 0.95}
LONG_VIEWS = 0.4
SHARES = (0.6, 0.15, 0.25)  # of views, carts and purchases
INTERESTED, HONEST = 0.3, 0.9
CHANGE = 0.5  # the probability that a taste changes once, before any of these events alike
CHANGES = range(2, 10)


@dataclass(frozen=True)
class KindShop:
    """The shop and its truth.

    Attributes:
        snapshot: What a model may see.
        tastes: int64[num_events], each event's user's taste at that time, as the histories order
            them.
        chances: float32[categories, items], how likely a true event is on an item, by taste.
    """

    snapshot: Snapshot
    tastes: Ints
    chances: Floats


def kind_shop(
    num_users: int = 4000, num_items: int = 400, num_categories: int = 20, seed: int = 0
) -> KindShop:
    """Draw a shop; every user has 12 to 30 events."""
    rng = np.random.default_rng(seed)
    column = np.arange(num_items) % num_categories
    popularity = 1.0 / (1 + np.arange(num_items) // num_categories)
    chances = np.where(column == np.arange(num_categories)[:, None], popularity, 0.0)
    chances /= chances.sum(1, keepdims=True)
    lengths = rng.integers(12, 31, num_users)
    users = np.repeat(np.arange(num_users), lengths)
    place = np.arange(len(users)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    tastes = _tastes(rng, lengths, place, users, num_categories)
    kinds = rng.choice(3, len(users), p=SHARES)
    long = rng.random(len(users)) < LONG_VIEWS
    weights = np.where((kinds == VIEW) & ~long, 0.2, 1.0).astype(np.float32)
    true = rng.random(len(users)) < truths(kinds, weights)
    drawn = np.where(true, tastes, rng.integers(0, num_categories, len(users)))
    items = _draw(rng, chances, drawn)
    # The first event of some users names a category.
    named = (place == 0) & (rng.random(num_users) < INTERESTED)[users]
    honest = rng.random(len(users)) < HONEST
    category = np.where(honest, tastes, rng.integers(0, num_categories, len(users)))
    events = Events(
        users,
        np.where(named, num_items + category, items),
        np.where(named, INTEREST, kinds),
        place * 3_600_000,
        np.zeros(len(users), np.int64),
        np.where(named, 1.0, weights).astype(np.float32),
    )
    histories = Histories.of(events, num_users, num_items)
    return KindShop(
        _snapshot(histories, column, num_categories), tastes, chances.astype(np.float32)
    )


def _tastes(
    rng: np.random.Generator, lengths: Ints, place: Ints, users: Ints, num_categories: int
) -> Ints:
    """int64[events]: a user's first taste, and from some event on another one."""
    first, second = rng.integers(0, num_categories, (2, len(lengths)))
    when = rng.random(len(lengths)), rng.integers(CHANGES.start, CHANGES.stop, len(lengths))
    change = np.where(when[0] < CHANGE, when[1], 99)
    return np.where(place >= change[users], second[users], first[users])


def _draw(rng: np.random.Generator, chances: npt.NDArray[np.float64], rows: Ints) -> Ints:
    """int64[len(rows)]: a column of each row, by its chances."""
    cumulative = np.cumsum(chances, axis=1) + np.arange(len(chances))[:, None]
    at = np.searchsorted(cumulative.ravel(), rows + rng.random(len(rows)) * (1 - 1e-9))
    return np.asarray(at % chances.shape[1])


def _snapshot(histories: Histories, column: Ints, num_categories: int) -> Snapshot:
    n, users = len(column), len(histories)
    ones = np.ones(n, np.float32)
    ids = [tuple(f"{letter}{row:05d}" for row in range(count)) for letter, count in
           (("u", users), ("i", n), ("c", num_categories))]  # fmt: skip
    return Snapshot(
        schema=SCHEMA,
        users=Vocabulary(ids[0], "user"),
        items=Vocabulary(ids[1], "item"),
        categories=Vocabulary(ids[2], "category"),
        histories=histories,
        user_properties=pa.table({"id": pa.array(ids[0])}),
        item_properties=pa.table({"id": pa.array(ids[1])}),
        memberships=sparse.csr_array((ones, (np.arange(n), column)), (n, num_categories)),
        parents=np.full(num_categories, -1),
        derived=np.zeros(num_categories, np.bool_),
        primary=column,
        profile_values=Vocabulary((), "profile value"),
        profiles=sparse.csr_array((users, 0), dtype=np.float32),
        texts=Texts(("",) * users, ("",) * n, ids[1], ids[2]),
        user_text=np.zeros((users, 0), np.float32),
        item_text=np.zeros((n, 0), np.float32),
        category_text=np.zeros((num_categories, 0), np.float32),
    )


def truths(kinds: Ints, weights: Floats) -> npt.NDArray[np.float64]:
    """float64[n]: the probability that an event of a kind and a weight is on the taste."""
    view = np.where(weights < 1, TRUTH["short view"], TRUTH["long view"])
    others = np.array([0, TRUTH["cart"], TRUTH["purchase"], HONEST])
    return np.where(kinds == VIEW, view, others[kinds])


def best_answer(shop: KindShop, given: Histories) -> Floats:
    """The expected chance of each item at a user's next event, by all that the first ones say.

    Args:
        shop: The shop.
        given: The first events of users, as many of each.

    Returns:
        float32[users, items].
    """
    # [users, events, tastes], the probability of each event by the taste at that time.
    likely = _likelihoods(shop, given).reshape(len(given), -1, len(shop.chances))
    _, events, tastes = likely.shape
    never = 1 - CHANGE * sum(change <= events for change in CHANGES) / len(CHANGES)
    posterior = never * likely.prod(1) / tastes
    for change in CHANGES:
        if change <= events:
            before = likely[:, :change].prod(1).mean(1, keepdims=True)
            after = likely[:, change:].prod(1) / tastes
            posterior += CHANGE / len(CHANGES) * before * after
    posterior /= posterior.sum(1, keepdims=True)
    return np.asarray(posterior @ shop.chances, np.float32)


def _likelihoods(shop: KindShop, h: Histories) -> npt.NDArray[np.float64]:
    """float64[events, tastes], up to a factor that all tastes share."""
    tastes = len(shop.chances)
    shown = np.concatenate((shop.snapshot.primary, np.arange(tastes)))[h.targets]
    true = truths(h.kinds, h.weights)
    found = np.repeat((1 - true)[:, None] / tastes, tastes, 1)
    found[np.arange(len(shown)), shown] += true
    return found


def hidden(h: Histories, what: str, seed: int = 0) -> Histories:
    """The same events with something hidden.

    Args:
        h: Events.
        what: "kinds", "weights", "times" (the order of a user's events), "views" or "interests".
        seed: Of the order that stands in for the true one.

    Raises:
        ValueError: If nothing is called that.
    """
    is_item = h.targets < h.num_items
    if what == "kinds":
        h = replace(h, kinds=np.where(is_item, VIEW, h.kinds))
    elif what == "weights":
        h = replace(h, weights=np.ones_like(h.weights))
    elif what == "views":
        h = h.where(h.kinds != VIEW)
    elif what == "interests":
        h = h.where(is_item)
    elif what == "times":
        order = np.lexsort((np.random.default_rng(seed).random(len(h.targets)), h.users))
        columns = ("targets", "kinds", "times", "weights")
        h = replace(h, **{name: getattr(h, name)[order] for name in columns})
    else:
        raise ValueError(f"nothing is called {what!r} here")
    return h

from __future__ import annotations

import numpy as np

from firstedge.graph.histories import Events, Histories
from firstedge.models.truncation import Examples, Truncation, Truncator

ITEMS = 20


def histories(seed: int = 0) -> Histories:
    rng = np.random.default_rng(seed)
    n = 400
    events = Events(
        rng.integers(0, 30, n),
        rng.integers(0, ITEMS + 2, n),  # the last two are categories
        rng.integers(0, 2, n),
        np.arange(n),
        np.zeros(n, np.int64),
        np.ones(n, np.float32),
    )
    return Histories.of(events, 31, ITEMS)  # user 30 has no event


def drawn(shares: tuple[float, float, float], long: float = 0.0) -> tuple[Histories, Examples]:
    h = histories()
    truncator = Truncator(h, np.array([1.0, 0.5], np.float32), Truncation(4, long, shares))
    return h, truncator.draw(np.random.default_rng(1))


def parts(examples: Examples, row: int) -> tuple[list[int], list[int]]:
    g = examples.given
    given = g.targets[g.offsets[row] : g.offsets[row + 1]].tolist()
    return given, examples.items[examples.offsets[row] : examples.offsets[row + 1]].tolist()


def order_of_touch(h: Histories, user: int) -> list[int]:
    t = h.touches()
    return t.items[t.offsets[user] : t.offsets[user + 1]].tolist()


def test_every_user_with_an_item_gives_one_example() -> None:
    _, examples = drawn((0.5, 0.25, 0.25))
    assert sorted(examples.users.tolist()) == list(range(30))


def test_first_gives_the_first_items_and_asks_for_the_rest() -> None:
    h, examples = drawn((1.0, 0.0, 0.0))
    for row, user in enumerate(examples.users):
        given, targets = parts(examples, row)
        items = [target for target in given if target < ITEMS]
        touched = order_of_touch(h, user)
        k = len(items)
        assert k <= 4
        assert (set(items), targets) == (set(touched[:k]), touched[k:])


def test_long_examples_give_more_items_and_leave_one_to_ask_for() -> None:
    h, examples = drawn((1.0, 0.0, 0.0), long=1.0)
    given = []
    for row, user in enumerate(examples.users):
        items, targets = parts(examples, row)
        touched = order_of_touch(h, user)
        k = len([target for target in items if target < ITEMS])
        assert targets == touched[k:]
        assert targets
        given.append(k)
        assert k >= 4 or len(touched) <= 5
    assert max(given) > 7


def test_given_edges_are_what_serving_would_have_been_given() -> None:
    """The same collapse of the same events as at answering time, categories included."""
    from firstedge.graph.histories import Given

    h, examples = drawn((1.0, 0.0, 0.0))
    for row, user in enumerate(examples.users):
        given, _ = parts(examples, row)
        k = sum(target < ITEMS for target in given)
        served = Given.of(h.take(np.array([user])).first(k), np.array([1.0, 0.5], np.float32))
        at = slice(examples.given.offsets[row], examples.given.offsets[row + 1])
        assert given == served.targets.tolist()
        np.testing.assert_array_equal(examples.given.kinds[at], served.kinds)
        np.testing.assert_array_equal(examples.given.weights[at], served.weights)


def test_random_gives_any_items_and_asks_for_all_others() -> None:
    h, examples = drawn((0.0, 1.0, 0.0))
    firsts = 0
    for row, user in enumerate(examples.users):
        given, targets = parts(examples, row)
        touched = order_of_touch(h, user)
        assert all(target < ITEMS for target in given)
        assert sorted(given + targets) == sorted(touched)
        firsts += set(given) == set(touched[: len(given)])
    assert firsts < 25  # not the first ones as a rule


def test_a_window_asks_only_for_what_follows_it() -> None:
    h, examples = drawn((0.0, 0.0, 1.0))
    started_late = 0
    for row, user in enumerate(examples.users):
        given, targets = parts(examples, row)
        touched = order_of_touch(h, user)
        items = {target for target in given if target < ITEMS}
        start = len(touched) - len(targets) - len(items)
        assert set(touched[start : start + len(items)]) == items
        assert targets == touched[start + len(items) :]
        started_late += start > 0
    assert started_late > 10


def test_the_same_state_draws_the_same_examples() -> None:
    one, other = drawn((0.5, 0.25, 0.25))[1], drawn((0.5, 0.25, 0.25))[1]
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_array_equal(one.given.targets, other.given.targets)

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstedge.graph.errors import BundleError, QueryError, UnknownId
from firstedge.graph.vocabulary import Vocabulary
from firstedge.models.bundle import Bundle
from firstedge.models.bundle_file import save_bundle
from firstedge.models.edges import Edges
from firstedge.serving.filter import Filter, Range
from firstedge.serving.query import Event, Query
from firstedge.serving.ranking import Unused
from firstedge.serving.recommender import Recommender
from tests.models.bundles import random_bundle
from tests.serving.shops import Letters, tiny_bundle

TINY = Recommender(tiny_bundle())
RANDOM = Recommender(random_bundle())
CUP, PAN = Event(item="cup", at=1), Event(item="pan", at=2)
EVERY = Filter(exclude_given=False, available=False)


def scores(query: Query, **options: Any) -> dict[str, float]:
    ranking = TINY.recommend(query, filter=EVERY, **options)
    return dict(zip(ranking.ids, ranking.scores.tolist(), strict=True))


class TestByHand:
    """The formula at the head of models/bundle.py, worked out on the tiny shop."""

    def test_a_stranger_gets_the_prior(self) -> None:
        ranking = TINY.recommend(Query(), k=3)
        assert ranking.ids == ("cup", "gift", "pan")
        assert ranking.scores.tolist() == [-1, -1.5, -2]
        assert ranking.num_given == 0

    def test_one_event(self) -> None:
        # S(cup, pan) = 2; lift(kitchen, kitchen) .25 times its coefficient 2; repeat 4.
        assert scores(Query([CUP])) == pytest.approx(
            {"cup": -1 + 0.5 + 4, "gift": -1.5, "pan": -2 + 2 + 0.5, "rake": -2.5, "seed": -3 + 1}
        )

    def test_two_events_share_by_recency_and_root_of_their_number(self) -> None:
        cup, rake = 0.5 / 2**0.5, 1 / 2**0.5  # the older one counts half
        assert scores(Query([CUP, Event(item="rake", at=2)])) == pytest.approx(
            {
                "cup": -1 + 4 * cup + 0.5 * cup,
                "gift": -1.5,
                "pan": -2 + 2 * cup + 0.5 * cup + 3 * rake,  # v(rake) . w(pan) = 3
                "rake": -2.5 + 4 * rake + 0.5 * rake,
                "seed": -3 + cup + 0.5 * rake,
            }
        )

    def test_weight_and_kind_multiply(self) -> None:
        view = scores(Query([Event(item="cup", kind="view", weight=2)]))
        assert view["seed"] == pytest.approx(-3 + 0.3 * 2)

    def test_a_profile_adds_its_lift(self) -> None:
        assert scores(Query(profile={"country": "UK"}))["rake"] == -2

    def test_a_category_event_speaks_for_its_category(self) -> None:
        assert scores(Query([Event(category="kitchen")])) == pytest.approx(
            {"cup": 0, "gift": -1.5, "pan": -1, "rake": -2.5, "seed": -3}  # .25 times 4
        )

    def test_similar_items_leave_popularity_aside(self) -> None:
        similar = TINY.similar_items("cup", k=4, filter=EVERY)
        assert similar.ids == ("pan", "seed", "gift", "rake")
        assert similar.scores.tolist() == pytest.approx([2.5, 1, 0, 0])

    def test_new_items_live_by_text_and_category(self) -> None:
        recommender = Recommender(tiny_bundle(), Letters())
        vectors = recommender.embed_new_items(["aa", "b", ""], [["home"], [], ["garden", "home"]])
        assert vectors[:, 0].tolist() == pytest.approx([10 + 2, 20, 1.5])
        with pytest.raises(QueryError, match="texts need the encoder 'letters'"):
            TINY.embed_new_items(["aa"])
        with pytest.raises(QueryError, match="1 texts, but categories of 2 items"):
            TINY.embed_new_items([""], [[], []])


class TestEvents:
    def test_a_return_takes_back_the_purchase_before_it(self) -> None:
        back = Event(item="cup", kind="return", at=3)
        assert scores(Query([CUP, PAN, back])) == scores(Query([PAN]))
        assert scores(Query([back, PAN, Event(item="cup", at=4)])) == scores(
            Query([PAN, Event(item="cup", at=4)])
        )
        ranking = TINY.recommend(Query([CUP, back]))
        assert ranking.num_given == 0
        assert "cup" in ranking.ids

    def test_order_is_by_time_then_as_given_and_unknown_times_are_oldest(self) -> None:
        rake = Event(item="rake", at=2)
        undated = Event(item="cup")
        assert scores(Query([rake, undated])) == scores(Query([CUP, rake]))
        same = [Event(item="cup", at=2), rake]
        assert scores(Query(same)) == scores(Query([CUP, rake]))
        assert scores(Query(same[::-1])) != scores(Query([CUP, rake]))

    def test_duplicates_say_it_once(self) -> None:
        assert scores(Query([CUP, CUP, CUP])) == scores(Query([CUP]))

    def test_unknown_ids_are_counted_or_an_error(self) -> None:
        query = Query(
            [CUP, Event(item="cap"), Event(item="x"), Event(category="attic")],
            {"country": "FR", "age": 9, "name": None},
            "hello",
        )
        ranking = TINY.recommend(query)
        assert ranking.unused == Unused(items=2, categories=1, profile=2, text=True)
        assert ranking.scores.tolist() == TINY.recommend(Query([CUP])).scores.tolist()
        assert "not used: events of unknown items: 2" in str(ranking)
        with pytest.raises(UnknownId, match="item id 'cap' is not among the 5 known"):
            TINY.recommend(query, unknown="error")
        with pytest.raises(UnknownId, match="profile value id 'country=FR'"):
            TINY.recommend(Query(profile={"country": "FR"}), unknown="error")

    def test_an_unknown_kind_names_the_nearest(self) -> None:
        with pytest.raises(QueryError, match=r"kind 'purchse' .*did you mean 'purchase'"):
            TINY.recommend(Query([Event(item="cup", kind="purchse")]))
        with pytest.raises(QueryError, match="kind 'interest' go to category ids"):
            TINY.recommend(Query([Event(item="cup", kind="interest")]))

    def test_the_future_is_a_mistake_but_clocks_may_differ(self) -> None:
        now = int(time.time() * 1000)
        assert TINY.recommend(Query([Event(item="cup", at=now + 80_000_000)])).num_given == 1
        with pytest.raises(QueryError, match="lies in the future"):
            TINY.recommend(Query([Event(item="cup", at=now + 90_000_000)]))

    def test_a_schema_without_kinds_for_categories_says_so(self) -> None:
        schema = tiny_bundle().schema
        kinds = {"purchase": schema.kind["purchase"]}
        bundle = tiny_bundle(
            schema=schema.model_copy(update={"kind": kinds}), kind=np.zeros(1, np.float32)
        )
        with pytest.raises(QueryError, match=r"no kind of event .* speaks for category ids"):
            Recommender(bundle).recommend(Query([Event(category="home")]))

    def test_a_user_of_100_000_events(self) -> None:
        rng = np.random.default_rng(3)
        items = rng.integers(0, 30, 100_000)
        events = [Event(item=f"i{row:03d}", at=at) for at, row in enumerate(items)]
        last = {int(row): at for at, row in enumerate(items)}
        latest = [Event(item=f"i{row:03d}", at=at) for row, at in last.items()]
        heavy, light = (RANDOM.recommend(Query(e), filter=EVERY) for e in (events, latest))
        assert heavy.as_dict() == light.as_dict()


class TestText:
    def test_it_is_used_with_the_encoder_of_the_bundle(self) -> None:
        bundle = tiny_bundle(user_text=np.array([[1], [0]], np.float32))
        recommender = Recommender(bundle, Letters())
        ranking = recommender.recommend(Query(text="aaa"))
        assert not ranking.unused
        assert ranking.ids[1] == "pan"  # u = 1, w(pan) = 1: -2 + 1
        assert recommender.recommend(Query(text="b")).ids[1] == "gift"
        assert Recommender(bundle).recommend(Query(text="aaa")).unused == Unused(text=True)

    def test_a_model_that_learned_nothing_from_it_reports_it_unused(self) -> None:
        assert Recommender(tiny_bundle(), Letters()).recommend(Query(text="a")).unused.text

    def test_another_encoder_is_refused(self) -> None:
        with pytest.raises(BundleError, match=r"trained with the encoder 'minilm'.*got 'letters'"):
            Recommender(random_bundle(), Letters())


def random_queries(num: int, seed: int = 5) -> list[Query]:
    rng = np.random.default_rng(seed)
    return [
        Query(
            [
                Event(category=f"c{rng.integers(6)}")
                if rng.random() < 0.2
                else Event(item=f"i{rng.integers(30):03d}", kind=("view", "cart", None)[at % 3])
                for at in range(rng.integers(0, 12))
            ],
            {"country": rng.choice(["UK", "DE", "FR"])},
        )
        for _ in range(num)
    ]


def test_batch_and_single_agree_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = random_queries(50)
    single = [RANDOM.recommend(query, 10, reasons=True).as_dict() for query in queries]
    batch = [ranking.as_dict() for ranking in RANDOM.recommend_batch(queries, 10, reasons=True)]
    assert batch == single
    monkeypatch.setattr("firstedge.serving.recommender._CELLS", 7 * 30)  # seven users at a time
    batch = [ranking.as_dict() for ranking in RANDOM.recommend_batch(queries, 10, reasons=True)]
    assert batch == single
    assert RANDOM.recommend_batch([]) == []


def test_a_recommendation_is_the_best_of_the_scores() -> None:
    for query in random_queries(20):
        given = {event.item for event in query.events}
        ids = [id_ for id_ in RANDOM.bundle.items if id_ not in given]
        ids = [id_ for id_ in ids if RANDOM.bundle.table.available[int(id_[1:])]]
        values = RANDOM.score(query, ids)
        best = sorted(zip(-values, ids, strict=True))[:7]
        ranking = RANDOM.recommend(query, 7)
        assert list(ranking) == [id_ for _, id_ in best]
        np.testing.assert_array_equal(ranking.scores, [-value for value, _ in best])


def test_threads_share_one_recommender() -> None:
    recommender = Recommender(random_bundle())
    queries = random_queries(200)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda q: recommender.recommend(q, 5).as_dict(), queries))
    assert answers == [RANDOM.recommend(query, 5).as_dict() for query in queries]


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 40),
    st.sets(st.integers(0, 29)),
    st.none() | st.sets(st.integers(0, 29), min_size=5),
    st.none() | st.sets(st.integers(0, 5), min_size=1),
    st.booleans(),
    st.integers(0, 6),
)
def test_a_list_is_full_of_what_passes(
    k: int,
    denied: set[int],
    allowed: set[int] | None,
    categories: set[int] | None,
    exclude_given: bool,
    price: int,
) -> None:
    bundle = RANDOM.bundle
    filter_ = Filter(
        exclude_given,
        None if categories is None else [f"c{row}" for row in categories],
        None if allowed is None else [f"i{row:03d}" for row in allowed],
        [f"i{row:03d}" for row in denied],
        properties={"price": Range(max=price)},
    )
    parents = [-1, -1, 0, 0, 1, 1]

    def passes(row: int) -> bool:
        primary = int(bundle.table.primary[row])
        return (
            bool(bundle.table.available[row])
            and row not in denied
            and row % 7 <= price
            and (allowed is None or row in allowed)
            and (categories is None or primary in categories or parents[primary] in categories)
            and not (exclude_given and row in (4, 9))
        )

    # A primary of -1 would read the last parent: such items are in no category.
    expected = {
        row
        for row in range(30)
        if (categories is None or bundle.table.primary[row] >= 0) and passes(row)
    }
    query = Query([Event(item="i004"), Event(item="i009"), Event(category="c1")])
    ranking = RANDOM.recommend(query, k, filter_)
    assert len(ranking) == min(k, len(expected))
    assert {int(id_[1:]) for id_ in ranking} <= expected


def permuted(bundle: Bundle, order: np.ndarray) -> Bundle:
    """The same bundle with its items in another order."""

    def edges(e: Edges, rows: bool = True) -> Edges:
        matrix, counts = e.matrix(), replace(e, weights=e.counts.astype(np.float32)).matrix()
        pick = (lambda m: m[order][:, order]) if rows else (lambda m: m[:, order])
        return Edges.of(pick(matrix), pick(counts))

    def pick(values: Any) -> Any:
        return tuple(values[row] for row in order)

    table, n = bundle.table, len(bundle.items)
    return replace(
        bundle,
        items=Vocabulary(pick(bundle.items.ids)),
        table=replace(
            table,
            titles=pick(table.titles),
            counts=table.counts[order],
            available=table.available[order],
            primary=table.primary[order],
            memberships=Edges.of(table.memberships.matrix()[order]),
            properties={name: pick(values) for name, values in table.properties.items()},
        ),
        prior=bundle.prior[order],
        w=bundle.w[order],
        b=bundle.b[order],
        v=np.concatenate((bundle.v[:n][order], bundle.v[n:])),
        profile_lifts=edges(bundle.profile_lifts, rows=False),
        edges=edges(bundle.edges),
    )


def test_permuting_items_permutes_answers() -> None:
    other = Recommender(permuted(RANDOM.bundle, np.random.default_rng(2).permutation(30)))
    for query in random_queries(30):
        mine, theirs = RANDOM.recommend(query, 10, reasons=True), other.recommend(query, 10)
        assert mine.ids == theirs.ids
        np.testing.assert_array_equal(mine.scores, theirs.scores)


def test_items_of_one_score_stand_by_id() -> None:
    rng = np.random.default_rng(0)
    bundle = random_bundle(3000)
    same = np.zeros(3000, np.int64)  # all items are the first
    empty = Edges.none(3000, 3000)
    bundle = replace(
        bundle,
        items=Vocabulary.of(f"i{row:04d}" for row in range(3000)),
        w=bundle.w[same],
        b=bundle.b[same],
        prior=bundle.prior[same],
        edges=empty,
        profile_lifts=Edges.none(2, 3000),
        table=replace(bundle.table, primary=bundle.table.primary[same]),
    )
    recommender = Recommender(bundle)
    for k in (5, 100, 2000):
        events = [Event(item=f"i{row:04d}") for row in rng.integers(2500, 3000, 4)]
        ranking = recommender.recommend(Query(events), k, Filter(available=False))
        assert ranking.ids == bundle.items.ids[:k]


def test_vectors_and_the_net() -> None:
    users, items = RANDOM.embed_users(random_queries(9)), RANDOM.embed_items()
    assert (users.shape, users.dtype) == ((9, 16), np.float32)
    np.testing.assert_array_equal(items, RANDOM.bundle.w)
    np.testing.assert_array_equal(RANDOM.embed_items(["i007", "i001"]), items[[7, 1]])
    with pytest.raises(UnknownId, match="item id 'i7'"):
        RANDOM.embed_items(["i7"])


@pytest.mark.parametrize("k", [0, -1, 2.0, True, None])
def test_k_is_a_positive_whole_number(k: Any) -> None:
    with pytest.raises(QueryError, match="k is how many items"):
        TINY.recommend(Query(), k=k)


def test_unknown_items_to_score_or_explain_are_errors() -> None:
    for ask in (TINY.similar_items, lambda id_: TINY.score(Query(), [id_])):
        with pytest.raises(UnknownId, match="did you mean 'rake'"):
            ask("rakes")


def test_it_loads_from_disk(tmp_path: Path) -> None:
    save_bundle(RANDOM.bundle, tmp_path)
    query = random_queries(1)[0]
    loaded = Recommender.load(tmp_path)
    assert loaded.recommend(query).as_dict() == RANDOM.recommend(query).as_dict()

"""A thousand questions about the sample shop: Cypher and library give one ranking."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from firstedge.graph.neo4j_store import Neo4jStore
from firstedge.graph.store import COLUMNS, open_store
from firstedge.models.bundle import Bundle
from firstedge.models.bundle_file import load_bundle
from firstedge.serving.filter import EVERYTHING, Filter, Range
from firstedge.serving.publish import publish
from tests.conftest import NEO4J_VERSIONS, ROOT, load_script, wipe
from tests.serving.published import Library, difference

QUESTIONS = 1_000
CUSTOMERS = 300  # seen in training, with all that they bought
SEED = int(os.environ.get("PARITY_SEED", "7"))
FIRST = int(os.environ.get("PARITY_FIRST", "0"))  # to go on after a run that was stopped


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the demo; DEMO names one that is there, to go on quicker."""
    folder = Path(os.environ.get("DEMO") or tmp_path_factory.mktemp("demo"))
    if not (folder / "bundle" / "current").exists():
        load_script(ROOT / "benchmarks" / "neo4j_publish.py").make_demo(folder)
    return folder


@pytest.fixture(scope="module", params=NEO4J_VERSIONS)
def shop(
    request: pytest.FixtureRequest, neo4j_servers: Any, demo: Path
) -> Iterator[tuple[Neo4jStore, Library, dict[str, int]]]:
    server = neo4j_servers.of(request.param)
    wipe(server.url, server.password)
    bundle = load_bundle(demo / "bundle")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEO4J_PASSWORD", server.password)
        with Neo4jStore(server.url, bundle.schema) as store:
            given = fill(store, demo / "shop.lbug")
            done = publish(store, bundle, "sample")
            print(f"Neo4j {request.param}, {done.candidates} candidates, PARITY_SEED={SEED}")
            yield store, Library.of(store, bundle), given


def fill(store: Neo4jStore, source: Path) -> dict[str, int]:
    """The catalogue, customers as they are, and as many strangers with 0 to 10 products.

    Returns:
        How many products each stranger has, -1 for a customer.
    """
    rng = random.Random(SEED)
    with open_store(str(source), store.schema, read_only=True) as shop:
        for table in ("items", "categories", "item_categories"):
            store.write(table, shop.read(table))  # type: ignore[arg-type]
        users = shop.read("users").to_pylist()
        chosen = rng.sample(users, CUSTOMERS)
        rows = shop.read_events([user["id"] for user in chosen]).to_pylist()
    rows.sort(key=lambda row: (row["user"], row["time"], row["seq"]))
    given = {user["id"]: -1 for user in chosen}
    strangers, events = [], list(rows)
    for at, user in enumerate(chosen):
        k, name = at % 11, f"stranger-{at}"
        mine = [row for row in rows if row["user"] == user["id"] and row["kind"] == "purchase"]
        kept = list(dict.fromkeys(row["target"] for row in mine))[:k]
        events += [
            {**row, "user": name, "key": f"{name} {row['key']}"}
            for row in mine
            if row["target"] in kept
        ]
        strangers.append({**user, "id": name})
        given[name] = len(kept)
    store.write("users", pa.Table.from_pylist(chosen + strangers))
    table = pa.Table.from_pylist(events, COLUMNS["events"])
    for start in range(0, table.num_rows, 10_000):
        store.write("events", table.slice(start, 10_000))
    return given


def draw_filter(rng: random.Random, bundle: Bundle) -> Filter:
    """One of many kinds of filters, half of the time none."""
    items, categories = bundle.items.ids, bundle.categories.ids
    kind = rng.randrange(10)
    if kind == 0:
        return Filter(categories=rng.sample(categories, 2))
    if kind == 1:
        low = rng.uniform(0, 5)
        return Filter(properties={"price": Range(low, low * 2)})
    if kind == 2:
        return Filter(allowed=rng.sample(items, rng.choice((5, 50, 500))))
    if kind == 3:
        return Filter(denied=rng.sample(items, 300))
    if kind == 4:
        properties = {"price": Range(max=rng.uniform(1, 9))}
        return Filter(
            exclude_given=False, categories=rng.sample(categories, 5), properties=properties
        )
    return EVERYTHING


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_thousand_rankings(
    shop: tuple[Neo4jStore, Library, dict[str, int]], tmp_path: Path
) -> None:
    store, library, given = shop
    rng = random.Random(SEED)
    users = list(given)
    wrong: list[str] = []
    asked: Counter[int] = Counter()
    for at in range(QUESTIONS):
        user, chosen = users[at % len(users)], draw_filter(rng, library.bundle)
        asked[given[user]] += 1
        if at % 100 == 0:
            print(f"PARITY_FIRST={at}, {len(wrong)} differ", flush=True)
        if at < FIRST:
            continue
        found = difference(store, library, user, chosen)
        if found:
            wrong.append(found)
            print(json.dumps({"question": at, "wrong": found}), flush=True)
    print(
        f"{QUESTIONS} rankings, {len(wrong)} differ; by k (-1: a customer): {sorted(asked.items())}"
    )
    assert set(asked) == {-1, *range(11)}
    assert not wrong

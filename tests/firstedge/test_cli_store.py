"""Commands that need a store, on a real embedded one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import firstedge as fe
from firstedge.serving.store_users import read_query
from tests.firstedge.conftest import Run
from tests.models.bundles import random_bundle
from tests.serving.stores import write_store

SHOP = """\
[user]
profile = ["city"]

[item]
title = "{title}"

[kind.purchase]
type = "BOUGHT"

[[import]]
name = "orders"
path = "orders.csv"
users = { id = "customer", city = "city" }
items = { id = "sku", title = "title" }
events = { user = "customer", target = "sku", time = "date", kind = "purchase" }

[[import.reject]]
name = "no customer"
column = "customer"
missing = true
"""
ORDERS = """\
customer,city,sku,title,date
ann,Rome,cup,Red cup,2026-01-01T10:00:00Z
bob,Oslo,cup,Red cup,2026-01-02T10:00:00Z
,,pan,Pan,2026-01-03T10:00:00Z
ann,Rome,pan,Pan,2026-01-04T10:00:00Z
"""


@pytest.fixture
def shop(workplace: Path) -> Path:
    (workplace / "firstedge.toml").write_text(SHOP)
    (workplace / "orders.csv").write_text(ORDERS)
    return workplace


class TestImport:
    def test_it_counts_what_it_did(self, shop: Path, run: Run) -> None:
        data = run("import", "--json").data
        assert (data["rows"], data["new_events"]) == (4, 3)
        assert data["rejected"] == {"no customer": 1}
        with fe.open_store("shop.lbug", fe.Schema.load("firstedge.toml"), read_only=True) as store:
            assert store.counts() == {
                "users": 2,
                "items": 2,
                "categories": 0,
                "item_categories": 0,
                "events.purchase": 3,
            }
        assert "no customer" in (shop / "rejects" / "orders.csv").read_text()

    def test_again_it_does_nothing(self, shop: Path, run: Run) -> None:
        run("import")
        again = run("import")
        assert (again.code, "imported before, skipped" in again.out) == (0, True)

    def test_strict_tells_by_exit_code(self, shop: Path, run: Run) -> None:
        assert run("import", "--strict").code == 3

    def test_files_from_the_command_line(self, shop: Path, run: Run) -> None:
        (shop / "orders.csv").rename(shop / "june.csv")
        assert "cannot read orders.csv" in run("import").err
        assert run("import", "orders=june.csv", "--json").data["new_events"] == 3
        shown = run("import", "invoices=june.csv")
        assert (shown.code, "has no import 'invoices', only orders" in shown.err) == (1, True)

    def test_nothing_says_what_to_import(self, workplace: Path, run: Run) -> None:
        assert "no firstedge.toml here" in run("import").err
        run("init")
        assert "has no [[import]] table" in run("import").err

    def test_doctor_looks_into_the_store(self, shop: Path, run: Run) -> None:
        run("import")
        shown = run("doctor")
        assert shown.code == 0
        assert re.search(r"ok +store +shop.lbug: 2 users, 2 items", shown.out)
        (shop / "orders.csv").unlink()
        assert "no file orders.csv to import" in run("doctor").out


class TestUsersOfTheStore:
    @pytest.fixture(autouse=True)
    def _store(self, bundle: Path) -> None:
        write_store(bundle.parent / "shop.lbug", random_bundle())

    def test_embed(self, bundle: Path, run: Run) -> None:
        data = run("embed", "users.parquet", "--json").data
        assert (data["users"], data["dim"], data["path"]) == (40, 16, "users.parquet")
        table = pq.read_table("users.parquet")
        trained = fe.load_bundle(bundle)
        with fe.open_store("shop.lbug", trained.schema, read_only=True) as store:
            query = read_query(store, trained, "u07")
        expected = fe.Recommender(trained).embed_users([query])[0]
        assert table["id"][7].as_py() == "u07"
        np.testing.assert_array_equal(np.array(table["vector"][7].as_py(), np.float32), expected)

    def test_a_known_user_goes_on(self, bundle: Path, run: Run) -> None:
        trained = fe.load_bundle(bundle)
        with fe.open_store("shop.lbug", trained.schema, read_only=True) as store:
            query = read_query(store, trained, "u07")
        expected = fe.Recommender(trained).recommend(
            fe.Query([*query.events, fe.Event(item="i011", at=50)], query.profile), 5
        )
        shown = run("recommend", "--user", "u07", "-i", "i011", "-k", "5", "--json")
        assert [item["id"] for item in shown.data["items"]] == list(expected)
        assert shown.data["num_given"] == expected.num_given
        assert "user id 'u99' is not in the store" in run("recommend", "--user", "u99").err

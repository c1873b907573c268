"""Commands that train, on a shop of two tastes in a real embedded store."""

from __future__ import annotations

from errno import ENOSPC
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import firstedge as fe
from firstedge.cli_build import train_options
from firstedge.loaders.split import split_users
from firstedge.models import coldstart_view
from firstedge.models.coldstart_report import ColdStartReport
from firstedge.models.options_file import read_options
from firstedge.models.protocol import evaluate
from firstedge.models.rounds import build_round, hold_out
from firstedge.models.scorer import Scorer
from firstedge.models.train import train
from tests.firstedge.conftest import Run
from tests.models.purchases import purchases

NUM_USERS, NUM_ITEMS = 150, 24
PLAIN = ("--encoder", "none", "--device", "cpu", "--json")


def write_tastes(path: str) -> None:
    """Even users touch even items and odd users odd ones, mostly."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(NUM_USERS), rng.integers(5, 11, NUM_USERS))
    n = len(users)
    taste = np.where(rng.random(n) < 0.9, users % 2, rng.integers(0, 2, n))
    items = rng.zipf(1.5, n) % (NUM_ITEMS // 2) * 2 + taste
    with fe.open_store(path) as store:
        store.write("users", pa.table({"id": [f"u{row:03d}" for row in range(NUM_USERS)]}))
        store.write("items", pa.table({"id": [f"i{row:03d}" for row in range(NUM_ITEMS)]}))
        store.write("events", purchases(users, items, "first"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a store that the tests below go on with, in their order."""
    path = tmp_path_factory.mktemp("tastes")
    write_tastes(str(path / "shop.lbug"))
    return path


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def versions() -> int:
    return len(list(Path("bundle").glob("*/manifest.json")))


def test_train_makes_a_bundle_that_answers(run: Run) -> None:
    shown = run("train", *PLAIN)
    assert shown.code == 0, shown.err
    assert 0.7 * NUM_USERS < shown.data["about"]["users"] < NUM_USERS
    assert f"Snapshot({NUM_USERS} users, {NUM_ITEMS} items" in shown.err
    for taste in (0, 1):
        items = run("recommend", "-i", f"i{taste + 2:03d}", "-k", "4", "--json").data["items"]
        assert [int(item["id"][1:]) % 2 for item in items] == [taste] * 4


def test_train_again_does_nothing_without_a_change(run: Run) -> None:
    before = Path("bundle/current").read_text().strip()
    assert run("train", *PLAIN).data["version"] == before
    assert "nothing has changed since version" in run("train", *PLAIN[:-1]).out
    assert versions() == 1


def test_update_takes_what_came_since(run: Run) -> None:
    before = fe.load_bundle("bundle")
    with fe.open_store("shop.lbug") as store:
        store.write("items", pa.table({"id": ["i099"]}))
        fans = np.arange(0, 60, 2)
        store.write("events", purchases(fans, np.full(len(fans), 99), "second"))
    shown = run("update", *PLAIN)
    assert shown.code == 0, shown.err
    after = fe.load_bundle("bundle")
    assert (len(before.items), len(after.items), versions()) == (24, 25, 2)
    assert after.table.counts[after.items.row("i099")] == 30
    ids = [item["id"] for item in run("recommend", "-i", "i002", "--json").data["items"]]
    assert "i099" in ids[:12]


def test_coldstart_reports_and_writes(run: Run) -> None:
    files = ("--markdown", "report.md", "--plot", "report.png")
    shown = run("coldstart", *PLAIN, "--trials", "1", "--folds", "3", *files)
    assert shown.code == 0, shown.err
    lines = shown.data["tables"][0]["lines"]
    assert {"firstedge", "popularity", "EASE"} <= {line["name"] for line in lines}
    assert "| firstedge" in Path("report.md").read_text()
    assert Path("report.png").read_bytes().startswith(b"\x89PNG")


def test_what_coldstart_found_is_printed_before_it_is_written(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(report: ColdStartReport, path: Path) -> None:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(coldstart_view, "plot", full)
    shown = run(*("coldstart", *PLAIN, "--trials", "1", "--folds", "3", "--plot", "late.png"))
    assert shown.code == 1
    assert shown.data["tables"][0]["rounds"] == 3
    assert "cannot write late.png: No space left on device" in shown.err


def test_coldstart_judges_given_options(run: Run) -> None:
    """Its figures are those of trainings with these options on the same folds."""
    few = Path("few.json")
    few.write_text('{"net": {"dim": 16}, "fit": {"epochs": 1}, "about": {}}')
    shown = run("coldstart", *PLAIN, "--trials", "1", "--folds", "3", "--options", few)
    assert shown.code == 0, shown.err
    with fe.open_store("shop.lbug", read_only=True) as store:
        shop = fe.read_snapshot(store)
    options = train_options(0, "cpu", read_options(few))
    table = shown.data["tables"][0]
    ks = [int(label) for label in table["labels"] if label != "all"]
    figures = []
    for fold in range(3):
        split = split_users(shop, fold=fold)
        bundle = train(shop, options, split)
        round_ = build_round("few", hold_out(shop, split), ks, lambda bundle=bundle: bundle)
        figures.append(evaluate(Scorer(bundle), round_.test, np.zeros(len(bundle.items))).ndcg)
    line = table["lines"][0]
    assert line["name"] == "firstedge"
    np.testing.assert_allclose(
        [cell["mean"] for cell in line["ndcg"]], np.hstack(figures).mean(1), rtol=1e-9
    )
    default = run("coldstart", *PLAIN, "--trials", "1", "--folds", "3").data["tables"][0]
    assert default["lines"][0]["ndcg"] != line["ndcg"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"net": {"dims": 16}}', "no option 'net.dims'"),
        ('{"fine_tune": {"on": true}}', "a report fine-tunes no text encoder"),
    ],
)
def test_coldstart_refuses_options_before_the_work(run: Run, text: str, complaint: str) -> None:
    Path("wrong.json").write_text(text)
    failed = run("coldstart", *PLAIN, "--options", "wrong.json")
    assert failed.code == 1
    assert complaint in failed.err
    assert "Snapshot" not in failed.err


def test_errors_come_before_the_work(run: Run) -> None:
    assert "no store" in run("train", "--store", "none.lbug").err.lower()
    assert run("coldstart", "--folds", "11").code == 2
    for option, path, what in (
        ("--plot", "curves.foo", "cannot draw curves.foo: expected a name that ends with .png"),
        ("--plot", "none/curves.png", "cannot write none/curves.png: there is no folder none"),
        ("--markdown", "none/x.md", "cannot write none/x.md: there is no folder none"),
        ("--markdown", ".", "cannot write .: it is a folder, name a file"),
    ):
        shown = run("coldstart", "--store", "none.lbug", option, path)
        assert shown.code == 1
        assert what in shown.err
    assert "--encoder other than none" in run("categorize", "--encoder", "none").err


def test_categorize_makes_a_tree_once(workplace: Path, run: Run) -> None:
    Path("firstedge.toml").write_text('[item]\ntitle = "{title}"\n')
    things = [f"{colour} {thing}" for thing in ("mug", "rug") for colour in ("red", "blue", "big")]
    ids = [f"i{row}" for row in range(len(things))]
    with fe.open_store("shop.lbug", fe.Schema.load("firstedge.toml")) as store:
        store.write("items", pa.table({"id": ids, "title": things}))
    shown = run("categorize", "--leaves", "2", "--json")
    assert shown.code == 0, shown.err
    assert (shown.data["leaves"], shown.data["items"]) == (2, 6)
    with fe.open_store("shop.lbug", fe.Schema.load("firstedge.toml")) as store:
        rows = store.read("item_categories").to_pylist()
        shelves = {row["item"]: row["category"] for row in rows}
        assert [len({shelves[id_] for id_ in part}) for part in (ids[:3], ids[3:])] == [1, 1]
        store.write("items", pa.table({"id": ["new"], "title": ["green mug"]}))
    again = run("categorize", "--json").data
    assert (again["leaves"], again["items"]) == (0, 1)


def test_tune_goes_on_and_train_takes_what_it_found(run: Run) -> None:
    found = run("tune", *PLAIN, "--trials", "1")
    assert found.code == 0, found.err
    default = found.data["about"]
    assert (default["trials"], default["objective"]) == (1, default["default"])
    assert found.data["net"] == {"dim": 60, "id_dropout": 0.1, "user_dropout": 0.3}
    found = run("tune", *PLAIN, "--trials", "2")
    assert found.data["about"]["trials"] == 2
    assert found.data["about"]["objective"] >= default["objective"]
    assert "trial 2 of 2" in found.err
    assert run("tune", *PLAIN, "--trials", "2").data == found.data
    best = found.data["about"]["objective"]
    assert (
        f"options.json: NDCG {best:.4f} over validation users after 2 trials, "
        f"{default['default']:.4f} by default"
    ) in run("tune", *PLAIN[:-1], "--trials", "2").out
    Path("options.json").write_text('{"net": {"dim": 16}, "fit": {"epochs": 2}}')
    trained = run("train", *PLAIN, "--options", "options.json", "--log", "log")
    assert trained.data["about"]["options"]["net"]["dim"] == 16
    assert fe.load_bundle("bundle").w.shape[1] < 32
    again = run("train", *PLAIN, "--options", "options.json")
    assert again.data["version"] == trained.data["version"]
    logged = EventAccumulator("log")
    logged.Reload()
    figures = [point.value for point in logged.Scalars("validation/ndcg")]
    np.testing.assert_allclose(figures, trained.data["about"]["net_ndcg"], rtol=1e-6)
    assert len(logged.Scalars("train/loss")) == logged.Scalars("validation/ndcg")[-1].step


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"net": {"dims": 16}}', "no option 'net.dims'"),
        ('{"net": {"dim": "16"}}', "option 'net.dim' is like 60, got '16'"),
        ('{"fit": {"epochs": 0}}', "at least 1"),
        ("[", "cannot read the options"),
    ],
)
def test_wrong_options_are_named(run: Run, text: str, complaint: str) -> None:
    Path("wrong.json").write_text(text)
    failed = run("train", *PLAIN, "--options", "wrong.json", "--force")
    assert failed.code == 1
    assert complaint in failed.err

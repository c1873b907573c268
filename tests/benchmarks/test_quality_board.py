"""The leaderboard's data sets, budgets, cells and page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import xxhash

from benchmarks.quality import table
from benchmarks.quality.__main__ import main, parse, tasks_of
from benchmarks.quality.cells import Cell, figures_of, read_cell, write_cell
from benchmarks.quality.learning import Watch
from benchmarks.quality.search import PRIORS, Budget, fit_priors, search
from benchmarks.quality.shops import (
    ROOT,
    SAMPLED,
    SMALL,
    Shop,
    _stamp,
    _with_column,
    draw_customers,
    known_shops,
    ks_of,
    open_shop,
    shop_of,
    shuffled,
    sources_of,
)
from benchmarks.quality.work import Task, Worker, enough, method_names, neural_names
from firstedge.graph.errors import SettingsError
from firstedge.graph.schema import Schema
from firstedge.graph.store import open_store
from firstedge.loaders.mapping import load_mappings
from firstedge.models.baselines import Popularity, TextCosine, TrainingData
from firstedge.models.comparison import EMBEDDING, OURS
from firstedge.models.neighbours import ItemKNN
from firstedge.models.protocol import Evaluation, KShotCases, Ranker, build_cases, evaluate
from firstedge.models.scorer import UserBatch
from firstedge.models.space import Range
from tests.models.small import WEIGHTS, histories_of, training_of

KEPT = ("popularity", "item-knn")  # files of cells
OWN = """
[item]
label = "Thing"
[kind.pick]
type = "PICKED"
[[import]]
name = "picks"
path = "picks.txt"
format = "lightgcn"
items = { id = "item" }
events = { user = "user", target = "item", kind = "pick" }
"""


@pytest.mark.parametrize("shop", known_shops().values(), ids=lambda shop: shop.name)
def test_every_data_set_has_a_schema_with_imports(shop: Shop) -> None:
    assert Schema.load(shop.schema).kinds
    assert {mapping.file.name for mapping in load_mappings(shop.schema)}
    assert shop.where


@pytest.fixture
def own_shop(tmp_path: Path) -> Path:
    (tmp_path / "own.toml").write_text(OWN)
    rng = np.random.default_rng(0)
    lines = [
        f"u{user} " + " ".join(f"i{item}" for item in rng.permutation(20)[: rng.integers(4, 12)])
        for user in range(150)
    ]
    (tmp_path / "picks.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "own.toml"


def test_any_schema_file_is_a_data_set(own_shop: Path, tmp_path: Path) -> None:
    snapshot = open_shop(shop_of(str(own_shop)), work=tmp_path / "work")
    first = (tmp_path / "picks.txt").read_text().splitlines()[0].split()
    row = snapshot.users.ids.index(first[0])
    h = snapshot.histories
    items = [snapshot.items.ids[i] for i in h.targets[h.offsets[row] : h.offsets[row + 1]]]
    assert items == first[1:]  # in the file's order
    # Once imported it is only read, which several processes may do at a time.
    (store,) = (tmp_path / "work").glob("own-*/shop.lbug")
    with open_store(str(store), snapshot.schema, read_only=True):
        again = open_shop(shop_of(str(own_shop)), work=tmp_path / "work")
    assert again.fingerprint == snapshot.fingerprint
    counts = np.diff(h.offsets)
    assert ks_of(snapshot) == tuple(k for k in (0, 1, 2, 3, 5, 10) if (counts > k).mean() >= 0.25)


def test_a_data_set_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gowalla is read from a folder gowalla/.*LightGCN"):
        open_shop(known_shops()["gowalla"], None, tmp_path)
    with pytest.raises(SettingsError, match="there is no data set 'x'"):
        shop_of("x")


def test_a_store_is_of_one_folder_and_of_its_files_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, text in (("a", "ann mug tea\n"), ("b", "bob pen\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.toml").write_text(OWN)
        (tmp_path / folder / "picks.txt").write_text(text)

    def users(folder: str) -> dict[str, int]:
        shop = shop_of(str(tmp_path / folder / "own.toml"))
        snapshot = open_shop(shop, work=tmp_path / "work")
        return dict(zip(snapshot.users.ids, np.diff(snapshot.histories.offsets), strict=True))

    assert users("a") == {"ann": 2}
    assert "new events.pick" in (said := capsys.readouterr().out), said
    assert users("b") == {"bob": 1}
    capsys.readouterr()
    assert users("a") == {"ann": 2}
    assert capsys.readouterr().out == ""  # it is only read
    picks = tmp_path / "b" / "picks.txt"
    before = picks.stat()
    picks.write_text("eve pen\n")  # of the same size
    os.utime(picks, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert users("b") == {"eve": 1}


def test_the_stores_of_known_sets_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "ml-1m").mkdir()
    for name in ("train.txt", "test.txt"):
        (tmp_path / "ml-1m" / name).write_text("u i\n")
    shop = known_shops()["ml-1m"]
    sources = sources_of(shop, tmp_path, tmp_path)
    schema = xxhash.xxh3_64_hexdigest(shop.schema.read_bytes())
    assert sources.home.name == f"ml-1m-{schema[:8]}"  # wherever the repository is
    stamp = json.loads(_stamp(sources, with_time=False))
    assert stamp == [["train.txt", 4], ["test.txt", 4]]


def test_files_that_are_not_there_are_named(own_shop: Path, tmp_path: Path) -> None:
    (tmp_path / "picks.txt").unlink()
    with pytest.raises(
        SettingsError, match=r"^own: import 'picks' reads .*picks.txt, which is not"
    ):
        sources_of(shop_of(str(own_shop)), work=tmp_path / "work")
    own_shop.write_text(OWN.split("[[import]]")[0])
    with pytest.raises(
        SettingsError, match=r"own.toml has no \[\[import\]\], so own has no events"
    ):
        sources_of(shop_of(str(own_shop)), work=tmp_path / "work")


def test_rejected_rows_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.toml").write_text(
        OWN.replace("picks.txt", "picks.csv")
        .replace("lightgcn", "csv")
        .replace('kind = "pick"', 'kind = "pick", time = "day"')
    )
    (tmp_path / "picks.csv").write_text(
        "user,item,day\nann,mug,2026-01-01\nann,mug,2026-01-01\nann,tea,soon\n"
    )
    open_shop(shop_of(str(tmp_path / "own.toml")), work=tmp_path / "work")
    lines = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    found = {line[2].strip(): line[3].strip() for line in lines}
    assert found["duplicate events"] == "1"
    assert [count for name, count in found.items() if name.startswith("rejected")] == ["1"]


def test_the_docs_show_a_data_set_of_ten_lines(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "leaderboard.md").read_text("utf-8")
    schema = page.split("### Another data set")[1].split("```toml\n")[1].split("```")[0]
    assert len([line for line in schema.splitlines() if line]) == 10
    (tmp_path / "my_shop.toml").write_text(schema)
    (tmp_path / "orders.csv").write_text(
        "customer,product,day\nann,mug,2026-01-03\nann,tea,2026-01-02\nbob,mug,2026-01-01\n"
    )
    snapshot = open_shop(shop_of(str(tmp_path / "my_shop.toml")), work=tmp_path / "work")
    h, ann = snapshot.histories, snapshot.users.ids.index("ann")
    assert [snapshot.items.ids[i] for i in h.targets[h.offsets[ann] : h.offsets[ann + 1]]] == [
        "tea",
        "mug",
    ]


def test_a_sample_of_gowalla_is_of_the_same_users_in_both_files(tmp_path: Path) -> None:
    (tmp_path / "gowalla").mkdir()
    for name in ("train.txt", "test.txt"):
        lines = [f"{user} {user} {user + 1}" for user in range(SAMPLED + 50)]
        (tmp_path / "gowalla" / name).write_text("\n".join(lines) + "\n")
    folder = known_shops()[f"gowalla-{SAMPLED}"].prepare(tmp_path, tmp_path)
    users = [
        [line.split()[0] for line in (folder / name).read_text().splitlines()]
        for name in ("train.txt", "test.txt")
    ]
    assert users[0] == users[1]
    assert len(set(users[0])) == SAMPLED
    assert users[0] != [str(user) for user in range(SAMPLED)]


def test_every_seed_draws_other_customers_with_all_of_their_lines(tmp_path: Path) -> None:
    lines = pq.read_table(ROOT / "data" / "online_retail.parquet")
    drawn = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        kept = pq.read_table(draw_customers(tmp_path / str(seed), seed) / "online_retail.parquet")
        customers = pc.unique(kept["customer_id"])
        assert kept.equals(lines.filter(pc.is_in(lines["customer_id"], customers)))
        drawn.append(set(customers.to_pylist()))
    assert [len(customers) for customers in drawn] == [SMALL, SMALL]
    assert len(drawn[0] & drawn[1]) < SMALL / 4


def test_a_random_order_keeps_every_user_their_own() -> None:
    h = histories_of([0, 1, 2, 3, 4], [5, 6], [7])
    mixed = shuffled(h, seed=1)
    assert mixed.targets.tolist() != h.targets.tolist()
    assert sorted(mixed.targets[:5].tolist()) == [0, 1, 2, 3, 4]
    assert sorted(mixed.targets[5:7].tolist()) == [5, 6]
    assert mixed.targets.tolist() == shuffled(h, seed=1).targets.tolist()


def test_a_column_made_of_others() -> None:
    text = "id:token\tage:token\n1\t24\n2\t7\n"
    assert _with_column(text, "band", lambda row: f"{int(row['age']) // 10 * 10}s") == (
        "id:token\tage:token\tband:token\n1\t24\t20s\n2\t7\t0s\n"
    )


@dataclass(frozen=True)
class Fake:
    """Its figure is best where ``x`` is 0.7; learning takes as many looks as it may."""

    name: ClassVar[str] = "fake"
    x: Annotated[float, Range(0.0, 1.0)] = 0.0
    looks: int = 1

    def unfit(self, data: TrainingData) -> str:
        return ""

    def learn(self, data: TrainingData, watch: Watch) -> None:
        for _ in range(self.looks):
            keep = watch.look(Biased(data, abs(self.x - 0.7)))
            if not keep:
                return


@dataclass(frozen=True)
class Biased(Ranker):
    data: TrainingData
    noise: float

    def score(self, users: UserBatch) -> np.ndarray:
        rng = np.random.default_rng(0)
        noise = self.noise * 20 * rng.normal(size=self.data.num_items)
        return np.tile(self.data.log_prior + noise.astype(np.float32), (len(users), 1))


def skewed() -> tuple[TrainingData, KShotCases]:
    rng = np.random.default_rng(0)
    users = [np.unique(rng.zipf(1.3, 12) % 40).tolist() for _ in range(60)]
    data = training_of(histories_of(*users, num_items=40))
    return data, build_cases(data.histories, WEIGHTS, (0, 1), with_all=False)


def test_search_finds_better_options_than_the_defaults() -> None:
    data, cases = skewed()
    found = search(Fake(), data, cases, Budget(trials=15, minutes=5, k=5))
    assert found.trials == 15
    assert abs(found.options["x"] - 0.7) < 0.35
    first = search(Fake(), data, cases, Budget(trials=1, minutes=5, k=5))
    assert first.options == {"x": 0.0}  # the defaults come first
    assert found.objective > first.objective
    assert not found.cut


def test_time_ends_a_search_and_a_training() -> None:
    data, cases = skewed()
    found = search(Fake(looks=10**6), data, cases, Budget(trials=10**6, minutes=0.02, k=5))
    assert found.seconds < 10
    endless = Watch(cases, data.popularity, 5, seconds=0.0)
    Fake(looks=10**6).learn(data, endless)
    assert (endless.looks, endless.cut) == (1, True)


def test_patience_ends_a_training() -> None:
    data, cases = skewed()
    watch = Watch(cases, data.popularity, 5, seconds=1e6, patience=3)
    Fake(looks=10**6).learn(data, watch)
    assert (watch.looks, watch.cut) == (4, False)  # the first is the best, three more are not


def cell_of(method: str, role: str, level: float, fold: int = 0, round_: str = "r") -> Cell:
    rng = np.random.default_rng(fold)
    values = np.clip(level * rng.uniform(0.5, 1.0, (3, 80)), 0, 1)
    test = Evaluation(("0", "1", "3"), values, values / 2, np.full((3, 80), 0.25), np.full(3, 0.5))
    return Cell(
        shop="own",
        method=method,
        fold=fold,
        role=role,  # type: ignore[arg-type]
        key="k",
        code="c",
        round=round_,
        budget={} if role == "ours" else {"trials": 7 if role == "single" else 1, "minutes": 0.5},
        date="2026-01-02",
        options={"x": 1.5},
        objective=level,
        trials=7,
        seconds=3.0,
        cut=method == "SASRec",
        **figures_of(test),
    )


def test_a_cell_is_read_back_to_the_last_user(tmp_path: Path) -> None:
    cell = cell_of("item-kNN", "single", 0.4)
    write_cell(cell, tmp_path)
    again = read_cell("own", "item-kNN", 0, tmp_path)
    assert again == cell
    values = np.clip(0.4 * np.random.default_rng(0).uniform(0.5, 1.0, (3, 80)), 0, 1)
    test = again.measured().test
    np.testing.assert_allclose(test.ndcg, values, atol=1e-5)
    np.testing.assert_allclose(test.recall, values / 2, atol=1e-5)
    assert read_cell("own", "item-kNN", 1, tmp_path) is None


def board(folder: Path, ours: float = 0.5) -> str:
    for fold in (0, 1):
        write_cell(cell_of(OURS, "ours", ours, fold, f"r{fold}"), folder)
        write_cell(cell_of("popularity", "single", 0.3, fold, f"r{fold}"), folder)
        write_cell(cell_of("blend of closed forms", "blend", 0.45, fold, f"r{fold}"), folder)
    write_cell(cell_of("SASRec", "single", 0.4, 0, "r0"), folder)
    write_cell(cell_of("SASRec", "single", 0.4, 1, "another round"), folder)
    (folder / "own").mkdir(exist_ok=True)
    (folder / "own" / "left-out.json").write_text('{"text cosine": "the shop has no texts"}')
    page = folder / "leaderboard.md"
    page.write_text("head\n<!-- leaderboard -->\nold\n<!-- /leaderboard -->\ntail\n")
    written = table.write_leaderboard(folder, ["own"], folder)
    assert written == [folder / "leaderboard.json", folder / "leaderboard" / "own.svg", page]
    return page.read_text()


def test_the_page(tmp_path: Path) -> None:
    text = board(tmp_path)
    assert text.startswith("head\n<!-- leaderboard -->\n| data set | against | k=0 | k=1 | k=3 |")
    assert text.endswith("<!-- /leaderboard -->\ntail\n")
    assert "\nold\n" not in text
    # 0.5 / 0.45 - 1 for every user, and so for every resample
    assert text.splitlines()[2].endswith("| mean over k ≥ 1 |")
    assert "Mean over the" not in text  # there is a single set
    lead = "+11 % (+11 % to +11 %)"
    row = f"| own | best of all: blend of closed forms | {lead} | {lead} | {lead} | {lead} |"
    assert row in text
    assert "160 test users, 2 folds pooled" in text
    assert "SASRec" in text.split("Unfinished, ")[1].splitlines()[0]  # one fold is of other data
    assert "Left out: text cosine (the shop has no texts)." in text
    assert "| 7 fits or 0.5 min |" in text
    assert "| 1 fit or 0.5 min |" in text
    (ours,) = [line for line in text.splitlines() if line.startswith("| **firstedge**")]
    assert ours.endswith("| **7** | **6** |  |")  # two folds' seconds, no budget
    assert "whichever came first. Measured 2026-01-02." in text
    figures = json.loads((tmp_path / "leaderboard.json").read_text())["own"]
    assert figures["against"]["best of all"]["method"] == "blend of closed forms"
    assert figures["against"]["blend"]["ndcg_lead"][3]["mean"] == pytest.approx(1 / 9, abs=1e-3)
    assert (tmp_path / "leaderboard" / "own.svg").read_bytes().startswith(b"<?xml")


def test_the_mean_is_over_k_from_1_and_the_ratios_over_sets(tmp_path: Path) -> None:
    """Ratios by hand: k = 0 does not count, nor does a method that others beat on validation."""
    for shop, ours in (("one", (0.9, 0.6, 0.6)), ("two", (0.1, 0.2, 0.3))):
        for method, role, levels, objective in (
            (OURS, "ours", ours, 0.0),
            ("popularity", "single", (0.5, 0.6, 0.6), 0.1),
            ("item-kNN", "single", (0.5, 0.3, 0.5), 0.2),
            ("blend of closed forms", "blend", (0.5, 0.2, 0.8), 0.3),
        ):
            values = np.repeat(np.array(levels)[:, None], 20, 1)
            share = np.full(3, 0.5)
            test = Evaluation(("0", "1", "3"), values, values, values, share)
            cell = cell_of(method, role, 0.5)
            cell = replace(cell, shop=shop, objective=objective, **figures_of(test))
            write_cell(cell, tmp_path)
    written = table.write_leaderboard(tmp_path, ["one", "two", "three"], tmp_path)
    text = table.generated_part(written[-1])
    # Single: .6 / .4 and .25 / .4; blend: .6 / .5 and .25 / .5.
    assert (
        "Mean over the 2 data sets of the ratio of our mean NDCG over k ≥ 1 to that of the best "
        "single method: 1.062; to that of the best blend: 0.850." in text
    )
    assert "| two | best single: item-kNN | " in text
    assert "Not measured yet: three." in text
    found = json.loads((tmp_path / "leaderboard.json").read_text())
    assert found["one"]["against"]["blend"]["ndcg_lead"][-1]["mean"] == pytest.approx(0.2, abs=1e-4)


def test_a_page_is_the_same_when_it_is_written_again(tmp_path: Path) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    board(tmp_path)
    before = files()
    table.write_leaderboard(tmp_path, ["own"], tmp_path)
    assert files() == before
    write_cell(cell_of(OURS, "ours", 0.6, 0, "r0"), tmp_path)
    table.write_leaderboard(tmp_path, ["own"], tmp_path)
    assert {path.suffix for path, text in files().items() if text != before[path]} == {
        ".json",
        ".md",
        ".svg",
    }


def test_a_page_is_left_alone_if_nothing_can_be_compared(tmp_path: Path) -> None:
    text = board(tmp_path)
    for fold in (0, 1):
        write_cell(cell_of("popularity", "single", 0.3, fold, "another round"), tmp_path)
    assert table.write_leaderboard(tmp_path, ["own"], tmp_path) == []
    assert (tmp_path / "leaderboard.md").read_text() == text
    write_cell(cell_of("popularity", "single", 0.3, 1, "r1"), tmp_path)
    table.write_leaderboard(tmp_path, ["own"], tmp_path)
    assert "80 test users, one fold of ten" in (tmp_path / "leaderboard.md").read_text()


def call(*arguments: object) -> int:
    """The command's exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["quality", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0)


def test_the_public_page_has_all_known_sets_whichever_were_asked(tmp_path: Path) -> None:
    for shop in ("ml-100k", "gowalla", "nobody knows it"):
        for method, role in ((OURS, "ours"), ("popularity", "single")):
            write_cell(replace(cell_of(method, role, 0.5), shop=shop), tmp_path)
        write_cell(replace(cell_of("blend of closed forms", "blend", 0.4), shop=shop), tmp_path)
    assert call("--table", "--sets", "ml-100k", "--results", tmp_path) == 0
    page = (tmp_path / "leaderboard.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## ml-100k",
        "## gowalla",
    ]
    assert set(json.loads((tmp_path / "leaderboard.json").read_text())) == {"ml-100k", "gowalla"}


def test_a_set_of_ones_own_has_a_page_beside_its_schema(
    own_shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public = ROOT / "docs" / "leaderboard.md"
    before = public.read_bytes()
    home = own_shop.parent / "own-leaderboard"
    assert call("--table", "--sets", own_shop) == 1
    assert f"failed: no table of {home}: it takes firstedge, popularity" in capsys.readouterr().err
    board(home)
    (home / "leaderboard.md").unlink()
    assert call("--table", "--sets", own_shop) == 0
    said = capsys.readouterr().out
    assert "| own | best of all: blend of closed forms | +11 % (+11 % to +11 %) |" in said
    assert said.splitlines()[-1] == str(home / "leaderboard.md")
    assert "160 test users, 2 folds pooled" in (home / "leaderboard.md").read_text()
    assert public.read_bytes() == before


def test_what_is_missing_is_told_before_anything_is_measured(
    own_shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--sets", "x", "amazon-beauty", own_shop, own_shop) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0].startswith("failed: there is no data set 'x': take online-retail, ")
    assert said[1].startswith("failed: amazon-beauty is read from a folder amazon-beauty/ in")
    assert said[2].startswith("failed: two of --sets would be kept in ")
    assert not (own_shop.parent / "own-leaderboard").exists()


def test_processes_are_told_what_to_do_and_failures_leave_no_table(
    own_shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, home = [], own_shop.parent / "own-leaderboard"
    board(home)
    page = home / "leaderboard.md"
    page.write_text("old")

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        args = parse(command[command.index("benchmarks.quality") + 1 :])
        asked.append((args.one, args.sets, args.fold, args.methods, args.minutes, args.any_code))
        said = "Traceback:\nValueError: no users" if args.fold == bad else ""
        return subprocess.CompletedProcess(command, int(bool(said)), stderr=said)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr("benchmarks.quality.__main__.sources_of", lambda *_: None)
    options = ("--folds", 2, "--methods", "popularity", "SASRec", "--minutes", 2, "--jobs", 1)
    bad = 1
    assert call("--sets", own_shop, *options, "--any-code") == 1
    sets = [str(own_shop)]
    assert asked == [
        (True, sets, fold, [method], 2.0, True)
        for fold in (0, 1)
        for method in ("popularity", "SASRec")
    ]
    failed = f"failed: {own_shop}, fold 1: ValueError: no users\n"
    assert capsys.readouterr().err == failed * 2
    assert page.read_text() == "old"
    bad = 2
    assert call("--sets", own_shop, *options) == 0
    assert "160 test users" in page.read_text()


def test_a_loss_is_in_bold(tmp_path: Path) -> None:
    text = board(tmp_path, ours=0.36)
    assert "| **-20 % (-20 % to -20 %)** |" in text


def test_tasks_put_what_takes_long_behind() -> None:
    tasks = list(tasks_of(parse(["--folds", "2", "--sets", "ml-100k", "gowalla"])))
    slow = set(neural_names())
    assert [bool(slow & set(task.methods)) for task in tasks] == [False] * 4 + [True] * 4
    assert {name for task in tasks for name in task.methods} == set(method_names())
    assert [(task.shop, task.fold) for task in tasks[:4]] == [
        ("ml-100k", 0),
        ("gowalla", 0),
        ("ml-100k", 1),
        ("gowalla", 1),
    ]
    assert tasks[0].budget == Budget(20, 30.0)


def test_a_worker_measures_once_and_keeps(own_shop: Path, tmp_path: Path) -> None:
    methods = ("popularity", "item-kNN", "naive Bayes", "blend of closed forms", "text cosine")
    task = Task(
        str(own_shop), 0, methods, budget=Budget(2, 1.0), results=tmp_path, work=tmp_path / "work"
    )
    said: list[str] = []
    worker = Worker(task, said.append)
    worker.run()
    cell = read_cell("own", "popularity", 0, tmp_path)
    assert cell is not None
    assert cell.users == len(worker.round.test.rows)
    ranker = Popularity().fit(worker.round.training)
    order = np.argsort(-ranker.score(worker.round.test.cases[0].users)[0], kind="stable")[:20]
    first = worker.round.test.cases[0].targets
    wanted = set(first.items[: first.offsets[1]].tolist())
    gain = sum(1 / np.log2(p + 2) for p, item in enumerate(order) if item in wanted)
    ideal = sum(1 / np.log2(p + 2) for p in range(min(20, len(wanted))))
    assert cell.measured().test.ndcg[0, 0] == pytest.approx(gain / ideal, abs=1e-4)
    again: list[str] = []
    Worker(task, again.append).run()
    assert [line.endswith("kept") for line in again] == [True, True, True, True, False]
    assert again[-1] == "own: text cosine left out: the shop has no texts"
    write_cell(replace(cell, code="older"), tmp_path)
    Worker(replace(task, methods=methods[:1], any_code=True), again.append).run()
    assert again[-1].endswith("popularity, kept")
    Worker(replace(task, methods=methods[:1]), again.append).run()
    assert not again[-1].endswith("kept")
    Worker(replace(task, budget=Budget(3, 1.0)), said.append).run()
    other = read_cell("own", "item-kNN", 0, tmp_path)
    assert other is not None
    assert other.budget == {"trials": 3, "minutes": 1.0}


def test_a_cell_is_enough_if_more_time_would_have_changed_nothing() -> None:
    def cell(trials: int, minutes: float, seconds: float, cut: bool = False, fold: int = 0) -> Cell:
        had = {"trials": 20, "minutes": minutes}
        found = cell_of("item-kNN", "single", 0.4, fold)
        return replace(found, budget=had, trials=trials, seconds=seconds, cut=cut)

    near, asked = ItemKNN(), Budget(20, 30.0)
    full = 20 * (PRIORS + 1)
    assert enough(cell(25, 30.0, 1800.0), near, asked)  # as much as is asked
    assert enough(cell(full, 1.0, 70.0), near, asked)  # all fits; it is never cut off
    assert not enough(cell(full - PRIORS - 1, 1.0, 61.0), near, asked)
    assert not enough(cell(full, 1.0, 50.0), near, Budget(21, 30.0))
    assert enough(cell(1, 1.0, 0.1), Popularity(), Budget(50, 30.0))  # has no options
    assert enough(cell(PRIORS + 1, 1.0, 0.1), TextCosine(), asked)  # tried by one fit
    assert enough(cell(20, 6.0, 300.0), Fake(), asked)
    assert not enough(cell(20, 6.0, 361.0), Fake(), asked)  # the last fit was cut off
    assert not enough(cell(20, 6.0, 300.0, cut=True), Fake(), asked)
    assert not enough(cell(19, 6.0, 300.0), Fake(), asked)
    assert enough(cell(1, 1.0, 20.0, fold=1), Fake(), asked)
    assert not enough(cell(1, 1.0, 30.0, fold=1, cut=True), Fake(), asked)


def test_a_larger_budget_measures_only_what_had_use_for_it(own_shop: Path, tmp_path: Path) -> None:
    methods = ("popularity", "item-kNN", "naive Bayes")
    task = Task(
        str(own_shop), 0, methods, budget=Budget(2, 1.0), results=tmp_path, work=tmp_path / "work"
    )
    Worker(task, lambda line: None).run()
    short = read_cell("own", "naive Bayes", 0, tmp_path)
    assert short is not None
    write_cell(replace(short, trials=PRIORS + 1), tmp_path)  # as if time had ended its search
    before = [(tmp_path / "own" / f"{name}.0.json").read_bytes() for name in KEPT]
    said: list[str] = []
    Worker(replace(task, budget=Budget(2, 30.0)), said.append).run()
    assert [line.endswith("kept") for line in said] == [True, True, False]
    assert [(tmp_path / "own" / f"{name}.0.json").read_bytes() for name in KEPT] == before
    Worker(replace(task, budget=Budget(2, 0.5)), said.append).run()
    assert [line.endswith("kept") for line in said[3:]] == [True, True, True]
    Worker(replace(task, budget=Budget(2, 0.5, seed=1)), said.append).run()
    assert [line.endswith("kept") for line in said[6:]] == [False, False, False]


def test_our_row_brings_its_embedding(own_shop: Path, tmp_path: Path) -> None:
    task = Task(str(own_shop), 0, (OURS,), results=tmp_path, work=tmp_path / "work")
    Worker(task, lambda line: None).run()
    ours, part = (read_cell("own", name, 0, tmp_path) for name in (OURS, EMBEDDING))
    assert ours is not None
    assert part is not None
    assert (ours.role, part.role) == ("ours", "part")
    assert ours.trials > 20
    assert ours.round == part.round


def test_a_closed_form_is_tried_with_many_weights_of_the_popularity() -> None:
    data, cases = skewed()
    budget = Budget(trials=2, minutes=5, k=5)
    start = ItemKNN(prior=1.0)
    found = search(start, data, cases, budget)
    assert found.trials == 2 * (PRIORS + 1)
    # The figure is that of the plain method with the chosen options, asked as all others are.
    plain = replace(start, **found.options).fit(data)
    exact = evaluate(plain, cases, data.popularity, 5).objective
    assert found.objective == pytest.approx(exact, abs=1e-9)
    # No weight of the scale does better with the same fit.
    one = fit_priors(start, data, cases, budget)
    scale = [replace(start, prior=float(p)) for p in np.geomspace(0.003, 1.0, PRIORS)]
    figures = [evaluate(m.fit(data), cases, data.popularity, 5).objective for m in (start, *scale)]
    assert one.objective == pytest.approx(max(figures), abs=2e-3)  # ties are broken otherwise
    assert figures[[start, *scale].index(replace(start, **one.options))] == pytest.approx(
        max(figures), abs=2e-3
    )

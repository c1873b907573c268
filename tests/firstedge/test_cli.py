from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import firstedge as fe
from firstedge.cli import app
from firstedge.starter import STARTER
from tests.firstedge.conftest import Run

COMMANDS = [command.name for command in app.registered_commands]


def test_every_command_shows_an_example(run: Run) -> None:
    assert COMMANDS == [
        "init",
        "import",
        "categorize",
        "train",
        "update",
        "tune",
        "coldstart",
        "recommend",
        "similar",
        "embed",
        "serve",
        "loadtest",
        "publish",
        "unpublish",
        "queries",
        "info",
        "doctor",
    ]
    for name in COMMANDS:
        shown = run(name, "--help")
        assert shown.code == 0
        assert f"Example: firstedge {name}" in shown.out
        assert "--json" in shown.out


def test_it_runs_as_an_installed_command() -> None:
    command = Path(sys.executable).with_name("firstedge")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr, done.returncode) == (fe.__version__, "", 0)


def test_wrong_usage_exits_with_2(run: Run) -> None:
    for args in (["recommend", "--bogus"], ["similar"], ["recommend", "-k", "many"], ["serv"]):
        shown = run(*args)
        assert (shown.code, shown.out) == (2, "")
        assert "Usage: firstedge" in shown.err


def test_an_error_is_one_line_and_exits_with_1(workplace: Path, run: Run) -> None:
    shown = run("info")
    assert (shown.code, shown.out) == (1, "")
    assert shown.err.startswith("firstedge: no bundle here: cannot read bundle/current")
    assert shown.err.count("\n") == 1


def test_an_error_is_json_on_request(workplace: Path, run: Run) -> None:
    shown = run("info", "--json")
    assert (shown.code, shown.out) == (1, "")
    error = json.loads(shown.err)["error"]
    assert error["type"] == "BundleError"
    assert error["message"].startswith("no bundle here")


class TestInit:
    def test_it_writes_a_file_that_can_be_read(self, workplace: Path, run: Run) -> None:
        assert run("init", "--json").data == {"path": "firstedge.toml"}
        schema = fe.Schema.load("firstedge.toml")
        assert schema.kinds == ("view", "purchase", "return", "interest")
        assert schema.item.title == "{title}"

    def test_what_it_shows_as_an_example_is_right(self) -> None:
        from firstedge.loaders.mapping import parse_mappings

        text = re.sub(r"^# (?=\[|\w+ = )", "", STARTER, flags=re.MULTILINE)
        assert text != STARTER
        (orders,) = parse_mappings(text)
        assert orders.name == "orders"
        assert fe.Schema.parse(text).user.profile == ("country", "age")

    def test_it_does_not_replace_without_being_told(self, workplace: Path, run: Run) -> None:
        (workplace / "firstedge.toml").write_text("[user]\n")
        shown = run("init")
        assert (shown.code, "there already" in shown.err) == (1, True)
        assert (workplace / "firstedge.toml").read_text() == "[user]\n"
        assert run("init", "--force").code == 0
        assert (workplace / "firstedge.toml").read_text() == STARTER

    def test_where_it_cannot_be_written(self, run: Run) -> None:
        shown = run("init", "none/shop.toml")
        assert shown.code == 1
        assert "cannot write none/shop.toml: No such file or directory" in shown.err


class TestSettings:
    def count(self, run: Run, *args: str) -> int:
        return len(run("recommend", "--json", *args).data["items"])

    def test_flags_beat_the_environment_beats_the_file(
        self, bundle: Path, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.count(run) == 20
        Path("firstedge.toml").write_text("[settings]\nk = 3\n")
        assert self.count(run) == 3
        Path("other.toml").write_text("[settings]\nk = 4\n")
        assert self.count(run, "--schema", "other.toml") == 4
        assert self.count(run, "-k", "6", "--schema", "other.toml") == 6
        monkeypatch.setenv("FIRSTEDGE_K", "5")
        assert self.count(run) == 5
        assert self.count(run, "-k", "6") == 6

    def test_a_setting_that_is_not_there_or_of_another_type(self, bundle: Path, run: Run) -> None:
        Path("firstedge.toml").write_text('[settings]\nstore = "a"\nbundel = "b"\n')
        assert "firstedge.toml:3: there is no setting 'bundel'; did you mean 'bundle'?" in (
            run("info").err
        )
        Path("firstedge.toml").write_text('[settings]\nk = "many"\n')
        assert "firstedge.toml:2: k is a whole number, got 'many'" in run("info").err
        Path("firstedge.toml").write_text("[settings\n")
        assert "cannot read the Schema firstedge.toml" in run("info").err
        assert "cannot read the Schema none.toml" in run("info", "-s", "none.toml").err


class TestRecommend:
    def test_it_is_what_the_library_answers(self, bundle: Path, run: Run) -> None:
        shown = run(
            *("recommend", "-i", "i003:view", "-i", "i009", "--category", "c1", "-k", "5"),
            *("--profile", "country=UK", "--within", "c0", "--within", "c1", "--json"),
            *("--deny", "i004", "--where", "price=1..5"),
        )
        query = fe.Query(
            [
                fe.Event(item="i003", kind="view"),
                fe.Event(item="i009"),
                fe.Event(category="c1"),
            ],
            {"country": "UK"},
        )
        filter_ = fe.Filter(
            categories=["c0", "c1"], denied=["i004"], properties={"price": fe.Range(1, 5)}
        )
        expected = fe.Recommender.load(bundle).recommend(query, 5, filter_, reasons=True)
        assert shown.data == json.loads(json.dumps(expected.as_dict()))
        assert shown.err == ""

    def test_people_see_titles_and_reasons(self, bundle: Path, run: Run) -> None:
        shown = run("recommend", "-i", "i003", "-i", "gone", "-k", "3")
        assert "because" in shown.out
        assert re.search(r"Item \d+", shown.out)
        assert shown.err == "not used: events of unknown items: 1\n"
        assert "because" not in run("recommend", "--no-reasons").out

    def test_given_items_come_back_with_repeat(self, bundle: Path, run: Run) -> None:
        table = fe.load_bundle(bundle).table
        given = f"i{table.available.argmax():03d}"
        args = ("recommend", "-i", given, "-k", "30", "--json")
        ids = [
            [item["id"] for item in run(*args, *more).data["items"]] for more in ((), ["--repeat"])
        ]
        assert (given in ids[0], given in ids[1]) == (False, True)

    @pytest.mark.parametrize(
        ("args", "text"),
        [
            (["-i", "i003:vew"], "did you mean 'view'"),
            (["--profile", "UK"], "--profile is NAME=VALUE, got 'UK'"),
            (["--where", "price=cheap"], "--where price=cheap: could not convert"),
            (["--where", "prise=3"], "no property 'prise'"),
            (["--where", "price=5..1"], "no number lies in"),
            (["--within", "c99"], "category id 'c99'"),
            (["-k", "0"], "k is how many items"),
        ],
    )
    def test_bad_input_is_an_error(
        self, bundle: Path, run: Run, args: list[str], text: str
    ) -> None:
        shown = run("recommend", *args)
        assert (shown.code, shown.out) == (1, "")
        assert text in shown.err


def test_similar(bundle: Path, run: Run) -> None:
    expected = fe.Recommender.load(bundle).similar_items("i003", 4)
    assert run("similar", "i003", "-k", "4", "--json").data == expected.as_dict()
    assert expected.titles[0] in run("similar", "i003").out
    assert "item id 'x3'" in run("similar", "x3").err


def test_info(bundle: Path, run: Run) -> None:
    data = run("info", "--json").data
    assert (data["items"], data["dim"], data["about"]) == (30, 16, {"fingerprint": "test"})
    assert data["version"] == (bundle / "current").read_text().strip()
    assert data["version"] in run("info").out


class TestDoctor:
    def test_an_empty_place_is_healthy(self, workplace: Path, run: Run) -> None:
        data = run("doctor", "--json").data
        found = {check["name"]: check for check in data["checks"]}
        assert data["healthy"]
        assert [found[name]["ok"] for name in ("schema", "store", "bundle")] == [None] * 3
        assert "`firstedge train` makes one" in found["bundle"]["detail"]
        assert found["numpy"]["ok"]

    def test_what_is_wrong_is_said_and_exits_with_1(self, bundle: Path, run: Run) -> None:
        (bundle / "current").write_text("elsewhere\n")
        Path("firstedge.toml").write_text("[user]\nlabl = 'Customer'\n")
        shown = run("doctor")
        assert shown.code == 1
        assert "firstedge.toml:2: user.labl" in shown.out
        assert re.search(r"wrong +bundle +no bundle here", shown.out)

    def test_a_bundle_that_is_there_is_named(self, bundle: Path, run: Run) -> None:
        assert "Bundle(30 items, 6 categories, dim 16" in run("doctor").out

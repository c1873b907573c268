"""A model with a text encoder of its own: trained, asked, updated and served by the commands."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import firstedge as fe
from firstedge.cli_serve import _load
from firstedge.serving.calls import Item
from firstedge.serving.client import Client, ClientOptions
from firstedge.serving.options import ServiceOptions
from tests.firstedge.conftest import Run
from tests.models.worded import COLOURS, NAMES, SCHEMA, fill_store, write_bert
from tests.serving.servers import running

OPTIONS = {
    "net": {"dim": 16},
    "fit": {"epochs": 6},
    "fine_tune": {"epochs": 5, "batch_texts": 64, "learning_rate": 0.005},
}
TRAIN = ("train", "--fine-tune-text", "--options", "options.json", "--json")
BERT = ("--encoder", "bert", "--device", "cpu")
# Titles that no item has: the second name of each colour with the first thing, of which only the
# first name was sold.
NEW = {f"new {colour}": f"{NAMES[3 * row + 1]} thing0" for row, colour in enumerate(COLOURS)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a store that the tests below go on with, in their order."""
    path = tmp_path_factory.mktemp("colours")
    write_bert(path / "bert")
    (path / "firstedge.toml").write_text(SCHEMA)
    (path / "options.json").write_text(json.dumps(OPTIONS))
    with fe.open_store(str(path / "shop.lbug"), fe.Schema.parse(SCHEMA)) as store:
        fill_store(store)
    return path


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def test_train_keeps_the_encoder_with_the_model(run: Run) -> None:
    shown = run(*TRAIN, *BERT)
    assert shown.code == 0, shown.err
    assert shown.data["about"]["fine_tuned"]["kept"]
    assert "NDCG@20 of hidden items" in shown.err
    info = run("info", "--json").data
    assert info["encoder"].startswith("encoder@")
    version = Path("bundle", info["version"])
    names = {path.name for path in (version / "encoder").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert "nothing has changed" in run(*TRAIN[:-1], *BERT).out


def test_a_users_words_are_read_by_it(run: Run) -> None:
    bundle = fe.load_bundle("bundle")
    library = fe.Recommender(bundle, fe.TransformerEncoder(str(bundle.encoder_folder), "cpu"))
    answers = set()
    for words in ("something red", "something gold"):
        found = run("recommend", "--text", words, "-k", "8", "--json", *BERT).data
        expected = library.recommend(fe.Query(text=words), 8)
        assert tuple(item["id"] for item in found["items"]) == expected.ids
        assert not expected.unused.text
        answers.add(expected.ids)
    assert len(answers) == 2


def test_update_reads_new_items_by_it(run: Run) -> None:
    shutil.copytree("bundle", "trained")
    shutil.copy("shop.lbug", "larger.lbug")
    with fe.open_store("larger.lbug", fe.Schema.parse(SCHEMA)) as store:
        store.write("items", pa.table({"id": list(NEW), "title": list(NEW.values())}))
    shown = run("update", "--store", "larger.lbug", "--json", *BERT)
    assert shown.code == 0, shown.err
    bundle = fe.load_bundle("bundle")
    assert bundle.encoder_folder is not None
    assert bundle.encoder == fe.load_bundle("trained").encoder
    vectors = fe.TransformerEncoder(str(bundle.encoder_folder), "cpu").encode(list(NEW.values()))
    rows = bundle.items.rows(list(NEW))
    np.testing.assert_allclose(
        bundle.v[rows][:, bundle.of_text], vectors @ bundle.text_axes, atol=1e-5
    )


def test_the_service_ranks_new_items_by_it() -> None:
    options = ServiceOptions(Path("trained"), "shop.lbug", port=0)
    load = partial(_load, encoder="minilm", cache=Path("cache"), device="cpu", approximate=False)
    with (
        running(options, lambda path: load(path)) as (address, service),
        Client(address, ClientOptions(timeout=60)) as client,
    ):
        recommender = service.bundle.model.recommender
        assert recommender.encoder is not None
        assert recommender.encoder.name == recommender.bundle.encoder
        items = [Item(id_, {"title": title}) for id_, title in NEW.items()]
        assert client.upsert_items(items).unranked == ()
        best = []
        for row in range(len(COLOURS)):
            bought = fe.Query([fe.Event(f"i{8 * thing + row:03d}") for thing in (3, 7, 11)])
            best.append(client.recommend(bought, 1, fe.Filter(allowed=list(NEW))).ids[0])
        right = sum(id_ == f"new {colour}" for id_, colour in zip(best, COLOURS, strict=True))
        assert right >= 7


def test_a_model_without_its_encoder_says_so(run: Run) -> None:
    version = run("info", "--json").data["version"]
    shutil.rmtree(Path("bundle", version, "encoder"))
    shown = run("recommend", "--text", "something red", *BERT)
    assert shown.code == 1
    assert "part of the model's own text encoder, is missing" in shown.err


def test_what_cannot_be_fine_tuned_is_said_before_the_work(run: Run) -> None:
    shown = run("train", "--fine-tune-text", "--encoder", "none", "--bundle", "other")
    assert "pass an --encoder other than none" in shown.err
    assert not Path("other").exists()
    assert "net:" not in shown.err

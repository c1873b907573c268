"""Fine-tuning on a shop of colours: what is learned, kept, left alone, and when it is not taken."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from firstedge.graph.errors import BundleError, MissingDependency, SettingsError
from firstedge.graph.schema import Schema
from firstedge.graph.store import open_store
from firstedge.loaders.importer import import_files
from firstedge.loaders.job import ImportOptions
from firstedge.loaders.mapping import load_mappings
from firstedge.loaders.snapshot import Snapshot, read_snapshot
from firstedge.loaders.split import split_users
from firstedge.loaders.text import TransformerEncoder
from firstedge.loaders.transformer import load_model, padded, pooled, tokenize
from firstedge.models import fine_tune as module
from firstedge.models import text_choice
from firstedge.models.bundle import Bundle
from firstedge.models.bundle_file import load_bundle, save_bundle
from firstedge.models.fine_tune import FineTune, TextLesson, Tuned, contrast, fine_tune
from firstedge.models.fit import FitOptions
from firstedge.models.net import NetOptions
from firstedge.models.text_choice import not_worse, text_lesson
from firstedge.models.train import Learner, TrainOptions, train
from firstedge.models.update import update_bundle
from firstedge.serving.recommender import Recommender
from tests.models.worded import NAMES, SCHEMA, TITLES, fill_store, write_bert

FAST = FineTune(on=True, epochs=5, batch_texts=64, learning_rate=5e-3)
LORA = replace(FAST, lora_from=0, lora_rank=8, learning_rate=2e-3, epochs=15, patience=9)
CPU = FitOptions(epochs=4, device="cpu")
OPTIONS = TrainOptions(net=NetOptions(dim=16), fit=CPU, fine_tune=FAST, ks=(0, 1, 2))

RETAIL = Path(__file__).resolve().parents[2] / "data" / "online_retail.toml"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("worded")


@pytest.fixture(scope="module")
def encoder(home: Path) -> TransformerEncoder:
    return TransformerEncoder(str(write_bert(home / "bert")), "cpu", cache=home / "cache")


@pytest.fixture(scope="module")
def shop(home: Path, encoder: TransformerEncoder) -> Snapshot:
    with open_store(str(home / "shop.lbug"), Schema.parse(SCHEMA)) as store:
        fill_store(store)
        return read_snapshot(store, encoder=encoder)


@pytest.fixture(scope="module")
def learner(shop: Snapshot) -> Learner:
    return Learner(shop, split_users(shop), OPTIONS)


@pytest.fixture(scope="module")
def lesson(learner: Learner) -> TextLesson:
    return text_lesson(learner)


@pytest.fixture(scope="module")
def tuned(encoder: TransformerEncoder, lesson: TextLesson) -> Tuned:
    return fine_tune(encoder, lesson, FAST, CPU)


@pytest.fixture(scope="module")
def bundle(shop: Snapshot, encoder: TransformerEncoder) -> Bundle:
    return train(shop, OPTIONS, encoder=encoder)


def vectors_of(model: object, tokenizer: object, texts: list[str]) -> np.ndarray:
    with torch.no_grad():
        tokens = tokenize(tokenizer, texts, 16)
        return pooled(model, padded(tokens, 0, "cpu")).numpy()


def test_the_loss_is_that_of_a_naive_loop() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(5, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shares = rng.random((5, 5)).astype(np.float32) * (1 - np.eye(5, dtype=np.float32))
    shares /= shares.sum(1, keepdims=True)
    total = 0.0
    for i in range(5):
        scores = {j: float(vectors[i] @ vectors[j]) / 0.1 for j in range(5) if j != i}
        norm = np.log(sum(np.exp(score) for score in scores.values()))
        total -= sum(shares[i, j] * (score - norm) for j, score in scores.items())
    found = contrast(torch.from_numpy(vectors), torch.from_numpy(shares), 0.1)
    assert float(found) == pytest.approx(total / 5, rel=1e-5)


def test_the_loss_falls_and_hidden_items_are_found(lesson: TextLesson, tuned: Tuned) -> None:
    assert tuned.losses[-1] < tuned.losses[0] - 0.3
    assert tuned.better
    assert max(tuned.figures) > tuned.figures[0] + 0.2
    # No pair has taught anything about a hidden text, and yet its nearest text is of its colour.
    vectors = vectors_of(tuned.model, tuned.tokenizer, list(lesson.texts))
    hidden = lesson.exam.rows[lesson.exam.hidden]
    assert not lesson.together[hidden].nnz
    alike = vectors[hidden] @ vectors.T
    alike[np.arange(len(hidden)), hidden] = -1
    colours = np.array([NAMES.index(text.split()[0]) // 3 for text in lesson.texts])
    assert (colours[hidden] == colours[alike.argmax(1)]).mean() > 0.9


def test_one_seed_gives_the_same_weights(
    encoder: TransformerEncoder, lesson: TextLesson, tuned: Tuned
) -> None:
    again = fine_tune(encoder, lesson, FAST, CPU)
    assert again.figures == tuned.figures
    first = tuned.model.state_dict()
    for name, tensor in again.model.state_dict().items():
        assert torch.equal(tensor, first[name]), name
    other = fine_tune(encoder, lesson, replace(FAST, epochs=1), replace(CPU, seed=1))
    assert other.losses[0] != tuned.losses[0]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precisions_learn_as_much(
    encoder: TransformerEncoder, lesson: TextLesson, tuned: Tuned, precision: str
) -> None:
    half = fine_tune(encoder, lesson, FAST, replace(CPU, precision=precision))
    assert half.losses[0] == pytest.approx(tuned.losses[0], abs=0.05)
    assert max(half.figures) == pytest.approx(max(tuned.figures), abs=0.08)
    assert {weight.dtype for weight in half.model.parameters()} == {torch.float32}


def test_saved_and_loaded_it_gives_the_same_vectors(
    encoder: TransformerEncoder, tuned: Tuned, tmp_path: Path
) -> None:
    tuned.save(tmp_path / "encoder")
    assert not list(tmp_path.rglob("*.bin")), "pickled weights"
    loaded = TransformerEncoder(str(tmp_path / "encoder"), "cpu")
    expected = vectors_of(tuned.model, tuned.tokenizer, list(TITLES[:50]))
    np.testing.assert_allclose(loaded.encode(TITLES[:50]), expected, atol=1e-5)
    assert loaded.name != encoder.name


def test_additions_leave_the_base_alone_and_merge_to_the_same_vectors(
    encoder: TransformerEncoder, lesson: TextLesson
) -> None:
    before = load_model(encoder.folder)[0].state_dict()
    course = module._Course(encoder, lesson, LORA, CPU)
    assert all("lora_" in name for name in course.moving)
    course.run()
    assert max(course.figures) > course.figures[0] + 0.15
    base = course.model.get_base_model().state_dict()
    for name, tensor in base.items():
        if "lora_" not in name:
            assert torch.equal(tensor, before[name.replace(".base_layer", "")]), name
    with torch.no_grad():
        for name, weight in course.moving.items():
            weight.copy_(course.best[name])
    expected = vectors_of(course.model.eval(), course.tokenizer, list(TITLES[:50]))
    tuned = course.tuned()
    assert list(tuned.model.state_dict()) == list(before)
    merged = vectors_of(tuned.model, tuned.tokenizer, list(TITLES[:50]))
    np.testing.assert_allclose(merged, expected, atol=1e-5)
    frozen = vectors_of(*load_model(encoder.folder), list(TITLES[:50]))
    assert np.abs(merged - frozen).max() > 0.05


def test_a_large_encoder_asks_for_peft(
    encoder: TransformerEncoder, lesson: TextLesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match=r"parameters needs .*'peft'.*firstedge\[lora\]"):
        fine_tune(encoder, lesson, LORA, CPU)


def test_the_bundle_is_of_the_fine_tuned_encoder(
    shop: Snapshot, encoder: TransformerEncoder, bundle: Bundle
) -> None:
    told = bundle.about["fine_tuned"]
    assert told["kept"]
    assert max(told["figures"]) > told["figures"][0]
    assert told["validation_gap"]["high"] >= 0
    assert bundle.encoder_folder is not None
    assert bundle.encoder.startswith("encoder@")
    assert bundle.about["fingerprint"] == shop.fingerprint
    # The same shop with the same options is not tuned again.
    again = train(shop, OPTIONS, encoder=encoder)
    assert again.encoder_folder == bundle.encoder_folder
    np.testing.assert_array_equal(again.text_v, bundle.text_v)


def test_the_cache_holds_those_used_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_choice, "KEPT", 2)
    for age, name in enumerate(("new", "middle", "old", "oldest")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "about.json").write_text("{}")
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    (tmp_path / ".staging-of-another").mkdir()
    text_choice._keep(tmp_path / "oldest")
    assert {path.name for path in tmp_path.iterdir()} == {"oldest", "new", ".staging-of-another"}


def test_it_goes_with_the_bundle_wherever_that_goes(
    encoder: TransformerEncoder, shop: Snapshot, bundle: Bundle, tmp_path: Path
) -> None:
    version = save_bundle(bundle, tmp_path / "one")
    assert save_bundle(load_bundle(tmp_path / "one"), tmp_path / "one") == version
    shutil.move(tmp_path / "one", tmp_path / "two")
    moved = load_bundle(tmp_path / "two")
    assert moved.encoder_folder == tmp_path / "two" / version / "encoder"
    own = TransformerEncoder(str(moved.encoder_folder), "cpu", cache=tmp_path / "cache")
    assert (own.name, own.dim) == (bundle.encoder, encoder.dim)
    with open_store(str(tmp_path / "shop.lbug"), Schema.parse(SCHEMA)) as store:
        fill_store(store, 401)
        now = read_snapshot(store, encoder=own)
    fresh = update_bundle(moved, now)
    assert fresh.encoder_folder == moved.encoder_folder
    save_bundle(fresh, tmp_path / "three")
    assert load_bundle(tmp_path / "three").encoder == bundle.encoder
    with pytest.raises(BundleError, match=r"got 'bert@.*pass the one in .*encoder"):
        Recommender(moved, encoder)


def test_a_bundle_without_its_encoder_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    version = save_bundle(bundle, tmp_path / "one")
    loaded = load_bundle(tmp_path / "one")
    shutil.rmtree(tmp_path / "one" / version / "encoder")
    with pytest.raises(BundleError, match="part of the model's own text encoder, is missing"):
        load_bundle(tmp_path / "one")
    with pytest.raises(BundleError, match="own text encoder is gone from"):
        save_bundle(loaded, tmp_path / "two")
    save_bundle(bundle, tmp_path / "three")
    weights = tmp_path / "three" / version / "encoder" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match="own text encoder, is missing, truncated or was altered"):
        load_bundle(tmp_path / "three")


def test_what_does_not_help_is_not_taken(shop: Snapshot, encoder: TransformerEncoder) -> None:
    # Steps so large that they destroy what the encoder knew.
    wild = replace(OPTIONS, fine_tune=replace(FAST, epochs=1, learning_rate=100.0))
    bundle = train(shop, wild, encoder=encoder)
    told = bundle.about["fine_tuned"]
    assert not told["kept"]
    assert max(told["figures"]) == told["figures"][0]
    assert (bundle.encoder, bundle.encoder_folder) == (encoder.name, None)


def test_a_bundle_that_answers_worse_is_not_taken(learner: Learner, bundle: Bundle) -> None:
    noise = np.random.default_rng(0).normal(size=bundle.b.shape).astype(np.float32)
    kept = not_worse((learner, replace(bundle, b=100 * noise)), (learner, bundle))
    assert kept.about["fine_tuned"]["kept"] is False
    assert kept.about["fine_tuned"]["validation_gap"]["high"] < 0
    np.testing.assert_array_equal(kept.b, bundle.b)
    assert not_worse((learner, bundle), (learner, bundle)).about["fine_tuned"]["kept"] is True


def test_too_few_texts_leave_the_encoder_as_it_was(
    shop: Snapshot, encoder: TransformerEncoder
) -> None:
    few = replace(shop.texts, items=tuple(title.split()[0] for title in shop.texts.items))
    bundle = train(replace(shop, texts=few), OPTIONS, encoder=encoder)
    assert bundle.about["fine_tuned"] == {"figures": [], "losses": [], "kept": False}
    assert bundle.encoder == encoder.name


def test_errors_say_what_to_do(shop: Snapshot, home: Path, encoder: TransformerEncoder) -> None:
    with pytest.raises(SettingsError, match="got None: pass an --encoder other than none"):
        train(shop, OPTIONS)
    with pytest.raises(SettingsError, match="give the encoder a folder"):
        train(shop, OPTIONS, encoder=TransformerEncoder(str(home / "bert"), "cpu"))
    for wrong in ({"epochs": 0}, {"temperature": 0.0}, {"batch_texts": 2}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            FineTune(**{**asdict(FAST), **wrong})


@pytest.mark.soak
def test_hidden_products_of_the_sample_shop_are_found(tmp_path: Path) -> None:
    """MiniLM on real titles: some minutes. Seed 0."""
    print("seed 0")
    mappings = load_mappings(RETAIL)
    minilm = TransformerEncoder(device="cpu", cache=tmp_path)
    with open_store(str(tmp_path / "shop.lbug"), Schema.load(RETAIL)) as store:
        import_files(store, mappings, ImportOptions(rejects=tmp_path / "rejects"))
        shop = read_snapshot(store, encoder=minilm)
    options = replace(OPTIONS, fine_tune=FineTune(on=True, epochs=2), ks=(0, 1, 2))
    lesson = text_lesson(Learner(shop, split_users(shop), options))
    tuned = fine_tune(minilm, lesson, options.fine_tune, CPU)
    assert tuned.losses[-1] < tuned.losses[0]
    assert max(tuned.figures) > 1.2 * tuned.figures[0]
    tuned.save(tmp_path / "encoder")
    loaded = TransformerEncoder(str(tmp_path / "encoder"), "cpu")
    rows = lesson.exam.rows
    vectors = loaded.encode([lesson.texts[row] for row in rows])
    assert lesson.exam.figure(vectors) == pytest.approx(max(tuned.figures), abs=1e-4)

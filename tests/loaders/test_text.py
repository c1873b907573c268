"""Text features: the installed MiniLM, and a tiny Chinese BERT made here."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from firstedge.graph.errors import MissingDependency, SettingsError
from firstedge.loaders import text as text_module
from firstedge.loaders.text import TransformerEncoder, batches
from tests.loaders.tiny_bert import save_bert

TITLES = [
    "WHITE HANGING HEART T-LIGHT HOLDER",
    "white hanging heart candle holder",
    "Red garden spade",
    "SET OF 12 COLOURED PENCILS, in a tin with a sliding lid and a sharpener",
    "mug",
]


@pytest.fixture(scope="module")
def minilm() -> TransformerEncoder:
    return TransformerEncoder(device="cpu")


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with a vocabulary of Chinese characters, saved as a folder."""
    folder = tmp_path_factory.mktemp("tiny-chinese")
    characters = sorted(set("红色茶杯蓝花园铲子陶瓷的大小"))
    return save_bert(folder, characters, 12)


def by_hand(folder: Path, text: str, max_length: int = 12) -> np.ndarray:
    """One text at a time: no padding, so no mask; a plain mean."""
    words = (folder / "vocab.txt").read_text("utf-8").split()
    characters = [words.index(c) if c in words else 1 for c in text]
    ids = [2, *characters[: max_length - 2], 3]
    with torch.no_grad():
        states = BertModel.from_pretrained(folder)(torch.tensor([ids])).last_hidden_state[0]
    mean = states.double().mean(0).numpy()
    return mean / np.linalg.norm(mean)


def test_minilm_gives_unit_rows_that_know_what_is_alike(minilm: TransformerEncoder) -> None:
    vectors = minilm.encode(TITLES)
    assert vectors.dtype == np.float32
    assert vectors.shape == (5, minilm.dim) == (5, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    alike = vectors @ vectors.T
    assert alike[0, 1] > 0.75
    assert alike[0, 2] < 0.4


def test_the_same_vectors_as_sentence_transformers(minilm: TransformerEncoder) -> None:
    from sentence_transformers import SentenceTransformer

    texts = [*TITLES, "word " * 400]
    theirs = SentenceTransformer(str(minilm.folder), device="cpu").encode(texts)
    cosine = (minilm.encode(texts) * theirs).sum(1) / np.linalg.norm(theirs, axis=1)
    assert cosine.min() > 0.99999


def test_a_chinese_bert_pools_as_by_hand(chinese: Path) -> None:
    texts = ["红色茶杯", "蓝色花园铲子", "茶", "陶瓷的大茶杯红色蓝色花园铲子小", "x红y"]
    encoder = TransformerEncoder(str(chinese), device="cpu", batch_tokens=64)
    expected = np.stack([by_hand(chinese, text) for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), expected, atol=1e-6)
    assert encoder.dim == 16


def test_padding_does_not_reach_the_mean(chinese: Path) -> None:
    model = TransformerEncoder(str(chinese), device="cpu")._model
    texts = ["茶", "红色的陶瓷茶杯"]
    together = model.pool(model.tokenize(texts, 12))
    np.testing.assert_allclose(together, [by_hand(chinese, t) for t in texts], atol=1e-6)


def test_max_length_cuts_and_is_part_of_the_name(chinese: Path) -> None:
    short = TransformerEncoder(str(chinese), device="cpu", max_length=4)
    np.testing.assert_allclose(
        short.encode(["红色茶杯"]), [by_hand(chinese, "红色茶杯", 4)], atol=1e-6
    )
    assert short.name != TransformerEncoder(str(chinese)).name
    # Longer than the model has positions for is as long as it has.
    assert TransformerEncoder(str(chinese), max_length=99).max_length == 12


def test_no_text_gives_the_zero_row(minilm: TransformerEncoder) -> None:
    vectors = minilm.encode(["", " \n", "mug"])
    assert not vectors[:2].any()
    assert vectors[2].any()
    assert minilm.encode([]).shape == (0, 384)
    assert not minilm.encode(["", ""]).any()


def test_equal_texts_are_encoded_once(
    minilm: TransformerEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    pool = minilm._model.pool
    monkeypatch.setattr(minilm._model, "pool", lambda ids: (seen.append(len(ids)), pool(ids))[1])
    vectors = minilm.encode(["mug", "spade", "mug", " mug ", "spade"])
    assert sum(seen) == 2
    np.testing.assert_array_equal(vectors[[0, 0, 0, 1]], vectors[[0, 2, 3, 4]])


def test_a_second_run_needs_no_model(
    chinese: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = TransformerEncoder(str(chinese), device="cpu", cache=tmp_path)
    before = first.encode(["红色", "茶杯", ""])

    monkeypatch.setattr(text_module._Model, "load", lambda *_: pytest.fail("loaded the model"))
    second = TransformerEncoder(str(chinese), device="cpu", cache=tmp_path)
    np.testing.assert_array_equal(second.encode(["", "茶杯", "红色"]), before[[2, 1, 0]])


def test_the_cache_is_of_one_model_content(chinese: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    BertTokenizer.from_pretrained(chinese).save_pretrained(other)
    torch.manual_seed(1)
    BertModel(BertConfig.from_pretrained(chinese)).eval().save_pretrained(other)
    cache = tmp_path / "cache"
    one = TransformerEncoder(str(chinese), device="cpu", cache=cache)
    two = TransformerEncoder(str(other), device="cpu", cache=cache)
    assert np.abs(one.encode(["红色"]) - two.encode(["红色"])).max() > 0.01
    assert one.name.split("@")[1] != two.name.split("@")[1]


def test_a_full_cache_imports_neither_torch_nor_transformers(chinese: Path, tmp_path: Path) -> None:
    TransformerEncoder(str(chinese), device="cpu", cache=tmp_path).encode(["红色"])
    code = (
        "import sys; from pathlib import Path\n"
        "from firstedge.loaders.text import TransformerEncoder\n"
        "encoder = TransformerEncoder(sys.argv[1], cache=Path(sys.argv[2]))\n"
        "assert encoder.encode(['红色']).any()\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(chinese), str(tmp_path)], check=True)


def test_batches_hold_similar_lengths_within_the_budget() -> None:
    lengths = np.random.default_rng(0).integers(3, 256, 1000)
    found = list(batches(lengths, 512))
    assert sorted(np.concatenate(found)) == list(range(1000))
    for batch in found:
        longest, shortest = lengths[batch].max(), lengths[batch].min()
        assert len(batch) == 1 or longest * len(batch) <= 512
        assert longest <= shortest * 17 / 16
    padded = sum(lengths[b].max() * len(b) for b in found)
    assert padded < 1.04 * lengths.sum()


def test_an_unknown_model_says_what_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SettingsError, match="no text encoder 'nobody/nothing'"):
        TransformerEncoder("nobody/nothing")
    with pytest.raises(SettingsError, match=r"no usable model: config\.json"):
        TransformerEncoder(str(tmp_path))
    (tmp_path / "config.json").write_text('{"hidden_size": 4}')
    with pytest.raises(SettingsError, match="pickled weights are not loaded"):
        TransformerEncoder(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"short")
    with pytest.raises(SettingsError, match="cannot load the text encoder"):
        TransformerEncoder(str(tmp_path)).encode(["mug"])


def test_damaged_weights_and_a_wrong_device_are_named(chinese: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(chinese, damaged)
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(SettingsError, match=r"cannot load the text encoder in .*damaged"):
        TransformerEncoder(str(damaged)).encode(["红"])
    with pytest.raises(SettingsError, match="cannot compute on device 'abacus'"):
        TransformerEncoder(str(chinese), device="abacus").encode(["红"])


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match=r"pip install 'firstedge\[train\]'"):
        TransformerEncoder()


@pytest.mark.parametrize("wrong", [{"max_length": 2}, {"batch_tokens": 0}])
def test_settings_are_checked(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        TransformerEncoder(**wrong)

"""Whether a fine-tuned text encoder is taken: by what it does for validation users, or not at all.

Twice it is held against the encoder as it was. While it is tuned, by how well the texts of a user's
first items find hidden items; and in the end, two whole models by how well they answer validation
users.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstedge._version import __version__
from firstedge.graph.errors import SettingsError
from firstedge.graph.text import TextEncoder
from firstedge.loaders.snapshot import Snapshot, encode_texts
from firstedge.loaders.text import TransformerEncoder
from firstedge.models import metrics
from firstedge.models.bundle import Bundle
from firstedge.models.fine_tune import TextLesson, fine_tune
from firstedge.models.protocol import evaluate
from firstedge.models.result_cache import digest_arrays, key_of
from firstedge.models.scorer import Scorer
from firstedge.models.text_pairs import Exam, ItemTexts, text_pairs
from firstedge.models.workers import Workers

if TYPE_CHECKING:
    from firstedge.models.train import Learner

# Pairs are counted as for the spectrum: long histories by the root of their length less.
_LENGTH_DISCOUNT = 0.5
_ABOUT = "about.json"
# Fine-tuned encoders that the cache holds, those used last: one may take gigabytes.
KEPT = 4
ENCODER = "encoder"


@dataclass(frozen=True)
class Retold:
    """A shop as a fine-tuned encoder reads it.

    Attributes:
        about: Figures before and after, for people.
        encoder: The encoder; None if none was better than the one before.
        snapshot: The shop with that encoder's vectors, or as it was.
    """

    about: dict[str, Any]
    encoder: TransformerEncoder | None
    snapshot: Snapshot


def tunable(snapshot: Snapshot, encoder: TextEncoder | None) -> TransformerEncoder:
    """The encoder of a shop's texts, if it can be fine-tuned here.

    Raises:
        SettingsError: If it is not the encoder of the shop, is of another make or has no cache; or
            if several processes train.
    """
    if not isinstance(encoder, TransformerEncoder) or encoder.name != snapshot.encoder:
        raise SettingsError(
            "fine-tuning needs the transformers encoder that the texts were read with "
            f"({snapshot.encoder or 'none'!r}), got {encoder!r}: pass an --encoder other than none"
        )
    if encoder.cache is None:
        raise SettingsError("a fine-tuned encoder is kept in the cache: give the encoder a folder")
    if Workers.now().count > 1:
        raise SettingsError(
            "texts are fine-tuned by one process: train without torchrun, or with torchrun from "
            "an encoder that was fine-tuned before (--encoder BUNDLE/VERSION/encoder)"
        )
    return encoder


def retell(learner: Learner, encoder: TransformerEncoder, say: Callable[[str], None]) -> Retold:
    """Fine-tune the encoder of a shop's texts on its training users, and read the texts with it.

    What was tuned before on the same shop in the same way is taken from the encoder's cache.

    Args:
        learner: Training and validation users.
        encoder: What the shop's texts were read with, see `tunable`.
        say: Takes a line on what came of it.

    Raises:
        MissingDependency: If a large encoder asks for peft, and it is not installed.
    """
    lesson = text_lesson(learner)
    if not (lesson.exam.tells(learner.options.least_users) and lesson.together.nnz):
        say("texts are too few, or of too few users, to fine-tune their encoder: it stays as it is")
        return Retold({"figures": [], "losses": []}, None, learner.snapshot)
    cache = Path(encoder.cache or "")
    folder = cache / "fine-tuned" / _key(learner, lesson, encoder)
    if not (folder / _ABOUT).exists():
        _tune(learner, lesson, encoder, folder)
    _keep(folder)
    about = json.loads((folder / _ABOUT).read_text("utf-8"))
    figures = about["figures"]
    say(f"fine-tuned texts: NDCG@20 of hidden items {figures[0]:.4f}, then {max(figures):.4f}")
    if not (folder / ENCODER).is_dir():
        return Retold(about, None, learner.snapshot)
    tuned = TransformerEncoder(
        str(folder / ENCODER), encoder.device, encoder.max_length, encoder.batch_tokens, cache
    )
    return Retold(about, tuned, encode_texts(learner.snapshot, tuned))


def text_lesson(learner: Learner) -> TextLesson:
    """What the encoder is tuned on, and asked, in a split."""
    data, seed = learner.data, learner.options.fit.seed
    texts = ItemTexts.read(learner.snapshot.texts.items)
    hidden = texts.hide(seed)
    pairs = text_pairs(data.cooccurrence(_LENGTH_DISCOUNT), data.counts, texts, hidden)
    return TextLesson(texts.texts, pairs, Exam.of(learner.held.validation, texts, hidden))


def not_worse(other: tuple[Learner, Bundle], base: tuple[Learner, Bundle]) -> Bundle:
    """The other bundle, unless it answers validation users significantly worse."""
    theirs, ours = (
        evaluate(Scorer(bundle), learner.cases, learner.data.popularity).ndcg.mean(0)
        for learner, bundle in (base, other)
    )
    (gap,) = metrics.relative_differences(ours[None], theirs[None])
    kept = gap.high >= 0
    chosen = (other if kept else base)[1]
    told = {**base[1].about["fine_tuned"], "kept": kept, "validation_gap": asdict(gap)}
    return replace(chosen, about={**chosen.about, "fine_tuned": told})


def _key(learner: Learner, lesson: TextLesson, encoder: TransformerEncoder) -> str:
    exam, pairs = lesson.exam, lesson.together
    arrays = [pairs.data, pairs.indices, exam.rows, exam.given.data, exam.given.indices]
    arrays += [exam.targets.offsets, exam.targets.items]
    options = learner.options
    return key_of(
        {
            "by": f"{__version__} {encoder.name} {options.fine_tune!r}",
            "fit": [options.fit.seed, str(options.fit.torch_device), str(options.fit.dtype)],
            "of": digest_arrays(arrays),
            "texts": list(lesson.texts),
        }
    )


def _keep(folder: Path) -> None:
    """Mark a fine-tuned encoder as used, and remove what was not for longest."""
    os.utime(folder)
    held = (one for one in folder.parent.iterdir() if (one / _ABOUT).exists())
    for old in sorted(held, key=lambda one: one.stat().st_mtime_ns, reverse=True)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def _tune(learner: Learner, lesson: TextLesson, encoder: TransformerEncoder, folder: Path) -> None:
    """Write the encoder, if it is better, and its figures; the folder is there whole or not."""
    began = time.process_time()
    tuned = fine_tune(encoder, lesson, learner.options.fine_tune, learner.options.fit)
    took = round(time.process_time() - began, 1)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=folder.parent))
    try:
        if tuned.better:
            tuned.save(staging / ENCODER)
        about = {"figures": tuned.figures, "losses": tuned.losses, "cpu_seconds": took}
        (staging / _ABOUT).write_text(json.dumps(about), "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)

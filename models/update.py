"""Refreshing a bundle from the store in seconds: all but the net.

Popularity, item edges, category and profile lifts are counted anew, with the options and weights
that training chose; items added since are embedded from text and category, and borrow edges.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import BundleError
from firstedge.graph.histories import kind_weights
from firstedge.loaders.snapshot import Snapshot
from firstedge.models.assemble import ByK, Draft, Learned
from firstedge.models.baselines import TrainingData
from firstedge.models.bundle import Bundle, Coefficients
from firstedge.models.closed_forms import CategoryTree, NaiveBayes, profile_lifts
from firstedge.models.evidence import EvidenceChoice, build_evidence
from firstedge.models.factors import IALS
from firstedge.models.fuse import Fusion, finish, late_popularity
from firstedge.models.text_axes import principal_axes

Floats = npt.NDArray[np.float32]


def update_bundle(bundle: Bundle, snapshot: Snapshot) -> Bundle:
    """A bundle of the same net over what the store holds now.

    Args:
        bundle: As `train` or an earlier update made it.
        snapshot: The shop now, read with the bundle's encoder if it has one.

    Raises:
        BundleError: If the bundle was not made by `train`, or by that of an older firstedge, or
            the snapshot was read with another encoder or under a Schema with other kinds of events.
    """
    began = time.perf_counter()
    _check(bundle, snapshot)
    about = bundle.about
    histories = snapshot.histories.speaking(snapshot.schema)
    data = TrainingData(
        histories, CategoryTree(snapshot.primary, snapshot.parents), snapshot.item_text
    )
    choice, fusion = _chosen(about)
    smoothing = float(about["options"]["profile_smoothing"])
    lifts = profile_lifts(data.x, snapshot.profiles, smoothing)
    evidence = build_evidence(data, choice)
    draft = Draft(
        snapshot=snapshot,
        data=data,
        learned=carry_over(bundle, snapshot),
        evidence=evidence,
        profile_lifts=lifts,
        text_axes=_text_axes(bundle, snapshot),
        late=late_popularity(data, fusion.half_life),
    )
    fresh = finish(draft, fusion)
    news = {
        "updated_fingerprint": snapshot.fingerprint,
        "users": len(snapshot.users),
        "events": len(histories.targets),
        "new_items": sum(id_ not in bundle.items for id_ in snapshot.items),
        "update_seconds": round(time.perf_counter() - began, 1),
    }
    return replace(
        fresh,
        coefficients=replace(fresh.coefficients, repeat=bundle.coefficients.repeat),
        encoder_folder=bundle.encoder_folder,
        about={**about, **news},
    )


def carry_over(bundle: Bundle, snapshot: Snapshot) -> Learned:
    """What the net learned, for the items, categories and profile values that there are now."""
    old = Learned.of_bundle(bundle)
    items = bundle.items.rows(snapshot.items.ids, "skip")
    categories = bundle.categories.rows(snapshot.categories.ids, "skip")
    values = bundle.profile_values.rows(snapshot.profile_values.ids, "skip")
    n = len(bundle.items)
    category_v = _inherited(old.v[n:], categories, snapshot)
    category_w = _inherited(old.category_w, categories, snapshot)
    new_v = snapshot.item_text @ old.text_v + _mean(category_v, snapshot)
    new_w = snapshot.item_text @ old.text_w + _mean(category_w, snapshot)
    known = items >= 0
    v, w = (
        np.where(known[:, None], array[items], new)
        for array, new in ((old.v[:n], new_v), (old.w, new_w))
    )
    return replace(
        old,
        v=np.concatenate((v, category_v)).astype(np.float32),
        w=w.astype(np.float32),
        bias=np.where(known, old.bias[items], 0).astype(np.float32),
        profile=_rows_or_zero(old.profile, values),
        category_w=category_w,
    )


def _inherited(vectors: Floats, rows: npt.NDArray[np.int64], snapshot: Snapshot) -> Floats:
    """Vectors of categories; a new one takes its nearest known ancestor's, or zeros."""
    parents = snapshot.parents
    at = np.arange(len(rows))
    for _ in range(len(rows)):
        lost = (rows[at] < 0) & (parents[at] >= 0)
        if not lost.any():
            break
        at = np.where(lost, parents[at], at)
    return _rows_or_zero(vectors, rows[at])


def _text_axes(bundle: Bundle, snapshot: Snapshot) -> Floats:
    """Those of the bundle; without them text has no weight, and any tell what items are alike."""
    if bundle.text_axes.shape[1]:
        return bundle.text_axes
    return principal_axes(snapshot.item_text, int(bundle.about["options"]["text_axes"]))


def _rows_or_zero(vectors: Floats, rows: npt.NDArray[np.int64]) -> Floats:
    if not len(vectors):
        return np.zeros((len(rows), vectors.shape[1]), np.float32)
    return np.where((rows >= 0)[:, None], vectors[rows], 0).astype(np.float32)


def _mean(vectors: Floats, snapshot: Snapshot) -> Floats:
    """float32[n, d]: the mean vector of each item's categories."""
    counts = np.maximum(np.diff(snapshot.memberships.indptr), 1).astype(np.float32)
    return np.asarray((snapshot.memberships @ vectors) / counts[:, None], np.float32)


def _check(bundle: Bundle, snapshot: Snapshot) -> None:
    if "fusion" not in bundle.about:
        raise BundleError("this bundle does not say how it was fused: `firstedge train` it")
    if snapshot.encoder != bundle.encoder or snapshot.item_text.shape[1] != len(bundle.text_w):
        raise BundleError(
            f"the bundle was trained with the encoder {bundle.encoder!r}, the snapshot was read "
            f"with {snapshot.encoder!r}: read it with the same one, or train again"
        )
    if not np.array_equal(kind_weights(bundle.schema), kind_weights(snapshot.schema)):
        raise BundleError(
            f"the bundle knows the kinds {bundle.schema.kinds}, the Schema names "
            f"{snapshot.schema.kinds} or weighs them otherwise: train again"
        )


def _chosen(about: Mapping[str, Any]) -> tuple[EvidenceChoice, Fusion]:
    try:
        return _choice(about["evidence"]), _fusion(about["fusion"])
    except (KeyError, TypeError):
        raise BundleError(
            f"this bundle is of firstedge {about.get('firstedge')}, which chose otherwise: "
            "`firstedge train` it again"
        ) from None


def _choice(stored: dict[str, Any]) -> EvidenceChoice:
    restored = {
        **stored,
        "bayes": NaiveBayes(**stored["bayes"]),
        "walks": tuple(stored["walks"]),
        "factors": IALS(**stored["factors"]) if stored["factors"] else None,
    }
    return EvidenceChoice(**restored)


def _fusion(stored: dict[str, Any]) -> Fusion:
    restored = {
        **stored,
        "sizes": tuple(stored["sizes"]),
        "coefficients": Coefficients(**stored["coefficients"]),
        "by_k": ByK(**stored["by_k"]),
    }
    fusion = Fusion(**restored)
    # The bundle's first row of c has this factor already.
    by_k = replace(fusion.by_k, start_net=fusion.coefficients.net or 1.0)
    return replace(fusion, by_k=by_k)

"""Fixtures of the service's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstedge.models.bundle_file import save_bundle
from tests.serving.places import BUNDLE, Place
from tests.serving.stores import fill_store


@pytest.fixture(params=["embedded", "neo4j"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    save_bundle(BUNDLE, tmp_path / "bundle")
    url = str(tmp_path / "shop.lbug")
    if request.param == "neo4j":
        url = request.getfixturevalue("neo4j_server").url
    place = Place(url, tmp_path / "bundle")
    with place.open() as store:
        fill_store(store, BUNDLE)
    return place

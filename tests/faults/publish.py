"""Publishing while faults happen."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from firstedge.graph.neo4j_store import Neo4jStore
from firstedge.serving.publish import PublishOptions, open_publication, publish
from tests.serving.published import Library, ask, difference, fill, shop_bundle

FEW = PublishOptions(strangers=5)


class Publish:
    """A second version beside the first: queries read the one or the other, whole."""

    name: ClassVar[str] = "publish"
    items: ClassVar[int] = 60
    seeds: ClassVar[tuple[int, int]] = (3, 4)

    def prepare(self, url: str, folder: Path) -> None:
        fill(url, shop_bundle(self.items))
        self._publish(url, self.seeds[0], 30.0)

    def work(self, url: str, folder: Path, patience: float) -> None:
        self._publish(url, self.seeds[1], patience)

    def check(self, url: str, folder: Path, printed: str, finished: bool) -> None:
        schema = shop_bundle(self.items).schema
        with Neo4jStore(url, schema) as store:
            current = open_publication(store, schema).current()
            assert current is not None, "nothing is published any more"
            assert current.version in map(str, self.seeds[1:] if finished else self.seeds)
            bundle = shop_bundle(self.items, int(current.version))
            library = Library.of(store, bundle)
            assert not difference(store, library, "new4")
            count = (
                f"MATCH ()-[e:{current.slot.similar}]->() RETURN count(e) AS n, sum(e.weight) AS w"
            )
            [row] = ask(store, count)
            assert row["n"] == len(bundle.edges), "an edge is lost or doubled"
            assert row["w"] == pytest.approx(float(bundle.edges.weights.sum()), rel=1e-5)

    def _publish(self, url: str, seed: int, patience: float) -> None:
        bundle = shop_bundle(self.items, seed)
        with Neo4jStore(url, bundle.schema, patience=patience) as store:
            publish(store, bundle, str(seed), FEW)

"""Benchmarks compare like with like, and their table judges rightly."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from firstedge.graph.histories import Given
from firstedge.models.scorer import UserBatch
from tests.conftest import ROOT, load_script


def script(name: str) -> ModuleType:
    return load_script(ROOT / "benchmarks" / f"{name}.py")


def test_both_ways_to_embed_users_are_what_they_say() -> None:
    bench = script("embed_rate")
    histories = bench.draw_histories(bench.CHUNK + 300, np.random.default_rng(0))
    additive, sage = bench.Additive(histories, threads=2), bench.Sage(histories)
    at_once = UserBatch.of(Given.of(histories, additive.weights))
    np.testing.assert_array_equal(additive.embed(), additive.scorer.embed_users(at_once))
    by_index, by_matrix = sage.embed_by_index().numpy(), sage.embed_by_matrix().numpy()
    np.testing.assert_allclose(by_index, by_matrix, rtol=1e-4, atol=1e-4)


def printed(*command: str) -> dict[str, Any]:
    """What a benchmark prints, in small."""
    done = subprocess.run(
        [sys.executable, "-m", *command, "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_service_and_echo_are_asked_alike_and_load_is_shed_cleanly() -> None:
    small = ("--items", "5000", "--seconds", "0.5", "--rounds", "1")
    found = printed("benchmarks.serve_rate", *small)
    assert found["answer bytes"] > 20 * 40
    assert 0 < found["throughput / echo"] < 1
    assert set(found["twice that, codes"]) <= {"OK", "RESOURCE_EXHAUSTED"}
    assert found["twice that, accepted a second"] > 0


def test_approximate_answers_recall_what_they_should() -> None:
    found = printed("benchmarks.topk_rate", "--items", "20000", "--rounds", "2")
    assert found["recall of the approximate (goal >= .98)"] >= 0.97


def test_memory_is_about_that_of_the_vectors_and_edges() -> None:
    found = printed("benchmarks.serve_start", "--items", "20000", "--rounds", "1")
    assert found["MB of vectors and edges"] > 50
    assert found["MB beyond nothing / of vectors and edges"] < 1.5


@pytest.mark.parametrize(
    ("value", "at_most", "goal", "met"),
    [(9.0, False, ">= 10", False), (10.0, False, ">= 10", True), (12.0, True, "<= 10", False)],
)
def test_figures_are_held_against_their_goals(
    value: float, at_most: bool, goal: str, met: bool
) -> None:
    run = script("run")
    figure = run.Figure("of vectors", ("ratios", "a"), 10, at_most)
    (found,) = run.judge(run.Benchmark("embed_rate", (), (figure,)), {"ratios": {"a": value}})
    assert found == run.Found("embed_rate", "of vectors", value, goal, met)


def test_a_benchmark_that_fails_says_why() -> None:
    run = script("run")
    with pytest.raises(run.BenchmarkError, match="unrecognized arguments: --nonsense"):
        run.measure(run.Benchmark("import_files", ("--nonsense",), ()))


def test_every_figure_of_the_table_is_one_that_its_benchmark_prints() -> None:
    run = script("run")
    for benchmark in run.BENCHMARKS:
        source = (ROOT / "benchmarks" / f"{benchmark.script}.py").read_text()
        for figure in benchmark.figures:
            for key in figure.keys:
                names = [key] if f'"{key}"' in source else key.split(" / ")
                assert all(f'"{name}"' in source for name in names), (benchmark.script, key)


def test_a_figure_that_was_not_printed_is_named() -> None:
    run = script("run")
    benchmark = run.Benchmark("embed_rate", (), (run.Figure("of vectors", ("ratios", "a")),))
    with pytest.raises(run.BenchmarkError, match="it printed no figure 'a'"):
        list(run.judge(benchmark, {"ratios": {}}))


def test_the_shop_for_measuring_scale_has_tails_as_real_ones(tmp_path: Path) -> None:
    script("scale_shop").write_shop(tmp_path, 20_000, seed=3)
    users, items, events = (
        pq.read_table(tmp_path / f"{name}.parquet") for name in ("users", "items", "events")
    )
    assert (users.num_rows, items.num_rows) == (2_000, 400)
    assert 18_000 < events.num_rows < 22_000
    lengths = np.sort(events["user"].value_counts().field("counts").to_numpy())
    assert len(lengths) == 2_000
    assert np.median(lengths) <= 7  # while the mean is ten
    assert lengths[-1] > 100
    touched = np.sort(events["item"].value_counts().field("counts").to_numpy())[::-1]
    assert 0.2 < touched[:20].sum() / events.num_rows < 0.5  # a twentieth of the catalogue
    assert touched[-1] < 25
    names = events["user"].to_numpy()
    times = events["time"].to_numpy()
    same = names[1:] == names[:-1]
    assert (times[1:][same] >= times[:-1][same]).all()
    assert times.max() < np.datetime64("2025-01-01")  # an importer rejects what is yet to come


def test_measuring_scale_goes_on_from_what_is_kept(tmp_path: Path) -> None:
    scale = script("scale")
    names = [*scale.commands(500, tmp_path)]
    assert names == ["files", *scale.STAGES]
    done = {name: {"seconds": 1.5, "cpu": 1.0, "gib": 0.5, "parts": {}} for name in names}
    done["train"]["parts"] = {"net": 1.0}
    (tmp_path / "figures.json").write_text(json.dumps(done), "utf-8")
    found = scale.measure(500, tmp_path)
    assert {name: asdict(stage) for name, stage in found.items()} == done
    del done["files"]
    (tmp_path / "figures.json").write_text(json.dumps(done), "utf-8")
    again = scale.measure(500, tmp_path)
    assert again["train"] == found["train"]
    assert 0 < again["files"].gib < 2
    assert pq.read_table(tmp_path / "users.parquet").num_rows == 50
    assert json.loads((tmp_path / "figures.json").read_text("utf-8")).keys() == set(names)


def test_growth_is_the_exponent_of_time() -> None:
    scale = script("scale")
    assert scale.growth(2.0, 20.0, 10.0) == pytest.approx(1)
    assert scale.growth(2.0, 200.0, 10.0) == pytest.approx(2)

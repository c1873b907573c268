"""Benchmarks compare like with like, and their table judges rightly."""

from __future__ import annotations

from types import ModuleType

import numpy as np
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
                assert f'"{key}"' in source, (benchmark.script, key)


def test_a_figure_that_was_not_printed_is_named() -> None:
    run = script("run")
    benchmark = run.Benchmark("embed_rate", (), (run.Figure("of vectors", ("ratios", "a")),))
    with pytest.raises(run.BenchmarkError, match="it printed no figure 'a'"):
        list(run.judge(benchmark, {"ratios": {}}))

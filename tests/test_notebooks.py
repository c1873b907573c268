"""Notebooks run from top to bottom, say what their text says, and are stored without outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_stored(path: Path) -> None:
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)


def execute(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> NotebookNode:
    """A notebook with its outputs, run in a folder of its own."""
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # on tensors this small, threads wait on each other
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    notebook = read(ROOT / "notebooks" / name)
    client = NotebookClient(
        notebook, timeout=500, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    client.execute()
    return notebook


@pytest.mark.filterwarnings("default")  # the kernel's client warns of its own affairs
def test_quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = execute("quickstart.ipynb", tmp_path, monkeypatch)
    rankings = ranked(shown(notebook, "recommender.recommend("))
    assert [len(ids) for ids in rankings] == [5, 5, 5, 5]
    for k, ids in enumerate(rankings[1:], start=1):
        kitchen = [id_ for id_ in ids if id_.startswith("k")]
        assert len(kitchen) >= 4, f"after {k} purchases for the kitchen: {ids}"
    shares = [float(line.split()[0]) for line in shown(notebook, "reason.share").splitlines()]
    assert sum(shares[:-1]) == pytest.approx(shares[-1], abs=0.001 * len(shares))
    assert "(60, 28)" in shown(notebook, "embed_users(")
    assert "image/png" in str(outputs(notebook, "neighbourhood(store"))


@pytest.mark.filterwarnings("default")
def test_cold_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = execute("cold_start.ipynb", tmp_path, monkeypatch)
    curves = {
        line[:24].strip(): [float(figure) for figure in line[24:].split()]
        for line in shown(notebook, "plot(report").splitlines()
        if line[24:25] == " " and line[25:26].isdigit()
    }
    ours, popular, truth = (
        curves[name] for name in ("firstedge", "popularity", "category popularity")
    )
    assert ours[0] > 1.03 * popular[0], "the country tells something at k = 0"
    assert min(a / b for a, b in zip(ours[1:4], popular[1:4], strict=True)) > 1.2
    assert min(a / b for a, b in zip(ours[:4], truth[:4], strict=True)) > 0.93
    assert "image/png" in str(outputs(notebook, "plot(report"))
    assert "country                Norway" in shown(notebook, "segment.unsure")
    said = shown(notebook, "print(report.sentence)")
    assert said.startswith("with 3 events firstedge finds ")
    assert "popularity" in said.split("; at k = 0 it ")[1]
    assert "it has seen users whom it is tested on" in shown(notebook, "LeakageError")


@pytest.mark.filterwarnings("default")
def test_serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executed = execute("serving.ipynb", tmp_path, monkeypatch)
    known, one = shown(executed, "nothing known").splitlines()
    assert known.endswith("(0 known)")
    garden = one.removeprefix("one purchase: ").split("  ")[0].split(", ")
    assert sum(id_.startswith("g") for id_ in garden) >= 4
    *moved, _ = shown(executed, "record_events").splitlines()
    assert [line[-8:] for line in moved] == ["1 known)", "2 known)", "3 known)"]
    for line in moved:
        kitchen = line.split(": ")[1].split("  ")[0].split(", ")
        assert sum(id_.startswith("k") for id_ in kitchen) >= 4
        assert not {"k03"} & set(kitchen)
    assert len({line.split(": ")[1] for line in moved}) == 3
    most, *loads = shown(executed, "under_load").splitlines()
    assert int(most.split()[0]) > 50
    assert all("'OK'" in line for line in loads[:2])
    assert "image/png" in str(outputs(executed, "under_load"))
    stopped = shown(executed, "server.terminate").splitlines()
    assert stopped == ["exit code 0", "['k03', 'k06', 'k13']"]


@pytest.mark.filterwarnings("default")
def test_neo4j(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, neo4j_server: Any) -> None:
    monkeypatch.setenv("FIRSTEDGE_STORE", neo4j_server.url)
    executed = execute("neo4j.ipynb", tmp_path, monkeypatch)
    assert "'items': 40" in shown(executed, "published.as_dict()")
    *rows, same = shown(executed, "ada:Person").strip().splitlines()
    assert sum("Crime" in row for row in rows) >= 4, "film 7 is crime"
    assert same == "the same as the library's: True"
    filtered, fresh = shown(executed, "personId: 1000").splitlines()
    assert filtered.count("Comedy") == 4
    assert "Crime" not in filtered
    assert fresh.count("Crime") >= 2, "most of those in Norway like crime"
    *shares, total = shown(executed, "shares = ").strip().splitlines()
    parts = [float(line.split()[0]) for line in shares]
    assert sum(parts) == pytest.approx(float(total.split()[0]), abs=0.001 * len(parts))
    assert "image/png" in str(outputs(executed, "neighbourhood(store"))
    assert shown(executed, "roll_back(store").splitlines() == [
        "slot b - back to True",
        "nodes that still know of it: 0",
    ]


def outputs(notebook: NotebookNode, having: str) -> list[NotebookNode]:
    """What the cell with this text in its source gave."""
    (cell,) = (
        cell for cell in notebook.cells if cell.cell_type == "code" and having in cell.source
    )
    return list(cell.outputs)


def shown(notebook: NotebookNode, having: str) -> str:
    """The same as text."""
    found = outputs(notebook, having)
    return "".join(part.get("text") or part.get("data", {}).get("text/plain", "") for part in found)


def ranked(text: str) -> list[list[str]]:
    """The ids of the rankings in a text, whose lines are a place, a score, an id, ..."""
    blocks = [block.splitlines() for block in text.split("k = ")[1:]]
    return [[line.split()[2] for line in block[1:] if line.strip()] for block in blocks]

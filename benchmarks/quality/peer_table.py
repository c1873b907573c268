"""Other libraries through their own code: what each does for a user whom it has never seen.

Each is installed into an environment of its own, given the training users of a fold, and asked for
the test users after k = 1, 3 and 10 items; its lists are measured as ours are. A method with a few
options takes those that the validation users like best; our row is the leaderboard's.

Example: python -m benchmarks.quality.peer_table --sets ml-100k --peers lenskit
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.cells import RESULTS, read_cell
from benchmarks.quality.shops import WORK, open_shop, shop_of
from benchmarks.quality.work import Task, build
from firstedge.graph.errors import DataError
from firstedge.models import metrics
from firstedge.models.comparison import OURS
from firstedge.models.protocol import KShotCase
from firstedge.models.rounds import Round

PEERS = Path(__file__).resolve().parent / "peers"
K = 20
GIVEN = ("1", "3", "10")


@dataclass(frozen=True)
class Peer:
    """A library: the script that runs it, and what is installed into its environment."""

    script: str
    packages: tuple[str, ...]


LIBRARIES = {
    "lenskit": Peer("lenskit_peer.py", ("lenskit",)),
    "rectools": Peer("rectools_peer.py", ("rectools",)),
    # Its last release is older than numpy 2 and setuptools 81.
    "recbole": Peer(
        "recbole_peer.py", ("recbole", "numpy<2", "scipy<1.12", "pandas<2.2", "setuptools<81")
    ),
    "gorse": Peer("gorse_peer.py", ()),  # a server, which its script compiles by `go`
}


def questions(round_: Round) -> dict[str, Any]:
    """Training histories and given items as lists of item rows, the oldest first."""
    touches = round_.training.histories.touches()
    train = np.split(touches.items, touches.offsets[1:-1])
    asked = {}
    for part, cases in cases_of(round_).items():
        asked[part] = {}
        for k, case in cases.items():
            edges = case.users.given
            users = np.split(edges.targets, edges.offsets[1:-1])
            asked[part][k] = [items[::-1].tolist() for items in users]
    return {"train": [items.tolist() for items in train], "asked": asked}


def cases_of(round_: Round) -> dict[str, dict[str, KShotCase]]:
    """Who chooses and who is asked, by the number of given items."""
    parts = {"validation": round_.validation, "test": round_.test}
    return {
        part: {case.label: case for case in cases.cases if case.label in GIVEN}
        for part, cases in parts.items()
    }


def figures(case: KShotCase, lists: Sequence[Sequence[int]]) -> float:
    """NDCG of ranked lists of item rows; what was given counts as an empty place."""
    ranked = np.full((len(lists), K), -1, np.int64)
    for row, items in enumerate(lists):
        ranked[row, : len(items[:K])] = items[:K]
    hit = metrics.hits(ranked, case.targets)
    return float(metrics.ndcg(hit, case.targets.counts).mean())


def chosen(
    tried: Sequence[Mapping[str, Any]], cases: Mapping[str, Mapping[str, KShotCase]]
) -> tuple[str, dict[str, float]]:
    """The options that validation users like best, and the test users' figures with them."""

    def by_k(one: Mapping[str, Any], part: str) -> dict[str, float]:
        return {k: figures(case, one["lists"][part][k]) for k, case in cases[part].items()}

    best = max(tried, key=lambda one: sum(by_k(one, "validation").values()))
    options = ", ".join(f"{name} {value}".strip() for name, value in best["options"].items())
    of = f" (of {len(tried)})" if len(tried) > 1 else ""
    return (options or "as it comes") + of, by_k(best, "test")


def ask(name: str, data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Run a library in its environment, made once; what it leaves behind stays there."""
    peer = LIBRARIES[name]
    home = folder / name
    python = home / "bin" / "python"
    if not (home / ".installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        if peer.packages:
            command = [str(python), "-m", "pip", "install", "--quiet", *peer.packages]
            subprocess.run(command, check=True)
        (home / ".installed").touch()
    question, answer = folder / f"{name}.in.json", folder / f"{name}.out.json"
    question.write_text(json.dumps(data))
    command = [str(python), "-W", "ignore", str(PEERS / peer.script), str(question), str(answer)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return {"peer": name, "rows": [{"method": "-", "unseen": f"did not run: {last}"}]}
    result: dict[str, Any] = json.loads(answer.read_text())
    return result


def rows_of(name: str, round_: Round, peers: Sequence[str], folder: Path) -> list[list[Any]]:
    """A row for each method of each library."""
    cases, data, rows = cases_of(round_), questions(round_), []
    for peer in peers:
        found = ask(peer, data, folder)
        for row in found["rows"]:
            options, scores = chosen(row["tried"], cases) if "tried" in row else ("-", {})
            rows.append([name, found["peer"], row["method"], options, row["unseen"], scores])
    return rows


def our_row(name: str, round_: Round, results: Path = RESULTS) -> list[Any]:
    """What the leaderboard has of ours.

    Raises:
        DataError: If it has nothing of this round.
    """
    cell = read_cell(name, OURS, 0, results)
    if cell is None or cell.round != round_.fingerprint:
        raise DataError(
            f"{name}: the leaderboard has no figures of firstedge on this fold of these data: "
            f"run python -m benchmarks.quality --sets {name} --methods {OURS} first"
        )
    scores = {k: ndcg for k, ndcg in zip(cell.labels, cell.ndcg, strict=True) if k in GIVEN}
    options = f"chosen in training (of {cell.trials})"
    return [name, OURS, "train", options, "a sum over their events: answers", scores]


def main() -> None:
    """Ask every library and ours."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["ml-100k", "online-retail"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--peers", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    args = parser.parse_args()
    folder = WORK.resolve() / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in args.sets:
        round_ = build(open_shop(shop_of(name), args.data), Task(name, 0, ()))
        rows += [*rows_of(name, round_, args.peers, folder), our_row(name, round_)]
    print(table(rows))


def table(rows: Sequence[Sequence[Any]]) -> str:
    """Markdown."""
    head = "| data set | library | method | options | for an unseen user | " + " | ".join(
        f"k={k}" for k in GIVEN
    )
    lines = [f"{head} |", "|---|---|---|---|---|" + "--:|" * len(GIVEN)]
    for *words, scores in rows:
        cells = [f"{scores[k]:.3f}".removeprefix("0") if k in scores else "-" for k in GIVEN]
        lines.append(f"| {' | '.join([*words, *cells])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""Other libraries through their own code: what each does for a user whom it has never seen.

Each is installed into an environment of its own, given the training users of a fold, and asked for
the test users after k = 1, 3 and 10 items; its lists are measured as ours are.

Example: python -m benchmarks.quality.peer_table --sets ml-100k
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

from benchmarks.quality.shops import WORK, open_shop, shop_of
from benchmarks.quality.work import Task, build
from firstedge.models import metrics
from firstedge.models.protocol import KShotCase, rank_case
from firstedge.models.rounds import Round
from firstedge.models.scorer import Scorer

PEERS = Path(__file__).resolve().parent / "peers"
K = 20
GIVEN = ("1", "3", "10")


@dataclass(frozen=True)
class Peer:
    """A library: the script that runs it, and what its environment holds."""

    script: str
    packages: tuple[str, ...]


LIBRARIES = {
    "lenskit": Peer("lenskit_peer.py", ("lenskit",)),
    "rectools": Peer("rectools_peer.py", ("rectools",)),
    # Its last release is older than numpy 2 and setuptools 81.
    "recbole": Peer(
        "recbole_peer.py", ("recbole", "numpy<2", "scipy<1.12", "pandas<2.2", "setuptools<81")
    ),
}


def questions(round_: Round) -> dict[str, Any]:
    """Training histories and given items as lists of item rows, the oldest first."""
    touches = round_.training.histories.touches()
    train = np.split(touches.items, touches.offsets[1:-1])
    given = {}
    for case in round_.test.cases:
        if case.label in GIVEN:
            edges = case.users.given
            users = np.split(edges.targets, edges.offsets[1:-1])
            given[case.label] = [items[::-1].tolist() for items in users]
    return {
        "train": [items.tolist() for items in train],
        "given": given,
        "items": round_.training.num_items,
    }


def figures(case: KShotCase, lists: Sequence[Sequence[int]]) -> float:
    """NDCG of ranked lists of item rows; what was given counts as an empty place."""
    ranked = np.full((len(lists), K), -1, np.int64)
    for row, items in enumerate(lists):
        ranked[row, : len(items[:K])] = items[:K]
    hit = metrics.hits(ranked, case.targets)
    return float(metrics.ndcg(hit, case.targets.counts).mean())


def ask(name: str, data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Run a library in its environment, made once."""
    peer = LIBRARIES[name]
    home = folder / name
    python = home / "bin" / "python"
    if not (home / ".installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", *peer.packages]
        subprocess.run(command, check=True)
        (home / ".installed").touch()
    question, answer = folder / f"{name}.in.json", folder / f"{name}.out.json"
    question.write_text(json.dumps(data))
    command = [str(python), "-W", "ignore", str(PEERS / peer.script), str(question), str(answer)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return {"peer": name, "rows": [{"method": "-", "unseen": f"did not run: {last}"}]}
    result: dict[str, Any] = json.loads(answer.read_text())
    return result


def main() -> None:
    """Ask every library and ours."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["ml-100k"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--peers", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = WORK / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in args.sets:
        snapshot = open_shop(shop_of(name), args.data)
        round_ = build(snapshot, Task(name, 0, ()))
        cases = {case.label: case for case in round_.test.cases if case.label in GIVEN}
        data = questions(round_)
        for peer in args.peers:
            found = ask(peer, data, folder)
            for row in found["rows"]:
                lists = row.get("lists", {})
                scores = {k: figures(cases[k], lists[k]) for k in lists}
                rows.append([name, found["peer"], row["method"], row["unseen"], scores])
        scorer = Scorer(round_.trained())
        lists = {k: rank_case(scorer, case, len(snapshot.items), K) for k, case in cases.items()}
        scores = {k: figures(cases[k], lists[k].tolist()) for k in cases}
        rows.append([name, "firstedge", "train", "a sum over their events; answers", scores])
    print(json.dumps(rows) if args.json else table(rows))


def table(rows: Sequence[Sequence[Any]]) -> str:
    """Markdown."""
    head = "| data set | library | method | for an unseen user | " + " | ".join(
        f"k={k}" for k in GIVEN
    )
    lines = [f"{head} |", "|---|---|---|---|" + "--:|" * len(GIVEN)]
    for shop, peer, method, unseen, scores in rows:
        cells = [f"{scores[k]:.3f}".removeprefix("0") if k in scores else "-" for k in GIVEN]
        lines.append(f"| {shop} | {peer} | {method} | {unseen} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

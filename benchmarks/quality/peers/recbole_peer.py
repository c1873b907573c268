"""RecBole, in its own environment: item-kNN, EASE, MultiVAE and SASRec.

Its interface knows users by their number only, so a stranger's history is handed to the model's own
parts: a row of the matrix to the closed forms and the encoder, a sequence to SASRec.

Reads and writes JSON, see benchmarks/quality/peer_table.py.
"""

from __future__ import annotations

import copy
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import recbole
import torch
from exchange import Users, answer, questions, tried
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.utils import get_model, get_trainer, init_seed

LONGEST = 10  # items of a sequence: no stranger has more
MINUTES = 4  # of CPU for a fit that learns in steps

CHOICES: dict[str, list[dict[str, Any]]] = {
    "ItemKNN": [{"k": k} for k in (20, 50, 100, 200, 1_000)],
    "EASE": [{"reg_weight": r} for r in (10.0, 100.0, 1e3, 1e4, 1e5, 1e6)],
    "MultiVAE": [{"train_batch_size": n} for n in (64, 2_048)],
    "SASRec": [{"train_batch_size": 256}],  # of 2,048 by default: the minutes hold more steps
}


def config_of(name: str, folder: str, options: dict[str, Any]) -> Config:
    """Its defaults, but for what the data and the question decide.

    What learns in steps is stopped by the last event of each training user, everything else learns
    from all of their events.
    """
    steps = name in ("MultiVAE", "SASRec")
    given = {
        "data_path": folder,
        "checkpoint_dir": folder,
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "train_neg_sample_args": None,
        "MAX_ITEM_LIST_LENGTH": LONGEST,
        "eval_args": {
            "split": {"LS": "valid_only"} if steps else {"RS": [1.0, 0.0, 0.0]},
            "order": "TO",
            "group_by": "user",
            "mode": "full",
        },
        "topk": [20],
        "valid_metric": "NDCG@20",
        "eval_batch_size": 1 << 22,  # scores at a time; its default is one or two users here
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
    }
    return Config(model=name, dataset="shop", config_dict={**given, **options})


def learned(config: Config, dataset) -> tuple[Any, Any, str]:
    """A model that learns in steps, its data, and how it ended: the best epoch is kept."""
    train, valid, _ = data_preparation(config, dataset)
    model = get_model(config["model"])(config, train.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    began, kept = time.process_time(), {"score": -math.inf, "epochs": 0, "state": {}}

    def after_epoch(epoch: int, score: float) -> None:
        kept["epochs"] = epoch + 1
        if score > kept["score"]:
            kept.update(score=score, state=copy.deepcopy(model.state_dict()))
        if time.process_time() - began > MINUTES * 60:
            raise TimeoutError

    try:
        trainer.fit(train, valid, saved=False, show_progress=False, callback_fn=after_epoch)
        end = f"{kept['epochs']} epochs"
    except TimeoutError:
        end = f"{kept['epochs']} epochs, cut off after {MINUTES} CPU minutes"
    model.load_state_dict(kept["state"])
    return model, train.dataset, end


def scores(model, rows: torch.Tensor, sequences: torch.Tensor) -> np.ndarray:
    """Every item's score for histories, as a 0-1 matrix and as sequences of its item numbers."""
    name = type(model).__name__
    if name == "EASE":
        return np.asarray(rows.numpy() @ model.item_similarity)
    if name == "ItemKNN":
        return np.asarray(rows.numpy() @ model.w)
    with torch.no_grad():
        if name == "MultiVAE":
            return model(rows)[0].numpy()
        lengths = (sequences > 0).sum(1).clamp(min=1)
        asked = Interaction({"item_id_list": sequences, "item_length": lengths})
        return model.full_sort_predict(asked).numpy()


def asker(model, dataset) -> Callable[[Users], Users]:
    """Asks a model for strangers by what they have done."""
    tokens = dataset.field2id_token["item_id"]
    number = {int(token): n for n, token in enumerate(tokens) if n}

    def answers(users: Users) -> Users:
        rows = torch.zeros(len(users), len(tokens))
        sequences = torch.zeros(len(users), LONGEST, dtype=torch.int64)
        for row, items in enumerate(users):
            done = [number[item] for item in items if item in number]
            rows[row, done] = 1
            sequences[row, : len(done)] = torch.tensor(done, dtype=torch.int64)
        found = scores(model, rows, sequences)
        found[:, 0] = -np.inf
        found[rows.numpy() > 0] = -np.inf
        order = np.argsort(-found, 1, kind="stable")[:, :20]
        return [[int(tokens[n]) for n in best] for best in order]

    return answers


def refusal(dataset) -> str:
    """What it says to a user whom it does not know."""
    try:
        dataset.token2id("user_id", "stranger")
    except ValueError as error:
        return f'by id: ValueError, "{error}"'
    return "by id: answers"


def main() -> None:
    data = questions()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shop" / "shop.inter"
        path.parent.mkdir()
        lines = [
            f"u{user}\t{item}\t{place}"
            for user, items in enumerate(data["train"])
            for place, item in enumerate(items)
        ]
        path.write_text("user_id:token\titem_id:token\ttimestamp:float\n" + "\n".join(lines))
        for name, choices in CHOICES.items():
            found = []
            for options in choices:
                config = config_of(name, folder, options)
                init_seed(0, True)
                dataset = create_dataset(config)
                if name in ("MultiVAE", "SASRec"):
                    model, dataset, end = learned(config, dataset)
                    shown = {**options, "": end}
                else:
                    dataset = dataset.build()[0]
                    model, shown = get_model(name)(config, dataset), options
                found.append(tried(data, shown, asker(model.eval(), dataset)))
            what = "a sequence" if name == "SASRec" else "a row of the matrix"
            unseen = f"{refusal(dataset)}; {what} handed to the model beneath: answers"
            rows.append({"method": name, "unseen": unseen, "tried": found})
    answer(f"RecBole {recbole.__version__}", rows)


if __name__ == "__main__":
    main()

"""RecBole, in its own environment: SASRec and EASE as its quick start trains them.

Reads and writes JSON, see benchmarks/quality/peer_table.py.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import recbole
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.utils import get_model, get_trainer, init_seed

EPOCHS = {"SASRec": 5, "EASE": 1}
MOST = 50  # items of a sequence

# Its loader reads a checkpoint of its own with whole objects in it.
_load = torch.load
torch.load = lambda *args, **kwargs: _load(*args, **{**kwargs, "weights_only": False})


def trained(name: str, folder: str):
    """A model and its data set, by the library's own steps."""
    config = Config(
        model=name,
        dataset="shop",
        config_dict={
            "data_path": folder,
            "checkpoint_dir": folder,
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "train_neg_sample_args": None,
            "loss_type": "CE",
            "MAX_ITEM_LIST_LENGTH": MOST,
            "epochs": EPOCHS[name],
            "use_gpu": False,
            "show_progress": False,
            "state": "ERROR",
        },
    )
    init_seed(0, True)
    dataset = create_dataset(config)
    train, valid, _ = data_preparation(config, dataset)
    model = get_model(name)(config, train.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], name)(config, model)
    trainer.fit(train, valid, saved=False, show_progress=False)
    return model.eval(), train.dataset


def refusal(dataset) -> str:
    """What it says to a user whom it does not know."""
    try:
        dataset.token2id("user_id", "stranger")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def by_sequence(model, dataset, given: list[list[int]]) -> list[list[int]]:
    """SASRec scores any sequence if it is called beneath its own interface."""
    tokens = dataset.field2id_token["item_id"]
    table = np.zeros((len(given), MOST), np.int64)
    for row, items in enumerate(given):
        known = [dataset.token2id("item_id", str(i)) for i in items if str(i) in set(tokens)]
        table[row, : len(known)] = known
    lengths = np.maximum((table > 0).sum(1), 1)
    with torch.no_grad():
        scores = model.full_sort_predict(
            Interaction(
                {
                    "item_id_list": torch.from_numpy(table),
                    "item_length": torch.from_numpy(lengths),
                }
            )
        ).numpy()
    scores[:, 0] = -np.inf
    lists = []
    for row, items in enumerate(given):
        order = [int(tokens[j]) for j in np.argsort(-scores[row]) if j]
        lists.append([item for item in order if item not in items][:20])
    return lists


def main() -> None:
    data = json.loads(Path(sys.argv[1]).read_text())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shop" / "shop.inter"
        path.parent.mkdir()
        lines = [
            f"u{user}\t{item}\t{place}"
            for user, items in enumerate(data["train"])
            for place, item in enumerate(items)
        ]
        path.write_text("user_id:token\titem_id:token\ttimestamp:float\n" + "\n".join(lines))
        rows = []
        for name in ("EASE", "SASRec"):
            model, dataset = trained(name, folder)
            row = {"method": f"{name}, {EPOCHS[name]} epochs" if name == "SASRec" else name}
            row["unseen"] = refusal(dataset)
            if name == "SASRec":
                row["unseen"] += "; a sequence is scored beneath its interface"
                given = data["given"].items()
                row["lists"] = {k: by_sequence(model, dataset, users) for k, users in given}
            rows.append(row)
    result = {"peer": f"RecBole {recbole.__version__}", "rows": rows}
    Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()

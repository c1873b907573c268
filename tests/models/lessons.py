"""A small training of the net, also as a process of its own.

    python -m tests.models.lessons OUT [--pieces 1] [--megabytes N] [--checkpoint FILE]

It writes the trained weights to OUT. With --megabytes its memory may grow by no more than that.
"""

from __future__ import annotations

import argparse
import os
import resource
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from firstedge.graph.histories import kind_weights
from firstedge.loaders.split import split_users
from firstedge.models.checkpoint import Checkpoint, weights_of
from firstedge.models.closed_forms import NaiveBayes, naive_bayes
from firstedge.models.fit import FitOptions, Fitted, Lesson, NetRanker, Watch, fit
from firstedge.models.fusion import Arena
from firstedge.models.item_encoder import ItemEncoder
from firstedge.models.item_graph import build_item_graph, item_features
from firstedge.models.net import Net, NetOptions
from firstedge.models.protocol import build_cases
from firstedge.models.rounds import hold_out, known_users, training_data
from firstedge.models.truncation import Truncation, Truncator
from firstedge.models.workers import Workers, joined
from tests.models.tastes import taste_shop

NET = NetOptions(dim=16)
OPTIONS = FitOptions(epochs=3, least_steps=4, batch_users=120, device="cpu")
# Users and items whose scores take 32 MB a matrix.
LARGE = (2_000, 8_000)
LARGE_OPTIONS = FitOptions(epochs=1, least_steps=2, batch_users=1_000, device="cpu")


def net_and_lesson(num_users: int = 400, num_items: int = 60) -> tuple[Net, Lesson]:
    """A net of the shop of tastes, and what it is trained on."""
    shop = taste_shop(num_users, num_items)
    split = split_users(shop)
    held = hold_out(shop, split)
    data, weights = training_data(held), kind_weights(shop.schema)
    bayes, _ = naive_bayes(data.cooccurrence(0.5), NaiveBayes(), data.tree)
    items, categories = shop.memberships.nonzero()
    features = item_features(shop.item_text, np.stack((categories, items)), data.tree)
    graph = build_item_graph(data.x, bayes, features, NET)
    known = known_users(shop, split.train)
    text_dim = 0 if known.text is None else known.text.shape[1]
    torch.manual_seed(0)
    sizes = (len(weights), len(shop.profile_values), text_dim)
    net = Net(ItemEncoder(graph, NET.id_dropout, NET.propagate), sizes, NET)
    asked = known_users(shop, split.validation)
    cases = build_cases(held.validation, weights, (0, 1), known=asked, with_all=False)
    arena = Arena(cases.cases, num_items)
    prior = data.log_prior

    def validate(now: Net) -> float:
        ranker = NetRanker(now, graph, prior, torch.device("cpu"))
        return arena.ndcg(ranker.score)

    truncator = Truncator(data.histories, weights, Truncation())
    return net, Lesson(graph, truncator, known, prior, validate)


def fitted(options: FitOptions = OPTIONS, watch: Watch | None = None) -> Fitted:
    """The net of the shop of tastes after its training."""
    return fit(*net_and_lesson(), options, watch)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--pieces", type=int, default=1)
    parser.add_argument("--megabytes", type=int)
    parser.add_argument("--checkpoint", type=Path)
    args = parser.parse_args()
    options = FitOptions(**{**vars(OPTIONS), "pieces": args.pieces})
    net, lesson = net_and_lesson()
    if args.megabytes:
        (net, lesson), options = net_and_lesson(*LARGE), LARGE_OPTIONS
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        limit = used + (args.megabytes << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    watch = Watch(Checkpoint(args.checkpoint, "test", 0.0)) if args.checkpoint else None
    with joined(os.environ, "cpu"):
        found = fit(net, lesson, options, watch)
        if Workers.now().rank == 0:
            save_file(weights_of(found.net), args.out)


if __name__ == "__main__":
    main()

"""The model card: what a bundle is, for people and for model hubs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from firstedge.models.bundle import Bundle


def model_card(bundle: Bundle) -> str:
    """Markdown with Hugging Face front matter: figures, the k-shot table, data and versions."""
    about = bundle.about
    front = {
        "library_name": "firstedge",
        "tags": ["recommender", "cold-start", "graph"],
        "firstedge": {"fingerprint": about.get("fingerprint", ""), "encoder": bundle.encoder},
    }
    # JSON is YAML: front matter without a YAML writer.
    lines = ["---", json.dumps(front, ensure_ascii=False), "---", "", "# A firstedge bundle", ""]
    lines += [
        "Ranks items for users from their first events on, without training for them.",
        "",
        f"- {len(bundle.items):,} items, {len(bundle.categories):,} categories, "
        f"{len(bundle.profile_values):,} profile values",
        f"- {bundle.dim} dimensions, {len(bundle.edges):,} item edges",
        f"- coefficients: {bundle.coefficients}",
    ]
    lines += [f"- {name}: {_plain(about[name])}" for name in sorted(about) if name != "kshot"]
    kshot = about.get("kshot")
    if kshot:
        lines += ["", "## First answers to the validation users", "", str(kshot)]
    return "\n".join(lines) + "\n"


def kshot_table(labels: Sequence[str], found: Mapping[str, Iterable[float]]) -> str:
    """A Markdown table of NDCG@20 by number of given items.

    Args:
        labels: Numbers of given items.
        found: A figure for each label, by name of the method.
    """
    lines = ["NDCG@20 | " + " | ".join(f"k={label}" for label in labels)]
    lines.append("|".join(["---"] * (len(labels) + 1)))
    for name, figures in found.items():
        lines.append(" | ".join([name, *(f"{figure:.3f}" for figure in figures)]))
    return "\n".join(f"| {line} |" for line in lines)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

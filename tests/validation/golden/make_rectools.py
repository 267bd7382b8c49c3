"""Make rectools.json: values that RecTools gives to small random tables, as an oracle for our metrics.

RecTools needs numpy < 2 and replaces the module ``implicit``, so it gets an environment of its own:

    python3.11 -m venv /tmp/rectools && /tmp/rectools/bin/pip install rectools==0.19.0
    /tmp/rectools/bin/python tests/validation/golden/make_rectools.py

The file says which versions made it. Every pair of a table is "recommended" in the order of its score (no two scores
of a user tie: RecTools takes ranks), and the relevant pairs are RecTools' interactions.
"""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rectools import metrics  # type: ignore[import-not-found]

KS = (1, 3, 5, 20)
# Users, most rows of a user, share of relevant rows.
SHAPES = ((1, 4, 0.5), (6, 8, 0.3), (25, 12, 0.15), (25, 30, 0.6))


def random_table(seed: int, n_users: int, n_most: int, share: float) -> pd.DataFrame:
    """Draw pairs with distinct scores; some users have one row, none or only relevant ones."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, n_most + 1, n_users)
    user = np.repeat(np.arange(n_users), sizes)
    item = np.concatenate([rng.permutation(100)[:size] for size in sizes])
    table = pd.DataFrame({"user_id": user, "item_id": item})
    table["relevance"] = (rng.random(len(table)) < share).astype(int)
    table["score"] = rng.permutation(len(table)) / 8
    return table.sample(frac=1, random_state=seed).reset_index(drop=True)


def values(table: pd.DataFrame) -> dict[str, Any]:
    """Compute every metric for every k, as {metric: {k: {user: value}}}."""
    ranked = table.sort_values(["user_id", "score"], ascending=[True, False])
    reco = ranked[["user_id", "item_id"]].assign(rank=ranked.groupby("user_id").cumcount() + 1)
    relevant = table.loc[table["relevance"] == 1, ["user_id", "item_id"]]
    made: dict[str, Any] = {
        "map": metrics.MAP,
        "mrr": metrics.MRR,
        "ndcg": lambda k: metrics.NDCG(k, divide_by_achievable=True),
        "recall": metrics.Recall,
        "precision": metrics.Precision,
        "r_precision": lambda k: metrics.Precision(k, r_precision=True),
        "hit_rate": metrics.HitRate,
    }
    found: dict[str, Any] = {
        name: {str(k): as_dict(metric(k).calc_per_user(reco, relevant)) for k in KS}
        for name, metric in made.items()
    }
    # pAUC@k divides by k negatives: with k = a user's own number of them it is the user's ROC AUC.
    n_negative = (table["relevance"] == 0).groupby(table["user_id"]).sum()
    found["auc"] = {"all": {}}
    for k in sorted(set(n_negative) - {0}):
        partial = metrics.PartialAUC(int(k)).calc_per_user(reco, relevant)
        found["auc"]["all"] |= as_dict(partial[partial.index.isin(n_negative.index[n_negative == k])])
    return found


def as_dict(per_user: pd.Series) -> dict[str, float]:
    """Turn a series by user into what JSON can hold."""
    return {str(user): float(value) for user, value in per_user.items()}


def main() -> None:
    """Write the file beside this one."""
    tables = []
    for seed, shape in enumerate(SHAPES):
        table = random_table(seed, *shape)
        tables.append({"rows": table.to_dict("list"), "values": values(table)})
    names = ("rectools", "numpy", "pandas", "scipy")
    versions = {"python": platform.python_version(), **{name: version(name) for name in names}}
    text = json.dumps({"versions": versions, "tables": tables}, indent=None, separators=(",", ":"))
    Path(__file__).with_name("rectools.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

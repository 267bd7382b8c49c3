"""Per-user AUC against RecTools, which lives in an environment of its own.

RecTools knows the AUC of a user only as pAUC@k with k = the user's irrelevant rows, two classes, and ranks without
ties. So every user here has ``N_IRRELEVANT`` of them and one to ten relevant ones, and no two scores of a user tie.
RecTools gets its ranks for nothing; ours starts from scores in random row order.
"""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl

from competitions import Metric
from validation import evaluate

N_IRRELEVANT = 20


def against_rectools(n_rows: int, repeats: int, python: Sequence[str]) -> tuple[list[float], list[float]]:
    """Seconds of ours and of RecTools, taking turns. ``python``: command that runs RecTools' Python.

    Ends the program if the values differ.
    """
    frame = ranked_pairs(n_rows)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _for_rectools(frame, folder)
        child = [*python, str(Path(__file__).with_name("_rectools_child.py")), str(folder), str(N_IRRELEVANT)]
        with subprocess.Popen(child, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as rectools:
            _asked(rectools)  # warms up
            ours, theirs = [], []
            for _ in range(repeats):
                began = perf_counter()
                value = evaluate(Metric("user_auc"), frame, group=("user",))
                ours.append(perf_counter() - began)
                seconds, expected = _asked(rectools)
                theirs.append(seconds)
                if not math.isclose(value, expected, rel_tol=1e-9):
                    raise SystemExit(f"user_auc is {value}, RecTools gives {expected}")
            if rectools.stdin is not None:
                rectools.stdin.close()
    return ours, theirs


def ranked_pairs(n_rows: int, seed: int = 0) -> pl.DataFrame:
    """About so many scored pairs in random row order: ``user``, ``item``, ``relevance``, distinct ``score``."""
    rng = np.random.default_rng(seed)
    n_users = max(1, n_rows * 2 // (2 * N_IRRELEVANT + 11))
    sizes = N_IRRELEVANT + rng.integers(1, 11, n_users)
    user = np.repeat(np.arange(n_users, dtype=np.uint32), sizes)
    place = np.arange(len(user)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    relevance = (place >= N_IRRELEVANT).astype(np.int8)
    frame = pl.DataFrame(
        {
            "user": user,
            "item": place.astype(np.uint32),
            "relevance": relevance,
            "score": rng.normal(size=len(user)) + 0.3 * relevance,
        }
    )
    return frame.sample(fraction=1.0, shuffle=True, seed=seed)


def _for_rectools(frame: pl.DataFrame, folder: Path) -> None:
    names = {"user": "user_id", "item": "item_id"}
    ordered = frame.sort("user", "score", descending=[False, True])
    rank = pl.int_range(1, pl.len() + 1).over("user").alias("rank")
    ordered.select("user", "item", rank).rename(names).write_parquet(folder / "reco.parquet")
    relevant = frame.filter(pl.col("relevance") == 1).select("user", "item").rename(names)
    relevant.write_parquet(folder / "interactions.parquet")


def _asked(rectools: subprocess.Popen[str]) -> tuple[float, float]:
    """Let RecTools calculate once: seconds and value."""
    if rectools.stdin is None or rectools.stdout is None:
        raise SystemExit("RecTools was started without pipes")
    rectools.stdin.write("\n")
    rectools.stdin.flush()
    line = rectools.stdout.readline()
    if not line:
        raise SystemExit("RecTools ended early: see what it printed above")
    answer = json.loads(line)
    return float(answer["seconds"]), float(answer["value"])

"""How many rows a second does taste take in? ``python -m benchmarks.taste`` (3 million simulated rows).

In turns, on the same rows, at 16 tastes, on two threads; medians of rounds, rows a second of:

- *taste*: a sweep of ``features/toolkit/factorisation.py``: means and covariances of users over steps, items, sources;
- *als*: an iteration of ``implicit``'s ALS, which has neither covariances, drift nor sources;
- *gradient steps*: an epoch of the same vectors and offsets by Adam in plain PyTorch, batches of 8,192 rows;
- *prototype* (``--prototype FILE [ARGUMENT ...]``): a script that takes the folder of the data, then the arguments; its
  lines end in the seconds since it began, and a sweep is the difference of two lines.

Wanted: twice the rows of the prototype.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from implicit.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

from benchmarks._cached import simulated, with_folders
from benchmarks._figures import keep
from competitions import open_dataset
from engine import capped_threads, load_settings, out
from features import bind_catalogue, load_registry
from features.toolkit import FACTORS, Factorisation

TIMES_PROTOTYPE, BATCH, THREADS = 2.0, 8_192, 2


def model_of(data: Path, competition: str, store: Path) -> Factorisation:
    """The model of ``taste_score`` on the whole log of a folder, swept over twice."""
    own = {"competition": competition, "data": str(data.resolve()), "store": str(store), "threads": THREADS}
    dataset = open_dataset(load_settings(overrides=[f"{name}={json.dumps(v)}" for name, v in own.items()]))
    column = bind_catalogue(dataset, load_registry()).columns["taste_score"]
    arguments: Any = column.body
    taste = column.declaration.body(**arguments.arguments, n_sweeps=2)
    taste.fit(dataset.with_attributes(dataset.log), None)
    model: Factorisation = taste.model
    return model


def als(model: Factorisation) -> float:
    """Seconds of an iteration: the difference of three and of one."""
    cells = csr_matrix((model.y - model.y.min() + 1, (model.user, model.item)), dtype=np.float32)

    def seconds(iterations: int) -> float:
        ranker = AlternatingLeastSquares(
            factors=FACTORS, iterations=iterations, num_threads=THREADS, use_gpu=False, random_state=1
        )
        before = time.perf_counter()
        ranker.fit(cells, show_progress=False)
        return time.perf_counter() - before

    with capped_threads(1):  # of its linear algebra: it has threads of its own
        return (seconds(3) - seconds(1)) / 2


def gradient_steps(model: Factorisation) -> float:
    """Seconds of an epoch over the rows in their order."""
    user, item, y = (
        torch.from_numpy(x) for x in (model.user.astype(np.int64), model.item.astype(np.int64), model.y)
    )
    users, items = (torch.nn.Embedding(n, FACTORS + 1) for n in (model.n_users, model.n_items))
    steps = torch.optim.Adam([*users.parameters(), *items.parameters()], lr=0.01)
    before = time.perf_counter()
    for begin in range(0, len(y), BATCH):
        rows = slice(begin, begin + BATCH)
        x, q = users(user[rows]), items(item[rows])
        found = (x[:, :-1] * q[:, :-1]).sum(1) + x[:, -1] + q[:, -1]
        loss = ((found - y[rows]) ** 2).mean()
        steps.zero_grad()
        loss.backward()
        steps.step()
    return time.perf_counter() - before


def sweep(model: Factorisation) -> float:
    """Seconds of a sweep."""
    before = time.perf_counter()
    model.sweep()
    return time.perf_counter() - before


def prototype(command: list[str], data: Path) -> float:
    """Seconds of a sweep, the median of what the script says."""
    script, *arguments = command
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, str(Path(script).resolve()), str(data.resolve()), *arguments]
        said = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=True).stdout
    at = [float(found) for found in re.findall(r"([\d.]+) s$", said, re.MULTILINE)]
    if len(at) < 2:
        raise SystemExit(f"{script} printed no two lines that end in seconds:\n{said[-500:]}")
    return (at[-1] - at[0]) / (len(at) - 1)


def main() -> int:
    """Measure, print, keep the figures."""
    asked = arguments()
    data = asked.data or simulated(asked.cache / "data", asked.rows)
    with tempfile.TemporaryDirectory(dir=asked.scratch) as folder:
        torch.set_num_threads(THREADS)
        model = model_of(data, asked.competition, Path(folder))
    figures = measured(model, data, asked.repeats, asked.prototype)
    out.print("\n".join(in_words(figures)), highlight=False)
    keep("taste", figures, asked.out)
    return 0


def measured(
    model: Factorisation, data: Path, repeats: int, command: list[str] | None = None
) -> dict[str, Any]:
    """Measure the ways in turns: seconds of rounds, and rows a second by their median."""
    ways: dict[str, Callable[[], float]] = {
        "taste": lambda: sweep(model),
        "als": lambda: als(model),
        "gradient steps": lambda: gradient_steps(model),
    }
    if command:
        ways["prototype"] = lambda: prototype(command, data)
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, run in ways.items():
            rounds[name].append(run())
    speed = {name: model.n_rows / median(own) for name, own in rounds.items()}
    return {"rows": model.n_rows, "factors": FACTORS, "rows_a_second": speed, "rounds": rounds}


def in_words(figures: dict[str, Any]) -> list[str]:
    """One line each of what was measured, and of what is wanted."""
    speed, rounds = figures["rows_a_second"], figures["rounds"]
    lines = [f"{figures['rows']:,} rows, {FACTORS} tastes, {THREADS} threads, {len(rounds['taste'])} rounds"]
    lines += [
        f"  {n:15} {median(rounds[n]):7.2f} s {speed[n] / 1000:8.0f} thousand rows a second" for n in speed
    ]
    if "prototype" in speed:
        times = speed["taste"] / speed["prototype"]
        is_kept = "kept" if times >= TIMES_PROTOTYPE else "MISSED"
        lines.append(f"taste / prototype: {times:.1f} (at least {TIMES_PROTOTYPE}: {is_kept})")
    return lines


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--competition", default="vk2024")
    parser.add_argument("--data", type=Path, help="folder of the competition's files")
    parser.add_argument("--rows", type=int, default=3_000_000, help="simulated rows, without --data")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--prototype", nargs="+", metavar="FILE", help="a script, and its arguments after the folder"
    )
    return with_folders(parser).parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""The benchmark of entities: what it counts, against loops over users and items."""

from __future__ import annotations

import numpy as np
import polars as pl

from benchmarks.entities import TOGETHER, K, Met, compared, judged

N_USERS, N_ITEMS = 7, 60


def some_met(rng: np.random.Generator) -> Met:
    seen = rng.random((N_USERS, N_ITEMS)) < 0.3
    liked = (rng.random((N_USERS, N_ITEMS)) < np.linspace(0.05, 0.6, N_USERS)[:, None]) & ~seen
    liked[:, 0] |= ~liked.any(axis=1)
    users, items = (pl.DataFrame({name: range(n)}) for name, n in (("u", N_USERS), ("i", N_ITEMS)))
    source = np.where(np.arange(N_ITEMS) < 50, np.arange(N_ITEMS) % 2, -1)
    return Met(users, items, ("u", "i"), seen, liked, source)


def test_recalls_are_those_of_loops() -> None:
    """A user without a vector recalls nothing; items without one come last, and recall nothing of their source."""
    rng = np.random.default_rng(2)
    met = some_met(rng)
    users, items = (rng.normal(size=(n, 4)).astype(np.float32) for n in (N_USERS, N_ITEMS))
    users[3], items[[4, 9]] = np.nan, np.nan
    found = judged(met, users, items, way="some", seed=0)
    total = dict(found.filter(pl.col("measure") == "next likes").select("unit", "total").rows())
    for u in range(N_USERS):
        order = sorted(
            (i for i in range(N_ITEMS) if not met.seen[u, i]),
            key=lambda i: -np.nan_to_num(float(users[u] @ items[i]), nan=-1e9),
        )
        n_liked = int(met.liked[u].sum())
        expected = 0.0 if u == 3 else met.liked[u][order[:K]].sum() / min(n_liked, K)
        assert abs(total[str(u)] - expected) < 1e-6
    sources = found.filter(pl.col("measure") == "same source", pl.col("n") > 0).sort("unit")
    for of, (unit, of_source, n) in enumerate(sources.select("unit", "total", "n").rows()):
        own = [i for i in range(50) if i % 2 == of]
        expected = 0.0
        for i in own:
            if i not in (4, 9):
                cosine = {
                    j: float(items[i] @ items[j] / np.linalg.norm(items[i]) / np.linalg.norm(items[j]))
                    for j in range(N_ITEMS)
                    if j not in (i, 4, 9)
                }
                best = sorted(cosine, key=lambda j: -cosine[j])[:K]
                expected += sum(j in own for j in best) / min(len(own) - 1, K)
        assert (unit, n) == (str(of), len(own))
        assert abs(of_source - expected) < 1e-4


def test_differences_are_paired_over_users_and_average_the_seeds() -> None:
    rows = [
        (way, seed, "next likes", str(u), value, 1.0)
        for way, seeds, more in ((TOGETHER, (0, 1), 0.0), ("like it", (0,), 0.0), ("better", (0, 1), 0.2))
        for seed in seeds
        for u in range(30)
        for value in [u / 100 + more + (0.1 if seed else -0.1) * (len(seeds) - 1)]
    ]
    names = ["way", "seed", "measure", "unit", "total", "n"]
    figures = {facts["way"]: facts for facts in compared(pl.DataFrame(rows, schema=names, orient="row"))}
    assert abs(figures[TOGETHER]["mean"] - np.mean(range(30)) / 100) < 1e-9
    for way, lead in (("like it", 0.0), ("better", 0.2)):
        assert all(abs(figures[way][name] - lead) < 1e-9 for name in ("lead", "low", "high"))

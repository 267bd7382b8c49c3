"""Runs that fail, are killed, or run at once lose nothing and do not disturb each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest

from competitions import Dataset, get_competition, random_tables, take_in
from engine import FoldSettings, Settings, Store
from features import (
    Catalogue,
    FeatureError,
    Window,
    bind_catalogue,
    compute_features,
    compute_window,
    load_catalogue,
    read_features,
    table,
)
from tests.features.storing import ALL, registry
from validation import Folds, plan_folds, window_pairs


@pytest.fixture
def catalogue(timed: Dataset) -> Catalogue:
    return bind_catalogue(timed, registry())


def test_a_feature_that_raises_loses_no_finished_window(
    timed: Dataset, folds: Folds, store: Store, settings: Settings
) -> None:
    last = folds.windows[-1]
    is_broken = True
    features = registry()

    @table(key="user_id", columns={"n": pl.UInt32}, registry=features)
    def fragile(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Fails in the last window, until it is mended."""
        if is_broken and window == last:
            raise ValueError("not this one")
        return history.group_by("user_id").agg(pl.len().cast(pl.UInt32).alias("n"))

    catalogue = bind_catalogue(timed, features)
    names = {*ALL, "n__user_id"}
    with pytest.raises(FeatureError, match=f"'fragile'.*failed in window {last.name}.*not this one"):
        compute_features(catalogue, folds.windows, names, store, settings)
    is_broken = False
    mended = bind_catalogue(timed, features)
    finished = [w for w in folds.windows if w != last]
    pairwise = {"gap", "twice", "age_here"}  # they come after all that they might read
    stored = names - pairwise
    assert compute_features(mended, finished, stored, store, settings) == 0
    assert compute_features(mended, [last], stored, store, settings) == 1
    assert compute_features(mended, folds.windows, names, store, settings) == len(pairwise) * len(
        folds.windows
    )


def test_two_runs_at_once_share_the_work(
    catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    """Locks are between open files, so threads of one process stand for processes here."""
    window = folds.final.eval
    inline = settings.model_copy(update={"backend": "inline"})
    together = threading.Barrier(3)
    computed: list[int] = []

    def run() -> None:
        together.wait()
        computed.append(compute_features(catalogue, [window], ALL, store, inline))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(computed) == len(ALL)
    fresh = compute_window(
        catalogue, window, list(catalogue.columns), window_pairs(catalogue.dataset, window)
    )
    stored = read_features(catalogue, [window], ALL, store).sort("pair_id")
    assert stored.select(sorted(ALL)).equals(fresh.select(sorted(ALL)))


KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from competitions import get_competition, random_tables, take_in
from engine import FoldSettings, Settings, Store
from features import compute_features, load_catalogue
from validation import plan_folds

root = Path(sys.argv[1])
competition = get_competition("movielens")
tables = random_tables(competition, n_users=30, n_items=30, n_rows=900, seed=1)
(root / "theirs").mkdir()
catalogue = load_catalogue(take_in(competition, tables, root / "theirs", fingerprint="generated"))
stored = []

class DyingStore(Store):
    def put(self, recipe, build, **options):
        folder = super().put(recipe, build, **options)
        if recipe.kind == "feature":
            stored.append(folder)
            if len(stored) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        return folder

windows = plan_folds(catalogue.dataset, FoldSettings(n_folds=1, n_train_windows=1)).windows
settings = Settings(store=root / "store", backend="inline")
names = ["n_likes__user_id", "like_rate__item_id", "item_lift", "als_score__like"]
compute_features(catalogue, windows, names, DyingStore(root / "store"), settings)
"""


def test_a_killed_run_is_resumed_where_it_was(tmp_path: Path) -> None:
    """What was stored before ``kill -9`` is found by another process, and nothing half-written is left in its way."""
    killed = subprocess.run([sys.executable, "-c", KILLED_RUN, str(tmp_path)], env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    competition = get_competition("movielens")
    tables = random_tables(competition, n_users=30, n_items=30, n_rows=900, seed=1)
    (tmp_path / "ours").mkdir()
    catalogue = load_catalogue(take_in(competition, tables, tmp_path / "ours", fingerprint="generated"))
    windows = plan_folds(catalogue.dataset, FoldSettings(n_folds=1, n_train_windows=1)).windows
    settings = Settings(store=tmp_path / "store", backend="inline")
    names = ["n_likes__user_id", "like_rate__item_id", "item_lift", "als_score__like"]
    n_all = len(windows) * len(catalogue.closure(names))
    n_stored = sum(size.n_artifacts for size in Store(settings.store).size() if size.kind == "feature")
    assert 3 <= n_stored < n_all  # others may have been on their way
    assert compute_features(catalogue, windows, names, Store(settings.store), settings) == n_all - n_stored
    assert compute_features(catalogue, windows, names, Store(settings.store), settings) == 0


def test_worker_processes_store_what_this_one_would(
    movielens_catalogue: Catalogue, movielens_settings: Settings, tmp_path: Path
) -> None:
    catalogue = movielens_catalogue
    windows = plan_folds(catalogue.dataset, movielens_settings.folds).windows[:2]
    names = (
        "like_rate__item_id",
        "user_rank__like_rate__item_id",
        "genre_taste",
        "hours_since__last_liked__user_id",
    )
    frames = []
    for backend in ("inline", "processes"):
        store = Store(tmp_path / backend)
        settings = movielens_settings.model_copy(update={"backend": backend, "store": store.root})
        n = compute_features(catalogue, windows, names, store, settings)
        assert n == len(windows) * len(catalogue.closure(names))
        frames.append(read_features(catalogue, windows, names, store))
    assert frames[0].height > 10_000
    assert frames[0].equals(frames[1])

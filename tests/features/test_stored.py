"""Nothing twice: columns are computed when they are new, edited, lost or damaged, and at no other time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from competitions import Dataset, get_competition, random_tables, take_in
from engine import FoldSettings, Settings, Store, StoreError
from features import (
    Aggregate,
    Catalogue,
    FeatureError,
    Log,
    Registry,
    Window,
    aggregate,
    bind_catalogue,
    column_recipes,
    compute_features,
    compute_window,
    count,
    feature_keys,
    fitted,
    load_catalogue,
    mean,
    missing_columns,
    per_pair,
    read_features,
    smoothed,
    table,
)
from features._stored import compute_missing
from validation import Folds, plan_folds, window_pairs, window_relevance

STEP = 1


def halve(x: pl.Expr) -> pl.Expr:
    return x / 2


def third(x: pl.Expr) -> pl.Expr:
    return x / 3


def registry(
    *,
    strength: float = 10,
    factor: int = 2,
    helper: Callable[[pl.Expr], pl.Expr] = halve,
    argument: int = 1,
    limit: int = 3,
    fill: float | None = None,
    meaning: str = "Smoothed likes.",
) -> Registry:
    """Features of all four kinds; each argument edits one of them. ``gap`` reads ``rate``, ``twice`` reads ``gap``."""
    features = Registry()

    def rate(log: Log) -> Aggregate:
        return smoothed(log.like, strength=strength)

    rate.__doc__ = meaning
    aggregate(keys=["user_id", "item_id"], registry=features)(rate)

    @aggregate(keys=["user_id"], where=lambda log: log.stars > limit, registry=features)
    def n_good(log: Log) -> Aggregate:
        """Number of plays with more stars."""
        return count()

    @aggregate(keys=["user_id"], fill=fill, registry=features)
    def stars(log: Log) -> Aggregate:
        """Mean stars."""
        return mean(log.stars)

    @per_pair(registry=features)
    def gap(rate__user_id: pl.Expr, rate__item_id: pl.Expr) -> pl.Expr:
        """Difference of rates."""
        return factor * (rate__user_id - rate__item_id)

    @per_pair(registry=features)
    def twice(gap: pl.Expr) -> pl.Expr:
        """Two levels above the rates."""
        return gap * 2

    @per_pair(registry=features)
    def age_here(age: pl.Expr) -> pl.Expr:
        """Reads nothing that is edited."""
        return age

    @table(key="item_id", columns={"half": pl.Float64}, needs=["stars"], registry=features)
    def by_helper(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
        """Uses a helper function."""
        return history.group_by("item_id").agg(helper(pl.col("stars").max()).alias("half"))

    @fitted(columns={"c": pl.Int64}, variants={"a": {"x": argument}, "b": {"x": 7}}, registry=features)
    class Constant:
        """Uses a constant of this file."""

        def __init__(self, x: int) -> None:
            self.x = x

        def fit(self, history: pl.LazyFrame, window: Window) -> None:
            pass

        def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
            return pairs.select("pair_id", c=pl.lit(self.x + STEP, pl.Int64))

    return features


ALL = {
    "rate__user_id",
    "rate__item_id",
    "n_good__user_id",
    "stars__user_id",
    "gap",
    "twice",
    "age_here",
    "half__item_id",
    "c__a",
    "c__b",
}


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings.store)


@pytest.fixture
def catalogue(timed: Dataset) -> Catalogue:
    return bind_catalogue(timed, registry())


def column_file(catalogue: Catalogue, window: Window, name: str, store: Store) -> Path:
    folder = store.find(column_recipes(catalogue, window, [name])[name])
    assert folder is not None
    (file,) = folder.glob("*.parquet")
    return file


def test_a_second_run_computes_nothing(
    catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    n = compute_features(catalogue, folds.windows, ALL, store, settings)
    assert n == len(ALL) * len(folds.windows)
    assert compute_features(catalogue, folds.windows, ALL, store, settings) == 0
    assert compute_features(catalogue, folds.windows, ["twice"], store, settings) == 0


def test_what_is_read_is_computed_and_stored_too(
    catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    window = folds.final.eval
    assert compute_features(catalogue, [window], ["twice"], store, settings) == 4
    assert set(missing_columns(catalogue, window, ALL, store)) == ALL - {
        "twice",
        "gap",
        "rate__user_id",
        "rate__item_id",
    }


def test_windows_are_shared_between_folds(
    catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    first, second = ((*fold.train, fold.eval) for fold in folds.folds)
    shared = set(first) & set(second)
    assert shared
    assert compute_features(catalogue, first, ["rate__user_id"], store, settings) == len(first)
    assert compute_features(catalogue, second, ["rate__user_id"], store, settings) == len(second) - len(
        shared
    )


def test_an_added_feature_computes_itself_only(
    timed: Dataset, folds: Folds, store: Store, settings: Settings
) -> None:
    compute_features(bind_catalogue(timed, registry()), folds.windows, ALL, store, settings)
    more = registry()

    @per_pair(registry=more)
    def mine(gap: pl.Expr) -> pl.Expr:
        """A new one that reads an old one."""
        return gap.abs()

    names = {*ALL, "mine"}
    n = compute_features(bind_catalogue(timed, more), folds.windows, names, store, settings)
    assert n == len(folds.windows)


@pytest.mark.parametrize(
    ("edit", "recomputed"),
    [
        ({"strength": 11}, {"rate__user_id", "rate__item_id", "gap", "twice"}),
        ({"strength": 10.5}, {"rate__user_id", "rate__item_id", "gap", "twice"}),
        ({"factor": 3}, {"gap", "twice"}),
        ({"limit": 2}, {"n_good__user_id"}),
        ({"helper": third}, {"half__item_id"}),
        ({"argument": 2}, {"c__a"}),
        ({"fill": 0.0}, {"stars__user_id"}),
        ({"meaning": "Said in other words."}, set()),
    ],
    ids=lambda value: "+".join(map(str, value)),
)
def test_an_edited_feature_recomputes_itself_and_what_reads_it(
    timed: Dataset, folds: Folds, store: Store, settings: Settings, edit: dict[str, Any], recomputed: set[str]
) -> None:
    window = folds.final.eval
    compute_features(bind_catalogue(timed, registry()), [window], ALL, store, settings)
    edited = bind_catalogue(timed, registry(**edit))
    assert set(missing_columns(edited, window, ALL, store)) == recomputed
    assert compute_features(edited, [window], ALL, store, settings) == len(recomputed)
    stored = read_features(edited, [window], ALL, store).sort("pair_id").select(sorted(ALL))
    fresh = compute_window(edited, window, list(edited.columns), window_pairs(timed, window))
    assert stored.equals(fresh.select(sorted(ALL)))
    assert compute_features(bind_catalogue(timed, registry()), [window], ALL, store, settings) == 0


def test_an_edited_constant_recomputes_what_uses_it(
    catalogue: Catalogue,
    folds: Folds,
    store: Store,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    window = folds.final.eval
    compute_features(catalogue, [window], ALL, store, settings)
    monkeypatch.setattr(sys.modules[__name__], "STEP", 2)
    assert missing_columns(catalogue, window, ALL, store) == ("c__a", "c__b")


def test_an_edited_helper_of_a_helper_recomputes_what_uses_it(
    catalogue: Catalogue,
    folds: Folds,
    store: Store,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    window = folds.final.eval
    compute_features(catalogue, [window], ALL, store, settings)
    monkeypatch.setattr(halve, "__code__", third.__code__)
    assert missing_columns(catalogue, window, ALL, store) == ("half__item_id",)


def test_another_log_is_another_column(
    timed: Dataset, catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    from dataclasses import replace

    window = folds.final.eval
    compute_features(catalogue, [window], ALL, store, settings)
    other = bind_catalogue(replace(timed, fingerprint="other"), registry())
    assert set(missing_columns(other, window, ALL, store)) == ALL


@pytest.mark.parametrize("how", ["deleted", "damaged", "cut short"])
@pytest.mark.parametrize("name", ["gap", "half__item_id"])
def test_a_lost_or_damaged_column_is_rebuilt_by_itself(
    how: str, name: str, catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    window = folds.final.eval
    compute_features(catalogue, [window], ALL, store, settings)
    before = read_features(catalogue, [window], ALL, store)
    file = column_file(catalogue, window, name, store)
    content = file.read_bytes()
    if how == "deleted":
        shutil.rmtree(file.parent)
    else:
        file.chmod(0o644)
        middle = len(content) // 2
        file.write_bytes(
            content[:middle] + (b"" if how == "cut short" else b"\0\1\2\3" + content[middle + 4 :])
        )
    assert compute_features(catalogue, [window], ALL, store, settings) == 1
    assert read_features(catalogue, [window], ALL, store).equals(before)


def test_a_lost_stepping_stone_is_not_missed_while_nobody_asks_for_it(
    catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    window = folds.final.eval
    compute_features(catalogue, [window], ["twice"], store, settings)
    shutil.rmtree(column_file(catalogue, window, "gap", store).parent)
    assert missing_columns(catalogue, window, ["twice"], store) == ()
    shutil.rmtree(column_file(catalogue, window, "twice", store).parent)
    assert missing_columns(catalogue, window, ["twice"], store) == ("gap", "twice")


def test_columns_are_read_in_order_and_aligned(
    timed: Dataset, catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    windows = (folds.final.eval, *folds.final.train)  # not in the order of the clock
    compute_features(catalogue, windows, ALL, store, settings)
    names = ["twice", "rate__user_id", "c__a", "twice"]
    frame = read_features(catalogue, windows, names, store)
    assert frame.columns == [
        "pair_id",
        "user_id",
        "item_id",
        "kind",
        "window",
        "twice",
        "rate__user_id",
        "c__a",
        "relevance",
    ]
    assert frame.equals(frame.sort("window", "user_id", "pair_id"))
    assert frame.schema["relevance"] == pl.Int8
    for window in windows:
        part = frame.filter(pl.col("window") == window.cutoff).sort("pair_id")
        pairs = window_pairs(timed, window)
        fresh = compute_window(catalogue, window, list(catalogue.columns), pairs)
        assert part.select("pair_id", "twice", "rate__user_id").equals(
            fresh.select("pair_id", "twice", "rate__user_id")
        )
        assert part.select("pair_id", "user_id", "item_id").equals(
            pairs.select("pair_id", "user_id", "item_id")
        )
        if window == folds.final.eval:
            assert part["relevance"].null_count() == part.height
        else:
            assert part.select("pair_id", "relevance").equals(window_relevance(timed, window))


def test_reading_what_was_not_computed_says_what_to_do(
    catalogue: Catalogue, folds: Folds, store: Store
) -> None:
    with pytest.raises(StoreError, match=r"'gap @ w[0-9-]+' is not in the store") as refused:
        read_features(catalogue, [folds.final.eval], ["gap"], store)
    assert "run the command again" in str(refused.value)


def test_the_keys_of_a_frame_change_with_what_it_is_made_of(timed: Dataset, folds: Folds) -> None:
    windows = folds.final.train
    keys = feature_keys(bind_catalogue(timed, registry()), windows, ["gap", "c__a"])
    assert len(keys) == 3 * len(windows)
    edited = feature_keys(bind_catalogue(timed, registry(strength=11)), windows, ["gap", "c__a"])
    assert {name.split(" @ ")[0] for name in keys if keys[name] != edited[name]} == {"gap"}


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
    assert compute_features(mended, finished, ALL, store, settings) == 0
    assert compute_features(mended, [last], names, store, settings) == len(names)


def test_two_runs_at_once_share_the_work(
    catalogue: Catalogue, folds: Folds, store: Store, settings: Settings
) -> None:
    """Locks are between open files, so threads of one process stand for processes here."""
    window = folds.final.eval
    together = threading.Barrier(3)
    computed: list[int] = []

    def run() -> None:
        together.wait()
        computed.append(compute_missing(catalogue, window, tuple(ALL), store.root))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(computed) == [0, 0, len(ALL)]
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
put, n = Store.put, 0

def dying(self, recipe, build, **options):
    global n
    if recipe.kind == "feature":
        if n == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        n += 1
    return put(self, recipe, build, **options)

Store.put = dying
windows = plan_folds(catalogue.dataset, FoldSettings(n_folds=1, n_train_windows=1)).windows
settings = Settings(store=root / "store", backend="inline")
names = ["n_likes__user_id", "like_rate__item_id", "item_lift", "als_score__like"]
compute_features(catalogue, windows, names, Store(root / "store"), settings)
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
    assert compute_features(catalogue, windows, names, Store(settings.store), settings) == n_all - 3
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

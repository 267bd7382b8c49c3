"""A streamed learner goes through the log once, and a value is the same whatever else is computed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

from competitions import ClockKind, Dataset
from engine import EmbeddingTable, FoldSettings, Settings, Store, StoreError, TableError, working_sets
from features import (
    Catalogue,
    FeatureError,
    Registry,
    StreamContext,
    Window,
    bind_catalogue,
    compute_features,
    compute_window,
    compute_windows,
    feature_keys,
    missing_columns,
    read_features,
    streamed,
)
from features._aggregation import Limits
from features._cards import plan_facts
from features._compute import BASE_GIB, STATE_BYTES, body_gib
from tests.features.streaming import STEP, DecayedMean, learned, one_streamed
from tests.features.tile_logs import cut, pairs_of_log, rows_of, whole, window_at
from validation import Folds, plan_folds, window_pairs

ROWS = rows_of(31, 400)
WINDOWS = [window_at(hour) for hour in (2, 4, 5, 6, 10)]
OFTEN = Limits(checkpoint_seconds=0.0)
HERE = Path(__file__).name


def values_of(dataset: Dataset, windows: list[Window], registry: Registry) -> list[pl.DataFrame]:
    pairs = dict.fromkeys(windows, pairs_of_log(ROWS))
    found = compute_windows(bind_catalogue(dataset, registry), ["decayed"], pairs)
    return [found[window] for window in windows]


def fresh(dataset: Dataset, window: Window) -> pl.Series:
    """What the pairs of a window have, from the log in memory and no checkpoint."""
    catalogue = bind_catalogue(whole(ROWS), one_streamed())
    found = compute_window(catalogue, window, ["decayed"], window_pairs(dataset, window))
    return found.sort("pair_id")["decayed"]


def stored(catalogue: Catalogue, window: Window, store: Store) -> pl.Series:
    return read_features(catalogue, [window], ["decayed"], store).sort("pair_id")["decayed"]


class Recording(DecayedMean):
    """Tells what it was given; 0 if none."""

    given: ClassVar[list[pl.DataFrame]]
    fails_at: ClassVar[int]

    def learn(self, rows: pl.DataFrame) -> None:
        if len(self.given) == self.fails_at:
            raise ValueError("not this one")
        self.given.append(rows)
        super().learn(rows)


@pytest.fixture
def recorder() -> type[Recording]:
    class Recorder(Recording):
        """Has a memory of its own; 0 if none."""

        given: ClassVar[list[pl.DataFrame]] = []
        fails_at = 10**9

    return Recorder


def planted(method: str, body: Callable[..., Any]) -> type[DecayedMean]:
    class Planted(DecayedMean):
        """Has another method; 0 if none."""

    setattr(Planted, method, body)
    return Planted


def failing(method: str, error: BaseException) -> type[DecayedMean]:
    def fail(*_: object) -> None:
        raise error

    return planted(method, fail)


@pytest.mark.parametrize("refine", [0, 2])
@pytest.mark.parametrize("step", [1, 7, STEP, 1000])
def test_a_window_has_what_its_history_gives_chunk_by_chunk(step: int, refine: int) -> None:
    registry = one_streamed(step=step, refine=refine)
    pairs = pairs_of_log(ROWS)
    for window, found in zip(WINDOWS, values_of(whole(ROWS), WINDOWS, registry), strict=True):
        history = ROWS.filter(pl.col("clock") < window.cutoff)
        expected = learned(history, step=step, refine=refine).transform(pairs)["decayed"]
        assert found["decayed"].equals(pl.Series("decayed", expected.astype(np.float32)))


@pytest.mark.parametrize("cuts", [(), (50, 100), (1, 40, 80, 81, 399)])
def test_no_value_depends_on_other_windows_partitions_or_the_order_in_memory(cuts: tuple[int, ...]) -> None:
    alone = [values_of(whole(ROWS), [window], one_streamed())[0] for window in WINDOWS]
    datasets = [cut(whole(ROWS), ROWS, cuts), whole(ROWS.sample(fraction=1.0, shuffle=True, seed=1))]
    for dataset in datasets:
        found = values_of(dataset, WINDOWS[::-1], one_streamed())[::-1]
        assert all(a.equals(b) for a, b in zip(alone, found, strict=True))


@pytest.mark.parametrize("kind", ["time", "row", "per_user"])
def test_windows_together_alone_and_stored_are_the_same_on_every_clock(
    kind: ClockKind, small: Callable[[ClockKind], Dataset], store: Store, settings: Settings
) -> None:
    dataset = small(kind)
    windows = plan_folds(dataset, FoldSettings(n_folds=2, n_train_windows=2)).windows
    catalogue = bind_catalogue(dataset, one_streamed())
    pairs = {window: window_pairs(dataset, window) for window in windows}
    together = compute_windows(catalogue, ["decayed"], pairs)
    assert compute_features(catalogue, windows, ["decayed"], store, settings) == len(windows)
    for window in windows:
        assert compute_window(catalogue, window, ["decayed"], pairs[window]).equals(together[window])
        history = window.history(dataset.log).sort("clock", "row").collect()
        expected = learned(history).transform(pairs[window])["decayed"].astype(np.float32)
        assert together[window]["decayed"].to_list() == expected.tolist()
        assert stored(catalogue, window, store).equals(together[window].sort("pair_id")["decayed"])
    assert compute_features(catalogue, windows, ["decayed"], store, settings) == 0


def test_rows_come_once_in_order_with_what_is_needed(recorder: type[Recording]) -> None:
    needs = ["relevance", "item_id", "kind", "age"]
    values_of(whole(ROWS[::-1]), [WINDOWS[-1]], one_streamed(recorder, needs=needs))
    history = whole(ROWS).with_attributes(ROWS.lazy()).filter(pl.col("clock") < WINDOWS[-1].cutoff).collect()
    assert {rows.height for rows in recorder.given[:-1]} == {STEP}
    assert pl.concat(recorder.given).equals(
        history.select(c for c in history.columns if c in {*needs, "clock"})
    )


def test_without_needs_it_gets_all_but_the_row_number(recorder: type[Recording]) -> None:
    dataset = whole(ROWS)
    values_of(dataset, WINDOWS[:1], one_streamed(recorder, needs=()))
    assert recorder.given[0].columns == [name for name in dataset.history_schema if name != "row"]


def test_five_windows_cost_one_way_and_what_lies_between_a_checkpoint_and_a_cutoff(
    recorder: type[Recording],
) -> None:
    values_of(whole(ROWS), WINDOWS, one_streamed(recorder))
    ends = [ROWS.filter(pl.col("clock") < window.cutoff).height for window in WINDOWS]
    between = sum(end % STEP for end in ends)
    assert sum(rows.height for rows in recorder.given) == ends[-1] - ends[-1] % STEP + between


def test_without_a_history_it_is_started_and_looked_at(recorder: type[Recording]) -> None:
    (found,) = values_of(whole(ROWS), [window_at(0)], one_streamed(recorder, refine=1))
    assert recorder.given == []
    assert found["decayed"].unique().to_list() == [0.0]


def test_no_pairs_are_no_values() -> None:
    catalogue = bind_catalogue(whole(ROWS), one_streamed())
    found = compute_window(catalogue, WINDOWS[1], ["decayed"], pairs_of_log(ROWS).clear())
    assert found.schema == {"pair_id": pl.UInt32(), "decayed": pl.Float32()}
    assert found.height == 0


@pytest.fixture
def log(tmp_path: Path) -> Callable[[int], Dataset]:
    """The first rows of the log in partitions of 90."""
    return lambda n_rows: cut(whole(ROWS[:n_rows]), ROWS[:n_rows], range(90, n_rows, 90))


def test_a_log_that_grew_and_further_windows_cost_the_way_from_the_last_checkpoint(
    recorder: type[Recording], store: Store, settings: Settings, log: Callable[[int], Dataset]
) -> None:
    registry = one_streamed(recorder)
    ends = {window: ROWS.filter(pl.col("clock") < window.cutoff).height for window in WINDOWS}
    first, last = next(window for window in WINDOWS if 90 < ends[window] < 270), WINDOWS[-1]
    short = bind_catalogue(replace(log(270), fingerprint="short"), registry)
    compute_features(short, [first], ["decayed"], store, settings)
    assert sum(rows.height for rows in recorder.given) == ends[first]
    recorder.given.clear()
    grown = bind_catalogue(log(400), registry)
    compute_features(grown, [last], ["decayed"], store, settings)
    assert sum(rows.height for rows in recorder.given) == ends[last] - ends[first] // STEP * STEP
    assert stored(grown, last, store).equals(fresh(grown.dataset, last))


def test_a_killed_run_goes_on_from_the_last_checkpoint_with_the_same_bytes(
    recorder: type[Recording], store: Store, settings: Settings, log: Callable[[int], Dataset]
) -> None:
    catalogue = bind_catalogue(log(400), one_streamed(recorder))
    recorder.fails_at = 5
    with pytest.raises(FeatureError, match=r"'recorder' .* failed in learn at rows 200 to 240.*not this one"):
        compute_features(catalogue, WINDOWS[-1:], ["decayed"], store, settings, OFTEN)
    assert [size.n_artifacts for size in store.size() if size.kind == "checkpoint"] == [1]
    recorder.fails_at = 10**9
    recorder.given.clear()
    compute_features(catalogue, WINDOWS[-1:], ["decayed"], store, settings, OFTEN)
    end = ROWS.filter(pl.col("clock") < WINDOWS[-1].cutoff).height
    assert sum(rows.height for rows in recorder.given) == end - 200
    assert stored(catalogue, WINDOWS[-1], store).equals(fresh(catalogue.dataset, WINDOWS[-1]))


def test_checkpoints_on_the_way_are_gone_once_they_serve_nothing(
    store: Store, settings: Settings, log: Callable[[int], Dataset]
) -> None:
    catalogue = bind_catalogue(log(400), one_streamed())
    compute_features(catalogue, WINDOWS, ["decayed"], store, settings, OFTEN)
    ends = [ROWS.filter(pl.col("clock") < window.cutoff).height for window in WINDOWS]
    names = {folder.name for folder in (store.root / "artifacts" / "checkpoint").iterdir()}
    assert len(names) == len({end // STEP for end in ends if end >= STEP})


def test_a_damaged_checkpoint_is_one_that_is_not_there(
    store: Store, settings: Settings, log: Callable[[int], Dataset]
) -> None:
    catalogue = bind_catalogue(log(400), one_streamed())
    compute_features(catalogue, WINDOWS[1:3], ["decayed"], store, settings)
    for file in (store.root / "artifacts" / "checkpoint").glob("*/state.npz"):
        file.write_bytes(b"nothing")
    compute_features(catalogue, WINDOWS, ["decayed"], store, settings)
    assert stored(catalogue, WINDOWS[3], store).equals(fresh(catalogue.dataset, WINDOWS[3]))


def test_of_a_log_in_memory_no_checkpoint_is_stored(store: Store, settings: Settings) -> None:
    catalogue = bind_catalogue(whole(ROWS), one_streamed())
    assert compute_features(catalogue, WINDOWS, ["decayed"], store, settings) == len(WINDOWS)
    assert "checkpoint" not in {size.kind for size in store.size()}


def test_learners_run_in_worker_processes_as_here(
    store: Store, settings: Settings, log: Callable[[int], Dataset]
) -> None:
    registry = one_streamed(variants={"fast": {"half_life": 20.0}, "slow": {"half_life": 500.0}})
    catalogue = bind_catalogue(log(400), registry)
    names = ["decayed__fast", "decayed__slow"]
    frames = []
    for backend in ("inline", "processes"):
        own = Store(store.root / backend)
        asked = settings.model_copy(update={"backend": backend, "store": own.root, "threads": 2})
        assert compute_features(catalogue, WINDOWS, names, own, asked) == 2 * len(WINDOWS)
        frames.append(read_features(catalogue, WINDOWS, names, own))
    assert frames[0].equals(frames[1])
    assert not frames[0]["decayed__fast"].equals(frames[0]["decayed__slow"])


def test_a_window_that_lacks_a_column_gets_that_one(
    timed: Dataset, folds: Folds, store: Store, settings: Settings
) -> None:
    registry = Registry()

    @streamed(
        columns={"n_seen": pl.Int64, "n_steps": pl.Int64}, needs=["item_id"], step=10, registry=registry
    )
    class Counted(DecayedMean):
        """Number of rows, and of steps."""

        def start(self, context: StreamContext) -> None:
            self.counts = np.zeros(2, dtype=np.int64)

        def learn(self, rows: pl.DataFrame) -> None:
            self.counts += (rows.height, 1)

        def transform(self, pairs: pl.DataFrame) -> Any:
            n_seen, n_steps = self.counts
            return pairs.select("pair_id", n_seen=pl.lit(n_seen), n_steps=pl.lit(n_steps))

        def save(self, folder: Path) -> None:
            np.save(folder / "counts.npy", self.counts)

        def load(self, folder: Path) -> None:
            self.counts = np.load(folder / "counts.npy")

    catalogue = bind_catalogue(timed, registry)
    first, *_, last = folds.windows
    assert compute_features(catalogue, [first], ["n_seen"], store, settings) == 1
    assert compute_features(catalogue, [last], ["n_steps"], store, settings) == 1
    both = ["n_seen", "n_steps"]
    assert compute_features(catalogue, [first, last], both, store, settings) == 2
    n_rows = last.history(timed.log).collect().height
    found = read_features(catalogue, [last], both, store)
    assert found.select(pl.col(both).unique()).row(0) == (n_rows, -(-n_rows // 10))


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({}, False),
        ({"step": 41}, True),
        ({"refine": 1}, True),
        ({"needs": ["item_id", "relevance", "stars"]}, True),
        ({"fill": 0.5}, True),
    ],
)
def test_the_key_has_what_changes_the_value(options: dict[str, Any], changes: bool, timed: Dataset) -> None:
    window = Window(cutoff=0, start=0, until=1)
    keys = [
        feature_keys(bind_catalogue(timed, one_streamed(**own)), [window], ["decayed"])
        for own in ({}, options)
    ]
    assert (keys[0] != keys[1]) is changes


@pytest.mark.parametrize(
    ("method", "where"),
    [
        ("start", "before the first row"),
        ("learn", "at rows 0 to 40"),
        ("save", "at row [0-9]+"),
        ("load", "at row [0-9]+"),
        ("sweep", f"in window {WINDOWS[1].name}"),
        ("transform", f"in window {WINDOWS[1].name}"),
    ],
)
@pytest.mark.parametrize("error", [ValueError("the reason"), SystemExit("the reason")], ids=str)
def test_a_method_that_fails_is_named_with_how_far_it_was(
    method: str,
    where: str,
    error: BaseException,
    store: Store,
    settings: Settings,
    log: Callable[[int], Dataset],
) -> None:
    registry = one_streamed(failing(method, error), refine=1)
    told = f"'planted' \\({HERE}:[0-9]+\\) failed in {method} {where}: {type(error).__name__}: the reason"
    with pytest.raises(FeatureError, match=told):
        compute_features(bind_catalogue(log(400), registry), WINDOWS[1:2], ["decayed"], store, settings)
    with pytest.raises(FeatureError, match=told):
        values_of(whole(ROWS), WINDOWS[1:2], registry)


def test_a_loss_that_is_not_finite_is_told_by_feature_rows_table_and_id_with_what_to_do() -> None:
    def diverge(_: object, rows: pl.DataFrame) -> None:
        items = EmbeddingTable("items", 2, noise=1)
        for (s,), (at,) in working_sets([items], [(items.grow(rows["item_id"]),)], rate=0.1):
            s.learn(at, s.take(at) / 0)

    told = r"(?s)'planted' .* failed in learn at rows 0 to 40: Table 'items'.*\(id .*finite loss.*To do: look for"
    with pytest.raises(TableError, match=told):
        values_of(whole(ROWS), WINDOWS[1:2], one_streamed(planted("learn", diverge)))


def test_a_full_disk_is_said_as_elsewhere(
    store: Store, settings: Settings, log: Callable[[int], Dataset]
) -> None:
    registry = one_streamed(failing("save", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    with pytest.raises(StoreError, match="disk is full"):
        compute_features(bind_catalogue(log(400), registry), WINDOWS[1:2], ["decayed"], store, settings)
    assert "checkpoint" not in {size.kind for size in store.size()}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (lambda pairs: None, "gave NoneType"),
        (lambda pairs: {"other": [0.0] * pairs.height}, "did not give the column 'decayed'"),
        (lambda pairs: {"decayed": [0.0]}, "gave arrays of"),
        (lambda pairs: {"decayed": ["a"] * pairs.height}, "gave 'decayed' as String"),
    ],
)
def test_what_transform_gives_is_checked_as_that_of_a_fitted_one(
    given: Callable[[pl.DataFrame], Any], found: str
) -> None:
    body = planted("transform", lambda self, pairs: given(pairs))
    with pytest.raises(FeatureError, match=f"'planted' \\({HERE}:[0-9]+\\) {found}"):
        values_of(whole(ROWS), WINDOWS[:1], one_streamed(body))


class Bare:
    """Nothing of a learner."""

    def start(self, context: StreamContext) -> None:
        pass

    def learn(self, rows: pl.DataFrame) -> None:
        pass


@pytest.mark.parametrize(
    ("body", "options", "found"),
    [
        (DecayedMean, {"step": 0}, "has step=0"),
        (DecayedMean, {"step": -5}, "has step=-5"),
        (DecayedMean, {"step": 1e5}, "has step=100000.0"),
        (DecayedMean, {"step": True}, "has step=True"),
        (DecayedMean, {"refine": -1}, "has refine=-1"),
        (DecayedMean, {"refine": 0.5}, "has refine=0.5"),
        (Bare, {}, "has no method transform, save, load"),
        (Bare, {"refine": 1}, "has no method transform, save, load, sweep"),
    ],
)
def test_what_cannot_be_streamed_is_refused_when_it_is_declared(
    body: type, options: dict[str, Any], found: str
) -> None:
    with pytest.raises(FeatureError) as refused:
        one_streamed(body, **options)
    assert found in str(refused.value)


def test_what_a_competition_lacks_is_not_available(timed: Dataset) -> None:
    registry = one_streamed(
        needs=lambda half_life: ["item_id", "seconds"], variants={"a": {"half_life": 1.0}}
    )
    catalogue = bind_catalogue(timed, registry)
    assert "needs the column 'seconds' in the log" in catalogue.unavailable["decayed__a"]


def test_its_memory_is_that_of_a_chunk_and_of_what_it_knows(log: Callable[[int], Dataset]) -> None:
    def need(dataset: Dataset, step: int) -> float:
        column = bind_catalogue(dataset, one_streamed(step=step)).columns["decayed"]
        return body_gib(dataset, WINDOWS[-1], [column]) * 2**30

    one, eleven, most = (need(log(400), step) for step in (1, 11, 10**6))
    width, n_rows = (eleven - one) / 10, ROWS.filter(pl.col("clock") < WINDOWS[-1].cutoff).height
    assert one - width == pytest.approx(BASE_GIB * 2**30 + (5 + 5) * STATE_BYTES)
    assert most == pytest.approx(one + (n_rows - 1) * width)
    assert need(whole(ROWS), 1) == pytest.approx(most)


def test_it_is_explained_as_one_way_through_the_log(
    timed: Dataset, folds: Folds, store: Store, settings: Settings
) -> None:
    catalogue = bind_catalogue(timed, one_streamed())
    (before,) = plan_facts(catalogue, ["decayed"], folds.windows, store)["passes"]
    assert (before["pass"], before["made of"]) == ("streamed decayedmean", "log, once")
    compute_features(catalogue, folds.windows, ["decayed"], store, settings)
    assert missing_columns(catalogue, folds.windows[0], ["decayed"], store) == ()

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from models import FitContext, FitReport, PairFrame, build_models, inner_holdout, search_and_refit
from tests.models.small_log import SmallLog, finite_scores, with_columns

SLOW_KINDS = ["catboost", "channel_net"]


def pairs(n_users: int, n_windows: int, n_shown: int = 4) -> PairFrame:
    """Each user is shown pairs of relevance 0, 1, 0, 1 ... in each window."""
    table = (
        pl.DataFrame({"window": range(n_windows)})
        .join(pl.DataFrame({"user_id": range(n_users)}), how="cross")
        .join(pl.DataFrame({"item_id": range(n_shown)}), how="cross")
        .with_columns(relevance=(pl.col("item_id") % 2).cast(pl.Int8))
        .with_row_index("pair_id")
    )
    return PairFrame(table, (), "user_id", "item_id")


@given(
    n_users=st.integers(2, 40),
    n_windows=st.integers(1, 4),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
def test_the_holdout_is_a_share_of_the_users_of_the_last_window(
    n_users: int, n_windows: int, share: float, seed: int
) -> None:
    train = pairs(n_users, n_windows)
    split = inner_holdout(train, share, seed)
    assert split is not None
    rest, held = split
    last = train.take(pl.col("window") == n_windows - 1)
    users = held.table["user_id"].unique()
    assert held.table["window"].unique().to_list() == [n_windows - 1]
    assert len(users) == min(n_users - 1, int(np.ceil(share * n_users)))
    # Whole groups: all rows of a held user in the last window, and no row is in both or in none.
    assert_frame_equal(held.table, last.take(pl.col("user_id").is_in(users.implode())).table)
    assert_frame_equal(pl.concat([rest.table, held.table]).sort("pair_id"), train.table)


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_the_rows() -> None:
    train = pairs(30, 2)
    shuffled = replace(train, table=train.table.sample(fraction=1.0, shuffle=True, seed=1))

    def drawn(frame: PairFrame, seed: int) -> set[int]:
        split = inner_holdout(frame, 0.2, seed)
        assert split is not None
        return set(split[1].table["user_id"])

    assert drawn(train, 1) == drawn(shuffled, 1)
    assert drawn(train, 1) != drawn(train, 2)


FLAT = with_columns(pairs(10, 2), relevance=pl.col("relevance") * (pl.col("window") == 0))


@pytest.mark.parametrize(
    ("train", "share"), [(pairs(0, 2), 0.3), (pairs(1, 2), 0.3), (pairs(10, 2), 0.0), (FLAT, 0.3)]
)
def test_no_holdout_without_a_share_of_two_users_and_two_classes_in_a_group(
    train: PairFrame, share: float
) -> None:
    assert inner_holdout(train, share, 0) is None


@dataclass(frozen=True)
class Fitted:
    report: FitReport


class Recorder:
    """A fit that only notes what it was asked to do; its search always ends after four iterations."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def train(self, rows: PairFrame, held: PairFrame | None, most: int, share: float) -> Fitted:
        self.calls.append(("all rows" if held is None else "search", most))
        return Fitted(FitReport(most, "iterations") if held is None else FitReport(4, "hold-out"))


@pytest.mark.parametrize(
    ("iterations", "holdout", "refit", "calls", "report"),
    [
        (None, 0.2, True, [("search", 100), ("all rows", 4)], FitReport(4, "hold-out")),
        (None, 0.2, False, [("search", 100)], FitReport(4, "hold-out")),
        (None, 0.0, True, [("all rows", 100)], FitReport(100, "iterations")),
        (7, 0.2, True, [("all rows", 7)], FitReport(7, "iterations")),
        (0, 0.2, True, [("all rows", 1)], FitReport(1, "iterations")),
    ],
)
def test_the_count_comes_from_the_context_or_from_the_holdout(
    iterations: int | None, holdout: float, refit: bool, calls: list[tuple[str, int]], report: FitReport
) -> None:
    recorder, context = Recorder(), FitContext(seed=1, iterations=iterations)
    fitted = search_and_refit(recorder.train, pairs(20, 2), context, most=100, holdout=holdout, refit=refit)
    assert recorder.calls == calls
    assert fitted.report == report


@pytest.mark.parametrize(
    ("seconds", "context"), [(1e-6, FitContext(seed=1)), (0.3, FitContext(seed=1, iterations=100_000))]
)
@pytest.mark.parametrize("kind", SLOW_KINDS)
def test_a_time_budget_ends_a_fit(
    kind: str, seconds: float, context: FitContext, small_log: SmallLog
) -> None:
    ranker, started = build_models({kind: {"time_budget": seconds}})[kind], time.monotonic()
    fitted = ranker.fit(small_log.train, context)
    assert fitted.report.stopped_by == "time budget"
    assert time.monotonic() - started < 20
    finite_scores(fitted, small_log.eval)


@pytest.mark.parametrize("kind", SLOW_KINDS)
def test_a_holdout_of_noise_stops_a_fit_early(kind: str, small_log: SmallLog) -> None:
    """Where the last window's labels are noise, going on makes the hold-out worse."""
    rng = np.random.default_rng(3)
    noise = pl.lit(pl.Series(rng.integers(0, 2, small_log.train.table.height)))
    noisy = with_columns(small_log.train, relevance=noise)
    fast: dict[str, dict[str, Any]] = {
        "catboost": {"iterations": 500, "patience": 5},
        "channel_net": {"epochs": 200, "learning_rate": 0.01, "patience": 2},
    }
    report = build_models({kind: fast[kind]})[kind].fit(noisy, FitContext(seed=1)).report
    assert report.stopped_by == "hold-out"
    assert report.iterations is not None
    assert report.iterations < 100
    assert report.notes["n_holdout_rows"] > 0

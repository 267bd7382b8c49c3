"""Taste as a feature: what it observes, what it says of pairs alone and in bulk, and whatever a log may lack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl
import polars.selectors as cs
import pytest
import scipy.stats
from threadpoolctl import threadpool_limits

from competitions import Clock, Competition, Dataset, RawTables, get_competition, random_tables, take_in
from features import LogColumns, Window, compute_window, load_catalogue
from features.taste import Taste, normal_scores, reacted, weight, weights_of
from features.toolkit import Floats
from tests.features.fitting import assert_alone_as_in_bulk, fitted_on, values_of
from tests.features.planted_tastes import N_ITEMS, N_USERS, WINDOW, feed, recovers

Change = Callable[[pl.DataFrame], pl.DataFrame]
COLUMNS = LogColumns(
    user="user_id", item="item_id", source="source_id", outcomes=("timespent", "rating"),
    reactions=("share", "bookmarks"), dense="timespent", dense_per="duration",
    of_user=("age", "sex"), of_item=("content", "duration"),
)  # fmt: skip
UNDECLARED = replace(COLUMNS, dense=None, dense_per=None)
VECTOR = pl.Array(pl.Float32, 3)


def with_attributes(rows: pl.DataFrame) -> pl.DataFrame:
    """Users by age and sex, items by content, as the framework joins them; unseen ones have some too."""
    rng = np.random.default_rng(3)
    users = pl.DataFrame(
        {
            "user_id": [*range(N_USERS), 999],
            "age": rng.integers(10, 70, N_USERS + 1),
            "sex": rng.choice(["f", "m"], N_USERS + 1),
        },
        schema={"user_id": pl.UInt32, "age": pl.UInt8, "sex": pl.Enum(["f", "m"])},
    )
    items = pl.DataFrame(
        {
            "item_id": [*range(N_ITEMS), 9999],
            "content": rng.normal(size=(N_ITEMS + 1, 3)).tolist(),
            "duration": rng.choice([10, 20, 60], N_ITEMS + 1),
        },
        schema={"item_id": pl.UInt32, "content": VECTOR, "duration": pl.UInt16},
    )
    for table in (users, items):
        rows = rows.drop(table.columns[1:], strict=False).join(
            table, on=table.columns[0], how="left", maintain_order="left"
        )
    return rows


PLANTED = feed(3000)
LOG, PAIRS = with_attributes(PLANTED.log), with_attributes(PLANTED.pairs())


def taste(log: pl.DataFrame = LOG, columns: LogColumns = COLUMNS) -> Taste:
    fitted: Taste = fitted_on(Taste(columns), log, WINDOW)
    return fitted


def assert_finite(values: pl.DataFrame, *, has_relevance: bool = True) -> None:
    for name in values.columns:
        if name == "taste_relevance" and not has_relevance:
            assert values[name].null_count() == values.height
        else:
            assert np.isfinite(values[name].to_numpy()).all(), name


# What it observes.


def test_normal_scores_are_those_of_ranks_among_rows_of_a_like_per() -> None:
    rng = np.random.default_rng(1)
    per = rng.choice([10.0, 30.0], 400)
    values = np.round(per * rng.random(400))
    values[:5] = [np.nan, np.inf, -np.inf, np.nan, np.nan]
    found = normal_scores(values, per)
    assert found.dtype == np.float32
    assert np.isnan(found[:5]).all()
    for of in (10.0, 30.0):
        rows = np.flatnonzero((per == of) & np.isfinite(values))
        share = (scipy.stats.rankdata(values[rows]) - 0.5) / len(rows)
        np.testing.assert_allclose(found[rows], scipy.stats.norm.ppf(share), atol=1e-6)
    ranks = (scipy.stats.rankdata(values[5:]) - 0.5) / 395
    np.testing.assert_allclose(normal_scores(values, None)[5:], scipy.stats.norm.ppf(ranks), atol=1e-6)
    assert normal_scores(np.full(3, np.nan), np.ones(3)).shape == normal_scores(values[:3], per[:3]).shape
    assert normal_scores(np.ones(4), None).tolist() == [0.0] * 4


def test_where_less_is_better_the_sign_is_turned() -> None:
    quick = LOG.with_columns(timespent=40 - pl.col("timespent").cast(pl.Int16))
    columns = replace(UNDECLARED, outcomes=("timespent",))
    assert recovers(values_of(taste(quick, columns), PAIRS), "taste_score", PLANTED) > 0.95


def test_a_reaction_weighs_as_a_second_view_of_the_appeal() -> None:
    rng = np.random.default_rng(4)
    appeal = rng.normal(size=50_000).astype(np.float32)
    noise, alpha, own = 0.5, 0.3, 0.4
    view = (alpha * appeal + own * rng.normal(size=len(appeal))).astype(np.float32)
    first = appeal + np.sqrt(noise) * rng.normal(size=len(appeal))
    assert weight(view, appeal, noise) == pytest.approx(alpha * noise / own**2, rel=0.03)
    assert weight(-view, appeal, noise) == pytest.approx(-alpha * noise / own**2, rel=0.03)
    assert weight(appeal, appeal, noise) == 2.0 or weight(appeal, appeal, noise) == 0.0
    assert weight(np.zeros_like(appeal), appeal, noise) == 0.0
    assert weight(view, np.zeros_like(appeal), noise) == 0.0

    def follows(w: float) -> float:
        return float(np.corrcoef(first + w * view, appeal)[0, 1])

    best = float(weight(view, appeal, noise))
    assert follows(best) > max(follows(0.0), follows(best / 2), follows(2 * best))


def test_reactions_are_summed_and_one_that_says_nothing_counts_nothing() -> None:
    rng = np.random.default_rng(5)
    appeal = rng.normal(size=2000).astype(np.float32)
    liked = appeal + rng.normal(size=2000) > 1
    log = pl.DataFrame({"liked": liked, "fixed": True, "empty": pl.Series([None] * 2000, dtype=pl.Boolean)})

    def summed(log: pl.DataFrame, names: list[str]) -> Floats:
        return reacted(log, weights_of(log, names, slice(None), appeal, 1.0))

    alone = summed(log, ["liked"])
    assert np.corrcoef(alone, liked)[0, 1] == pytest.approx(1.0)
    assert abs(alone.mean()) < 1e-5
    np.testing.assert_array_equal(summed(log, ["liked", "fixed", "empty"]), alone)
    np.testing.assert_array_equal(summed(log, []), np.zeros(2000))
    unknown = log.with_columns(liked=pl.when(pl.int_range(2000) % 2 > 0).then("liked"))
    assert np.abs(summed(unknown, ["liked"])[::2]).max() < 1e-6


# What it says of pairs.


@pytest.fixture(scope="module")
def fitted() -> Taste:
    return taste()


@pytest.fixture(scope="module")
def values(fitted: Taste) -> pl.DataFrame:
    return values_of(fitted, PAIRS)


def test_it_follows_a_planted_taste(values: pl.DataFrame) -> None:
    for column in ("taste_score", "taste_appeal", "taste_product", "taste_source", "taste_relevance"):
        assert recovers(values, column, PLANTED) > 0.97
    assert_finite(values)


def test_parts_sum_up_and_relevance_lies_within_that_of_the_log(values: pl.DataFrame) -> None:
    parts = values["taste_product"] + values["taste_item"]
    np.testing.assert_allclose(values["taste_score"], parts, atol=1e-5)
    np.testing.assert_allclose(values["taste_appeal"], parts + values["taste_user"], atol=1e-5)
    vectors = [values[f"taste_{of}_vector"].to_numpy() for of in ("user", "item")]
    np.testing.assert_allclose(values["taste_product"], (vectors[0] * vectors[1]).sum(axis=1), atol=1e-5)
    assert values["taste_relevance"].is_between(LOG["relevance"].min(), LOG["relevance"].max()).all()
    expected = values.sort("taste_appeal")["taste_relevance"]
    assert expected.tail(300).mean() > expected.head(300).mean() + 0.3  # type: ignore[operator]
    assert (values["taste_sd"] > 0).all()


def test_rows_that_count(values: pl.DataFrame) -> None:
    rows = PAIRS.hstack(values.select("taste_user_rows", "taste_item_rows"))
    counts = rows.join(LOG.group_by("item_id").len(), on="item_id", how="left")
    np.testing.assert_array_equal(counts["taste_item_rows"], counts["len"].fill_null(0))
    of_user = rows.join(LOG.group_by("user_id").len(), on="user_id", how="left").with_columns(
        pl.col("len").fill_null(0)
    )
    assert (of_user["taste_user_rows"] <= of_user["len"]).all()
    assert of_user.filter(pl.col("user_id") < 999)["taste_user_rows"].min() > 0  # type: ignore[operator]
    assert of_user.filter(pl.col("user_id") == 999)["taste_user_rows"].to_list() == [0.0] * (N_ITEMS + 1)


def test_unseen_keys_are_less_sure(values: pl.DataFrame) -> None:
    rows = PAIRS.select("user_id", "item_id").hstack(values.select("taste_sd", "taste_drift"))
    known = rows.filter(pl.col("user_id") < 999, pl.col("item_id") < 9999)["taste_sd"].mean()
    for unseen in (pl.col("user_id") == 999, pl.col("item_id") == 9999):
        assert rows.filter(unseen)["taste_sd"].mean() > known  # type: ignore[operator]
    assert (rows.filter(pl.col("user_id") == 999)["taste_drift"] == 0).all()


def test_an_unseen_item_is_its_source_and_an_unseen_user_nobody_without_attributes() -> None:
    model = taste(columns=replace(COLUMNS, of_user=(), of_item=()))
    of_source = PAIRS.with_columns(pl.lit(5, pl.UInt32).alias("source_id"))
    found = PAIRS.select("user_id", "item_id").hstack(values_of(model, of_source))
    unseen = found.filter(pl.col("item_id") == 9999)
    assert unseen["taste_product"].equals(unseen["taste_source"], check_names=False)
    assert unseen["taste_product"].std() > 0.1  # type: ignore[operator]
    nobody = found.filter(pl.col("user_id") == 999)
    assert (nobody["taste_product"] == 0).all()
    assert (nobody["taste_user"] == 0).all()
    no_source = found.filter(pl.col("item_id") == 9999).height
    new = values_of(model, PAIRS.with_columns(pl.lit(77, pl.UInt32).alias("source_id")))
    assert no_source == (new.filter(PAIRS["item_id"] == 9999)["taste_product"] == 0).sum()


def test_unseen_keys_of_the_same_attributes_are_alike_and_of_others_not(fitted: Taste) -> None:
    new = (
        PAIRS.filter(pl.col("item_id") == 3)
        .head(2)
        .with_columns(user_id=pl.Series([5000, 6000], dtype=pl.UInt32))
    )
    same = new.with_columns(pl.col("age", "sex").first())
    other = same.with_columns(age=pl.Series([12, 65], dtype=pl.UInt8))
    one, two = (values_of(fitted, pairs)["taste_user"] for pairs in (same, other))
    assert one[0] == one[1]
    assert two[0] != two[1]


def test_alone_as_in_bulk_in_any_order_and_none(fitted: Taste, values: pl.DataFrame) -> None:
    assert_alone_as_in_bulk(fitted, PAIRS, 61)
    shuffled = PAIRS.sample(fraction=1.0, shuffle=True, seed=3)
    assert values_of(fitted, shuffled).sort("pair_id").equals(values)
    assert values_of(fitted, PAIRS.head(0)).height == 0
    many = pl.concat([PAIRS] * 50)  # more than are looked at a time
    assert values_of(fitted, many).tail(PAIRS.height).equals(values)


def test_a_second_fit_and_threads_change_no_bit(values: pl.DataFrame) -> None:
    assert values_of(taste(), PAIRS).equals(values)
    with threadpool_limits(2):
        model = Taste(COLUMNS)
        model.fit(LOG.lazy(), WINDOW)
        assert values_of(model, PAIRS).equals(values)


def test_renaming_ids_changes_nothing(values: pl.DataFrame) -> None:
    def renamed(rows: pl.DataFrame) -> pl.DataFrame:
        source = pl.format("s{}", pl.col("source_id") + 1000)
        return rows.with_columns(pl.col("user_id") * 7 + 3, pl.col("item_id") + 100_000, source_id=source)

    assert values_of(taste(renamed(LOG)), renamed(PAIRS)).equals(values)


# Whatever a log may lack.

NOTHING = pl.lit(None)


def set_to(**columns: Any) -> Change:
    """Set columns to an expression or a value of the same dtype."""

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        exprs = {
            n: e if isinstance(e, pl.Expr) else pl.lit(e) for n, e in columns.items() if n in rows.columns
        }
        return rows.with_columns(e.cast(rows.schema[n], strict=False).alias(n) for n, e in exprs.items())

    return change


def as_floats(name: str, *values: float | None) -> Change:
    """Let every other row of a column be one of these."""

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        strange = pl.Series([values[n % len(values)] for n in range(rows.height)], dtype=pl.Float64)
        return rows.with_columns(
            pl.when(pl.int_range(pl.len()) % 2 > 0).then(strange).otherwise(name).alias(name)
        )

    return change


NAN, INF = float("nan"), float("inf")
KNOWN: dict[str, Change] = {
    "constant target": set_to(timespent=5, rating=5, duration=20),
    "constant outcomes": set_to(timespent=5, rating=5, duration=20, relevance=1, share=True, bookmarks=False),
    "one user": lambda rows: rows.filter(pl.col("user_id") == 3),
    "one item": lambda rows: rows.filter(pl.col("item_id") == 3),
    "one row": lambda rows: rows.head(1),
    "two rows": lambda rows: rows.head(2),
    "one user with one item": set_to(user_id=3, item_id=3, source_id=3),
    "null source": set_to(source_id=NOTHING),
    "sources known of some rows": set_to(source_id=pl.when(pl.col("row") % 3 > 0).then("source_id")),
    "a source that changes": set_to(source_id=pl.col("row") % 12),
    "null users": set_to(user_id=pl.when(pl.col("row") % 5 > 0).then("user_id")),
    "null items": set_to(item_id=pl.when(pl.col("row") % 7 > 0).then("item_id")),
    "null content": set_to(content=NOTHING),
    "content that is not finite": set_to(content=pl.lit([NAN, INF, 1.0], dtype=VECTOR)),
    "null attributes": set_to(age=NOTHING, sex=NOTHING, content=NOTHING),
    "dense of some rows": as_floats("timespent", NAN, INF, -INF, None),
    "duration of some rows": as_floats("duration", 0.0, None, NAN, INF, -1.0),
    "null reactions": set_to(share=NOTHING, bookmarks=NOTHING),
    "relevance of some rows": set_to(relevance=pl.when(pl.col("row") % 5 == 0).then("relevance")),
}  # fmt: skip
UNKNOWN: dict[str, Change] = {
    "no row": lambda rows: rows.head(0),
    "null outcomes": set_to(timespent=NOTHING, rating=NOTHING, relevance=NOTHING, share=NOTHING),
    "outcomes that are no numbers": lambda rows: rows.with_columns(
        timespent=pl.lit(NAN), rating=pl.lit(NAN), relevance=pl.lit(None, pl.Int8)
    ),
    "null users": set_to(user_id=NOTHING),
}  # fmt: skip


@pytest.mark.parametrize("columns", [COLUMNS, UNDECLARED], ids=["declared", "chosen"])
@pytest.mark.parametrize("lacking", KNOWN)
def test_logs_that_lack_something(lacking: str, columns: LogColumns) -> None:
    model = taste(KNOWN[lacking](LOG), columns)
    assert_finite(values_of(model, PAIRS))
    unknown = PAIRS.select(
        "pair_id", *(pl.lit(None, t).alias(n) for n, t in PAIRS.schema.items() if n != "pair_id")
    )
    assert_finite(values_of(model, unknown))


@pytest.mark.parametrize("columns", [COLUMNS, UNDECLARED], ids=["declared", "chosen"])
@pytest.mark.parametrize("lacking", UNKNOWN)
def test_logs_of_which_nothing_can_be_learned(lacking: str, columns: LogColumns) -> None:
    found = values_of(taste(UNKNOWN[lacking](LOG), columns), PAIRS)
    assert_finite(found, has_relevance=False)
    assert (found["taste_score"] == 0).all()


@pytest.mark.parametrize("per", [0, NOTHING])
def test_a_dense_of_which_no_share_is_known_says_nothing(per: Any) -> None:
    found = values_of(taste(set_to(duration=per)(LOG)), PAIRS)
    assert_finite(found, has_relevance=False)


def test_no_relevance() -> None:
    assert_finite(values_of(taste(set_to(relevance=NOTHING)(LOG)), PAIRS), has_relevance=False)


NO_MORE = LogColumns("user_id", "item_id", None, (), (), None, None, (), ())


@pytest.mark.parametrize("outcome", ["rating", "clicks", "clicks as Booleans"])
def test_logs_with_one_outcome_and_nothing_else(outcome: str) -> None:
    log = LOG.select("row", "clock", "user_id", "item_id", "rating", "relevance")
    columns = replace(NO_MORE, outcomes=("rating",)) if outcome == "rating" else NO_MORE
    if outcome != "rating":
        log = log.drop("rating").with_columns(pl.col("relevance") > 0)
    if outcome == "clicks":
        log = log.with_columns(pl.col("relevance").cast(pl.Int8))
    found = values_of(taste(log, columns), PAIRS.select("pair_id", "user_id", "item_id"))
    assert recovers(found, "taste_score", PLANTED) > 0.9
    assert_finite(found)


# Within the framework.


class Clips(dy.Schema):
    user_id = dy.String()
    item_id = dy.String()
    length = dy.UInt16(nullable=True)
    seconds = dy.UInt16(nullable=True)


def clips(dense: str | None, dense_per: str | None, folder: Path) -> Dataset:
    """A log without tables of users and items, keys that are texts, and the duration a column of the log."""

    def nothing(folder: Path) -> RawTables:
        raise NotImplementedError(folder)

    competition: Competition = replace(
        get_competition("vk2024"), name="clips", read=nothing, interactions=Clips, users=None, items=None,
        outcomes=("seconds",), derived={"long": pl.col("seconds").fill_null(0) > 30_000},
        relevance=pl.col("long").cast(pl.Int8), select_pairs=lambda rows: rows,
        clock=Clock("row"), horizon=50, source=None, dense=dense, dense_per=dense_per, remarks={},
    )  # fmt: skip
    tables = random_tables(competition, n_users=9, n_items=12, n_rows=500, seed=2)
    return take_in(competition, tables, folder, fingerprint="clips without tables")


@pytest.mark.parametrize(("dense", "per"), [(None, None), ("seconds", None), ("seconds", "length")])
@pytest.mark.parametrize("cutoff", [0, 300])
def test_a_competition_without_tables(
    dense: str | None, per: str | None, cutoff: int, tmp_path: Path
) -> None:
    dataset = clips(dense, per, tmp_path)
    catalogue = load_catalogue(dataset)
    names = [name for name, column in catalogue.columns.items() if column.family == "taste"]
    assert len(names) == 14
    window = Window(cutoff=cutoff, start=cutoff, until=cutoff + 50)
    rows = dataset.log.filter(pl.col("clock").is_between(cutoff, cutoff + 49)).rename({"row": "pair_id"})
    pairs = rows.select("pair_id", "user_id", "item_id", "length").collect(engine="in-memory")
    found = compute_window(catalogue, window, names, pairs)
    assert_finite(found, has_relevance=cutoff > 0)
    assert found.select(cs.float()).width == 12

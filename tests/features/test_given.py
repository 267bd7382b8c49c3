"""What a competition declares and no feature reads is a model input by itself; what cannot be one is named."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import dataframely as dy
import polars as pl
import pytest

from competitions import Clock, Dataset, Metric, RawTables, get_competition, schema_of, take_in
from engine import FeatureSettings
from features import Catalogue, Registry, Window, bind_catalogue, compute_window, load_registry, per_pair
from features import given as shipped
from tests.features.planting import one_pair_feature
from validation import window_pairs

N_ROWS = 60
WINDOW = Window(cutoff=30, start=30, until=N_ROWS)
GIVEN = [
    "given__device", "given__is_ad", "given__price", "given_hour__shown_at", "given_rank__price",
    "given_share__price", "given_weekday__shown_at",
]  # fmt: skip


class Rows(dy.Schema):
    user_id = dy.UInt32()
    item_id = dy.UInt32()
    price = dy.Float64(nullable=True)
    device = dy.Enum(["phone", "tablet"])
    is_ad = dy.Bool()
    shown_at = dy.Datetime()
    words = dy.String()
    like = dy.Bool()


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Lists that say a price, a device, an instant and a text of each row."""
    number = pl.int_range(N_ROWS, eager=True)
    start = pl.datetime(2024, 5, 6, 22, 30)  # a Monday
    log = pl.DataFrame(
        {"user_id": number // 5 % 4, "item_id": number, "price": (number * 3 % 5).cast(pl.Float64)}
    ).with_columns(
        pl.when(number % 11 > 0).then("price").alias("price"),
        device=pl.when(number % 3 == 0).then(pl.lit("phone")).otherwise(pl.lit("tablet")),
        is_ad=number % 4 == 0,
        shown_at=start + pl.duration(hours=pl.int_range(pl.len())),
        words=pl.lit("some"),
        like=number % 2 == 0,
    )
    tables = RawTables(interactions=log.lazy(), users=None, items=None)
    competition = replace(
        get_competition("vk2024"), name="listed", interactions=Rows, users=None, items=None, outcomes=("like",),
        relevance=pl.col("like").cast(pl.Int8), remarks={}, horizon=N_ROWS // 2, source=None, dense=None,
        dense_per=None, select_pairs=lambda targets: targets, leave_out=(), metric=Metric("user_auc"),
    )  # fmt: skip
    return take_in(competition, tables, tmp_path_factory.mktemp("listed"), fingerprint="listed")


@pytest.fixture(scope="module")
def catalogue(listed: Dataset) -> Catalogue:
    load_registry()
    features = (getattr(shipped, name).declaration for name in dir(shipped) if name.startswith("given"))
    return bind_catalogue(listed, Registry({feature.name: feature for feature in features}))


def test_declared_columns_are_model_inputs_by_themselves(catalogue: Catalogue) -> None:
    assert sorted(catalogue.columns) == GIVEN
    assert list(catalogue.select(FeatureSettings())) == GIVEN
    without = catalogue.select(FeatureSettings(exclude=("given*price",)))
    assert [name for name in GIVEN if "price" not in name] == list(without)


def test_they_say_what_the_columns_say(catalogue: Catalogue, listed: Dataset) -> None:
    pairs = window_pairs(listed, WINDOW)
    found = compute_window(catalogue, WINDOW, GIVEN, pairs).sort("pair_id")
    rows = listed.with_attributes(pairs.lazy()).collect().sort("pair_id")
    for name in ("price", "device", "is_ad"):
        assert found[f"given__{name}"].to_list() == rows[name].to_list()
    assert found["given_hour__shown_at"].to_list() == [t.hour + t.minute / 60 for t in rows["shown_at"]]
    assert found["given_weekday__shown_at"].to_list() == [t.isoweekday() for t in rows["shown_at"]]
    for user, price, rank, share in zip(
        rows["user_id"], rows["price"], found["given_rank__price"], found["given_share__price"], strict=True
    ):
        if price is None:
            assert rank is None
            assert share is None
            continue
        own = rows.filter(pl.col("user_id") == user)["price"].drop_nulls().to_list()
        below, equal = sum(p < price for p in own), own.count(price)
        assert rank == pytest.approx((below + (equal + 1) / 2) / len(own))
        assert share == pytest.approx(price / sum(own))


def test_an_instant_has_an_age_on_a_clock_of_time(listed: Dataset, tmp_path: Path) -> None:
    """In days before the end of the history; the clock's own instant has none, nor has any on another clock."""
    assert "given_age__shown_at" not in bind_catalogue(listed, load_registry()).columns
    items = schema_of({"item_id": dy.UInt32(), "born": dy.Datetime(nullable=True), "day": dy.Date()})
    competition = replace(
        listed.competition, clock=Clock("time", "shown_at"), horizon=20 * 3_600_000_000, items=items
    )
    start = datetime(2024, 5, 1, 12)
    number = range(N_ROWS)
    known = pl.LazyFrame(
        {
            "item_id": number,
            "born": [start + timedelta(days=n) if n else None for n in number],
            "day": [start.date()] * N_ROWS,
        }
    )
    rows = listed.log.select(*listed.competition.interactions.columns())
    dataset = take_in(competition, RawTables(rows, items=known), tmp_path, fingerprint="aged")
    found = bind_catalogue(dataset, Registry({"given_age": shipped.given_age.declaration}))
    assert sorted(found.columns) == ["given_age__born", "given_age__day"]
    window = Window(
        dataset.test_start - dataset.horizon, dataset.test_start - dataset.horizon, dataset.test_start
    )
    pairs = window_pairs(dataset, window)
    values = compute_window(found, window, list(found.columns), pairs).sort("pair_id")
    end = datetime(1970, 1, 1) + timedelta(microseconds=window.cutoff)
    for item, born, day in zip(
        pairs.sort("pair_id")["item_id"], values["given_age__born"], values["given_age__day"], strict=True
    ):
        expected = (end - start - timedelta(days=item)) / timedelta(days=1)
        assert born == pytest.approx(expected, rel=1e-6) if item else born is None
        assert day == pytest.approx((end - datetime(2024, 5, 1)) / timedelta(days=1), rel=1e-6)


class Visits(dy.Schema):
    user_id = dy.UInt32()
    item_id = dy.UInt32()
    session = dy.UInt16()
    price = dy.Float64(nullable=True)
    wear = dy.Float32(nullable=True)
    like = dy.Bool()


@pytest.mark.parametrize(
    ("n_rows", "n_fitting", "is_told"), [(400, 0, True), (400, 10, True), (400, 30, False), (180, 0, False)]
)
def test_a_number_that_runs_on_with_time_is_read_by_rank_and_share_only(
    n_rows: int, n_fitting: int, is_told: bool, listed: Dataset, tmp_path: Path
) -> None:
    """Where at least 100 test pairs tell, and nine in ten of them have one beyond the log's; up or down."""
    number = pl.int_range(n_rows, eager=True)
    is_late = number >= n_rows - n_fitting
    log = pl.DataFrame(
        {"user_id": number // 5 % 4, "item_id": number, "price": (number * 3 % 5).cast(pl.Float64)}
    ).with_columns(
        session=pl.when(is_late).then(7).otherwise(number // 10),
        wear=pl.when(~is_late).then(-number.cast(pl.Float64)),
        like=number % 2 == 0,
    )
    competition = replace(listed.competition, interactions=Visits, horizon=n_rows // 2)
    dataset = take_in(competition, RawTables(log.lazy()), tmp_path, fingerprint="visits")
    assert dataset.out_of_range == (("session", "wear") if is_told else ("wear",) if n_fitting else ())
    columns = set(bind_catalogue(dataset, load_registry()).columns)
    assert ("given__session" in columns) == ("session" not in dataset.out_of_range)
    assert {"given__price", "given_rank__session", "given_share__session", "given_rank__wear"} <= columns
    notes = json.loads((tmp_path / "meta.json").read_text(encoding="utf-8"))["notes"]
    told = [note for note in notes if "run on with time" in note]
    assert len(told) == bool(dataset.out_of_range)


def test_shares_of_large_numbers_do_not_wrap_around(listed: Dataset) -> None:
    large = 2**62
    pairs = window_pairs(listed, WINDOW).with_columns(price=pl.lit(large, pl.Int64))
    users = pairs["user_id"]
    dataset = replace(listed, test_pairs=pairs.lazy())
    found = bind_catalogue(dataset, Registry({"given_share": shipped.given_share.declaration}))
    values = compute_window(found, WINDOW, ["given_share__price"], pairs)["given_share__price"]
    assert values.to_list() == pytest.approx([1 / (users == user).sum() for user in users])


def test_what_another_feature_gives_as_it_is_is_not_given_twice(listed: Dataset) -> None:
    registry = one_pair_feature(lambda price: price)
    for feature in (shipped.given, shipped.given_rank):
        registry.add(feature.declaration)
    found = bind_catalogue(listed, registry)
    assert "'planted' does" in found.unavailable["given__price"]
    assert {"planted", "given__device", "given__is_ad", "given_rank__price"} == {*found.columns}


def test_what_no_feature_reads_is_named(catalogue: Catalogue) -> None:
    assert catalogue.unread(GIVEN) == {"words": pl.String()}
    assert set(catalogue.unread(["given__price"])) == {"device", "is_ad", "shown_at", "words"}
    on_a_clock = replace(catalogue.dataset.competition, clock=Clock("time", "shown_at"))
    timed = replace(catalogue, dataset=replace(catalogue.dataset, competition=on_a_clock))
    assert set(timed.unread(GIVEN[:3])) == {"words"}


def test_each_may_be_a_function_of_the_log(listed: Dataset) -> None:
    registry = Registry()

    @per_pair(each=lambda log: log.shown_flags, registry=registry)
    def flipped(flag: pl.Expr) -> pl.Expr:
        """The other way round."""
        return ~flag

    assert [*bind_catalogue(listed, registry).columns] == ["flipped__is_ad"]
    assert flipped.declaration.names == ("flipped__*",)

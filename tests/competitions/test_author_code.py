"""What goes wrong in the code of a competition is one readable error: which competition, file, part, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from competitions import Competition, Dataset, RawTables, open_dataset
from engine import DataError, Settings, StoreError
from tests.competitions.shop import Take, collected, edited

SECONDS = pl.col("seconds")


def given(tables: RawTables) -> RawTables:
    """The tables with one given pair after the log, and its outcome."""
    pair = tables.interactions.last().select(
        "user_id", "item_id", pl.col("at") + pl.duration(hours=1), "device"
    )
    return replace(tables, pairs=pair, solution=pl.LazyFrame({"seconds": [7]}))


class TestRelevance:
    @pytest.mark.parametrize(
        ("relevance", "found"),
        [
            (SECONDS / 100, "21 of 24 rows, the first: row 1 with 0.1"),
            (SECONDS, "11 of 24 rows, the first: row 13 with 130"),
            (0 - SECONDS.cast(pl.Int64), "11 of 24 rows, the first: row 13 with -130"),
            (1 / SECONDS, "24 of 24 rows, the first: row 0 with inf"),
            ((SECONDS / SECONDS), "1 of 24 rows, the first: row 0 with nan"),
        ],
    )
    def test_what_a_small_integer_cannot_hold_is_refused(
        self, taken: Take, relevance: pl.Expr, found: str
    ) -> None:
        with pytest.raises(DataError, match=f"no whole number from -128 to 127 in {found}"):
            taken(relevance=relevance)

    @pytest.mark.parametrize("relevance", [SECONDS / 10, SECONDS // 10, SECONDS.cast(pl.Int64) // 10])
    def test_whole_numbers_of_any_dtype_are_kept(self, taken: Take, relevance: pl.Expr) -> None:
        log = collected(taken(relevance=relevance).log)
        assert log.schema["relevance"] == pl.Int8
        assert log["relevance"].to_list() == list(range(20))

    def test_a_text(self, taken: Take) -> None:
        with pytest.raises(DataError, match=r"competition 'shop' \(.*\.py\) is of dtype String"):
            taken(relevance=SECONDS.cast(pl.String))

    def test_of_a_given_solution(self, taken: Take, tables: RawTables) -> None:
        with pytest.raises(DataError, match=r"in 1 of 1 rows, the first: row 0 with 0\.7"):
            taken(given(tables), relevance=pl.when(SECONDS == 7).then(0.7).otherwise(1.0))

    def test_one_that_fails(self, taken: Take) -> None:
        with pytest.raises(DataError, match=r"the relevance of competition 'shop' failed .*SchemaError") as e:
            taken(relevance=SECONDS.str.len_chars())
        assert "whole numbers from -128 to 127" in str(e.value)


class TestDerived:
    def test_one_that_fails_is_named(self, taken: Take) -> None:
        derived = {"is_evening": pl.col("at").dt.hour() >= 18, "long": SECONDS.str.len_chars()}
        with pytest.raises(
            DataError, match=r"the derived column 'long' of competition 'shop' failed \(.*\.py\)"
        ):
            taken(derived=derived)

    def test_of_given_pairs(self, taken: Take, tables: RawTables) -> None:
        phones = replace(tables, interactions=tables.interactions.with_columns(device=pl.lit("phone")))
        pairs = given(phones).pairs
        assert pairs is not None
        only_phones = pl.col("device").cast(pl.String).replace_strict({"phone": True})
        derived = {"is_evening": only_phones, "long": SECONDS >= 60}
        assert taken(replace(phones, pairs=pairs), derived=derived)
        with pytest.raises(DataError, match="the derived column 'is_evening' of competition 'shop' failed"):
            taken(replace(phones, pairs=pairs.with_columns(device=pl.lit("desk"))), derived=derived)

    def test_the_name_of_a_column_of_the_log(self, taken: Take) -> None:
        with pytest.raises(DataError, match="'seconds' has the name of a column of the interactions"):
            taken(derived={"seconds": SECONDS + 1})


class TestSelectPairs:
    @pytest.mark.parametrize(
        ("select", "message"),
        [
            (lambda targets: None, r"select_pairs\(\) of competition 'shop' failed .*AttributeError"),
            (lambda targets: targets.drop("user_id"), "ColumnNotFoundError"),
            (lambda targets: pl.concat([targets, targets]), "gives 8 pairs of 4 rows"),
        ],
    )
    def test_what_is_no_choice_of_rows(
        self, taken: Take, select: Callable[[pl.LazyFrame], pl.LazyFrame], message: str
    ) -> None:
        with pytest.raises(DataError, match=message):
            taken(select_pairs=select)

    @pytest.mark.parametrize("with_pairs", [False, True])
    def test_an_unknown_column(self, taken: Take, tables: RawTables, with_pairs: bool) -> None:
        with pytest.raises(DataError, match=r"select_pairs\(\) of competition 'shop' failed") as caught:
            taken(
                given(tables) if with_pairs else tables,
                select_pairs=lambda targets: targets.filter(pl.col("second") > 0),
            )
        assert 'unable to find column "second"' in str(caught.value)
        assert "Resolved plan" not in str(caught.value)
        assert "with their columns row, clock, user_id" in str(caught.value)


class TestFiles:
    @pytest.fixture
    def opening(
        self, shop: Competition, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., Dataset]:
        """Open the data set of the shop, which stands in the place of MovieLens, with parts changed."""
        settings.data.mkdir()
        (settings.data / "clicks.csv").touch()

        def opened_with(**changes: object) -> Dataset:
            changed = replace(shop, name="movielens", **changes)  # type: ignore[arg-type]  # as a careless author would
            monkeypatch.setattr("competitions.movielens.MOVIELENS", changed)
            return open_dataset(settings)

        return opened_with

    def test_read_that_fails(self, opening: Callable[..., Dataset]) -> None:
        def read(folder: Path) -> RawTables:
            raise KeyError("clicks")

        with pytest.raises(
            DataError,
            match=r"read\(\) of competition 'movielens' failed \(movielens.py\): KeyError: 'clicks'",
        ):
            opening(read=read)

    def test_files_that_fail(self, opening: Callable[..., Dataset]) -> None:
        with pytest.raises(DataError, match=r"files\(\) of competition 'movielens' failed .*TypeError"):
            opening(files=lambda folder: None)

    def test_read_that_returns_something_else(
        self, opening: Callable[..., Dataset], tables: RawTables
    ) -> None:
        with pytest.raises(DataError, match=r"read\(\) of .* returned a dict"):
            opening(read=lambda folder: {})
        eager = edited(tables, users=collected)  # type: ignore[arg-type]  # a DataFrame
        with pytest.raises(DataError, match=r"returned a DataFrame as users"):
            opening(read=lambda folder: eager)
        paths = replace(tables, log_files=("clicks.csv",))  # type: ignore[arg-type]
        with pytest.raises(DataError, match=r"returned a str in log_files"):
            opening(read=lambda folder: paths)

    def test_an_error_that_says_what_to_do_passes(self, opening: Callable[..., Dataset]) -> None:
        def read(folder: Path) -> RawTables:
            raise StoreError("The disk is full.", todo="make room")

        with pytest.raises(StoreError, match="The disk is full"):
            opening(read=read)

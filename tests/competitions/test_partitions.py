"""The log in partitions: the same rows whatever their size, made once, and made anew only where the log grew."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from competitions import Dataset, open_dataset, solution, take_in
from engine import Settings, Store
from tests.competitions import vk_files
from tests.competitions.shop import PER_USER, ROW, SHOP, collected, edited, raises_with, shop_tables
from tests.processes import python


def resized(settings: Settings, n_rows: int) -> Settings:
    return settings.model_copy(update={"partition_rows": n_rows})


def log_of(dataset: Dataset) -> pl.DataFrame:
    return collected(dataset.log)


def made(settings: Settings) -> int:
    """Number of partitions in the store."""
    return sum(size.n_artifacts for size in Store(settings.store).size() if size.kind == "partition")


def digests(dataset: Dataset) -> list[str]:
    return [one.digest for one in dataset.partitions]


def check_partitions(dataset: Dataset) -> None:
    """Each partition says what is in it, and together they are the log."""
    frames = [collected(one.rows) for one in dataset.partitions]
    assert pl.concat(frames).equals(log_of(dataset))
    for one, rows in zip(dataset.partitions, frames, strict=True):
        assert one.n_rows == rows.height > 0
        assert (one.first_clock, one.last_clock) == (rows["clock"].first(), rows["clock"].last())
        assert rows.select("clock", "row").equals(rows.select("clock", "row").sort("clock", "row"))
    assert len(set(digests(dataset))) == len(frames)


class TestSizes:
    @pytest.mark.parametrize("changes", [ROW, {}, PER_USER], ids=["row", "time", "per_user"])
    @hypothesis_settings(max_examples=8)
    @given(size=st.integers(1, 30), with_pairs=st.booleans())
    def test_no_value_depends_on_it(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        changes: dict[str, Any],
        size: int,
        with_pairs: bool,
    ) -> None:
        tables = shop_tables()
        if with_pairs:
            last = tables.interactions.tail(3).drop("seconds")
            tables = replace(edited(interactions=lambda t: t.head(21)), pairs=last)

        def taken(n_rows: int) -> tuple[Dataset, Path]:
            folder, competition = tmp_path_factory.mktemp("data"), replace(SHOP, **changes)
            return take_in(competition, tables, folder, fingerprint="f", partition_rows=n_rows), folder

        (whole, at), (cut, there) = taken(1_000), taken(size)
        check_partitions(cut)
        assert len(whole.partitions) == 1
        assert len(cut.partitions) == -(-log_of(whole).height // size)
        assert log_of(cut).equals(log_of(whole))
        assert collected(cut.test_pairs).equals(collected(whole.test_pairs))
        assert (cut.test_start, cut.test_until) == (whole.test_start, whole.test_until)
        assert (there / "meta.json").read_text() == (at / "meta.json").read_text()
        names = sorted(path.name for path in (there / "log").glob("*.parquet"))
        assert names == [f"part-{number:05}.parquet" for number in range(len(cut.partitions))]

    def test_another_size_is_the_same_data_set(self, solved: Settings) -> None:
        large, small = open_dataset(resized(solved, 2_500)), open_dataset(solved)
        assert (len(large.partitions), len(small.partitions)) == (3, 6)
        assert small.fingerprint == large.fingerprint
        assert log_of(small).equals(log_of(large))
        check_partitions(large)
        assert len(open_dataset(resized(solved, 2_500)).partitions) == 3
        assert solution(solved).equals(solution(resized(solved, 1_700)))

    def test_they_travel_to_other_processes(self, vk: Settings) -> None:
        dataset = open_dataset(vk)
        there: Dataset = ForkingPickler.loads(ForkingPickler.dumps(dataset))
        assert digests(there) == digests(dataset)
        assert log_of(there).equals(log_of(dataset))

    def test_a_log_in_memory_is_one(self, vk: Settings) -> None:
        dataset = open_dataset(vk)
        other = replace(dataset, log=dataset.log.filter(pl.col("like")))
        assert [one.rows for one in other.partitions] == [other.log]


class TestStore:
    def test_they_are_made_once(
        self, vk: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        open_dataset(vk)
        assert "partitions: 6 made" in capsys.readouterr().err

        def scan(*_: object, **__: object) -> None:
            raise AssertionError("the files are read again")

        monkeypatch.setattr(pl, "scan_csv", scan)
        assert log_of(open_dataset(vk)).height == vk_files.N_ROWS
        assert capsys.readouterr().err == ""

    def test_partitions_that_are_gone_are_written_again(self, vk: Settings) -> None:
        before = open_dataset(vk)
        first = digests(before)
        log = log_of(before)
        Store(vk.store).prune(kinds=["partition"], is_dry_run=False)
        assert made(vk) == 0
        after = open_dataset(vk)
        assert digests(after) == first
        assert log_of(after).equals(log)

    def test_pruning_what_is_not_needed_keeps_them(self, vk: Settings) -> None:
        open_dataset(vk)
        Store(vk.store).prune(is_unneeded_only=True, is_dry_run=False)
        assert made(vk) == 6
        open_dataset(resized(vk, 1_500))
        Store(vk.store).prune(is_unneeded_only=True, is_dry_run=False)
        assert made(vk) == 4 + 2  # the last two of the smaller size have no successor of their names

    def test_a_failed_intake_goes_on_where_it_was(self, vk: Settings) -> None:
        path = vk.data / "test_pairs.csv"
        pairs = path.read_text()
        path.write_text("user_id,item_id\n")
        with raises_with("no pairs to score"):
            open_dataset(vk)
        assert made(vk) == 6
        path.write_text(pairs)
        open_dataset(vk)
        assert made(vk) == 6

    def test_a_log_that_grows_by_a_file_costs_that_file(self, vk: Settings) -> None:
        before = open_dataset(vk)
        first = digests(before)
        vk_files.log(1_500, seed=9).write_parquet(vk.data / "train_interactions_07.parquet")
        after = open_dataset(vk)
        assert after.fingerprint != before.fingerprint
        assert digests(after)[:6] == first
        assert made(vk) == 8
        assert (after.test_start, after.horizon) == (7_500, 1_250)
        check_partitions(after)
        log = log_of(after)
        assert log["row"].to_list() == log["clock"].to_list() == list(range(7_500))
        names = ["user_id", "item_id", "like"]
        both = pl.concat([vk_files.log(), vk_files.log(1_500, seed=9)])
        assert log.select(names).equals(both.select(names))

    @pytest.mark.parametrize(
        "changes",
        [{"select_pairs": lambda targets: targets.head(5)}, {"n_train_windows": 3}, {"horizon": 900}],
    )
    def test_they_do_not_depend_on_the_windows(
        self, vk: Settings, redeclared: Callable[..., None], changes: dict[str, Any]
    ) -> None:
        first = digests(open_dataset(vk))
        redeclared("vk2024", **changes)
        assert digests(open_dataset(vk)) == first
        assert made(vk) == 6

    def test_they_depend_on_the_relevance(self, vk: Settings, redeclared: Callable[..., None]) -> None:
        open_dataset(vk)
        redeclared("vk2024", relevance=pl.col("like").cast(pl.Int8))
        assert log_of(open_dataset(vk))["relevance"].unique().sort().to_list() == [0, 1]

    def test_a_file_that_is_not_named(self, vk: Settings, redeclared: Callable[..., None]) -> None:
        redeclared("vk2024", files=lambda folder: [folder / "test_pairs.csv"])
        with raises_with("/train_interactions.parquet, ... which its files() does not name"):
            open_dataset(vk)

    def test_two_runs_at_once_make_each_once_whatever_the_hash_seed(self, vk: Settings) -> None:
        places = f"'competition=vk2024', 'data={vk.data}', 'store={vk.store}', 'partition_rows=1000'"
        code = (
            "from engine import load_settings; from competitions import open_dataset;"
            f"d = open_dataset(load_settings(overrides=[{places}]));"
            "print(d.fingerprint, *[s.digest for s in d.partitions])"
        )
        with ThreadPoolExecutor() as pool:
            runs = list(pool.map(lambda seed: python("-c", code, PYTHONHASHSEED=seed), "12"))
        dataset = open_dataset(vk)
        assert [run.stdout.split() for run in runs] == [[dataset.fingerprint, *digests(dataset)]] * 2
        assert made(vk) == 6

"""A sample of the users: the same ones everywhere, and a smaller data set of its own."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from competitions import in_share, open_dataset, oracle, random_tables, solution, take_in
from engine import SampleSettings, Settings
from tests.competitions.shop import HOUR, SHOP, collected, raises_with
from tests.competitions.vk_files import altered

MASK = 2**64 - 1


def splitmix64(state: int) -> int:
    """One step of splitmix64, as published: https://prng.di.unimi.it/splitmix64.c."""
    z = state = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def kept(ids: pl.Series, share: float, salt: int = 0) -> list[bool]:
    frame = ids.alias("id").to_frame().lazy()
    chosen = frame.select(in_share(pl.col("id"), ids.dtype, share, salt=salt)).collect(engine="streaming")
    return chosen.to_series().to_list()


class TestHash:
    @given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50), st.floats(0.001, 0.999))
    def test_against_plain_integers(self, ids: list[int], share: float) -> None:
        expected = [splitmix64(i) < int(share * 2**64) for i in ids]
        assert kept(pl.Series(ids, dtype=pl.UInt32), share) == expected
        assert kept(pl.Series(ids, dtype=pl.Int64), share) == expected

    @given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=50), st.integers(0, 3))
    def test_a_small_share_is_part_of_a_larger_one(self, ids: list[int], salt: int) -> None:
        few, more = (kept(pl.Series(ids, dtype=pl.Int64), share, salt) for share in (0.2, 0.5))
        assert all(m for f, m in zip(few, more, strict=True) if f)

    def test_of_texts(self) -> None:
        ids = pl.Series([f"user {i}" for i in range(20_000)])
        chosen = kept(ids, 0.1)
        assert sum(chosen) == pytest.approx(2_000, abs=200)
        assert kept(ids.reverse(), 0.1) == chosen[::-1]
        assert kept(ids.cast(pl.Categorical), 0.1) == chosen

    def test_the_same_forever(self) -> None:
        numbers = [i for i, k in enumerate(kept(pl.Series(range(60), dtype=pl.UInt32), 0.1)) if k]
        texts = [i for i, k in enumerate(kept(pl.Series(map(str, range(60))), 0.1)) if k]
        assert (numbers, texts) == ([10, 18, 21, 41, 48], [1, 36, 40])

    def test_neighbouring_ids_are_spread(self) -> None:
        chosen = kept(pl.Series(range(100_000), dtype=pl.UInt32), 0.05)
        assert sum(chosen) == pytest.approx(5_000, abs=300)
        assert sum(a and b for a, b in pairwise(chosen)) == pytest.approx(250, abs=80)

    def test_salts_are_independent(self) -> None:
        ids = pl.Series(range(100_000), dtype=pl.UInt32)
        both = [a and b for a, b in zip(kept(ids, 0.1), kept(ids, 0.1, salt=1), strict=True)]
        assert sum(both) == pytest.approx(1_000, abs=150)

    def test_null_is_kept(self) -> None:
        assert kept(pl.Series([None], dtype=pl.UInt32), 1e-9) == [True]
        assert kept(pl.Series([None], dtype=pl.String), 1e-9) == [True]

    def test_ids_that_are_no_ids(self) -> None:
        with raises_with("ids of dtype Float64 cannot be sampled"):
            in_share(pl.col("id"), pl.Float64(), 0.5)


def sampled(settings: Settings, share: float) -> Settings:
    return settings.model_copy(update={"sample": SampleSettings(users=share)})


class TestUsers:
    def test_all_rows_of_some_users_in_their_order(self, solved: Settings) -> None:
        whole, part = collected(open_dataset(solved).log), collected(open_dataset(sampled(solved, 0.3)).log)
        users = part["user_id"].unique()
        assert 2 < users.len() < 20
        of_them = whole.filter(pl.col("user_id").is_in(users.implode()))
        assert part.drop("row", "clock").equals(of_them.drop("row", "clock"))
        assert part["row"].to_list() == part["clock"].to_list() == list(range(part.height))

    def test_the_same_users_in_log_and_pairs_and_solution_and_oracle(self, solved: Settings) -> None:
        few, every = sampled(solved, 0.3), open_dataset(solved)
        dataset = open_dataset(few)
        ids = collected(dataset.log)["user_id"].unique().implode()
        pairs = collected(dataset.test_pairs)
        best, best_of_all = oracle(few), oracle(solved)
        assert best is not None
        assert best_of_all is not None
        labels = solution(solved).join(best_of_all, on="pair_id")
        whole = collected(every.test_pairs).join(labels, on="pair_id")
        expected = whole.filter(pl.col("user_id").is_in(ids)).sort("pair_id")
        start = dataset.test_start
        assert pairs["pair_id"].to_list() == list(range(start, start + pairs.height))
        assert pairs.drop("pair_id").equals(expected.select("user_id", "item_id"))
        assert solution(few)["pair_id"].equals(pairs["pair_id"])
        assert solution(few)["relevance"].equals(expected["relevance"])
        assert best["pair_id"].equals(pairs["pair_id"])
        assert best["score"].equals(expected["score"])

    def test_it_has_its_own_fingerprint_and_horizon(self, solved: Settings) -> None:
        whole, part, other = (open_dataset(sampled(solved, share)) for share in (1.0, 0.3, 0.4))
        assert len({d.fingerprint for d in (whole, part, other)}) == 3
        assert part.horizon == collected(part.log).height // 6
        assert open_dataset(solved).fingerprint == whole.fingerprint

    @pytest.mark.parametrize("size", [1_200, 6_000, 2**31])
    def test_the_size_of_partitions_does_not_matter(self, solved: Settings, size: int) -> None:
        first = open_dataset(sampled(solved, 0.3))
        second = open_dataset(sampled(solved, 0.3).model_copy(update={"partition_rows": size}))
        assert collected(first.log).equals(collected(second.log))
        assert first.fingerprint == second.fingerprint

    def test_it_is_told(self, solved: Settings, capsys: pytest.CaptureFixture[str]) -> None:
        open_dataset(sampled(solved, 0.3))
        assert "This is a sample of 0.3 of the users" in " ".join(capsys.readouterr().err.split())

    def test_a_share_without_users(self, solved: Settings) -> None:
        with raises_with("No user of the log of competition 'vk2024' ... sample of 1e-06"):
            open_dataset(sampled(solved, 1e-6))

    def test_a_user_that_cannot_be_read_is_not_lost(self, solved: Settings) -> None:
        hole = pl.when(pl.int_range(pl.len()) != 4_321).then(pl.col("user_id"))
        altered(solved.data, "train_interactions.parquet", lambda t: t.with_columns(user_id=hole))
        with raises_with("key 'user_id' must not be null: 1 of ... first row 4321"):
            open_dataset(sampled(solved, 0.3))

    def test_on_a_clock_in_memory(self, tmp_path: Path) -> None:
        competition = replace(SHOP, horizon=24 * HOUR)
        tables = random_tables(competition, n_users=40, n_items=30, n_rows=900, seed=3)

        def log_of(share: float) -> pl.DataFrame:
            folder = tmp_path / str(share)
            folder.mkdir()
            dataset = take_in(competition, tables, folder, fingerprint="f", sample_users=share)
            return collected(dataset.log).drop("row").sort("clock", "user_id", "item_id", "seconds", "device")

        whole, part = log_of(1.0), log_of(0.5)
        users = part["user_id"].unique()
        assert 5 < users.len() < 35
        is_theirs = pl.col("user_id").is_in(users.implode())
        assert part.equals(whole.filter(is_theirs, pl.col("clock") <= part["clock"].max()))

"""The incremental benchmark at a tiny size: the values agree, one column is computed, the log grows."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks._incremental_partition import one_more_partition
from benchmarks._incremental_rounds import LOOKBACKS, Rounds, Warm, one_edited, one_more, warmed


@pytest.fixture(scope="module")
def warm(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Warm:
    return warmed(data, tmp_path_factory.mktemp("warm"), 1, (1,))


def test_the_store_holds_at_least_200_columns(warm: Warm) -> None:
    assert len(warm.names) == 60
    assert len(warm.names) * len(LOOKBACKS) >= 200


@pytest.mark.parametrize("key", ["user_id", "user_id_x_source_id"])
def test_one_more_computes_one_column_with_the_plain_querys_values(warm: Warm, key: str) -> None:
    rounds = one_more(warm, key, 2)
    assert rounds.problems == []
    assert len(rounds.ours) == len(rounds.plain) == 2


def test_an_edited_feature_is_computed_alone(warm: Warm) -> None:
    assert one_edited(warm, "item_id", 1).problems == []


def test_a_feature_that_is_there_already_is_noticed(warm: Warm) -> None:
    one_more(warm, "source_id", 1)
    assert one_more(warm, "source_id", 1).problems == [
        f"watched_0: 0 columns were computed, not {len(warm.windows)}"
    ]


def test_a_log_grows_by_a_file(data: Path, tmp_path: Path) -> None:
    rounds = one_more_partition(data, tmp_path, 1, 1, (1,))
    assert rounds.problems == []
    assert min(rounds.ours + rounds.plain) > 0
    files = {path.name for path in (tmp_path / "growing-0" / "data").iterdir()}
    assert files == {path.name for path in data.iterdir()}


def test_rounds_are_judged_by_the_ratio_of_their_medians() -> None:
    rounds = Rounds([1.0, 3.0, 2.0], [2.0, 2.0, 8.0])
    assert rounds.ratio() == 1.0
    assert rounds.in_words(1.3).endswith("ratio 1.00, at most 1.30 is wanted: kept")

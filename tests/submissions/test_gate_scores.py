"""What the gate says of scores: constants, classes where a ranking is wanted, ties."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from submissions import Gate, check_file
from tests.submissions.verdicts import Write, refused


def test_constant_scores_in_all_groups(gate: Gate, write: Write) -> None:
    table = gate.pairs.select("user_id", "item_id", predict=pl.col("user_id") / 10)
    refused(
        check_file(gate, write(table.write_csv())),
        "constant scores",
        "all 6 groups",
        "user_id=1: 5 pairs, all 0.1",
    )


def test_some_constant_groups_are_a_warning(gate: Gate, scores: pl.DataFrame, write: Write) -> None:
    predict = pl.when(pl.col("user_id") == 2).then(0.0).otherwise("score")
    table = scores.select("user_id", "item_id", predict=predict)
    verdict = check_file(gate, write(table.write_csv()))
    assert verdict.is_accepted
    assert [w.rule for w in verdict.warnings] == ["constant groups"]
    assert "1 of 6 groups (16.7%)" in str(verdict.warnings[0])


@pytest.mark.parametrize("classes", [[-1, 0, 1], [0, 1], [0.2, 0.9], [1, 2, 3, 4]])
def test_hard_classes_where_a_ranking_is_scored(gate: Gate, write: Write, classes: list[float]) -> None:
    predict = pl.Series([classes[i % len(classes)] for i in range(30)], dtype=pl.Float64)
    table = gate.pairs.select("user_id", "item_id", predict=predict)
    refused(
        check_file(gate, write(table.write_csv())), "hard classes", "10 rows" if len(classes) == 3 else "rows"
    )


def test_ranks_within_the_group_are_no_hard_classes(gate: Gate, write: Write) -> None:
    predict = pl.col("item_id").rank().over("user_id")
    table = gate.pairs.select("user_id", "item_id", predict=predict)
    assert check_file(gate, write(table.write_csv())).is_accepted


def test_a_loss_takes_classes_and_constants(gate: Gate, write: Write) -> None:
    loss = replace(gate, is_ranking=False)
    for predict in (pl.lit(0.5), pl.col("item_id") % 2):
        assert check_file(
            loss, write(gate.pairs.select("user_id", "item_id", predict=predict).write_csv())
        ).is_accepted


def test_many_ties_are_a_warning(gate: Gate, write: Write) -> None:
    table = gate.pairs.select("user_id", "item_id", predict=pl.col("user_id") / 7 + (pl.col("item_id") % 3))
    assert [w.rule for w in check_file(gate, write(table.write_csv())).warnings] == ["ties"]


def test_a_metric_over_all_rows_takes_one_score_a_user(gate: Gate, write: Write) -> None:
    whole = replace(gate, group=())
    table = gate.pairs.select("user_id", "item_id", predict=pl.col("user_id") / 10)
    verdict = check_file(whole, write(table.write_csv()))
    assert verdict.is_accepted
    constant = gate.pairs.select("user_id", "item_id", predict=pl.lit(0.5))
    refused(check_file(whole, write(constant.write_csv())), "constant scores", "all rows")

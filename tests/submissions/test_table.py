"""The bytes of a submission: order, digits, keys."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from competitions import SubmissionFormat
from submissions import Gate, SubmissionError, check_bytes, scored_pairs, submission_bytes


def test_rows_follow_the_given_pairs_whatever_the_order_of_the_scores(
    gate: Gate, scores: pl.DataFrame
) -> None:
    data = submission_bytes(gate, scored_pairs(gate, scores))
    for seed in range(3):
        shuffled = scores.sample(fraction=1.0, shuffle=True, seed=seed)
        assert submission_bytes(gate, scored_pairs(gate, shuffled)) == data
    lines = data.decode().splitlines()
    assert lines[0] == "user_id,item_id,predict"
    keys = [tuple(map(int, line.split(",")[:2])) for line in lines[1:]]
    assert keys == gate.pairs.select("user_id", "item_id").rows()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_every_score_reads_back_as_the_same_number(values: list[float]) -> None:
    pairs = pl.DataFrame({"pair_id": range(len(values)), "user": range(len(values))})
    gate = Gate(pairs, SubmissionFormat({"user": "user", "p": "score"}), group=("user",))
    data = submission_bytes(gate, pairs.with_columns(score=pl.Series(values, dtype=pl.Float64)))
    written = [line.split(",")[1] for line in data.decode().splitlines()[1:]]
    assert [float(text) for text in written] == values
    assert "-0.0" not in written
    assert check_bytes(gate, data).is_accepted


def test_scores_that_lack_repeat_or_add_a_pair_are_refused(gate: Gate, scores: pl.DataFrame) -> None:
    with pytest.raises(SubmissionError, match="pair_id=100: given, 0 scores"):
        scored_pairs(gate, scores.filter(pl.col("pair_id") != 100))
    with pytest.raises(SubmissionError, match="pair_id=100: given, 2 scores"):
        scored_pairs(gate, pl.concat([scores, scores.head(1)]))
    with pytest.raises(SubmissionError, match="pair_id=7: not given, 1 scores"):
        scored_pairs(gate, pl.concat([scores, scores.head(1).with_columns(pair_id=pl.lit(7, pl.UInt32))]))


def test_keys_of_every_kind_pass_the_gate_as_they_are_written() -> None:
    pairs = pl.DataFrame(
        {
            "pair_id": [0, 1],
            "when": ["2024-01-01 10:00:00", "2024-01-01 11:30:00"],
            "kind": pl.Series(["a;b", 'say "x"'], dtype=pl.Enum(["a;b", 'say "x"'])),
            "flag": [True, False],
            "user": [1, 1],
        }
    ).with_columns(pl.col("when").str.to_datetime())
    columns = {"p": "score", "at": "when", "kind": "kind", "flag": "flag"}
    gate = Gate(pairs, SubmissionFormat(columns, separator=";"), group=("user",))
    data = submission_bytes(gate, scored_pairs(gate, pairs.with_columns(score=pl.Series([0.25, 0.75]))))
    assert data.startswith(b"p;at;kind;flag\n")
    assert check_bytes(gate, data).is_accepted

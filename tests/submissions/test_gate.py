"""Every refusal and warning of the gate, with a real file; and the bytes of a submission: order, digits, keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from competitions import SubmissionFormat
from submissions import GateError, SubmissionError
from submissions._gate import (
    Gate,
    Verdict,
    check_bytes,
    check_file,
    check_table,
    scored_pairs,
    submission_bytes,
)

Check = Callable[..., Verdict]


def check_refused(verdict: Verdict, rules: str, *words: str) -> None:
    """Assert that these rules refuse it, and that the text of the first holds the words."""
    assert ", ".join(finding.rule for finding in verdict.refusals) == rules
    for word in words:
        assert word in str(verdict.refusals[0])
    assert all(re.search(r" To do: .+\.$", str(finding)) for finding in verdict.refusals)


def predicting(gate: Gate, predict: pl.Expr | pl.Series) -> pl.DataFrame:
    return gate.pairs.select("user_id", "item_id", predict=predict)


def test_a_right_file_is_accepted_without_a_word_in_any_order(check: Check, good: str) -> None:
    header, *rows = good.splitlines()
    for content in (good, "\n".join([header, *sorted(rows)])):
        verdict = check(content)
        assert verdict == Verdict()
        verdict.require("it")


@pytest.mark.parametrize(
    ("number", "line", "rules", "words"),
    [
        (5, None, "missing keys", ["1 of the 30", "user_id={0}, item_id={1}"]),
        (31, "{0},{1},{2}\n77,10,0.5", "extra keys", ["1 rows", "line 32: user_id=77, item_id=10"]),
        (2, "{0},{1},{2}\n{0},{1},0.123", "duplicate keys", ["line 3", "comes 2 times"]),
        (4, ",{1},{2}", "null keys, missing keys", ["line 4: user_id=(empty)"]),
        *(
            (2, f"{key},{{1}},{{2}}", "wrong dtype", [f"line 2: user_id={key!r}"])
            for key in ("1.0", "+1", "01", "one", "-1", "4294967297")
        ),
        (6, "{0},{1},", "null scores", ["1 rows", "line 6: user_id={0}"]),
        (6, "{0},{1},nan", "not-a-number scores", ["1 rows", "line 6: user_id={0}"]),
        (6, "{0},{1},inf", "infinite scores", ["1 rows", "line 6: user_id={0}"]),
        (6, "{0},{1},-inf", "infinite scores", ["1 rows", "line 6: user_id={0}"]),
        *(
            (
                6,
                f'{{0}},{{1}},"{score}"',
                "wrong dtype",
                ["1 values of predict", f"line 6: predict={score!r}"],
            )
            for score in ("high", " 0.5", "0,5", "1_000", "0x10", "--1")
        ),
        *((8, row, "uneven rows", ["line 8"]) for row in ("1,10", "1,10,0.5,9", "", "1")),
        *(
            (1, header, "wrong columns", [words, "expected user_id, item_id, predict"])
            for header, words in (
                ("user_id,item_id,score", "missing 'predict'; not known 'score'"),
                ("item_id,user_id,predict", "wrong order: item_id, user_id, predict"),
                ("user_id,item_id", "missing 'predict'"),
                ("user_id,item_id,predict,predict", "repeated 'predict'"),
                ("User_id,item_id,predict", "missing 'user_id'; not known 'User_id'"),
                (",user_id,item_id,predict", "not known ''"),
                ("1,10,0.5", "header line is missing"),
            )
        ),
    ],
)
def test_a_wrong_line(
    check: Check, good: str, number: int, line: str | None, rules: str, words: list[str]
) -> None:
    lines = good.splitlines()
    fields = lines[number - 1].split(",")
    lines[number - 1 : number] = [] if line is None else [line.format(*fields)]
    check_refused(check("\n".join([*lines, ""])), rules, *(word.format(*fields) for word in words))


@pytest.mark.parametrize(
    ("content", "rule", "words"),
    [
        (lambda good: "", "empty file", []),
        (lambda good: "\n\n", "empty file", []),
        (lambda good: "  ", "empty file", []),
        (lambda good: "user_id,item_id,predict\n", "empty file", ["a header and no row"]),
        (
            lambda good: b"\x1f\x8b\x08\x00" + bytes(range(256)),
            "unreadable file",
            ["not UTF-8"],
        ),  # compressed
        (lambda good: b"\xef\xbb\xbf" + good.encode(), "byte order mark", ["UTF-8"]),
        (lambda good: good.encode("utf-16"), "byte order mark", ["UTF-16"]),
        (lambda good: good.replace("\n", "\r\n"), "line ends", ["31 carriage returns", "line 1"]),
        (lambda good: good + '1,10,"0.5', "unreadable file", ["cannot be parsed"]),
        (lambda good: good.replace(",", ";"), "wrong separator", ["by a semicolon, not by a comma"]),
        (lambda good: good.replace(",", "\t"), "wrong separator", ["by a tab, not by a comma"]),
        (lambda good: good.replace(",", "|"), "wrong separator", ["by a pipe, not by a comma"]),
        (lambda good: good.replace(",", " "), "wrong separator", ["by a space, not by a comma"]),
    ],
)
def test_what_is_no_such_table(
    check: Check, good: str, content: Callable[[str], str | bytes], rule: str, words: list[str]
) -> None:
    check_refused(check(content(good)), rule, *words)


def test_no_file_and_a_folder(gate: Gate, tmp_path: Path) -> None:
    check_refused(check_file(gate, tmp_path / "none.csv"), "unreadable file", "no file")
    check_refused(check_file(gate, tmp_path), "unreadable file", "is a folder")


def test_a_key_that_is_given_twice_is_expected_twice(gate: Gate) -> None:
    again = gate.pairs.head(1).with_columns(pair_id=pl.lit(999, pl.UInt32))
    twice = replace(gate, pairs=pl.concat([gate.pairs, again]))
    table = predicting(twice, pl.int_range(31) / 7)
    assert check_table(twice, table).is_accepted
    check_refused(check_table(twice, table.head(30)), "missing keys")


def test_wrong_order_where_the_format_needs_one(gate: Gate, check: Check, good: str) -> None:
    ordered = replace(gate, format=replace(gate.format, ordered=True))
    assert check(good, ordered).is_accepted
    lines = good.splitlines(keepends=True)
    lines[2], lines[3] = lines[3], lines[2]
    check_refused(check("".join(lines), ordered), "wrong order", "2 rows", "line 3: user_id=")


def test_another_separator_may_be_the_right_one(gate: Gate, check: Check, good: str) -> None:
    tabbed = replace(gate, format=replace(gate.format, separator="\t"))
    assert check(good.replace(",", "\t"), tabbed).is_accepted
    check_refused(check(good, tabbed), "wrong separator", "comma, not by a tab")


def test_several_faults_are_told_at_once(check: Check, good: str) -> None:
    lines = good.splitlines(keepends=True)
    verdict = check("".join([*lines[:3], *lines[4:], "77,10,0.5\n", lines[1]]))
    check_refused(verdict, "missing keys, extra keys, duplicate keys")
    with pytest.raises(GateError, match=r"(?s)3 reasons.*missing keys.*extra keys"):
        verdict.require("mine.csv")


def test_text_keys(check: Check) -> None:
    pairs = pl.DataFrame({"pair_id": [0, 1, 2], "session": ["a b", "a b", "01"], "item": [1, 2, 1]})
    columns = {"session": "session", "item": "item", "p": "score"}
    gate = Gate(pairs, SubmissionFormat(columns, separator=";"), group=("session",))
    assert check("session;item;p\na b;1;0.5\na b;2;0.7\n01;1;3\n", gate).is_accepted
    verdict = check("session;item;p\na b;1;0.5\na b;2;0.7\n1;1;3\n", gate)
    assert [f.example for f in verdict.refusals] == ["session=01, item=1", "line 4: session=1, item=1"]


@pytest.mark.parametrize("group", [("user",), ()])
def test_a_format_without_keys_counts_rows(check: Check, group: tuple[str, ...]) -> None:
    pairs = pl.DataFrame({"pair_id": [0, 1, 2], "user": [1, 1, 2]})
    gate = Gate(pairs, SubmissionFormat({"p": "score"}, ordered=True), group=group)
    assert check("p\n0.5\n0.7\n0.1\n", gate).is_accepted
    check_refused(check("p\n0.5\n0.7\n", gate), "missing rows", "2 rows, 3 pairs")
    check_refused(check("p\n0.5\n0.7\n0.1\n0.2\n", gate), "extra rows", "4 rows, 3 pairs")
    check_refused(check("p\n0.5\n0.5\n0.5\n", gate), "constant scores")


def test_a_table_of_wrong_types_is_refused_before_it_is_written(gate: Gate, scores: pl.DataFrame) -> None:
    table = scores.select("user_id", "item_id", predict="score")
    assert check_table(gate, table).is_accepted
    wide = table.cast({"user_id": pl.Int64})
    check_refused(check_table(gate, wide), "wrong dtype", "user_id is Int64, not UInt32")
    check_refused(check_table(gate, table.cast({"predict": pl.String})), "wrong dtype")
    check_refused(check_table(gate, table.select("item_id", "user_id", "predict")), "wrong columns")


@pytest.mark.parametrize(
    ("predict", "changed", "said"),
    [
        (pl.col("user_id") / 10, {}, "constant scores: all 6 groups .* user_id=1: 5 pairs, all 0.1"),
        (pl.lit(0.5), {"group": ()}, "constant scores: .* all rows"),
        (pl.int_range(30) % 3 - 1, {}, "hard classes: .*10 rows"),
        (pl.int_range(30) % 2, {}, "hard classes: .*15 rows"),
        (pl.int_range(30) % 2 * 0.7 + 0.2, {}, "hard classes: .*15 rows"),
        (pl.int_range(30) % 4 + 1, {}, "hard classes: .*8 rows"),
        (pl.int_range(30) / 7 * (pl.col("user_id") != 2), {}, "constant groups: 1 of 6 groups .16.7%."),
        (pl.col("user_id") / 7 + (pl.col("item_id") % 3), {}, "ties: "),
        (pl.col("user_id") / 10, {"group": ()}, "ties: "),  # a metric over all rows takes one score a user
        (pl.col("item_id").rank().over("user_id"), {}, ""),  # ranks within the group are no hard classes
        (pl.lit(0.5), {"is_ranking": False}, ""),  # a loss takes classes and constants
        (pl.col("item_id") % 2, {"is_ranking": False}, ""),
    ],
)
def test_scores_that_rank_nothing_are_refused_and_ties_are_a_warning(
    gate: Gate, check: Check, predict: pl.Expr, changed: dict[str, Any], said: str
) -> None:
    verdict = check(predicting(gate, predict.cast(pl.Float64)), replace(gate, **changed))
    assert verdict.is_accepted == (not said or said.startswith(("constant groups", "ties")))
    found = verdict.refusals or verdict.warnings
    assert len(found) == bool(said)
    assert re.match(said, "".join(map(str, found)))


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

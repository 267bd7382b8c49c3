"""Every refusal and warning of the gate, with a real file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from competitions import SubmissionFormat
from submissions import Gate, GateError, Verdict, check_file, check_table

Check = Callable[..., Verdict]


def refused(verdict: Verdict, rule: str, *words: str) -> None:
    """Assert that there is one refusal, of this rule, whose text holds the words."""
    assert [finding.rule for finding in verdict.refusals] == [rule]
    for word in words:
        assert word in str(verdict.refusals[0])


def with_line(content: str, number: int, line: str) -> str:
    """The file with another line, in which ``{0}``, ``{1}``... stand for the fields of the old one."""
    lines = content.splitlines()
    lines[number - 1] = line.format(*lines[number - 1].split(","))
    return "\n".join(lines) + "\n"


def predicting(gate: Gate, predict: pl.Expr | pl.Series) -> pl.DataFrame:
    return gate.pairs.select("user_id", "item_id", predict=predict)


def test_a_right_file_is_accepted_without_a_word_in_any_order(check: Check, good: str) -> None:
    header, *rows = good.splitlines()
    for content in (good, "\n".join([header, *sorted(rows)])):
        verdict = check(content)
        assert verdict == Verdict()
        verdict.require("it")


def test_missing_key(check: Check, good: str) -> None:
    lines = good.splitlines(keepends=True)
    user, item, _ = lines[4].split(",")
    refused(
        check("".join([*lines[:4], *lines[5:]])),
        "missing keys",
        "1 of the 30",
        f"user_id={user}, item_id={item}",
    )


def test_extra_key(check: Check, good: str) -> None:
    refused(check(good + "77,10,0.5\n"), "extra keys", "1 rows", "line 32: user_id=77, item_id=10")


def test_duplicate_key(check: Check, good: str) -> None:
    again = good.splitlines()[1].rsplit(",", 1)[0]
    refused(check(good + f"{again},0.123\n"), "duplicate keys", "line 32", "comes 2 times")


def test_a_key_that_is_given_twice_is_expected_twice(gate: Gate) -> None:
    again = gate.pairs.head(1).with_columns(pair_id=pl.lit(999, pl.UInt32))
    twice = replace(gate, pairs=pl.concat([gate.pairs, again]))
    table = predicting(twice, pl.int_range(31) / 7)
    assert check_table(twice, table).is_accepted
    assert [f.rule for f in check_table(twice, table.head(30)).refusals] == ["missing keys"]


def test_null_key(check: Check, good: str) -> None:
    verdict = check(with_line(good, 4, ",{1},{2}"))
    assert [f.rule for f in verdict.refusals] == ["null keys", "missing keys"]
    assert "line 4: user_id=(empty)" in str(verdict.refusals[0])


def test_wrong_order_where_the_format_needs_one(gate: Gate, check: Check, good: str) -> None:
    ordered = replace(gate, format=replace(gate.format, ordered=True))
    assert check(good, ordered).is_accepted
    lines = good.splitlines(keepends=True)
    lines[2], lines[3] = lines[3], lines[2]
    refused(check("".join(lines), ordered), "wrong order", "2 rows", "line 3: user_id=")


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("", "null scores"),
        ("nan", "not-a-number scores"),
        ("inf", "infinite scores"),
        ("-inf", "infinite scores"),
    ],
)
def test_scores_that_are_not_finite(check: Check, good: str, value: str, rule: str) -> None:
    refused(check(with_line(good, 6, "{0},{1}," + value)), rule, "1 rows", "line 6: user_id=")


@pytest.mark.parametrize("value", ["high", " 0.5", "0,5", "1_000", "0x10", "--1"])
def test_text_in_the_score_column(check: Check, good: str, value: str) -> None:
    verdict = check(with_line(good, 6, f'{{0}},{{1}},"{value}"'))
    refused(verdict, "wrong dtype", "1 values of predict", f"line 6: predict={value!r}")


@pytest.mark.parametrize("value", ["1.0", "+1", "01", "one", "-1", "4294967297"])
def test_keys_that_only_look_like_keys(check: Check, good: str, value: str) -> None:
    verdict = check(with_line(good, 2, value + ",{1},{2}"))
    refused(verdict, "wrong dtype", f"line 2: user_id={value!r}")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("user_id,item_id,score", "missing 'predict'; not known 'score'"),
        ("item_id,user_id,predict", "wrong order: item_id, user_id, predict"),
        ("user_id,item_id", "missing 'predict'"),
        ("user_id,item_id,predict,predict", "repeated 'predict'"),
        ("User_id,item_id,predict", "missing 'user_id'; not known 'User_id'"),
        (",user_id,item_id,predict", "not known ''"),
        ("1,10,0.5", "header line is missing"),
    ],
)
def test_wrong_columns(check: Check, good: str, header: str, words: str) -> None:
    verdict = check(with_line(good, 1, header))
    refused(verdict, "wrong columns", words, "expected user_id, item_id, predict")


@pytest.mark.parametrize(
    ("separator", "word"), [(";", "semicolon"), ("\t", "tab"), ("|", "pipe"), (" ", "space")]
)
def test_wrong_separator(check: Check, good: str, separator: str, word: str) -> None:
    verdict = check(good.replace(",", separator))
    refused(verdict, "wrong separator", f"separated by a {word}, not by a comma")


def test_another_separator_may_be_the_right_one(gate: Gate, check: Check, good: str) -> None:
    tabbed = replace(gate, format=replace(gate.format, separator="\t"))
    assert check(good.replace(",", "\t"), tabbed).is_accepted
    refused(check(good, tabbed), "wrong separator", "comma, not by a tab")


@pytest.mark.parametrize(
    ("content", "rule", "words"),
    [
        ("", "empty file", ""),
        ("\n\n", "empty file", ""),
        ("  ", "empty file", ""),
        ("user_id,item_id,predict\n", "empty file", "a header and no row"),
        (b"\x1f\x8b\x08\x00" + bytes(range(256)), "unreadable file", "not UTF-8"),  # compressed
    ],
)
def test_what_is_no_table(check: Check, content: str | bytes, rule: str, words: str) -> None:
    refused(check(content), rule, words)


def test_no_file_and_a_folder(gate: Gate, tmp_path: Path) -> None:
    refused(check_file(gate, tmp_path / "none.csv"), "unreadable file", "no file")
    refused(check_file(gate, tmp_path), "unreadable file", "is a folder")


def test_byte_order_mark_and_windows_line_ends(check: Check, good: str) -> None:
    refused(check(b"\xef\xbb\xbf" + good.encode()), "byte order mark", "UTF-8")
    refused(check(good.encode("utf-16")), "byte order mark", "UTF-16")
    refused(check(good.replace("\n", "\r\n")), "line ends", "31 carriage returns", "line 1")


@pytest.mark.parametrize("row", ["1,10", "1,10,0.5,9", "", "1"])
def test_rows_with_too_few_or_too_many_fields(check: Check, good: str, row: str) -> None:
    refused(check(with_line(good, 8, row)), "uneven rows", "line 8")


def test_an_unclosed_quote(check: Check, good: str) -> None:
    assert not check(good + '1,10,"0.5').is_accepted


def test_several_faults_are_told_at_once(check: Check, good: str) -> None:
    lines = good.splitlines(keepends=True)
    verdict = check("".join([*lines[:3], *lines[4:], "77,10,0.5\n", lines[1]]))
    assert [f.rule for f in verdict.refusals] == ["missing keys", "extra keys", "duplicate keys"]
    with pytest.raises(GateError, match="3 reasons") as error:
        verdict.require("mine.csv")
    assert "missing keys" in str(error.value)
    assert "extra keys" in str(error.value)


def test_text_keys(check: Check) -> None:
    pairs = pl.DataFrame({"pair_id": [0, 1, 2], "session": ["a b", "a b", "01"], "item": [1, 2, 1]})
    columns = {"session": "session", "item": "item", "p": "score"}
    gate = Gate(pairs, SubmissionFormat(columns, separator=";"), group=("session",))
    assert check("session;item;p\na b;1;0.5\na b;2;0.7\n01;1;3\n", gate).is_accepted
    verdict = check("session;item;p\na b;1;0.5\na b;2;0.7\n1;1;3\n", gate)
    assert [f.example for f in verdict.refusals] == ["session=01, item=1", "line 4: session=1, item=1"]


def test_a_format_without_keys_counts_rows(check: Check) -> None:
    pairs = pl.DataFrame({"pair_id": [0, 1, 2], "user": [1, 1, 2]})
    gate = Gate(pairs, SubmissionFormat({"p": "score"}, ordered=True), group=("user",))
    assert check("p\n0.5\n0.7\n0.1\n", gate).is_accepted
    refused(check("p\n0.5\n0.7\n", gate), "missing rows", "2 rows, 3 pairs")
    refused(check("p\n0.5\n0.7\n0.1\n0.2\n", gate), "extra rows", "4 rows, 3 pairs")


def test_a_table_of_wrong_types_is_refused_before_it_is_written(gate: Gate, scores: pl.DataFrame) -> None:
    table = scores.select("user_id", "item_id", predict="score")
    assert check_table(gate, table).is_accepted
    refused(
        check_table(gate, table.cast({"user_id": pl.Int64})), "wrong dtype", "user_id is Int64, not UInt32"
    )
    refused(check_table(gate, table.cast({"predict": pl.String})), "wrong dtype")
    refused(check_table(gate, table.select("item_id", "user_id", "predict")), "wrong columns")


def test_constant_scores(gate: Gate, check: Check) -> None:
    by_user = predicting(gate, pl.col("user_id") / 10)
    refused(check(by_user), "constant scores", "all 6 groups", "user_id=1: 5 pairs, all 0.1")
    whole = replace(gate, group=())  # a metric over all rows takes one score a user
    assert check(by_user, whole).is_accepted
    refused(check(predicting(gate, pl.lit(0.5)), whole), "constant scores", "all rows")


def test_some_constant_groups_are_a_warning(gate: Gate, check: Check) -> None:
    some = pl.when(pl.col("user_id") == 2).then(0.0).otherwise(pl.int_range(30) / 7)
    verdict = check(predicting(gate, some))
    assert verdict.is_accepted
    assert [w.rule for w in verdict.warnings] == ["constant groups"]
    assert "1 of 6 groups (16.7%)" in str(verdict.warnings[0])


@pytest.mark.parametrize("classes", [[-1, 0, 1], [0, 1], [0.2, 0.9], [1, 2, 3, 4]])
def test_hard_classes_where_a_ranking_is_scored(gate: Gate, check: Check, classes: list[float]) -> None:
    predict = pl.Series([classes[i % len(classes)] for i in range(30)], dtype=pl.Float64)
    refused(check(predicting(gate, predict)), "hard classes", "10 rows" if len(classes) == 3 else "rows")


def test_ranks_within_the_group_are_no_hard_classes(gate: Gate, check: Check) -> None:
    assert check(predicting(gate, pl.col("item_id").rank().over("user_id"))).is_accepted


def test_a_loss_takes_classes_and_constants(gate: Gate, check: Check) -> None:
    for predict in (pl.lit(0.5), pl.col("item_id") % 2):
        assert check(predicting(gate, predict), replace(gate, is_ranking=False)).is_accepted


def test_many_ties_are_a_warning(gate: Gate, check: Check) -> None:
    verdict = check(predicting(gate, pl.col("user_id") / 7 + (pl.col("item_id") % 3)))
    assert [w.rule for w in verdict.warnings] == ["ties"]

"""Every refusal of the gate, with a real file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from competitions import SubmissionFormat
from submissions import Gate, GateError, Verdict, check_file, check_table
from tests.submissions.verdicts import Write, refused


def test_a_right_file_is_accepted_without_a_word(gate: Gate, good: str, write: Write) -> None:
    verdict = check_file(gate, write(good))
    assert verdict.is_accepted
    assert verdict == Verdict()
    verdict.require("it")


def test_rows_may_come_in_any_order(gate: Gate, good: str, write: Write) -> None:
    header, *rows = good.splitlines()
    assert check_file(gate, write("\n".join([header, *sorted(rows)]))).is_accepted


def test_missing_key(gate: Gate, good: str, write: Write) -> None:
    lines = good.splitlines(keepends=True)
    user, item, _ = lines[4].split(",")
    verdict = check_file(gate, write("".join([*lines[:4], *lines[5:]])))
    refused(verdict, "missing keys", "1 of the 30", f"user_id={user}, item_id={item}")


def test_extra_key(gate: Gate, good: str, write: Write) -> None:
    refused(
        check_file(gate, write(good + "77,10,0.5\n")),
        "extra keys",
        "1 rows",
        "line 32: user_id=77, item_id=10",
    )


def test_duplicate_key(gate: Gate, good: str, write: Write) -> None:
    again = good.splitlines()[1].rsplit(",", 1)[0]
    refused(check_file(gate, write(good + f"{again},0.123\n")), "duplicate keys", "line 32", "comes 2 times")


def test_a_key_that_is_given_twice_is_expected_twice(gate: Gate) -> None:
    twice = replace(
        gate, pairs=pl.concat([gate.pairs, gate.pairs.head(1).with_columns(pair_id=pl.lit(999, pl.UInt32))])
    )
    table = twice.pairs.select("user_id", "item_id", predict=pl.int_range(31) / 7)
    assert check_table(twice, table).is_accepted
    assert [f.rule for f in check_table(twice, table.head(30)).refusals] == ["missing keys"]


def test_null_key(gate: Gate, good: str, write: Write) -> None:
    lines = good.splitlines(keepends=True)
    lines[3] = "," + lines[3].split(",", 1)[1]
    verdict = check_file(gate, write("".join(lines)))
    assert [f.rule for f in verdict.refusals] == ["null keys", "missing keys"]
    assert "line 4: user_id=(empty)" in str(verdict.refusals[0])


def test_wrong_order_where_the_format_needs_one(gate: Gate, good: str, write: Write) -> None:
    ordered = replace(gate, format=replace(gate.format, ordered=True))
    assert check_file(ordered, write(good)).is_accepted
    lines = good.splitlines(keepends=True)
    lines[2], lines[3] = lines[3], lines[2]
    refused(check_file(ordered, write("".join(lines))), "wrong order", "2 rows", "line 3: user_id=")


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("", "null scores"),
        ("nan", "not-a-number scores"),
        ("inf", "infinite scores"),
        ("-inf", "infinite scores"),
    ],
)
def test_scores_that_are_not_finite(gate: Gate, good: str, write: Write, value: str, rule: str) -> None:
    lines = good.splitlines(keepends=True)
    lines[5] = lines[5].rsplit(",", 1)[0] + f",{value}\n"
    refused(check_file(gate, write("".join(lines))), rule, "1 rows", "line 6: user_id=")


@pytest.mark.parametrize("value", ["high", " 0.5", "0,5", "1_000", "0x10", "--1"])
def test_text_in_the_score_column(gate: Gate, good: str, write: Write, value: str) -> None:
    lines = good.splitlines(keepends=True)
    lines[5] = lines[5].rsplit(",", 1)[0] + f',"{value}"\n'
    refused(
        check_file(gate, write("".join(lines))),
        "wrong dtype",
        "1 values of predict",
        f"line 6: predict={value!r}",
    )


@pytest.mark.parametrize("value", ["1.0", "+1", "01", "one", "-1", "4294967297"])
def test_keys_that_only_look_like_keys(gate: Gate, good: str, write: Write, value: str) -> None:
    lines = good.splitlines(keepends=True)
    lines[1] = f"{value}," + lines[1].split(",", 1)[1]
    refused(check_file(gate, write("".join(lines))), "wrong dtype", f"line 2: user_id={value!r}")


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
def test_wrong_columns(gate: Gate, good: str, write: Write, header: str, words: str) -> None:
    content = "\n".join([header, *good.splitlines()[1:]])
    refused(check_file(gate, write(content)), "wrong columns", words, "expected user_id, item_id, predict")


@pytest.mark.parametrize(
    ("separator", "word"), [(";", "semicolon"), ("\t", "tab"), ("|", "pipe"), (" ", "space")]
)
def test_wrong_separator(gate: Gate, good: str, write: Write, separator: str, word: str) -> None:
    verdict = check_file(gate, write(good.replace(",", separator)))
    refused(verdict, "wrong separator", f"separated by a {word}, not by a comma")


def test_another_separator_may_be_the_right_one(gate: Gate, good: str, write: Write) -> None:
    tabbed = replace(gate, format=replace(gate.format, separator="\t"))
    assert check_file(tabbed, write(good.replace(",", "\t"))).is_accepted
    refused(check_file(tabbed, write(good)), "wrong separator", "comma, not by a tab")


@pytest.mark.parametrize("content", ["", "\n\n", "  "])
def test_empty_file(gate: Gate, write: Write, content: str) -> None:
    refused(check_file(gate, write(content)), "empty file")


def test_header_without_rows(gate: Gate, write: Write) -> None:
    refused(check_file(gate, write("user_id,item_id,predict\n")), "empty file", "a header and no row")


def test_no_file_and_a_folder(gate: Gate, tmp_path: Path) -> None:
    refused(check_file(gate, tmp_path / "none.csv"), "unreadable file", "no file")
    refused(check_file(gate, tmp_path), "unreadable file", "is a folder")


def test_byte_order_mark(gate: Gate, good: str, write: Write) -> None:
    refused(check_file(gate, write(b"\xef\xbb\xbf" + good.encode())), "byte order mark", "UTF-8")
    refused(check_file(gate, write(good.encode("utf-16"))), "byte order mark", "UTF-16")


def test_windows_line_ends(gate: Gate, good: str, write: Write) -> None:
    refused(check_file(gate, write(good.replace("\n", "\r\n"))), "line ends", "31 carriage returns", "line 1")


def test_compressed_file(gate: Gate, write: Write) -> None:
    refused(check_file(gate, write(b"\x1f\x8b\x08\x00" + bytes(range(256)))), "unreadable file", "not UTF-8")


@pytest.mark.parametrize("row", ["1,10", "1,10,0.5,9", "", "1"])
def test_rows_with_too_few_or_too_many_fields(gate: Gate, good: str, write: Write, row: str) -> None:
    lines = good.splitlines()
    verdict = check_file(gate, write("\n".join([*lines[:7], row, *lines[8:]]) + "\n"))
    refused(verdict, "uneven rows", "line 8")


def test_an_unclosed_quote(gate: Gate, good: str, write: Write) -> None:
    assert not check_file(gate, write(good + '1,10,"0.5')).is_accepted


def test_several_faults_are_told_at_once(gate: Gate, good: str, write: Write) -> None:
    lines = good.splitlines(keepends=True)
    content = "".join([*lines[:3], *lines[4:], "77,10,0.5\n", lines[1]])
    verdict = check_file(gate, write(content))
    assert [f.rule for f in verdict.refusals] == ["missing keys", "extra keys", "duplicate keys"]
    with pytest.raises(GateError, match="3 reasons") as error:
        verdict.require("mine.csv")
    assert "missing keys" in str(error.value)
    assert "extra keys" in str(error.value)


def test_text_keys(write: Write) -> None:
    pairs = pl.DataFrame({"pair_id": [0, 1, 2], "session": ["a b", "a b", "01"], "item": [1, 2, 1]})
    columns = {"session": "session", "item": "item", "p": "score"}
    gate = Gate(pairs, SubmissionFormat(columns, separator=";"), group=("session",))
    assert check_file(gate, write("session;item;p\na b;1;0.5\na b;2;0.7\n01;1;3\n")).is_accepted
    verdict = check_file(gate, write("session;item;p\na b;1;0.5\na b;2;0.7\n1;1;3\n"))
    assert [f.example for f in verdict.refusals] == ["session=01, item=1", "line 4: session=1, item=1"]


def test_a_format_without_keys_counts_rows(write: Write) -> None:
    pairs = pl.DataFrame({"pair_id": [0, 1, 2], "user": [1, 1, 2]})
    gate = Gate(pairs, SubmissionFormat({"p": "score"}, ordered=True), group=("user",))
    assert check_file(gate, write("p\n0.5\n0.7\n0.1\n")).is_accepted
    refused(check_file(gate, write("p\n0.5\n0.7\n")), "missing rows", "2 rows, 3 pairs")


def test_a_table_of_wrong_types_is_refused_before_it_is_written(gate: Gate, scores: pl.DataFrame) -> None:
    table = scores.select("user_id", "item_id", predict="score")
    assert check_table(gate, table).is_accepted
    refused(
        check_table(gate, table.cast({"user_id": pl.Int64})), "wrong dtype", "user_id is Int64, not UInt32"
    )
    refused(check_table(gate, table.cast({"predict": pl.String})), "wrong dtype")
    refused(check_table(gate, table.select("item_id", "user_id", "predict")), "wrong columns")

"""Third, the scores: finite numbers that rank something."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from submissions._gate.verdict import Finding, Verdict

TIED_SHARE = 0.25
"""Share of pairs tied with another pair of their group from which the gate warns."""


def score_verdict(
    table: pl.DataFrame, score: str, group: Sequence[str], *, keys: Sequence[str], is_ranking: bool
) -> Verdict:
    """Check a column of scores.

    Parameters
    ----------
    table
        Float64 column ``score``, ``keys`` and the columns of ``group`` (null = not a given pair); rows in the
        file's order.
    group
        What is ranked within: one user's pairs. Empty: all rows are one group.
    is_ranking
        Whether the metric ranks. Losses (log loss, RMSE) may take classes and constants.
    """
    bad = _not_finite(table, score, keys)
    if bad:
        return Verdict(tuple(bad))
    groups = _groups(table, score, list(group))
    if groups.is_empty() or not is_ranking:
        return Verdict()
    largest = int(groups.select(pl.col("n").max()).item())
    refusals = _constant(groups, group) or _hard_classes(table, score, largest)
    return Verdict(tuple(refusals), () if refusals else tuple(_warnings(groups, group, table.height)))


def _groups(table: pl.DataFrame, score: str, group: list[str]) -> pl.DataFrame:
    """Rows, distinct scores and one score of each group of two or more rows; all rows if ``group`` is empty."""
    facts = {"n": pl.len(), "n_distinct": pl.col(score).n_unique(), "value": pl.col(score).first()}
    if not group:
        return table.select(**facts).filter(pl.col("n") > 1)
    in_groups = (
        table.lazy().filter(pl.all_horizontal(pl.col(group).is_not_null())).group_by(group).agg(**facts)
    )
    return in_groups.filter(pl.col("n") > 1).sort(group).collect(engine="streaming")


def _not_finite(table: pl.DataFrame, score: str, keys: Sequence[str]) -> list[Finding]:
    found = []
    kinds = (
        ("null scores", "have no score", pl.col(score).is_null()),
        ("not-a-number scores", "have NaN as their score", pl.col(score).is_nan().fill_null(False)),
        ("infinite scores", "have an infinite score", pl.col(score).is_infinite().fill_null(False)),
    )
    for rule, words, condition in kinds:
        rows = table.with_row_index("_row").filter(condition)
        if not rows.is_empty():
            where = ", ".join(f"{c}={rows[c][0]}" for c in (*keys, score))
            found.append(
                Finding(rule, f"{rows.height:,} rows {words}.", f"line {rows['_row'][0] + 2}: {where}")
            )
    return found


def _constant(groups: pl.DataFrame, group: Sequence[str]) -> list[Finding]:
    if not groups.filter(pl.col("n_distinct") > 1).is_empty():
        return []
    found = f"all {groups.height:,} groups have one score for all of their pairs, so nothing is ranked."
    return [Finding("constant scores", found, _group_words(groups, group))]


def _hard_classes(table: pl.DataFrame, score: str, largest_group: int) -> list[Finding]:
    """Refuse two or three distinct values (or up to five whole numbers), if that forces ties within a group."""
    values = table[score].unique().sort()
    are_whole = bool((values == values.round()).all())
    if len(values) > (5 if are_whole else 3) or largest_group <= len(values):
        return []
    shown = ", ".join(f"{v:g}" for v in values)
    found = f"the file holds only the values {shown}: classes, while the metric ranks the pairs of a group."
    counts = ", ".join(f"{v:g}: {n:,} rows" for v, n in table[score].value_counts().sort(score).iter_rows())
    return [Finding("hard classes", found, counts, "submit probabilities or an expected relevance")]


def _warnings(groups: pl.DataFrame, group: Sequence[str], n_rows: int) -> list[Finding]:
    found = []
    constant = groups.filter(pl.col("n_distinct") == 1)
    if not constant.is_empty():
        share = constant.height / groups.height
        words = f"{constant.height:,} of {groups.height:,} groups ({share:.1%}) have one score for all of their pairs."
        found.append(Finding("constant groups", words, _group_words(constant, group)))
    tied = int((groups["n"] - groups["n_distinct"]).sum())
    if tied > TIED_SHARE * n_rows:
        words = f"{tied / n_rows:.1%} of the scores repeat another one of their group."
        found.append(Finding("ties", words))
    return found


def _group_words(groups: pl.DataFrame, group: Sequence[str]) -> str:
    first = groups.row(0, named=True)
    where = ", ".join(f"{c.removeprefix('group:')}={first[c]}" for c in group) or "all rows"
    return f"{where}: {first['n']} pairs, all {first['value']:g}"

"""From scores of the test pairs to the bytes of the file; from a stored run back to the given pairs."""

from __future__ import annotations

import io
from collections.abc import Sequence

import polars as pl

from submissions._errors import SubmissionError
from submissions._gate.gate import SCORE, Gate


def scored_pairs(gate: Gate, scores: pl.DataFrame, on: Sequence[str] = ("pair_id",)) -> pl.DataFrame:
    """Join scores to the given pairs by key, never by position.

    Parameters
    ----------
    scores
        The columns ``on``, and Float columns of scores; any row order. Other columns are left out.

    Returns
    -------
    polars.DataFrame
        ``gate.pairs`` in file order, its keys and groups (see ``Gate.pair_columns``), and the Float columns.

    Raises
    ------
    SubmissionError
        The rows are not those of the given pairs, each once: the join would drop or repeat some.
    """
    keys = list(on)
    _check_rows(gate, scores, keys)
    names = [c for c, dtype in scores.schema.items() if dtype.is_float() and c not in gate.pairs.columns]
    return gate.pairs.select(gate.pair_columns).join(
        scores.select(*keys, *names), on=keys, how="left", validate="1:1", maintain_order="left"
    )


def submission_bytes(gate: Gate, table: pl.DataFrame) -> bytes:
    """Write the file that the leaderboard takes from what ``scored_pairs`` returns.

    A score is written with the fewest digits that read back as the same Float64, and -0.0 as 0.0; keys as integers
    or as the text that the gate compares with. Equal scores give equal bytes.
    """

    def written(source: str) -> pl.Expr:
        if source == SCORE:
            value = pl.col(SCORE).cast(pl.Float64)
            return pl.when(value == 0).then(0.0).otherwise(value)
        return pl.col(source) if table.schema[source].is_integer() else pl.col(source).cast(pl.String)

    buffer = io.BytesIO()
    columns = [written(source).alias(name) for name, source in gate.format.columns.items()]
    table.select(columns).write_csv(buffer, separator=gate.format.separator, line_terminator="\n")
    return buffer.getvalue()


def _check_rows(gate: Gate, scores: pl.DataFrame, keys: list[str]) -> None:
    """Check that ``scores`` has each given pair exactly once."""
    counts = scores.group_by(keys).agg(n=pl.len())
    given = gate.pairs.select(*keys, given=True)
    both = given.join(counts, on=keys, how="full", coalesce=True, validate="1:1")
    wrong = both.filter(pl.col("given").is_null() | (pl.col("n").fill_null(0) != 1)).sort(keys)
    if wrong.is_empty():
        return
    row = wrong.row(0, named=True)
    name = ", ".join(f"{key}={row[key]}" for key in keys)
    raise SubmissionError(
        f"{wrong.height:,} pairs are not scored exactly once, e.g. {name}: "
        f"{'given' if row['given'] else 'not given'}, {row['n'] or 0} scores.",
        expected=f"one score for each of the {gate.pairs.height:,} given pairs",
    )

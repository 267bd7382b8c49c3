"""The gate: what a submission must be before it is written or accepted, and how scores become that file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from competitions import Dataset, SubmissionFormat
from submissions._errors import SubmissionError
from submissions._gate.file import read_bytes, read_text_table
from submissions._gate.keys import key_counts, key_findings
from submissions._gate.scores import score_verdict
from submissions._gate.verdict import Finding, Verdict

SCORE = "score"


@dataclass(frozen=True)
class Gate:
    """What submissions of one competition are checked against.

    Attributes
    ----------
    pairs
        The given test pairs in file order: all columns that ``format`` names, and ``group``.
    format
        The leaderboard's file.
    group
        Columns of the pairs within which the metric ranks: one user's pairs. Empty: all pairs are one group.
    is_ranking
        Whether constants and hard classes are refused. Log loss and RMSE may take them.
    """

    pairs: pl.DataFrame
    format: SubmissionFormat
    group: tuple[str, ...]
    is_ranking: bool = True

    @classmethod
    def of(cls, dataset: Dataset) -> Gate:
        """The gate of a competition: its metric says within what is ranked, if at all."""
        from validation import metrics

        c = dataset.competition
        scope = metrics()[c.metric.name].scope
        pairs = dataset.test_pairs.collect(engine="streaming")
        return cls(pairs, c.submission, (c.user,) if scope == "group" else (), scope != "pooled")

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns of the file that name a pair."""
        return tuple(name for name, source in self.format.columns.items() if source != SCORE)

    @property
    def score(self) -> str:
        """The column of the file that holds the score."""
        names = [name for name, source in self.format.columns.items() if source == SCORE]
        if len(names) != 1:
            raise SubmissionError(
                f"The submission format has {len(names)} score columns: {dict(self.format.columns)}.",
                expected="exactly one column that maps to 'score'",
                todo="fix SubmissionFormat in the competition's file",
            )
        return names[0]

    @property
    def has_unique_keys(self) -> bool:
        """Whether the file tells the given pairs apart by their keys."""
        names = [self.format.columns[name] for name in self.keys]
        return bool(names) and not self.pairs.select(names).is_duplicated().any()

    @property
    def pair_keys(self) -> tuple[str, ...]:
        """Columns of the pairs that tell them apart: those in the file; ``pair_id`` too where these repeat."""
        names = [self.format.columns[name] for name in self.keys]
        return tuple(names if self.has_unique_keys else dict.fromkeys(("pair_id", *names)))

    @property
    def pair_columns(self) -> tuple[str, ...]:
        """Columns of the pairs that a run stores: ``pair_id``, those in the file, those of the group."""
        return tuple(dict.fromkeys(("pair_id", *self.pair_keys, *self.group)))

    @property
    def expected(self) -> pl.DataFrame:
        """Keys of the given pairs as the file has them, and their group as ``group:NAME``, in file order."""
        keys = [
            pl.col(self.format.columns[name]).cast(self.key_dtype(name)).alias(name) for name in self.keys
        ]
        columns = [*keys, *(pl.col(c).alias(f"group:{c}") for c in self.group)]
        return self.pairs.select(columns or ["pair_id"])  # no column would be no row

    def key_dtype(self, name: str) -> pl.DataType:
        """The dtype of a key of the file: that of the pairs if it is an integer, otherwise text."""
        dtype = self.pairs.schema[self.format.columns[name]]
        return dtype if dtype.is_integer() else pl.String()


def check_file(gate: Gate, path: Path) -> Verdict:
    """Check a file on disk: everything that ``check_bytes`` checks, and that it can be read."""
    data = read_bytes(path)
    return Verdict((data,)) if isinstance(data, Finding) else check_bytes(gate, data)


def check_bytes(gate: Gate, data: bytes) -> Verdict:
    """Check the content of a file: encoding, header, separator, types, keys, order, scores."""
    table = _parsed(gate, data)
    return Verdict(tuple(table)) if isinstance(table, list) else check_table(gate, table)


def scores_in_file(gate: Gate, path: Path) -> pl.DataFrame | None:
    """The given pairs (``gate.pair_columns``) with the ``score`` of each in a file that ``check_file`` accepts.

    None if neither order nor keys tell the rows of such a file apart.
    """
    data = read_bytes(path)
    table = [] if isinstance(data, Finding) else _parsed(gate, data)
    if isinstance(table, list) or not (gate.format.ordered or gate.has_unique_keys):
        return None
    if not gate.format.ordered:
        keys = list(gate.keys)
        table = gate.expected.join(table, on=keys, how="left", validate="1:1", maintain_order="left")
    return gate.pairs.select(gate.pair_columns).with_columns(table[gate.score].alias(SCORE))


def _parsed(gate: Gate, data: bytes) -> pl.DataFrame | list[Finding]:
    """Parse a file into keys of the dtypes of the pairs and Float64 scores; a value that is neither is a finding.

    Integer keys must be written plainly: ``01``, ``+1`` and ``1.0`` are refused, not read as 1. Keys that are
    neither integers nor text are compared as Polars writes them.
    """
    text = read_text_table(data, tuple(gate.format.columns), gate.format.separator)
    if isinstance(text, list):
        return text
    findings, columns = [], []
    for name in gate.format.columns:
        dtype = pl.Float64 if name == gate.score else gate.key_dtype(name)
        cast = text[name].cast(dtype, strict=False)
        wrong = cast.is_null() & text[name].is_not_null()
        if dtype.is_integer():
            wrong |= (cast.cast(pl.String) != text[name]).fill_null(False)
        if wrong.any():
            findings.append(_wrong_dtype(text, wrong, name, "number" if name == gate.score else str(dtype)))
        columns.append(cast)
    return findings or pl.DataFrame(columns)


def check_table(gate: Gate, table: pl.DataFrame) -> Verdict:
    """Check a table whose columns are those of the file: its types, keys, order and scores.

    Raises nothing; what is wrong is in the verdict. Rows are named by the line that they have in the file.
    """
    if table.columns != list(gate.format.columns):
        found = f"the columns are {', '.join(table.columns)}; expected {', '.join(gate.format.columns)}."
        return Verdict((Finding("wrong columns", found),))
    if not table[gate.score].dtype.is_numeric():
        return Verdict((Finding("wrong dtype", f"{gate.score} is {table[gate.score].dtype}, not a number."),))
    expected = gate.expected
    wrong = [name for name in gate.keys if table[name].dtype != expected[name].dtype]
    if wrong:
        found = ", ".join(f"{name} is {table[name].dtype}, not {expected[name].dtype}" for name in wrong)
        return Verdict((Finding("wrong dtype", f"{found}."),))
    refusals = key_findings(table, expected, gate.keys, ordered=gate.format.ordered)
    return Verdict(tuple(refusals)) + _check_scores(gate, table, expected)


def _check_scores(gate: Gate, table: pl.DataFrame, expected: pl.DataFrame) -> Verdict:
    """Check the scores of the rows whose key was given, within their groups."""
    keys, group = list(gate.keys), [f"group:{c}" for c in gate.group]
    if gate.format.ordered:
        # Rows are told apart by position alone; one row too many or too few has been refused before this counts.
        n = min(table.height, expected.height)
        in_groups = pl.concat([table.head(n), expected.head(n).select(group)], how="horizontal")
    else:
        groups = expected.unique(keys, keep="first", maintain_order=True)
        in_groups = table.join(
            groups, on=keys, how="left", validate="m:1", maintain_order="left", nulls_equal=True
        )
    scores = in_groups.with_columns(pl.col(gate.score).cast(pl.Float64))
    return score_verdict(scores, gate.score, group, keys=keys, is_ranking=gate.is_ranking)


def _wrong_dtype(text: pl.DataFrame, wrong: pl.Series, name: str, wanted: str) -> Finding:
    row = int(wrong.arg_true()[0])
    found = f"{int(wrong.sum()):,} values of {name} are not of type {wanted}."
    return Finding("wrong dtype", found, f"line {row + 2}: {name}={text[name][row]!r}")


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
    counts = key_counts(scores, gate.pairs, keys)
    wrong = counts.filter(pl.col("n_found").fill_null(0).ne_missing(pl.col("n_given"))).sort(keys)
    if wrong.is_empty():
        return
    row = wrong.row(0, named=True)
    name = ", ".join(f"{key}={row[key]}" for key in keys)
    raise SubmissionError(
        f"{wrong.height:,} pairs are not scored exactly once, e.g. {name}: "
        f"{'given' if row['n_given'] else 'not given'}, {row['n_found'] or 0} scores.",
        expected=f"one score for each of the {gate.pairs.height:,} given pairs",
    )

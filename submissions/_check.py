"""A file from anywhere through the gate, and against the best run so far."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from submissions._basis import CvBasis
from submissions._gate import Finding, Gate, Verdict, check_bytes, read_bytes, read_text_table, typed_table
from submissions._previous import previous_best
from submissions._runs import Runs


def check_against_runs(runs: Runs, gate: Gate, basis: CvBasis, path: Path) -> Verdict:
    """Check a file; if it is accepted, say how it agrees with the best run of that basis."""
    data = read_bytes(path)
    if isinstance(data, Finding):
        return Verdict((data,))
    verdict = check_bytes(gate, data)
    table = _pairs_table(gate, data) if verdict.is_accepted else None
    return verdict if table is None else verdict + previous_best(runs, gate, basis, table)


def _pairs_table(gate: Gate, data: bytes) -> pl.DataFrame | None:
    """The given pairs with the accepted file's scores; None where the file does not tell its rows apart by keys."""
    text = read_text_table(data, tuple(gate.format.columns), gate.format.separator)
    typed = [] if isinstance(text, list) else typed_table(gate, text)
    pairs = gate.pairs.select(gate.pair_columns)
    if isinstance(typed, list):
        return None
    if gate.format.ordered:
        return pairs.with_columns(typed[gate.score].alias("score"))
    renamed = typed.rename({name: source for name, source in gate.format.columns.items() if name != source})
    written = [c for c in gate.pair_keys if not pairs.schema[c].is_integer()]
    as_text = [pl.col(c).cast(pl.String) for c in written]
    scores = renamed.select(*gate.pair_keys, "score")
    joined = pairs.with_columns(as_text).join(scores, on=list(gate.pair_keys), how="left", validate="1:1")
    return joined.with_columns(pl.col(c).cast(pairs.schema[c]) for c in written)

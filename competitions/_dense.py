"""The outcome that says most of every row: the declared one, or the one that follows relevance most closely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

N_ROWS, FEWEST_ROWS = 100_000, 200  # that it is chosen by


@dataclass(frozen=True)
class DenseOutcome:
    """An outcome by name, and what it is a share of.

    ``correlation``: of its ranks with those of relevance in the first ``n_rows`` rows, which chose it; None if the
    competition declares it, or where nothing could be chosen and it is relevance itself.
    """

    name: str
    per: str | None = None
    correlation: float | None = None
    n_rows: int = 0

    @property
    def sign(self) -> float:
        """1, or -1 where less of it is better."""
        return -1.0 if (self.correlation or 0.0) < 0 else 1.0

    def __str__(self) -> str:
        """Say what it is and why."""
        if self.correlation is not None:
            found = (
                f"rank correlation with relevance {self.correlation:+.3f} in the first {self.n_rows:,} rows"
            )
            return f"{self.name} (chosen, not declared: {found})"
        if self.name != "relevance":
            return f"{self.name}{f' / {self.per}' if self.per else ''} (declared)"
        return f"relevance itself (in the first {self.n_rows:,} rows no outcome could be chosen)"


def dense_outcome(
    history: pl.LazyFrame, outcomes: Sequence[str], declared: str | None, per: str | None
) -> DenseOutcome:
    """Take the declared outcome, or choose among ``outcomes``, which are numbers.

    Chosen is the one with the highest absolute rank correlation with relevance among the first rows; relevance itself
    where there are too few rows, or no outcome has one.
    """
    if declared is not None:
        return DenseOutcome(declared, per)
    first = history.select("relevance", *outcomes).head(N_ROWS).collect(engine="streaming")
    found = DenseOutcome("relevance", n_rows=first.height)
    for name in outcomes if first.height >= FEWEST_ROWS else ():
        ranks = pl.corr(pl.col(name).cast(pl.Float64).fill_nan(None), "relevance", method="spearman")
        correlation = first.select(ranks).item()
        if correlation is not None and abs(correlation) > abs(found.correlation or 0.0):
            found = DenseOutcome(name, None, correlation, first.height)
    return found

"""What a user should know of a data set, but need not stop for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from competitions._competition import Competition, Entity, RawTables
from competitions._intake.author_code import blamed_on


@dataclass(frozen=True)
class Known:
    """What is known of the users, or of the items. ``in_log``, ``in_pairs``: each key there, and its ``n_rows``."""

    entity: Entity
    attributes: pl.DataFrame
    in_log: pl.DataFrame
    in_pairs: pl.DataFrame


def intake_notes(
    c: Competition,
    tables: RawTables,
    log: pl.LazyFrame,
    known: Sequence[Known],
    n_pairs: int,
    sample_users: float,
) -> list[str]:
    """Return sentences on columns left out, odd rows, rows without attributes, and what the clock means here.

    ``log``: the rows before the test window. ``known``: the users first.
    """
    return [
        *_sample_note(known[0].in_log.height, sample_users),
        *_left_out(c, tables),
        *_remarks(c, log),
        *(note for one in known for note in _without_attributes(one)),
        *(note for one in known for note in _without_history(one, n_pairs)),
        *_clock_notes(c, tables),
    ]


def _sample_note(n_users: int, share: float) -> Iterator[str]:
    if share < 1:
        yield (
            f"This is a sample of {share:.3g} of the users: {n_users} of them in the log. Nothing that is made from it "
            "can be submitted."
        )


def _left_out(c: Competition, tables: RawTables) -> Iterator[str]:
    users, items = c.entities
    for name, table, named in (
        ("interactions", tables.interactions, c.interactions.columns()),
        ("users", tables.users, users.columns),
        ("items", tables.items, items.columns),
        ("the given pairs", tables.pairs, c.given_columns),
    ):
        if table is not None and (left_out := _unnamed(table, named)):
            yield f"Columns of {name} that the competition does not declare are left out: {', '.join(left_out)}."


def _unnamed(table: pl.LazyFrame, named: Collection[str]) -> list[str]:
    return [name for name in table.collect_schema().names() if name != "row" and name not in named]


def _remarks(c: Competition, log: pl.LazyFrame) -> Iterator[str]:
    counts = [expression.sum().alias(words) for words, expression in c.remarks.items()]
    with blamed_on(c, "a remark", "Boolean expressions over the columns of the log"):
        n_rows, *counted = log.select(pl.len(), *counts).collect(engine="streaming").row(0)
    for words, n_remarked in zip(c.remarks, counted, strict=True):
        yield f"{n_remarked} of {n_rows} rows of the log {words}."


def _without_attributes(known: Known) -> Iterator[str]:
    for counts, where in ((known.in_log, "log"), (known.in_pairs, "test pairs")):
        missing = counts.join(known.attributes, on=known.entity.key, how="anti")
        if missing.height:
            yield (
                f"{missing['n_rows'].sum()} rows of the {where} have {known.entity.word} without attributes "
                f"({missing.height} of them): their attributes are null."
            )


def _without_history(known: Known, n_pairs: int) -> Iterator[str]:
    unseen = known.in_pairs.join(known.in_log, on=known.entity.key, how="anti")
    if unseen.height:
        yield (
            f"{unseen['n_rows'].sum()} of {n_pairs} test pairs have {known.entity.word} without a row in the log "
            f"({unseen.height} of them)."
        )


def _clock_notes(c: Competition, tables: RawTables) -> Iterator[str]:
    if c.clock.kind == "per_user":
        yield (
            f"The clock runs per user, in {c.clock.steps} equal steps of each user's own rows: another user's row with "
            "a smaller clock may be later in the calendar, so an item's history may hold calendar-later rows. Rows "
            "cannot be appended to such a log."
        )
    if c.gap and tables.pairs is None:
        yield f"The last {c.gap} clock units before the test window are a gap: no history reaches into it."
    hidden = [name for name in c.interactions.columns() if name not in c.observed_columns]
    yield (
        f"Outcomes, never seen of a pair to score: {', '.join(hidden)} and what is derived from them. Seen of it: "
        f"{', '.join(c.observed_columns)}."
    )

"""What a user should know of a data set, but need not stop for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from competitions._competition import Competition, RawTables
from competitions._declaration import given_columns, observed_columns
from competitions._intake.keys import count_keys
from competitions._intake.parts import Part, remarked_rows
from competitions._intake.validate import unnamed_columns


def intake_notes(
    competition: Competition,
    tables: RawTables,
    parts: Sequence[Part],
    keys: Mapping[str, pl.DataFrame],
    pairs: pl.DataFrame,
    attributes: Mapping[str, pl.DataFrame],
    sample_users: float,
) -> list[str]:
    """Return sentences on columns left out, odd rows, rows without attributes, and what the clock means here.

    Parameters
    ----------
    keys
        By the name of a key column: its values in the log with their ``n_rows``.
    attributes
        The tables of users and items by the same names.
    """
    c = competition
    return [
        *_sample_note(c, keys, sample_users),
        *_left_out(c, tables),
        *_remarks(parts),
        *_without_attributes(c, keys, pairs, attributes),
        *_without_history(c, keys, pairs),
        *_clock_notes(c, tables),
    ]


def _sample_note(c: Competition, keys: Mapping[str, pl.DataFrame], share: float) -> Iterator[str]:
    if share < 1:
        yield (
            f"This is a sample of {share:.3g} of the users: {keys[c.user].height} of them in the log. Nothing that is "
            "made from it can be submitted."
        )


def _left_out(c: Competition, tables: RawTables) -> Iterator[str]:
    for name, table, named in (
        ("interactions", tables.interactions, c.interactions.columns()),
        ("users", tables.users, c.users.columns()),
        ("items", tables.items, c.items.columns()),
        ("the given pairs", tables.pairs, given_columns(c)),
    ):
        if table is not None and (left_out := unnamed_columns(table, named)):
            yield f"Columns of {name} that the competition does not declare are left out: {', '.join(left_out)}."


def _remarks(parts: Sequence[Part]) -> Iterator[str]:
    n_rows = sum(part.n_rows for part in parts)
    for words, n_remarked in remarked_rows(parts).items():
        yield f"{n_remarked} of {n_rows} rows of the log {words}."


def _without_attributes(
    c: Competition,
    keys: Mapping[str, pl.DataFrame],
    pairs: pl.DataFrame,
    attributes: Mapping[str, pl.DataFrame],
) -> Iterator[str]:
    for key, word in ((c.user, "a user"), (c.item, "an item")):
        for counts, where in ((keys[key], "log"), (count_keys(pairs.lazy(), key), "test pairs")):
            missing = counts.join(attributes[key], on=key, how="anti")
            if missing.height:
                yield (
                    f"{missing['n_rows'].sum()} rows of the {where} have {word} without attributes "
                    f"({missing.height} of them): their attributes are null."
                )


def _without_history(c: Competition, keys: Mapping[str, pl.DataFrame], pairs: pl.DataFrame) -> Iterator[str]:
    for key, word in ((c.user, "a user"), (c.item, "an item")):
        unseen = count_keys(pairs.lazy(), key).join(keys[key], on=key, how="anti")
        if unseen.height:
            yield (
                f"{unseen['n_rows'].sum()} of {pairs.height} test pairs have {word} without a row in the log "
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
    hidden = [name for name in c.interactions.columns() if name not in observed_columns(c)]
    yield f"Outcomes, never seen of a pair to score: {', '.join(hidden)} and what is derived from them."

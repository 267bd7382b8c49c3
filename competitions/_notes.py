"""What a user should know of a data set, but need not stop for."""

from __future__ import annotations

import polars as pl

from competitions._competition import Competition, RawTables
from competitions._declaration import observed_columns
from competitions._validate import unnamed_columns


def intake_notes(
    competition: Competition,
    tables: RawTables,
    log: pl.DataFrame,
    pairs: pl.DataFrame,
    users: pl.DataFrame,
    items: pl.DataFrame,
) -> list[str]:
    """Return sentences on columns left out, rows without attributes, and what the clock means here."""
    c = competition
    notes = []
    for name, table, schema in (
        ("interactions", tables.interactions, c.interactions),
        ("users", tables.users, c.users),
        ("items", tables.items, c.items),
    ):
        if left_out := unnamed_columns(table, schema):
            notes.append(
                f"Columns of {name} that the competition does not declare are left out: {', '.join(left_out)}."
            )
    for key, attributes, word in ((c.user, users, "a user"), (c.item, items, "an item")):
        for rows, where in ((log, "log"), (pairs, "test pairs")):
            missing = rows.join(attributes, on=key, how="anti")
            if missing.height:
                n_keys = missing[key].n_unique()
                notes.append(
                    f"{missing.height} rows of the {where} have {word} without attributes "
                    f"({n_keys} of them): their attributes are null."
                )
    if c.clock.kind == "per_user":
        notes.append(
            f"The clock runs per user, in {c.clock.steps} equal steps of each user's own rows: another user's row with "
            "a smaller clock may be later in the calendar, so an item's history may hold calendar-later rows. Rows "
            "cannot be appended to such a log."
        )
    if c.gap and tables.pairs is None:
        notes.append(
            f"The last {c.gap} clock units before the test window are a gap: no history reaches into it."
        )
    hidden = [name for name in c.interactions.columns() if name not in observed_columns(c)]
    notes.append(
        f"Outcomes, never seen of a pair to score: {', '.join(hidden)} and what is derived from them."
    )
    return notes

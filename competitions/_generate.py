"""Random logs that keep a competition's schema: small, and as awkward as real ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dataframely as dy
import numpy as np
import polars as pl

from competitions._competition import Competition, RawTables

N_SLOTS = 40  # distinct instants of a generated log, so that many rows tie on the clock


def random_tables(
    competition: Competition, *, n_users: int, n_items: int, n_rows: int, seed: int
) -> RawTables:
    """Return generated tables that satisfy the competition's schemas; the same seed gives the same tables.

    Users and items are drawn with heavy tails; about a tenth of the users have one row; the last tenth of the items
    is cold (in the catalogue, never in the log); one user and one item of the log have no attributes; rows tie on
    the clock's column and their file order is not the clock's; nullable columns have nulls. There are no given
    pairs: the intake cuts the test window from the log.

    Parameters
    ----------
    n_rows
        Wanted rows of the log; fewer come out where the schema forbids a user to meet an item twice and they run out.
    """
    rng = np.random.default_rng(seed)
    user_ids, item_ids = _ids(rng, n_users), _ids(rng, n_items)
    users, items = _drawn(rng, competition, user_ids, item_ids, n_rows)
    log = _sample(competition.interactions, seed, _log_overrides(rng, competition, users, items))
    return RawTables(
        interactions=log.lazy(),
        users=_sample(competition.users, seed + 1, {competition.user: user_ids[1:]}).lazy(),
        items=_sample(competition.items, seed + 2, {competition.item: item_ids[1:]}).lazy(),
    )


def _ids(rng: np.random.Generator, n: int) -> np.ndarray:
    """Distinct ids with holes between them, in no order."""
    return rng.permutation(np.sort(rng.choice(4 * n, size=n, replace=False)) + 1)


def _drawn(
    rng: np.random.Generator, c: Competition, user_ids: np.ndarray, item_ids: np.ndarray, n_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """User and item of each row, both (n_rows,)."""
    warm = item_ids[: max(1, len(item_ids) - len(item_ids) // 10)]
    n_single = len(user_ids) // 10
    many = user_ids[: len(user_ids) - n_single]
    users = rng.choice(many, size=n_rows, p=_tail(len(many)))
    items = rng.choice(warm, size=n_rows, p=_tail(len(warm)))
    single = user_ids[len(user_ids) - n_single :]
    users, items = np.concatenate([users, single]), np.concatenate([items, rng.choice(warm, size=n_single)])
    key = set(c.interactions.primary_key())
    if key and key <= {c.user, c.item}:
        pairs = np.unique(np.stack([users, items], axis=1), axis=0)
        users, items = pairs[rng.permutation(len(pairs))].T
    return users, items


def _tail(n: int) -> np.ndarray:
    weights = 1.0 / np.arange(1, n + 1)
    return np.asarray(weights / weights.sum())


def _log_overrides(
    rng: np.random.Generator, c: Competition, users: np.ndarray, items: np.ndarray
) -> dict[str, np.ndarray | list[datetime]]:
    overrides: dict[str, np.ndarray | list[datetime]] = {c.user: users, c.item: items}
    column = c.clock.column
    if column is not None and c.interactions.columns()[column].dtype == pl.Datetime:
        start = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)
        slots = rng.integers(0, N_SLOTS, size=len(users))
        overrides[column] = [start + timedelta(hours=int(s)) for s in slots]
    return overrides


def _sample(
    schema: type[dy.Schema], seed: int, overrides: dict[str, np.ndarray | list[datetime]]
) -> pl.DataFrame:
    columns = schema.columns()
    fixed = {name: pl.Series(name, values).cast(columns[name].dtype) for name, values in overrides.items()}
    n = len(next(iter(fixed.values())))
    return pl.DataFrame(schema.sample(n, overrides=fixed, generator=dy.random.Generator(seed)))

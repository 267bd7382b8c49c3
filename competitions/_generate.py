"""Random logs that keep a competition's schema: small, and as awkward as real ones."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeAlias

import dataframely as dy
import numpy as np
import numpy.typing as npt
import polars as pl

from competitions._competition import Competition, RawTables

Integers: TypeAlias = npt.NDArray[np.int64]

N_INSTANTS = 40  # distinct instants of a generated log, so that many rows tie on the clock
OVERDRAW = 4  # times the wanted rows, where repeated pairs are thrown away
N_HORIZONS = 10  # that these instants span on a time clock
N_VISIT = 40  # rows of a user in one go, on a row clock
HOUR = 3_600_000_000  # in microseconds


def random_tables(
    competition: Competition, *, n_users: int, n_items: int, n_rows: int, seed: int
) -> RawTables:
    """Return generated tables that satisfy the competition's schemas; the same seed gives the same tables.

    Users and items are drawn with heavy tails; a tenth of the users have one row; a tenth of the items are cold (in
    the catalogue, not in the log) and a twentieth come up at the end of the log only; one user and one item of the
    log have no attributes; rows tie on the clock's column, and the order of the rows is not the clock's; nullable
    columns have nulls; outcomes are noise. There are no given pairs: the intake cuts the test window from the log.

    A ``time`` clock spans ten horizons. On a ``row`` clock users come in visits, so that a window holds many rows of a
    few users, as windows of long logs do; the log must be longer than the competition's horizon: where that is a
    number of rows, pass ``dataclasses.replace(competition, horizon=n_rows // 10)`` for a small log of a big one.

    Parameters
    ----------
    n_users, n_items
        At least 2 each.
    n_rows
        Wanted rows; fewer come where the schema lets a user meet an item only once and the pairs run out.
    """
    rng = np.random.default_rng(seed)
    columns = competition.interactions.columns()
    user_ids = _ids(rng, n_users, columns[competition.user])
    item_ids = _ids(rng, n_items, columns[competition.item])
    users, items, is_late = _drawn(rng, competition, user_ids, item_ids, n_rows)
    fixed = {competition.user: pl.Series(users), competition.item: pl.Series(items)}
    column = competition.clock.column
    if column is not None:
        fixed[column] = _instants(rng, competition, column, is_late)
    return RawTables(
        interactions=_sample(competition.interactions, seed, fixed).lazy(),
        users=_attributes(competition.users, seed + 1, competition.user, user_ids),
        items=_attributes(competition.items, seed + 2, competition.item, item_ids),
    )


def _ids(rng: np.random.Generator, n: int, column: dy.Column) -> Integers:
    """Return n distinct ids from 1 up, with holes between them, in no order; fewer where the column takes fewer."""
    dtype = column.dtype
    highest = int(pl.select(dtype.max()).item()) if dtype.is_integer() else 4 * n  # type: ignore[attr-defined]
    highest = len(dtype.categories) if isinstance(dtype, pl.Enum) else highest
    highest = min(4 * n, highest, getattr(column, "max", None) or highest)
    return rng.choice(highest, size=min(n, highest), replace=False) + 1


def _drawn(
    rng: np.random.Generator, c: Competition, user_ids: Integers, item_ids: Integers, n_rows: int
) -> tuple[Integers, Integers, npt.NDArray[np.bool_]]:
    """Return user, item and whether it is a late item, each of shape (rows,); late items come last."""
    n_single, n_cold, n_late = len(user_ids) // 10, len(item_ids) // 10, len(item_ids) // 20
    many, single = np.split(user_ids, [len(user_ids) - n_single])
    warm, late, _ = np.split(item_ids, [len(item_ids) - n_cold - n_late, len(item_ids) - n_cold])
    is_once = _meets_once(c)
    # Enough that the wanted number is left when repeated pairs are gone.
    n_drawn = n_rows * OVERDRAW if is_once else n_rows
    n_late_rows = n_drawn // 20 if n_late else 0
    users = rng.choice(many, n_drawn, p=_tail(len(many)))
    early = rng.choice(warm, n_drawn - n_late_rows, p=_tail(len(warm)))
    items = np.concatenate([early, rng.choice(late, n_late_rows) if n_late else late])
    if is_once:
        _, first = np.unique(np.stack([users, items], axis=1), axis=0, return_index=True)
        kept = np.sort(rng.permutation(first)[: max(1, n_rows - n_single)])
        users, items = users[kept], items[kept]
    users = np.concatenate([single, users])
    items = np.concatenate([rng.choice(warm, n_single), items])
    if c.clock.kind == "row":
        order = _in_visits(rng, users, np.isin(items, late))
        users, items = users[order], items[order]
    return users, items, np.isin(items, late)


def _meets_once(c: Competition) -> bool:
    """Whether a user may meet an item only once: by the schema, or since test pairs are told apart by them."""
    keys = {c.user, c.item}
    named = {name for name in c.submission.columns.values() if name != "score"}
    return set(c.interactions.primary_key()) == keys or (not c.submission.ordered and named <= keys)


def _in_visits(
    rng: np.random.Generator, users: Integers, is_late: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Return an order in which the rows of a user lie in a few visits of about ``N_VISIT`` rows; late items last."""
    order = np.argsort(users, kind="stable")
    _, starts, sizes = np.unique(users[order], return_index=True, return_counts=True)
    rank = np.arange(len(users)) - np.repeat(starts, sizes)
    visit = np.stack([users[order], rank // N_VISIT], axis=1)
    _, of_row = np.unique(visit, axis=0, return_inverse=True)
    of_row = of_row.reshape(-1)
    begins = rng.random(of_row.max() + 1)
    # Visits overlap: each lasts a fiftieth of the log.
    at = begins[of_row] + rng.random(len(users)) / 50
    return order[np.lexsort((at, is_late[order]))]


def _tail(n: int) -> npt.NDArray[np.float64]:
    weights = 1.0 / np.arange(1, n + 1)
    return np.asarray(weights / weights.sum())


def _instants(
    rng: np.random.Generator, c: Competition, column: str, is_late: npt.NDArray[np.bool_]
) -> pl.Series:
    """Values of the clock's column: few distinct ones, in no order, the last of them for rows of late items."""
    instants = np.where(is_late, N_INSTANTS - 1, rng.integers(0, N_INSTANTS, len(is_late)))
    dtype = c.interactions.columns()[column].dtype
    if not dtype.is_temporal():
        return pl.Series(instants)
    width = HOUR
    if c.clock.kind == "time" and isinstance(c.horizon, int):
        width = c.horizon * N_HORIZONS // N_INSTANTS
    start = datetime(2024, 1, 1)
    return pl.Series([start + timedelta(microseconds=int(s) * width) for s in instants])


def _sample(schema: type[dy.Schema], seed: int, fixed: dict[str, pl.Series]) -> pl.DataFrame:
    """Sample a table by its schema, these columns given."""
    columns = schema.columns()
    overrides = {name: _cast(values, columns[name].dtype) for name, values in fixed.items()}
    n_rows = len(next(iter(overrides.values())))
    return pl.DataFrame(schema.sample(n_rows, overrides=overrides, generator=dy.random.Generator(seed)))


def _attributes(schema: type[dy.Schema] | None, seed: int, key: str, ids: Integers) -> pl.LazyFrame | None:
    """Sample the attributes of all ids but the first."""
    return None if schema is None else _sample(schema, seed, {key: pl.Series(ids[1:])}).lazy()


def _cast(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return values.dt.replace_time_zone(dtype.time_zone).cast(dtype)
    if isinstance(dtype, pl.Enum):
        return dtype.categories.gather(values - 1).cast(dtype)
    return (values.cast(pl.String) if isinstance(dtype, pl.Categorical) else values).cast(dtype)

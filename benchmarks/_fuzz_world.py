"""A random competition out of a seed: the text of its file, its tables and the settings that it is run with."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

EPOCH = dt.datetime(2024, 3, 1)
LEVELS = ["a", "b", "c"]


@dataclass(frozen=True)
class Kind:
    """A dtype that a column may have: how dataframely and Polars write it, and how a value is drawn."""

    schema: str
    dtype: pl.DataType
    draw: Callable[[random.Random], Any]


def _instant(r: random.Random) -> dt.datetime:
    return EPOCH + dt.timedelta(seconds=r.randrange(60 * 86_400))


KINDS: Mapping[str, Kind] = {
    "boolean": Kind("dy.Bool({n})", pl.Boolean(), lambda r: r.random() < 0.4),
    "zero or one": Kind("dy.UInt8({n})", pl.UInt8(), lambda r: int(r.random() < 0.4)),
    "small integer": Kind("dy.Int8({n})", pl.Int8(), lambda r: r.randrange(-3, 6)),
    "id": Kind("dy.UInt32({n})", pl.UInt32(), lambda r: r.randrange(9)),
    "integer": Kind("dy.Int64({n})", pl.Int64(), lambda r: r.choice([0, 1, 7, 10**6, -(10**5)])),
    "unix seconds": Kind("dy.Int64({n})", pl.Int64(), lambda r: 1_709_000_000 + r.randrange(10**6)),
    "float": Kind("dy.Float64({n})", pl.Float64(), lambda r: r.gauss(3, 20)),
    "odd float": Kind(
        "dy.Float32({n}, allow_inf=True, allow_nan=True)",
        pl.Float32(),
        lambda r: r.choice([0.0, 1.5, float("nan"), float("inf"), -1e4]),
    ),
    "text": Kind("dy.String({n})", pl.String(), lambda r: r.choice(["", "x", "Comedy|Drama", "Ω", "12"])),
    "enum": Kind('dy.Enum(["a", "b", "c"], {n})', pl.Enum(LEVELS), lambda r: r.choice(LEVELS)),
    "categorical": Kind("dy.Categorical({n})", pl.Categorical(), lambda r: r.choice(LEVELS)),
    "date": Kind("dy.Date({n})", pl.Date(), lambda r: _instant(r).date()),
    "instant": Kind('dy.Datetime(time_unit="us", {n})', pl.Datetime("us"), _instant),
    "instant ms": Kind('dy.Datetime(time_unit="ms", {n})', pl.Datetime("ms"), _instant),
    "zoned instant": Kind(
        'dy.Datetime(time_unit="us", time_zone="UTC", {n})', pl.Datetime("us", "UTC"), _instant
    ),
    "span": Kind("dy.Duration({n})", pl.Duration("us"), lambda r: dt.timedelta(seconds=r.randrange(999))),
    "time": Kind("dy.Time({n})", pl.Time(), lambda r: dt.time(r.randrange(24), 5)),
    "texts": Kind(
        "dy.List(dy.String(), {n})", pl.List(pl.String()), lambda r: r.sample(LEVELS, r.randrange(4))
    ),
    "enums": Kind(
        'dy.List(dy.Enum(["a", "b", "c"]), {n})',
        pl.List(pl.Enum(LEVELS)),
        lambda r: r.sample(LEVELS, r.randrange(4)),
    ),
    "vector": Kind(
        "dy.Array(dy.Float32(), 3, {n})",
        pl.Array(pl.Float32(), 3),
        lambda r: [r.gauss(0, 1) for _ in range(3)],
    ),
    "numbers": Kind(
        "dy.List(dy.Float64(), {n})", pl.List(pl.Float64()), lambda r: [r.random()] * r.randrange(3)
    ),
    "struct": Kind(
        'dy.Struct({{"x": dy.Int64()}}, {n})', pl.Struct({"x": pl.Int64()}), lambda r: {"x": r.randrange(3)}
    ),
    "decimal": Kind("dy.Decimal(10, 2, {n})", pl.Decimal(10, 2), lambda r: r.randrange(100)),
    "binary": Kind("dy.Binary({n})", pl.Binary(), lambda r: b"x"),
}
USUAL = {  # what shipped features take these names for
    "like": "boolean", "dislike": "boolean", "share": "boolean", "bookmarks": "boolean",
    "timespent": "small integer", "duration": "small integer", "rating": "small integer", "timestamp": "instant",
    "content": "vector", "genres": "enums", "main_genre": "enum", "source_id": "id", "age": "small integer",
    "age_group": "enum", "gender": "enum", "occupation": "enum", "release_year": "small integer",
    "duration_bucket": "small integer", "title": "text", "device": "enum", "price": "float", "release_date": "date",
}  # fmt: skip
OF_USER, OF_ITEM = {"age", "age_group", "gender", "occupation"}, {
    "content", "genres", "main_genre", "source_id", "release_year", "duration", "duration_bucket", "title",
    "release_date", "price",
}  # fmt: skip
IDS: Mapping[str, tuple[str, pl.DataType, Callable[[int], Any]]] = {
    "UInt32": ("dy.UInt32()", pl.UInt32(), lambda i: i),
    "UInt8": ("dy.UInt8()", pl.UInt8(), lambda i: i % 256),
    "Int64": ("dy.Int64()", pl.Int64(), lambda i: 10**15 - i),
    "String": ("dy.String()", pl.String(), lambda i: f"id {i}"),
    "Int16": ("dy.Int16()", pl.Int16(), lambda i: -i),
}
METRICS = [
    "roc_auc",
    "user_auc",
    "ndcg_at_k",
    "map_at_k",
    "mrr_at_k",
    "hit_rate_at_k",
    "recall_at_k",
    "precision_at_k",
]


@dataclass(frozen=True)
class World:
    """A competition that was drawn: the text of its file, its tables by name, and config.toml."""

    name: str
    source: str
    tables: Mapping[str, pl.DataFrame]
    config: str

    def write(self, competitions: Path, folder: Path) -> None:
        """Write the file of the competition, the tables into ``data`` and config.toml."""
        (competitions / f"{self.name}.py").write_text(self.source, encoding="utf-8")
        (folder / "data").mkdir(parents=True)
        for name, table in self.tables.items():
            table.write_parquet(folder / "data" / f"{name}.parquet")
        (folder / "config.toml").write_text(self.config, encoding="utf-8")


def drawn_column(r: random.Random, kind: Kind, n: int) -> pl.Series:
    """Draw ``n`` values: no nulls, some, or only nulls."""
    nulls = r.choice([0.0, 0.0, 0.0, 0.3, 1.0])
    values = [None if r.random() < nulls else kind.draw(r) for _ in range(n)]
    return pl.Series(values, dtype=kind.dtype, strict=False)


def draw(seed: int) -> World:
    """Draw a competition: the same seed gives the same one."""
    r = random.Random(seed)
    name = f"fuzz_{seed}"
    n_rows = r.choice([3, 5, 10, 30, 100, 300, 300, 600, 600])
    n_users, n_items = r.randint(1, max(2, n_rows // 25)), r.randint(1 + n_rows // 3, 2 + n_rows)
    user, item = r.choice(["user_id"] * 3 + ["uid"]), r.choice(["item_id"] * 3 + ["sku"])
    ids = {user: (r.choice([*IDS]), min(n_users, 200)), item: (r.choice([*IDS]), min(n_items, 200))}
    chosen = {n: k if r.random() < 0.6 else r.choice([*KINDS]) for n, k in USUAL.items() if r.random() < 0.6}
    chosen |= {f"col_{i}": r.choice([*KINDS]) for i in range(r.randrange(3))}
    tables: dict[str, list[str]] = {"interactions": [], "users": [], "items": []}
    for column in chosen:
        home = "users" if column in OF_USER else "items" if column in OF_ITEM else "interactions"
        tables[home if r.random() < 0.8 else r.choice([*tables])].append(column)
    keys = {table: [key] for table, key in (("users", user), ("items", item))}
    frames: dict[str, pl.DataFrame] = {}
    for table, names in tables.items():
        height = {"users": ids[user][1], "items": ids[item][1]}.get(table, n_rows)
        known = _drawn_keys(
            r, {key: ids[key] for key in keys.get(table, [user, item])}, table in keys, height
        )
        found = {column: drawn_column(r, KINDS[chosen[column]], height) for column in names}
        frames[table] = pl.DataFrame(known | found)
    log = _labelled(r, frames["interactions"])
    per_user = f'Clock("per_user", "when", steps={r.choice([2, 5, 8, 12])})'
    clock = r.choice(['Clock("row")', 'Clock("time", "when")', per_user])
    n_folds, n_train = r.choice([1, 2, 2, 3]), r.randint(1, 2)
    horizon, gap = _lengths(r, clock, n_rows, n_folds + n_train + 1)
    reactions = [n for n in tables["interactions"] if n in USUAL and n not in OF_ITEM | OF_USER]
    outcomes = ["y", *(n for n in reactions if r.random() < 0.9)]
    sources = [n for n in ("source_id", "main_genre") if n in chosen and n not in outcomes]
    source = r.choice([None, *sources])
    dense = [n for n in outcomes if n in chosen and KINDS[chosen[n]].dtype.is_numeric()]
    dense_one = r.choice([None, *dense])
    is_ordered = r.random() < 0.2
    if not is_ordered:  # the submission names its rows by user and item
        log = log.unique([user, item], keep="first", maintain_order=True)
    frames["interactions"] = log
    if r.random() < 0.3 and log.height > 3:
        frames |= _parted(log, outcomes, is_timed="time" in clock)
        gap = 0
    declared = {t: [*keys.get(t, [user, item]), *names] for t, names in tables.items()}
    declared["interactions"] += ["y", "when"]
    has = {t: bool(tables[t]) or r.random() < 0.3 for t in keys}
    frames = {t: f for t, f in frames.items() if has.get(t, True)}
    text = _source(name, r, declared, chosen, ids, keys, has, "pairs" in frames)
    text += f"""
FUZZ = Competition(
    name={name!r}, title="Drawn", licence="none", read=read, interactions=Interactions,
    users={"Users" if has["users"] else None}, items={"Items" if has["items"] else None},
    outcomes={outcomes!r}, clock={clock}, relevance=pl.col("y"), metric=Metric({r.choice(METRICS)!r}),
    submission=SubmissionFormat({{"u": {user!r}, "i": {item!r}, "s": "score"}}, separator={r.choice([",", ";"])!r},
                                ordered={is_ordered}),
    horizon={horizon}, gap={gap}, n_train_windows={n_train}, user={user!r}, item={item!r}, source={source!r},
    dense={dense_one!r},
)
"""
    return World(name, text, frames, _config(r, name, n_folds))


def _drawn_keys(
    r: random.Random, ids: Mapping[str, tuple[str, int]], is_table: bool, n_rows: int
) -> dict[str, pl.Series]:
    """Draw the keys of the rows of a log, or give those of a table of users or items: each once."""
    columns = {}
    for key, (kind, n) in ids.items():
        drawn = [int(n * r.random() ** 1.5) for _ in range(n_rows)]
        numbers = [*range(n_rows)] if is_table else drawn
        columns[key] = pl.Series([IDS[kind][2](i) for i in numbers], dtype=IDS[kind][1])
    return columns


def _labelled(r: random.Random, log: pl.DataFrame) -> pl.DataFrame:
    """Draw labels of some kind and instants in order, seldom all the same."""
    chances = {"mixed": [0, 0, 1], "graded": [0, 1, 2], "all": [1], "none": [0]}
    labels = chances[r.choice(["mixed", "mixed", "mixed", "graded", "graded", "all", "none"])]
    instants = sorted(_instant(r) for _ in range(log.height))
    return log.with_columns(
        pl.Series("y", [r.choice(labels) for _ in range(log.height)], dtype=pl.Int8),
        pl.Series("when", instants if r.random() < 0.95 else [EPOCH] * log.height, dtype=pl.Datetime("us")),
    )


def _parted(log: pl.DataFrame, outcomes: list[str], is_timed: bool) -> dict[str, pl.DataFrame]:
    """Take the last quarter of a log for the pairs to score, all at once after the rest of it."""
    shown = log.drop(outcomes).tail(log.height // 4)
    rest = log.head(-shown.height)
    at = rest["when"][-1] + dt.timedelta(seconds=int(is_timed))
    return {"interactions": rest, "pairs": shown.with_columns(when=at)}


def _lengths(r: random.Random, clock: str, n_rows: int, n_windows: int) -> tuple[str, int]:
    """Draw horizon and gap: mostly such that the windows fit into the log."""
    if "per_user" in clock:
        return "1", 0
    unit = 86_400_000_000 if "time" in clock else 1
    span = 59 if "time" in clock else n_rows
    n_windows += r.choice([-1, 1, 2, 3, 5])
    if r.random() < 0.3:
        return f"LogShare(1, of={max(2, n_windows)})", r.choice([0, 0, unit])
    return str(unit * max(1, span // max(2, n_windows))), r.choice([0, 0, unit * max(1, span // 30)])


def _source(
    name: str,
    r: random.Random,
    declared: Mapping[str, list[str]],
    chosen: Mapping[str, str],
    ids: Mapping[str, tuple[str, int]],
    keys: Mapping[str, list[str]],
    has: Mapping[str, bool],
    has_pairs: bool,
) -> str:
    lines = [f'"""{name}: drawn by benchmarks.fuzz."""', "", "import dataframely as dy", "import polars as pl", "",
             "from competitions import *", ""]  # fmt: skip
    for table, names in declared.items():
        lines += ["", f"class {table.capitalize()}(dy.Schema):"]
        for column in names:
            if column in ids:
                kind = IDS[ids[column][0]][0]
                lines.append(
                    f"    {column} = {kind.replace('()', '(primary_key=True)') if table in keys else kind}"
                )
            elif column in chosen:
                lines.append(f"    {column} = {KINDS[chosen[column]].schema.format(n='nullable=True')}")
            else:
                lines.append(
                    f"    {column} = " + ("dy.Int8()" if column == "y" else 'dy.Datetime(time_unit="us")')
                )
    given = [f'{t}=pl.scan_parquet(folder / "{t}.parquet")'
             for t in ("interactions", *(t for t in keys if has[t]), *(["pairs"] if has_pairs else []))]  # fmt: skip
    return "\n".join(
        [*lines, "", "", "def read(folder):", f"    return RawTables({', '.join(given)})", "", ""]
    )


def _config(r: random.Random, name: str, n_folds: int) -> str:
    tables = {
        "popularity": 'kind = "column"\ncolumn = "relevance_rate__item_id"',
        "taste": 'kind = "column"\ncolumn = "taste_score"',
        "catboost": "iterations = 4\ntime_budget = 20.0\n"
        + r.choice(['loss = "QueryRMSE"', 'loss = "RMSE"', 'loss = "YetiRank"', 'loss = "MultiClass"']),
        "channel_net": "epochs = 1\ntime_budget = 20.0",
    }
    models = r.choice(
        [
            ["taste"],
            ["taste", "catboost"],
            ["taste", "catboost"],
            ["popularity", "catboost"],
            ["taste", "channel_net"],
        ]
    )
    lines = [f'competition = "{name}"', "seed = 1", "threads = 1", "memory_gib = 2.0", 'backend = "inline"', "[folds]",
             f"n_folds = {n_folds}"]  # fmt: skip
    if r.random() < 0.3:
        lines.append(f"n_train_windows = {r.randint(1, 2)}")
    for model in models:
        lines += [f"[models.{model}]", tables[model]]
    return "\n".join(lines) + "\n"

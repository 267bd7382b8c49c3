"""A random competition out of a seed: the text of its file, its tables and the settings that it is run with."""

from __future__ import annotations

import datetime as dt
import keyword
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dataframely as dy
import polars as pl

from benchmarks._fuzz_columns import (
    IDS,
    KINDS,
    MOST_IDS,
    OF_ITEM,
    OF_USER,
    USUAL,
    an_instant,
    drawn_column,
)

DAY = 86_400_000_000
RANKED = ("ndcg_at_k", "map_at_k", "mrr_at_k", "hit_rate_at_k", "recall_at_k", "precision_at_k")
NAMES = (
    "my column",
    "a.b",
    "x__y",
    "Größe",
    "class",
    "per cent %",
    "[bold]",
    "c,d",
    "it's",
    "__len__",
    "cast",
    "filter",
    "2nd",
)
FAMILIES = ("*rate*", "taste_*", "*__item_id*", "*user_id*", "*share*", "n_*", "last_*", "als_*", "item*", "*gap*",
            "*age*", "faded_*", "*genre*", "*hour*", "content_*")  # fmt: skip


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


@dataclass
class _Drawn:
    """What was drawn so far: names and kinds of the columns by table, how ids are written, the frames."""

    is_fitting: bool
    n_rows: int
    user: str
    item: str
    ids: Mapping[str, tuple[str, int]]
    kinds: dict[str, str] = field(default_factory=dict)
    tables: dict[str, list[str]] = field(default_factory=dict)
    frames: dict[str, pl.DataFrame] = field(default_factory=dict)

    def key(self, table: str) -> list[str]:
        return {"users": [self.user], "items": [self.item]}.get(table, [self.user, self.item])


FITTING = 0.85  # share of competitions whose declaration and folds are drawn to fit their log


def draw(seed: int) -> World:
    """Draw a competition: the same seed gives the same one.

    Most of them (``FITTING``) are drawn such that all folds can have rows and both kinds of labels, though chance may
    still leave one without. Of the others sizes, labels, ties, folds, source, metric and blender are drawn one by one.
    """
    r = random.Random(seed)
    name = f"fuzz_{seed}"
    drawn = _sizes(r)
    _columns(r, drawn)
    kind = r.choice(["instant"] * 5 + ["instant ms", "instant ns", "zoned instant", "date"])
    clock = r.choice(["row", "time", "time", "per_user"])
    drawn.kinds |= {"when": kind, "y": "small integer"}
    _frames(r, drawn, kind)
    text, folds = _declared(r, drawn, name, clock)
    return World(name, text, drawn.frames, _config(r, name, *folds, is_fitting=drawn.is_fitting))


def _sizes(r: random.Random) -> _Drawn:
    """Draw how many rows, users and items there are: mostly several of each, now and then one, or one row a user."""
    is_fitting = r.random() < FITTING
    n_rows = r.choice([*([] if is_fitting else [3, 10, 40]), 100, 200, 300, 300, 400, 600, 600])
    n_users, n_items = r.randint(2, max(3, n_rows // 25)), r.randint(2 + n_rows // 8, 2 + n_rows // 2)
    shape = r.choice([*["usual"] * 12, "one user", *([] if is_fitting else ["one item", "one row each"])])
    n_users = {"one user": 1, "one row each": n_rows}.get(shape, n_users)
    n_items = 1 if shape == "one item" else n_items
    user = r.choice(["user_id"] * 6 + ["uid", "user id", "user.id"])
    item = r.choice(["item_id"] * 6 + ["sku", "the item", "item__id"])
    sizes = min(n_users, MOST_IDS), min(n_items, MOST_IDS)
    ids = {key: (r.choice([*IDS]), n) for key, n in zip((user, item), sizes, strict=True)}
    return _Drawn(is_fitting, n_rows, user, item, ids)


def _columns(r: random.Random, drawn: _Drawn) -> None:
    """Draw columns that shipped features claim, most of them of the usual kind, and others of any name."""
    drawn.kinds = {
        n: k if r.random() < 0.6 else r.choice([*KINDS]) for n, k in USUAL.items() if r.random() < 0.6
    }
    drawn.kinds |= {n: r.choice([*KINDS]) for n in r.sample(NAMES, r.choice([0, 0, 1, 2]))}
    drawn.kinds |= {f"col_{i}": r.choice([*KINDS]) for i in range(r.randrange(3))}
    drawn.tables = {"interactions": [], "users": [], "items": []}
    for column in drawn.kinds:
        home = "users" if column in OF_USER else "items" if column in OF_ITEM else "interactions"
        drawn.tables[home if r.random() < 0.8 else r.choice([*drawn.tables])].append(column)


def _frames(r: random.Random, drawn: _Drawn, kind: str) -> None:
    for table, names in drawn.tables.items():
        keys = {key: drawn.ids[key] for key in drawn.key(table)}
        height = drawn.n_rows if len(keys) == 2 else next(iter(keys.values()))[1]
        known = _drawn_keys(r, keys, height)
        found = {column: drawn_column(r, KINDS[drawn.kinds[column]], height) for column in names}
        drawn.frames[table] = pl.DataFrame(known | found)
        if len(keys) == 1 and r.random() < 0.2:  # users and items without attributes
            drawn.frames[table] = drawn.frames[table].head(max(1, 7 * height // 10))
    log = drawn.frames["interactions"]
    chances = {"mixed": [0, 0, 1], "graded": [0, 1, 2], "signed": [-1, 0, 1], "all": [1], "none": [0]}
    other = [] if drawn.is_fitting else ["all", "none"]
    labels = chances[r.choice(["mixed"] * 5 + ["graded"] * 3 + ["signed", "signed", *other])]
    tied = r.choice([1, 1, 1, 1, 5, *([] if drawn.is_fitting else [50, log.height])])  # rows of one instant
    instants = sorted(an_instant(r) for _ in range(log.height))
    instants = [instants[i - i % tied] for i in range(log.height)]
    when = pl.Series("when", instants, dtype=pl.Datetime("us")).cast(KINDS[kind].dtype)
    if kind == "zoned instant":
        when = pl.Series("when", instants, dtype=pl.Datetime("us")).dt.replace_time_zone("UTC")
    y = pl.Series("y", [r.choice(labels) for _ in range(log.height)], dtype=pl.Int8)
    drawn.frames["interactions"] = log.with_columns(y, when)


def _drawn_keys(r: random.Random, ids: Mapping[str, tuple[str, int]], n_rows: int) -> dict[str, pl.Series]:
    """Draw the keys of the rows of a log, or give those of a table of users or items: each once."""
    columns = {}
    for key, (kind, n) in ids.items():
        numbers = [*range(n)] if len(ids) == 1 else [int(n * r.random() ** 1.5) for _ in range(n_rows)]
        columns[key] = pl.Series([IDS[kind][2](i) for i in numbers], dtype=IDS[kind][1])
    return columns


def _declared(r: random.Random, drawn: _Drawn, name: str, clock: str) -> tuple[str, tuple[int, int]]:
    """Draw the declaration, and finish the frames for it; return the file's text, and folds and train windows."""
    reactions = [n for n in drawn.tables["interactions"] if n in USUAL and n not in OF_ITEM | OF_USER]
    outcomes = ["y", *(n for n in reactions if r.random() < 0.9)]
    observed = [n for n in drawn.kinds if n not in (*outcomes, "when", "y")]
    numbers = [n for n in observed if KINDS[drawn.kinds[n]].dtype.is_numeric()]
    dense = [n for n in outcomes if n != "y" and KINDS[drawn.kinds[n]].dtype.is_numeric()]
    dense_one = r.choice([None, *dense])
    is_ordered = r.random() < 0.2
    if not is_ordered:  # the submission names its rows by user and item
        log = drawn.frames["interactions"]
        drawn.frames["interactions"] = log.unique([drawn.user, drawn.item], keep="first", maintain_order=True)
    if r.random() < 0.1:
        _make_last_users_new(drawn)
    n_folds, n_train = r.choice([1, 2, 2, 3]), r.randint(1, 2)
    horizon, gap, steps = _lengths(r, drawn, clock, n_folds + n_train + 1)
    given = _given_tables(r, drawn, outcomes, clock, gap)
    declared = {t: [*drawn.key(t), *names] for t, names in drawn.tables.items()}
    declared["interactions"] += ["y", "when"]

    def amounts(source: str | None) -> list[str]:
        return [n for n in numbers if n != source] if drawn.is_fitting else numbers

    arguments = {
        "name": repr(name), "title": "'Drawn [/b]'", "licence": "'[red]none'",
        "read": "read", "interactions": "Interactions",
        **{t: t.capitalize() for t in ("users", "items") if t in drawn.frames},
        "outcomes": repr(outcomes), "clock": _clock(r, clock, steps), "metric": _metric(r, drawn), "horizon": horizon,
        "gap": repr(gap), "n_train_windows": repr(n_train), "user": repr(drawn.user), "item": repr(drawn.item),
        "submission": _submission(r, drawn, is_ordered),
        "source": repr(source := _source(r, drawn, observed)),
        "dense": repr(dense_one), "dense_per": repr(r.choice([None, *amounts(source)]) if dense_one else None),
        **_labels(r),
    }  # fmt: skip
    text = _file(name, declared, drawn, given)
    text += "\nFUZZ = Competition(\n" + "".join(f"    {k}={v},\n" for k, v in arguments.items()) + ")\n"
    return text, (n_folds, n_train)


def _make_last_users_new(drawn: _Drawn) -> None:
    """Give the last fifth of the log to users that no earlier row has."""
    log, (kind, n) = drawn.frames["interactions"], drawn.ids[drawn.user]
    n_old = max(1, n // 2)
    new = log.height // 5
    numbers = [
        i % n_old if i < log.height - new else n_old + i % max(1, n - n_old) for i in range(log.height)
    ]
    ids = pl.Series([IDS[kind][2](min(i, n - 1)) for i in numbers], dtype=IDS[kind][1])
    log = log.with_columns(ids.alias(drawn.user))
    drawn.frames["interactions"] = log.unique([drawn.user, drawn.item], keep="first", maintain_order=True)


def _source(r: random.Random, drawn: _Drawn, observed: Sequence[str]) -> str | None:
    names = [n for n in ("source_id", "main_genre") if n in observed]
    if drawn.is_fitting:
        names = [n for n in names if not KINDS[drawn.kinds[n]].dtype.is_nested()]
    return r.choice([None, *names])


def _lengths(r: random.Random, drawn: _Drawn, clock: str, n_windows: int) -> tuple[str, int, int]:
    """Draw horizon, gap and steps; windows that fit have two more horizons, and room for the gaps and given pairs."""
    n_rows = drawn.frames["interactions"].height
    n_windows += r.choice([2, 2, 3, 3, 5]) if drawn.is_fitting else r.choice([-1, 0, 1, 2])
    if clock == "per_user":
        return "1", r.choice([0, 0, 0, 1]), max(2, n_windows)
    unit = DAY if clock == "time" else 1
    span = 59 if clock == "time" else n_rows
    span = 3 * span // 4 if drawn.is_fitting else span
    gap = r.choice([0, 0, 0, unit * max(1, span // 30)])
    n_windows += 2 * (gap > 0)
    if r.random() < 0.3:
        return f"LogShare(1, of={max(2, n_windows)})", gap, 10
    return str(unit * max(1, span // max(2, n_windows))), gap, 10


def _given_tables(r: random.Random, drawn: _Drawn, outcomes: list[str], clock: str, gap: int) -> list[str]:
    """Draw which tables there are, and write out how each is read."""
    for table in ("users", "items"):
        if not drawn.tables[table] and r.random() < 0.7:
            del drawn.frames[table]
    has_pairs = r.random() < 0.3 and drawn.frames["interactions"].height > 3
    known = r.random() < 0.6
    if has_pairs:
        _part(drawn, outcomes, gap if clock == "time" else 0, is_known=known)
    if r.random() < 0.1:  # columns that the competition does not declare
        log = drawn.frames["interactions"]
        drawn.frames["interactions"] = log.with_columns(
            unknown_list=pl.lit([1, 2]), unknown_struct=pl.struct(pl.lit(1).alias("x")), unknown=pl.lit(None)
        )
    given = [f"{name}=pl.scan_parquet(folder / '{name}.parquet')" for name in drawn.frames]
    if r.random() < 0.2 and drawn.frames["interactions"].height > 2:
        given.append(_in_files(r, drawn))
    return given


def _part(drawn: _Drawn, outcomes: list[str], gap: int, *, is_known: bool) -> None:
    """Take the last quarter of a log for the pairs to score, all at once after the rest of it."""
    log = drawn.frames["interactions"]
    shown, rest = log.tail(log.height // 4), log.head(log.height - log.height // 4)
    last = rest["when"][-1]
    step = dt.timedelta(days=1) if rest.schema["when"] == pl.Date else dt.timedelta(seconds=1)
    at = last + step + dt.timedelta(microseconds=gap)
    drawn.frames["interactions"] = rest
    drawn.frames["pairs"] = shown.drop(outcomes).with_columns(
        pl.lit(at, dtype=rest.schema["when"]).alias("when")
    )
    if is_known:
        drawn.frames["solution"] = shown.select(outcomes)


def _in_files(r: random.Random, drawn: _Drawn) -> str:
    """Cut the log into files; the second may hold its label in another width."""
    log = drawn.frames.pop("interactions")
    at = r.randrange(1, log.height)
    files = [log.head(at), log.tail(log.height - at)]
    if r.random() < 0.5:
        files[1] = files[1].with_columns(pl.col("y").cast(pl.Int64))
    drawn.frames |= {f"interactions_{i}": file for i, file in enumerate(files)}
    drawn.frames["interactions"] = log
    listed = "(folder / f'interactions_{i}.parquet' for i in range(2))"
    return f"log_files=[LogFile(path, pl.scan_parquet(path)) for path in {listed}]"


def _clock(r: random.Random, clock: str, steps: int) -> str:
    column = r.choice(["'when'", "None"]) if clock == "per_user" else "'when'" if clock == "time" else "None"
    return f"Clock({clock!r}, {column}, steps={steps})"


def _metric(r: random.Random, drawn: _Drawn) -> str:
    by_value = [] if drawn.is_fitting else ["rmse", "log_loss"]  # no metrics of the scores' order
    name = r.choice([*["roc_auc", "user_auc", "user_auc"] * 4, *RANKED, *RANKED, *by_value])
    policy: dict[str, object] = {}
    if name in RANKED:
        policy["k"] = r.choice([1, 3, 10, 1000])
        policy["ties"] = r.choice(["worst", "worst", "order"])
    if name not in ("rmse", "log_loss"):
        return f"Metric({name!r}, {policy!r})"
    return f"Metric({name!r}, {policy!r}, greater_is_better=False)"


def _submission(r: random.Random, drawn: _Drawn, is_ordered: bool) -> str:
    columns = {"u": drawn.user, "i": drawn.item, "s": "score"}
    if r.random() < 0.2:
        columns = {"my score": "score", "i": drawn.item, "u": drawn.user}
    elif r.random() < 0.1:
        columns = {"id": "pair_id", "s": "score"}
    elif is_ordered:
        columns = {"s": "score"} if r.random() < 0.5 else columns
    separator, extension = r.choice([(",", "csv"), (",", "csv"), (";", "txt"), ("\t", "tsv"), ("|", "csv")])
    return f"SubmissionFormat({columns!r}, separator={separator!r}, ordered={is_ordered}, extension={extension!r})"


def _labels(r: random.Random) -> dict[str, str]:
    """Draw what relevance is made of, and what else a competition may say of its rows."""
    kind = r.choice(["plain"] * 4 + ["boolean", "derived", "threshold", "shifted"])
    declared = {
        "plain": {"relevance": 'pl.col("y")'},
        "boolean": {"relevance": 'pl.col("y") > 0'},
        "derived": {"relevance": 'pl.col("good")', "derived": '{"good": pl.col("y") >= 1}'},
        "threshold": {
            "relevance": 'pl.col("good").cast(pl.Int8)', "derived": '{"good": pl.col("y") >= pl.col("usual")}',
            "thresholds": f'{{"usual": Threshold(pl.col("y").cast(pl.Float64), {r.choice([0.1, 0.5, 0.9])})}}',
        },
        "shifted": {"relevance": 'pl.col("y") * 3 - 1'},
    }[kind]  # fmt: skip
    if r.random() < 0.2:
        declared["remarks"] = '{"are good": pl.col("y") > 0}'
    if r.random() < 0.15:
        declared["select_pairs"] = f'lambda rows: rows.filter(pl.col("row") % {r.randint(2, 5)} > 0)'
    if r.random() < 0.2:
        declared["leave_out"] = repr(r.sample(FAMILIES, 2))
    return declared


def _file(name: str, declared: Mapping[str, Sequence[str]], drawn: _Drawn, given: Sequence[str]) -> str:
    """Write the file of a competition up to its declaration: its schemas and ``read``."""
    lines = [f'"""{name}: drawn by benchmarks.fuzz."""', "", "import dataframely as dy", "import polars as pl", "",
             "from competitions import *", ""]  # fmt: skip
    for table, names in declared.items():
        lines += ["", f"class {table.capitalize()}(dy.Schema):"]
        for number, column in enumerate(names):
            options = [] if column in ("y", "when") else ["nullable=True"]
            schema = KINDS[drawn.kinds[column]].schema if column in drawn.kinds else ""
            if column in drawn.ids:
                schema = IDS[drawn.ids[column][0]][0]
                options = ["primary_key=True"] if len(drawn.key(table)) == 1 else []
            is_plain = column.isidentifier() and not column.startswith("_") and not keyword.iskeyword(column)
            is_plain = is_plain and not hasattr(dy.Schema, column)
            options += [] if is_plain else [f"alias={column!r}"]
            lines.append(
                f"    {column if is_plain else f'column_{number}'} = {schema.format(n=', '.join(options))}"
            )
    return "\n".join(
        [*lines, "", "", "def read(folder):", f"    return RawTables({', '.join(given)})", "", ""]
    )


def _config(r: random.Random, name: str, n_folds: int, n_train: int, *, is_fitting: bool) -> str:
    models = {
        "popularity": 'kind = "column"\ncolumn = "relevance_rate__item_id"',
        "taste": 'kind = "column"\ncolumn = "taste_score"',
        "catboost": "iterations = 4\ntime_budget = 20.0\n"
        + r.choice(['loss = "QueryRMSE"', 'loss = "RMSE"', 'loss = "YetiRank"', 'loss = "MultiClass"']),
        "channel_net": "epochs = 1\ntime_budget = 20.0\n"
        + r.choice(['loss = "pairwise"', 'loss = "mse"', 'loss = "bce"']),
    }
    chosen = r.choice(["taste", "taste catboost", "taste catboost", "catboost", "taste channel_net"]).split()
    lines = [f'competition = "{name}"', "seed = 1", "threads = 1", "memory_gib = 2.0", 'backend = "inline"',
             f"partition_rows = {r.choice([1_000, 5_000_000])}"]  # fmt: skip
    if r.random() < 0.2:
        learned = ["weights", "level_two"] if n_folds > 2 or not is_fitting else []  # from three eval windows
        lines.append(f'blender = "{r.choice([chosen[0], "mean_rank", *learned])}"')
    lines += ["[folds]", f"n_folds = {n_folds}"]
    if r.random() < 0.3:
        lines.append(f"n_train_windows = {n_train}")
    lines += ["[features]", f"transductive = {str(r.random() < 0.8).lower()}"]
    if r.random() < 0.8:  # all of them take most of the time
        lines.append(f"include = {['taste_score', *r.sample(FAMILIES, 3)]!r}")
    if r.random() < 0.1:
        lines += ["[training]", r.choice(["users = 0.5", "ignored = 0.5"])]
    for model in chosen:
        lines += [f"[models.{model}]", models[model]]
    lines += ["[blenders.level_two]", "iterations = 5", "[blenders.catboost_oof]", "iterations = 5"]
    return "\n".join(lines) + "\n"

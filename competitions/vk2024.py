"""The VK RecSys Challenge 2024: six weeks of a short-video feed; order what each user is shown in the seventh."""

from __future__ import annotations

import re
from pathlib import Path

import dataframely as dy
import polars as pl

from competitions import Clock, Competition, LogFile, LogShare, Metric, RawTables, SubmissionFormat, in_groups
from engine import DataError

LOGS, USERS, ITEMS, PAIRS = (
    "train_interactions*.parquet",
    "users_meta.parquet",
    "items_meta.parquet",
    "test_pairs.csv",
)
SOLUTION = "solution.parquet"  # of simulated data only
OUTCOMES = ("timespent", "like", "dislike", "share", "bookmarks")
N_CONTENT = 32
N_PAIRS = 20  # of each user in the test
# By the lowest age (years) and the lowest duration (seconds) of each: about as many rows in one as in another.
AGE_GROUPS = {"under 18": 0, "18-24": 18, "25-34": 25, "35-44": 35, "45-54": 45, "55+": 55}
DURATION_BUCKETS = {"under 10": 0, "10-14": 10, "15-19": 15, "20-29": 20, "30-44": 30, "45-59": 45,
                    "60-89": 60, "90+": 90}  # fmt: skip


class Interactions(dy.Schema):
    """One clip shown to a user. There is no time: the order of the rows is the order of events."""

    user_id = dy.UInt32()
    item_id = dy.UInt32()
    timespent = dy.UInt16(description="seconds watched")
    like = dy.Bool()
    dislike = dy.Bool()
    share = dy.Bool()
    bookmarks = dy.Bool()


class Users(dy.Schema):
    """One user."""

    user_id = dy.UInt32(primary_key=True)
    gender = dy.UInt8(nullable=True, description="code")
    age = dy.UInt8(nullable=True, description="years")
    age_group = dy.Enum(tuple(AGE_GROUPS), nullable=True, description="made of the age")


class Items(dy.Schema):
    """One clip."""

    item_id = dy.UInt32(primary_key=True)
    source_id = dy.UInt32(description="its author")
    duration = dy.UInt16(description="seconds")
    duration_bucket = dy.Enum(tuple(DURATION_BUCKETS), nullable=True, description="made of the duration")
    content = dy.Array(
        # Bounded so far that no dot product of two of them overflows.
        dy.Float32(min=-1e6, max=1e6),
        N_CONTENT,
        nullable=True,
        description="`embeddings` in the file",
    )


def files(folder: Path) -> tuple[Path, ...]:
    """Return the files that ``read`` reads: the log's in the order of their names, then the others.

    The log may lie in several files, ``train_interactions.parquet`` and then, say, ``train_interactions_7.parquet``;
    numbers in their names count as numbers. Raises DataError if a file is missing.
    """
    logs = sorted(folder.glob(LOGS), key=_in_order)
    others = [folder / name for name in (USERS, ITEMS, PAIRS)]
    missing = [path.name for path in others if not path.is_file()]
    missing = missing if logs else [LOGS.replace("*", ""), *missing]
    if missing:
        raise DataError(
            f"The data folder {folder} has no {', '.join(missing)}.",
            expected=f"{LOGS.replace('*', '')}, {USERS}, {ITEMS} and {PAIRS} of the VK RecSys Challenge 2024",
            todo="put them there; or set `data` in config.toml (DATA= on the command line of make) to their folder; "
            "or make such files: python -m competitions simulate vk2024 --rows 1_000_000 --seed 7 --out DIR",
        )
    solution = folder / SOLUTION
    return (*logs, *others, *([solution] if solution.is_file() else []))


def _in_order(path: Path) -> list[str | int]:
    # Every second run of characters is a number, so a number is compared with numbers only.
    return [int(run) if run.isdigit() else run for run in re.split(r"(\d+)", path.stem)]


def read(folder: Path) -> RawTables:
    """Look at the files; their rows are read on intake, a partition of the log at a time."""
    paths = {path.name: path for path in files(folder)}
    logs = [LogFile(path, _scan(path)) for path in paths.values() if path.match(LOGS)]
    pairs = pl.scan_csv(paths[PAIRS], infer_schema=False)
    outcomes = None if SOLUTION not in paths else _in_order_of(pairs, paths[SOLUTION])
    return RawTables(
        interactions=pl.concat([log.rows for log in logs]),
        log_files=logs,
        users=_scan(paths[USERS]).with_columns(age_group=in_groups("age", AGE_GROUPS)),
        items=_scan(paths[ITEMS])
        .rename({"embeddings": "content"})
        .with_columns(duration_bucket=in_groups("duration", DURATION_BUCKETS)),
        pairs=pairs,
        solution=outcomes,
        oracle=None if outcomes is None else _oracle(outcomes),
    )


def _scan(path: Path) -> pl.LazyFrame:
    """Scan a Parquet file. Raises DataError, naming it, if it is damaged."""
    table = pl.scan_parquet(path)
    try:
        table.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{path} cannot be read: {error}",
            expected="a whole Parquet file",
            todo="fetch it again: it may have been cut off",
        ) from error
    return table


def _in_order_of(pairs: pl.LazyFrame, solution: Path) -> pl.LazyFrame:
    """Return the solution's rows in the order of the pairs; a pair that it lacks has nulls."""
    keys = ("user_id", "item_id")
    typed = pairs.select(pl.col(key).cast(pl.UInt32, strict=False) for key in keys)
    known = _scan(solution).with_columns(pl.col(key).cast(pl.UInt32) for key in keys)
    return typed.join(known, on=keys, how="left", validate="m:1", maintain_order="left")


def _oracle(outcomes: pl.LazyFrame) -> pl.LazyFrame | None:
    """Return ``p_like - p_dislike`` of each pair, None if it is not given: a score that no model can expect to pass."""
    if not {"p_like", "p_dislike"} <= set(outcomes.collect_schema()):
        return None
    # Subtracted in double precision, whatever the file has.
    return outcomes.select(score=pl.col("p_like").cast(pl.Float64) - pl.col("p_dislike").cast(pl.Float64))


def select_pairs(targets: pl.LazyFrame) -> pl.LazyFrame:
    """Take the first 20 rows of each user who has at least 20 in the window and reacted in it, as the test does."""
    # The last row of each user's choice, then a comparison: three times as fast as numbering every user's rows.
    users = (
        targets.group_by("user_id")
        .agg(
            n_rows=pl.len(),
            has_reacted=(pl.col("like") | pl.col("dislike")).any(),
            last_row=pl.col("row").bottom_k(N_PAIRS).max(),
        )
        .filter(pl.col("has_reacted") & (pl.col("n_rows") >= N_PAIRS))
        .select("user_id", "last_row")
    )
    chosen = targets.join(users, on="user_id", how="inner", validate="m:1")
    return chosen.filter(pl.col("row") <= pl.col("last_row")).drop("last_row")


VK2024 = Competition(
    name="vk2024",
    title="VK RecSys Challenge 2024: liked clips before ignored before disliked, for each user",
    licence=(
        "The data of the VK RecSys Challenge 2024 are those of its organisers, for its participants, and do not come "
        "with Samewise; `python -m competitions simulate vk2024` makes free ones of the same form."
    ),
    files=files,
    read=read,
    interactions=Interactions,
    users=Users,
    items=Items,
    outcomes=OUTCOMES,
    # A row with both says neither: its relevance is 0, that of a clip which the user let pass.
    relevance=pl.col("like").cast(pl.Int8) - pl.col("dislike").cast(pl.Int8),
    remarks={"have both a like and a dislike: their relevance is 0": pl.col("like") & pl.col("dislike")},
    clock=Clock("row"),
    horizon=LogShare(1, of=6),  # the test is the week after six
    n_train_windows=2,
    select_pairs=select_pairs,
    metric=Metric("user_auc", policy={"one_class": "skip"}),
    submission=SubmissionFormat({"user_id": "user_id", "item_id": "item_id", "predict": "score"}),
    source="source_id",
    dense="timespent",
    dense_per="duration",
    # Beside `taste` they gave trees nothing on simulated logs of two kinds, and cost more than all the rest.
    # `channel`, `doc2vec`, `entities` and `given`: not measured beside it yet.
    leave_out=("als_*", "bpr_*", "channel_*", "cluster*", "content_*", "covisit_*", "doc2vec_*", "ease_*", "elsa_*",
               "entities_*", "given*", "knn_*", "latent_rank__*", "mf_*", "multvae_*", "n_pairs_of_cluster",
               "streamed_taste_*", "svd_*", "user_rank__als_*", "user_zscore__als_*", "w2v_*"),
)  # fmt: skip

"""A small log with an obvious answer, and how well scores agree with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from competitions import Metric
from models import FittedRanker, PairFrame, Scores, StoredColumns
from validation import evaluate

N_USERS, N_ITEMS, N_SHOWN, N_UNIVERSAL = 36, 40, 8, 8
N_NEWEST, N_CONTENT = 20, 3  # rows of a history, numbers of a content
KINDS = pl.Enum(["even", "odd"])


@dataclass(frozen=True)
class SmallLog:
    """Three train windows and the eval window after them."""

    train: PairFrame
    eval: PairFrame


def checkerboard() -> SmallLog:
    """Each user likes the items of its own parity; the first eight are liked by all, the last eight by nobody.

    A user sees each item once, eight in a window; window 0 is history only. The held-out items are the answer that
    a model has to complete.
    """
    rng = np.random.default_rng(7)
    seen = np.stack([rng.permutation(N_ITEMS)[: 5 * N_SHOWN] for _ in range(N_USERS)])
    users = np.repeat(np.arange(N_USERS), seen.shape[1])
    items, windows = seen.ravel(), np.tile(np.repeat(np.arange(5), N_SHOWN), N_USERS)
    relevance = np.where((users + items) % 2 == 0, 1, -1)
    relevance = np.where(items < N_UNIVERSAL, 1, np.where(items >= N_ITEMS - N_UNIVERSAL, -1, relevance))
    relevance = np.where(rng.random(len(items)) < 0.05, 0, relevance)
    log = pl.DataFrame({"user_id": users, "item_id": items, "window": windows, "relevance": relevance})
    log = log.with_columns(pl.col("user_id", "item_id").cast(pl.UInt32), pl.col("relevance").cast(pl.Int8))
    frame = pl.concat([_with_features(log, window) for window in range(1, 5)])
    frame = frame.sort("window", "user_id", "item_id").with_row_index("pair_id")
    features = tuple(c for c in frame.columns if c not in _KEYS)
    pairs = PairFrame(frame, features, "user_id", "item_id", "source")
    return SmallLog(pairs.take(pl.col("window") < 4), pairs.take(pl.col("window") == 4))


_KEYS = ("pair_id", "window", "user_id", "item_id", "source", "relevance")


def with_columns(frame: PairFrame, **columns: pl.Expr) -> PairFrame:
    """Set columns of the table; ``relevance`` becomes Int8."""
    table = frame.table.with_columns(**columns)
    return replace(frame, table=table.cast({"relevance": pl.Int8}))


def user_auc(frame: PairFrame, scores: Scores) -> float:
    return evaluate(Metric("user_auc"), frame.table.with_columns(score=pl.Series(scores)), group=["user_id"])


def finite_scores(fitted: FittedRanker, frame: PairFrame) -> Scores:
    """Scores of a frame, of the right type and shape and finite."""
    scores = fitted.predict(frame)
    assert scores.dtype == np.float64
    assert scores.shape == (frame.table.height,)
    assert np.isfinite(scores).all()
    return scores


class Shelf:
    """Columns in an order of their own, and how often each was read."""

    def __init__(self, frame: PairFrame) -> None:
        self.order = frame.table["pair_id"].arg_sort(descending=True)
        self.columns = {name: frame.table[name].gather(self.order) for name in frame.features}
        self.n_reads: Counter[str] = Counter()

    def read(self, name: str) -> pl.Series:
        self.n_reads[name] += 1
        return self.columns[name]

    def frame(self, held: PairFrame) -> PairFrame:
        """The same frame, whose features lie here."""
        schema = {name: column.dtype for name, column in self.columns.items()}
        stored = StoredColumns(schema, self.read, self.order.arg_sort().cast(pl.UInt32))
        return replace(held, table=held.table.drop(held.features), stored=stored)


def with_arrays(log: SmallLog) -> SmallLog:
    """The same log with what nets read by name: contents, and each user's newest rows in the windows before."""
    contents: list[list[float] | None] = np.random.default_rng(2).normal(size=(N_ITEMS, N_CONTENT)).tolist()
    contents[::7] = [None] * len(contents[::7])
    rows = pl.concat([log.train.table, log.eval.table])
    own = [contents[item] for item in rows["item_id"]]
    tastes = np.random.default_rng(3).normal(size=(N_ITEMS, N_CONTENT))
    rows = rows.with_columns(
        item_content=pl.Series(own, dtype=pl.Array(pl.Float32, N_CONTENT)),
        taste_item_vector=pl.Series(tastes[rows["item_id"]], dtype=pl.Array(pl.Float32, N_CONTENT)),
    )
    newest = pl.DataFrame(
        [
            {"window": window, "user_id": user, **_newest(before, contents)}
            for window in rows["window"].unique().sort()
            for (user,), before in rows.filter(pl.col("window") < window).group_by(
                "user_id", maintain_order=True
            )
        ],
        schema={
            "window": pl.Int64,
            "user_id": pl.UInt32,
            "last_items__user_id": pl.Array(pl.UInt32, N_NEWEST),
            "last_items_200__user_id": pl.Array(pl.UInt32, N_NEWEST),
            "last_relevances_200__user_id": pl.Array(pl.Int8, N_NEWEST),
            "last_gaps__user_id": pl.Array(pl.Float32, N_NEWEST),
            "last_contents__user_id": pl.Array(pl.Float32, N_NEWEST * N_CONTENT),
        },
    )
    table = rows.join(newest, on=["window", "user_id"], how="left", maintain_order="left")
    features = (*log.train.features, "item_content", "taste_item_vector", *newest.columns[2:])
    whole = replace(log.train, table=table, features=features)
    is_train = pl.col("window") < log.eval.table["window"].min()
    return SmallLog(whole.take(is_train), whole.take(~is_train))


def _newest(rows: pl.DataFrame, contents: list[list[float] | None]) -> dict[str, list[float | None]]:
    """Items, gaps and contents of a user's newest rows; the clock is the number of the pair."""
    read = ("item_id", "pair_id", "relevance")
    items, clocks, relevances = (rows[name].to_list()[-N_NEWEST:] for name in read)
    unknown: list[float | None] = [None] * (N_NEWEST - len(items))
    vectors = [contents[item] or [None] * N_CONTENT for item in items]
    return {
        "last_items__user_id": unknown + items,
        "last_items_200__user_id": unknown + items,
        "last_relevances_200__user_id": unknown + relevances,
        "last_gaps__user_id": unknown + np.diff([*clocks, clocks[-1] + 1]).tolist(),
        "last_contents__user_id": unknown * N_CONTENT + [x for vector in vectors for x in vector],
    }


def _with_features(log: pl.DataFrame, window: int) -> pl.DataFrame:
    """Features of a window's pairs from the rows before it."""
    history, pairs = log.filter(pl.col("window") < window), log.filter(pl.col("window") == window)
    items = history.group_by("item_id").agg(
        relevance_rate__item_id=(pl.col("relevance").sum() / (pl.len() + 2)).cast(pl.Float32),
        n_exposures__item_id=pl.len().cast(pl.UInt32),
    )
    scores = _latent_scores(history)[pairs["user_id"].to_numpy(), pairs["item_id"].to_numpy()]
    return pairs.join(items, on="item_id", how="left").with_columns(
        pl.col("window").cast(pl.Int64),
        als_score__like=pl.Series(scores),
        user_kind=_parity("user_id"),
        item_kind=_parity("item_id"),
        is_new=pl.col("item_id") >= 20,
        source=(1990 + pl.col("item_id") % 6).cast(pl.UInt16),
    )


def _parity(column: str) -> pl.Expr:
    return pl.when(pl.col(column) % 2 == 0).then(pl.lit("even")).otherwise(pl.lit("odd")).cast(KINDS)


def _latent_scores(history: pl.DataFrame) -> npt.NDArray[np.float32]:
    """Rank-2 reconstruction of the user-item matrix."""
    matrix = np.zeros((N_USERS, N_ITEMS))
    matrix[history["user_id"].to_numpy(), history["item_id"].to_numpy()] = history["relevance"].to_numpy()
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    scores: npt.NDArray[np.float32] = np.einsum("uk,k,ki->ui", u[:, :2], s[:2], v[:2]).astype(np.float32)
    return scores

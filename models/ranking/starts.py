"""Tables of ids that start at vectors that features learned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import nn

from engine import EmbeddingTable, nets
from models._pair_frame import PairFrame, Scores
from models._start import Link, Start, fit_start, numbers_of, vector_width
from models.ranking.losses import NetLoss

SPREAD = 0.1  # standard deviation of the numbers that rows start at
REST = 0.1  # of what it would be without vectors, where a table of towers is wider than these

Vectors = npt.NDArray[np.float32]


def start_scores(
    rows: PairFrame, column: str, loss: NetLoss, lowest: float, highest: float, seed: int
) -> Start:
    """Where the learned scale of a start begins: a linear function of the column that suits the loss.

    ``lowest``, ``highest``: levels of relevance that become 0 and 1.
    """
    values = numbers_of(rows.column(column).cast(pl.Float32))
    return fit_scores(rows, values, loss, (rows.relevance - lowest) / (highest - lowest), seed, column)


def fit_scores(
    rows: PairFrame, values: Scores, loss: NetLoss, labels: Scores, seed: int, column: str = ""
) -> Start:
    """Fit a linear function of values (n_pairs,) to labels in [0, 1] as the loss takes them."""
    link: Link = "pairwise" if loss == "pairwise" else "all rows"
    found = fit_start(column, values, labels, rows, link, seed)
    if loss != "bce":
        return found
    # What a line through labels of 0 and 1 is on the scale of log odds.
    share = min(max(float(np.average(labels, weights=rows.weight)), 0.01), 0.99)
    spread = share * (1 - share)
    return replace(found, slope=found.slope / spread, level=float(np.log(share / (1 - share))))


def start_tables(
    tables: Iterable[nn.Parameter], encoder: nets.Encoder, rows: PairFrame, starts: Mapping[str, str]
) -> None:
    """Let each channel's table start at the vectors of its column, if it has one and the frame has that.

    It is not there where a fit is asked for without it.
    """
    for (channel, known), weight in zip(encoder.channels.items(), tables, strict=True):
        column = starts.get(channel, "")
        if column in rows.schema:
            start_table(weight, known, rows, channel, column)


def start_table(weight: nn.Parameter, known: nets.Vocabulary, rows: PairFrame, key: str, column: str) -> None:
    """Let the rows of a channel's table start at its ids' vectors, as of the earliest window of ``rows``.

    Later windows' vectors have seen its labels. Vectors are brought to their principal components, the largest first:
    as many as the table is wide; what it is wider stays as it is. All of them are scaled alike, to ``SPREAD``. An item
    without a vector starts at the mean of those of its source, another id, and row 0, at zero: the mean of all.

    Raises ConfigError for a column that is no array of floats.
    """
    ids, vectors = _earliest(rows, key, column)
    if ids.is_empty():
        return
    reduced = EmbeddingTable("starts", vectors.shape[1])
    reduced.grow(ids, vectors)
    reduced = reduced.reduced(min(vectors.shape[1], weight.shape[1]))
    asked = reduced.rows(known.values)
    found = np.zeros((len(known) + 1, reduced.dim), dtype=np.float32)
    found[1:][asked >= 0] = reduced.read(asked[asked >= 0])
    if key == rows.item and rows.source is not None:
        _fill_by_source(found[1:], asked >= 0, known, rows)
    spread = float(found[1:][asked >= 0].std()) if (asked >= 0).any() else 0.0
    with torch.no_grad():
        weight[:, : reduced.dim] = torch.from_numpy(found * np.float32(SPREAD / spread if spread else 0))


def start_pair(
    weights: tuple[nn.Parameter, nn.Parameter],
    known: tuple[nets.Vocabulary, nets.Vocabulary],
    rows: PairFrame,
    columns: tuple[str, str],
) -> None:
    """Let the tables of users and of items start at vectors whose products tell something: both in one space.

    The last number of each row is left alone: it is no part of the product.
    Else as ``start_table``, but where both are of one width they are brought to the same components, those of the
    largest mean squares of both, and not to a mean of zero: products stay what they are, up to a factor. Ids without a
    vector, and row 0, start at the mean: of those of the same source if they are items, else of all. What tables are
    wider is made small: it would be noise in the products.
    """
    keys = rows.user, rows.item
    found = [_earliest(rows, key, column) for key, column in zip(keys, columns, strict=True)]
    if any(ids.is_empty() for ids, _ in found):
        return
    axes = _joint_axes([vectors for _, vectors in found], weights[0].shape[1] - 1)
    for key, (ids, vectors), weight, of, axis in zip(keys, found, weights, known, axes, strict=True):
        projected = vectors.astype(np.float64) @ axis
        own = pl.DataFrame({"id": ids, "at": np.arange(len(ids))})
        asked = of.values.cast(ids.dtype, strict=False).alias("id").to_frame()
        at = asked.join(own, on="id", how="left", maintain_order="left")["at"].fill_null(-1).to_numpy()
        table = np.tile(projected.mean(axis=0, keepdims=True), (len(of) + 1, 1)).astype(np.float32)
        table[1:][at >= 0] = projected[at[at >= 0]]
        if key == rows.item and rows.source is not None:
            _fill_by_source(table[1:], at >= 0, of, rows)
        spread = float(table[1:].std())
        with torch.no_grad():
            weight.mul_(REST)
            weight[:, : table.shape[1]] = torch.from_numpy(
                table * np.float32(SPREAD / spread if spread else 0)
            )


def _joint_axes(vectors: Sequence[Vectors], width: int) -> list[npt.NDArray[np.float64]]:
    """Directions that vectors of both sides are read along, (their width, at most ``width``), one matrix a side.

    Both sides count the same, whatever their number and their length. Of different widths there is no common space.
    """
    n = [x.shape[1] for x in vectors]
    if n[0] == n[1] <= width:
        return [np.eye(n[0])] * 2
    squares = [
        x.T.astype(np.float64) @ x / max(float(np.square(x, dtype=np.float64).sum()), 1e-30) for x in vectors
    ]
    joint = [squares[0] + squares[1]] * 2 if n[0] == n[1] else squares
    return [np.linalg.eigh(of)[1][:, ::-1][:, :width] for of in joint]


def _earliest(rows: PairFrame, key: str, column: str) -> tuple[pl.Series, Vectors]:
    """Distinct ids of the earliest window with a finite vector, and their vectors (n, width)."""
    return distinct_vectors(rows.take(pl.col("window") == pl.col("window").min()), key, column)


def distinct_vectors(rows: PairFrame, key: str, column: str) -> tuple[pl.Series, Vectors]:
    """Distinct ids with a finite vector, and the first vector of each (n, width)."""
    width = vector_width(column, rows.schema[column])
    table = pl.DataFrame({"id": rows.column(key), "vector": rows.column(column)}).drop_nulls()
    table = table.unique("id", keep="first", maintain_order=True)
    vectors = table["vector"].arr.explode(empty_as_null=True).cast(pl.Float32).to_numpy().reshape(-1, width)
    is_finite = np.isfinite(vectors).all(axis=1)
    return table["id"].filter(is_finite), vectors[is_finite]


def _fill_by_source(
    found: Vectors, is_known: npt.NDArray[np.bool_], known: nets.Vocabulary, rows: PairFrame
) -> None:
    """Put the mean of the vectors of a source in the place of those that its other items lack."""
    pairs = pl.DataFrame(
        {"item": known.rows(rows.column(rows.item)) - 1, "source": rows.column(rows.source or "")}
    )
    pairs = pairs.filter(pl.col("item") >= 0).drop_nulls().unique("item", keep="first", maintain_order=True)
    item, source = pairs["item"].to_numpy(), pairs["source"].rank("dense").to_numpy().astype(np.int64) - 1
    has = is_known[item]
    total = np.zeros((int(source.max(initial=-1)) + 1, found.shape[1]), dtype=np.float64)
    np.add.at(total, source[has], found[item[has]])
    count = np.bincount(source[has], minlength=len(total))
    fills = ~has & (count[source] > 0)
    found[item[fills]] = (total / np.maximum(count, 1)[:, None])[source[fills]]

"""The channel net: user, source and item embeddings beside the numeric features, one hidden layer, one output."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import polars as pl
from pydantic import Field

from engine import nets
from models import (
    FitContext,
    FitReport,
    Link,
    PairFrame,
    Start,
    fit_start,
    model,
    numbers_of,
    ranking,
    search_and_refit,
    start_column,
)

_Dim = Annotated[int, Field(ge=0, le=4096)]


@model("channel_net")
@dataclass(frozen=True)
class ChannelNet:
    """Embeddings of user, source and item concatenated with all features, one hidden layer, one output.

    The source (author, channel; release year or genre) carries most of the signal where items are many and rated
    rarely. Users, items and sources that the train rows lack share a row that is trained for them.
    """

    user_dim: Annotated[_Dim, Field(description="Width of the user's embedding; 0 leaves it out.")] = 100
    source_dim: Annotated[_Dim, Field(description="Width of the source's embedding; 0 leaves it out.")] = 80
    item_dim: Annotated[_Dim, Field(description="Width of the item's embedding; 0 leaves it out.")] = 20
    category_dim: Annotated[_Dim, Field(description="Width of each Enum feature's embedding.")] = 4
    hidden: Annotated[int, Field(ge=1, description="Units of the hidden layer.")] = 70
    loss: Annotated[
        Literal["pairwise", "mse", "bce"],
        Field(description="pairwise (logistic, within groups), mse or bce (on relevance scaled to 0..1)."),
    ] = "pairwise"
    start: Annotated[
        str,
        Field(
            description="The column that the net starts from, beside the layers and by a scale that is learned too. "
            '"auto" = the best one on the train rows by the metric, "" = none.'
        ),
    ] = "auto"
    user_start: Annotated[
        str,
        Field(
            description="A column of vectors, such as doc2vec_user_vector, that the users' embeddings start at: those "
            'as of the earliest train window. "" = at random.'
        ),
    ] = ""
    source_start: Annotated[str, Field(description="As user_start, for sources.")] = ""
    item_start: Annotated[
        str,
        Field(description="As user_start, for items; one without a vector starts at the mean of its source."),
    ] = ""
    opponents: Annotated[int, Field(ge=1, description="Pairs drawn for each row in the pairwise loss.")] = 8
    learning_rate: Annotated[float, Field(gt=0, description="Step of the layers (AdamW).")] = 0.001
    table_learning_rate: Annotated[float, Field(gt=0, description="Step of the embedding tables.")] = 0.0005
    table_rule: Annotated[
        Literal["adam", "row adagrad"], Field(description="How touched rows of tables are moved.")
    ] = "adam"
    weight_decay: Annotated[float, Field(ge=0, description="Decay of the layers' weights.")] = 0.01
    table_weight_decay: Annotated[
        float, Field(ge=0, description="L2 penalty on the embeddings of each batch.")
    ] = 0.001
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="Share of hidden units left out in training.")
    ] = 0.3
    id_dropout: Annotated[
        float, Field(ge=0, lt=1, description="Share of ids shown as unknown in training.")
    ] = 0.3
    batch_rows: Annotated[int, Field(ge=1, description="Rows of a batch, about: groups stay whole.")] = 512
    epochs: Annotated[int, Field(ge=1, description="Most epochs a fit may have.")] = 30
    patience: Annotated[
        int, Field(ge=1, description="Epochs without gain on the hold-out before it stops.")
    ] = 3
    holdout: Annotated[
        float,
        Field(ge=0, lt=1, description="Share of the last train window's users that stops the fit; 0 = none."),
    ] = 0.15
    refit: Annotated[
        bool,
        Field(description="After the hold-out told the epochs, train again on all rows: twice the time."),
    ] = False
    time_budget: Annotated[float | None, Field(gt=0, description="Seconds for a whole fit.")] = 120.0

    @property
    def also_needs(self) -> tuple[str, ...]:
        """Columns of vectors that tables start at."""
        names = (self.user_start, self.source_start, self.item_start)
        return tuple(dict.fromkeys(name for name in names if name))

    def fit(self, train: PairFrame, context: FitContext) -> ranking.FittedNet:
        """Train as many epochs as the context says, or as an inner hold-out of users tells."""
        train = train.in_order()
        relevance = train.relevance
        if len(np.unique(relevance)) < 2:
            return ranking.FittedNet(None, FitReport(0))
        start = start_column(train, self.start, context.metric)
        scale = float(relevance.min()), float(relevance.max())
        fit = _Fit(self, context, time.monotonic(), *scale, start)
        return search_and_refit(
            fit.train, train, context, most=self.epochs, holdout=self.holdout, refit=self.refit
        )


@dataclass(frozen=True)
class _Fit:
    """One fit: what stays the same between the search for the number of epochs and the refit.

    ``started``: monotonic seconds. ``lowest``, ``highest``: levels of relevance that become 0 and 1. ``start``: column
    to start from, or empty.
    """

    ranker: ChannelNet
    context: FitContext
    started: float
    lowest: float
    highest: float
    start: str = ""

    def train(
        self, rows: PairFrame, held: PairFrame | None, n_epochs: int, share: float
    ) -> ranking.FittedNet:
        """Train up to ``n_epochs`` on ``rows``, stopped by ``held`` and by this share of the time budget."""
        with nets.reproducible(self.context.seed, self.context.threads):
            net, encoder = self.begin(rows)
            scale = (self.lowest, self.highest)
            data = ranking.NetData.of(rows, encoder, *scale, self.context)
            held_data = None if held is None else ranking.NetData.of(held, encoder, *scale, self.context)
            report = ranking.train_net(net, data, held_data, self.training(n_epochs, share))
        return ranking.FittedNet(ranking.TrainedNet(net.double().eval(), encoder), report)

    def begin(self, rows: PairFrame) -> tuple[nets.ConcatNet, nets.Encoder]:
        """Make a net for these rows, and what turns them into its inputs."""
        widths = self.widths(rows)
        encoder = nets.Encoder.of(rows, tuple(widths), rows.numeric)
        shape = nets.NetShape(
            n_rows=[len(known) + 1 for known in encoder.channels.values()],
            n_dims=list(widths.values()),
            n_numbers=encoder.scaler.n_outputs,
            n_hidden=self.ranker.hidden,
            start=encoder.numeric.index(self.start) if self.start else None,
        )
        net = nets.ConcatNet(shape, self.ranker.dropout, self.ranker.id_dropout)
        tables = zip(encoder.channels.items(), net.tables.parameters(), strict=True)
        for (channel, known), weight in tables:
            column = self.starts(rows).get(channel, "")
            if column in rows.schema:  # it is not there where a fit is asked for without it
                ranking.start_table(weight, known, rows, channel, column)
        if self.start:
            begun = self.fit_start(rows)
            net.begin_at(begun.slope, begun.level)
        return net, encoder

    def starts(self, rows: PairFrame) -> dict[str, str]:
        """Column of vectors that each channel's table starts at; empty: at random."""
        ranker = self.ranker
        starts = {rows.user: ranker.user_start, rows.item: ranker.item_start}
        return starts if rows.source is None else {**starts, rows.source: ranker.source_start}

    def fit_start(self, rows: PairFrame) -> Start:
        """Where the learned scale of the start begins: a linear function of the column that suits the loss."""
        values = numbers_of(rows.column(self.start).cast(pl.Float32))
        labels = (rows.relevance - self.lowest) / (self.highest - self.lowest)
        link: Link = "pairwise" if self.ranker.loss == "pairwise" else "all rows"
        found = fit_start(self.start, values, labels, rows, link, self.context.seed)
        if self.ranker.loss != "bce":
            return found
        # What a line through labels of 0 and 1 is on the scale of log odds.
        share = min(max(float(np.average(labels, weights=rows.weight)), 0.01), 0.99)
        spread = share * (1 - share)
        return replace(found, slope=found.slope / spread, level=float(np.log(share / (1 - share))))

    def widths(self, rows: PairFrame) -> dict[str, int]:
        """Width of each channel's table: the keys, then the Enum features; channels of width 0 are left out."""
        ranker = self.ranker
        widths = {rows.user: ranker.user_dim, rows.item: ranker.item_dim}
        if rows.source is not None:
            widths[rows.source] = ranker.source_dim
        widths = dict.fromkeys(rows.categorical, ranker.category_dim) | widths
        return {name: width for name, width in widths.items() if width > 0}

    def training(self, n_epochs: int, share: float) -> ranking.Training:
        """Parameters of the training loop."""
        ranker = self.ranker
        return ranking.Training(
            loss=ranker.loss,
            epochs=n_epochs,
            patience=ranker.patience,
            batch_rows=ranker.batch_rows,
            n_opponents=ranker.opponents,
            rates=nets.Rates(
                ranker.learning_rate, ranker.table_learning_rate, ranker.weight_decay, ranker.table_rule
            ),
            table_weight_decay=ranker.table_weight_decay,
            seed=self.context.seed,
            until=None if ranker.time_budget is None else self.started + share * ranker.time_budget,
        )

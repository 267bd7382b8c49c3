"""The channel net: user, source and item embeddings beside the numeric features, one hidden layer, one output."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from engine import nets
from models import FitContext, FitReport, PairFrame, model, ranking, search_and_refit, start_column


@model("channel_net")
@dataclass(frozen=True)
class ChannelNet(ranking.NetParameters):
    """Embeddings of user, source and item concatenated with all features, one hidden layer, one output.

    The source (author, channel; release year or genre) carries most of the signal where items are many and rated
    rarely. Users, items and sources that the train rows lack share a row that is trained for them.
    """

    user_dim: Annotated[
        ranking.Width, Field(description="Width of the user's embedding; 0 leaves it out.")
    ] = 100
    source_dim: Annotated[
        ranking.Width, Field(description="Width of the source's embedding; 0 leaves it out.")
    ] = 80
    item_dim: Annotated[
        ranking.Width, Field(description="Width of the item's embedding; 0 leaves it out.")
    ] = 20
    category_dim: Annotated[ranking.Width, Field(description="Width of each Enum feature's embedding.")] = 4
    hidden: Annotated[int, Field(ge=1, description="Units of the hidden layer.")] = 70
    loss: ranking.Loss = "pairwise"
    table_learning_rate: ranking.TableRate = 0.0005
    table_rule: ranking.TableRule = "adam"
    dropout: Annotated[ranking.Share, Field(description="Share of hidden units left out in training.")] = 0.3
    epochs: ranking.Epochs = 30
    patience: ranking.Patience = 3

    def fit(self, train: PairFrame, context: FitContext) -> ranking.FittedNet:
        """Train as many epochs as the context says, or as an inner hold-out of users tells; once a seed."""
        rows = train.in_order()
        return ranking.averaged(self, context, lambda one, seeded: one.fit_once(rows, seeded))

    def fit_once(self, train: PairFrame, context: FitContext) -> ranking.FittedNet:
        """Fit under one seed, on sorted rows."""
        levels = np.unique(train.relevance)
        if len(levels) < 2:
            return ranking.FittedNet(None, FitReport(0))
        start = start_column(train, self.start, context.metric)
        fit = _Fit(self, context, time.monotonic(), float(levels[0]), float(levels[-1]), start)
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
            until = self.ranker.until(self.started, share)
            training = ranking.training_of(self.ranker, self.ranker.loss, self.context, n_epochs, until)
            report = ranking.train_net(net, data, held_data, training)
        return ranking.FittedNet(ranking.TrainedNet(net.double().eval(), encoder), report)

    def begin(self, rows: PairFrame) -> tuple[nets.ConcatNet, nets.Encoder]:
        """Make a net for these rows, and what turns them into its inputs."""
        ranker = self.ranker
        widths = ranking.widths_of(
            rows,
            user=ranker.user_dim,
            item=ranker.item_dim,
            source=ranker.source_dim,
            category=ranker.category_dim,
        )
        encoder = nets.Encoder.of(rows, tuple(widths), rows.numeric)
        shape = nets.NetShape(
            n_rows=[len(known) + 1 for known in encoder.channels.values()],
            n_dims=list(widths.values()),
            n_numbers=encoder.scaler.n_outputs,
            n_hidden=ranker.hidden,
            start=encoder.numeric.index(self.start) if self.start else None,
        )
        net = nets.ConcatNet(shape, ranker.dropout, ranker.id_dropout)
        ranking.start_tables(net.tables.parameters(), encoder, rows, ranker.starts(rows))
        if self.start:
            scale = (self.lowest, self.highest)
            begun = ranking.start_scores(rows, self.start, ranker.loss, *scale, self.context.seed)
            net.begin_at(begun.slope, begun.level)
        return net, encoder

"""The sequence net: a user's newest rows encoded once, and every candidate attends to them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import polars as pl
from pydantic import Field

from engine import nets
from models import (
    FitContext,
    FitReport,
    PairFrame,
    Scores,
    fit_start,
    model,
    numbers_of,
    ranking,
    search_and_refit,
    start_column,
)

_Dim = Annotated[int, Field(ge=1, le=4096)]
# Arrays that histories are read from, if they are there (see features/sequences.py), without the user's key that
# follows: ids of the channels, levels that have tables of their own, and numbers.
ITEMS, SOURCES = "last_items", "last_sources"
LEVELS, NUMBERS = ("last_relevances", "last_actions"), ("last_gaps", "last_watch_shares")


@model("sequence_net")
@dataclass(frozen=True)
class SequenceRanker:
    """Each candidate attends to the user's newest rows; embeddings and features beside that in hidden layers.

    A user's newest rows before the cutoff are encoded once a (window, user), by one causal block: of a transformer
    (SASRec, Kang & McAuley 2018) or of HSTU (Zhai et al. 2024, arXiv 2402.17152). Each candidate then attends to them
    once; what it finds, its product with the candidate, ids and numbers go through two hidden layers, after low-rank
    cross layers (DCN-v2, Wang et al. 2021) if there are any. Trained to rank what a user is shown, and beside that to
    tell levels of relevance and the next item of each history.
    """

    user_dim: Annotated[_Dim, Field(description="Width of the user's embedding.")] = 32
    source_dim: Annotated[_Dim, Field(description="Width of the source's embedding.")] = 32
    item_dim: Annotated[_Dim, Field(description="Width of the item's embedding.")] = 32
    category_dim: Annotated[_Dim, Field(description="Width of each Enum feature's embedding.")] = 4
    width: Annotated[int, Field(ge=2, description="Width of a place of a history; a multiple of heads.")] = 64
    heads: Annotated[int, Field(ge=1, description="Heads of the attention within histories.")] = 2
    blocks: Annotated[int, Field(ge=1, description="Blocks one after the other.")] = 1
    block: Annotated[
        Literal["softmax", "hstu"],
        Field(description="Attention by softmax, or pointwise by SiLU with a gate."),
    ] = "hstu"
    cross_rank: Annotated[int, Field(ge=1, description="Rank of the cross layers.")] = 32
    cross_layers: Annotated[int, Field(ge=0, description="Number of cross layers.")] = 0
    loss: Annotated[
        Literal["pairwise", "mse", "bce"],
        Field(description="pairwise (logistic, within groups), mse or bce (on relevance scaled to 0..1)."),
    ] = "pairwise"
    level_weight: Annotated[
        float, Field(ge=0, description="Weight of the cross-entropy of the level of relevance.")
    ] = 0.1
    next_weight: Annotated[
        float, Field(ge=0, description="Weight of the sampled softmax of each history's next item.")
    ] = 0.01
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
            description="A column of vectors that the users' embeddings start at: those as of the earliest train "
            'window. "" = at random.'
        ),
    ] = ""
    source_start: Annotated[str, Field(description="As user_start, for sources.")] = ""
    item_start: Annotated[
        str,
        Field(description="As user_start, for items; one without a vector starts at the mean of its source."),
    ] = ""
    opponents: Annotated[int, Field(ge=1, description="Pairs drawn for each row in the pairwise loss.")] = 8
    learning_rate: Annotated[float, Field(gt=0, description="Step of the layers (AdamW).")] = 0.001
    table_learning_rate: Annotated[float, Field(gt=0, description="Step of the embedding tables.")] = 0.001
    table_rule: Annotated[
        Literal["row adagrad", "adam"], Field(description="How touched rows of tables are moved.")
    ] = "row adagrad"
    weight_decay: Annotated[float, Field(ge=0, description="Decay of the layers' weights.")] = 0.01
    table_weight_decay: Annotated[
        float, Field(ge=0, description="L2 penalty on the embeddings of each batch.")
    ] = 0.001
    dropout: Annotated[
        float,
        Field(ge=0, lt=1, description="Share of what the cross layers give that is left out in training."),
    ] = 0.2
    id_dropout: Annotated[
        float, Field(ge=0, lt=1, description="Share of candidates' ids shown as unknown in training.")
    ] = 0.3
    batch_rows: Annotated[int, Field(ge=1, description="Rows of a batch, about: groups stay whole.")] = 512
    epochs: Annotated[int, Field(ge=1, description="Most epochs a fit may have.")] = 10
    patience: Annotated[
        int, Field(ge=1, description="Epochs without gain on the hold-out before it stops.")
    ] = 1
    holdout: Annotated[
        float,
        Field(ge=0, lt=1, description="Share of the last train window's users that stops the fit; 0 = none."),
    ] = 0.15
    refit: Annotated[
        bool,
        Field(description="After the hold-out told the epochs, train again on all rows: twice the time."),
    ] = False
    time_budget: Annotated[float | None, Field(gt=0, description="Seconds for a whole fit.")] = 120.0

    def __post_init__(self) -> None:
        """Refuse a width that the heads cannot share."""
        if self.width % self.heads:
            raise ValueError(f"width = {self.width} is no multiple of heads = {self.heads}")

    @property
    def also_needs(self) -> tuple[str, ...]:
        """Columns of vectors that tables start at."""
        names = (self.user_start, self.source_start, self.item_start)
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def also_reads(self) -> tuple[str, ...]:
        """Columns of histories, of those that the competition has."""
        return (ITEMS, SOURCES, *LEVELS, *NUMBERS)

    def fit(self, train: PairFrame, context: FitContext) -> ranking.FittedSequence:
        """Train as many epochs as the context says, or as an inner hold-out of users tells."""
        train = train.in_order()
        levels = np.unique(train.relevance)
        if len(levels) < 2:
            return ranking.FittedSequence(None, FitReport(0))
        start = start_column(train, self.start, context.metric)
        fit = _Fit(self, context, time.monotonic(), levels, start)
        return search_and_refit(
            fit.train, train, context, most=self.epochs, holdout=self.holdout, refit=self.refit
        )


@dataclass(frozen=True)
class _Fit:
    """One fit: what stays the same between the search for the number of epochs and the refit.

    ``started``: monotonic seconds. ``levels``: of relevance, sorted. ``start``: column to start from, or empty.
    """

    ranker: SequenceRanker
    context: FitContext
    started: float
    levels: Scores
    start: str = ""

    def train(
        self, rows: PairFrame, held: PairFrame | None, n_epochs: int, share: float
    ) -> ranking.FittedSequence:
        """Train up to ``n_epochs`` on ``rows``, stopped by ``held`` and by this share of the time budget."""
        with nets.reproducible(self.context.seed, self.context.threads):
            encoder, past = self.encoders(rows)
            net = self.begin(rows, encoder, past)
            data, held_data = (
                None
                if frame is None
                else ranking.SequenceData.read(frame, encoder, past, self.levels, self.context)
                for frame in (rows, held)
            )
            assert data is not None
            report = ranking.train_net(net, data, held_data, self.training(n_epochs, share))
        return ranking.FittedSequence(ranking.TrainedSequence(net.double().eval(), encoder, past), report)

    def encoders(self, rows: PairFrame) -> tuple[nets.Encoder, nets.HistoryEncoder]:
        """What turns pairs and histories into inputs: items and sources of both have one vocabulary each."""
        encoder = nets.Encoder.of(rows, tuple(self.widths(rows)), rows.numeric)
        there = [name for name in self.named(rows, self.ranker.also_reads) if name in rows.schema]
        arrays = ranking.arrays_of(rows, there)
        channels, ids = dict(encoder.channels), {}
        for name, channel in self.shared(rows).items():
            if name in arrays:
                met = arrays[name].arr.explode(empty_as_null=True).cast(channels[channel].values.dtype)
                channels[channel] = ids[name] = nets.Vocabulary.of(pl.concat([channels[channel].values, met]))
        levels, numeric = (
            [name for name in self.named(rows, names) if name in arrays] for names in (LEVELS, NUMBERS)
        )
        ids |= {name: nets.Vocabulary.of(arrays[name].arr.explode(empty_as_null=True)) for name in levels}
        encoder = nets.Encoder(channels, encoder.numeric, encoder.scaler)
        return encoder, nets.HistoryEncoder.of(arrays, ids, numeric)

    def begin(self, rows: PairFrame, encoder: nets.Encoder, past: nets.HistoryEncoder) -> nets.SequenceNet:
        """Make a net for these rows."""
        ranker, widths, channels = self.ranker, self.widths(rows), list(encoder.channels)
        shared = self.shared(rows)
        shape = nets.SequenceShape(
            n_rows=[len(known) + 1 for known in encoder.channels.values()],
            n_dims=[widths[name] for name in channels],
            n_numbers=encoder.scaler.n_outputs,
            length=past.length,
            shared=[channels.index(shared[name]) if name in shared else -1 for name in past.ids],
            history_rows=[len(known) + 1 for known in past.ids.values()],
            n_history_numbers=past.n_numbers,
            query=[channels.index(name) for name in dict.fromkeys(shared.values())],
            n_levels=len(self.levels),
            width=ranker.width,
            heads=ranker.heads,
            n_blocks=ranker.blocks,
            block=ranker.block,
            rank=ranker.cross_rank,
            n_crosses=ranker.cross_layers,
            start=encoder.numeric.index(self.start) if self.start else None,
        )
        net = nets.SequenceNet(shape, ranker.dropout, ranker.id_dropout)
        for (channel, known), weight in zip(encoder.channels.items(), net.tables.parameters(), strict=True):
            column = self.starts(rows).get(channel, "")
            if column in rows.schema:
                ranking.start_table(weight, known, rows, channel, column)
        if self.start:
            values = numbers_of(rows.column(self.start).cast(pl.Float32))
            labels = (rows.relevance - self.levels[0]) / (self.levels[-1] - self.levels[0])
            begun = fit_start(self.start, values, labels, rows, "pairwise", self.context.seed)
            net.begin_at(begun.slope, begun.level)
        return net

    def named(self, rows: PairFrame, names: Sequence[str]) -> list[str]:
        """Names of a user's columns."""
        return [f"{name}__{rows.user}" for name in names]

    def shared(self, rows: PairFrame) -> dict[str, str]:
        """Channel whose table each column of ids reads."""
        items, sources = self.named(rows, (ITEMS, SOURCES))
        return {items: rows.item} if rows.source is None else {items: rows.item, sources: rows.source}

    def starts(self, rows: PairFrame) -> Mapping[str, str]:
        """Column of vectors that each channel's table starts at; empty: at random."""
        starts = {rows.user: self.ranker.user_start, rows.item: self.ranker.item_start}
        return starts if rows.source is None else {**starts, rows.source: self.ranker.source_start}

    def widths(self, rows: PairFrame) -> dict[str, int]:
        """Width of each channel's table: Enum features and the keys."""
        widths = dict.fromkeys(rows.categorical, self.ranker.category_dim)
        widths |= {rows.user: self.ranker.user_dim, rows.item: self.ranker.item_dim}
        return widths if rows.source is None else {**widths, rows.source: self.ranker.source_dim}

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
                ranker.learning_rate,
                ranker.table_learning_rate,
                ranker.weight_decay,
                ranker.table_rule,
                is_fused=True,
            ),
            table_weight_decay=ranker.table_weight_decay,
            seed=self.context.seed,
            until=None if ranker.time_budget is None else self.started + share * ranker.time_budget,
            more=(ranker.level_weight, ranker.next_weight),
        )

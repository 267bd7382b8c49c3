"""The sequence net: a user's newest rows encoded once, and every candidate attends to them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from engine import nets
from models import FitContext, FitReport, PairFrame, Scores, model, ranking, search_and_refit, start_column

TRANSITION_ROWS = 200  # of a user that transitions are learned from
AUTO = "taste_item_vector"  # that they are learned over, unless another column is named
_Dim = Annotated[int, Field(ge=1, le=4096)]


@model("sequence_net")
@dataclass(frozen=True)
class SequenceRanker(ranking.NetParameters):
    """Each candidate attends to the user's newest rows; embeddings and features beside that in hidden layers.

    A user's newest rows before the cutoff are encoded once a (window, user), by one causal block: of a transformer
    (SASRec, Kang & McAuley 2018) or of HSTU (Zhai et al. 2024, arXiv 2402.17152). Each candidate then attends to them
    once; what it finds, its product with the candidate, ids and numbers go through two hidden layers, after low-rank
    cross layers (DCN-v2, Wang et al. 2021) if there are any. Trained to rank what a user is shown, and beside that to
    tell levels of relevance and the next item of each history. With ``transitions`` pairs get a number of how well
    their item follows what was liked last, too, learned beforehand (``models/ranking/transitions.py``).

    A place of a history is what is known of the row: item, source, relevance, actions, gap and share watched, and with
    ``content`` the item's vector, as it is of the candidate, too: so items that nobody has seen are told apart. With
    ``time_bias`` HSTU weighs rows by the time between them.
    """

    user_dim: Annotated[_Dim, Field(description="Width of the user's embedding.")] = 32
    source_dim: Annotated[_Dim, Field(description="Width of the source's embedding.")] = 32
    item_dim: Annotated[_Dim, Field(description="Width of the item's embedding.")] = 32
    category_dim: Annotated[_Dim, Field(description="Width of each Enum feature's embedding.")] = 4
    width: Annotated[int, Field(ge=2, description="Width of a place of a history; a multiple of heads.")] = 64
    length: Annotated[
        Literal[20, 50, 200], Field(description="Newest rows of a user that their history has.")
    ] = 20
    shuffled: Annotated[
        bool,
        Field(
            description="Whether all of a user's rows are shuffled first: to see what order is worth; length 20 or 200."
        ),
    ] = False
    heads: Annotated[int, Field(ge=1, description="Heads of the attention within histories.")] = 2
    blocks: Annotated[int, Field(ge=1, description="Blocks one after the other.")] = 1
    block: Annotated[
        Literal["softmax", "hstu"],
        Field(description="Attention by softmax, or pointwise by SiLU with a gate."),
    ] = "hstu"
    time_bias: Annotated[
        bool,
        Field(
            description="Whether hstu weighs a row by the time between it and a later one, too, beside the rows "
            "between them; where the log has a clock's gaps."
        ),
    ] = False
    content: Annotated[
        bool,
        Field(
            description="Whether items' vectors (item_content) are read of candidates and of the rows of histories, "
            "where the competition has them."
        ),
    ] = False
    transitions: Annotated[
        str,
        Field(
            description="Column of items' vectors over which is learned what goes with what was liked last, from the "
            'newest 200 rows of users; pairs get a number of it. "auto" = taste_item_vector, if it is there; "" = none.'
        ),
    ] = "auto"
    cross_rank: Annotated[int, Field(ge=1, description="Rank of the cross layers.")] = 32
    cross_layers: Annotated[int, Field(ge=0, description="Number of cross layers.")] = 0
    loss: ranking.Loss = "pairwise"
    level_weight: Annotated[
        float, Field(ge=0, description="Weight of the cross-entropy of the level of relevance.")
    ] = 0.1
    next_weight: Annotated[
        float, Field(ge=0, description="Weight of the sampled softmax of each history's next item.")
    ] = 0.01
    dropout: Annotated[
        ranking.Share,
        Field(description="Share of what the cross layers give that is left out in training."),
    ] = 0.2
    id_dropout: Annotated[
        ranking.Share, Field(description="Share of candidates' ids shown as unknown in training.")
    ] = 0.3

    seeds: ranking.Seeds = 3
    time_budget: ranking.TimeBudget = 360.0

    def __post_init__(self) -> None:
        """Refuse a width that the heads cannot share, and what no array is made of."""
        if self.shuffled and self.length == 50:
            raise ValueError("shuffled = true with length = 50: shuffled histories have 20 or 200 rows")
        if self.width % self.heads:
            raise ValueError(f"width = {self.width} is no multiple of heads = {self.heads}")

    @property
    def history(self) -> ranking.HistoryRows:
        """Which rows its histories have."""
        return ranking.HistoryRows(self.length, self.shuffled)

    @property
    def also_needs(self) -> tuple[str, ...]:
        """Columns of vectors that tables start at or that transitions are learned over."""
        named = [] if self.transitions in ("", "auto") else [self.transitions]
        return tuple(dict.fromkeys([*super().also_needs, *named]))

    @property
    def also_reads(self) -> tuple[str, ...]:
        """Columns of histories and contents, of those that the competition has."""
        vectors = [self.history.named(ranking.CONTENTS), ranking.CONTENT] if self.content else []
        longer = map(self._transition_rows.named, ranking.TRANSITION_ARRAYS) if self.transitions else ()
        auto = [AUTO] if self.transitions == "auto" else []
        return tuple(dict.fromkeys((*map(self.history.named, ranking.HISTORIES), *vectors, *longer, *auto)))

    @property
    def _transition_rows(self) -> ranking.HistoryRows:
        return ranking.HistoryRows(TRANSITION_ROWS, self.shuffled)

    def fit(self, train: PairFrame, context: FitContext) -> ranking.FittedSequence:
        """Train as many epochs as the context says, or as an inner hold-out of users tells; once a seed."""
        rows, led = train.in_order(), None
        if self.transitions:
            column = AUTO if self.transitions == "auto" else self.transitions
            led = ranking.Transitions.fit(rows, self._transition_rows, column)
        if led is not None:
            rows = led.added(rows)
        return ranking.averaged(self, context, lambda one, seeded: one.fit_once(rows, seeded, led))

    def fit_once(
        self, train: PairFrame, context: FitContext, led: ranking.Transitions | None = None
    ) -> ranking.FittedSequence:
        """Fit under one seed, on sorted rows that have the number of the transitions, if there are any."""
        levels = np.unique(train.relevance)
        if len(levels) < 2:
            return ranking.FittedSequence(None, FitReport(0))
        start = start_column(train, self.start, context.metric)
        fit = _Fit(self, context, time.monotonic(), levels, start, led)
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
    led: ranking.Transitions | None = None

    def train(
        self, rows: PairFrame, held: PairFrame | None, n_epochs: int, share: float
    ) -> ranking.FittedSequence:
        """Train up to ``n_epochs`` on ``rows``, stopped by ``held`` and by this share of the time budget."""
        with nets.reproducible(self.context.seed, self.context.threads):
            widths = self.widths(rows)
            encoder = nets.Encoder.of(rows, tuple(widths), rows.numeric)
            has_times = self.ranker.time_bias and self.ranker.block == "hstu"
            content = ranking.content_encoder(rows) if self.ranker.content else None
            encoder, past = ranking.with_histories(
                encoder, rows, self.ranker.history, has_times=has_times, content=content
            )
            net = self.begin(rows, widths, encoder, past, content)
            data, held_data = (
                None
                if frame is None
                else ranking.SequenceData.read(frame, encoder, past, self.levels, self.context, content)
                for frame in (rows, held)
            )
            assert data is not None
            training = ranking.training_of(
                self.ranker,
                self.ranker.loss,
                self.context,
                n_epochs,
                self.ranker.until(self.started, share),
                more=(self.ranker.level_weight, self.ranker.next_weight),
                is_fused=True,
            )
            report = ranking.train_net(net, data, held_data, training)
        trained = ranking.TrainedSequence(net.double().eval(), encoder, past, content, self.led)
        return ranking.FittedSequence(trained, report)

    def begin(
        self,
        rows: PairFrame,
        widths: dict[str, int],
        encoder: nets.Encoder,
        past: nets.HistoryEncoder,
        content: nets.Encoder | None,
    ) -> nets.SequenceNet:
        """Make a net for these rows."""
        ranker, channels = self.ranker, list(encoder.channels)
        shared = ranking.shared_channels(rows, ranker.history)
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
            has_times=past.gaps is not None,
            n_vector=0 if content is None else content.scaler.n_outputs,
        )
        net = nets.SequenceNet(shape, ranker.dropout, ranker.id_dropout)
        ranking.start_tables(net.tables.parameters(), encoder, rows, ranker.starts(rows))
        if self.start:
            scale = (float(self.levels[0]), float(self.levels[-1]))
            begun = ranking.start_scores(rows, self.start, "pairwise", *scale, self.context.seed)
            net.begin_at(begun.slope, begun.level)
        return net

    def widths(self, rows: PairFrame) -> dict[str, int]:
        """Width of each channel's table."""
        ranker = self.ranker
        return ranking.widths_of(
            rows,
            user=ranker.user_dim,
            item=ranker.item_dim,
            source=ranker.source_dim,
            category=ranker.category_dim,
        )

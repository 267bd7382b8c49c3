"""Fits, trains and applies nets of two towers."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine import nets
from models._holdout import search_and_refit
from models._pair_frame import PairFrame, Scores
from models._ranker import FitContext, FitReport, read_json, write_json
from models._start import numbers_of, start_column
from models.ranking.losses import Batch, Groups, Index, NetLoss, loss_of
from models.ranking.parameters import TowersParameters, training_of
from models.ranking.starts import fit_scores, start_pair, start_tables
from models.ranking.tower_inputs import TowersEncoder, TowersRows
from models.ranking.trained import FittedNet, Trained, averaged
from models.ranking.training import Training, train_net
from validation import hit_rate_at_k

_BATCH = 65_536  # rows that go through the net at a time
TowersLoss = Literal["any positive", "pairwise", "mse", "bce"]


@dataclass(frozen=True)
class Blocks:
    """What a net of two towers has beside towers and product.

    ``cross_layers``, ``cross_rank``: feature crossing in both towers. ``has_context``: histories in the left one.
    ``softmax_weight``: of the in-batch sampled softmax. ``hits``: the k of HITS@k that the report tells.
    """

    loss: TowersLoss = "pairwise"
    cross_layers: int = 0
    cross_rank: int = 16
    has_context: bool = False
    softmax_weight: float = 0.0
    hits: tuple[int, ...] = ()


@dataclass(frozen=True)
class TowersData:
    """Encoded pairs, sorted by group.

    ``relevance``: what the loss is told, in [0, 1]. ``is_good``: Boolean (n,), relevance above 0. ``frequency``: share
    of each row of the items' table among the good ones of the train rows. ``weight``: None if all count the same.
    """

    encoded: TowersRows
    relevance: Tensor
    is_good: Tensor
    frequency: Tensor
    weight: Tensor | None
    groups: Groups

    @classmethod
    def read(
        cls, frame: PairFrame, encoder: TowersEncoder, labels: Scores, context: FitContext, n_items: int
    ) -> TowersData:
        """Encode a sorted frame; ``labels`` (n_pairs,) in [0, 1]."""
        encoded = encoder.rows(frame, context)
        is_good = torch.from_numpy(frame.relevance > 0)
        weight = torch.from_numpy(frame.weight.astype(np.float32)) if frame.has_weights else None
        times = None if weight is None else weight[is_good]
        count = torch.bincount(encoded.right[is_good, 0], times, minlength=n_items).float()
        return cls(
            encoded,
            torch.from_numpy(labels.astype(np.float32)),
            is_good,
            count / count.sum().clamp(min=1),
            weight,
            Groups.of(frame.group_ids),
        )

    @property
    def n_rows(self) -> int:
        """Number of pairs."""
        return len(self.relevance)

    @property
    def eval_rows(self) -> int:
        """Rows of a batch when no gradients are kept."""
        return _BATCH

    def loss(self, net: Any, batch: Batch, training: Training) -> tuple[Tensor, Tensor, Tensor]:
        """Loss of a batch, that of what the net is trained for beside it, and the square length of embeddings."""
        inputs = self.encoded.inputs(batch.rows)
        said = net.say(inputs)
        rows = torch.from_numpy(batch.rows)
        weight, more = None if self.weight is None else self.weight[rows], torch.zeros(())
        scores = net.scores(said, inputs)
        # A mean and a weighted mean round differently, and weights of one shall change nothing.
        ones = torch.ones_like(scores) if training.loss != "pairwise" and weight is None else weight
        loss = loss_of(training.loss, scores, self.relevance[rows], torch.from_numpy(batch.opponents), ones)
        if net.training and training.more and training.more[0]:
            softmax = net.softmax_loss(said, inputs, self.is_good[rows], self.frequency, weight)
            more = training.more[0] * softmax
        return loss, more, said.squares


def fit_towers(
    ranker: TowersParameters, train: PairFrame, context: FitContext, blocks: Blocks
) -> FittedTowers:
    """Train as many epochs as the context says, or as an inner hold-out of users tells; once a seed."""
    rows = train.in_order()
    return averaged(ranker, context, lambda one, seeded: _fit_once(one, rows, seeded, blocks))


def _fit_once(
    ranker: TowersParameters, train: PairFrame, context: FitContext, blocks: Blocks
) -> FittedTowers:
    levels = np.unique(train.relevance)
    if len(levels) < 2:
        return FittedTowers(None, FitReport(0))
    start = start_column(train, ranker.start, context.metric)
    fit = _Fit(replace(ranker, start=start), blocks, context, time.monotonic(), levels)
    return search_and_refit(
        fit.train, train, context, most=ranker.epochs, holdout=ranker.holdout, refit=ranker.refit
    )


@dataclass(frozen=True)
class _Fit:
    """One fit: what stays the same between the search for the number of epochs and the refit.

    ``ranker``: with the name of the column that it starts from. ``levels``: of relevance, sorted.
    """

    ranker: TowersParameters
    blocks: Blocks
    context: FitContext
    started: float
    levels: Scores

    def train(self, rows: PairFrame, held: PairFrame | None, n_epochs: int, share: float) -> FittedTowers:
        """Train up to ``n_epochs`` on ``rows``, stopped by ``held`` and by this share of the time budget."""
        with nets.reproducible(self.context.seed, self.context.threads):
            encoder = TowersEncoder.of(rows, self.ranker, has_context=self.blocks.has_context)
            net = self.begin(rows, encoder)
            n_items = net.shape.right.n_rows[0]
            data, held_data = (
                None
                if frame is None
                else TowersData.read(frame, encoder, self.labels(frame), self.context, n_items)
                for frame in (rows, held)
            )
            assert data is not None
            self.start(net, encoder, rows, data)
            until = self.ranker.until(self.started, share)
            training = training_of(
                self.ranker, self.loss, self.context, n_epochs, until,
                more=(self.blocks.softmax_weight,), is_fused=True,
            )  # fmt: skip
            report = train_net(net, data, held_data, training)
            notes = {} if held_data is None or held is None else self.hits(net, held_data, held)
        report = replace(report, loss=self.blocks.loss, notes={**report.notes, **notes})
        return FittedTowers(TrainedTowers(net.double().eval(), encoder), report)

    @property
    def loss(self) -> NetLoss:
        """The loss as it is computed from labels."""
        return "bce" if self.blocks.loss == "any positive" else self.blocks.loss

    def labels(self, rows: PairFrame) -> Scores:
        """What the loss is told of each pair, in [0, 1]."""
        if self.blocks.loss == "any positive":
            return (rows.relevance > 0).astype(np.float64)
        scaled: Scores = (rows.relevance - self.levels[0]) / (self.levels[-1] - self.levels[0])
        return scaled

    def begin(self, rows: PairFrame, encoder: TowersEncoder) -> nets.TowersNet:
        """Make a net for what the encoder gives."""
        ranker = self.ranker
        widths = {rows.user: ranker.width + 1, rows.item: ranker.width + 1, rows.source: ranker.source_dim}
        of_left, of_right = (
            nets.TowerShape(
                [len(known) + 1 for known in of.channels.values()],
                [widths.get(name, ranker.category_dim) for name in of.channels],
                of.scaler.n_outputs,
            )
            for of in (encoder.left, encoder.right)
        )
        shape = nets.TowersShape(
            of_left,
            of_right,
            width=ranker.width,
            n_hidden=ranker.hidden,
            n_crosses=self.blocks.cross_layers,
            rank=self.blocks.cross_rank,
            n_beside=encoder.beside.scaler.n_outputs,
            context=encoder.context_shape(),
            start=encoder.beside.numeric.index(ranker.start) if ranker.start else None,
        )
        return nets.TowersNet(shape, ranker.dropout, ranker.id_dropout)

    def start(self, net: nets.TowersNet, encoder: TowersEncoder, rows: PairFrame, data: TowersData) -> None:
        """Let the tables start at vectors, and the score where the product and the start column best tell labels."""
        starts = dict(self.ranker.starts(rows))
        of_left, of_right = (list(t.parameters()) for t in (net.left_tables, net.right_tables))
        both = starts[rows.user], starts[rows.item]
        if all(column in rows.schema for column in both):
            known = next(iter(encoder.left.channels.values())), next(iter(encoder.right.channels.values()))
            start_pair((of_left[0], of_right[0]), known, rows, both)
            starts[rows.user] = starts[rows.item] = ""
            if not self.ranker.start:
                self.scale(net, rows, data)
        start_tables(of_left, encoder.left, rows, starts)
        start_tables(of_right, encoder.right, rows, starts)
        for table in (of_left[0], of_right[0]):
            table.data[:, -1] = 0  # offsets
        if self.ranker.start:
            values = numbers_of(rows.column(self.ranker.start).cast(pl.Float32))
            begun = fit_scores(rows, values, self.loss, self.labels(rows), self.context.seed)
            net.begin_at(begun.slope, begun.level)

    @torch.no_grad()
    def scale(self, net: nets.TowersNet, rows: PairFrame, data: TowersData) -> None:
        """Let the product of the vectors count for what it tells of the train rows."""
        net.train(False)
        product = net_scores(net, data.encoded, data.n_rows)
        begun = fit_scores(rows, product, self.loss, self.labels(rows), self.context.seed)
        if begun.slope > 0 and np.isfinite(begun.std):
            net.scale.fill_(begun.slope / begun.std)
            net.level.fill_(begun.level - begun.slope * begun.mean / begun.std)

    def hits(self, net: nets.TowersNet, data: TowersData, held: PairFrame) -> dict[str, float]:
        """HITS@k on the hold-out: share of the groups with a good pair that have one among their first k."""
        if not self.blocks.hits:
            return {}
        net.train(False)
        scores, relevance = net_scores(net, data.encoded, data.n_rows), held.relevance
        found = {k: hit_rate_at_k(held.group_ids, relevance, scores, k=k) for k in self.blocks.hits}
        return {f"hits@{k}": float(of.mean()) for k, of in found.items() if np.isfinite(of.value).any()}


@torch.no_grad()
def net_scores(net: nets.TowersNet, encoded: TowersRows, n_rows: int, *, is_double: bool = False) -> Scores:
    """Score encoded pairs: Float64 (n_rows,), rounded to Float32."""
    scores = np.empty(n_rows, dtype=np.float32)
    for lo in range(0, n_rows, _BATCH):
        taken: Index = np.arange(lo, min(lo + _BATCH, n_rows))
        inputs = encoded.inputs(taken)
        scores[taken] = net(inputs.double() if is_double else inputs).float().numpy()
    return scores.astype(np.float64)


@dataclass(frozen=True)
class TrainedTowers:
    """A net of two towers in Float64, in evaluation mode, and what turns frames into its inputs."""

    net: nets.TowersNet
    encoder: TowersEncoder

    def scores(self, frame: PairFrame) -> Scores:
        """Score every pair, Float64 (n_pairs,), the same alone as in bulk: see ``TrainedNet.scores``."""
        parts = (
            net_scores(self.net, self.encoder.rows(chunk), chunk.height, is_double=True)
            for chunk in frame.chunks()
        )
        return np.concatenate([*parts, np.empty(0)])

    def save(self, folder: Path) -> None:
        """Write ``net.safetensors`` (Float32), ``shape.json`` and the encoders."""
        write_json(folder / "shape.json", self.net.shape)
        save_file({k: v.float() for k, v in self.net.state_dict().items()}, folder / "net.safetensors")
        self.encoder.save(folder)

    @classmethod
    def load(cls, folder: Path) -> TrainedTowers:
        """Read what ``save`` wrote."""
        shape = read_json(folder / "shape.json", nets.TowersShape)
        net = nets.TowersNet.of(shape, load_file(folder / "net.safetensors"))
        return cls(net.double().eval(), TowersEncoder.load(folder))


@dataclass(frozen=True)
class FittedTowers(FittedNet):
    """A trained net of two towers, or the constant 0 if the train rows had one level of relevance."""

    @staticmethod
    def _read(folder: Path) -> Trained:
        return TrainedTowers.load(folder)

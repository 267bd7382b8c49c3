"""Trains a net by whole groups."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from engine import nets
from models._pair_frame import PairFrame
from models._ranker import FitContext, FitReport
from models.ranking.losses import Batch, Groups, Index, NetLoss, loss_of


class RankingNet(Protocol):
    """What a training asks of a net. ``start``: the number that it starts from, None = none."""

    start: int | None

    def tables_and_layers(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Parameters with sparse gradients, and the others."""
        ...

    def train(self, mode: bool = True) -> object:
        """Switch dropout on, or off."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Give the state."""
        ...

    def load_state_dict(self, state: Mapping[str, Any], /) -> object:
        """Go back to a state."""
        ...


class RankingData(Protocol):
    """What a training asks of its data: pairs sorted by group."""

    @property
    def groups(self) -> Groups:
        """The groups of the pairs."""
        ...

    @property
    def n_rows(self) -> int:
        """Number of pairs."""
        ...

    @property
    def eval_rows(self) -> int:
        """Rows of a batch when no gradients are kept."""
        ...

    def loss(self, net: Any, batch: Batch, training: Training) -> tuple[Tensor, Tensor, Tensor]:
        """Loss of a batch, that of what the net is trained for beside it, and the mean square of embeddings."""
        ...


@dataclass(frozen=True)
class NetData:
    """Encoded pairs, sorted by group. ``relevance`` is scaled to [0, 1] by the levels of the whole train frame.

    ``weight``: None if every pair counts the same.
    """

    rows: Tensor
    numbers: nets.NumberRows
    relevance: Tensor
    weight: Tensor | None
    groups: Groups

    @classmethod
    def of(
        cls, frame: PairFrame, encoder: nets.Encoder, lowest: float, highest: float, context: FitContext
    ) -> NetData:
        """Encode a sorted frame; if its numbers are many, they go to a file in the context's scratch folder."""
        scaled = (frame.relevance - lowest) / (highest - lowest)
        weight = torch.from_numpy(frame.weight.astype(np.float32)) if frame.has_weights else None
        return cls(
            torch.from_numpy(encoder.rows(frame)),
            encoder.numbers(frame, context.scratch, context.scratch_from_bytes),
            torch.from_numpy(scaled.astype(np.float32)),
            weight,
            Groups.of(frame.group_ids),
        )

    @property
    def n_rows(self) -> int:
        """Number of pairs."""
        return len(self.rows)

    @property
    def eval_rows(self) -> int:
        """Rows of a batch when no gradients are kept."""
        return 65_536

    def loss(self, net: Any, batch: Batch, training: Training) -> tuple[Tensor, Tensor, Tensor]:
        """Loss of a batch, that of what the net is trained for beside it, and the mean square of embeddings."""
        rows = torch.from_numpy(batch.rows)
        embedded = net.embed(self.rows[rows])
        scores, more = self.scored(net, embedded, batch.rows, training)
        weight = None if self.weight is None else self.weight[rows]
        opponents = torch.from_numpy(batch.opponents)
        loss = loss_of(training.loss, scores, self.relevance[rows], opponents, weight)
        return loss, more, embedded.square().sum(dim=1).mean()

    def scored(self, net: Any, embedded: Tensor, rows: Index, training: Training) -> tuple[Tensor, Tensor]:
        """Scores of rows, and the loss of what else the net is trained for; ``training`` has its weight."""
        return net(embedded, torch.from_numpy(self.numbers(rows))), torch.zeros(())


@dataclass(frozen=True)
class Training:
    """How to train. ``until``: monotonic seconds at which it must end, None = no limit.

    ``more``: weights of what else the net is trained for, if it is. ``later_tables``: what tables do after the first
    epoch, in which ids overfit: learn on, begin each epoch where they began (Liu et al. 2023, arXiv 2305.19531), or
    stay as they are.
    """

    loss: NetLoss
    epochs: int
    patience: int
    batch_rows: int
    n_opponents: int
    rates: nets.Rates
    table_weight_decay: float
    seed: int
    until: float | None = None
    more: tuple[float, ...] = ()
    later_tables: Literal["learn", "start anew", "stay"] = "learn"


def train_net(net: RankingNet, data: RankingData, held: RankingData | None, training: Training) -> FitReport:
    """Train ``net`` in place; with a hold-out it ends as it was after its best epoch.

    Shuffling and opponents come from ``training.seed``, dropout from torch's generator, which the caller seeds. The
    report's training loss is the mean over the rows of the last epoch that the net has seen, while it was trained and
    so with dropout; None if no epoch was finished.
    """
    rng = np.random.default_rng(training.seed)
    step = nets.Stepper(*net.tables_and_layers(), training.rates, training.later_tables)

    def epoch() -> float | None:
        step.begin_epoch()
        return _train_epoch(net, data, rng, step, training)

    course = nets.train_until(
        net,
        epoch,
        None if held is None else lambda: holdout_loss(net, held, training),
        epochs=training.epochs,
        patience=training.patience,
        may_be_best=net.start is not None,
    )
    step.release()
    notes = {"holdout_loss": course.holdout_loss, "n_holdout_rows": float(held.n_rows)} if held else {}
    n_done, last = max(course.n_epochs, 1), course.training_loss
    return FitReport(n_done, course.stopped_by, notes=notes, training_loss=last, loss=training.loss)


@torch.no_grad()
def holdout_loss(net: RankingNet, held: RankingData, training: Training) -> float:
    """Loss on the hold-out, always over the same drawn pairs."""
    net.train(False)
    rng, total, n = np.random.default_rng(training.seed), 0.0, 0
    for batch in held.groups.batches(held.eval_rows, 4 * training.n_opponents, rng):
        loss, *_ = held.loss(net, batch, training)
        total, n = total + float(loss) * len(batch.rows), n + len(batch.rows)
    return total / max(n, 1)


def _train_epoch(
    net: RankingNet,
    data: RankingData,
    rng: np.random.Generator,
    step: Callable[[Tensor], None],
    training: Training,
) -> float | None:
    """Train one epoch and return the mean loss over its rows; None if the time ran out before its end."""
    net.train()
    total, n = 0.0, 0
    for batch in data.groups.batches(training.batch_rows, training.n_opponents, rng):
        if training.until is not None and time.monotonic() > training.until:
            return None
        loss, more, squares = data.loss(net, batch, training)
        # The penalty reads the batch's rows only: decaying a whole table at each step would cost its size.
        step(loss + more + training.table_weight_decay * squares)
        total, n = total + float(loss.detach()) * len(batch.rows), n + len(batch.rows)
    return total / max(n, 1)

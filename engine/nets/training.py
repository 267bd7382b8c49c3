"""Trains a net epoch by epoch until a hold-out turns, the epochs are used up, or the time is over."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Course:
    """How a training went.

    ``n_epochs``: those that the net has learned from. ``stopped_by``: what ended it. ``training_loss``: of the last of
    them, None if there is none. ``holdout_loss``: the least one, NaN if there is none.
    """

    n_epochs: int
    stopped_by: Literal["iterations", "time budget", "hold-out"]
    training_loss: float | None
    holdout_loss: float


@dataclass(frozen=True)
class Rates:
    """Steps of the layers (AdamW, with its weight decay) and of the tables.

    ``rule``: how the rows of tables that were touched move, by Adam or by ``RowAdagrad``. ``is_fused``: whether layers
    move in one pass over their numbers, which is faster and rounds otherwise.
    """

    layers: float
    tables: float
    weight_decay: float
    rule: Literal["adam", "row adagrad"] = "adam"
    is_fused: bool = False


class Trainable(Protocol):
    """What a training changes, as a state to keep and to go back to: a module of torch, for example."""

    def state_dict(self) -> dict[str, Any]:
        """Give the state."""
        ...

    def load_state_dict(self, state: Mapping[str, Any], /) -> object:
        """Go back to a state."""
        ...


def train_until(
    net: Trainable,
    epoch: Callable[[], float | None],
    holdout: Callable[[], float] | None,
    *,
    epochs: int,
    patience: int,
    may_be_best: bool = False,
) -> Course:
    """Train ``net`` in place; with a hold-out it ends as it was after its best epoch.

    Parameters
    ----------
    epoch
        Trains one epoch and gives its mean loss; None if the time ran out before its end.
    holdout
        Gives the loss on rows that are held out.
    epochs, patience
        Epochs at most, and without gain on the hold-out before it ends.
    may_be_best
        Whether the net as it is given may be the best.
    """
    stopped_by: Literal["iterations", "time budget", "hold-out"] = "iterations"
    n_done, best_loss, best_epoch, best_state = 0, float("inf"), 0, None
    course: list[float] = []
    if holdout is not None and may_be_best:
        best_loss, best_state = holdout(), copy.deepcopy(net.state_dict())
    for number in range(1, epochs + 1):
        training_loss = epoch()
        if training_loss is None:
            stopped_by = "time budget"
            break
        course.append(training_loss)
        n_done = number
        if holdout is None:
            continue
        loss = holdout()
        if loss < best_loss:
            best_loss, best_epoch, best_state = loss, number, copy.deepcopy(net.state_dict())
        elif number - best_epoch >= patience:
            stopped_by = "hold-out"
            break
    if best_state is not None:
        net.load_state_dict(best_state)
        n_done, course = best_epoch, course[:best_epoch]
    held_loss = float("nan") if best_state is None else best_loss
    return Course(n_done, stopped_by, course[-1] if course else None, held_loss)


class RowAdagrad(torch.optim.Optimizer):
    """Adagrad with one number a row, for tables with sparse gradients: only rows that were touched cost and move.

    ``a_i += mean(g_i^2)`` and ``x_i -= rate g_i / (sqrt(a_i) + 1e-10)`` for row i with gradient g_i: the diagonal of
    Duchi et al. 2011, averaged over a row, as in FBGEMM's row-wise Adagrad (Mudigere et al. 2022, arXiv 2104.05158).
    """

    def __init__(self, tables: Sequence[nn.Parameter], rate: float) -> None:
        super().__init__(tables, {"rate": rate})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move the rows of every table that has a gradient."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is None:
                    continue
                gradient = table.grad.coalesce()
                rows, values = gradient.indices()[0], gradient.values()
                state = self.state[table]
                if not state:
                    state["squares"] = torch.zeros(len(table))
                squares = state["squares"][rows] + values.square().mean(dim=1)
                state["squares"][rows] = squares
                table.index_add_(0, rows, values * (-group["rate"] / (squares.sqrt() + 1e-10))[:, None])


class Stepper:
    """Takes losses and moves parameters: the layers, and of the tables the rows that were touched.

    ``later_tables``: what tables do from the second epoch on: learn, start anew each epoch from where they began, with
    fresh states of their optimiser, or stay as they are.
    """

    def __init__(
        self,
        tables: Sequence[nn.Parameter],
        layers: Sequence[nn.Parameter],
        rates: Rates,
        later_tables: Literal["learn", "start anew", "stay"] = "learn",
    ) -> None:
        self._tables, self._later, self._n_epochs = list(tables), later_tables, 0
        self._optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                layers, lr=rates.layers, weight_decay=rates.weight_decay, fused=rates.is_fused or None
            )
        ]
        if self._tables:
            by_adam = rates.rule == "adam"
            self._optimizers.append(
                torch.optim.SparseAdam(self._tables, lr=rates.tables)
                if by_adam
                else RowAdagrad(self._tables, rates.tables)
            )
        starts_anew = later_tables == "start anew"
        self._begun = [table.detach().clone() for table in self._tables] if starts_anew else []

    def __call__(self, loss: Tensor) -> None:
        """Move the parameters by the gradients of a loss."""
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in self._optimizers:
            optimizer.step()

    @torch.no_grad()
    def begin_epoch(self) -> None:
        """Do with the tables what is done from the second epoch on."""
        self._n_epochs += 1
        if self._n_epochs == 1 or not self._tables:
            return
        for table, begun in zip(self._tables, self._begun, strict=False):
            table.copy_(begun)
        if self._begun:
            self._optimizers[1].state.clear()
        if self._later == "stay":
            for table in self._tables:
                table.requires_grad_(False)

    def release(self) -> None:
        """Let tables that stayed be learned again."""
        for table in self._tables:
            table.requires_grad_(True)

"""Trains a net epoch by epoch until a hold-out turns, the epochs are used up, or the time is over."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw


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


class FusedAdamW:
    """AdamW of layers in one pass over their numbers, by torch's function.

    What ``torch.optim.AdamW`` does around it at each step costs more than the pass does where layers are small.
    """

    def __init__(self, layers: Sequence[nn.Parameter], rates: Rates) -> None:
        self._rates = rates
        # Beside each layer the means of its gradients and of their squares, and how often it has moved.
        self._layers = [(x, torch.zeros_like(x), torch.zeros_like(x), torch.zeros(())) for x in layers]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for layer, *_ in self._layers:
            layer.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every layer that has a gradient."""
        moved = [(x, x.grad, *state) for x, *state in self._layers if x.grad is not None]
        layers, gradients, means, squares, n_steps = ([one[i] for one in moved] for i in range(5))
        adamw(
            layers, gradients, means, squares, [], n_steps, fused=True, amsgrad=False, maximize=False,
            beta1=0.9, beta2=0.999, lr=self._rates.layers, weight_decay=self._rates.weight_decay, eps=1e-8,
        )  # fmt: skip


class RowAdagrad:
    """Adagrad with one number a row, for tables with sparse gradients: only rows that were touched cost and move.

    ``a_i += mean(g_i^2)`` and ``x_i -= rate g_i / (sqrt(a_i) + 1e-10)`` for row i with gradient g_i: the diagonal of
    Duchi et al. 2011, averaged over a row, as in FBGEMM's row-wise Adagrad (Mudigere et al. 2022, arXiv 2104.05158).
    """

    def __init__(self, tables: Sequence[nn.Parameter], rate: float) -> None:
        self._tables, self._rate = list(tables), rate
        self.state: dict[nn.Parameter, Tensor] = {}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for table in self._tables:
            table.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move the rows of every table that has a gradient."""
        for table in self._tables:
            if table.grad is None:
                continue
            if table not in self.state:
                self.state[table] = table.new_zeros(len(table))
            squares, gradient = self.state[table], table.grad.coalesce()
            rows, values = gradient.indices()[0], gradient.values()
            squares.index_add_(
                0, rows, torch.linalg.vecdot(values, values), alpha=1 / max(values.shape[1], 1)
            )
            factors = squares.index_select(0, rows).sqrt_().add_(1e-10).reciprocal_().mul_(-self._rate)
            table.index_add_(0, rows, values * factors[:, None])


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
        self._of_layers = (
            FusedAdamW(layers, rates)
            if rates.is_fused
            else torch.optim.AdamW(layers, lr=rates.layers, weight_decay=rates.weight_decay)
        )
        of_tables = torch.optim.SparseAdam if rates.rule == "adam" else RowAdagrad
        self._of_tables = of_tables(self._tables, rates.tables) if self._tables else None
        starts_anew = later_tables == "start anew"
        self._begun = [table.detach().clone() for table in self._tables] if starts_anew else []

    def __call__(self, loss: Tensor) -> None:
        """Move the parameters by the gradients of a loss."""
        optimizers = (self._of_layers, self._of_tables) if self._of_tables else (self._of_layers,)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()

    @torch.no_grad()
    def begin_epoch(self) -> None:
        """Do with the tables what is done from the second epoch on."""
        self._n_epochs += 1
        if self._n_epochs == 1 or self._of_tables is None:
            return
        for table, begun in zip(self._tables, self._begun, strict=False):
            table.copy_(begun)
        if self._begun:
            self._of_tables.state.clear()
        if self._later == "stay":
            for table in self._tables:
                table.requires_grad_(False)

    def release(self) -> None:
        """Let tables that stayed be learned again."""
        for table in self._tables:
            table.requires_grad_(True)

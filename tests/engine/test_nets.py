"""What nets are made of, without a word of what they are for."""

from __future__ import annotations

from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.nets import Course, Encoder, Rates, RowsInFile, Stepper, gather_rows, train_until


@given(st.lists(st.integers(0, 59), max_size=40), st.integers(1, 9), st.integers(1, 4))
def test_rows_in_a_file_are_the_rows(rows: list[int], n_columns: int, panel: int) -> None:
    numbers = np.random.default_rng(1).normal(size=(60, n_columns)).astype(np.float32)
    stored = gather_rows(iter(numbers.T), 60, n_columns, Path(gettempdir()), panel)
    assert isinstance(stored, RowsInFile)
    np.testing.assert_array_equal(stored(np.array(rows, dtype=np.int64)), numbers[rows])


class Rows:
    """A frame in memory."""

    def __init__(self, **columns: pl.Series) -> None:
        self.table = pl.DataFrame(columns)
        self.height = self.table.height

    def column(self, name: str) -> pl.Series:
        """One column."""
        return self.table[name]


def test_an_encoder_gives_the_same_after_it_was_saved(tmp_path: Path) -> None:
    ids = pl.Series(["b", "a", None, "b"])
    rows = Rows(id=ids, x=pl.Series([1.0, 3.0, None, 5.0]), flat=pl.Series([2, 2, 2, 2]))
    encoder = Encoder.of(rows, ["id"], ["x", "flat"])
    assert encoder.rows(rows)[:, 0].tolist() == [2, 1, 0, 2]
    numbers = encoder.numbers(rows)(np.arange(4))
    sd = np.std([1.0, 3.0, 5.0])
    expected = np.transpose([[-2 / sd, 0, 0, 2 / sd], [0, 0, 0, 0], [0, 0, 1, 0]])
    np.testing.assert_allclose(numbers, expected, rtol=1e-6)
    encoder.save(tmp_path)
    loaded = Encoder.load(tmp_path)
    np.testing.assert_array_equal(loaded.numbers(rows)(np.arange(4)), numbers)
    assert loaded.rows(Rows(id=pl.Series(["c", "a"])))[:, 0].tolist() == [0, 1]


def trained(
    held: list[float], *, epochs: int = 9, patience: int = 2, last: int = 99, start: bool = False
) -> tuple[int, Course]:
    """Train a net that counts its epochs; its hold-out loses so much before the first epoch, after it, and so on."""
    net, done = torch.nn.Linear(1, 1, bias=False), [0]
    torch.nn.init.zeros_(net.weight)

    def epoch() -> float | None:
        if done[0] == last:
            return None
        done[0] += 1
        with torch.no_grad():
            net.weight += 1
        return 1 / done[0]

    holdout = (lambda: held[int(net.weight)]) if held else None
    course = train_until(net, epoch, holdout, epochs=epochs, patience=patience, may_be_best=start)
    return int(net.weight), course


@pytest.mark.parametrize(
    ("held", "kwargs", "kept", "stopped_by", "loss"),
    [
        ([9, 5, 4, 6, 6, 6], {}, 2, "hold-out", 4.0),
        ([3, 5, 4, 6, 6, 6], {"start": True}, 0, "hold-out", 3.0),
        ([3, 5, 4, 6, 6, 6], {}, 2, "hold-out", 4.0),
        ([9, 5, 4, 6, 6, 6], {"epochs": 3}, 2, "iterations", 4.0),
        ([9, 5, 4, 6, 6, 6], {"last": 1}, 1, "time budget", 5.0),
        ([], {"epochs": 3}, 3, "iterations", float("nan")),
    ],
)
def test_a_net_is_left_as_after_its_best_epoch(
    held: list[float], kwargs: dict[str, Any], kept: int, stopped_by: str, loss: float
) -> None:
    weight, course = trained(held, **kwargs)
    assert (weight, course.stopped_by, course.n_epochs) == (kept, stopped_by, kept)
    assert course.training_loss == (1 / kept if kept else None)
    assert course.holdout_loss == pytest.approx(loss, nan_ok=True)


def test_a_step_moves_the_rows_of_a_table_that_were_touched() -> None:
    table = torch.nn.Embedding(5, 2, sparse=True)
    before = table.weight.detach().clone()
    step = Stepper([*table.parameters()], [torch.nn.Parameter(torch.zeros(1))], Rates(0.1, 0.1, 0.0))
    step(table(torch.tensor([1, 3])).sum())
    moved = (table.weight != before).any(dim=1).tolist()
    assert moved == [False, True, False, True, False]


@pytest.mark.parametrize("rule", ["adam", "row adagrad"])
def test_tables_may_start_anew_each_epoch_or_stay_after_the_first(rule: Any) -> None:
    """The same steps from the same start, or none; layers learn on, and tables can be learned again in the end."""

    def course(later: Any) -> list[tuple[float, float]]:
        torch.manual_seed(3)
        table, layer = torch.nn.Embedding(2, 1, sparse=True), torch.nn.Parameter(torch.ones(1))
        weights = list(table.parameters())
        step, seen = Stepper(weights, [layer], Rates(0.1, 0.1, 0.0, rule), later), []
        for _ in range(3):
            step.begin_epoch()
            for _ in range(2):
                step((table(torch.tensor([1])) * 2 + layer * 3).sum())
            seen.append((float(table.weight[1].detach()), float(layer.detach())))
        step.release()
        assert table.weight.requires_grad
        return seen

    learning, anew, staying = (course(later) for later in ("learn", "start anew", "stay"))
    assert len({table for table, _ in learning}) == 3
    assert len({table for table, _ in anew}) == 1
    assert len({table for table, _ in staying}) == 1
    assert anew[0] == staying[0] == learning[0]
    assert [layer for _, layer in anew] == [layer for _, layer in staying] == [layer for _, layer in learning]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_fused_layers_move_as_by_the_optimizer_of_torch(weight_decay: float) -> None:
    """The same numbers, bit for bit; a layer that a loss does not read stays, and so does its state."""
    torch.manual_seed(5)
    start = [torch.randn(4, 3), torch.randn(3), torch.randn(1)]
    ours, theirs = ([torch.nn.Parameter(x.clone()) for x in start] for _ in range(2))
    step = Stepper([], ours, Rates(0.05, 0.1, weight_decay, is_fused=True))
    optimizer = torch.optim.AdamW(theirs, lr=0.05, weight_decay=weight_decay, fused=True)

    def loss_of(layers: list[torch.nn.Parameter], x: torch.Tensor, is_last_read: bool) -> torch.Tensor:
        loss = (x @ layers[0] + layers[1]).square().mean()
        return loss + layers[2].sum() if is_last_read else loss

    for number in range(6):
        x, is_last_read = torch.randn(5, 4), number % 3 != 1
        step(loss_of(ours, x, is_last_read))
        optimizer.zero_grad()
        loss_of(theirs, x, is_last_read).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        for own, other in zip(ours, theirs, strict=True):
            assert torch.equal(own, other)
    assert all((own != x).all() for own, x in zip(ours, start, strict=True))


def test_a_step_whose_loss_reads_no_layer_moves_the_tables_alone() -> None:
    table, layer = torch.nn.Embedding(2, 1, sparse=True), torch.nn.Parameter(torch.ones(1))
    before = table.weight.detach().clone()
    Stepper([*table.parameters()], [layer], Rates(0.1, 0.1, 0.0, "row adagrad", is_fused=True))(
        table(torch.tensor([1])).sum()
    )
    assert layer == 1
    assert (table.weight != before).flatten().tolist() == [False, True]


def test_tables_that_are_added_up_move_alike_by_a_step_of_one_row() -> None:
    """Their gradients are one tensor then, which no step may change for the next one."""
    tables = [torch.nn.Embedding(3, 2, sparse=True) for _ in range(2)]
    weights = [w for table in tables for w in table.parameters()]
    before = [w.detach().clone() for w in weights]
    step = Stepper(
        weights, [torch.nn.Parameter(torch.zeros(1))], Rates(0.1, 0.1, 0.0, "row adagrad", is_fused=True)
    )
    gradient = torch.tensor([2.0, 3.0])
    step((sum(table(torch.tensor([1])) for table in tables) * gradient).sum())
    moved = -0.1 * gradient / 6.5**0.5  # rate, and root of the mean square
    for weight, start in zip(weights, before, strict=True):
        torch.testing.assert_close(weight - start, torch.stack([0 * moved, moved, 0 * moved]))


@pytest.mark.parametrize("rule", ["adam", "row adagrad"])
def test_a_table_of_no_width_is_stepped_over(rule: Any) -> None:
    """A width of 0 leaves a channel out."""
    table, layer = torch.nn.Embedding(4, 0, sparse=True), torch.nn.Linear(1, 1)
    before = layer.weight.detach().clone()
    x = torch.cat([table(torch.tensor([1, 1, 3])), torch.ones(3, 1)], dim=1)
    Stepper([*table.parameters()], [*layer.parameters()], Rates(0.1, 0.1, 0.0, rule))(layer(x).sum())
    assert not torch.equal(layer.weight, before)

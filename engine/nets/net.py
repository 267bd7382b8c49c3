"""Embeddings and numbers side by side, one hidden layer, one output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class NetShape:
    """Sizes of a net.

    ``n_rows``, ``n_dims``: rows and width of each channel's table; row 0 stands for everything unknown.
    ``n_numbers``, ``n_hidden``: width of the numeric input and of the hidden layer. ``start``: which of the numbers is
    added to the score beside the layers, by a learned scale; None = none.
    """

    n_rows: Sequence[int]
    n_dims: Sequence[int]
    n_numbers: int
    n_hidden: int
    start: int | None = None


class ConcatNet(nn.Module):
    """Scores rows of data from rows of embedding tables and numbers.

    Parameters
    ----------
    shape
        Sizes of the tables and layers.
    dropout
        Share of the hidden units that is left out in training.
    id_dropout
        Share of the rows that is replaced by row 0 in training, so that row 0 learns what to say of the unknown.
    """

    def __init__(self, shape: NetShape, dropout: float = 0.0, id_dropout: float = 0.0) -> None:
        super().__init__()
        self.shape, self.dropout, self.id_dropout = shape, dropout, id_dropout
        # Sparse gradients: an update touches the rows of the batch, whatever the size of the table.
        self.tables = nn.ModuleList(
            nn.Embedding(n, d, sparse=True) for n, d in zip(shape.n_rows, shape.n_dims, strict=True)
        )
        for table in self.tables.parameters():
            nn.init.normal_(table, std=0.01)
        self.hidden = nn.Linear(sum(shape.n_dims) + shape.n_numbers, shape.n_hidden)
        self.output = nn.Linear(shape.n_hidden, 1)
        self.start = shape.start
        if shape.start is not None:
            self.skip = nn.Parameter(torch.zeros(1))

    @classmethod
    def of(cls, shape: NetShape, state: Mapping[str, Tensor]) -> ConcatNet:
        """Net with these parameters, without drawing any from torch's generator."""
        with torch.device("meta"):
            net = cls(shape)
        net.load_state_dict(dict(state), assign=True)
        return net

    def embed(self, rows: Tensor) -> Tensor:
        """Embeddings of the channels side by side: (n, n_channels) -> (n, sum of widths)."""
        if not self.tables:
            return self.output.weight.new_zeros((len(rows), 0))
        if self.training and self.id_dropout > 0:
            rows = rows.masked_fill(torch.rand(rows.shape) < self.id_dropout, 0)
        return torch.cat([table(rows[:, i]) for i, table in enumerate(self.tables)], dim=1)

    def forward(self, embedded: Tensor, numbers: Tensor) -> Tensor:
        """Scores (n,) of embedded channels (n, sum of widths) and numbers (n, n_numbers)."""
        hidden = torch.relu(self.hidden(torch.cat([embedded, numbers], dim=1)))
        hidden = nn.functional.dropout(hidden, self.dropout, training=self.training)
        scores: Tensor = self.output(hidden).squeeze(1)
        return scores if self.start is None else scores + self.skip * numbers[:, self.start]

    def tables_and_layers(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Parameters with sparse gradients, and the others."""
        tables = list(self.tables.parameters())
        skip = [] if self.start is None else [self.skip]
        return tables, [*self.hidden.parameters(), *self.output.parameters(), *skip]

    @torch.no_grad()
    def begin_at(self, slope: float, level: float) -> None:
        """Score by the start alone, ``level + slope * number``: what the layers add begins at zero."""
        self.output.weight.zero_()
        self.output.bias.fill_(level)
        self.skip.fill_(slope)


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """Seed torch, fix its threads and its algorithms for the time of the block; all are put back afterwards.

    Of what strict algorithms do, memory that is not written yet is not filled: nothing reads it, and it costs a pass.
    """
    threads_before, strict_before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    fills_before = memory.fill_uninitialized_memory
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        memory.fill_uninitialized_memory = False
        try:
            yield
        finally:
            memory.fill_uninitialized_memory = fills_before
            torch.set_num_threads(threads_before)
            torch.use_deterministic_algorithms(strict_before)

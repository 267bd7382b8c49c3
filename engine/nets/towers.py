"""Two towers and the product of what they say; beside it, if wanted, numbers of a pair that no tower sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.nets.histories import Histories
from engine.nets.sequence import CrossLayers

SPREAD = 0.1  # root mean square of the numbers of tables at the start


@dataclass(frozen=True)
class TowerShape:
    """What a tower reads.

    ``n_rows``, ``n_dims``: rows and width of each channel's table; row 0 stands for everything unknown. The first
    channel is added to what the tower says: as wide as the vector, and one number for the offset, which starts at zero.
    """

    n_rows: Sequence[int]
    n_dims: Sequence[int]
    n_numbers: int = 0


@dataclass(frozen=True)
class ContextShape:
    """Sizes of histories: as in ``SequenceShape``; ``shared`` are channels of the right tower."""

    length: int
    shared: Sequence[int]
    n_rows: Sequence[int]
    n_numbers: int
    dim: int = 8


@dataclass(frozen=True)
class TowersShape:
    """Sizes of a net of two towers.

    ``n_beside``: numbers of a pair that count beside the product, by a hidden layer of ``n_hidden_beside``. ``width``:
    of what both say. ``n_crosses``: low-rank cross layers over the inputs of each. ``context``: histories that the
    left one reads; None = none. ``start``: which of the numbers beside is added by a learned scale; None = none.
    """

    left: TowerShape
    right: TowerShape
    width: int
    n_hidden: int = 64
    n_crosses: int = 0
    rank: int = 16
    n_beside: int = 0
    n_hidden_beside: int = 32
    context: ContextShape | None = None
    start: int | None = None


@dataclass(frozen=True)
class TowersInputs:
    """What the net reads of ``n`` pairs of ``g`` groups.

    ``left``, ``right``: rows of tables, Int64 (g, n_channels) and (n, n_channels). ``left_numbers``,
    ``right_numbers``, ``beside``: Float32 (g, ...), (n, ...), (n, ...). ``group``: Int64 (n,), that of each pair.
    """

    left: Tensor
    left_numbers: Tensor
    right: Tensor
    right_numbers: Tensor
    beside: Tensor
    group: Tensor
    histories: Histories | None = None

    def double(self) -> TowersInputs:
        """Numbers as Float64."""
        histories = None if self.histories is None else self.histories.double()
        numbers = (self.left_numbers.double(), self.right_numbers.double(), self.beside.double())
        return TowersInputs(self.left, numbers[0], self.right, numbers[1], numbers[2], self.group, histories)


@dataclass(frozen=True)
class Said:
    """What the towers say: vectors (g, width) and (n, width), offsets (g,) and (n,), and the embeddings."""

    left: Tensor
    left_offset: Tensor
    right: Tensor
    right_offset: Tensor
    embedded: tuple[Tensor, ...]

    @property
    def squares(self) -> Tensor:
        """Mean square length of what was embedded, of both sides together."""
        return sum((x.square().sum() / len(x) for x in self.embedded), start=self.left.new_zeros(()))


class Tower(nn.Module):
    """Cross layers, one hidden layer, a vector and an offset; what they add to the first channel begins at zero."""

    def __init__(self, n_inputs: int, shape: TowersShape) -> None:
        super().__init__()
        self.width = shape.width
        self.cross = CrossLayers(n_inputs, shape.rank, shape.n_crosses)
        self.hidden, self.output = (
            nn.Linear(n_inputs, shape.n_hidden),
            nn.Linear(shape.n_hidden, shape.width + 1),
        )
        if not self.output.weight.is_meta:
            nn.init.orthogonal_(self.hidden.weight)
            for parameter in (self.hidden.bias, *self.output.parameters()):
                nn.init.zeros_(parameter)

    def forward(self, inputs: list[Tensor], dropout: float) -> tuple[Tensor, Tensor]:
        """Inputs (n, ...), side by side (n, n_inputs), -> (n, width) and (n,); the first input is added to both."""
        hidden = torch.relu(self.hidden(self.cross(torch.cat(inputs, dim=1))))
        hidden = functional.dropout(hidden, dropout, training=self.training)
        # Parts of a split have one gradient together; slices would each have one of all columns.
        vectors, offsets = (inputs[0] + self.output(hidden)).split([self.width, 1], dim=1)
        return vectors, offsets.squeeze(1)


class Pooling(nn.Module):
    """A history as one vector: its places weighed by what they hold and by how far back they are."""

    def __init__(self, n_inputs: int, width: int, length: int) -> None:
        super().__init__()
        self.token, self.weight = nn.Linear(max(n_inputs, 1), width), nn.Linear(width, 1)
        self.place = nn.Parameter(torch.zeros(length))

    def forward(self, x: Tensor, is_there: Tensor) -> Tensor:
        """(g, length, n_inputs) and Boolean (g, length) -> (g, width); zeros where nothing is there."""
        tokens = torch.relu(self.token(x))
        logits = self.weight(tokens).squeeze(2) + self.place
        weight = logits.masked_fill(~is_there, -1e9).softmax(dim=1) * is_there
        found: Tensor = (weight[:, None] @ tokens).squeeze(1)
        return found


class TowersNet(nn.Module):
    """Scores pairs by the product of two vectors, offsets, and numbers beside that.

    The left tower is asked once a group, whatever the number of its pairs. Tables start as orthogonal as their sizes
    let them (Saxe et al. 2014), at one spread, with the unknown at zero.

    Parameters
    ----------
    shape
        Sizes.
    dropout, id_dropout
        As of ``ConcatNet``.
    """

    def __init__(self, shape: TowersShape, dropout: float = 0.0, id_dropout: float = 0.0) -> None:
        super().__init__()
        self.shape, self.dropout, self.id_dropout, self.start = shape, dropout, id_dropout, shape.start
        self.left_tables, self.right_tables = (_tables(t.n_rows, t.n_dims) for t in (shape.left, shape.right))
        for tables in (self.left_tables, self.right_tables):
            table = next(tables.parameters())
            if not table.is_meta:
                table.data[:, -1] = 0
        context, width = shape.context, shape.width
        own = [] if context is None else [
            n for n, at in zip(context.n_rows, context.shared, strict=True) if at < 0
        ]  # fmt: skip
        self.own = _tables(own, [0 if context is None else context.dim] * len(own))
        if context is not None:
            dims = [shape.right.n_dims[at] if at >= 0 else context.dim for at in context.shared]
            self.pooling = Pooling(sum(dims) + context.n_numbers, width, context.length)
        more = 0 if context is None else width
        self.left = Tower(sum(shape.left.n_dims) + shape.left.n_numbers + more, shape)
        self.right = Tower(sum(shape.right.n_dims) + shape.right.n_numbers, shape)
        self.scale, self.level = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))
        if shape.n_beside:
            self.beside = nn.Sequential(
                nn.Linear(shape.n_beside, shape.n_hidden_beside),
                nn.ReLU(),
                nn.Linear(shape.n_hidden_beside, 1),
            )
        if shape.start is not None:
            self.skip = nn.Parameter(torch.zeros(1))

    @classmethod
    def of(cls, shape: TowersShape, state: Mapping[str, Tensor]) -> TowersNet:
        """Net with these parameters, without drawing any from torch's generator."""
        with torch.device("meta"):
            net = cls(shape)
        net.load_state_dict(dict(state), assign=True)
        return net

    def say(self, inputs: TowersInputs) -> Said:
        """Ask both towers."""
        left, right = (
            self._embed(tables, rows)
            for tables, rows in ((self.left_tables, inputs.left), (self.right_tables, inputs.right))
        )
        more = []
        if self.shape.context is not None and inputs.histories is not None:
            more.append(self._context(self.shape.context, inputs.histories))
        of_left, left_offset = self.left([*left, inputs.left_numbers, *more], self.dropout)
        of_right, right_offset = self.right([*right, inputs.right_numbers], self.dropout)
        return Said(of_left, left_offset, of_right, right_offset, (*left, *right))

    def forward(self, inputs: TowersInputs) -> Tensor:
        """Scores (n,)."""
        return self.scores(self.say(inputs), inputs)

    def scores(self, said: Said, inputs: TowersInputs) -> Tensor:
        """Scores (n,) of what both said."""
        left, offset = (of.index_select(0, inputs.group) for of in (said.left, said.left_offset))
        scores = self.scale * (left * said.right).sum(dim=1) + offset + said.right_offset + self.level
        if self.shape.n_beside:
            scores = scores + self.beside(inputs.beside).squeeze(1)
        return scores if self.start is None else scores + self.skip * inputs.beside[:, self.start]

    def softmax_loss(
        self, said: Said, inputs: TowersInputs, is_good: Tensor, frequency: Tensor, weight: Tensor | None
    ) -> Tensor:
        """Sampled softmax over the right sides of all good pairs of the batch, of which one is a good pair's own.

        Corrected by how likely each is among them (logQ, Yi et al. 2019); other good ones of the pair's own group are
        left out. Numbers beside the product are not there for pairs that nobody saw, so they take no part.

        Parameters
        ----------
        is_good
            Boolean (n,).
        frequency
            Share of each row of the first right table among all good pairs: (n_rows,).
        weight
            (n,), how many pairs each one stands for; None = 1.
        """
        at = is_good.nonzero().squeeze(1)
        if len(at) < 2:
            return said.left.new_zeros(())
        rows, own = torch.unique(inputs.right[at, 0], return_inverse=True)
        first = torch.empty_like(rows).index_copy_(0, own.flip(0), at.flip(0))
        group = inputs.group[at]
        logits = self.scale * (said.left[group] @ said.right[first].mT) + said.right_offset[first]
        share = frequency[rows].clamp(1e-9, 1 - 1e-6)
        logits = logits - (-torch.expm1(len(at) * torch.log1p(-share))).log()
        liked = torch.zeros(len(said.left), len(rows), dtype=torch.bool)
        liked[group, own] = True
        others = liked[group]
        others[torch.arange(len(at)), own] = False
        losses = functional.cross_entropy(logits.masked_fill(others, -torch.inf), own, reduction="none")
        # With ones in the place of no weights, so that weights of one round the same.
        times = torch.ones_like(losses) if weight is None else weight[at]
        return (losses * times).sum() / times.sum()

    def tables_and_layers(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Parameters with sparse gradients, and the others."""
        tables = [p for of in (self.left_tables, self.right_tables, self.own) for p in of.parameters()]
        sparse = {id(table) for table in tables}
        return tables, [p for p in self.parameters() if id(p) not in sparse]

    @torch.no_grad()
    def begin_at(self, slope: float, level: float) -> None:
        """Let the start alone, ``level + slope * number``, be what the product and the towers add to."""
        self.skip.fill_(slope)
        self.level.fill_(level)
        if self.shape.n_beside:
            for parameter in self.beside[2].parameters():
                nn.init.zeros_(parameter)

    def _embed(self, tables: nn.ModuleList, rows: Tensor) -> list[Tensor]:
        if self.training and self.id_dropout > 0:
            rows = rows.masked_fill(torch.rand(rows.shape) < self.id_dropout, 0)
        return [table(of) for table, of in zip(tables, rows.unbind(1), strict=True)]

    def _context(self, shape: ContextShape, histories: Histories) -> Tensor:
        own = iter(self.own)
        parts = [
            (self.right_tables[at] if at >= 0 else next(own))(histories.rows[:, :, i])
            for i, at in enumerate(shape.shared)
        ]
        found: Tensor = self.pooling(torch.cat([*parts, histories.numbers], dim=2), histories.is_there)
        return found


def _tables(n_rows: Sequence[int], n_dims: Sequence[int]) -> nn.ModuleList:
    tables = nn.ModuleList(nn.Embedding(n, d, sparse=True) for n, d in zip(n_rows, n_dims, strict=True))
    for table in tables.parameters():
        if not table.is_meta:
            begin_orthogonal(table)
    return tables


@torch.no_grad()
def begin_orthogonal(table: nn.Parameter, spread: float = SPREAD) -> None:
    """Make the columns of a table orthogonal, its numbers of this root mean square, and row 0 zero."""
    table[0] = 0
    if table[1:].numel():
        nn.init.orthogonal_(table[1:])
        table[1:] *= spread / table[1:].square().mean().sqrt()

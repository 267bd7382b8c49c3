"""A net that reads histories: each encoded once, then every candidate attends to that of its group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.nets.histories import Histories

N_TIMES = 64  # buckets of the time between two places: unknown, then powers of two
_MOST_PADDING = 4  # rows of the largest group for each group, to the rows that there are

BlockKind = Literal["softmax", "hstu"]


@dataclass(frozen=True)
class SequenceShape:
    """Sizes of a sequence net.

    ``n_rows``, ``n_dims``: rows and width of each channel's table; row 0 stands for everything unknown. ``shared``: of
    each id of a place the channel whose table it reads, or -1: it has its own, ``history_rows`` rows of
    ``history_dim``. ``query``: channels of a candidate that ask the history. ``n_levels``: levels of what is learned.
    ``has_times``: whether HSTU's blocks have a bias by the time between places, which histories then tell.
    ``n_vector``: numbers of a candidate that ask the history beside its channels, and count in the layers; 0 = none.
    """

    n_rows: Sequence[int]
    n_dims: Sequence[int]
    n_numbers: int
    length: int
    shared: Sequence[int]
    history_rows: Sequence[int]
    n_history_numbers: int
    query: Sequence[int]
    n_levels: int
    history_dim: int = 8
    width: int = 64
    heads: int = 2
    n_blocks: int = 1
    block: BlockKind = "softmax"
    rank: int = 32
    n_crosses: int = 2
    start: int | None = None
    has_times: bool = False
    n_vector: int = 0


@dataclass(frozen=True)
class SequenceInputs:
    """What the net reads of ``n`` pairs of ``g`` groups beside their tables: numbers, histories, the group of each.

    ``vector``: (n, n_vector), that of each candidate; None = none.
    """

    numbers: Tensor
    histories: Histories
    group: Tensor
    vector: Tensor | None = None

    def double(self) -> SequenceInputs:
        """Numbers as Float64."""
        vector = None if self.vector is None else self.vector.double()
        return SequenceInputs(self.numbers.double(), self.histories.double(), self.group, vector)


class SoftmaxBlock(nn.Module):
    """Pre-norm transformer block (Vaswani et al. 2017; Xiong et al. 2020): each place sees those up to itself."""

    def __init__(self, width: int, heads: int, length: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor, is_seen: Tensor) -> Tensor:
        """(g, places, width) -> the same; ``is_seen`` Boolean (g, places, places)."""
        query, key, value = _by_head(self.mix(self.before(x)), 3, self.heads)
        logits = query @ key.mT / math.sqrt(query.shape[-1])
        weight = logits.masked_fill(~is_seen[:, None], -math.inf).softmax(dim=-1)
        x = x + self.joined(_joined(weight @ value))
        found: Tensor = x + self.narrow(functional.gelu(self.wide(self.between(x))))
        return found


class HstuBlock(nn.Module):
    """Pointwise attention: SiLU and no softmax, a bias by distance, a gate (Zhai et al. 2024, arXiv 2402.17152).

    With ``has_times`` there is a bias by the time between two places, too, one a head and bucket of ``time_buckets``,
    which begins at zero. The paper's code has steps of e^0.301, not 2, and counts up to what follows the later place.
    """

    def __init__(self, width: int, heads: int, length: int, *, has_times: bool = False) -> None:
        super().__init__()
        self.heads, self.length = heads, length
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.joined = nn.Linear(width, 4 * width), nn.Linear(width, width)
        self.distance = nn.Parameter(torch.zeros(heads, length + 1))
        if has_times:
            self.time = nn.Parameter(torch.zeros(heads, N_TIMES))

    def forward(self, x: Tensor, is_seen: Tensor, times: Tensor | None = None) -> Tensor:
        """(g, places, width) -> the same; ``is_seen`` Boolean and ``times`` Int64 (g, places, places)."""
        query, key, value, gate = _by_head(functional.silu(self.mix(self.before(x))), 4, self.heads)
        places = torch.arange(x.shape[1])
        far = (places[:, None] - places[None]).clamp(0, self.length)
        logits = query @ key.mT / math.sqrt(query.shape[-1]) + self.distance[:, far]
        if times is not None:
            logits = logits + self.time[:, times].transpose(0, 1)
        weight = functional.silu(logits) * is_seen[:, None]
        weight = weight / is_seen.sum(dim=-1).clamp(min=1)[:, None, :, None]
        found: Tensor = x + self.joined(self.between(_joined(weight @ value)) * _joined(gate))
        return found


class CrossLayers(nn.Module):
    """Low-rank cross layers: ``x_(l+1) = x_0 * (U V x_l + b) + x_l`` (DCN-v2, Wang et al. 2021)."""

    def __init__(self, width: int, rank: int, n_layers: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Linear(width, rank, bias=False) for _ in range(n_layers))
        self.up = nn.ModuleList(nn.Linear(rank, width) for _ in range(n_layers))

    def forward(self, x: Tensor) -> Tensor:
        """(n, width) -> the same."""
        crossed = x
        for down, up in zip(self.down, self.up, strict=True):
            crossed = x * up(down(crossed)) + crossed
        return crossed


class SequenceNet(nn.Module):
    """Scores pairs by tables, numbers, and what each candidate finds in the history of its group.

    A history is encoded once, whatever the number of its candidates. Before its places lies a learned one that is
    always seen: one without history finds that one.

    Parameters
    ----------
    shape
        Sizes.
    dropout, id_dropout
        As of ``ConcatNet``; histories keep their ids.
    """

    def __init__(self, shape: SequenceShape, dropout: float = 0.0, id_dropout: float = 0.0) -> None:
        super().__init__()
        self.shape, self.dropout, self.id_dropout = shape, dropout, id_dropout
        self.start, width = shape.start, shape.width
        self.tables = nn.ModuleList(
            nn.Embedding(n, d, sparse=True) for n, d in zip(shape.n_rows, shape.n_dims, strict=True)
        )
        self.own = nn.ModuleList(
            nn.Embedding(n, shape.history_dim, sparse=True)
            for n, at in zip(shape.history_rows, shape.shared, strict=True)
            if at < 0
        )
        for table in (*self.tables.parameters(), *self.own.parameters()):
            nn.init.normal_(table, std=0.01)
        dims = [shape.n_dims[at] if at >= 0 else shape.history_dim for at in shape.shared]
        self.token = nn.Linear(max(sum(dims) + shape.n_history_numbers, 1), width)
        self.place = nn.Parameter(torch.randn(shape.length + 1, width) * 0.02)
        self.blocks = nn.ModuleList(_block(shape) for _ in range(shape.n_blocks))
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(sum(shape.n_dims[at] for at in shape.query) + shape.n_vector, width)
        self.numbers = nn.Linear(max(shape.n_numbers, 1), 128)
        inputs = 128 + sum(shape.n_dims) + shape.n_vector + 2 * width
        self.cross = CrossLayers(inputs, shape.rank, shape.n_crosses)
        self.deep = nn.Sequential(nn.Linear(inputs, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
        self.output, self.levels = nn.Linear(64, 1), nn.Linear(64, shape.n_levels)
        self.next = nn.Linear(width, shape.n_dims[shape.shared[0]] if shape.shared else 1)
        if shape.start is not None:
            self.skip = nn.Parameter(torch.zeros(1))

    @classmethod
    def of(cls, shape: SequenceShape, state: Mapping[str, Tensor]) -> SequenceNet:
        """Net with these parameters, without drawing any from torch's generator."""
        with torch.device("meta"):
            net = cls(shape)
        net.load_state_dict(dict(state), assign=True)
        return net

    def embed(self, rows: Tensor) -> Tensor:
        """Embeddings of the channels side by side: (n, n_channels) -> (n, sum of widths)."""
        if self.training and self.id_dropout > 0:
            rows = rows.masked_fill(torch.rand(rows.shape) < self.id_dropout, 0)
        return torch.cat([table(rows[:, i]) for i, table in enumerate(self.tables)], dim=1)

    def encode(self, histories: Histories) -> Tensor:
        """Tokens of histories: (g, 1 + length, width), the one that is always seen first."""
        own = iter(self.own)
        parts = [
            (self.tables[at] if at >= 0 else next(own))(histories.rows[:, :, i])
            for i, at in enumerate(self.shape.shared)
        ]
        tokens = self.token(_some(torch.cat([*parts, histories.numbers], dim=2))) + self.place[1:]
        x = torch.cat([self.place[:1].expand(len(tokens), 1, -1), tokens], dim=1)
        is_there = _with_first(histories.is_there)
        is_seen = is_there[:, None, :] & torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        times = self._times(histories)
        for block in self.blocks:
            x = block(x, is_seen) if times is None else block(x, is_seen, times)
        found: Tensor = self.norm(x)
        return found

    def _times(self, histories: Histories) -> Tensor | None:
        if not self.shape.has_times:
            return None
        assert histories.since is not None, "these histories were encoded without gaps"
        return time_buckets(histories.since)

    def forward(self, embedded: Tensor, inputs: SequenceInputs) -> Tensor:
        """Scores (n,) of embedded channels (n, sum of widths) and the other inputs."""
        return self._scores(self._hidden(embedded, inputs, self.encode(inputs.histories)), inputs)

    def scores_and_more(
        self,
        embedded: Tensor,
        inputs: SequenceInputs,
        level: Tensor,
        weight: Tensor | None,
        of: tuple[float, float],
    ) -> tuple[Tensor, Tensor]:
        """Scores, and what else the net is trained for: levels of what is learned, and the next id of histories.

        ``level``: Int64 (n,), each pair's level; ``weight``: (n,), how many pairs each one stands for, None = 1.
        ``of``: weights of the cross-entropies of both.
        """
        tokens = self.encode(inputs.histories)
        hidden = self._hidden(embedded, inputs, tokens)
        more = embedded.new_zeros(())
        if of[0]:
            losses = functional.cross_entropy(self.levels(hidden), level, reduction="none")
            more = more + of[0] * (
                losses.mean() if weight is None else (losses * weight).sum() / weight.sum()
            )
        if of[1] and self.shape.shared:
            more = more + of[1] * self._next_item(tokens, inputs.histories)
        return self._scores(hidden, inputs), more

    def _hidden(self, embedded: Tensor, inputs: SequenceInputs, tokens: Tensor) -> Tensor:
        channels = torch.split(embedded, list(self.shape.n_dims), dim=1)
        vector = [] if inputs.vector is None else [inputs.vector]
        query = self.query(torch.cat([*(channels[at] for at in self.shape.query), *vector], dim=1))
        found = attended(query, tokens, _with_first(inputs.histories.is_there), inputs.group)
        numbers = torch.relu(self.numbers(_some(inputs.numbers)))
        x = self.cross(torch.cat([numbers, embedded, *vector, found, found * query], dim=1))
        hidden: Tensor = self.deep(functional.dropout(x, self.dropout, training=self.training))
        return hidden

    def _scores(self, hidden: Tensor, inputs: SequenceInputs) -> Tensor:
        scores: Tensor = self.output(hidden).squeeze(1)
        return scores if self.start is None else scores + self.skip * inputs.numbers[:, self.start]

    def _next_item(self, tokens: Tensor, histories: Histories) -> Tensor:
        """Sampled softmax over the batch's items, corrected by how often each is there (Bengio & Senecal 2008)."""
        items, is_there = histories.rows[:, :, 0], histories.is_there
        target = items[is_there]
        if not len(target):
            return tokens.new_zeros(())
        candidates, at, count = torch.unique(target, return_inverse=True, return_counts=True)
        asked = self.next(tokens[:, :-1][is_there])
        logits = asked @ self.tables[self.shape.shared[0]](candidates).mT - count.log()
        return functional.cross_entropy(logits, at)

    def tables_and_layers(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Parameters with sparse gradients, and the others."""
        tables = [*self.tables.parameters(), *self.own.parameters()]
        sparse = {id(table) for table in tables}
        return tables, [p for p in self.parameters() if id(p) not in sparse]

    @torch.no_grad()
    def begin_at(self, slope: float, level: float) -> None:
        """Score by the start alone, ``level + slope * number``: what the layers add begins at zero."""
        self.output.weight.zero_()
        self.output.bias.fill_(level)
        self.skip.fill_(slope)


def time_buckets(since: Tensor) -> Tensor:
    """Bucket of the time from each place (columns) to each later one (rows): Int64 (g, 1 + length, 1 + length).

    ``since``: Float64 (g, length), time from each place to some later one. ``1 + floor(log2(max(1, time)))``, the last
    bucket for all above it; 0 where the time is unknown, as to the first place, which is always seen.
    """
    places = functional.pad(since, (1, 0), value=math.nan)
    between = places[:, None, :] - places[:, :, None]
    # The exponent of a number in [2^k, 2^(k+1)) is k + 1, exactly: a logarithm may round to the other side.
    bucket = between.nan_to_num().clamp(min=1).frexp().exponent.clamp(max=N_TIMES - 1)
    return bucket.masked_fill(between.isnan(), 0).long()


def _block(shape: SequenceShape) -> nn.Module:
    if shape.block == "softmax":
        return SoftmaxBlock(shape.width, shape.heads, shape.length)
    return HstuBlock(shape.width, shape.heads, shape.length, has_times=shape.has_times)


def attended(query: Tensor, tokens: Tensor, is_there: Tensor, group: Tensor) -> Tensor:
    """What queries (n, width) find among the tokens (g, places, width) of their ``group`` (n,), by dot attention.

    Groups of about one size are laid side by side, so that one product a group serves all of its queries.
    """
    sizes = group.bincount(minlength=len(tokens))
    most = int(sizes.max()) if len(group) else 0
    if len(tokens) * most > _MOST_PADDING * len(group):
        return _attended(query[:, None], tokens[group], is_there[group]).squeeze(1)
    order = group.argsort(stable=True)
    first = sizes.cumsum(0) - sizes
    within = torch.empty_like(group)
    within[order] = torch.arange(len(group)) - first[group[order]]
    at = group * most + within
    padded = query.new_zeros(len(tokens) * most, query.shape[1]).index_copy(0, at, query)
    found = _attended(padded.reshape(len(tokens), most, -1), tokens, is_there)
    return found.reshape(len(padded), -1)[at]


def _attended(query: Tensor, tokens: Tensor, is_there: Tensor) -> Tensor:
    """(g, n, width) queries among (g, places, width) tokens: (g, n, width)."""
    logits = query @ tokens.mT / math.sqrt(query.shape[2])
    return logits.masked_fill(~is_there[:, None], -math.inf).softmax(dim=2) @ tokens


def _some(x: Tensor) -> Tensor:
    """Give what has no columns one of zeros."""
    return x if x.shape[-1] else x.new_zeros((*x.shape[:-1], 1))


def _with_first(is_there: Tensor) -> Tensor:
    return torch.cat([torch.ones(len(is_there), 1, dtype=torch.bool), is_there], dim=1)


def _by_head(x: Tensor, n_parts: int, heads: int) -> tuple[Tensor, ...]:
    """(g, places, n_parts * width) -> ``n_parts`` tensors (g, heads, places, width / heads)."""
    g, places, _ = x.shape
    return x.reshape(g, places, n_parts, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


def _joined(x: Tensor) -> Tensor:
    """(g, heads, places, width / heads) -> (g, places, width)."""
    return x.transpose(1, 2).flatten(2)

"""How fast does the sequence net learn? ``python -m benchmarks.sequence`` (3,000 groups of 20 pairs, 50 places).

A planted log: users like what comes from the sources that they liked more often than not in their history; ids alone
say nothing of it. In turns, on ``--threads`` threads, the same layers from the same start, for ``--epochs`` epochs:

- *ours*: ``engine.nets``: a history encoded once a group, all of its candidates in one product, row-wise Adagrad;
- *plain*: the same net in plain PyTorch: ``TransformerEncoderLayer``, each pair with the tokens of its group gathered
  for it, ``SparseAdam``; ours has the softmax block here, so that both have the same layers;
- *within*: the candidate is put behind the history, and both are encoded together for every pair.

Prints rows a second (medians of epochs after the first), and log loss and AUC on groups that were held out. Wanted: 1.4
times the rows of *plain*, 8 times those of *within*, and no higher loss.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks._figures import keep
from benchmarks._net_rounds import epoch, quality
from engine import out
from engine.nets import CrossLayers, Histories, Rates, SequenceInputs, SequenceNet, SequenceShape, Stepper

N_ITEMS, N_SOURCES, N_NUMBERS = 1_000, 40, 64
WIDTH, DIM, HEADS = 64, 32, 2
MOST_OF_PLAIN, MOST_OF_WITHIN = 1.4, 8.0


@dataclass(frozen=True)
class Planted:
    """Groups of as many pairs each.

    ``rows`` (groups, pairs, 2) are items and sources, ``past`` (groups, places, 3) those of the history and what was
    done: 1 disliked, 2 liked.
    """

    rows: Tensor
    past: Tensor
    numbers: Tensor
    labels: Tensor

    @classmethod
    def of(cls, n_groups: int, n_pairs: int, length: int, seed: int) -> Planted:
        """Draw items and what was done; the source of an item is its number modulo the sources."""
        draw = torch.Generator().manual_seed(seed)
        items = torch.randint(0, N_ITEMS, (n_groups, n_pairs), generator=draw)
        past = torch.randint(0, N_ITEMS, (n_groups, length), generator=draw)
        done = torch.randint(1, 3, (n_groups, length, 1), generator=draw)
        same = (items[:, :, None] % N_SOURCES) == (past[:, None] % N_SOURCES)
        balance = (same.float() @ (2.0 * done - 3)).squeeze(2)
        chance = torch.rand(balance.shape, generator=draw) < 0.5 + 0.45 * balance.sign()
        numbers = torch.randn(n_groups, n_pairs, N_NUMBERS, generator=draw)
        return cls(_with_source(items), torch.cat([_with_source(past), done], dim=2), numbers, chance.float())

    def batches(self, n_groups: int, seed: int) -> Iterator[Planted]:
        """Groups in another order, so many at a time."""
        order = torch.randperm(len(self.rows), generator=torch.Generator().manual_seed(seed))
        for at in torch.split(order, n_groups):
            yield Planted(self.rows[at], self.past[at], self.numbers[at], self.labels[at])


def _with_source(items: Tensor) -> Tensor:
    return torch.stack([items + 1, items % N_SOURCES + 1], dim=-1)


class Ours:
    """The net of ``engine.nets``."""

    def __init__(self, length: int, block: Any = "softmax") -> None:
        shape = SequenceShape(
            n_rows=[N_ITEMS + 1, N_SOURCES + 1], n_dims=[DIM, DIM], n_numbers=N_NUMBERS, length=length,
            shared=[0, 1, -1], history_rows=[0, 0, 3], n_history_numbers=0, query=[0, 1], n_levels=2,
            width=WIDTH, heads=HEADS, block=block,
        )  # fmt: skip
        self.net = SequenceNet(shape)
        self.step = Stepper(
            *self.net.tables_and_layers(), Rates(0.001, 0.2, 0.0, "row adagrad", is_fused=True)
        )

    def __call__(self, batch: Planted) -> Tensor:
        n_groups, n_pairs, _ = batch.rows.shape
        there = torch.ones(batch.past.shape[:2], dtype=torch.bool)
        past = Histories(batch.past, batch.past.new_zeros((*batch.past.shape[:2], 0)).float(), there)
        group = torch.arange(n_groups).repeat_interleave(n_pairs)
        embedded = self.net.embed(batch.rows.flatten(0, 1))
        scores: Tensor = self.net(embedded, SequenceInputs(batch.numbers.flatten(0, 1), past, group))
        return scores.reshape(n_groups, n_pairs)


class Plain(nn.Module):
    """The same layers as somebody would write them: the tokens of its group for every pair."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.items = nn.Embedding(N_ITEMS + 1, DIM, sparse=True)
        self.sources = nn.Embedding(N_SOURCES + 1, DIM, sparse=True)
        self.done = nn.Embedding(3, 8, sparse=True)
        for table in (self.items, self.sources, self.done):  # as ours
            nn.init.normal_(table.weight, std=0.01)
        self.token, self.query = nn.Linear(2 * DIM + 8, WIDTH), nn.Linear(2 * DIM, WIDTH)
        self.place = nn.Parameter(torch.randn(length + 1, WIDTH) * 0.02)
        self.block = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 2 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.norm, self.numbers = nn.LayerNorm(WIDTH), nn.Linear(N_NUMBERS, 128)
        inputs = 128 + 2 * DIM + 2 * WIDTH
        self.cross = CrossLayers(inputs, 32, 2)
        self.deep = nn.Sequential(nn.Linear(inputs, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
        self.output = nn.Linear(64, 1)
        tables = [p for table in (self.items, self.sources, self.done) for p in table.parameters()]
        layers = [p for p in self.parameters() if all(p is not table for table in tables)]
        self.step = Stepper(tables, layers, Rates(0.001, 0.03, 0.0))

    def embed(self, rows: Tensor) -> Tensor:
        """Items and sources side by side."""
        return torch.cat([self.items(rows[..., 0]), self.sources(rows[..., 1])], dim=-1)

    def tokens(self, past: Tensor) -> Tensor:
        """What is encoded of histories."""
        found: Tensor = self.token(torch.cat([self.embed(past), self.done(past[..., 2])], dim=-1))
        return found

    def encode(self, tokens: Tensor) -> Tensor:
        """Tokens after a place that is always seen, each sees those up to itself."""
        x = torch.cat([self.place[:1].expand(len(tokens), 1, -1), tokens], dim=1)
        found: Tensor = self.norm(self.block(x, nn.Transformer.generate_square_subsequent_mask(x.shape[1])))
        return found

    def forward(self, batch: Planted) -> Tensor:
        """Scores (groups, pairs)."""
        n_groups, n_pairs, _ = batch.rows.shape
        tokens = self.encode(self.tokens(batch.past) + self.place[1:])
        embedded = self.embed(batch.rows).flatten(0, 1)
        query, of_pair = self.query(embedded), tokens.repeat_interleave(n_pairs, dim=0)
        weight = ((of_pair @ query[:, :, None]).squeeze(2) / math.sqrt(WIDTH)).softmax(dim=1)
        found = (weight[:, None] @ of_pair).squeeze(1)
        return self.scored(batch, embedded, found, query).reshape(n_groups, n_pairs)

    def scored(self, batch: Planted, embedded: Tensor, found: Tensor, query: Tensor) -> Tensor:
        """What follows once it is known what each pair found."""
        numbers = torch.relu(self.numbers(batch.numbers.flatten(0, 1)))
        x = self.cross(torch.cat([numbers, embedded, found, found * query], dim=1))
        scores: Tensor = self.output(self.deep(x)).squeeze(1)
        return scores


class Within(Plain):
    """The candidate as the last token of its history, encoded for every pair."""

    def __init__(self, length: int) -> None:
        super().__init__(length + 1)

    def forward(self, batch: Planted) -> Tensor:
        """Scores (groups, pairs)."""
        n_groups, n_pairs, _ = batch.rows.shape
        embedded = self.embed(batch.rows).flatten(0, 1)
        past = self.tokens(batch.past).repeat_interleave(n_pairs, dim=0)
        query = self.query(embedded)
        tokens = torch.cat([past, query[:, None]], dim=1) + self.place[1:]
        return self.scored(batch, embedded, self.encode(tokens)[:, -1], query).reshape(n_groups, n_pairs)


def main() -> int:
    """Measure, print, keep the figures."""
    asked = arguments()
    torch.set_num_threads(asked.threads)
    train, held = (
        Planted.of(n, asked.pairs, asked.length, seed) for n, seed in ((asked.groups, 1), (2_000, 2))
    )
    makers: dict[str, Callable[[], Any]] = {
        "ours": lambda: Ours(asked.length),
        "ours, hstu": lambda: Ours(asked.length, "hstu"),
        "plain": lambda: Plain(asked.length),
        "within": lambda: Within(asked.length),
    }
    models = {}
    for name, make in makers.items():
        torch.manual_seed(3)
        models[name] = make()
    speeds: dict[str, list[float]] = {name: [] for name in models}
    for number in range(asked.epochs):
        for name, model in models.items():
            speeds[name].append(epoch(model, train.batches(25, number)))
    figures = {
        name: (median(speeds[name][1:] or speeds[name]), *quality(model, held.batches(64, 0)))
        for name, model in models.items()
    }
    for name, (speed, loss, auc) in figures.items():
        out.print(f"{name}: {speed:,.0f} rows a second, log loss {loss:.4f}, AUC {auc:.4f}", highlight=False)
    for name, least in (("plain", MOST_OF_PLAIN), ("within", MOST_OF_WITHIN)):
        ratio = figures["ours"][0] / figures[name][0]
        word = "kept" if ratio >= least else "MISSED"
        out.print(f"ours / {name}: {ratio:.2f} (at least {least}: {word})", highlight=False)
    keep("sequence", {"figures": figures, "rounds": speeds}, asked.out)
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, number in {"groups": 3_000, "pairs": 20, "length": 50, "epochs": 5, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
